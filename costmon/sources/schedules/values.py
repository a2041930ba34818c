"""What a schedule source says: plans it announces, runs it saw, and what it could not read."""

from __future__ import annotations

from typing import NamedTuple


class Planned(NamedTuple):
    """A job has a plan, says `source` ('crontab', 'systemd', 'apscheduler-store', 'compose' or 'log').

    `owner` is the file or unit that says so (stable over reads), `who` the same for people, with a line if there is one.
    `plan` and `zone` as in the ledger's announcements; `next_run_at` in µs since 1970 UTC, None where the source does not
    say and the plan must be asked. `command` is what the plan runs, to tell whose job it is; it is never stored, because
    it may hold secrets.
    """

    job: str
    app: str
    source: str
    owner: str
    who: str
    plan: str
    zone: str = ""
    next_run_at: int | None = None
    note: str = ""
    command: str = ""


class Problem(NamedTuple):
    """What could not be read, in one sentence that names the file (and line)."""

    path: str
    line: int | None
    sentence: str


class Found(NamedTuple):
    """One look at one source."""

    planned: tuple[Planned, ...] = ()
    problems: tuple[Problem, ...] = ()
