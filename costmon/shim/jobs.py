"""Scheduled jobs announce themselves: `@costmon.job("trade", every="60m")` or `with costmon.job("trade", every="60m"):`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from costmon.shim import runtime
from costmon.shim.context import context, labels
from costmon.shim.events import clean
from costmon.shim.faults import guarded

_F = TypeVar("_F", bound=Callable[..., Any])
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)(?:ec|in|our|ay|eek)?s?\s*", re.IGNORECASE)


def interval_us(every: str | float) -> int:
    """'60m', '1h30m', '90 s', or a number of seconds, in µs. Raises ValueError."""
    if isinstance(every, (int, float)) and not isinstance(every, bool) and 0 < every < 1e9:
        return round(every * 1_000_000)
    text = every.strip() if isinstance(every, str) else ""
    parts = list(_PART.finditer(text))
    seconds = sum(float(part.group(1)) * _UNITS[part.group(2).lower()] for part in parts)
    if "".join(part.group(0) for part in parts) != text or not 0 < seconds < 1e9:
        raise ValueError(f"every={every!r} is no interval: use '60m', '1h30m', '45s' or a number of seconds")
    return round(seconds * 1_000_000)


class job:  # noqa: N801 - reads as a keyword where it is used
    """One run of a scheduled job: a context manager, and a decorator of sync and async functions.

    Args:
        name: the job's name; calls made inside are labelled with it.
        every: its interval ('60m', '1h30m', seconds); the next run is expected that long after this one started.

    Raises ValueError for an interval nobody can read. The ledger's faults never reach the app.
    """

    def __init__(self, name: str, *, every: str | float | None = None) -> None:
        self._name = name
        self._every_us = interval_us(every) if every is not None else None
        self._labels = context(job=name)

    def __enter__(self) -> job:
        self._labels.__enter__()
        self._announce(_STARTED)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._announce(_ENDED, "ok" if kind is None else "error")
        self._labels.__exit__()

    def __call__(self, function: _F) -> _F:
        import inspect

        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                "costmon.job cannot label a generator from outside: use `with costmon.job(...):` inside it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return run_async  # type: ignore[return-value]

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return run  # type: ignore[return-value]

    def _again(self) -> job:
        fresh = job(self._name)
        fresh._every_us = self._every_us
        return fresh

    def _announce(self, sql: str, outcome: str = "running") -> None:
        if runtime.enabled():
            guarded("announce a job", self._write, sql, outcome)

    def _write(self, sql: str, outcome: str) -> None:
        ledger = runtime.recorder().ledger
        now = ledger.now()
        values = {
            "app": clean(labels()[0]) or "python",
            "name": clean(self._name) or "job",
            "every": self._every_us,
            "next": now + self._every_us if self._every_us is not None else None,
            "now": now,
            "outcome": outcome,
        }
        ledger.write(lambda db: db.execute(sql, values).rowcount, 0.25)


_STARTED = """insert into job (app, name, every_us, next_run_at, started_at, outcome, runs)
    values (:app, :name, :every, :next, :now, :outcome, 1)
    on conflict do update set every_us = :every, next_run_at = :next, started_at = :now, outcome = :outcome,
        runs = runs + 1"""
_ENDED = """insert into job (app, name, every_us, next_run_at, started_at, ended_at, outcome, runs, failures)
    values (:app, :name, :every, :next, :now, :now, :outcome, 1, :outcome = 'error')
    on conflict do update set ended_at = :now, outcome = :outcome, failures = failures + (:outcome = 'error')"""
