"""The resources as the Snapshot shows them, and as text and JSON say them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from sqlite3 import Connection
from typing import Any

from costmon.monitor.snapshot import ResourceStatus
from costmon.shim.events import clean
from costmon.shim.money import Money, format_money
from costmon.shim.timestamps import to_datetime
from costmon.sources.resources import ResourceUse, resource_uses
from costmon.sources.resources.definitions import configured, parse

# What an amount is shown in, and how many of the ledger's units that is.
_SHOWN = {
    "resource_seconds": ("h", 3600),
    "storage_byte_seconds": ("GB-month", 730 * 3600 * 10**9),
    "transfer_bytes": ("GB", 10**9),
    "subscription_seconds": ("d", 86_400),
}


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
    unit, per = _SHOWN[use.unit]
    amount = (Decimal(use.amount) / per).quantize(Decimal("1e-6"), rounding=ROUND_HALF_EVEN)
    return ResourceStatus(
        name=use.name,
        kind=use.kind,
        provider=use.provider,
        app=use.app,
        running=use.running,
        since=to_datetime(use.since) if use.since is not None else None,
        amount=amount,
        unit=unit,
        cost=use.cost,
        ahead=use.ahead,
        stored=use.level,
        unpriced=use.unpriced,
        estimated=use.estimated,
        problem=use.problem,
    )


def resource_line(r: ResourceStatus) -> str:
    """One line for people: 'gpu-box (time, own): 12.5 h this month, ₩30,625 · runs since …'."""
    parts = [f"{clean(r.name)} ({r.kind}, {clean(r.provider)}): {amount_text(r)} this month, {cost_text(r)}"]
    if r.ahead is not None and r.ahead.nano:
        parts.append(f"{format_money(*r.ahead)} not accounted yet")
    if r.stored is not None:
        parts.append(f"{_plain(Decimal(r.stored) / 10**9)} GB stored")
    if r.since is None:
        parts.append("not seen yet")
    elif r.kind == "time":
        parts.append(f"runs since {r.since:%Y-%m-%d %H:%M} UTC" if r.running else "stopped")
    if r.unpriced:
        parts.append(f"{r.unpriced} quarter hours unpriced")
    if r.estimated:
        parts.append(f"{r.estimated} quarter hours estimated")
    return " · ".join(parts)


def resource_json(r: ResourceStatus) -> dict[str, Any]:
    """For programs; times are UTC, `amount` is a decimal text."""
    return {
        "name": r.name,
        "kind": r.kind,
        "provider": r.provider,
        "app": r.app,
        "running": r.running,
        "since": r.since.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if r.since is not None else None,
        "amount": _digits(r.amount),
        "unit": r.unit,
        "cost": _money(r.cost),
        "not_yet_accounted": _money(r.ahead),
        "stored_bytes": r.stored,
        "unpriced": r.unpriced,
        "estimated": r.estimated,
        "problem": r.problem or None,
    }


def amount_text(r: ResourceStatus) -> str:
    """What it used this month: '12.5 h'."""
    return f"{_plain(r.amount)} {r.unit}"


def cost_text(r: ResourceStatus) -> str:
    """What that cost: '₩30,625', with '≥' where a part has no price."""
    if r.cost is None:
        return "price unknown" if r.unpriced else "nothing yet"
    return ("≥ " if r.unpriced else "") + format_money(*r.cost)


def _plain(value: Decimal) -> str:
    """Three digits that matter."""
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 or not value else 4
    return f"{_digits(value.quantize(Decimal(1).scaleb(-places))):s}"


def _digits(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _money(money: Money | None) -> dict[str, str] | None:
    return money.to_json() if money is not None else None
