"""Jobs that code, crontabs, timers and tables declare: too often, or in two places with two plans."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from costmon.audit.cadences import of_interval
from costmon.audit.costs import less
from costmon.audit.rules.context import Context, allowing, runs, spell, spoken
from costmon.audit.secrets import shown
from costmon.audit.services import Member, Planned
from costmon.audit.ties import of_command
from costmon.audit.values import NOTE, WARNING, Cadence, Declared, Finding
from costmon.shim.events import clean
from costmon.shim.money import Money
from costmon.sources.compose.values import Place

_NAMELESS = frozenset(
    {
        "",
        "?",
        "job",
        "jobs",
        "main",
        "run",
        "task",
        "tick",
        "work",
        "do",
        "execute",
        "func",
        "f",
        "python",
        "sh",
        "bash",
    }
)


def job_floor(context: Context) -> Iterator[Finding]:
    """A declared job runs more often than the floor allows."""
    for one in context.declared:
        floor = context.held.get(one.job, context.floor_us)
        if one.cadence is None or one.cadence.shortest_us >= floor or _is_set(context, one):
            continue
        spends, ties = context.spends(one.place.path), _ties(context, one)
        runner = _runner(context, one)
        if (spends is False and not ties) or (runner is not None and runner.cadence == one.cadence):
            continue
        paid = ties is not False
        severity = WARNING if ties or (paid and spends) else NOTE
        yield _below(context, one, one.cadence, floor, severity, paid=paid, counts=runner is None)


def _ties(context: Context, one: Declared) -> bool | None:
    """Whether it makes paid calls; of a timer, whether the service of its name does."""
    if one.kind != "timer":
        return one.ties
    unit = f"{one.place.path.removesuffix('.timer')}.service"
    member = next((each for each in context.members if each.unit and each.service.place.path == unit), None)
    if member is None:
        return one.ties
    return member.spends or of_command(member.started_by)


def _runner(context: Context, one: Declared) -> Declared | None:
    """What runs a function that costmon.job only names: the plan there is the same job's."""
    if one.kind != "costmon.job" or not one.function:
        return None
    same = (
        each
        for each in context.declared
        if each.kind != "costmon.job" and each.place.path == one.place.path and each.function == one.function
    )
    return next(
        (each for each in sorted(same, key=lambda each: each.cadence != one.cadence) if each.cadence), None
    )


def _is_set(context: Context, one: Declared) -> bool:
    """Whether a service of the same scope sets the variable that the job reads: then what it sets is judged."""
    return bool(one.variable) and any(_has(context, member, one) for member in context.members)


def _has(context: Context, member: Member, one: Declared) -> bool:
    setting = member.service.environment.get(one.variable)
    return (
        setting is not None
        and bool(setting.value)
        and context.scope(member.service.place.path) == context.scope(one.place.path)
    )


def _below(
    context: Context, one: Declared, found: Cadence, floor: int, severity: str, *, paid: bool, counts: bool
) -> Finding:
    allowed = of_interval(floor)
    assert allowed is not None
    more = _more(context, one.place.path, one.job, one.models, found, allowed) if paid else None
    held = "the floor of" if floor == context.floor_us else "the plan of every"
    reads = f" unless {one.variable} says otherwise" if one.variable else ""
    return Finding(
        "interval-floor",
        severity,
        f"{clean(one.job, 60)} runs {spoken(found)}{reads}, {runs(found.weekly)} runs a week; "
        f"at {held} {spell(floor)} it is {runs(allowed.weekly)}"
        f"{'.' if paid else '; nothing ties these runs to paid calls.'}",
        f"{'Let' if paid else 'If it makes calls, let'} it run every {spell(floor)} or less often; or allow this one in "
        f"config.toml: {allowing(one.job, found.shortest_us)}.",
        ((one.place, f"{one.kind}: {clean(one.job, 60)}, {one.text}"),),
        more,
        None,
        {f"{one.place.path}:{one.place.line}": more} if more is not None and counts else {},
    )


def _more(
    context: Context, path: str, job: str, models: tuple[str, ...], found: Cadence, allowed: Cadence
) -> Money | None:
    """What a job costs a week beyond the floor, with the model that is named around it, or in its own file."""
    named = {
        setting.value or ""
        for member in context.members
        if context.scope(member.service.place.path) == context.scope(path)
        for setting in member.models
    } or set(models)
    if found.weekly <= allowed.weekly:
        return None
    return less(*(context.pricing.of_job(each, job, named) for each in (found, allowed)))


