"""Timers of systemd, of the operator's own manager and of the machine's, as systemctl tells them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from costmon.insight.schedule.plans import parse
from costmon.shim.events import clean
from costmon.shim.jobs.intervals import spell_interval
from costmon.sources.schedules.commands import Named, name_command
from costmon.sources.schedules.values import Found, Planned, Problem

SOURCE = "systemd"
USER, SYSTEM = "user", "system"
TIMEOUT_S = 5.0
MAX_TIMERS = 500
_SHIPPED = ("/lib/", "/usr/lib/")
_TIMER = (
    "Id,Unit,ActiveState,FragmentPath,TimersCalendar,TimersMonotonic,NextElapseUSecMonotonic,"
    "Persistent,RandomizedDelayUSec"
)
_SERVICE = "Id,ExecStart,Environment"
_CALENDAR = re.compile(r"\{ OnCalendar=(.+?) ; next_elapse=.*\}")
_MONOTONIC = re.compile(r"\{ (On\w+?)USec=(.+?) ; next_elapse=.*\}")
_ARGV = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")
# systemctl writes the arguments without their quotes: all behind -c is the script.
_INLINE = re.compile(r"(?:\S*/)?(?:ba|da|z|k)?sh(?: -\S+)*? -\w*c (?P<script>.*)")
_REPEATING = ("OnUnitActive", "OnUnitInactive")
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|d|w|month|y) ?")
_UNITS = {"us": 1, "ms": 1000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_UNITS |= {"w": 7 * _UNITS["d"], "month": 2_629_800_000_000, "y": 31_557_600_000_000}


class _Timer(NamedTuple):
    unit: str
    service: str
    calendars: tuple[str, ...]
    monotonic: tuple[tuple[str, str], ...]
    persistent: bool
    delay: str
    next_run_at: int | None


def read(
    now_us: int,
    zone: str,
    *,
    scopes: Sequence[str] = (USER, SYSTEM),
    env: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Found:
    """What the timers that are on plan; those a distribution brings along are left out.

    Where there is no systemd, or no manager answers, nothing is found, and that is no problem.

    Args:
        now_us: the time, in µs since 1970 UTC.
        zone: the IANA name of the machine's zone, by which timers go.
        env: the environment of systemctl; default: this process's.
    """
    planned: list[Planned] = []
    problems: list[Problem] = []
    for scope in scopes:
        try:
            planned += _read_scope(scope, now_us, zone, dict(os.environ if env is None else env), timeout_s)
        except subprocess.TimeoutExpired:
            sentence = (
                f"timers of systemd's {scope} manager are not known: it did not answer in {timeout_s:g} s"
            )
            problems.append(Problem("systemctl", None, sentence))
        except _UnreadableError:
            sentence = f"timers of systemd's {scope} manager are not known: systemctl's answer cannot be read"
            problems.append(Problem("systemctl", None, sentence))
        except OSError:  # no systemctl here
            break
    return Found(tuple(planned), tuple(problems))


class _UnreadableError(Exception):
    pass


def _read_scope(
    scope: str, now_us: int, zone: str, env: Mapping[str, str], timeout_s: float
) -> list[Planned]:
    ask = _Systemctl(scope, env, timeout_s)
    listed = _next_runs(ask("list-timers", "--all", "--output=json", "--no-pager"))
    if not listed:
        return []
    timers = list(_timers(_blocks(ask("show", "-p", _TIMER, "--", *listed)), listed, now_us))
    services = sorted({timer.service for timer in timers})
    blocks = _blocks(ask("show", "-p", _SERVICE, "--", *services)) if services else []
    named = {block["Id"][0]: block for block in blocks if "Id" in block}
    return [_planned(scope, timer, named.get(timer.service, {}), zone) for timer in timers]


class _Systemctl:
    """Asks one manager; '' where there is none."""

    def __init__(self, scope: str, env: Mapping[str, str], timeout_s: float) -> None:
        self._command = ["systemctl", *(["--user"] if scope == USER else []), "--no-ask-password"]
        self._env = {**env, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat", "TZ": "UTC"}
        self._timeout_s = timeout_s

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - names of units, behind --
            [*self._command, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self._env,
            timeout=self._timeout_s,
        )
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _next_runs(answer: str) -> dict[str, int | None]:
    """Each timer and when it elapses next, in µs since 1970 UTC, None if systemd does not say."""
    if not answer.strip():
        return {}
    try:
        rows = json.loads(answer)
        units = {str(row["unit"]): row.get("next") for row in rows[:MAX_TIMERS]}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _UnreadableError from None
    return {
        unit: due if isinstance(due, int) and 0 < due < 2**62 else None
        for unit, due in units.items()
        if unit.endswith(".timer")
    }


def _blocks(answer: str) -> list[dict[str, list[str]]]:
    """What `systemctl show` tells of several units: property → its values."""
    blocks: list[dict[str, list[str]]] = [{}]
    for line in answer.splitlines():
        if not line:
            blocks.append({})
            continue
        name, equals, value = line.partition("=")
        if equals:
            blocks[-1].setdefault(name, []).append(value)
    return [block for block in blocks if block]


def _timers(
    blocks: list[dict[str, list[str]]], listed: Mapping[str, int | None], now_us: int
) -> Iterator[_Timer]:
    for block in blocks:
        unit, state = _first(block, "Id"), _first(block, "ActiveState")
        if unit not in listed or state != "active" or _first(block, "FragmentPath").startswith(_SHIPPED):
            continue
        calendars = [
            match.group(1)
            for value in block.get("TimersCalendar", ())
            for match in [_CALENDAR.fullmatch(value)]
            if match
        ]
        monotonic = [
            match.groups()
            for value in block.get("TimersMonotonic", ())
            for match in [_MONOTONIC.fullmatch(value)]
            if match
        ]
        next_run_at = listed[unit]
        if next_run_at is None and not calendars:
            next_run_at = _resolved(_first(block, "NextElapseUSecMonotonic"), now_us)
        yield _Timer(
            unit,
            _first(block, "Unit") or unit.removesuffix(".timer") + ".service",
            tuple(calendars),
            tuple((str(kind), str(span)) for kind, span in monotonic),
            _first(block, "Persistent") == "yes",
            _first(block, "RandomizedDelayUSec"),
            next_run_at,
        )


def _resolved(elapses: str, now_us: int) -> int | None:
    """A time on systemd's monotonic clock as one since 1970; None for one that is past or none."""
    at = _span_us(elapses)
    left = at - time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 if at else 0
    return now_us + left if left > 0 else None


