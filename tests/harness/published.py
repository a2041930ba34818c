"""The installed genai-prices as the JSON it publishes, to edit in tests."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any


def table() -> list[Any]:
    """A fresh copy of the table; prices are numbers as in the published file."""
    return json.loads(_text())  # type: ignore[no-any-return]


def model(document: list[Any], provider: str, name: str) -> dict[str, Any]:
    """One model of it, to change."""
    part = next(part for part in document if part["id"] == provider)
    found: dict[str, Any] = next(entry for entry in part["models"] if entry["id"] == name)
    return found


@cache
def _text() -> str:
    from genai_prices.data import providers

    return json.dumps([_provider(provider) for provider in providers])


def _provider(provider: Any) -> dict[str, Any]:
    found = {"id": provider.id, "name": provider.name, "models": [_model(entry) for entry in provider.models]}
    if provider.fallback_model_providers:
        found["fallback_model_providers"] = list(provider.fallback_model_providers)
    if provider.model_match is not None:
        found["model_match"] = _clause(provider.model_match)
    return found


def _model(entry: Any) -> dict[str, Any]:
    found = {"id": entry.id, "match": _clause(entry.match)}
    if isinstance(entry.prices, list):
        found["prices"] = [
            {**_constraint(row.constraint), "prices": _prices(row.prices)} for row in entry.prices
        ]
    else:
        found["prices"] = _prices(entry.prices)
    if entry.price_variants:
        found["price_variants"] = [
            {"when": dict(v.when), **_constraint(v.constraint), "prices": _prices(v.prices)}
            for v in entry.price_variants
        ]
    if entry.deprecated:
        found["deprecated"] = True
    return found


def _constraint(constraint: Any) -> dict[str, Any]:
    if constraint is None:
        return {}
    if hasattr(constraint, "start_date"):
        return {"constraint": {"start_date": constraint.start_date.isoformat()}}
    start, end = (f"{moment:%H:%M:%S}Z" for moment in (constraint.start_time, constraint.end_time))
    return {"constraint": {"start_time": start, "end_time": end}}


def _prices(prices: Any) -> dict[str, Any]:
    return {name: _price(value) for name, value in prices.__dict__.items() if value is not None}


def _price(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return {
        "base": float(value.base),
        "tiers": [{"start": t.start, "price": float(t.price)} for t in value.tiers],
    }


def _clause(clause: Any) -> dict[str, Any]:
    for name in ("or", "and"):
        if hasattr(clause, f"{name}_"):
            return {name: [_clause(part) for part in getattr(clause, f"{name}_")]}
    for name in ("starts_with", "ends_with", "contains", "regex", "equals"):
        if hasattr(clause, name):
            return {name: getattr(clause, name)}
    raise AssertionError(clause)
