"""Tokens per byte of text of one model, learned from the ledger's own events: for models whose tokenizer is not public.

Only events that tell both are used: a usage the provider reported, and the bytes of text of the answer. Reasoning that
is billed but not shown would make every byte look dear, so answers with reported reasoning are left out, and so is an
answer with more tokens than bytes, which no text has.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from fractions import Fraction
from typing import NamedTuple

from costmon import paths
from costmon.shim.events import clean
from costmon.shim.units import OUTPUT_BYTES

ENOUGH_CALLS = 5
ENOUGH_BYTES = 1_000
NEWEST = 500
LEAST_SPREAD = Fraction(1, 10)  # answers that are all alike say little about another text
SEARCH_S = 0.25  # a ledger of millions of events is not searched to its end
REMEMBER_S = 60.0
_MAX_REMEMBERED = 256


class Ratio(NamedTuple):
    """Tokens per byte: `best` is all tokens over all bytes; between `low` and `high` lie four fifths of the bytes, and
    at least ±10 % of `best`. From `calls` calls at `provider`."""

    best: Fraction
    low: Fraction
    high: Fraction
    calls: int
    provider: str


class Sample(NamedTuple):
    provider: str
    tokens: int
    bytes: int


_remembered: dict[tuple[str, str], tuple[float, Ratio | None]] = {}


def learned(model: str) -> Ratio | None:
    """What the ledger tells of `model`, at most a minute old; None without a ledger or with too little in it.

    Reads only and takes at most about 0.3 s; SQLite may leave its `-wal` and `-shm` files beside the ledger.
    """
    path = paths.ledger_file()
    key = (path, base_name(model))
    at, ratio = _remembered.get(key, (0.0, None))
    now = time.monotonic()
    if key not in _remembered or now - at > REMEMBER_S:
        ratio = ratio_of(_samples(path, key[1]))
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[key] = (now, ratio)
    return ratio


def base_name(model: str) -> str:
    """A model's name without gateway, region, fine-tune, version and date: of `us.anthropic.claude-opus-5-v1:0` and
    `anthropic/claude-opus-5-20260901` both times `claude-opus-5`."""
    name = model.strip().lower().rpartition("/")[2]
    if name.startswith("ft:"):
        name = name.split(":")[1]
    name = re.sub(r"^(?:[a-z]+\.)+(?=[a-z])", "", name.partition("@")[0])
    return re.sub(r"(?:-latest|-20\d{2}-?\d{2}-?\d{2})?(?:-v\d+)?(?::\w+)?$", "", name)


def ratio_of(samples: list[Sample]) -> Ratio | None:
    """The ratio at the provider with the most calls; None under 5 calls or 1,000 bytes."""
    by_provider: dict[str, list[Sample]] = {}
    for sample in samples:
        by_provider.setdefault(sample.provider, []).append(sample)
    if not by_provider:
        return None
    provider, known = max(by_provider.items(), key=lambda item: (len(item[1]), item[0]))
    text = sum(sample.bytes for sample in known)
    if len(known) < ENOUGH_CALLS or text < ENOUGH_BYTES:
        return None
    best = Fraction(sum(sample.tokens for sample in known), text)
    low = min(_quantile(known, Fraction(1, 10)), best * (1 - LEAST_SPREAD))
    high = max(_quantile(known, Fraction(9, 10)), best * (1 + LEAST_SPREAD))
    return Ratio(best, low, high, len(known), provider)


def _quantile(samples: list[Sample], share: Fraction) -> Fraction:
    """The ratio up to which `share` of all bytes lie: by bytes, because a short answer's ratio is mostly chance."""
    ordered = sorted((Fraction(sample.tokens, sample.bytes), sample.bytes) for sample in samples)
    wanted = share * sum(size for _, size in ordered)
    below = 0
    for ratio, size in ordered:
        below += size
        if below >= wanted:
            return ratio
    return ordered[-1][0]


def _samples(path: str, base: str) -> list[Sample]:
    """The newest 500 usable events of a model; what was found in time if there are too many to look through."""
    found: list[Sample] = []
    if not base or not os.path.isfile(path):
        return found
    from urllib.request import pathname2url

    try:
        db = sqlite3.connect(f"file:{pathname2url(path)}?mode=ro", uri=True, timeout=0.1)
    except (sqlite3.Error, OSError, ValueError):
        return found
    end = time.monotonic() + SEARCH_S
    try:
        db.set_progress_handler(lambda: time.monotonic() > end, 1000)
        for provider, model, tokens, units in db.execute(_EVENTS, (base,)):
            sample = _sample(provider, tokens, units) if base_name(model) == base else None
            if sample is not None:
                found.append(sample)
            if len(found) >= NEWEST:
                break
    except (sqlite3.Error, OSError, ValueError):
        pass  # out of time, busy, foreign or damaged: what came so far is all there is
    finally:
        db.close()
    return found


def _sample(provider: str, tokens: int, units: str) -> Sample | None:
    size = json.loads(units).get(OUTPUT_BYTES)
    if type(size) is not int or type(tokens) is not int or not 0 < tokens <= size:
        return None
    return Sample(clean(provider, 40), tokens, size)


# Newest first: ids are UUIDv7. The bytes are kept in a part of the events only.
_EVENTS = f"""select provider, model, output_tokens, units from event
    where units like '%"{OUTPUT_BYTES}"%' and state = 'settled' and usage_status = 'reported'
    and coalesce(reasoning_tokens, 0) = 0 and output_tokens > 0 and instr(lower(model), ?) > 0
    order by id desc"""  # noqa: S608 - the key is ours
