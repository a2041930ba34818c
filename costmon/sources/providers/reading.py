"""Values out of a provider's JSON: exact, typed, or a SourceError that names what was not as documented."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, NoReturn

from costmon.shim.events import clean
from costmon.sources.providers.protocol import SourceError

MOST = Decimal(10) ** 9
"""No figure of a solo operator is a thousand million; what is, is a mistake in the answer."""
_MAX_TEXT, _MAX_CURSOR = 200, 2000
_NUMERIC = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")
_DATED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ]|\Z)")
_EXACT = Context(prec=200)


def fail(where: str, problem: str) -> NoReturn:
    """`where` is the path of the field, `problem` continues the sentence after it."""
    raise SourceError(
        "schema", f"the answer's {where} {problem}; the provider may have changed it: update costmon"
    )


def table(value: Any, where: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        fail(where, f"is {_kind(value)}, not an object")
    return value


def rows(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of JSON objects."""
    if not isinstance(value, list):
        fail(where, f"is {_kind(value)}, not a list")
    return [table(item, f"{where}[{index}]") for index, item in enumerate(value)]


def need(data: dict[str, Any], key: str, where: str = "") -> Any:
    """`data[key]`; null counts as missing."""
    if data.get(key) is None:
        fail(f"{where}{'.' if where else ''}{key}", "is missing")
    return data[key]


def decimal(value: Any, where: str) -> Decimal:
    """A number or a numeric text, exact and finite."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        fail(where, f"is {_kind(value)}, not a number")
    if isinstance(value, str) and not _NUMERIC.fullmatch(value.strip()):
        fail(where, "is a text that is no number")
    number = Decimal(value.strip() if isinstance(value, str) else value)
    if not number.is_finite() or number.adjusted() > 30 or _EXACT.abs(number) > MOST * 10**12:
        fail(where, "is no possible amount")
    return number or Decimal(0)


def money(value: Any, where: str, *, scale: int = 0) -> Decimal:
    """An amount, `scale` decimal places to the right: 2 for cents, 10 for ticks. In major units."""
    amount = decimal(value, where).scaleb(-scale, _EXACT)
    if _EXACT.abs(amount) > MOST:
        fail(where, "is no possible amount")
    return amount


def count(value: Any, where: str) -> int | None:
    """A whole number of 0 or more; None stays None."""
    if value is None:
        return None
    number = decimal(value, where)
    if number != number.to_integral_value() or not 0 <= number < 2**62:
        fail(where, "is no count")
    return int(number)


def text(value: Any, where: str = "") -> str:
    """A short text safe to store and to show; '' for null."""
    if value is None:
        return ""
    if not isinstance(value, str):
        fail(where or "text", f"is {_kind(value)}, not a text")
    return clean(value, _MAX_TEXT)


def cursor(value: Any, where: str = "cursor") -> str:
    """A text to send back as it is; '' for null. Never cut, as `text` would: half a cursor asks for something else."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_CURSOR or clean(value, _MAX_CURSOR) != value:
        fail(where, "is nothing that can be sent back")
    return value


def currency(value: Any, where: str) -> str:
    """Three letters, upper case."""
    code = text(value, where)
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        fail(where, "is no currency code")
    return code.upper()


def unix(value: Any, where: str) -> datetime:
    """Seconds since 1970 as an instant."""
    number = count(value, where)
    if number is None or not 0 < number < 10**11:
        fail(where, "is no time in Unix seconds")
    try:
        return datetime.fromtimestamp(number, UTC)
    except (ValueError, OverflowError, OSError):
        fail(where, "is no time in Unix seconds")


def instant(value: Any, where: str) -> datetime:
    """RFC 3339 with a zone as an instant; a date alone is its midnight in UTC."""
    written = text(value, where)
    if not _DATED.match(written):
        fail(where, "is no time")
    try:
        found = datetime.fromisoformat(written)
        found = found.replace(tzinfo=UTC) if len(written) == 10 else found
        if found.tzinfo is None:
            fail(where, "is a time without a zone")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        fail(where, "is no time")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {dict: "an object", list: "a list", str: "a text", int: "a number", Decimal: "a number"}
    return names.get(type(value), "something else")
