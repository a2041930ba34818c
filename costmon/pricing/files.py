"""Read a price file: TOML that corrects or adds to the catalogue, ours (`pricing/*.toml`) or the user's
(prices.toml).

    schema = 1
    [[price]]
    provider = "anthropic"
    model = "claude-sonnet-5-5"                # "*" = every model of the provider
    match = { starts_with = "claude-sonnet-5-5@" }  # further names; a clause of `costmon.shim.cards`
    currency = "USD"
    source = "https://…"                       # where the figures are from
    checked = 2026-11-20
    [[price.rate]]
    from = 2026-10-07                          # half-open [from, until), UTC; either may be missing
    per = 1_000_000                            # tokens a token price is for; other units: see below
    input = 2
    output = 10
    cache_read = 0.10
    web_searches = 10                          # per 1,000
    tiers = [{ above = 272_000, input = 4 }]   # cliff on all input tokens, for the whole call
    [[price.rate]]
    from = 2026-10-14
    context = { processing = "batch" }         # or service_tier = "flex"; replaces only the prices it names
    input = 1

A price's name is a unit of `costmon.shim.units` (`input_audio_tokens`, `audio_seconds` per hour, `requests`
per 1,000 …), a token unit also without `_tokens`. A file is read whole or refused whole, in one sentence:
file, key, what to do.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from costmon.errors import PriceError
from costmon.shim.cards import Entry
from costmon.shim.events import clean
from costmon.shim.units import units

MAX_BYTES = 1_000_000
MAX_MESSAGE = 600
_DEAREST = Decimal(10**9)
_PRICE_KEYS = ("provider", "model", "match", "currency", "source", "checked", "rate")
_RATE_KEYS = ("from", "until", "per", "context", "tiers")
_CLAUSES = ("equals", "starts_with", "ends_with", "contains", "regex")
_FIRST, _LAST = "", "z"  # before and after every ISO date


class PriceFile(NamedTuple):
    """A good file: entries per provider in the catalogue's format, and when each provider was last checked
    (the newest date, None if the file gives none). `digest`: first 8 hex digits of its sha256."""

    path: str
    digest: str
    models: dict[str, list[Entry]]
    checked: dict[str, date]


class _At:
    """Where in a file we are, for the one sentence of an error."""

    def __init__(self, path: str, key: str = "") -> None:
        self.path = path
        self.key = key

    def __truediv__(self, key: str | int) -> _At:
        if isinstance(key, int):
            return _At(self.path, f"{self.key}[{key + 1}]")
        return _At(self.path, f"{self.key}.{key}" if self.key else key)

    def fail(self, text: str) -> NoReturn:
        where = f"{self.path}: {self.key}" if self.key else f"{self.path}:"
        raise PriceError(clean(f"{where} {text}", MAX_MESSAGE))


def load_price_file(path: str, *, dated: bool = False) -> PriceFile:
    """The prices in the file at `path`.

    Args:
        dated: demand `source` and `checked` of every price (our own files).

    Raises:
        PriceError: the file cannot be read or is wrong, in one sentence.
    """
    at = _At(path)
    data = _read(at)
    document = _parse(at, data)
    _only(at, document, ("schema", "price"))
    if document.get("schema") != 1:
        (at / "schema").fail("must be 1; write `schema = 1` at the top")
    models: dict[str, dict[str, Entry]] = {}
    checked: dict[str, date] = {}
    for spot, table in _tables(at / "price", document.get("price", [])):
        provider, entry = _price(spot, table, dated=dated)
        if models.setdefault(provider, {}).setdefault(entry["id"], entry) is not entry:
            spot.fail(f"names {provider} {entry['id']} a second time; merge the two")
        if "checked" in table:
            checked[provider] = max(table["checked"], checked.get(provider, date.min))
    # The stand-in for all models must not hide the others.
    listed = {
        name: sorted(found.values(), key=lambda entry: entry["id"] == "*") for name, found in models.items()
    }
    return PriceFile(path, hashlib.sha256(data).hexdigest()[:8], listed, checked)


def _read(at: _At) -> bytes:
    try:
        # A FIFO or device would block or never end.
        if not stat.S_ISREG(os.stat(at.path).st_mode):
            at.fail("is not a regular file; put a TOML file there or remove it")
        with open(at.path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        at.fail(f"cannot be read ({error.strerror}); check its permissions")
    if len(data) > MAX_BYTES:
        at.fail(f"is over {MAX_BYTES:,} bytes; split it or remove what is not a price")
    return data


def _parse(at: _At, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        at.fail(f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8")
    except RecursionError:
        at.fail("is nested too deeply; a price file needs no deep nesting")
    except ValueError as error:
        at.fail(f"is not valid TOML: {error}; mend that line")


def _price(at: _At, table: dict[str, Any], *, dated: bool) -> tuple[str, Entry]:
    _only(at, table, _PRICE_KEYS)
    for key in ("provider", "model", "currency", *(("source", "checked") if dated else ())):
        if key not in table:
            at.fail(f"has no {key}; add `{key} = …`")
    for key in ("provider", "model", "currency", "source"):
        _text(at / key, table.get(key, "none"))
    checked = table.get("checked", date.min)
    if not isinstance(checked, date) or isinstance(checked, datetime):
        (at / "checked").fail("must be a date without quotes, like 2026-11-20")
    if not re.fullmatch("[A-Z]{3}", table["currency"]):
        (at / "currency").fail(f"is {table['currency']!r}; write three capital letters, like USD or KRW")
    rows, variants = _rates(at, table)
    entry: Entry = {"id": table["model"], "match": _match(at, table), "prices": rows}
    if variants:
        entry["variants"] = variants
    if table["currency"] != "USD":
        entry["currency"] = table["currency"]
    return table["provider"].lower(), entry


def _match(at: _At, table: dict[str, Any]) -> dict[str, Any]:
    own = {"equals": table["model"].lower()}
    if "match" not in table:
        return {"starts_with": ""} if table["model"] == "*" else own
    if table["model"] == "*":
        (at / "match").fail('says nothing more than model = "*"; remove it')
    return {"or": [own, _clause(at / "match", table["match"])]}


def _clause(at: _At, clause: object) -> dict[str, Any]:
    if not isinstance(clause, dict) or len(clause) != 1 or not {*clause} <= {*_CLAUSES, "or", "and"}:
        at.fail(f"must be a table with one of {', '.join(_CLAUSES)}, or, and")
    ((kind, value),) = clause.items()
    spot = at / kind
    if kind in ("or", "and"):
        if not isinstance(value, list) or not value:
            spot.fail("must be a list of clauses")
        return {kind: [_clause(spot / i, part) for i, part in enumerate(value)]}
    _text(spot, value)
    if kind != "regex":
        return {kind: value.lower()}
    try:
        re.compile(value)
    except re.error as error:
        spot.fail(f"is no regular expression ({error}); mend it")
    return {kind: value}


def _rates(at: _At, table: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows, variants) of one price, each by date and checked for overlaps."""
    found = [(spot, _row(spot, rate)) for spot, rate in _tables(at / "rate", table.get("rate", []))]
    found.sort(key=lambda item: (sorted(item[1].get("when", {}).items()), item[1].get("from", _FIRST)))
    for (first, one), (second, other) in pairwise(found):
        if one.get("when") == other.get("when") and other.get("from", _FIRST) < one.get("until", _LAST):
            second.fail(f"overlaps {first.key} in time; end one where the other starts (until = from)")
    rows = [row for _, row in found if "when" not in row]
    if not rows:
        at.fail("has no [[price.rate]] without a context; add one with its prices")
    return rows, [row for _, row in found if "when" in row]


