"""A day of polling, every kind of source on, against fake providers on loopback: requests and bytes an hour, and CPU.

The day is simulated: the clock jumps to whoever is due next, and each round is a real one, over HTTP, into a real ledger.
The providers answer from a process of their own. What an engine's thread does between rounds (looking at the config, the
keys and the clock every 2 s) is measured apart.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

from tests.bench.rows import Row, figure

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
START = datetime(2026, 11, 20, tzinfo=UTC)
LOOKS = 500
LOOKS_A_DAY = 86_400 // 2
MODELS, PROJECTS = 6, 3


def rows() -> Iterator[Row]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    child.start()
    servers: dict[str, tuple[str, str, dict[str, str]]] = ours.recv()
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield from _day(Path(folder), servers)
    finally:
        ours.send("end")
        child.join(10)


def _day(folder: Path, servers: dict[str, tuple[str, str, dict[str, str]]]) -> Iterator[Row]:
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(_config(folder, servers))
    saved = {
        name: os.environ.get(name) for name in ("COSTMON_HOME", *(f"POLL_{kind.upper()}" for kind in servers))
    }
    os.environ["COSTMON_HOME"] = str(home)
    os.environ |= {f"POLL_{kind.upper()}": key for kind, (_, key, _) in servers.items()}
    try:
        cpu, wall, store, states = _simulate(home)
        hours = {
            name: (polls / 24, requests / 24, size / 24 / 1000, failures)
            for name, polls, requests, size, failures in store.execute(
                "select source, sum(polls), sum(requests), sum(bytes), sum(failures) from poll_hour group by 1"
            )
        }
        looks = _looking(home)
        for name, (polls, requests, size, failures) in sorted(hours.items()):
            state = "" if states[name] == "ok" and not failures else f", {failures} failed ({states[name]})"
            yield Row(
                f"{name}: {polls:.1f} rounds an hour{state}",
                f"{requests:,.1f} req/h",
                f"{size:,.1f} KB/h",
                "",
            )
        total = [sum(column) for column in zip(*hours.values(), strict=True)]
        yield Row(f"all {len(hours)} sources", f"{total[1]:,.1f} req/h", f"{total[2]:,.1f} KB/h", "")
        yield figure(f"CPU of a day's {round(total[0] * 24):,} rounds, of one core", cpu / 864, "%", "≤ 1 %")
        share = looks * LOOKS_A_DAY / 864
        yield figure(
            f"one look at config, keys and clock, CPU ({share:.3f} % at one every 2 s)", looks * 1e6, "µs", ""
        )
        yield figure("a round, CPU", cpu / (total[0] * 24) * 1000, "ms", "")
        yield figure("a round, elapsed, one after the other", wall / (total[0] * 24) * 1000, "ms", "")
        store.close()
    finally:
        for name, value in saved.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _simulate(home: Path):  # type: ignore[no-untyped-def]
    """CPU and elapsed seconds of the day's rounds, the ledger, and how each source ended."""
    from costmon import config
    from costmon.shim.timestamps import to_us
    from costmon.sources.providers.polling import books
    from costmon.sources.providers.polling.breaker import transaction
    from costmon.sources.providers.polling.rounds import resolve
    from costmon.sources.providers.polling.turns import Turner
    from costmon.store import open_ledger

    store = open_ledger(str(home))
    start = to_us(START)
    now = start
    store.now = lambda: now
    every = [resolve(source) for source in config.load(str(home / "config.toml")).sources]
    turner = Turner(store, chance=random.Random(1))
    due = {one.name: start + 30_000_000 for one in every}
    by_name = {one.name: one for one in every}

    async def day() -> None:
        nonlocal now
        await transaction(store.db, lambda: books.register(store.db, every))
        while due:
            name = min(due, key=lambda one: due[one])
            now = max(now, due[name])
            if now >= start + DAY_US:
                return
            turn = await turner.take(by_name[name])
            if turn.next_at is None:
                del due[name]
            else:
                due[name] = turn.next_at

    cpu, wall = time.process_time(), time.monotonic()
    asyncio.run(day())
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return cpu, wall, store.db, dict(store.db.execute("select name, state from source"))


def _looking(home: Path) -> float:
    """CPU seconds of one look of the engine's thread at its config, its keys and the clock."""
    from costmon.sources.providers.polling.keeper import Keeper
    from costmon.sources.providers.polling.turns import Turner
    from costmon.store import open_ledger

    store = open_ledger(str(home))
    keeper, turner = Keeper(str(home)), Turner(store)
    keeper._config_seen = (0, 0)
    keeper._changed_config()

    async def look() -> None:
        for _ in range(LOOKS):
            await keeper._look(turner)

    began = time.process_time()
    asyncio.run(look())
    store.close()
    return (time.process_time() - began) / LOOKS


def _config(folder: Path, servers: dict[str, tuple[str, str, dict[str, str]]]) -> str:
    text = ""
    for kind, (url, _, options) in servers.items():
        text += f'[source.{kind}]\nbase_url = "{url}"\nkey = "env:POLL_{kind.upper()}"\n'
        text += "".join(f'{name} = "{value}"\n' for name, value in options.items())
    bills = folder / "bills"
    bills.mkdir()
    lines = [
        f"2026-11-{day:02d},m{model},0.0{model}{day:02d},USD"
        for day in range(1, 20)
        for model in range(MODELS)
    ]
    (bills / "november.csv").write_text("\n".join(["date,model,amount,currency", *lines]) + "\n")
    return text + f'[source.file]\nprovider = "google"\nfolder = "{bills}"\n'


def _serve(pipe: Connection) -> None:
    """Every fake provider there is, on ports of this process."""
    from costmon.sources.providers import registry
    from tests.sources.providers.fake.server import Server

    with ExitStack() as stack:
        found = {}
        for kind in registry.names():
            try:
                fake = importlib.import_module(f"tests.sources.providers.fake.{kind}").FAKE
            except ModuleNotFoundError:
                continue
            server = stack.enter_context(Server(fake, _bill(), START + timedelta(hours=12)))
            found[kind] = (server.url, fake.key, fake.options)
        pipe.send(found)
        pipe.recv()


def _bill():  # type: ignore[no-untyped-def]
    from tests.sources.providers.fake.bill import Bill

    bill = Bill()
    for day in range(35):
        for model in range(MODELS):
            for project in range(PROJECTS):
                bill.spend(
                    (START - timedelta(days=day)).date(),
                    Decimal(f"0.{model + 1}{project}{day:02d}"),
                    f"model-{model}-2026-08-07",
                    project=f"proj_{project}",
                    key=f"key_{project}",
                    input_tokens=1000 * model,
                    output_tokens=10,
                )
    return bill
