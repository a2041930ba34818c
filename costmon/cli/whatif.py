"""`costmon whatif`: what a job would cost at another rhythm."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.values import BadInput, Every, Name, Whole, decimal, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from costmon.insight.schedule.plans import Plan
    from costmon.monitor.schedule.judging import JobState

_SPANS = (("a day", 1), ("a week", 7), ("30 days", 30))
_DAY_US = 86_400 * 1_000_000
_TOKENS = re.compile(r"\s*([0-9][0-9_,]{0,20})\s*/\s*([0-9][0-9_,]{0,20})\s*")
_MOST_TOKENS = 10**9
_MOST_DUE = 200_000
"""Times of a cron expression in 30 days are 43,200 at most."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run is: exact nano of `currency` (None = unknown), how many calls, and what that rests on."""

    cost: Fraction | None
    currency: str
    calls: Fraction
    because: str


@dataclass(frozen=True, slots=True)
class _Rhythm:
    """How often, for people, and how many runs that is in each of `_SPANS`."""

    text: str
    runs: tuple[Fraction, ...]


@click.command()
@click.argument("job")
@click.option("--every", type=Every(), help="The other rhythm: 60m, 2h, 1d.")
@click.option("--cron", metavar="EXPR", help='Or five fields as in a crontab: "0 * * * *".')
@click.option("--from-every", type=Every(), help="What it is compared with [default: how the job runs now].")
@click.option("--tokens", metavar="IN/OUT", help="Of each call, for a job that never ran: 4000/1000.")
@click.option("--model", type=Name(), help="With --tokens: the model that is called.")
@click.option("--calls-per-run", type=Whole(1, 10**6), help="With --tokens [default: 1].")
@click.option("--json", "as_json", is_flag=True, help="For programs; money is {amount, currency}.")
def whatif(
    job: str,
    every: Fraction | None,
    cron: str | None,
    from_every: Fraction | None,
    tokens: str | None,
    model: str | None,
    calls_per_run: int | None,
    as_json: bool,
) -> None:
    """What JOB would cost at another rhythm, and what that saves.

    \b
    costmon whatif trade --every 60m
    costmon whatif trade --cron "0 9-18 * * 1-5"
    costmon whatif trade --every 60m --from-every 5m --tokens 4000/1000 --model gpt-4o-mini

    A run costs what the job's runs of the last seven days cost (their median), or with --tokens what the price of the
    model says. Nothing is changed.
    """
    from costmon import config, paths
    from costmon.cli.jobs import ledger, read
    from costmon.errors import ConfigError
    from costmon.monitor.lock import holder
    from costmon.shim.events import clean

    if (every is None) == (cron is None):
        raise BadInput('say the other rhythm: either --every 60m or --cron "0 * * * *"')
    if (tokens is None) != (model is None):
        raise BadInput("--tokens and --model belong together, as in --tokens 4000/1000 --model gpt-4o-mini")
    if calls_per_run is not None and tokens is None:
        raise BadInput("--calls-per-run needs --tokens and --model; without them a run's calls are measured")
    home = paths.state_home()
    try:
        loaded = config.load(paths.config_file())
    except ConfigError as error:
        click.echo(f"warning: {error}", err=True)
        loaded = None
    with ledger(home) as found:
        _, states, now, zone = read(found, home, holder(home) is not None, loaded)
    state = states.get(job)
    other = _of_every(every) if every is not None else _of_cron(cron or "", now, zone)
    present = _of_every(from_every) if from_every is not None else _present(job, state, now, states)
    run = (
        _priced(tokens or "", model or "", calls_per_run or 1, now)
        if tokens is not None
        else _measured(job, state)
    )
    name = clean(job, 60)
    if as_json:
        click.echo(json.dumps(_to_json(name, present, other, run), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_to_text(name, present, other, run)))


def _of_every(seconds: Fraction) -> _Rhythm:
    from costmon.shim.jobs.intervals import spell_interval

    us = seconds * 1_000_000
    text = f"every {spell_interval(round(us))}"
    return _Rhythm(text, tuple(days * 86_400 / seconds for _, days in _SPANS))