def _row(at: _At, rate: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if "context" in rate:
        row["when"] = _context(at / "context", rate["context"])
    for key in ("from", "until"):
        if key in rate:
            row[key] = _instant(at / key, rate[key])
    if row.get("from", _FIRST) >= row.get("until", _LAST):
        (at / "until").fail("is not after from; prices hold from `from` up to, not including, `until`")
    per = rate.get("per", 1_000_000)
    if per not in (1, 1000, 1_000_000) or isinstance(per, bool):
        (at / "per").fail(f"is {per!r}; write 1, 1_000 or 1_000_000 (tokens)")
    row["rates"] = _prices(at, rate, per, _RATE_KEYS)
    if not row["rates"]:
        at.fail("has no price; add `input = …` and `output = …`, 0 if it is free")
    if "when" not in row:
        _whole(at, row["rates"])
    if "tiers" in rate:
        _add_tiers(at / "tiers", row["rates"], rate["tiers"], per)
    return row


def _prices(at: _At, table: dict[str, Any], per: int, others: tuple[str, ...]) -> dict[str, Any]:
    """The prices in `table`, as decimal texts for each unit's usual amount; `others` are keys of another
    meaning."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in others:
            continue
        unit = key if key in units() else f"{key}_tokens"
        if unit not in units():
            (at / key).fail("is no unit known here; write input, output, cache_read, web_searches …")
        if unit in found:
            (at / key).fail(f"gives {unit} a second time; keep one")
        amount = per if "tokens" in units()[unit].words else units()[unit].per
        found[unit] = _decimal(at / key, value, amount, unit)
    return found


def _decimal(at: _At, value: object, per: int, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        at.fail(f"is {str(value)[:40]!r}; write a number, like 2.5")
    price = Decimal(value)
    if not price.is_finite():
        at.fail(f"is {price}; write a number, like 2.5")
    if price < 0:
        at.fail(f"is {price}, below zero; write 0 or more")
    if price > _DEAREST:
        at.fail(f"is over {_DEAREST:,}; check the amount and `per`")
    scaled = price * units()[unit].per / per
    exact = scaled.quantize(Decimal("1e-9"))
    if exact != scaled:
        at.fail("has more than 9 decimals; round it")
    text = f"{abs(exact):f}"
    return text.rstrip("0").rstrip(".")


def _whole(at: _At, rates: dict[str, Any]) -> None:
    """A price for a part needs one for the whole, or what is left of the whole would cost nothing."""
    table = units()
    for whole in ("input_tokens", "output_tokens"):
        part = next((key for key in rates if table[whole].words < table[key].words), None)
        if part and whole not in rates:
            at.fail(f"has a price for {part} but none for {whole}; add `{whole.removesuffix('_tokens')} = …`")


def _add_tiers(at: _At, rates: dict[str, Any], tiers: object, per: int) -> None:
    above = -1
    for spot, tier in _tables(at, tiers):
        start = tier.get("above")
        if not isinstance(start, int) or isinstance(start, bool) or start <= above:
            (spot / "above").fail("must be a whole number of input tokens, each tier's above the one before")
        above = start
        for unit, price in _prices(spot, tier, per, ("above",)).items():
            if unit not in rates:
                spot.fail(f"has a price for {unit} but the rate itself has none; add it there too")
            base = rates[unit]
            rates[unit] = [base, [start, price]] if isinstance(base, str) else [*base, [start, price]]


def _context(at: _At, context: object) -> dict[str, str]:
    if (
        not isinstance(context, dict)
        or not context
        or not all(isinstance(v, str) and v for v in context.values())
    ):
        at.fail('must be a table of texts, like { service_tier = "flex" } or { processing = "batch" }')
    return dict(context)


def _instant(at: _At, value: object) -> str:
    """A date or aware time as the catalogue writes it, UTC to the second."""
    if not isinstance(value, date):
        at.fail("must be a date or time without quotes, like 2026-10-07")
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        at.fail("has no time zone; write it like 2026-10-07T00:00:00Z, or as a date")
    if value.microsecond:
        at.fail("has a fraction of a second; prices change on whole seconds")
    try:
        text = value.astimezone(UTC).isoformat()
    except OverflowError:
        at.fail("lies outside the calendar; write a year from 1970 on")
    return text[:19].removesuffix("T00:00:00")


def _tables(at: _At, value: object) -> Iterator[tuple[_At, dict[str, Any]]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        at.fail("must be a list of tables")
    for i, item in enumerate(value):
        yield at / i, item


def _only(at: _At, table: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for key in table:
        if key not in allowed:
            (at / key).fail(f"is no key known here; the keys are {', '.join(allowed)}")


def _text(at: _At, value: object) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > 500:
        at.fail("must be a text in quotes, not empty and at most 500 characters")
