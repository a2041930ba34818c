"""Intervals: too short, or not the same everywhere; and one scheduler that runs twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from costmon.audit.cadences import of_interval, of_plan
from costmon.audit.costs import less, total
from costmon.audit.edits import changed, default_changed, written_value
from costmon.audit.rules.context import Context, allowing, named, runs, spell, spoken
from costmon.audit.secrets import shown
from costmon.audit.services import Member, Planned, spelled_like
from costmon.audit.ties import of_variable
from costmon.audit.values import ERROR, NOTE, WARNING, Cadence, Evidence, Finding, Fix
from costmon.shim.events import clean
from costmon.shim.money import Money
from costmon.sources.compose.intervals import cadence
from costmon.sources.compose.values import Place, Setting


def interval_floor(context: Context) -> Iterator[Finding]:
    """A service runs more often than the floor allows."""
    for project in context.projects:
        for group in _runners(context.of(project)):
            member, planned = group[0]
            held = [context.held[job] for job in member.held_names(planned) if job in context.held]
            floor = min(held, default=context.floor_us)
            if planned.cadence is not None and planned.cadence.shortest_us < floor:
                yield _below(context, group, planned.cadence, floor)


Runner = tuple[Member, Planned]


def _runners(members: list[Member]) -> Iterator[list[Runner]]:
    """Who runs each plan. Services of one code that share a plan, with nothing that says which of them runs it, are one: one
    env file for all of them makes no run of each."""
    waiting = [
        (member, planned) for member in members if _may_run(member, members) for planned in member.plans
    ]
    while waiting:
        group = [waiting.pop(0)]
        if group[0][0].is_on is None:
            group += [other for other in waiting if _either(group[0], other)]
            waiting = [other for other in waiting if other not in group]
        yield group


def _may_run(member: Member, members: list[Member]) -> bool:
    """Whether it is started, and its scheduler is on, or nobody's of the same code is that could be meant instead."""
    if not member.starts or member.is_on is False:
        return False
    return (
        bool(member.is_on)
        or _runs_itself(member)
        or not any(other.is_on and other.starts and other.same_code(member) for other in members)
    )


def _runs_itself(member: Member) -> bool:
    """Whether its command runs a script that one of its plans is named after: CRAWL_INTERVAL and python crawl.py."""
    names = {one.job for one in member.plans if one.job}
    return any(re.search(rf"\bpython[0-9.]*\s.*\b{re.escape(name)}\b", member.started_by) for name in names)


def _either(one: Runner, other: Runner) -> bool:
    same_plan = one[1].setting.name == other[1].setting.name and one[1].cadence == other[1].cadence
    return other[0].is_on is None and same_plan and one[0].same_code(other[0])


def _below(context: Context, group: list[Runner], found: Cadence, floor: int) -> Finding:
    member, planned = group[0]
    setting, allowed = planned.setting, of_interval(floor)
    assert allowed is not None
    names = member.jobs(planned)
    tied = any(one.ties(other) for one, other in group)
    more = (
        less(*(context.pricing.weekly(member, (each,), names) for each in (found, allowed))) if tied else None
    )
    held = "the floor of" if floor == context.floor_us else "the plan of every"
    # Only what runs paid jobs may be changed by a tool: that something polls is no mistake.
    text = spelled_like(setting.name, setting.value or "", floor) if tied else None
    who = named([one for one, _ in group], "or")
    settings = [one.setting for _, one in group]
    return Finding(
        "interval-floor",
        WARNING if tied else NOTE,
        f"{who} runs {spoken(found)}, {runs(found.weekly)} runs a week; at {held} {spell(floor)} it is "
        f"{runs(allowed.weekly)}{'.' if tied else '; nothing ties these runs to paid calls.'}",
        f"{'Set' if tied else 'If each run makes calls, set'} it to {spell(floor)} or more; or allow this one in "
        f"config.toml: {allowing(names[0], found.shortest_us)}.",
        tuple(
            (
                one.from_file or one.place,
                f"{who}: {shown(one.name)} = {shown(one.value or '')} ({found.text})",
            )
            for one in {one.from_file or one.place: one for one in settings}.values()
        ),
        more,
        context.texts.fix(dict(changed(context.texts, one, text) for one in settings)) if text else None,
        {member.share(planned): more} if more is not None else {},
    )


# --- the same interval variable, another default --------------------------------------------------------------


