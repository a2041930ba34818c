"""What `import costmon; costmon.instrument()` adds to the start of a host, and what the first metered call adds once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.bench.rows import Row, row
from tests.bench.server import server

ROUNDS = 11
_NOW = "(time.perf_counter(), time.process_time())"
_WATCH = f"a = {_NOW}; import costmon; costmon.instrument(); b = {_NOW}; print(b[0] - a[0], b[1] - a[1])"
_CALL = "client.chat.completions.create(model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'hi'}], max_tokens=9)"
_FIRST = f"""
import sys, time, openai, costmon
client = openai.OpenAI(base_url=sys.argv[1], api_key="none")
{_CALL}; {_CALL}
a = {_NOW}; {_CALL}; b = {_NOW}
costmon.instrument(app="bench")
c = {_NOW}; {_CALL}; d = {_NOW}
print(d[0] - c[0] - b[0] + a[0], d[1] - c[1] - b[1] + a[1])
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home, server() as base:
        environ = {**os.environ, "COSTMON_HOME": home}
        yield from _both("import + instrument() over a bare interpreter", environ, f"import time; {_WATCH}")
        host = f"import time, openai; {_WATCH}"
        yield from _both("import + instrument() over `import openai`", environ, host, target="≤ 15 ms")
        _printed(environ, _FIRST, base + "/v1")  # makes the ledger
        name = "  the first metered call, added once (loads the rest)"
        yield from _both(name, environ, _FIRST, base + "/v1")


def _both(name: str, environ: dict[str, str], code: str, *arguments: str, target: str = "") -> Iterator[Row]:
    """On the clock, and in processor time."""
    samples = [_printed(environ, code, *arguments) for _ in range(ROUNDS)]
    yield row(name, [clock for clock, _ in samples], "ms", target)
    yield row(f"{name}, processor time", [processor for _, processor in samples], "ms", "")


def _printed(environ: dict[str, str], code: str, *arguments: str) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor that `code` says it took."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    clock, processor = done.stdout.split()
    return float(clock) * 1000, float(processor) * 1000
