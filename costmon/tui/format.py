"""How figures, times and foreign text are written. Pure functions; widths are terminal cells."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from rich.cells import cell_len, set_cell_size

from costmon.shim import money as shim_money
from costmon.shim.money import NANO, Money, format_money, has_decimals

_LONGEST = 400
"""Characters of a foreign text that are looked at; no line on any screen is wider."""
_REPLACED = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKS = frozenset({"Mn", "Me"})
_BLOCKS = " ▁▂▃▄▅▆▇█"


def safe(text: str) -> str:
    """`text` from outside as one harmless line: no control, bidi or invisible character.

    Control characters, line breaks, direction marks and lone surrogates become '·'; characters of no width
    go. At most 400 characters are kept.
    """
    return _clean(text[:_LONGEST])


@lru_cache(2048)
def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        marks = marks + 1 if category in _MARKS else 0
        if category in _REPLACED or char in _BIDI:
            out.append("·")
        elif category == "Zs":
            out.append(" ")
        # Piled combining marks paint over the lines above; variation selectors change a width.
        elif category != "Cf" and marks <= 2 and not 0xFE00 <= ord(char) <= 0xFE0F:
            out.append(char)
    return "".join(out)


def said(error: Exception) -> str:
    """What an exception says, as one line without a full stop; its type when it says nothing."""
    return safe(f"{error}".strip().rstrip(".")) or type(error).__name__


def cut(text: str, width: int) -> str:
    """At most `width` cells of `text`, with an ellipsis where something is missing."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def cut_middle(text: str, width: int) -> str:
    """At most `width` cells: names differ at their ends, so what is left out is in the middle."""
    if cell_len(text) <= width or width < 8:
        return cut(text, width)
    head = set_cell_size(text, width * 2 // 5).rstrip()
    tail = text
    while cell_len(head) + 1 + cell_len(tail) > width:
        tail = tail[1:]
    return f"{head}…{tail}"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: cut, or padded on the right (or, with `right`, on the left)."""
    shown = cut(text, width)
    pad = " " * (width - cell_len(shown))
    return pad + shown if right else shown + pad


def money(value: Money, *, places: int | None = None) -> str:
    """'$0.0012', '$12.34', '₩15,000'."""
    return format_money(value.nano, safe(value.currency), places=places)


def beside(value: Money, other: Money) -> str:
    """`value` with the decimals of `other`, to compare at a glance; with more where they would hide something."""
    if abs(other.nano) < NANO:
        return money(value)
    places = len(_halves(money(other))[1][1:])
    shown = money(value, places=places)
    return money(value) if value.nano and not any(char in "123456789" for char in shown) else shown


def fine_money(nano: int, currency: str, *, digits: int = 3) -> str:
    """With the digits that matter for comparing: '$0.0012', '$2.4192', '₩15,000'; something is never 0."""
    return shim_money.fine_money(nano, safe(currency), digits=digits)


def short_money(value: Money) -> str:
    """Like `money`, but from a million on shortened to '$1.2M', so that it fits a narrow column; without decimals
    from a hundred million ('₩99,999,999' is as wide as '$999,999.99')."""
    units = abs(value.nano) // NANO
    if units < (1_000_000 if has_decimals(value.currency) else 100_000_000):
        return money(value)
    return money(Money(value.nano // 1_000_000, value.currency), places=1) + "M"


def on_the_point(amounts: Iterable[str]) -> dict[str, str]:
    """The amounts padded to one width with their decimal points below each other."""
    split = {text: _halves(text) for text in amounts}
    left = max((cell_len(whole) for whole, _ in split.values()), default=0)
    right = max((len(fraction) for _, fraction in split.values()), default=0)
    return {t: fit(whole, left, right=True) + fraction.ljust(right) for t, (whole, fraction) in split.items()}


def _halves(text: str) -> tuple[str, str]:
    whole, point, fraction = text.rpartition(".")
    if not point or not fraction[:1].isdigit():
        return text, ""
    return whole, point + fraction


def percent(ratio: float) -> str:
    """'84 %'. Rounded down, so that 99.9 % never reads as reached; '<1 %' for little, '>999 %' for absurd."""
    if not ratio > 0:
        return "0 %"
    if ratio < 0.01:
        return "<1 %"
    return ">999 %" if ratio >= 10 else f"{int(ratio * 100 + 1e-9)} %"


def count(number: int) -> str:
    """'9,999', '12.3k', '4.5M', '2.1G'."""
    for limit, unit, name in ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k")):
        if number >= limit:
            value = number / unit
            return f"{value:.0f}{name}" if value >= 100 else f"{value:.1f}{name}"
    return f"{number:,}"


def duration(span: timedelta) -> str:
    """Two units: '45s', '12m 03s', '1h 05m', '9d 3h'. Negative counts as zero."""
    seconds = max(0, int(span.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return f"{seconds}s"
    if not hours:
        return f"{minutes}m {seconds % 60:02}s"
    return f"{hours}h {minutes % 60:02}m" if not days else f"{days}d {hours % 24}h"


def coarse(span: timedelta) -> str:
    """One unit: '45s', '12m', '5h', '9d'."""
    return duration(span).split()[0]


def age(since: datetime, now: datetime) -> str:
    """'5s ago', '12m ago'; 'now' within a second and for a time that lies ahead."""
    return "now" if (now - since).total_seconds() < 1 else f"{coarse(now - since)} ago"


def every(span: timedelta) -> str:
    """A job's interval without needless units: 'every 60m', 'every 90s', 'every 1d'."""
    seconds = int(span.total_seconds())
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit and seconds % unit == 0 and (seconds > unit or unit != 3600):
            return f"every {seconds // unit}{name}"
    return f"every {seconds}s"


def latency(span: timedelta) -> str:
    """How long a call took: '340ms', '12.3s', '2m 05s'."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(0, int(seconds * 1000))}ms"
    return f"{seconds:.1f}s" if seconds < 60 else duration(span)


@lru_cache(16)
def zone(name: str) -> ZoneInfo:
    """The named time zone, or UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return ZoneInfo("UTC")


def moment(at: datetime, now: datetime, zone_name: str) -> str:
    """A local time a person can place: '14:00' today, else '27 Nov 14:00', or '1 Jan 2030' another year."""
    local, today = at.astimezone(zone(zone_name)), now.astimezone(zone(zone_name))
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return (
        f"{local.day} {local:%b} {local:%Y}" if local.year != today.year else f"{local.day} {local:%b %H:%M}"
    )


def bar(share: float, width: int) -> tuple[str, str]:
    """A thin bar of `width` cells as (filled, rest)."""
    share = min(max(share, 0.0), 1.0) if share == share else 0.0
    filled = min(width, max(1 if share else 0, round(share * width)))
    return "━" * filled, "─" * (width - filled)


def columns(values: Iterable[int], height: int) -> list[str]:
    """Values as upright bars of one cell each, `height` lines, top line first; a small value keeps a mark."""
    values = list(values)
    top = max(values, default=0)
    eighths = [0 if top <= 0 or v <= 0 else max(1, round(v * height * 8 / top)) for v in values]
    return ["".join(_BLOCKS[min(8, max(0, e - row * 8))] for e in eighths) for row in reversed(range(height))]