def interval_differs(context: Context) -> Iterator[Finding]:
    """One interval variable has several defaults among services that run the same code, or ask the same variable."""
    for project in context.projects:
        members = [member for member in context.of(project) if member.service.active]
        names = dict.fromkeys(one.setting.name for member in members for one in member.plans)
        for name in names:
            for group in _akin(members, name):
                found = _differing(context, name, group)
                if found is not None:
                    yield found


def _akin(members: list[Member], name: str) -> Iterator[list[Member]]:
    """Services that have the variable, grouped by what makes one value of it right for all."""
    waiting = [member for member in members if name in member.service.environment]
    while waiting:
        group = [waiting.pop(0)]
        for one in group:
            near = [other for other in waiting if one.same_code(other) or _asks_the_same(one, other, name)]
            waiting = [other for other in waiting if other not in near]
            group += near
        if len(group) > 1:
            yield group


def _asks_the_same(one: Member, other: Member, name: str) -> bool:
    return bool(set(one.service.environment[name].asks) & set(other.service.environment[name].asks))


def _written(setting: Setting) -> tuple[str, Cadence] | None:
    """What the file itself says, whatever an .env says: the default, or a literal."""
    text = setting.default or (setting.value or "" if not setting.asks else "")
    said = cadence(setting.name, text) if text else None
    found = of_plan(said.plan) if said is not None and said.plan else None
    return (text, found) if found is not None else None


def _differing(context: Context, name: str, group: list[Member]) -> Finding | None:
    written = [
        (member, found)
        for member in group
        if (found := _written(member.service.environment[name])) is not None
    ]
    if len({found[1].text for _, found in written}) < 2:
        return None
    longest = min(written, key=lambda one: one[1][1].weekly)[1]
    wrong = [(member, found) for member, found in written if found[1].text != longest[1].text]
    ordered = sorted(written, key=lambda one: -one[1][1].weekly)
    effective = {
        planned.cadence.text
        for member in group
        for planned in member.plans
        if planned.setting.name == name and planned.cadence
    }
    runners = {
        first[0] for first, *_ in _runners(context.of(group[0].project)) if first[1].setting.name == name
    }
    paid = of_variable(name) and any(member.spends for member in group)
    costs = {
        member: _excess(context, member, name, longest[1])
        for member, _ in wrong
        if member in runners and paid and member.spends
    }
    said = " against ".join(
        f"{found[1].text.removeprefix('every ')} in {member.title}"
        for member, found in _first_of_each(ordered)
    )
    weekly = total(costs.values())
    fixes = dict(
        default_changed(context.texts, member.service.environment[name], longest[0]) for member, _ in wrong
    )
    return Finding(
        "interval-differs",
        WARNING if len(effective) > 1 and paid else NOTE,
        f"The default of {shown(name)} differs: {said} ({_week(ordered)} runs a week).",
        f"Give every service the same default, {clean(longest[0], 40)}, or one variable without a default.",
        tuple(
            (
                member.service.environment[name].place,
                f"{member.title}: {shown(name)} = {shown(found[0])} by default ({found[1].text})",
            )
            for member, found in ordered
        ),
        weekly,
        context.texts.fix(fixes) if paid else None,
        {f"{member.key}:{name}": cost for member, cost in costs.items() if cost is not None},
    )


def _first_of_each(
    ordered: list[tuple[Member, tuple[str, Cadence]]],
) -> list[tuple[Member, tuple[str, Cadence]]]:
    found = {one[1][1].text: one for one in reversed(ordered)}
    return sorted(found.values(), key=lambda one: -one[1][1].weekly)


def _week(ordered: list[tuple[Member, tuple[str, Cadence]]]) -> str:
    return " against ".join(runs(found[1].weekly) for _, found in _first_of_each(ordered))


def _excess(context: Context, member: Member, name: str, longest: Cadence) -> Money | None:
    """What a service costs a week beyond the longest interval."""
    planned = next((one for one in member.plans if one.setting.name == name), None)
    if planned is None or planned.cadence is None:
        return None
    names = member.jobs(planned)
    return less(
        context.pricing.weekly(member, (planned.cadence,), names),
        context.pricing.weekly(member, (longest,), names),
    )


# --- one scheduler, two services ------------------------------------------------------------------------------


def doubled_scheduler(context: Context) -> Iterator[Finding]:
    """Two services that run the same code both have its scheduler on; or one has it on in several containers."""
    for project in context.projects:
        on = [member for member in context.of(project) if member.starts and member.is_on]
        seen: set[str] = set()
        for member in on:
            group = [other for other in on if other is member or _same_scheduler(member, other)]
            if len(group) > 1 and not seen & {one.key for one in group}:
                seen |= {one.key for one in group}
                yield _doubled(context, group)
            elif len(group) == 1 and member.service.scale > 1:
                yield _scaled(context, member)


