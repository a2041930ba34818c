"""Make `pricing/catalog.json`: the table of genai-prices in the shim's own format, plus our TOML compiled.

A developer's command (`costmon prices build`), the only place that imports genai_prices. One model a line, so
that the diff of an upgrade can be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costmon.errors import PriceError
from costmon.pricing.catalog.layers import builtin_layer
from costmon.pricing.catalog.published import group
from costmon.shim.cards import Entry
from costmon.shim.catalogue import compact_json
from costmon.shim.units import units

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_PLACES = Decimal("1e-9")
_PARTS = ("starts_with", "ends_with", "contains", "regex", "equals")


def build(folder: str, checked: date) -> dict[str, Any]:
    """The catalogue of the installed genai-prices and of the TOML files in `folder`.

    Args:
        checked: when that release of genai-prices came out.

    Raises:
        PriceError: genai-prices is missing, has something this version cannot say, or one of our files is
        wrong.
    """
    try:
        from importlib.metadata import version

        from genai_prices.data import providers
    except ImportError as error:
        raise PriceError(
            "genai-prices is not installed; run `pip install genai-prices` and build again"
        ) from error
    builtin = builtin_layer(folder)
    for problem in builtin.bad.values():
        raise PriceError(problem)
    return {
        "schema": 1,
        "source": "genai-prices",
        "version": version("genai-prices"),
        "checked": checked.isoformat(),
        "providers": {provider.id: _provider(provider) for provider in providers},
        "builtin": builtin.models,
    }


def write(catalog: Mapping[str, Any], path: str) -> None:
    """Replace the file at `path` in one step."""
    draft = f"{path}.new"
    with open(draft, "w", encoding="utf-8", newline="\n") as file:
        file.write(to_text(catalog))
    os.replace(draft, path)


def to_text(catalog: Mapping[str, Any]) -> str:
    """The catalogue as JSON with one model a line."""
    head = compact_json({key: value for key, value in catalog.items() if key not in ("providers", "builtin")})
    sections = [f'"{key}":{{\n{_section(catalog[key])}\n}}' for key in ("providers", "builtin")]
    return f"{head[:-1]},\n" + ",\n".join(sections) + "\n}\n"


def _section(parts: Mapping[str, Any]) -> str:
    return ",\n".join(f"{compact_json(name)}:{_listing(part)}" for name, part in parts.items())


def _listing(part: Mapping[str, Any]) -> str:
    head = compact_json({key: value for key, value in part.items() if key != "models"})
    models = ",\n".join(compact_json(entry) for entry in part["models"])
    return f'{head[:-1]},"models":[\n{models}\n]}}'


def _provider(provider: Provider) -> dict[str, Any]:
    found: dict[str, Any] = {"name": provider.name}
    if provider.fallback_model_providers:
        found["fallback"] = list(provider.fallback_model_providers)
    if provider.model_match is not None:
        found["match"] = clause(provider.model_match)
    found["models"] = [entry_of(model) for model in provider.models]
    return found


def entry_of(model: ModelInfo) -> Entry:
    """One model in the catalogue's format."""
    rows = model.prices if isinstance(model.prices, list) else None
    entry: Entry = {"id": model.id, "match": clause(model.match)}
    if rows is None:
        entry["prices"] = [{"rates": _rates(model.prices)}]  # type: ignore[arg-type]
    else:
        entry["prices"] = [{**_when(row.constraint), "rates": _rates(row.prices)} for row in rows]
        # genai-prices falls back to the first row when none is active; as the last one tried, it needs no
        # condition.
        entry["prices"][:1] = [{"rates": row["rates"]} for row in entry["prices"][:1]]
    if model.price_variants:
        entry["variants"] = [
            {"when": dict(v.when), **_when(v.constraint), "rates": _rates(v.prices)}
            for v in model.price_variants
        ]
    if model.deprecated:
        entry["deprecated"] = True
    return entry


def clause(match: object) -> dict[str, Any]:
    """A matching clause; equalities side by side become one {"in": […]}."""
    for name in ("or", "and"):
        parts = getattr(match, f"{name}_", None)
        if parts is not None:
            return group(name, [clause(part) for part in parts])
    for name in _PARTS:
        text = getattr(match, name, None)
        if isinstance(text, str):
            return {name: text if name == "regex" else text.lower()}
    raise PriceError(f"genai-prices has a matching rule unknown here ({type(match).__name__})")


def _when(constraint: Any) -> dict[str, Any]:
    """`from` or `time` of a row, as UTC texts."""
    if constraint is None:
        return {}
    start = getattr(constraint, "start_date", None)
    if start is not None:
        return {"from": start.isoformat()}
    return {"time": [_clock(constraint.start_time), _clock(constraint.end_time)]}


def _clock(moment: Any) -> str:
    if moment.utcoffset():
        raise PriceError("genai-prices has a time of day outside UTC; extend costmon.pricing.catalog.build")
    return str(moment.strftime("%H:%M:%S" if moment.second else "%H:%M"))


def _rates(prices: ModelPrice) -> dict[str, Any]:
    from genai_prices.data_units import unit_data

    keys = {raw.get("price_key", key): key for key, raw in unit_data.items()}
    found: dict[str, Any] = {}
    for name, value in prices.__dict__.items():
        if value is None:
            continue
        key = keys.get(name, name)
        if key not in units() or units()[key].per != unit_data[key]["per"]:
            raise PriceError(f"genai-prices has a unit unknown here ({name}); add it to costmon.shim.units")
        found[key] = _rate(value)
    return found


def _rate(value: Any) -> str | list[Any]:
    if isinstance(value, Decimal):
        return _text(value)
    return [_text(value.base), *([tier.start, _text(tier.price)] for tier in value.tiers)]


def _text(value: Decimal) -> str:
    """At most 9 decimals: what lies beyond is the dust of a float (0.18000000000000002)."""
    text = f"{value.quantize(_PLACES):f}"
    return text.rstrip("0").rstrip(".")


def release_day(folder: str) -> date:
    """When the installed genai-prices came out: as the last build in `folder` says of the same version, else
    today."""
    from datetime import UTC, datetime
    from importlib.metadata import PackageNotFoundError, version

    from costmon.shim.catalogue import read_catalog

    try:
        last = read_catalog(os.path.join(folder, "catalog.json"))
        if last["version"] == version("genai-prices"):
            return date.fromisoformat(last["checked"])
    except (OSError, ValueError, KeyError, PackageNotFoundError):
        pass
    return datetime.now(UTC).date()