def _of_cron(expression: str, now: int, zone: str) -> _Rhythm:
    from costmon.cli.values import _quoted
    from costmon.insight.schedule import plans

    plan = plans.parse(f"cron {expression}", "", zone)
    if plan is None:
        raise BadInput(
            f'--cron {_quoted(expression)} is no crontab schedule; write five fields, such as "0 * * * *"'
        )
    return _of_plan(plan, now, zone)


def _of_plan(plan: Plan, now: int, zone: str) -> _Rhythm:
    """How often a plan is due from now on."""
    from costmon.insight.schedule import plans

    if plan.kind in (plans.EVERY, plans.AFTER):
        return _Rhythm(
            plans.spelled(plan, zone), tuple(Fraction(days * _DAY_US, plan.every_us) for _, days in _SPANS)
        )
    due = plans.occurrences(plan, now, now + _SPANS[-1][1] * _DAY_US, limit=_MOST_DUE)
    counts = {days: Fraction(sum(at < now + days * _DAY_US for at in due)) for _, days in _SPANS}
    counts[1] = counts[7] / 7  # a mean day: on a Saturday nobody saves by a plan for weekdays
    return _Rhythm(plans.spelled(plan, zone), tuple(counts[days] for _, days in _SPANS))


def _present(job: str, state: JobState | None, now: int, known: dict[str, JobState]) -> _Rhythm:
    """How a job runs now: by its plan, by what goes on beside it, or by its rhythm."""
    from costmon.monitor.schedule.projected import is_planned
    from costmon.monitor.schedule.wording import rough
    from costmon.shim.events import clean

    if state is None:
        there = f"there is {', '.join(sorted(known)[:12])}" if known else "no job has been seen yet"
        raise BadInput(
            f"no job is called {clean(job, 60)!r}; {there}. For one that never ran add "
            "--from-every 5m --tokens 4000/1000 --model gpt-4o-mini"
        )
    kept = (
        _of_plan(state.plan, now, state.zone)
        if state.plan is not None and is_planned(state.watched)
        else None
    )
    if kept is not None and state.pace is not None:
        every = state.pace.every_us
        kept = _Rhythm(
            f"every {rough(every)} (longer than {kept.text})",
            tuple(Fraction(days * _DAY_US, every) for _, days in _SPANS),
        )
    beside = [
        _Rhythm(
            f"every {rough(one.every_us)}",
            tuple(Fraction(days * _DAY_US, one.every_us) for _, days in _SPANS),
        )
        for one in state.going
    ]
    parts = [*([kept] if kept is not None else []), *beside]
    if not parts:
        raise BadInput(
            f"{clean(job, 60)} has no plan and no rhythm yet; say how often it runs: --from-every 5m"
        )
    text = " and ".join(dict.fromkeys(one.text for one in parts))
    sums = tuple(sum((one.runs[place] for one in parts), Fraction(0)) for place in range(len(_SPANS)))
    return _Rhythm(text, sums)