def _same_scheduler(one: Member, other: Member) -> bool:
    if not one.same_code(other):
        return False
    if one.switch is not None and other.switch is not None:
        return one.switch.name == other.switch.name
    if one.beat is not None and other.beat is not None:
        return one.beat == other.beat
    same = one.service.command == other.service.command
    return one.runs_scheduler and other.runs_scheduler and same and not one.locks


def _doubled(context: Context, group: list[Member]) -> Finding:
    keeper = min(
        group,
        key=lambda one: (
            not one.schedules_alone,
            not one.dedicated,
            sum(found.weekly for found in one.cadences),
        ),
    )
    wrong = [member for member in group if member is not keeper]
    costs = {member: _whole(context, member) for member in wrong}
    causes = dict.fromkeys(
        one.switch.from_file for one in wrong if one.switch is not None and one.switch.from_file is not None
    )
    switches = tuple(
        (one.switch.place, f"{one.title}: {shown(one.switch.name)} = {shown(one.switch.value or '')}")
        if one.switch is not None
        else (one.service.place, f"{one.title}: its command is a scheduler's")
        for one in (*wrong, keeper)
    )
    evidence: Evidence = (
        *((cause, f"turns it on in {named(group)}") for cause in causes if cause is not None),
        *switches,
    )
    return Finding(
        "doubled-scheduler",
        ERROR,
        f"One scheduler is on in {named(group)}: each of them makes its runs.",
        f"Leave it on in {keeper.title} alone, and turn it off in {named(wrong)}.",
        evidence,
        total(costs.values()),
        _turned_off(context, wrong),
        {key: cost for member in wrong for key, cost in _shares(context, member).items()},
    )


def _whole(context: Context, member: Member) -> Money | None:
    """What all its runs cost a week."""
    if not member.cadences or not member.spends:
        return None
    return total(_of_plan(context, member, one) for one in member.paid if one.cadence is not None)


def _of_plan(context: Context, member: Member, planned: Planned) -> Money | None:
    assert planned.cadence is not None
    return context.pricing.weekly(member, (planned.cadence,), member.jobs(planned))


def _shares(context: Context, member: Member, times: int = 1) -> dict[str, Money]:
    """What each of its plans costs a week, so many times."""
    found = {
        member.share(one): _of_plan(context, member, one)
        for one in member.paid
        if one.cadence is not None and member.spends
    }
    return {key: Money(one.nano * times, one.currency) for key, one in found.items() if one is not None}


def _turned_off(context: Context, members: list[Member]) -> Fix | None:
    changes: dict[Place, str | None] = {}
    for member in members:
        switch = member.switch
        if switch is None or switch.origin != "environment":
            return None
        off = _off(switch.value or "", switch.name)
        place, new = default_changed(context.texts, switch, off)
        if switch.from_file is not None or (switch.asks and not switch.default):
            new = written_value(context.texts.line(switch.place), switch, off)
        changes[place] = new
    others = [other for other in context.of(members[0].project) if other not in members]
    places = {other.switch.place for other in others if other.switch is not None}
    # A line that an anchor shares with the service that is to keep it says nothing of one alone.
    return None if places & changes.keys() else context.texts.fix(changes)


def _off(value: str, name: str) -> str:
    """The opposite, as it is written."""
    from costmon.sources.compose.intervals import disables

    pairs = {"true": "false", "1": "0", "yes": "no", "on": "off", "enabled": "disabled"}
    pairs = {new: old for old, new in pairs.items()} if disables(name) else pairs
    found = pairs.get(value.lower(), "true" if disables(name) else "false")
    return (
        found.upper() if value.isupper() and value.isalpha() else found.title() if value.istitle() else found
    )


def _scaled(context: Context, member: Member) -> Finding:
    whole = _whole(context, member)
    count = member.service.scale - 1
    more = Money(whole.nano * count, whole.currency) if whole is not None else None
    return Finding(
        "doubled-scheduler",
        ERROR,
        f"{member.title} runs in {member.service.scale} containers, and its scheduler is on in each of them.",
        "Run the scheduler in a service of its own, with one container.",
        ((member.service.place, f"{member.title}: {member.service.scale} containers"),),
        more,
        None,
        _shares(context, member, count),
    )