def _planned(scope: str, timer: _Timer, service: Mapping[str, list[str]], zone: str) -> Planned:
    plan, note = _plan(timer, zone)
    named, command = _named(timer.service, service)
    return Planned(
        job=named.job,
        app=named.app,
        source=SOURCE,
        owner=f"{scope}:{timer.unit}",
        who=clean(timer.unit if scope == USER else f"{timer.unit} of the machine"),
        plan=plan,
        zone=zone if plan.startswith("timer ") else "",
        next_run_at=timer.next_run_at,
        note=note,
        command=command,
    )


def _plan(timer: _Timer, zone: str) -> tuple[str, str]:
    """The plan's text, '' where one text cannot say it, and a note."""
    repeating = [span for kind, span in timer.monotonic if kind in _REPEATING]
    if len(timer.calendars) + len(repeating) > 1:
        return "", f"{len(timer.calendars) + len(repeating)} times in one timer; only the next run is known"
    notes = ["a run missed while off is caught up with"] if timer.persistent else []
    if _span_us(timer.delay):
        notes.append(f"up to {timer.delay} later, at random")
    note = "; ".join(notes)
    if timer.calendars:
        text = f"timer {timer.calendars[0]}"
        return (
            (text, note)
            if parse(text, zone or "UTC") is not None
            else ("", "a calendar nobody here can read")
        )
    if repeating:
        return (f"after {spell_interval(us)}", note) if (us := _span_us(repeating[0])) else ("", note)
    return "", "once after a start" if timer.monotonic else ""


def _named(unit: str, service: Mapping[str, list[str]]) -> tuple[Named, str]:
    """Whose job the service is, and what it runs. Of its environment only costmon's own labels are looked at."""
    environment = {}
    for word in _words(" ".join(service.get("Environment", ()))):
        name, _, value = word.partition("=")
        if name in ("COSTMON_APP", "COSTMON_JOB"):
            environment[name] = value
    fallback, first = clean(unit.removesuffix(".service")), ""
    for started in service.get("ExecStart", ()):
        match = _ARGV.search(started)
        command = match.group(1) if match is not None else ""
        inline = _INLINE.fullmatch(command)
        found = name_command(inline["script"] if inline is not None else command)
        first = first or command
        if found.job and (inline is None or found.job):
            told = name_command(inline["script"] if inline is not None else command, environment)
            return Named(told.app or fallback, told.job or fallback), command
    return Named(
        environment.get("COSTMON_APP") or fallback, environment.get("COSTMON_JOB") or fallback
    ), first


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _span_us(text: str) -> int:
    """'1h 30min' as systemd writes it, in µs; 0 for what is none."""
    parts = list(_PART.finditer(text))
    if "".join(part.group() for part in parts) != text:
        return 0
    total = 0
    for part in parts:
        whole, _, fraction = part.group(1).partition(".")
        unit = _UNITS[part.group(2)]
        total += int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    return total


def _first(block: Mapping[str, list[str]], name: str) -> str:
    values = block.get(name)
    return values[0] if values else ""
