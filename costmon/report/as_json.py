"""An incident for programs: money is {amount, currency}, times are ISO with the operator's UTC offset."""

from __future__ import annotations

from typing import Any

from costmon.report.incident import is_about
from costmon.report.values import Incident, JobIncident, Sums
from costmon.report.words import iso
from costmon.shim.events import clean


def to_json(found: Incident) -> dict[str, Any]:
    told = _harmless(_whole(found))
    assert isinstance(told, dict)
    return told


def _harmless(value: object) -> object:
    """The same with every text as one line that does a terminal no harm."""
    if isinstance(value, dict):
        return {clean(key): _harmless(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(each) for each in value]
    return clean(value, 2_000) if isinstance(value, str) else value


def _whole(found: Incident) -> dict[str, Any]:
    facts = found.facts
    zone = facts.zone

    def at(us: int | None) -> str | None:
        return None if us is None else iso(us, zone)

    return {
        "since": at(facts.since),
        "until": at(facts.until),
        "time_zone": zone,
        "about": facts.why,
        "quiet": found.quiet,
        "told_at": at(found.told_at),
        "stopped_at": at(found.stopped_at),
        "jobs": [_job(job, zone) for job in found.jobs],
        "timeline": [
            {"at": at(moment.at), "kind": moment.kind, "text": "".join(moment.text)}
            for moment in found.moments
        ],
        "alerts": [
            {
                "kind": one.kind,
                "subject": one.subject,
                "level": one.level,
                "state": one.state,
                "title": one.title,
                "claimed_at": at(one.claimed_at),
                "sent_at": at(one.sent_at),
                "channel": one.channel or None,
                "attempts": one.attempts,
                "detail": one.detail or None,
            }
            for one in facts.alerts
            if is_about(facts, one.kind, one.subject)
        ],
        "blocks_now": [
            {
                "scope": one.scope,
                "reason": one.reason,
                "by": one.by,
                "since": at(one.since),
                "until": at(one.until),
                "automatic": one.automatic,
            }
            for one in facts.blocks
        ],
        "switch": [{**one._asdict(), "at": at(one.at)} for one in facts.moves],
        "refusals": [
            {
                **one._asdict(),
                "dry_run": bool(one.dry_run),
                "first_at": at(one.first_at),
                "last_at": at(one.last_at),
            }
            for one in facts.refusals
        ],
        "overrides": [
            {
                **one._asdict(),
                "created_at": at(one.created_at),
                "until_at": at(one.until_at),
                "lifted_at": at(one.lifted_at),
                "lifted_by": one.lifted_by or None,
            }
            for one in facts.overrides
        ],
        "spent": {app: _sums(sums) for app, sums in (facts.spent or {}).items()},
        "unwatched": [
            {"since": at(gap.start_at), "until": at(gap.end_at), "why": gap.why} for gap in facts.gaps
        ],
    }


def _job(job: JobIncident, zone: str) -> dict[str, Any]:
    record = job.facts.record
    return {
        "job": job.facts.name,
        "apps": list(job.apps),
        "plan": record.plan or None,
        "plan_zone": record.zone or None,
        "said_by": record.said_by,
        "plan_who": record.who or None,
        "kind": job.facts.kind or None,
        "every_us": job.every_us,
        "going_on": job.facts.going_on,
        "runs": job.runs,
        "planned": job.planned,
        "unplanned": job.unplanned,
        "missed": job.missed,
        "failed": job.failed,
        "refused": job.refused,
        "first_unplanned_at": None if job.first_at is None else iso(job.first_at, zone),
        "last_unplanned_at": None if job.last_at is None else iso(job.last_at, zone),
        "ran": _sums(job.ran),
        "extra": _sums(job.extra),
        "projected_cost": None if job.projected is None else job.projected.to_json(),
        "projected_until": iso(job.month_end, zone),
        "processes": [
            {
                "who": one.who,
                "app": one.app,
                "announced": one.plan or None,
                "runs": one.runs,
                "unplanned": one.unplanned,
                **_sums(one.sums),
            }
            for one in job.processes
        ],
    }


def _sums(sums: Sums) -> dict[str, Any]:
    """`cost` is the known part; `complete` says whether it is all of it."""
    return {
        "calls": sums.calls,
        "errors": sums.errors,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "cost": sums.money.to_json(),
        "complete": sums.exact,
        "unpriced": sums.unpriced,
        "estimated": sums.estimated,
        "unconverted": [money.to_json() for money in sums.others],
    }
