"""Read a price file: TOML that corrects or adds to the catalogue, ours (`pricing/*.toml`) or the user's
(prices.toml, and prices.d/*.toml beside it).

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
    tiers = [{ above = 272_000, input = 4 }]   # by input tokens, for the whole call (mode = "cliff")
    when = [{ days = ["sat", "sun"], hours = ["22:00-06:00"], tz = "Asia/Seoul", multiply = 0.5 }]
    [[price.rate]]
    from = 2026-10-14
    context = { processing = "batch" }         # or service_tier = "flex"; replaces only the prices it names
    input = 1
    [[alias]]                                  # see `costmon.pricing.files.aliases`
    provider = "azure"
    match = "prod-chat-*"
    to = "azure:gpt-4o"
    [[price]]
    resource = "gpu-box"                       # see `costmon.pricing.files.resources`

A price's name is a unit of `costmon.shim.units` (`input_audio_tokens`, `audio_seconds` per hour, `requests`
per 1,000 …), a token unit also without `_tokens`. `when` multiplies all prices of its rate in those hours, or
replaces the ones it names; see `costmon.pricing.files.windows`. With `mode = "graduated"` a tier's price holds only for
what lies above it, counted in the unit itself and within one event. A file is read whole or refused whole, in one
sentence: file, key, what to do.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.pricing.files import windows
from costmon.pricing.files.aliases import read_alias
from costmon.pricing.files.rates import read_rates
from costmon.pricing.files.where import MAX_MESSAGE as MAX_MESSAGE
from costmon.pricing.files.where import Where, only, tables, text
from costmon.shim.cards import Entry
from costmon.shim.patterns import is_quick

if TYPE_CHECKING:
    from costmon.pricing.files.resources import ResourcePrice

MAX_BYTES = 1_000_000
_PRICE_KEYS = ("provider", "model", "match", "currency", "source", "checked", "rate")
_CLAUSES = ("equals", "starts_with", "ends_with", "contains", "regex")
_MAX_DEPTH = 8
MOST_CLAUSES = 2000
MOST_PATTERNS = 100
# Reading such a key takes the square of its length; parts are bare or in quotes.
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{30}}")


class PriceFile(NamedTuple):
    """A good file: entries per provider in the catalogue's format, and when each provider was last checked
    (the newest date, only where the file gives one); resources by name. `digest`: first 8 hex digits of its
    sha256."""

    path: str
    digest: str
    models: dict[str, list[Entry]]
    checked: dict[str, date]
    resources: dict[str, ResourcePrice]


def load_price_file(path: str, *, dated: bool = False) -> PriceFile:
    """The prices in the file at `path`.

    Args:
        dated: demand `source` and `checked` of every price (our own files).

    Raises:
        PriceError: the file cannot be read or is wrong, in one sentence.
    """
    at = Where(path)
    if not os.path.basename(path).isprintable():
        at.fail("has a name with characters that cannot be shown; rename the file")
    data = _read(at)
    document = _parse(at, data)
    room, patterns = windows.Room(), 0
    only(at, document, ("schema", "price", "alias"))
    schema = document.get("schema")
    if schema != 1 or isinstance(schema, bool):
        (at / "schema").fail("must be 1; write `schema = 1` at the top")
    models: dict[str, dict[str, Entry]] = {}
    checked: dict[str, date] = {}
    resources: dict[str, ResourcePrice] = {}
    for spot, table in tables(at / "price", document.get("price", [])):
        if dated:
            _has(spot, table, ("source", "checked"))
        if "resource" in table:
            _add_resource(spot, table, resources, dated=dated)
            continue
        provider, entry = _price(spot, table, room)
        patterns = _counted(spot, entry, patterns)
        _add(spot, models, provider, entry)
        if "checked" in table:
            checked[provider] = max(table["checked"], checked.get(provider, date.min))
    for spot, table in tables(at / "alias", document.get("alias", [])):
        provider, entry = read_alias(spot, table)
        patterns = _counted(spot, entry, patterns)
        _add(spot, models, provider, entry)
    listed = {name: sorted(found.values(), key=precedence) for name, found in models.items()}
    return PriceFile(path, hashlib.sha256(data).hexdigest()[:8], listed, checked, resources)


def _counted(at: Where, entry: Entry, before: int) -> int:
    """How many patterns the file has by now. Each is searched for every new name, while other apps wait."""
    count = before + patterns_of(entry["match"])
    if count > MOST_PATTERNS:
        at.fail(f"is the file's pattern number {MOST_PATTERNS + 1}; name models, or write their beginning")
    return count


def patterns_of(clause: Mapping[str, Any]) -> int:
    """How many regular expressions a clause has."""
    return sum(
        1 if kind == "regex" else sum(map(patterns_of, value)) if kind in ("or", "and") else 0
        for kind, value in clause.items()
    )


def precedence(entry: Entry) -> int:
    """Models, then aliases of one name, then patterns, then the stand-in for all models: none hides a closer one."""
    if entry["id"] == "*":
        return 3
    return 0 if "alias" not in entry else 1 if "equals" in entry["match"] else 2


def _add(at: Where, models: dict[str, dict[str, Entry]], provider: str, entry: Entry) -> None:
    if models.setdefault(provider, {}).setdefault(entry["id"], entry) is not entry:
        at.fail(f"names {provider} {entry['id']} a second time; merge the two")


def _add_resource(
    at: Where, table: dict[str, Any], resources: dict[str, ResourcePrice], *, dated: bool
) -> None:
    from costmon.pricing.files.resources import read_resource

    found = read_resource(at, table, dated=dated)
    if resources.setdefault(found.name, found) is not found:
        at.fail(f"names resource {found.name} a second time; merge the two")


def _read(at: Where) -> bytes:
    try:
        # A FIFO or device would block or never end: asked before it is opened, and opened without waiting.
        if not stat.S_ISREG(os.stat(at.path).st_mode):
            at.fail("is not a regular file; put a TOML file there or remove it")
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(at.path, flags), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        at.fail(f"cannot be read ({reason}); check its permissions")
    if len(data) > MAX_BYTES:
        at.fail(f"is over {MAX_BYTES:,} bytes; split it or remove what is not a price")
    return data


def _parse(at: Where, data: bytes) -> dict[str, Any]:
    try:
        document = data.decode("utf-8-sig")
        if _LONG_KEY.search(document):
            at.fail("has a key of over 30 parts; a price file needs no deep nesting")
        return tomllib.loads(document, parse_float=Decimal)
    except UnicodeDecodeError as error:
        at.fail(f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8")
    except RecursionError:
        at.fail("is nested too deeply; a price file needs no deep nesting")
    except (ValueError, ArithmeticError) as error:
        at.fail(f"is not valid TOML: {error}; mend that line")


def _has(at: Where, table: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key not in table:
            at.fail(f"has no {key}; add `{key} = …`")


def _price(at: Where, table: dict[str, Any], room: windows.Room) -> tuple[str, Entry]:
    only(at, table, _PRICE_KEYS)
    _has(at, table, ("provider", "model", "currency"))
    for key in ("provider", "model", "currency", "source"):
        text(at / key, table.get(key, "none"))
    if table["provider"].strip() == "?":
        (at / "provider").fail('is still "?"; write who serves the model, like "openai"')
    checked = table.get("checked", date.min)
    if not isinstance(checked, date) or isinstance(checked, datetime):
        (at / "checked").fail("must be a date without quotes, like 2026-11-20")
    if not re.fullmatch("[A-Z]{3}", table["currency"]):
        (at / "currency").fail(f"is {table['currency']!r}; write three capital letters, like USD or KRW")
    rows, variants = read_rates(at, table, room)
    entry: Entry = {"id": table["model"], "match": _match(at, table), "prices": rows}
    if variants:
        entry["variants"] = variants
    if table["currency"] != "USD":
        entry["currency"] = table["currency"]
    entry.update({key: str(table[key]) for key in ("source", "checked") if key in table})
    return table["provider"].lower(), entry


def _match(at: Where, table: dict[str, Any]) -> dict[str, Any]:
    own = {"equals": table["model"].lower()}
    if "match" not in table:
        return {"starts_with": ""} if table["model"] == "*" else own
    if table["model"] == "*":
        (at / "match").fail('says nothing more than model = "*"; remove it')
    return {"or": [own, _clause(at / "match", table["match"])]}


def _clause(at: Where, clause: object, depth: int = 0) -> dict[str, Any]:
    if not isinstance(clause, dict) or len(clause) != 1 or not {*clause} <= {*_CLAUSES, "or", "and"}:
        at.fail(f"must be a table with one of {', '.join(_CLAUSES)}, or, and")
    ((kind, value),) = clause.items()
    spot = at / kind
    if kind in ("or", "and"):
        if not isinstance(value, list) or not value:
            spot.fail("must be a list of clauses")
        if len(value) > MOST_CLAUSES:
            spot.fail(f"has over {MOST_CLAUSES:,} clauses; name models by their beginning")
        if depth == _MAX_DEPTH:
            spot.fail("is nested too deeply; write a flatter rule")
        return {kind: [_clause(spot / i, part, depth + 1) for i, part in enumerate(value)]}
    text(spot, value)
    if kind != "regex":
        return {kind: value.lower()}
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        spot.fail(f"is no regular expression ({error}); mend it")
    if not is_quick(value):
        spot.fail(
            "could take very long on some names, inside every app; write it simpler: no repetition in a repetition, "
            "^ at the start, and one * or +"
        )
    return {kind: value}
