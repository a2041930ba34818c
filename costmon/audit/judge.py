"""The audit itself: what was read, judged by every rule, and what leaving it costs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from costmon.audit.costs import Pricing
from costmon.audit.fixes import together
from costmon.audit.gather import Gathered, gather, within
from costmon.audit.rules import containers, development, intervals, jobs
from costmon.audit.rules.context import Context
from costmon.audit.secrets import is_secret_text, shown
from costmon.audit.services import SDKS
from costmon.audit.values import NOTE, SEVERITIES, WARNING, Finding, Report, Unread
from costmon.shim.money import Money
from costmon.sources.compose.texts import shown as named
from costmon.sources.compose.values import Place

RULES = (
    intervals.doubled_scheduler,
    intervals.interval_differs,
    intervals.interval_floor,
    jobs.job_floor,
    jobs.job_differs,
    jobs.sleep_loops,
    development.key_shape,
    development.scheduler_on,
    development.costly_model,
    containers.restarts,
    containers.switch_mounts,
    containers.missing_shim,
    containers.retries,
)
_COSTING = frozenset({"doubled-scheduler", "interval-differs", "interval-floor", "sleep-loop"})
_IGNORE = re.compile(r"#\s*costmon:\s*ignore\b[ \t]*([a-z, -]*)")


def audit(
    paths: Sequence[str],
    pricing: Pricing,
    *,
    floor_us: int,
    held: Mapping[str, int] | None = None,
    profiles: Iterable[str] = (),
    env: bool = True,
) -> Report:
    """Reads folders and files (that exist), runs nothing, and says what is wrong.

    Args:
        floor_us: an interval below it is worth a finding, unless `held` (job → µs) has a plan for that job.
        profiles: of compose projects; '*' = all.
        env: whether env files count.
    """
    found = gather(paths, profiles, env=env)
    context = _context(found, pricing, floor_us, held or {})
    raised = [one for rule in RULES for one in rule(context)] + [_unread(one) for one in found.unread]
    kept: dict[object, Finding] = {}
    for one in raised:
        if _is_asked(found, one) and not _is_ignored(context, one):
            kept.setdefault((one.rule, one.sentence, one.evidence), one)
    findings = tuple(sorted(kept.values(), key=_order))
    unpriced = sum(one.rule in _COSTING and one.weekly is None and one.severity != NOTE for one in findings)
    hints = _hints(pricing) if unpriced else ()
    patch = together((one.fix for one in findings if one.fix is not None), found.texts.get)
    return Report(findings, len(found.seen), _sums(findings), unpriced, hints, patch)


def _context(found: Gathered, pricing: Pricing, floor_us: int, held: Mapping[str, int]) -> Context:
    members = found.members()
    scopes = sorted(
        {_lifted(found, os.path.dirname(file)) for one in found.projects for file in one.files[:1]},
        key=len,
        reverse=True,
    )

    @cache
    def scope(path: str) -> str:
        return next((folder for folder in scopes if within(path, folder)), "")

    @cache
    def spends(path: str) -> bool | None:
        mine = scope(path)
        near = [names for other, names in found.packages if scope(other) == mine]
        if any(names & SDKS for names in near) or any(
            one.spends for one in members if scope(one.service.place.path) == mine
        ):
            return True
        return False if found.roots else None

    projects = (*found.projects, *(project for project, _ in found.units))
    return Context(
        projects,
        tuple(members),
        tuple(found.envs),
        tuple(found.declared),
        tuple(found.habits),
        tuple(found.keys),
        found.texts,
        pricing,
        floor_us,
        held,
        scope,
        spends,
    )


def _lifted(found: Gathered, folder: str) -> str:
    """The folder that a compose file speaks of: its own, or where it has no code the nearest above that has some."""
    tops = {os.path.abspath(one) for one in found.roots}
    here = os.path.abspath(folder or ".")
    code = [os.path.abspath(path) for path in found.code]
    while (
        here not in tops
        and tops
        and not any(within(path, here) for path in code)
        and os.path.dirname(here) != here
    ):
        here = os.path.dirname(here)
    return here


def _unread(one: Unread) -> Finding:
    name = named(one.place.path)
    safe = not is_secret_text(one.sentence.replace(name, ""))
    return Finding(
        "not-read",
        WARNING if one.declares else NOTE,
        one.sentence if safe else f"{name} line {one.place.line} cannot be read.",
        "Mend it, or take it out of what is audited: what it declares is not judged."
        if one.declares
        else "Nothing more is said of it.",
        ((one.place, "not read"),),
    )


def _is_asked(found: Gathered, one: Finding) -> bool:
    return found.only is None or any(place.path in found.only for place, _ in one.evidence)


def _is_ignored(context: Context, one: Finding) -> bool:
    """Whether a line that shows it says `# costmon: ignore RULE`, or `# costmon: ignore` for all rules."""
    if one.rule == "not-read":
        return False
    return any(_ignores(context.texts.line(place), one.rule) for place, _ in one.evidence)


def _ignores(line: str, rule: str) -> bool:
    match = _IGNORE.search(line)
    if match is None:
        return False
    rules = re.split(r"[,\s]+", match[1].strip())
    return rules == [""] or rule in rules


def _order(one: Finding) -> tuple[int, int, Place, str]:
    """The worst first, and of these the dearest."""
    return (
        -SEVERITIES.index(one.severity),
        -(one.weekly.nano if one.weekly is not None else 0),
        one.place,
        one.rule,
    )


def _sums(findings: Iterable[Finding]) -> tuple[Money, ...]:
    """What leaving all costs a week: of what several findings say of one plan only the most counts."""
    shares: dict[tuple[str, str], int] = {}
    for one in findings:
        for key, money in one.shares.items():
            slot = (key, money.currency)
            shares[slot] = max(shares.get(slot, 0), money.nano)
    sums: dict[str, int] = {}
    for (_, currency), nano in shares.items():
        sums[currency] = sums.get(currency, 0) + nano
    return tuple(Money(nano, currency) for currency, nano in sorted(sums.items()))


def _hints(pricing: Pricing) -> tuple[str, ...]:
    if pricing.lacks_tokens:
        return (
            "What a run takes is not known: say it with --tokens INPUT/OUTPUT, or let costmon record a run.",
        )
    if pricing.lacks_model:
        return ("Which model a run asks is not known: say it with --model.",)
    models = sorted(filter(None, (shown(one) for one in pricing.unpriced)))
    if not models:
        return ()
    more = f" and {len(models) - 3} more" if len(models) > 3 else ""
    return (
        f"No price is known for {', '.join(models[:3])}{more}: costmon prices show {models[0]} says what to do.",
    )
