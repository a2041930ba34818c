"""What the shim adds to one SDK call: reservation, settlement, price and budgets included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.bench.rows import Row, row

CALLS = 1500


def rows() -> Iterator[Row]:
    for durability in ("normal", "full"):
        with tempfile.TemporaryDirectory() as home:
            env = {**os.environ, "COSTMON_HOME": home, "BENCH_SYNCHRONOUS": durability}
            run = subprocess.run(
                [sys.executable, "-m", "tests.bench.capture"],
                env=env,
                capture_output=True,
                text=True,
                check=True,
            )
        bare, added, commit = ([float(x) for x in line.split()] for line in run.stdout.splitlines())
        target = "≤ 300 µs" if durability == "normal" else "≤ 1 ms"
        if durability == "normal":
            yield row("one OpenAI SDK call on loopback, without costmon", bare, "µs", "")
            yield row("  a bare SQLite insert + commit beside it, added", commit, "µs", "")
        yield row(f"  the shim: reserve + settle, synchronous={durability}, added", added, "µs", target)


def measure() -> None:
    """Calls in turn: plain, watched, plain + one bare insert. Prints three lines of samples in µs."""
    import openai

    import costmon
    from tests.bench.server import serve

    _budgets(os.environ["BENCH_SYNCHRONOUS"])
    costmon.instrument(app="bench")
    client = openai.OpenAI(base_url=serve() + "/v1", api_key="none", max_retries=0)
    insert = _bare_insert()

    def call() -> float:
        began = time.perf_counter()
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "what now? " * 40}], max_tokens=200
        )
        return (time.perf_counter() - began) * 1e6

    def unwatched() -> float:
        os.environ["COSTMON_ENABLED"] = "0"
        try:
            return call()
        finally:
            os.environ["COSTMON_ENABLED"] = "1"

    for _ in range(50):
        call(), unwatched(), insert()
    bare, added, commit = [], [], []
    for _ in range(CALLS):
        plain = unwatched()
        bare.append(plain)
        added.append(call() - plain)
        unwatched()  # caches as cold as the shim finds them
        began = time.perf_counter()
        insert()
        commit.append((time.perf_counter() - began) * 1e6)
    for samples in (bare, added, commit):
        print(*(f"{sample:.1f}" for sample in samples))


def _budgets(synchronous: str) -> None:
    from costmon import config, paths
    from costmon.monitor.engine import read_config
    from costmon.store import open_ledger

    config.ensure(paths.config_file())
    with open(paths.config_file(), "a", encoding="utf-8") as file:
        file.write('\n[budget.total]\namount = "1000 USD"\nperiod = "month"\n')
        file.write('\n[budget.app]\namount = "1000 USD"\nperiod = "day"\nscope = "app=bench"\n')
    store = open_ledger(paths.state_home())
    read_config(store)
    store.db.execute("insert or replace into setting values ('synchronous', ?)", (synchronous,))
    store.close()


def _bare_insert():  # type: ignore[no-untyped-def]
    import sqlite3

    db = sqlite3.connect(os.path.join(os.environ["COSTMON_HOME"], "bare.db"), isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    db.execute("create table t (a, b, c, d)")

    def insert() -> None:
        db.execute("insert into t values (1, 'gpt-4o-mini', 400, 100)")

    return insert


if __name__ == "__main__":
    measure()