_LEAST_SLEEP_US = 10_000_000
"""Of a shorter sleep the call itself takes longer, and nobody can say how often the loop goes round."""


def sleep_loops(context: Context) -> Iterator[Finding]:
    """A loop without an end sleeps less than the floor."""
    allowed = of_interval(context.floor_us)
    for one in context.habits:
        if one.cadence is None or allowed is None or one.cadence.shortest_us >= context.floor_us:
            continue
        place, evidence = one.place, ((one.place, one.text),)
        if one.ties is False:
            yield Finding(one.rule, NOTE, one.sentence, one.advice, evidence)
            continue
        priced = one.cadence.shortest_us >= _LEAST_SLEEP_US
        more = _more(context, place.path, one.job, one.models, one.cadence, allowed) if priced else None
        yield Finding(
            one.rule,
            WARNING,
            f"A loop without an end sleeps {one.cadence.text.removeprefix('every ')}, up to {runs(one.cadence.weekly)} "
            f"runs a week; at the floor of {spell(context.floor_us)} it is {runs(allowed.weekly)}.",
            f"Let it sleep {spell(context.floor_us)} or more, and name it, so that its next run is known: "
            f'with costmon.job("NAME", every="{spell(context.floor_us)}").',
            evidence,
            more,
            None,
            {f"{place.path}:{place.line}": more} if more is not None else {},
        )


def job_differs(context: Context) -> Iterator[Finding]:
    """The same job has another plan in another file."""
    groups: dict[tuple[str, str], list[Declared]] = {}
    for one in chain(context.declared, _of_services(context)):
        if one.cadence is not None and _name(one.job) not in _NAMELESS and not _is_set(context, one):
            groups.setdefault((context.scope(one.place.path), _name(one.job)), []).append(one)
    for found in groups.values():
        ordered = sorted(found, key=lambda one: (-(one.cadence.weekly if one.cadence else 0), one.place))
        plans = list(dict.fromkeys(one.cadence.text for one in ordered if one.cadence is not None))
        files = {one.place.path for one in ordered}
        if len(plans) > 1 and len(files) > 1 and not _all_services(ordered):
            yield _other_plan(ordered, plans)
    yield from _defaults(context)


def _all_services(found: list[Declared]) -> bool:
    return all(one.kind == "service" for one in found)


def _name(job: str) -> str:
    return job.lower().replace("-", "_").strip("_ ")


def _of_services(context: Context) -> Iterator[Declared]:
    for member in context.members:
        for planned in member.plans if member.starts and member.is_on is not False else ():
            place = planned.setting.from_file or planned.setting.place
            text = f"{member.title}: {shown(planned.setting.name)}"
            for job in {_name(one) for one in (planned.job, member.name)}:
                yield Declared(job, "service", place, text, planned.cadence)


def _other_plan(ordered: list[Declared], plans: list[str]) -> Finding:
    first = ordered[0]
    return Finding(
        "interval-differs",
        WARNING,
        f"{clean(first.job, 60)} is declared with several plans: {' against '.join(plans[:4])}.",
        "Declare it in one place, with one plan.",
        tuple((one.place, f"{one.kind}: {one.text}") for one in ordered),
    )


def _defaults(context: Context) -> Iterator[Finding]:
    """The code's own default of a variable is another than what services set."""
    for one in context.declared:
        if not one.variable or one.cadence is None:
            continue
        others = [
            (member, planned)
            for member in context.members
            for planned in member.plans
            if planned.setting.name == one.variable
            and planned.cadence is not None
            and _has(context, member, one)
        ]
        differing = [
            (member, planned)
            for member, planned in others
            if planned.cadence and planned.cadence.text != one.cadence.text
        ]
        if differing:
            yield _hidden_default(one, one.cadence, differing)


def _hidden_default(one: Declared, own: Cadence, others: list[tuple[Member, Planned]]) -> Finding:
    evidence: list[tuple[Place, str]] = [(one.place, f"{one.kind}: {one.variable} is {own.text} by default")]
    evidence += [
        (
            planned.setting.place,
            f"{member.title}: {planned.cadence.text if planned.cadence else ''}",
        )
        for member, planned in others
    ]
    return Finding(
        "interval-differs",
        NOTE,
        f"Without {clean(one.variable, 60)} the code runs {spoken(own)}, where services set another interval.",
        "Give the code the same default, or none.",
        tuple(evidence),
    )
