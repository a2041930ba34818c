"""What a price takes: of an event whose card is at hand, of a new card, and of the first one in a process.

genai-prices and, where it is installed, litellm price the same call in the same run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from costmon.shim import cards
from costmon.shim.prices import Prices
from costmon.store import open_ledger
from tests.bench.rows import Row, row

ROUNDS = 200
CALLS = 50
PROCESSES = 15
USAGE = {"input_tokens": 4000, "cache_read_tokens": 1000, "output_tokens": 1000}
NAMES = [("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro")]
_MINUTE = 60_000_000
_NOW = 1_795_176_000_000_000  # 2026-11-20, 12:00 UTC
# The same process with and without a price: it has opened the ledger and read from it before the clock starts.
_FIRST = """
import sys, sqlite3, time, json
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("select value from setting where key = 'generation'").fetchall()
from costmon.shim import cards
from costmon.shim.prices import Prices
a = time.perf_counter()
if sys.argv[2]:
    card = Prices().card(db, sys.argv[2], sys.argv[3], 1795176000000000, "", anywhere=False)
    assert cards.price(card, {"input_tokens": 4000, "output_tokens": 1000}).nano
print((time.perf_counter() - a) * 1000)
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        store = open_ledger(home)
        try:
            yield from _here(store.db)
        finally:
            store.close()
        yield from _others()
        path = os.path.join(home, "ledger.db")
        for provider, model in (
            *NAMES,
            ("deepseek", "deepseek-v4-pro"),
            ("openrouter", "openai/gpt-4o-mini"),
        ):
            yield _first(path, provider, model)


def _here(db: sqlite3.Connection) -> Iterator[Row]:
    prices = Prices()

    def warm(at: int = _NOW) -> None:
        for provider, model in NAMES:
            card = prices.card(db, provider, model, at, "", anywhere=False)
            assert card is not None
            cards.price(card, USAGE)

    warm()
    yield row("price an event with its card at hand", _samples(warm), "µs", "≤ 5 µs", digits=2)
    minutes = iter(range(_NOW, _NOW + ROUNDS * CALLS * 2 * _MINUTE, _MINUTE))
    name = "  with a new card, as in each minute: resolved and hashed"
    yield row(name, _samples(lambda: warm(next(minutes))), "µs", "≤ 150 µs")
    yield row("  with a model not seen before: found, resolved and hashed", list(_new(db)), "µs", "≤ 150 µs")


def _new(db: sqlite3.Connection) -> Iterator[float]:
    """Microseconds of the first price of each model of two makers, once their rows are read."""
    prices = Prices()
    for provider in ("openai", "anthropic"):
        prices.card(db, provider, "", _NOW, "", anywhere=False)
        text = db.execute(
            "select models from catalog where provider = ? and layer = 2", (provider,)
        ).fetchone()[0]
        for entry in json.loads(text):
            start = time.perf_counter()
            card = prices.card(db, provider, entry["id"], _NOW, "", anywhere=False)
            if card is not None:
                cards.price(card, USAGE)
            yield (time.perf_counter() - start) * 1_000_000


def _others() -> Iterator[Row]:
    from datetime import UTC, datetime

    from genai_prices import Usage, calc_price

    at = datetime.fromtimestamp(_NOW // 1_000_000, UTC)

    def genai() -> None:
        for provider, model in NAMES:
            calc_price(Usage(**USAGE), model, provider_id=provider, genai_request_timestamp=at)

    yield row("  the same by genai-prices", _samples(genai, calls=5), "µs", "")
    if importlib.util.find_spec("litellm") is None:
        return
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    names = [
        ("gpt-4o-mini", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini/gemini-2.5-pro", "gemini"),
    ]

    def others() -> None:
        for model, provider in names:
            litellm.cost_per_token(  # type: ignore[attr-defined]
                model, 4000, 1000, custom_llm_provider=provider, cache_read_input_tokens=1000
            )

    yield row("  the same by litellm", _samples(others, calls=5), "µs", "")


def _samples(call: Callable[[], None], calls: int = CALLS) -> list[float]:
    """Microseconds of one price, averaged over `calls` rounds of all names."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        found.append((time.perf_counter() - start) * 1_000_000 / calls / len(NAMES))
    return found


def _first(path: str, provider: str, model: str) -> Row:
    """What the first price of a process adds, over one that does everything but price; in turns."""
    samples = []
    for _ in range(PROCESSES):
        without, with_price = _process(path, "", ""), _process(path, provider, model)
        samples.append(with_price - without)
    return row(f"the first price in a process ({provider} {model})", samples, "ms", "≤ 2 ms", digits=2)


def _process(path: str, provider: str, model: str) -> float:
    command = [sys.executable, "-c", _FIRST, path, provider, model]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
