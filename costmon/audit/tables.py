"""Scheduler tables in TOML files, such as [tool.celery.beat_schedule.trade] or [[scheduler.jobs]]."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from costmon.audit.cadences import of_cron, of_interval, of_seconds
from costmon.audit.secrets import shown
from costmon.audit.ties import of_variable
from costmon.audit.values import Cadence, Declared
from costmon.shim.jobs.intervals import interval_us
from costmon.sources.compose.texts import UnreadableError
from costmon.sources.compose.texts import shown as named
from costmon.sources.compose.values import Place

_SCHEDULERS = frozenset(
    {
        "beat_schedule",
        "beat-schedule",
        "scheduler",
        "schedule",
        "schedules",
        "jobs",
        "cron",
        "crons",
        "taskiq",
        "apscheduler",
        "periodic",
    }
)
_SPANS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}
_INTERVALS = {
    "interval": 1,
    "schedule": 1,
    **{f"{prefix}_{unit}": size for prefix in ("interval", "every") for unit, size in _SPANS.items()},
}
_WITH_UNIT = frozenset(f"{prefix}_{unit}" for prefix in ("interval", "every") for unit in _SPANS)
"""Keys that tell of a plan wherever a tool's table has them."""
_DEEPEST = 8
_MOST_DOTS = 100
Path = tuple[str, ...]


def declared(path: str, text: str) -> Iterator[Declared]:
    """Every job that a table of a scheduler's declares. Raises UnreadableError for what is no TOML."""
    try:
        document = _loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        raise UnreadableError(f"{named(path)} is no TOML.") from None
    lines = _headers(text)
    for keys, table in _tables(document, ()):
        if _SCHEDULERS.intersection(one.lower() for one in keys):
            cadence = _cadence(table)
        elif keys[:1] == ("tool",) and len(keys) > 1 and of_variable(" ".join(keys)):
            cadence = _cadence({key: value for key, value in table.items() if key in _WITH_UNIT})
        else:
            continue
        if cadence is not None:
            names = (table.get(key) for key in ("id", "name"))
            job = next((name for name in names if isinstance(name, str)), keys[-1] if keys else "")
            yield Declared(shown(job), "toml", Place(path, _line(lines, keys)), cadence.text, cadence)


def _loads(text: str) -> dict[str, Any]:
    """The document. Raises ValueError for what would take the parser long: the square of the dots of a key."""
    if any(line.partition("=")[0].count(".") > _MOST_DOTS for line in text.splitlines()):
        raise ValueError("a key has too many dots")
    return tomllib.loads(text, parse_float=Fraction)


def packages(text: str) -> frozenset[str]:
    """The names of the packages that a pyproject depends on, lower case; none where it cannot be read."""
    try:
        document = _loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return frozenset()
    found: set[str] = set()
    project = document.get("project")
    if isinstance(project, dict):
        groups = project.get("optional-dependencies")
        lists = [project.get("dependencies"), *(groups.values() if isinstance(groups, dict) else ())]
        found.update(
            one for entries in lists if isinstance(entries, list) for one in entries if isinstance(one, str)
        )
    poetry = _at(document, "tool", "poetry", "dependencies")
    found.update(poetry if isinstance(poetry, dict) else ())
    return frozenset(
        name for one in found for name in re.findall(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)", one.lower())
    )


def _at(document: object, *keys: str) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _tables(value: object, keys: Path) -> Iterator[tuple[Path, Mapping[str, object]]]:
    if len(keys) > _DEEPEST:
        return
    if isinstance(value, dict):
        yield keys, value
        for key, one in value.items():
            yield from _tables(one, (*keys, key))
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict):
                yield from _tables(one, keys)


def _cadence(table: Mapping[str, object]) -> Cadence | None:
    for key in ("cron", "crontab", "schedule"):
        value = table.get(key)
        if isinstance(value, str) and (found := of_cron(value)) is not None:
            return found
    for key in ("every", *_INTERVALS):
        value = table.get(key)
        if isinstance(value, str):
            try:
                return of_interval(interval_us(value))
            except ValueError:
                continue
        if isinstance(value, (int, Fraction)) and not isinstance(value, bool):
            return of_seconds(Fraction(value) * _INTERVALS.get(key, 1))
    spans = [
        Fraction(value) * size
        for key, size in _SPANS.items()
        if isinstance(value := table.get(key), (int, Fraction)) and not isinstance(value, bool)
    ]
    return of_seconds(sum(spans, Fraction(0))) if spans else None


def _headers(text: str) -> dict[Path, int]:
    """The line of each table's header; of an array's the first."""
    found: dict[Path, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        match = re.fullmatch(r"\s*\[\[?([^\[\]]{1,300})\]\]?\s*(#.*)?", line)
        if match is not None:
            found.setdefault(tuple(part.strip().strip("\"'") for part in match[1].split(".")), number)
    return found


def _line(lines: Mapping[Path, int], keys: Path) -> int:
    """Of the nearest table around."""
    return next((lines[keys[:size]] for size in range(len(keys), 0, -1) if keys[:size] in lines), 1)
