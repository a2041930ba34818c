"""systemd's unit files: timers as jobs, services as the services of a project."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from types import MappingProxyType
from typing import NamedTuple

from costmon.audit.cadences import of_interval, of_plan, span_us
from costmon.audit.secrets import shown
from costmon.audit.values import Declared
from costmon.sources.compose.values import Place, Service, Setting

_HEADER = re.compile(r"\[([A-Za-z-]{1,40})\]")
_ALWAYS = ("always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog")


class Line(NamedTuple):
    section: str
    key: str
    value: str
    number: int


def read_lines(text: str) -> tuple[Line, ...]:
    """Every `Key=value`, lines that end in a backslash put together."""
    found: list[Line] = []
    section, began, parts = "", 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not parts and (not stripped or stripped[0] in "#;"):
            continue
        began = began if parts else number
        parts.append(stripped.removesuffix("\\").rstrip())
        if stripped.endswith("\\"):
            continue
        whole, parts = " ".join(parts), []
        if header := _HEADER.fullmatch(whole):
            section = header[1]
        elif "=" in whole:
            key, _, value = whole.partition("=")
            found.append(Line(section, key.strip(), value.strip(), began))
    return tuple(found)


def is_unit(lines: tuple[Line, ...]) -> bool:
    return any(line.section in ("Unit", "Service", "Timer", "Install") for line in lines)


def timers(path: str, lines: tuple[Line, ...]) -> Iterator[Declared]:
    """A timer's plans."""
    job = os.path.basename(path).removesuffix(".timer")
    for line in lines:
        if line.section != "Timer" or not line.value:
            continue
        place = Place(path, line.number)
        if line.key in ("OnUnitActiveSec", "OnUnitInactiveSec"):
            us = span_us(line.value)
            cadence = of_interval(us) if us else None
        elif line.key == "OnCalendar":
            cadence = of_plan(f"timer {line.value}")
        else:
            continue
        yield Declared(shown(job), "timer", place, f"{line.key}={shown(line.value)}", cadence)


def service(path: str, lines: tuple[Line, ...]) -> Service | None:
    """A service unit, its `Environment=` and `Restart=`; None for another unit."""
    own = [line for line in lines if line.section == "Service"]
    if not own:
        return None
    restart = next((line for line in reversed(own) if line.key == "Restart"), None)
    policy = restart.value if restart is not None and restart.value in _ALWAYS else ""
    burst = next((line.value for line in reversed(lines) if line.key == "StartLimitBurst"), "")
    if policy == "on-failure" and burst.isdecimal() and int(burst):
        policy = f"on-failure:{burst}"
    return Service(
        name=os.path.basename(path),
        place=Place(path, own[0].number),
        command=next((line.value for line in own if line.key == "ExecStart"), ""),
        restart=policy,
        restart_place=Place(path, restart.number) if restart is not None else None,
        environment=MappingProxyType(
            {one.name: one for line in own if line.key == "Environment" for one in _settings(path, line)}
        ),
    )


def _settings(path: str, line: Line) -> Iterator[Setting]:
    try:
        parts = shlex.split(line.value)
    except ValueError:
        return
    for part in parts:
        name, separator, value = part.partition("=")
        if separator:
            yield Setting(name, value, value, Place(path, line.number))
