"""What `import costmon; costmon.instrument()` adds to the start of a host."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.bench.rows import Row, row

ROUNDS = 25


def rows() -> Iterator[Row]:
    watched = "import costmon; costmon.instrument()"
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "COSTMON_HOME": home}
        yield row(
            "import + instrument() over a bare interpreter", _added(env, "pass", watched), "ms", "≤ 20 ms"
        )
        openai = "import openai"
        yield row(
            "import + instrument() over `import openai`",
            _added(env, openai, f"{openai}; {watched}"),
            "ms",
            "≤ 20 ms",
        )


def _added(env: dict[str, str], without: str, with_it: str) -> list[float]:
    pairs = [(_start(env, without), _start(env, with_it)) for _ in range(ROUNDS)]
    return [(b - a) * 1000 for a, b in pairs]


def _start(env: dict[str, str], code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return time.perf_counter() - began
