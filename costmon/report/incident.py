"""What happened, worked out from facts: which job, how often, how much, in which order. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from costmon.act.alerts import notice_text
from costmon.budget.periods import period_at
from costmon.insight.schedule.values import FLOOR, UNEXPECTED, Announcement, Judged
from costmon.report.values import ByProcess, Facts, Incident, JobFacts, JobIncident, Moment, Sums
from costmon.report.words import count, span, when
from costmon.shim.money import Money, divide_half_even

JOB_ALERTS = ("misfire", "missed")
REFUSED = "refused"
"""The outcome of a run of which costmon refused a call: it costs less than such a run does."""


def incident(facts: Facts) -> Incident:
    jobs = tuple(_job(job, facts) for job in facts.jobs)
    return Incident(
        facts, jobs, tuple(_moments(facts, jobs)), _told_at(facts, jobs), _stopped_at(facts, jobs)
    )


def is_about(facts: Facts, kind: str, subject: str) -> bool:
    """Whether an alert belongs to the story: one about a job only if the job does."""
    return kind not in JOB_ALERTS or not facts.jobs or any(job.name == subject for job in facts.jobs)


# --- one job ------------------------------------------------------------------------------------------------


def _job(job: JobFacts, facts: Facts) -> JobIncident:
    extra = [one for one in job.judged if one.verdict in UNEXPECTED]
    starts = [one.run.started_at for one in extra]
    due = {one.due_at for one in job.judged if one.due_at is not None and one.verdict not in UNEXPECTED}
    planned = len(due | set(job.missed)) if job.record.plan and job.record.said_by != FLOOR else None
    last = starts[-1] if starts else None
    month_end = period_at("month", facts.zone, last if last is not None else facts.until).end_us
    every = _every(job, starts)
    cost = _sum(extra, job, facts.currency)
    apps = tuple(dict.fromkeys(one.run.app for one in job.judged))
    held_at = _held_at(facts, job.name, apps)
    free = [one for one in _before(extra, held_at) if one.run.outcome != REFUSED]
    return JobIncident(
        facts=job,
        apps=apps,
        runs=len(job.judged),
        planned=planned,
        missed=len(job.missed),
        failed=sum(one.run.outcome == "error" for one in job.judged),
        refused=sum(one.run.outcome == REFUSED for one in job.judged),
        ran=_sum(job.judged, job, facts.currency),
        unplanned=len(extra),
        extra=cost,
        first_at=starts[0] if starts else None,
        second_at=starts[1] if len(starts) > 1 else None,
        last_at=last,
        processes=tuple(_processes(job, facts.currency)),
        every_us=every,
        projected=projected(
            _sum(free, job, facts.currency),
            len(free),
            every,
            free[-1].run.started_at if free else None,
            month_end,
        ),
        month_end=month_end,
    )


def _held_at(facts: Facts, job: str, apps: Sequence[str]) -> int | None:
    """When its calls were first refused, or stopped by hand: from then on runs cost less than they would have."""
    held = [row.first_at for row in facts.refusals if row.app in apps and not row.dry_run]
    held += [move.at for move in facts.moves if move.action == "kill" and _covers(move.scope, job, apps)]
    return min((at for at in held if at >= facts.since), default=None)


def _covers(scope: str, job: str, apps: Sequence[str]) -> bool:
    """Whether a switch of this scope may hold the job's calls; which provider or model they go to is not asked."""
    key, _, value = scope.partition("=")
    return {"job": value == job.rpartition("/")[2], "app": value in apps}.get(key, True)


def _before(runs: Sequence[Judged], held_at: int | None) -> list[Judged]:
    return [one for one in runs if held_at is None or one.run.started_at < held_at]


def projected(cost: Sums, runs: int, every_us: int | None, last: int | None, until: int) -> Money | None:
    """What `runs` runs of `cost` in all would have come to, had one more come every `every_us` after `last` until then."""
    if not runs or not every_us or last is None or not cost.exact:
        return None
    more = max(0, until - 1 - last) // every_us
    return Money(divide_half_even(cost.money.nano * (runs + more), runs), cost.money.currency)


