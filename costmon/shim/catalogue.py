"""The catalogue as a whole: read catalog.json, seed a ledger with it, and find a provider's dearest current model.

The format of an entry is described in `costmon.shim.cards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from costmon.shim.cards import Card, Moment, moment_of, nano_of, rates_at, resolve
from costmon.shim.matching import Entry, odd

_NOT_TEXT = (
    "audio",
    "image",
    "realtime",
    "embed",
    "tts",
    "transcribe",
    "speech",
    "voice",
    "video",
    "rerank",
    "ocr",
)


def dearest(models: Iterable[Entry], provider: str, at_us: int, source: str, version: str) -> Card | None:
    """The dearest current text model: what enforcement assumes of a model it has no price for.

    By the list price of one input plus one output token (below any tier). Text: both are priced, and the id
    names no audio, image, embedding or the like. Current: not marked deprecated; and where a quarter of the
    candidates have variants (the base keeps batch and tier prices only of models on the maker's present price
    list), one that does.
    """
    moment = moment_of(at_us)
    priced = [(cost, entry) for entry in models if (cost := _text_cost(entry, moment))]
    listed = [(cost, entry) for cost, entry in priced if "variants" in entry]
    chosen = listed if 4 * len(listed) >= len(priced) else priced
    if not chosen:
        return None
    _, entry = max(chosen, key=lambda item: (item[0], item[1]["id"]))
    return resolve(entry, provider, at_us, {}, source, version)


def _text_cost(entry: Entry, moment: Moment) -> int:
    """`_token_sum` of a current text model, 0 of any other entry, or of what is none."""
    try:
        return _token_sum(rates_at(entry, moment)) if _is_text(entry) else 0
    except Exception as error:
        odd(error)
        return 0


def _is_text(entry: Entry) -> bool:
    return not entry.get("deprecated") and not any(word in entry["id"].lower() for word in _NOT_TEXT)


def _token_sum(rates: Mapping[str, Any]) -> int:
    """Nano of a million input and a million output tokens; 0 unless both have a price from the first on."""
    pair = [rates.get("input_tokens"), rates.get("output_tokens")]
    nanos = [nano_of(_first_price(rate)) for rate in pair if rate]
    return sum(nanos) if len(nanos) == 2 and all(nanos) else 0


def _first_price(rate: str | list[Any] | dict[str, Any]) -> str:
    found = rate if isinstance(rate, str) else rate["price"] if isinstance(rate, dict) else rate[0]
    return str(found)


def models_of(catalog: Mapping[str, Any], provider: str) -> list[Entry]:
    """A provider's own models, then those of the providers it falls back to (one step, list prices only: a
    fallback never offers the maker's variants, as in genai-prices)."""
    providers = catalog["providers"]
    models: list[Entry] = list(providers[provider]["models"])
    for other in providers[provider].get("fallback", ()):
        for entry in providers.get(other, {}).get("models", ()):
            models.append({key: value for key, value in entry.items() if key != "variants"})
    return models


def read_catalog(path: str) -> dict[str, Any]:
    """catalog.json. Raises OSError, or ValueError for anything that is not a catalogue of schema 1."""
    import json

    with open(path, "rb") as file:
        catalog = json.loads(file.read())
    if (
        not isinstance(catalog, dict)
        or catalog.get("schema") != 1
        or not isinstance(catalog.get("providers"), dict)
    ):
        raise ValueError("not a costmon price catalogue of schema 1")
    return catalog


def seed_rows(path: str) -> list[tuple[str, int, str, str, str]]:
    """catalog.json as rows (provider, layer, source, version, models as JSON) of the ledger's table
    `catalog`."""
    catalog = read_catalog(path)
    builtin = [
        (provider, 1, part["source"], part["version"], models_json(part["models"]))
        for provider, part in catalog.get("builtin", {}).items()
    ]
    return base_rows(catalog) + builtin


def base_rows(catalog: Mapping[str, Any]) -> list[tuple[str, int, str, str, str]]:
    """The base layer of `seed_rows`."""
    source, version = str(catalog["source"]), str(catalog["version"])
    return [
        (name, 2, source, version, models_json(models_of(catalog, name))) for name in catalog["providers"]
    ]


def models_json(models: Iterable[Entry]) -> str:
    """Entries as `costmon.shim.matching.Models` reads them: a JSON list, one entry a line."""
    lines = ",\n".join(map(compact_json, models))
    return f"[{lines}]"


def compact_json(value: object) -> str:
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
