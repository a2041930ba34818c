"""The rates of a price: dated rows of unit prices, with tiers, contexts and hours of the week.

A [[price.rate]] becomes one row of the catalogue, and one more for each window of `when`; see `costmon.pricing.files.read`
for the file and `costmon.shim.cards` for the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

from costmon.pricing.files import windows
from costmon.pricing.files.where import Where, shown, tables, text
from costmon.shim.units import units

Row = dict[str, Any]
Price = str | list[Any] | dict[str, Any]
_MOST = 10**9  # an integer: to compare a Decimal with a huge integer takes seconds
_DEAREST, _DEAREST_USD = Decimal(_MOST), Decimal(10**6)
_MOST_TIERS = 100
_SMALLEST = -30  # a power of ten; Decimal takes far smaller ones for 0
_FURTHEST = 10**15
_RATE_KEYS = ("from", "until", "per", "context", "tiers", "mode", "when")
_FIRST, _LAST = "", "z"  # before and after every ISO date


def read_rates(at: Where, table: dict[str, Any], room: windows.Room) -> tuple[list[Row], list[Row]]:
    """(rows, variants) of one price, each by date and checked for overlaps."""
    found = [(spot, _rows(spot, rate, room)) for spot, rate in tables(at / "rate", table.get("rate", []))]
    for spot, rows in found:
        _bounded(spot, rows, table["currency"])
    found.sort(key=lambda item: (_context_of(item[1][0]), item[1][0].get("from", _FIRST)))
    for (first, (one, *_)), (second, (other, *_)) in pairwise(found):
        same = _context_of(one) == _context_of(other)
        if same and other.get("from", _FIRST) < one.get("until", _LAST):
            second.fail(f"overlaps {first.key} in time; end one where the other starts (until = from)")
    plain = [rows for _, rows in found if "when" not in rows[0]]
    if not plain:
        at.fail("has no [[price.rate]] without a context; add one with its prices")
    # Of active rows the last one holds, of active variants the first: a window before or after its rate.
    variants = [row for _, rows in found if "when" in rows[0] for row in reversed(rows)]
    return [row for rows in plain for row in rows], variants


def _bounded(at: Where, rows: list[Row], currency: str) -> None:
    """A price that is absurd is a wrong `per`: it would stop every app at once, or make sums that no ledger holds."""
    most = _DEAREST_USD if currency == "USD" else _DEAREST
    for rates in {id(row["rates"]): row["rates"] for row in rows}.values():
        for unit, price in rates.items():
            dearest = max(map(Decimal, _figures(price)))
            if dearest > most:
                per = units()[unit].per
                at.fail(
                    f"makes {per:,} {unit} cost {dearest:,} {currency}, over {most:,}; "
                    "check the amount and `per`"
                )


def _figures(price: Price) -> list[str]:
    if isinstance(price, str):
        return [price]
    if isinstance(price, dict):
        return [price["price"], *(dearer for _, dearer in price["graduated"])]
    return [price[0], *(dearer for _, dearer in price[1:])]


def _context_of(row: Row) -> list[tuple[str, str]]:
    return sorted(row.get("when", {}).items())


def _rows(at: Where, rate: dict[str, Any], room: windows.Room) -> list[Row]:
    """The row of a rate, then one for each stretch of its windows."""
    row: Row = {}
    if "context" in rate:
        row["when"] = _context(at / "context", rate["context"])
    for key in ("from", "until"):
        if key in rate:
            row[key] = instant(at / key, rate[key])
    if row.get("from", _FIRST) >= row.get("until", _LAST):
        (at / "until").fail("is not after from; prices hold from `from` up to, not including, `until`")
    per = rate.get("per", 1_000_000)
    if isinstance(per, bool) or per not in (1, 1000, 1_000_000):
        (at / "per").fail(f"is {shown(per)}; write 1, 1_000 or 1_000_000 (tokens)")
    row["rates"] = _prices(at, rate, int(per), _RATE_KEYS)
    if not row["rates"]:
        at.fail("has no price; add `input = …` and `output = …`, 0 if it is free")
    if "when" not in row:
        _whole(at, row["rates"])
    if "tiers" in rate:
        _add_tiers(at, row["rates"], rate, int(per))
    elif "mode" in rate:
        (at / "mode").fail("says how tiers work, and there are none; add `tiers = [{ above = …, … }]`")
    if "when" not in rate:
        return [row]
    return [row, *_in_windows(at / "when", row, rate["when"], int(per), room)]


def _in_windows(at: Where, row: Row, listed: object, per: int, room: windows.Room) -> list[Row]:
    found = []
    if isinstance(listed, list) and len(listed) > windows.MOST:
        at.fail(f"has over {windows.MOST} windows; write fewer, longer ones")
    for spot, table in tables(at, listed):
        window = windows.read_window(spot, table, room)
        rates = _changed(spot, row["rates"], table, per)
        if "when" not in row:
            _whole(spot, rates)
        found.append((spot, window, rates))
    listed_windows = [window for _, window, _ in found]
    room.take(at, listed_windows, (row.get("from"), row.get("until")))
    pair = windows.first_overlap(listed_windows)
    if pair is not None:
        found[pair[1]][0].fail(f"overlaps {found[pair[0]][0].key}; an hour can have one price")
    rows = []
    for _, window, rates in found:
        for start, end, minutes in windows.in_utc(window, row.get("from"), row.get("until")):
            dates = {key: value for key, value in (("from", start), ("until", end)) if value is not None}
            context = {"when": row["when"]} if "when" in row else {}
            rows.append({**context, **dates, "week": minutes, "rates": rates})
    return rows


def _changed(at: Where, rates: dict[str, Price], table: dict[str, Any], per: int) -> dict[str, Price]:
    """The rates inside a window: all multiplied, or some replaced."""
    own = _prices(at, table, per, (*windows.KEYS, "multiply"))
    if ("multiply" in table) == bool(own):
        at.fail("must have either `multiply = …` or prices of its own, like `input = …`")
    if own:
        for unit in own:
            if not isinstance(rates.get(unit, ""), str):
                at.fail(f"replaces {unit}, which has tiers; use `multiply = …` instead")
        return {**rates, **own}
    spot = at / "multiply"
    factor = _number(spot, table["multiply"])
    return {unit: _each(price, lambda text: _times(spot, text, factor)) for unit, price in rates.items()}


def _times(at: Where, price: str, factor: Decimal) -> str:
    return _exact(at, price, lambda: Decimal(price) * factor)


def _each(price: Price, change: Callable[[str], str]) -> Price:
    """A price with `change` made to each figure in it."""
    if isinstance(price, str):
        return change(price)
    if isinstance(price, dict):
        steps = [[above, change(dearer)] for above, dearer in price["graduated"]]
        return {"price": change(price["price"]), "graduated": steps}
    return [change(price[0]), *([above, change(dearer)] for above, dearer in price[1:])]


def _prices(at: Where, table: Mapping[str, Any], per: int, others: tuple[str, ...]) -> dict[str, Any]:
    """The prices in `table`, as decimal texts for each unit's usual amount; `others` are keys of another
    meaning."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key in others:
            continue
        unit = key if key in units() else f"{key}_tokens"
        if unit not in units() or "resource" in units()[unit].words:
            (at / key).fail("is no unit known here; write input, output, cache_read, web_searches …")
        if unit in found:
            (at / key).fail(f"gives {unit} a second time; keep one")
        amount = per if "tokens" in units()[unit].words else units()[unit].per
        found[unit] = _decimal(at / key, value, amount, unit)
    return found


