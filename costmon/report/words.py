"""How a report writes times, spans and sums. Pure functions."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from costmon.report.values import Sums
from costmon.shim.money import Money, fine_money
from costmon.shim.timestamps import to_datetime


@lru_cache(16)
def zone_of(name: str) -> ZoneInfo:
    """The named zone, or UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return ZoneInfo("UTC")


def local(at: int, zone: str) -> datetime:
    return to_datetime(at).astimezone(zone_of(zone))


def offset(at: int, zone: str) -> str:
    """'+09:00'."""
    text = f"{local(at, zone):%z}"
    return f"{text[:3]}:{text[3:5]}"


def when(at: int, zone: str) -> str:
    """'2026-11-21 13:11:03 +09:00'."""
    return f"{local(at, zone):%Y-%m-%d %H:%M:%S} {offset(at, zone)}"


def iso(at: int, zone: str) -> str:
    """'2026-11-21T13:11:03+09:00'."""
    return f"{local(at, zone):%Y-%m-%dT%H:%M:%S}{offset(at, zone)}"


def span(us: int) -> str:
    """'45 s', '12 min 3 s', '1 h 5 min', '9 days 3 h'."""
    seconds = max(0, us) // 1_000_000
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return f"{seconds} s"
    if not hours:
        return _two(f"{minutes} min", seconds % 60, "s")
    if not days:
        return _two(f"{hours} h", minutes % 60, "min")
    return _two(f"{days} day{'s' if days > 1 else ''}", hours % 24, "h")


def _two(head: str, rest: int, unit: str) -> str:
    return f"{head} {rest} {unit}" if rest else head


def count(number: int, what: str, plural: str = "") -> str:
    """'1 run', '12 runs'."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def money(value: Money | None) -> str:
    return "unknown" if value is None else fine_money(value.nano, value.currency)


def cost(sums: Sums) -> str:
    """'$0.0144'; '~$0.0144' by estimates; '≥ $0.0132' where a part is not known; 'unknown' where nothing is."""
    if sums.exact:
        return ("~" if sums.estimated else "") + money(sums.money)
    others = "".join(f" and {money(one)}" for one in sums.others)
    if not sums.money.nano and not others:
        return "unknown"
    return f"≥ {money(sums.money)}{others}"


def lacking(sums: Sums) -> str:
    """What a sum lacks, as a clause: '3 of 12 calls have no full price'; '' if nothing."""
    parts = []
    if sums.estimated:
        parts.append(f"the usage of {count(sums.estimated, 'call')} is estimated")
    if sums.unpriced:
        of = f"{sums.unpriced:,} of {count(sums.calls, 'call')}"
        what = of if sums.unpriced <= sums.calls else count(sums.unpriced, "entry", "entries")
        parts.append(f"{what} {'has' if sums.unpriced == 1 else 'have'} no full price")
    if sums.others:
        parts.append(f"no rate converts {', '.join(money(one) for one in sums.others)}")
    return "; ".join(parts)
