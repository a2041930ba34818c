"""Balances as gauges: what is left of a prepaid account or a quota, and when it is used up. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from rich.cells import cell_len

from costmon.insight.runway import WATCHED_RHYTHMS, gauge
from costmon.monitor.snapshot import BalanceStatus, SourceStatus
from costmon.shim.money import Money, to_nano
from costmon.tui.format import age, bar, coarse, cut_middle, fit, moment, money, percent, safe, zone
from costmon.tui.lines import EMPTY, Line, joined, line, width_of

_DAY, _SOON, _YEAR = timedelta(days=1), timedelta(days=7), timedelta(days=300)
_STEPS = (("100", 0.0), ("95", 0.05), ("90", 0.1), ("80", 0.2), ("70", 0.3))


def balances(source: SourceStatus, now: datetime, width: int, zone_name: str) -> list[Line]:
    """Each balance of a source: its name, a gauge and the amount, and what else there is where it fits."""
    shown = source.balances
    names = {one: safe(one.label) or "balance" for one in shown}
    name = min(max(map(cell_len, names.values()), default=0), max(8, width // 4))
    lines: list[Line] = []
    for one in shown:
        head = line("  ", fit(cut_middle(names[one], name), name), "  ", *_bar(one, width))
        amount = line((left_text(one), "strong"))
        rest = joined(_rest(one, source, now, zone_name), max(1, width - 4))
        if width_of(head) + width_of(amount) > width:
            lines += [head, line("    ", *amount)]
        elif width_of(head) + width_of(amount) + 2 + width_of(rest) <= width:
            lines.append((*head, *amount, *((("  ", ""), *rest) if rest else ())))
            continue
        else:
            lines.append(line(*head, *amount))
        lines += [line("    ", *rest)] if rest else []
    return lines


def _bar(one: BalanceStatus, width: int) -> Line:
    share = gauge(one.amount, one.limit)
    if share is None:
        return EMPTY
    filled, empty = bar(share, max(6, width // 6))
    return line((filled, f"word-{step_of(share)}"), (empty, "head"), (f"{percent(share):>6}  ", ""))


def step_of(left: float) -> str:
    """The style of a gauge of which `left` (0 to 1) is left."""
    return next((step for step, below in _STEPS if left <= below), "ok")


def left_text(one: BalanceStatus) -> str:
    """'$12.30 of $20.00', '41,200 of 100,000 credits'."""
    if one.limit is None:
        return quantity(one.amount, one.unit)
    whole = quantity(one.limit, one.unit)
    return f"{quantity(one.amount, one.unit if is_money(one) else '')} of {whole}"


def is_money(one: BalanceStatus) -> bool:
    return len(one.unit) == 3 and one.unit.isascii() and one.unit.isupper()


def _rest(one: BalanceStatus, source: SourceStatus, now: datetime, zone_name: str) -> list[tuple[int, Line]]:
    when = run_out(one, now, zone_name)
    return [
        (0, line(when) if when[0] else EMPTY),
        (1, line(("a cap, no money", "dim")) if not one.spendable else EMPTY),
        (1, line(("no money", "dim")) if one.spendable and not is_money(one) else EMPTY),
        (2, line((f"filled up {moment(one.resets_at, now, zone_name)}", "dim")) if one.resets_at else EMPTY),
        (3, line((f"{quantity(one.per_hour, one.unit)} an hour", "dim")) if one.per_hour else EMPTY),
        (1, line((f"seen {age(one.seen_at, now)}", "warn")) if is_old(one, source, now) else EMPTY),
    ]


def run_out(one: BalanceStatus, now: datetime, zone_name: str) -> tuple[str, str]:
    """'used up about 3 Dec (12d)'; ('', '') when nobody can say."""
    if one.spendable and one.amount <= 0:
        return ("used up", "bad")
    if one.run_out is None:
        return ("", "")
    if one.run_out <= now:
        return ("used up about now", "bad")
    local = one.run_out.astimezone(zone(zone_name))
    when = f"{local:%H:%M}" if one.run_out - now < _DAY else f"{local.day} {local:%b}"
    when += f" {local.year}" if one.run_out - now > _YEAR else ""
    return (
        f"used up about {when} (in {coarse(one.run_out - now)})",
        "warn" if one.run_out - now < _SOON else "",
    )


def is_old(one: BalanceStatus, source: SourceStatus, now: datetime) -> bool:
    return now - one.seen_at >= WATCHED_RHYTHMS * max(source.every, timedelta(minutes=1))


def quantity(amount: Decimal, unit: str) -> str:
    """'$12.30' where the unit is a currency, '41,200 credits' where it is not."""
    if len(unit) == 3 and unit.isascii() and unit.isupper() and abs(amount) < 10**9:
        return money(Money(to_nano(amount), unit))
    text = f"{amount:,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {safe(unit)}".rstrip()