def _every(job: JobFacts, starts: Sequence[int]) -> int | None:
    """How often the unplanned runs came: as it was recorded, else the middle one of the times between them."""
    if job.every_us:
        return job.every_us
    between = sorted(b - a for a, b in pairwise(starts) if b > a)
    return between[len(between) // 2] if between else None


def _sum(runs: Iterable[Judged], job: JobFacts, currency: str) -> Sums:
    total = Sums(Money(0, currency))
    for one in runs:
        total = total.plus(job.sums.get(one.run.id, Sums(Money(0, currency))))
    return total


def _processes(job: JobFacts, currency: str) -> list[ByProcess]:
    """One row for each process, the one with the most unplanned runs first."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in job.judged:
        groups.setdefault((one.run.owner or one.run.who, one.run.app), []).append(one)
    found = []
    for (_, app), runs in groups.items():
        last = runs[-1].run
        found.append(
            ByProcess(
                who=last.who or app,
                app=app,
                plan=_announced(job.announced, last.owner, app) or last.plan,
                runs=len(runs),
                unplanned=sum(one.verdict in UNEXPECTED for one in runs),
                sums=_sum(runs, job, currency),
            )
        )
    return sorted(found, key=lambda one: (-one.unplanned, -one.runs, one.app, one.who))


def _announced(announced: Iterable[Announcement], owner: str, app: str) -> str:
    return next((one.plan for one in announced if (one.owner, one.app) == (owner, app) and one.plan), "")


# --- all of it ----------------------------------------------------------------------------------------------


def _told_at(facts: Facts, jobs: Sequence[JobIncident]) -> int | None:
    names = {job.facts.name for job in jobs if job.unplanned or job.missed}
    sent = [
        alert.sent_at
        for alert in facts.alerts
        if alert.sent_at is not None and alert.kind in JOB_ALERTS and alert.subject in names
    ]
    return min(sent, default=None)


def _stopped_at(facts: Facts, jobs: Sequence[JobIncident]) -> int | None:
    first = min((job.first_at for job in jobs if job.first_at is not None), default=facts.since)
    stops = [
        move.at
        for move in facts.moves
        if move.action == "kill"
        and move.at >= first
        and (not jobs or any(_covers(move.scope, job.facts.name, job.apps) for job in jobs))
    ]
    return min(stops, default=None)


def _moments(facts: Facts, jobs: Sequence[JobIncident]) -> list[Moment]:
    """Everything that happened, in order. A text alternates between our words and names from outside."""
    found = [moment for job in jobs for moment in _of_job(job, facts)]
    found += _of_alerts(facts)
    found += _of_switch(facts)
    found += _of_refusals(facts)
    for row in facts.notices:
        found.append(Moment(row.first_at, "notice", ("", notice_text(row.kind, row.subject, row.app))))
    for gap in facts.gaps:
        why = {"suspended": "the machine slept", "clock": "the clock was set"}.get(gap.why, "no engine ran")
        text = f"nobody watched for {span(gap.end_at - gap.start_at)}: {why}"
        found.append(Moment(max(gap.start_at, facts.since), "gap", (text,)))
    return sorted(found, key=lambda one: one.at)


def _of_job(job: JobIncident, facts: Facts) -> list[Moment]:
    name = job.facts.name
    found = []
    for one in job.facts.announced:
        who = (
            "",
            one.who or one.owner or one.app,
            " announces ",
            one.plan or "no plan",
            " for ",
            name,
            ", source ",
            one.source,
        )
        if facts.since - 3_600_000_000 <= one.first_at <= facts.until:
            found.append(Moment(one.first_at, "announced", who))
        if one.ended_at is not None and facts.since <= one.ended_at <= facts.after:
            found.append(Moment(one.ended_at, "withdrawn", (*who[:2], " announces ", name, " no more")))
    extra = [one for one in job.facts.judged if one.verdict in UNEXPECTED]
    for place, judged in enumerate(extra):
        if place in (0, 1, len(extra) - 1):
            which = "first" if not place else "second" if place == 1 else "last"
            text = (
                f"the {which} run nobody planned: ",
                judged.run.who or judged.run.app,
                " runs ",
                name,
                f" ({judged.verdict})",
            )
            found.append(Moment(judged.run.started_at, "unplanned", text))
    if job.facts.missed:
        rest = f", the first of {job.missed:,}" if job.missed > 1 else ""
        found.append(
            Moment(job.facts.missed[0], "missed", ("a planned run of ", name, f" did not come{rest}"))
        )
    return found


def _of_alerts(facts: Facts) -> list[Moment]:
    found = []
    for alert in facts.alerts:
        if not is_about(facts, alert.kind, alert.subject):
            continue
        if alert.state == "sent" and alert.sent_at is not None:
            found.append(
                Moment(alert.sent_at, "alert", ("told on ", alert.channel or "a channel", ": ", alert.title))
            )
        elif alert.state == "failed":
            tries = count(alert.attempts, "try", "tries")
            why = (": ", alert.detail) if alert.detail else ()
            found.append(
                Moment(alert.claimed_at, "alert", (f"could not be told ({tries}): ", alert.title, *why))
            )
        else:
            found.append(
                Moment(
                    alert.claimed_at, "alert", ("was to be told, nobody knows whether it was: ", alert.title)
                )
            )
    return found


def _of_switch(facts: Facts) -> list[Moment]:
    found = []
    for move in facts.moves:
        verb = " blocks " if move.action == "kill" else " lifts the block of "
        why = (": ", move.reason) if move.reason else ()
        found.append(Moment(move.at, "switch", ("", move.by or "somebody", verb, move.scope, *why)))
    for one in facts.overrides:
        until = f" until {when(one.until_at, facts.zone)}: "
        if one.created_at >= facts.since:
            found.append(
                Moment(one.created_at, "bypass", ("", one.by, " lets through ", one.scope, until, one.reason))
            )
        if one.lifted_at is not None and one.lifted_at <= facts.after:
            found.append(
                Moment(
                    one.lifted_at,
                    "bypass",
                    ("", one.lifted_by or "somebody", " ends the bypass of ", one.scope),
                )
            )
    return found


def _of_refusals(facts: Facts) -> list[Moment]:
    found = []
    for one in facts.refusals:
        calls = count(one.calls, "call")
        did = "would have been refused" if one.dry_run else "refused"
        first = max(one.first_at, facts.since)
        text = (
            "",
            one.app,
            f": {calls} {did} from here on, to ",
            f"{one.provider} {one.model}".strip(),
            ": ",
            one.reason,
        )
        found.append(Moment(first, "refused", text))
    return found
