"""An incident as a document: what a person reads, from the answer down to the details. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from costmon.insight.schedule.values import ANNOUNCED, CONFIG, FLOOR
from costmon.monitor.schedule.misfires import rough
from costmon.report.document import Block, Document, Events, Items, Paragraph, Said, Section, Table, Text
from costmon.report.incident import is_about
from costmon.report.values import DAY, MISFIRE, Facts, Incident, JobIncident
from costmon.report.words import cost, count, lacking, money, span, when
from costmon.shim.switch import Block as Standing

_MOST = 60
"""Rows of a table; the rest is counted."""


def document(found: Incident) -> Document:
    sections = [
        _ran(found),
        _timeline(found),
        _alerts(found),
        _stopped(found),
        _spent(found),
        _unknown(found),
    ]
    lead = _lead(found)
    if found.quiet:
        return Document(_title(found), lead, ())
    return Document(_title(found), lead, tuple(section for section in sections if section.blocks))


# --- the answer ---------------------------------------------------------------------------------------------


def _worst(found: Incident) -> JobIncident | None:
    bad = [job for job in found.jobs if job.unplanned or job.missed]
    return max(bad, key=lambda job: (job.unplanned, job.missed), default=None)


def _title(found: Incident) -> Text:
    worst = _worst(found)
    if worst is None:
        return (
            ("Incident report: nothing went wrong with a job",)
            if not found.quiet
            else ("Incident report: nothing happened",)
        )
    if worst.unplanned:
        return ("Incident: ", Said(worst.facts.name), " ran when nobody had planned it")
    return ("Incident: ", Said(worst.facts.name), " did not run as planned")


def _lead(found: Incident) -> tuple[Block, ...]:
    facts = found.facts
    why = {
        MISFIRE: "the latest misfire",
        DAY: "the last 24 hours, as no misfire is on record",
    }.get(facts.why, "what was asked for")
    start, end = when(facts.since, facts.zone), when(facts.until, facts.zone)
    stretch = f"From {start} to {end} ({span(facts.until - facts.since)}): {why}."
    zone = (
        "Times are those of ",
        Said(facts.zone),
        f", with their UTC offset. Written at {when(facts.now, facts.zone)}.",
    )
    blocks: list[Block] = [Paragraph((stretch,)), Paragraph(zone)]
    if found.quiet:
        blocks.append(Paragraph(("Nothing happened: no run, no call, no alert, no refusal is on record.",)))
        return (*blocks, *(Paragraph((f"{text}.",)) for text in _unwatched(facts)))
    for job in found.jobs:
        if job.unplanned or job.missed:
            blocks.append(Paragraph(_sentence(job), grave=True))
            blocks += [Paragraph((text,)) for text in _sentences(job, facts)]
    if _worst(found) is None:
        runs = sum(job.runs for job in found.jobs)
        said = f"{count(runs, 'run')} of {count(len(found.jobs), 'job')}" if found.jobs else "No job ran"
        blocks.append(Paragraph((f"{said}; none of them was unplanned, and none was missed.",)))
    blocks += [Paragraph((text,)) for text in _answers(found)]
    return tuple(blocks)


def _sentence(job: JobIncident) -> Text:
    """'trade ran 12 times, 11 of them planned by nobody: $0.0132 of $0.0144.'"""
    least = "at least " if job.facts.cut else ""
    times = "once" if job.runs == 1 else f"{least}{job.runs:,} times" if job.runs else "never"
    if not job.unplanned:
        return (Said(job.facts.name), f" ran {times}; {count(job.missed, 'planned run')} did not come.")
    which = "which nobody had planned" if job.runs == 1 else f"{job.unplanned:,} of them planned by nobody"
    missed = f" {count(job.missed, 'planned run')} did not come." if job.missed else ""
    return (Said(job.facts.name), f" ran {times}, {which}: {cost(job.extra)} of {cost(job.ran)}.{missed}")


def _sentences(job: JobIncident, facts: Facts) -> list[str]:
    said = []
    if job.first_at is not None and job.last_at is not None and job.unplanned:
        going = " It goes on." if job.facts.going_on else ""
        every = f", about every {rough(job.every_us)}" if job.every_us and job.unplanned > 1 else ""
        said.append(
            f"The unplanned runs began at {when(job.first_at, facts.zone)}, the last was at"
            f" {when(job.last_at, facts.zone)}{every}.{going}"
        )
        if job.projected is not None:
            about = "~" if job.extra.estimated else ""
            ahead = about + money(job.projected)
            end = when(job.month_end, facts.zone)
            said.append(f"Had nobody looked, they would have cost {ahead} by {end}, when the month ends.")
        else:
            said.append("What they would have cost by the end of the month cannot be told.")
    return said


def _answers(found: Incident) -> list[str]:
    """When somebody was told, when somebody stopped it."""
    worst = _worst(found)
    if worst is None:
        return []
    zone = found.facts.zone
    said = []
    if found.told_at is not None:
        since = worst.second_at if worst.second_at is not None else worst.first_at
        late = (
            f", {span(found.told_at - since)} after the second unplanned run"
            if since and worst.second_at and found.told_at >= since
            else ""
        )
        said.append(f"It was told at {when(found.told_at, zone)}{late}.")
    else:
        said.append("No alert about it reached anybody.")
    if found.stopped_at is not None:
        said.append(f"It was stopped by hand at {when(found.stopped_at, zone)}.")
    return said


# --- the details --------------------------------------------------------------------------------------------


def _ran(found: Incident) -> Section:
    blocks: list[Block] = []
    for job in found.jobs:
        if not job.runs and not job.missed and len(found.jobs) > 1:
            continue
        planned = f"{job.planned:,} planned, " if job.planned is not None else ""
        failed = f", {job.failed:,} failed" if job.failed else ""
        failed += f", {job.refused:,} refused" if job.refused else ""
        lacks = f" ({lacking(job.ran)})" if lacking(job.ran) else ""
        tokens = f"{job.ran.input_tokens:,} tokens in, {job.ran.output_tokens:,} out"
        items: list[Text] = [
            ("job ", Said(job.facts.name), *_of_apps(job.apps)),
            _plan(job),
            (f"runs: {planned}{job.runs:,} ran, {job.unplanned:,} unplanned, {job.missed:,} missed{failed}",),
            (f"calls: {job.ran.calls:,}, {count(job.ran.errors, 'error')}; {tokens}",),
            (f"cost: {cost(job.ran)}, of the unplanned runs {cost(job.extra)}{lacks}",),
        ]
        blocks.append(Items(tuple(items)))
        if job.processes:
            blocks.append(_processes(job))
    return Section("What ran", tuple(blocks))


def _of_apps(apps: Sequence[str]) -> Text:
    parts: list[str | Said] = []
    for at, app in enumerate(apps[:6]):
        parts += [", of app " if not at else " and ", Said(app)]
    return tuple(parts)


def _plan(job: JobIncident) -> Text:
    record = job.facts.record
    if not record.plan:
        return ("plan of record: none; nobody announced one",)
    head: Text = ("plan of record: ", Said(job.facts.plan or record.plan))
    if record.said_by == CONFIG:
        return (*head, ", says config.toml")
    if record.said_by == ANNOUNCED:
        return (
            (*head, ", announced by ", Said(record.who))
            if record.who
            else (*head, ", announced by its process")
        )
    if record.said_by == FLOOR:
        return (*head, ", the least there may be between two runs; nobody announced a plan")
    return head


def _processes(job: JobIncident) -> Table:
    rows: list[tuple[Text, ...]] = []
    for one in job.processes[:_MOST]:
        plan: Text = (Said(one.plan),) if one.plan else ("nothing",)
        figures = (f"{one.runs:,}", f"{one.unplanned:,}", f"{one.sums.calls:,}", cost(one.sums))
        rows.append(((Said(one.who),), (Said(one.app),), plan, *((text,) for text in figures)))
    if len(job.processes) > _MOST:
        rows.append(((f"and {len(job.processes) - _MOST:,} more",), *((("",),) * 6)))
    return Table(
        ("process", "app", "announced", "runs", "unplanned", "calls", "cost"),
        tuple(rows),
        frozenset({3, 4, 5, 6}),
    )


def _timeline(found: Incident) -> Section:
    rows = []
    for moment in found.moments:
        text = tuple(Said(part) if at % 2 else part for at, part in enumerate(moment.text) if part or at % 2)
        rows.append((when(moment.at, found.facts.zone), text))
    return Section("What happened, in order", (Events(tuple(rows)),) if rows else ())


def _alerts(found: Incident) -> Section:
    facts = found.facts
    rows: list[tuple[Text, ...]] = []
    for one in facts.alerts:
        if is_about(facts, one.kind, one.subject):
            at = one.sent_at if one.sent_at is not None else one.claimed_at
            channel: Text = (Said(one.channel),) if one.channel else ("none",)
            level = f" {one.level} %" if one.kind == "level" else ""
            rows.append(
                (
                    (when(at, facts.zone),),
                    (f"{one.state}",),
                    channel,
                    (f"{one.kind}{level}",),
                    (Said(one.subject),),
                )
            )
    if not rows:
        return Section("Alerts", (Paragraph(("No alert was raised in this time.",)),))
    return Section("Alerts", (Table(("when", "state", "channel", "kind", "about"), tuple(rows[:_MOST])),))


def _stopped(found: Incident) -> Section:
    facts = found.facts
    items: list[Text] = []
    for block in facts.blocks:
        items.append(_standing(block, facts))
    if not facts.blocks:
        items.append(("nothing is blocked now",))
    refused = sum(one.calls for one in facts.refusals if not one.dry_run)
    let_go = sum(one.calls for one in facts.refusals if one.dry_run)
    items.append(
        (f"{count(refused, 'call')} refused in this time" if refused else "no call was refused in this time",)
    )
    if let_go:
        items.append((f"{count(let_go, 'call')} would have been refused, but for a dry run",))
    kills = sum(move.action == "kill" for move in facts.moves)
    lifts = len(facts.moves) - kills
    bypasses = count(len(facts.overrides), "bypass", "bypasses")
    items.append((f"by hand: {count(kills, 'block')} set, {count(lifts, 'block')} lifted; {bypasses}",))
    for one in facts.refusals[:_MOST]:
        did = "would have been refused" if one.dry_run else "refused"
        model = Said(f"{one.provider} {one.model}".strip())
        times = f", from {when(one.first_at, facts.zone)} to {when(one.last_at, facts.zone)}"
        items.append(
            (
                Said(one.app),
                f": {count(one.calls, 'call')} to ",
                model,
                f" {did} by the rule ",
                Said(one.rule),
                times,
            )
        )
    if len(facts.refusals) > _MOST:
        items.append((f"and {len(facts.refusals) - _MOST:,} more",))
    return Section("What was stopped, and who lifted it", (Items(tuple(items)),))


def _standing(block: Standing, facts: Facts) -> Text:
    since = f" since {when(block.since, facts.zone)}" if block.since is not None else ""
    until = f", until {when(block.until, facts.zone)}" if block.until is not None else ""
    how = "by itself" if block.automatic else "by hand"
    by: Text = (", by ", Said(block.by)) if block.by else ()
    why: Text = (": ", Said(block.reason)) if block.reason else ()
    return ("blocked now (", how, "): ", Said(block.scope), since + until, *by, *why)


def _spent(found: Incident) -> Section:
    spent = found.facts.spent or {}
    ordered = sorted(spent.items(), key=lambda row: (-row[1].money.nano, row[0]))
    rows: list[tuple[Text, ...]] = []
    for app, sums in ordered[:_MOST]:
        rows.append(((Said(app),), (f"{sums.calls:,}",), (f"{sums.errors:,}",), (cost(sums),)))
    if len(ordered) > 1:
        whole = ordered[0][1]
        for _, sums in ordered[1:]:
            whole = whole.plus(sums)
        rows.append((("all",), (f"{whole.calls:,}",), (f"{whole.errors:,}",), (cost(whole),)))
    table = Table(("app", "calls", "errors", "cost"), tuple(rows), frozenset({1, 2, 3}))
    return Section("What every app spent in this time", (table,) if rows else ())


def _unwatched(facts: Facts) -> list[str]:
    if not facts.gaps:
        return []
    lost = span(sum(gap.end_at - gap.start_at for gap in facts.gaps))
    return [f"For {lost} of this time no engine watched; what apps log by themselves is here all the same"]


def _unknown(found: Incident) -> Section:
    facts = found.facts
    items: list[Text] = []
    for app, sums in sorted((facts.spent or {}).items()):
        if lacking(sums):
            items.append(
                (
                    Said(app),
                    f": {lacking(sums)}",
                )
            )
    lost = sum(one.run.outcome == "unknown" for job in facts.jobs for one in job.judged)
    if lost:
        items.append((f"{count(lost, 'run')} ended where nobody saw it",))
    items += [
        (Said(job.name), f": only its first {len(job.judged):,} runs are told; there were more")
        for job in facts.jobs
        if job.cut
    ]
    items += [(text,) for text in _unwatched(facts)]
    items.append(
        ("blocks that costmon sets and lifts by itself are not journaled; what they refused is above",)
    )
    return Section("What is not known", (Items(tuple(items)),))
