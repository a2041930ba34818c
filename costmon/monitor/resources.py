"""The resources as the Snapshot shows them, and as text and JSON say them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from sqlite3 import Connection
from typing import Any

from costmon.budget.bands import mark
from costmon.monitor.snapshot import ResourceStatus
from costmon.shim.events import clean
from costmon.shim.money import Money, divide_half_even, format_money
from costmon.shim.timestamps import to_datetime
from costmon.sources.resources import ResourceUse, resource_uses
from costmon.sources.resources.definitions import configured, parse


def resource_status(db: Connection, now_us: int) -> tuple[ResourceStatus, ...]:
    """Every configured resource as of `now_us` (µs UTC)."""
    return tuple(_status(use) for use in resource_uses(db, now_us))


def resource_problems(resources: Iterable[ResourceStatus]) -> list[str]:
    """One line for each resource with which something is wrong."""
    return [f"resource {resource.name}: {resource.problem}" for resource in resources if resource.problem]


def is_resource(db: Connection, provider: str, model: str) -> bool:
    """Whether events of that provider and model are those of a configured resource."""
    written = configured(db).written.get(model)
    return written is not None and parse(written).provider == provider


def _status(use: ResourceUse) -> ResourceStatus:
    return ResourceStatus(
        name=use.name,
        kind=use.kind,
        provider=use.provider,
        app=use.app,
        running=use.running,
        since=to_datetime(use.since) if use.since is not None else None,
        amount=_amount(use),
        unit=use.measure,
        cost=use.cost,
        ahead=use.ahead,
        stored=use.level,
        unpriced=use.unpriced,
        estimated=use.estimated,
        problem=use.problem,
        estimated_cost=use.estimated_cost,
        used=use.amount,
        counted_in=use.unit,
        note=use.note,
        others=use.others,
    )


def _amount(use: ResourceUse) -> Decimal:
    """In what the price is per, to the billionth."""
    shown = use.amount / use.per
    return Decimal(divide_half_even(shown.numerator * 10**9, shown.denominator)).scaleb(-9)


def resource_line(r: ResourceStatus) -> str:
    """One line for people: 'gpu-box (time, own): 12.5 h this month, ₩30,625 · runs since …'."""
    parts = [f"{clean(r.name)} ({r.kind}, {clean(r.provider)}): {amount_text(r)} this month, {cost_text(r)}"]
    if r.ahead is not None and r.ahead.nano:
        parts.append(f"{format_money(*r.ahead)} not accounted yet")
    if r.stored is not None:
        parts.append(stored_text(r))
    if r.since is None:
        parts.append("not seen yet")
    elif r.kind == "time":
        parts.append(f"runs since {r.since:%Y-%m-%d %H:%M} UTC" if r.running else "stopped")
    if r.unpriced:
        parts.append(f"{r.unpriced} quarter hours unpriced")
    if r.estimated:
        parts.append(f"{r.estimated} quarter hours estimated{between_text(r)}")
    return " · ".join(parts)


def resource_json(r: ResourceStatus) -> dict[str, Any]:
    """For programs; times are UTC, `amount` is a decimal text. `cost` is in the currency of its price, and is the first of
    `costs`, which has every currency of the month."""
    return {
        "name": r.name,
        "kind": r.kind,
        "provider": r.provider,
        "app": r.app,
        "running": r.running,
        "since": r.since.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if r.since is not None else None,
        "amount": _digits(r.amount),
        "unit": r.unit,
        "used": {"count": str(r.used), "unit": r.counted_in},
        "cost": _money(r.cost),
        "costs": [money.to_json() for money in (r.cost, *r.others) if money is not None],
        "low": _money(r.low),
        "high": _money(r.high),
        "not_yet_accounted": _money(r.ahead),
        "stored_bytes": r.stored,
        "unpriced": r.unpriced,
        "estimated": r.estimated,
        "problem": r.problem or None,
        "note": r.note or None,
    }


def amount_text(r: ResourceStatus) -> str:
    """What it used this month, with the digits that tell what it costs: '505.5 h', '0.7333 months'."""
    many = r.unit in ("month", "year") and r.amount != 1
    return f"{plain(r.amount)} {r.unit}{'s' if many else ''}"


def stored_text(r: ResourceStatus) -> str:
    """What is stored now, as its price counts it: '50 GiB stored'."""
    unit, size = ("GiB", 2**30) if r.unit.startswith("GiB") else ("GB", 10**9)
    return f"{plain(Decimal(r.stored or 0) / size)} {unit} stored"


def between_text(r: ResourceStatus) -> str:
    """', between ₩28,000 and ₩33,250' where its cost is a guess in part."""
    if r.low is None or r.cost is None or not r.estimated_cost or r.others:
        return ""
    most = f"and {format_money(*r.high)}" if r.high is not None else "and more"
    return f", between {format_money(*r.low)} {most}"


def cost_text(r: ResourceStatus) -> str:
    """What that cost: '₩30,625', with '≥' where a part has no price, and '~' where one is estimated; '₩30,625 + $1.20' in a
    month in which its price changed its currency."""
    if r.cost is None:
        return "price unknown" if r.unpriced else "nothing yet"
    estimated = r.estimated_cost > 0 or bool(r.others and r.estimated)
    found = " + ".join(format_money(*money) for money in (r.cost, *r.others))
    return mark(estimated=estimated, missing=bool(r.unpriced)) + found


def plain(value: Decimal) -> str:
    """Five digits or more: '1,505.25', '35.1042', '0.000012'; what is not nothing never reads as nothing."""
    if 0 < value < Decimal("0.000001"):
        return "<0.000001"
    places = 3 if value >= 1000 else 4 if value >= 1 else 6
    return _digits(value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN), ",f")


def _digits(value: Decimal, style: str = "f") -> str:
    text = format(value, style)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _money(money: Money | None) -> dict[str, str] | None:
    return money.to_json() if money is not None else None
