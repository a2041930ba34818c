"""What the shim adds to SDK calls, reservation, settlement, price and two budgets included; beside it the yardstick.

The yardstick is the least that is as durable: a hook on the same `Client.send` that inserts one row and commits. Calls
without anything, with the shim and with the yardstick take turns in one process, so that all find caches equally cold.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench import paired
from tests.bench.paired import PLAIN, Samples, added, cpu
from tests.bench.rows import Row, figure, median, row
from tests.bench.server import server

SHIM, BARE = "shim", "bare"
CALLS, STREAMS, BATCHES, BLOCKS, TIGHT = 1000, 100, 15, 5, 5000
SHORT, LONG = 1, 201  # text chunks of the two kinds of stream
EACH = 3  # calls of each of the 100 callers
WARM = 20


def rows() -> Iterator[Row]:
    for durability in ("normal", "full"):
        found = _run("measure", durability)
        yield from _call_rows(found, durability)
        if durability == "normal":
            yield from _other_rows(found)
    memory = [_run("memory", SHIM)["mb"] - _run("memory", PLAIN)["mb"] for _ in range(5)]
    yield row("memory of a host with openai, after 200 calls, added", memory, "MB", "≤ 3 MB", digits=2)


def _run(what: str, argument: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home, server() as base:
        environ = {**os.environ, "COSTMON_HOME": home}
        command = [sys.executable, "-m", "tests.bench.capture", what, argument, base]
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _call_rows(found: dict[str, Any], durability: str) -> Iterator[Row]:
    calls = found["calls"]
    kind = f"synchronous={durability}"
    normal = durability == "normal"
    if normal:
        yield row("one OpenAI SDK call on loopback, plain", calls[PLAIN], "µs", "")
        yield row("  its processor time", calls[cpu(PLAIN)], "µs", "")
    yield row(f"  bare SQLite insert + commit in place, {kind}, added", added(calls, BARE), "µs", "yardstick")
    yield row("    processor time", added(calls, cpu(BARE)), "µs", "")
    yield row(f"  bare SQLite insert + commit in a tight loop, {kind}", found["tight"], "µs", "")
    target = "≤ 2 x bare" if normal else "≤ 1,000 µs"
    yield row(f"  the shim: reserve + settle, {kind}, added", added(calls, SHIM), "µs", target)
    yield row("    processor time", added(calls, cpu(SHIM)), "µs", "")
    for name, change in (("", str), (" in processor time", cpu)):
        times = median(added(calls, change(SHIM))) / median(added(calls, change(BARE)))
        yield figure(f"  the shim / bare insert + commit, {kind}{name}", times, "x", "≤ 2" if normal else "")


def _other_rows(found: dict[str, Any]) -> Iterator[Row]:
    short, long = found["short"], found["long"]
    yield row(f"one OpenAI SDK stream of {LONG} chunks, plain", long[PLAIN], "µs", "")
    yield row("  the shim, added per stream", added(long, SHIM), "µs", "")
    yield row("  bare insert + commit, added per stream", added(long, BARE), "µs", "")
    for name, change, target in (("", str, "≤ 10 µs"), (", processor time", cpu, "")):
        both = zip(added(short, change(SHIM)), added(long, change(SHIM)), strict=True)
        each = [(more - less) / (LONG - SHORT) for less, more in both]
        yield row(f"  the shim, added per chunk{name}", each, "µs", target)
    for mode, name in ((SHIM, "the shim"), (BARE, "bare insert + commit")):
        for more, change in (("", str), (", processor time", cpu)):
            each = [took / (paired.CALLERS * EACH) for took in added(found["callers"], change(mode))]
            yield row(f"100 async callers, {name}, added per call{more}", each, "µs", "")
    yield row("1,000 calls tracked by the decorator, added", found["tracked"], "s", "≤ 0.15 s", digits=3)
    yield row("  processor time", found["tracked_cpu"], "s", "", digits=3)
    yield row("  one tracked call", found["tracked_call"], "µs", "")


# --- inside the measured process -----------------------------------------------------------------------------------


def measure(durability: str, base: str) -> dict[str, Any]:
    """Every figure of one durability, in samples."""
    import openai

    board = _boarded(durability)
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    modes = (PLAIN, SHIM, BARE)
    found: dict[str, Any] = {
        "calls": paired.in_turn(board, {m: lambda: paired.chat(client) for m in modes}, CALLS, WARM),
        "tight": _tight(_bare_insert(durability, "tight.db")),
    }
    if durability == "full":
        _prove(WARM + CALLS)
        return found
    for name, chunks in (("short", SHORT), ("long", LONG)):
        calls: dict[str, Callable[[], object]] = {m: lambda: paired.stream(client, chunks) for m in modes}
        found[name] = paired.in_turn(board, calls, STREAMS, WARM)
    found["callers"] = asyncio.run(_callers(board, base))
    board.mode = SHIM
    found |= _tracked()
    watched = WARM + CALLS + 2 * (WARM + STREAMS) + (1 + BATCHES) * paired.CALLERS * EACH
    _prove(watched + BLOCKS * 1000)
    return found


def memory(mode: str, base: str) -> dict[str, Any]:
    """Resident MB of a host after 200 calls and 20 streams, with or without the shim."""
    import openai

    if mode == SHIM:
        import costmon

        write_budgets("normal", elsewhere=True)
        costmon.instrument(app="bench")
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    for _ in range(200):
        paired.chat(client)
    for _ in range(20):
        paired.stream(client, 20)
    return {"mb": paired.rss_mb()}


def _prove(calls: int) -> None:
    """A shim that recorded nothing would be fast: every watched call must be in the ledger, with its cost."""
    import sqlite3

    from costmon import paths

    with sqlite3.connect(paths.ledger_file(paths.state_home())) as db:
        found = db.execute("select state, cost is not null, count(*) from event group by 1, 2").fetchall()
    assert found == [("settled", 1, calls)], f"{calls} calls were made, and the ledger has {found}"


def _boarded(durability: str) -> paired.Switchboard:
    """A switchboard with the shim and the yardstick installed."""
    import httpx2
    import openai._base_client as base_client

    import costmon

    board = paired.Switchboard()
    board.remember((httpx2.Client, httpx2.AsyncClient, base_client.SyncAPIClient, base_client.AsyncAPIClient))
    write_budgets(durability)
    costmon.instrument(app="bench")
    assert any(name.startswith("httpx2.Client.") for name in board.installed(SHIM))
    board.restore()
    _hook_bare(httpx2, _bare_insert(durability, "bare.db"))
    board.installed(BARE)
    return board


def _hook_bare(httpx2: Any, insert: Callable[[], object]) -> None:
    """The yardstick: one insert and commit after each `send`."""
    send, send_async = httpx2.Client.send, httpx2.AsyncClient.send

    def with_insert(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = send(self, *args, **kwargs)
        insert()
        return response

    async def with_insert_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = await send_async(self, *args, **kwargs)
        insert()
        return response

    httpx2.Client.send, httpx2.AsyncClient.send = with_insert, with_insert_async


def _bare_insert(synchronous: str, name: str) -> Callable[[], object]:
    """An insert and commit into an indexed table, on the same disk and with checkpoints off as in the shim."""
    import sqlite3

    folder = os.environ["COSTMON_HOME"]
    os.makedirs(folder, exist_ok=True)
    db = sqlite3.connect(os.path.join(folder, name), isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute(f"pragma synchronous = {synchronous}")
    db.execute("pragma wal_autocheckpoint = 0")
    db.execute(
        """create table call (
            id integer primary key, created_at integer, provider text, model text, tokens integer, cost integer
        )"""
    )
    db.execute("create index call_created on call (created_at)")
    sql = "insert into call (created_at, provider, model, tokens, cost) values (?, ?, ?, ?, ?)"

    def insert() -> object:
        return db.execute(sql, (time.time_ns() // 1000, "openai", paired.MODEL, 500, 120_000))

    return insert


def _tight(insert: Callable[[], object]) -> list[float]:
    samples = []
    for _ in range(TIGHT):
        began = time.perf_counter()
        insert()
        samples.append((time.perf_counter() - began) * 1e6)
    return samples


async def _callers(board: paired.Switchboard, base: str) -> Samples:
    import openai

    async with openai.AsyncOpenAI(base_url=base + "/v1", api_key="none", max_retries=0) as client:
        calls = {mode: lambda: paired.callers(client, EACH) for mode in (PLAIN, SHIM, BARE)}
        return await paired.in_turn_async(board, calls, BATCHES)


def _tracked() -> dict[str, list[float]]:
    """Seconds that 1,000 tracked calls of a function take more than 1,000 plain ones, and µs of each tracked call."""
    import costmon

    def search(query: str) -> str:
        return query

    tracked = costmon.track("coupang", cost_per_call="0.001")(search)
    found: dict[str, list[float]] = {"tracked": [], "tracked_cpu": [], "tracked_call": []}
    for _ in range(BLOCKS):
        plain = _block(search)[0]
        clock, processor, singles = _block(tracked)
        found["tracked"].append(clock - plain)
        found["tracked_cpu"].append(processor)
        found["tracked_call"] += singles
    return found


def _block(function: Callable[[str], str]) -> tuple[float, float, list[float]]:
    """1,000 calls: seconds on the clock, seconds of the processor, and µs of each."""
    singles = []
    processor = time.process_time()
    for _ in range(1000):
        began = time.perf_counter()
        function("shoes")
        singles.append((time.perf_counter() - began) * 1e6)
    return sum(singles) / 1e6, time.process_time() - processor, singles


def write_budgets(synchronous: str, *, elsewhere: bool = False) -> None:
    """Two budgets, one for all and one for the app. `elsewhere`: written by another process, as `costmon` would."""
    if elsewhere:
        code = "from tests.bench import capture; import sys; capture.write_budgets(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, synchronous], check=True)
        return
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


if __name__ == "__main__":
    _, what, argument, base = sys.argv
    json.dump({"measure": measure, "memory": memory}[what](argument, base), sys.stdout)
