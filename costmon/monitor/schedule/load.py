"""What is judged of each job, read from the ledger: who announces what, and its runs with what they cost. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple

from costmon.config.schedules import JobsInForce, from_json
from costmon.config.values import Job
from costmon.insight.schedule.values import Announcement, Run
from costmon.shim.money import Rate, convert
from costmon.shim.timestamps import FAR_US
from costmon.store import schedules
from costmon.store.schedules import RunSums

DAY_US = 86_400 * 1_000_000
LOOK_BACK_US = 8 * DAY_US
"""Runs are judged as far back as this."""
COSTS_BACK_US = 14 * DAY_US
"""And paid attention to as far back as this, for the trend of their cost."""
MOST_RUNS = 12_000
"""Eight days of one a minute; of more than that the latest count."""
_TIERS = dict.fromkeys(schedules.IN_APP, 0) | {"process": 1, "log": 2, "rhythm": 3}
RateOf = Callable[[str], Rate | None]
SeenOf = Callable[[str], bool]
TOLD = frozenset({"log", "process"})
"""Sources that tell of runs without their calls: of an app whose calls nobody records, what its runs cost is unknown."""


class Name(NamedTuple):
    """A job as it is shown: its `name`, and the job it is in the ledger, of one `app` ('' = of every app but those the
    config has split off)."""

    name: str
    job: str
    app: str = ""


def in_force(settings: Mapping[str, str]) -> JobsInForce:
    """What the compiled config says of jobs; the defaults where an older costmon compiled it."""
    return from_json(settings.get("schedules") or "")


class Names:
    """Which job a run or an announcement belongs to: the config's 'APP/NAME' splits one app's job off."""

    def __init__(self, jobs: Sequence[Job], pairs: Iterable[tuple[str, str]]) -> None:
        """`pairs` are (app, job), as far as anybody knows."""
        self.config = {job.name: job for job in jobs}
        known = set(pairs)
        self.by_name = {name.name: name for name in (self.of(*pair) for pair in known)}
        for name in self.config:
            self.by_name.setdefault(name, _configured(name, known))

    def of(self, app: str, job: str) -> Name:
        split = f"{app}/{job}"
        return Name(split, job, app) if split in self.config else Name(job, job)

    def has(self, name: Name, app: str, job: str) -> bool:
        return self.of(app, job) == name


def _configured(name: str, known: set[tuple[str, str]]) -> Name:
    """A job nobody has told of yet."""
    app, slash, job = name.partition("/")
    return (
        Name(name, job, app)
        if slash and app and job and not any(one == name for _, one in known)
        else Name(name, name)
    )


def announced(db: Connection, since: int) -> list[Announcement]:
    """Every announcement that holds, or held since then."""
    found = [Announcement._make(row) for row in schedules.announcements(db, since)]
    return [one if _is_time(one.next_run_at) else one._replace(next_run_at=None) for one in found]


def _is_time(at: int | None) -> bool:
    return at is None or 0 <= at < FAR_US


def load_runs(
    db: Connection, name: Name, names: Names, since: int, rate: RateOf, seen: SeenOf
) -> tuple[Run, ...]:
    """The runs of a job since then, oldest first, from who knows them best in each app, with what they cost. `seen`: whether
    the ledger has calls of an app."""
    rows = [row for row in schedules.runs_of(db, name.job, since, MOST_RUNS) if all(map(_is_time, row[7:10]))]
    if not rows:
        return ()
    sums: dict[str, list[RunSums]] = {}
    for one in schedules.sums_of(db, name.job, int(rows[0][8])):
        sums.setdefault(one.run_id, []).append(one)
    runs = [_run(row, sums.get(row[0], []), rate, seen) for row in rows]
    return best_told([run for run in runs if names.has(name, run.app, run.job)])


def best_told(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Of each app the runs of its best source: what a log or the rhythm of calls tells is the same work once more."""
    best: dict[str, int] = {}
    for run in runs:
        best[run.app] = min(_tier(run), best.get(run.app, 9))
    return tuple(run for run in runs if _tier(run) == best[run.app])


def _tier(run: Run) -> int:
    return _TIERS.get(run.source, 2)


def calls_seen(db: Connection, app: str, since: int) -> bool:
    """Whether the ledger has calls of an app, of that day or later."""
    row = db.execute(
        "select exists (select 1 from rollup_day where day_at >= ? and app = ?)", (since - DAY_US, app)
    ).fetchone()
    return bool(row[0])


def _run(row: tuple[Any, ...], sums: Sequence[RunSums], rate: RateOf, seen: SeenOf) -> Run:
    counts = ("calls", "errors", "input_tokens", "output_tokens")
    totals = (sum(getattr(one, name) for one in sums) for name in counts)
    unpriced = sum(one.unpriced for one in sums)
    cost = _cost(sums, rate) if sums or row[3] not in TOLD or seen(row[1]) else None
    return Run._make((*row[:12], bool(row[12]), *totals, cost, unpriced))


def _cost(sums: Sequence[RunSums], rate: RateOf) -> int | None:
    """In the display currency at today's rates; None if a call has no price, or its currency no rate."""
    total = 0
    for one in sums:
        found = rate(one.currency) if one.currency and one.cost else None
        if one.unpriced or (one.cost and found is None):
            return None
        total += convert(one.cost, found) if found is not None else 0
    return total
