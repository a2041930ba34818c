"""The switch check of every call: open, fstat and read of each scope that could block it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator

from costmon.shim import switch
from tests.bench.rows import Row, row

ROUNDS = 5000


def rows() -> Iterator[Row]:
    scopes = switch.scopes_of("openai", "gpt-4o-mini", "trader", "/decide", "trade")
    with tempfile.TemporaryDirectory() as folder:
        yield row("switch check, 7 scopes, none blocked", _time(folder, scopes), "µs", "≤ 20 µs")
        switch.write(folder, switch.Block("job=trade", "bench", since=0))
        yield row("switch check, 7 scopes, the last one blocked", _time(folder, scopes), "µs", "")
        os.remove(os.path.join(folder, "job=trade"))


def _time(folder: str, scopes: list[str]) -> list[float]:
    samples = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        switch.check(folder, scopes, 0)
        samples.append((time.perf_counter() - began) * 1e6)
    return samples
