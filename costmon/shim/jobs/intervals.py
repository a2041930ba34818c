"""Intervals as people write them: '60m', '1h30m', '45s'."""

from __future__ import annotations

import re

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


def spell_interval(us: int) -> str:
    """The shortest text `interval_us` reads as `us`: '60m' for an hour, '1h30m' as '90m', '0.5s' below a second."""
    for unit, minimum in (("d", 2), ("h", 2), ("m", 1)):
        size = _UNITS[unit] * 1_000_000
        if us % size == 0 and us // size >= minimum:
            return f"{us // size}{unit}"
    seconds, rest = divmod(us, 1_000_000)
    return f"{seconds}.{rest:06d}".rstrip("0") + "s" if rest else f"{seconds}s"
