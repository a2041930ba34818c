"""From what lines tell to runs and plans: pure, and the same whatever pieces the lines come in.

A log tells that a job ran, never what it cost: its runs have no calls of their own, and where the app reports its runs
itself, those are the better witness. The state is plain JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from costmon.insight.schedule.values import Run
from costmon.shim.events import clean, id_floor
from costmon.shim.jobs.intervals import interval_us
from costmon.sources.schedules.logs.tell import (
    ADDED,
    DONE,
    FAILURE,
    NEXT,
    RESTART,
    RUN,
    SKIPPED,
    START,
    STOP,
    SUCCESS,
    Tell,
)
from costmon.sources.schedules.values import Planned

SOURCE = "log"
MAX_JOBS = 50
_SECOND = 1_000_000
_ECHO_US = 60 * _SECOND
_ON_TIME_US = 120 * _SECOND
_EARLY_US = 10 * _SECOND
State = dict[str, Any]

_SECRET = re.compile(r"\b(?:sk|pk|rk|gsk|xai|ghp|hf)[-_]\w[\w-]{7,}|\bAIza\w|\bAKIA\w|://[^\s/]{1,200}@")
"""What keys and addresses with a password look like."""


class Told(NamedTuple):
    """What a line at `offset` of its file tells, written at `at` (µs UTC; None: nobody knows, so it can tell of no run).
    `next_at` and `planned_at` are the tell's times, resolved."""

    offset: int
    at: int | None
    tell: Tell
    next_at: int | None = None
    planned_at: int | None = None


class Witness(NamedTuple):
    """Whose log it is: `owner` is its path, `job` what a run is called where a line names none. Runs that began before
    `since` are history, and not told again. `own` holds what the operator's own patterns tell."""

    app: str
    job: str
    owner: str
    since: int = 0
    own: frozenset[str] = frozenset()


@dataclass
class Facts:
    """Runs by their ids, plans by their jobs with when the log last said so, and when jobs left the scheduler."""

    runs: dict[str, Run] = field(default_factory=dict)
    planned: dict[str, tuple[Planned, int]] = field(default_factory=dict)
    withdrawn: dict[str, int] = field(default_factory=dict)
    too_many: bool = False

    def __bool__(self) -> bool:
        return bool(self.runs or self.planned or self.withdrawn)

    def join(self, later: Facts) -> None:
        """Facts of the same log that were told after these."""
        self.runs |= later.runs
        for job in later.withdrawn:
            self.planned.pop(job, None)
        for job in later.planned:
            self.withdrawn.pop(job, None)
        self.planned |= later.planned
        self.withdrawn |= later.withdrawn
        self.too_many |= later.too_many


def advance(state: Mapping[str, Any], told: Iterable[Told], witness: Witness) -> tuple[State, Facts]:
    """The state after these lines, and what they say."""
    teller = _Teller(deepcopy(dict(state)), witness)
    for one in told:
        teller.hear(one)
    return teller.state, teller.facts


def run_id(owner: str, job: str, at: int, offset: int) -> str:
    """The id of the run whose first line this is: of `at`, like every run's, and the same whenever the line is read."""
    mixed = hashlib.sha256(f"{owner}\0{job}\0{at}\0{offset}".encode("utf-8", "surrogatepass")).digest()
    tail = int.from_bytes(mixed[:10], "big")
    low = f"{0x7000 | at % 1000 * 4096 // 1000:04x}-{0x8000 | tail >> 12 & 0x3FFF:04x}-{tail >> 32:012x}"
    return f"{id_floor(at)}-{low}"