def _measured(job: str, state: JobState | None) -> _Run:
    from costmon.monitor.schedule.projected import paid
    from costmon.shim.events import clean

    ways = "say what a run is with --tokens 4000/1000 --model gpt-4o-mini"
    if state is None:
        raise BadInput(f"no run of {clean(job, 60)} is known; {ways}")
    runs = [run for run in state.runs if paid(run)]
    cost = state.cost
    if cost.median is None:
        why = (
            "has calls without a price in every run"
            if cost.unknown
            else "has no finished run of the last seven days"
        )
        raise BadInput(f"{clean(job, 60)} {why}; {ways}")
    calls = sorted(run.calls for run in runs)[len(runs) // 2] if runs else 0
    left = f"; what {cost.unknown} more cost is unknown" if cost.unknown else ""
    because = f"the median of {cost.runs:,} run{'s' if cost.runs != 1 else ''} in the last 7 days{left}"
    return _Run(Fraction(cost.median), state.currency, Fraction(calls), because)


def _priced(tokens: str, model: str, calls: int, now: int) -> _Run:
    from costmon.cli import values
    from costmon.pricing.calculators.scenario import Load

    match = _TOKENS.fullmatch(tokens)
    counts = [int(part.replace(",", "").replace("_", "")) for part in match.groups()] if match else []
    if not counts or max(counts) > _MOST_TOKENS:
        raise BadInput(f"--tokens {values._quoted(tokens)} is not IN/OUT; write it like 4000/1000")
    catalogue = values.open_catalogue()
    found = catalogue.find(model, None, now)
    if found is None:
        near = catalogue.similar(model)
        hint = f"; names like it: {', '.join(near)}" if near else "; costmon prices list shows what there is"
        raise BadInput(f"--model {values._quoted(model)} has no known price{hint}")
    cost = found.cost_of(now, Load(Fraction(1), counts[0], counts[1]))
    if cost.call is None or cost.unpriced:
        raise BadInput(
            f"--model {values._quoted(model)} has no price for {', '.join(cost.unpriced) or 'its tokens'}"
        )
    said = f"{calls:,} calls" if calls > 1 else "one call"
    because = f"{said} of {model} with {counts[0]:,} input and {counts[1]:,} output tokens"
    return _Run(cost.call * calls, cost.currency, Fraction(calls), because)


def _to_text(name: str, present: _Rhythm, other: _Rhythm, run: _Run) -> list[str]:
    from costmon.cli import values
    from costmon.cli.jobs_shown import about
    from costmon.pricing.calculators.scenario import whole_nano
    from costmon.shim.money import Money

    cost = run.cost or Fraction(0)

    def money(amount: Fraction) -> str:
        return about(Money(whole_nano(amount), run.currency))

    rows = [["", "RUNS", "CALLS", "COST", "RUNS", "CALLS", "COST", "SAVED"]]
    for (span, _), now, then in zip(_SPANS, present.runs, other.runs, strict=True):
        rows.append(
            [
                span,
                *(decimal(now, 1), decimal(now * run.calls, 1), money(now * cost)),
                *(decimal(then, 1), decimal(then * run.calls, 1), money(then * cost)),
                _saved(money, now * cost, then * cost),
            ]
        )
    lines = values.table(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(8)]
    starts = [sum(widths[:column]) + 2 * column for column in (1, 4)]
    head = " " * starts[0] + "NOW".ljust(starts[1] - starts[0]) + "INSTEAD"
    return [
        f"{name}: {present.text} now, {other.text} instead",
        head,
        *lines,
        values.wrapped(f"A run costs {money(cost)}: {run.because}.", ""),
    ]


def _saved(money: Callable[[Fraction], str], now: Fraction, then: Fraction) -> str:
    if not now:
        return money(now - then)
    share = decimal(abs(now - then) * 100 / now, 1)
    return f"{money(abs(now - then))} ({share} %{' more' if then > now else ''})"


def _to_json(name: str, present: _Rhythm, other: _Rhythm, run: _Run) -> dict[str, Any]:
    from costmon.pricing.calculators.scenario import whole_nano
    from costmon.shim.money import Money

    cost = run.cost or Fraction(0)

    def amount(value: Fraction) -> dict[str, str]:
        return Money(whole_nano(value), run.currency).to_json()

    spans = {}
    for (_, days), now, then in zip(_SPANS, present.runs, other.runs, strict=True):
        saved = (now - then) * cost
        spans[{1: "day", 7: "week", 30: "days_30"}[days]] = {
            "now": {"runs": plain(now), "calls": plain(now * run.calls), "cost": amount(now * cost)},
            "instead": {"runs": plain(then), "calls": plain(then * run.calls), "cost": amount(then * cost)},
            "saved": amount(saved),
            "saved_share": plain((now - then) / now) if now else None,
        }
    return {
        "job": name,
        "now": present.text,
        "instead": other.text,
        "cost_per_run": amount(cost),
        "because": run.because,
        **spans,
    }
