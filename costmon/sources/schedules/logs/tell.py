"""What one line can tell."""

from __future__ import annotations

from typing import NamedTuple

START, NEXT, RUN, SUCCESS, FAILURE, DONE, RESTART = (
    "start",
    "next",
    "run",
    "success",
    "failure",
    "done",
    "restart",
)
STOP, SKIPPED, ADDED = "stop", "skipped", "added"


class Tell(NamedTuple):
    """`what` is one of the words above; START and RESTART are of the scheduler, RUN and DONE of a run.

    `job` where the line names it. `plan` as in announcements. `next_text` and `planned_text` are times as written (when the
    next run is due, when this one was), `next_in_us` the same from now on. `took_us`: how long the run took, or how late a
    skipped one was. `ok`: whether it went well. `ends`: the run is over. `shape` tells kinds of lines apart that both say a
    run has begun. `task`: what a worker calls the job that this line names.
    """

    what: str
    job: str = ""
    plan: str = ""
    next_text: str = ""
    next_in_us: int | None = None
    planned_text: str = ""
    took_us: int | None = None
    ok: bool | None = None
    ends: bool = False
    shape: str = ""
    task: str = ""