class _Teller:
    """`state['jobs'][name]`: 'run' (open) and 'last' (ended) as {id, at, end, outcome, shape, verdict, sign, planned, plan},
    'plan', 'next', 'began' (its log says when runs begin)."""

    def __init__(self, state: State, witness: Witness) -> None:
        self.state = state
        self.jobs: dict[str, State] = state.setdefault("jobs", {})
        self.witness = witness
        self.facts = Facts()
        self._due: int | None = None

    def hear(self, told: Told) -> None:
        tell = told.tell
        if tell.what in (START, RESTART, STOP):
            self._scheduler(told)
            return
        name = self._name(tell)
        if name not in self.jobs and len(self.jobs) >= MAX_JOBS:
            self.facts.too_many = True
            return
        if tell.job and tell.what == RUN:
            self.state["named"] = True
        if not tell.job:
            inner = next((one for one, job in self.jobs.items() if job.get("run") and job.get("named")), None)
            if inner is not None and tell.what in (SUCCESS, FAILURE):
                name = inner
            elif self.state.get("named") and tell.what in (RUN, DONE, SUCCESS, FAILURE):
                return  # a step of a run that another line names
        if name not in self.jobs and tell.what in (SUCCESS, FAILURE) and not tell.ends:
            return
        job = self.jobs.setdefault(name, {})
        job["named"] = bool(tell.job) or job.get("named", False)
        self._due = job.get("next")
        if tell.what == RUN and told.at is not None and (self._due or 0) <= told.at + _EARLY_US:
            job["next"] = None  # this is it
        self._plan(name, job, told)
        if told.at is not None:
            self._of_run(name, job, told, told.at)

    def _name(self, tell: Tell) -> str:
        tasks: dict[str, str] = self.state.setdefault("tasks", {})
        name = clean(tell.job)
        if _SECRET.search(name):
            return self.witness.job  # a name that holds a secret is kept nowhere
        if tell.task and len(tasks) < MAX_JOBS:
            tasks[clean(tell.task)] = name
        return tasks.get(name, name) or self.witness.job

    def _scheduler(self, told: Told) -> None:
        at = told.at
        for name, job in self.jobs.items():
            self._close(name, job)
            job["next"] = None
            if told.tell.what == STOP and at is not None and job.get("said"):
                self.facts.planned.pop(name, None)
                self.facts.withdrawn[name] = at
                job["said"] = False
        if told.tell.what == STOP:
            return
        name = clean(told.tell.job) or self.witness.job
        known = self.jobs.get(name, {})
        if told.tell.plan or told.next_at is not None or known.get("said") or known.get("began"):
            self._plan(name, self.jobs.setdefault(name, {}), told)

    def _plan(self, name: str, job: State, told: Told) -> None:
        """Whatever a scheduler says of a job says that it still has it."""
        tell = told.tell
        if tell.plan:
            job["plan"] = tell.plan
        if told.next_at is not None and (
            tell.what != RUN or told.at is None or told.next_at > told.at + _EARLY_US
        ):
            job["next"] = told.next_at
        if told.at is not None:
            job["seen"] = max(told.at, job.get("seen", 0))
        says = (
            tell.plan
            or told.next_at is not None
            or tell.what in (START, RESTART, ADDED)
            or tell.shape == "due"
        )
        if says and tell.what in (START, RESTART, NEXT, RUN, ADDED):
            job["said"] = True
        if not job.get("said"):
            return
        self.facts.withdrawn.pop(name, None)
        planned = Planned(
            job=name,
            app=self.witness.app,
            source=SOURCE,
            owner=self.witness.owner,
            who=f"log {self.witness.owner}",
            plan=job.get("plan", ""),
            next_run_at=job.get("next"),
        )
        self.facts.planned[name] = (planned, job.get("seen", 0))

    def _of_run(self, name: str, job: State, told: Told, at: int) -> None:
        tell = told.tell
        if tell.what == RUN:
            self._begin(name, job, told, at)
        elif tell.what == SKIPPED:
            planned = at - tell.took_us if tell.took_us else None
            self._tell(
                name, self._new(name, job, told.offset, at, planned) | {"end": at, "outcome": "skipped"}
            )
        elif tell.what in (SUCCESS, FAILURE):
            self._verdict(name, job, told, at)
        elif tell.what == DONE:
            self._done(name, job, told, at)
        elif tell.what == NEXT and (run := job.get("run")) and run["verdict"]:
            self._end(name, job, at, run["verdict"])

    def _begin(self, name: str, job: State, told: Told, at: int) -> None:
        run = job.get("run")
        if run is not None and run["shape"] != told.tell.shape and 0 <= at - run["at"] <= self._echo(job):
            run["sign"] = at
            return
        self._close(name, job)
        job["began"] = True
        planned = told.planned_at
        due = self._due
        if planned is None and due is not None and -_EARLY_US <= at - due <= _ON_TIME_US:
            planned = due
        job["run"] = self._new(name, job, told.offset, at, planned) | {"shape": told.tell.shape}
        self._tell(name, job["run"])

    def _verdict(self, name: str, job: State, told: Told, at: int) -> None:
        run = job.get("run")
        verdict = "ok" if told.tell.ok else "error"
        if run is not None and told.tell.ends:
            self._end(name, job, at, verdict)
        elif run is not None:
            run["verdict"], run["sign"] = verdict, at
        elif (last := job.get("last")) is not None:
            last["verdict"] = verdict  # counts if that was not its end yet

    def _done(self, name: str, job: State, told: Told, at: int) -> None:
        took, run, last = told.tell.took_us, job.get("run"), job.get("last")
        outcome = "error" if told.tell.ok is False else ""
        if run is not None:
            if took is None or _matches(at - took, run["at"], took) or 5 * took >= 4 * (at - run["at"]):
                self._end(name, job, at, outcome or run["verdict"] or "ok")
            return
        if took is None:
            return
        if last is not None and _matches(at - took, last["at"], took):
            job["last"] = last | {
                "end": max(at, last["end"]),
                "outcome": outcome or last["verdict"] or last["outcome"],
            }
            self._tell(name, job["last"])
        elif not job.get("began") and RUN not in self.witness.own:
            begun = self._new(name, job, told.offset, at - took, None)
            job["last"] = begun | {"end": at, "outcome": outcome or "ok"}
            self._tell(name, job["last"])

    def _new(self, name: str, job: State, offset: int, at: int, planned: int | None) -> State:
        return {
            "id": run_id(self.witness.owner, name, at, offset), "at": at, "end": None, "outcome": "running", "shape": "",
            "verdict": "", "sign": at, "planned": planned, "plan": job.get("plan", ""),
        }  # fmt: skip

    def _close(self, name: str, job: State) -> None:
        """Nobody said that the run ended: its last sign is all that is known."""
        run = job.get("run")
        if run is not None:
            self._end(name, job, run["sign"], run["verdict"] or "unknown")

    def _end(self, name: str, job: State, at: int, outcome: str) -> None:
        run = job["run"] | {"end": max(at, job["run"]["at"]), "outcome": outcome}
        job["run"], job["last"] = None, run
        self._tell(name, run)

    def _tell(self, name: str, run: State) -> None:
        if run["at"] < self.witness.since:
            return
        self.facts.runs[run["id"]] = Run(
            id=run["id"],
            app=self.witness.app,
            job=name,
            source=SOURCE,
            owner=self.witness.owner,
            who=f"log {self.witness.owner}",
            plan=run["plan"],
            planned_at=run["planned"],
            started_at=run["at"],
            ended_at=run["end"],
            outcome=run["outcome"],
        )

    def _echo(self, job: State) -> int:
        """For so long another kind of line that says a run begins speaks of a step of the open one."""
        plan = job.get("plan", "")
        half = interval_us(plan.removeprefix("every ")) // 2 if plan.startswith("every ") else 0
        return max(_ECHO_US, half)


def _matches(begun: int, at: int, took: int) -> bool:
    """Whether what took so long began when this did, by logs that may only write whole seconds."""
    return abs(begun - at) <= max(2 * _SECOND, took // 20)
