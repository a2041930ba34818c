"""The one event schema: an Attempt is what is known before a metered call, a Settlement what is known after it.

Usage is a plain dict of counts with the keys of `TOKEN_COLUMNS` plus any other unit (`input_audio_tokens`,
`web_searches` …), always inclusive: `input_tokens` contains cache reads and writes, `output_tokens` contains reasoning.
"""

from __future__ import annotations

import os
from typing import NamedTuple

Usage = dict[str, int]

TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)
MAX_TEXT = 200
_UNSAFE = {
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)]),
    **dict.fromkeys(
        [0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
    ),
    **dict.fromkeys(range(0xD800, 0xE000)),
}


class Attempt(NamedTuple):
    """One attempt at one metered call, before it leaves.

    `estimate` is the reservation in nano of `currency`; `assumed` says that the price is unknown and the estimate is
    what enforcement assumes. `fingerprint` is a keyed hash of the request, '' without one. `run` is
    the id of the run, or of the process, that makes the call. Times are µs since 1970 UTC.
    """

    id: str
    created_at: int
    source: str
    app: str
    route: str
    job: str
    essential: bool
    api: str
    provider: str
    model: str
    endpoint: str
    input_tokens: int
    output_tokens: int
    estimate: int
    currency: str
    assumed: bool
    fingerprint: str = ""
    run: str = ""


class Settlement(NamedTuple):
    """What became of an attempt. `cost` is nano of `currency`, None = unknown; `charge` is what budgets are charged
    (the cost, or what an unknown price is assumed to have cost)."""

    settled_at: int
    outcome: str
    usage_status: str
    usage: Usage
    cost: int | None
    currency: str
    cost_status: str
    charge: int
    model: str = ""
    price_version: str | None = None
    status_code: int | None = None
    error: str | None = None
    service_tier: str | None = None
    duration_us: int | None = None
    first_token_us: int | None = None
    request_id: str | None = None
    response_id: str | None = None
    note: str | None = None


def new_id(at_us: int) -> str:
    """A UUIDv7 (RFC 9562 §5.7) of `at_us`, the microseconds in `rand_a` (§6.2, method 3): ids sort by time."""
    digits = f"{at_us // 1000:012x}"[-12:]
    random = int.from_bytes(os.urandom(10), "big")
    tail = (
        f"{0x7000 | at_us % 1000 * 4096 // 1000:04x}{0x8000 | random >> 12 & 0x3FFF:04x}{random >> 32:012x}"
    )
    return f"{digits[:8]}-{digits[8:]}-{tail[:4]}-{tail[4:8]}-{tail[8:]}"


def id_floor(at_us: int) -> str:
    """The smallest id an event created at `at_us` or later can have (ids carry milliseconds)."""
    digits = f"{at_us // 1000:012x}"[-12:]
    return f"{digits[:8]}-{digits[8:]}"


def clean(value: object, limit: int = MAX_TEXT) -> str:
    """`value` as one bounded line: control, bidi and surrogate characters removed, cut at `limit` characters."""
    if not isinstance(value, str):
        return ""
    if len(value) <= limit and value.isascii() and value.isprintable():
        return value.strip()
    text = value[: 4 * limit].translate(_UNSAFE).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
