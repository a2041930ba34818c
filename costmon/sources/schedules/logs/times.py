"""When a line was written: the time at its beginning as its writer spelled it, and the message after it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from costmon.shim.timestamps import to_us
from costmon.sources.schedules.logs.spans import span_us

_SECOND = 1_000_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = r"(?P<Y>\d{4})(?:[-/.]|년 ?)(?P<M>\d{1,2})(?:[-/.]|월 ?)(?P<D>\d{1,2})(?:일|\.)?"
_TIME = r"(?P<h>\d{1,2})(?::|시 ?)(?P<m>\d{2})(?:(?::|분 ?)(?P<s>\d{2})(?:초|[.,](?P<f>\d{1,9}))?)?"
_OFFSET = r"(?:\s?(?P<z>Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2}(?::\d{2})?(?!\d)))?"
_ISO = re.compile(rf"{_DATE}(?:T|,?\s{{1,2}}){_TIME}{_OFFSET}")
_NGINX = re.compile(
    r"(?P<D>\d{2})/(?P<N>[A-Z][a-z]{2})/(?P<Y>\d{4}):(?P<h>\d{2}):(?P<m>\d{2}):(?P<s>\d{2})(?P<f>(?!))? ?"
    r"(?P<z>[+-]\d{4})"
)
_SYSLOG = re.compile(
    r"(?P<N>[A-Z][a-z]{2}) {1,2}(?P<D>\d{1,2}) (?P<h>\d{2}):(?P<m>\d{2}):(?P<s>\d{2})(?:\.(?P<f>\d{1,9}))?"
)
_EPOCH = re.compile(r"(1\d{9})(?:(\d{3})|\.(\d{1,9}))?(?![\d-])")
_BEFORE = re.compile(r"[^\w+-]*(?:(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b[^\w+-]*)?")
_SERVICE = re.compile(r"[\w.-]{1,80}\s{0,40}\| ")
_HOST = re.compile(r"\s?[\w.-]{1,80} [\w./@-]{1,80}(?:\[\d+\])?: ")
_AFTER = re.compile(r"[\s\])|,;:-]*")
_CLOCK = re.compile(r"\s*(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2}))?(?!\d)")
_ZONE_NAME = re.compile(r"\s?([A-Z]{3,5})\b")
# Abbreviations that mean one zone, in minutes east of UTC; others (IST, CST, BST …) mean several.
_NAMES = {"UTC": 0, "GMT": 0, "KST": 540, "JST": 540, "CET": 60, "CEST": 120, "EET": 120, "EEST": 180, "MSK": 180,
          "EST": -300, "EDT": -240, "PST": -480, "PDT": -420, "MDT": -360, "CDT": -300, "HKT": 480, "SGT": 480}  # fmt: skip
_TIME_KEYS = ("time", "timestamp", "ts", "@timestamp", "asctime", "datetime", "t")
_SPAN_KEYS = ("interval", "every", "period", "duration", "elapsed", "took")
_TEXT_KEYS = ("message", "msg", "log", "event", "text")


class Stamp(NamedTuple):
    """A time as written: `at` in µs since 1970 UTC where the writer gave its zone, else `naive`, a datetime without one.
    A year that was left out is found by `resolve_year`."""

    at: int | None = None
    naive: datetime | None = None
    yearless: bool = False


class Written(NamedTuple):
    """A line taken apart: when (None = it does not say), and what."""

    stamp: Stamp | None
    message: str


def written(line: str) -> Written:
    """Take a line apart; a JSON line by its usual keys, and a time in front of another one counts if only it has a zone."""
    if line.startswith("{") and (found := _json(line)) is not None:
        return found
    stamp: Stamp | None = None
    service = _SERVICE.match(line)
    rest = line[service.end() :] if service else line
    for _ in range(3):
        found_stamp, after = _leading(rest)
        if found_stamp is None:
            break
        stamp = found_stamp if stamp is None or stamp.at is None else stamp
        rest = rest[after:]
    return Written(stamp, rest.strip())


def time_in(text: str) -> Stamp | None:
    """The first whole time (date and time of day) in a text such as 'next run at: 2026-03-01 09:00:00 KST'."""
    match = _ISO.search(text)
    if match is None:
        return None
    stamp = _stamp(match)
    if stamp is None or stamp.naive is None:
        return stamp
    name = _ZONE_NAME.match(text, match.end())
    if name is None or name.group(1) not in _NAMES:
        return stamp
    aware = stamp.naive.replace(tzinfo=timezone(timedelta(minutes=_NAMES[name.group(1)])))
    return Stamp(at=to_us(aware))


def time_of_day(text: str) -> timedelta | None:
    """'09:00' or '09:00:00' at the beginning of a text, as time since midnight."""
    match = _CLOCK.match(text)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def from_now(text: str) -> int | None:
    """'in 60 minutes', '60분 후', in µs."""
    match = re.match(
        r"\s*(?:in\s|약\s)?\s*(.{1,40}?)(?:\s*(?:후|뒤|from now|later)|[\s.)]*$)", text, re.IGNORECASE
    )
    return span_us(match.group(1)) if match else None


def resolve_year(naive: datetime, now: datetime) -> datetime:
    """The latest year in which a time without one is not in the future (a day is left for zones)."""
    for year in range(now.year + 1, now.year - 5, -1):
        try:
            placed = naive.replace(year=year)
        except ValueError:  # 29 February
            continue
        if placed <= now.replace(tzinfo=None) + timedelta(days=1):
            return placed
    return naive


def _leading(text: str) -> tuple[Stamp | None, int]:
    before = _BEFORE.match(text)
    start = before.end() if before else 0
    for pattern in (_ISO, _NGINX, _SYSLOG):
        match = pattern.match(text, start)
        if match is None:
            continue
        stamp = _stamp(match)
        if stamp is None:
            continue
        end = match.end()
        if pattern is _SYSLOG and (host := _HOST.match(text, end)):
            end = host.end()
        after = _AFTER.match(text, end)
        return stamp, after.end() if after else end
    epoch = _EPOCH.match(text, start)
    if epoch is None:
        return None, 0
    after = _AFTER.match(text, epoch.end())
    return Stamp(at=_epoch(epoch)), after.end() if after else epoch.end()


def _epoch(match: re.Match[str]) -> int:
    seconds, millis, fraction = match.groups()
    return int(seconds) * _SECOND + int(millis or 0) * 1000 + int((fraction or "0").ljust(6, "0")[:6])


def _stamp(match: re.Match[str]) -> Stamp | None:
    part = match.groupdict()
    name = part.get("N")
    if name is not None and name.lower() not in _MONTHS:
        return None
    month = _MONTHS.index(name.lower()) + 1 if name is not None else int(part["M"])
    year = part.get("Y")
    try:
        naive = datetime(  # noqa: DTZ001 - the log's own local time
            int(year) if year else 2000, month, int(part["D"]), int(part["h"]), int(part["m"]),
            min(int(part["s"] or 0), 59), int((part.get("f") or "0").ljust(6, "0")[:6]),
        )  # fmt: skip
        if not 1990 <= naive.year <= 2200:
            return None
        if zone := part.get("z"):
            return Stamp(at=to_us(naive.replace(tzinfo=_fixed(zone))))
    except ValueError:
        return None
    return Stamp(naive=naive, yearless=not year)


def _fixed(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]))
    return timezone(size if text[0] == "+" else -size)


def _json(line: str) -> Written | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    record = said.get("record")  # loguru
    if isinstance(record, dict) and isinstance(said.get("text"), str):
        return written(said["text"].strip()[:4000])
    message = next((said[key] for key in _TEXT_KEYS if isinstance(said.get(key), str)), "").strip()
    message += "".join(f" {key} {said[key]}" for key in _SPAN_KEYS if isinstance(said.get(key), str))
    stamp = next((found for key in _TIME_KEYS if (found := _value(said.get(key))) is not None), None)
    inner = written(message) if not message.startswith("{") else Written(None, message)
    if inner.stamp is not None and (stamp is None or (stamp.at is None and inner.stamp.at is not None)):
        stamp = inner.stamp
    return Written(stamp, inner.message)


def _value(value: object) -> Stamp | None:
    if isinstance(value, str):
        return _leading(value)[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    for unit in (_SECOND, 1000, 1):  # seconds, ms, µs
        if 1e15 <= value * unit < 3e15:
            return Stamp(at=round(value * unit))
    return None