def _decimal(at: Where, value: object, per: int, unit: str) -> str:
    price = _number(at, value)
    return _exact(at, str(price), lambda: price * units()[unit].per / per)


def _number(at: Where, value: object) -> Decimal:
    """A finite number from 0 to a billion."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        at.fail(f"is {shown(value)!r}; write a number, like 2.5")
    if isinstance(value, int) and value > _MOST:
        at.fail(f"is over {_DEAREST:,}; check the amount and `per`")
    if isinstance(value, int) and value < -_MOST:
        at.fail("is below zero; write 0 or more")
    number = Decimal(value)
    if not number.is_finite():
        at.fail(f"is {number}; write a number, like 2.5")
    if number < 0:
        at.fail(f"is {str(number)[:40]}, below zero; write 0 or more")
    if number > _DEAREST:
        at.fail(f"is over {_DEAREST:,}; check the amount and `per`")
    if number and number.adjusted() < _SMALLEST:
        at.fail("has more than 9 decimals; round it")
    return number


def _exact(at: Where, shown: str, work: Callable[[], Decimal]) -> str:
    """The result of `work` as a plain decimal text of at most 9 places."""
    with localcontext() as context:
        context.prec = 60
        scaled = work()
        exact = scaled.quantize(Decimal("1e-9"))
        if len(shown) > 50 or exact != scaled:
            at.fail("has more than 9 decimals; round it")
        text = f"{abs(exact):f}"
    return text.rstrip("0").rstrip(".")


def _whole(at: Where, rates: Mapping[str, Any]) -> None:
    """A price for a part needs one for the whole, or what is left of the whole would cost nothing."""
    table = units()
    for whole in ("input_tokens", "output_tokens"):
        part = next((key for key in rates if table[whole].words < table[key].words), None)
        if part and whole not in rates:
            at.fail(f"has a price for {part} but none for {whole}; add `{whole.removesuffix('_tokens')} = …`")


def _add_tiers(at: Where, rates: dict[str, Any], rate: dict[str, Any], per: int) -> None:
    mode = rate.get("mode", "cliff")
    if mode not in ("cliff", "graduated"):
        (at / "mode").fail(
            f'is {shown(mode)!r}; write "cliff" (the whole call) or "graduated" (what is above)'
        )
    above = -1
    if isinstance(rate["tiers"], list) and len(rate["tiers"]) > _MOST_TIERS:
        (at / "tiers").fail(f"has over {_MOST_TIERS} tiers; write fewer")
    for spot, tier in tables(at / "tiers", rate["tiers"]):
        start = tier.get("above")
        if not isinstance(start, int) or isinstance(start, bool) or not above < start < _FURTHEST:
            what = "input tokens" if mode == "cliff" else "units"
            (spot / "above").fail(f"must be a whole number of {what}, each tier's above the one before")
        above = start
        prices = _prices(spot, tier, per, ("above",))
        if not prices:
            spot.fail("has no price; add one, like `input = …`")
        for unit, price in prices.items():
            if unit not in rates:
                spot.fail(f"has a price for {unit} but the rate itself has none; add it there too")
            if mode == "cliff":
                rates[unit] = _cliff(rates[unit], start, price)
            else:
                rates[unit] = _graduated(spot / "above", rates[unit], unit, start, price)


def _cliff(base: str | list[Any], above: int, price: str) -> list[Any]:
    return [base, [above, price]] if isinstance(base, str) else [*base, [above, price]]


def _graduated(at: Where, base: str | dict[str, Any], unit: str, above: int, price: str) -> dict[str, Any]:
    per = units()[unit].per
    step: int | str = above // per
    if above % per:
        share = Decimal(above) / per
        if share * per != above or share != share.quantize(Decimal("1e-9")):
            at.fail(f"must be a multiple of {per:,}, which is what {unit} is priced per")
        step = f"{share:f}"
    start = {"price": base, "graduated": []} if isinstance(base, str) else base
    return {**start, "graduated": [*start["graduated"], [step, price]]}


def _context(at: Where, context: object) -> dict[str, str]:
    if (
        not isinstance(context, dict)
        or not context
        or not all(isinstance(v, str) and v for v in context.values())
    ):
        at.fail('must be a table of texts, like { service_tier = "flex" } or { processing = "batch" }')
    for key, value in context.items():
        text(at, key)
        text(at / key, value)
    return dict(context)


def instant(at: Where, value: object) -> str:
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
