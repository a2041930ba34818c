"""A log that grows by 10,000 lines a second and is rotated all the while: CPU of the follower, and lines it lost.

Every line has a number; one in a thousand tells something, and what the follower reads is counted between it and the ledger.
The writer is a process of its own. Here it waits while it is copied and truncated: what a writer adds between the two, and
was not read by then, is in no file any more.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from costmon.config.values import Log
from costmon.sources.schedules.logs import LogFollower, follower
from costmon.sources.schedules.logs.follow import Batch, Position, Tail
from costmon.store import open_ledger
from tests.bench.rows import Row, figure

RATE = 10_000
SECONDS = 20.0
TICK_S = 0.02
ROTATE_S = 2.3
FIRST_SIGHT_MB = 100
_NUMBER = re.compile(rb"#(\d{9})")


class Counting(Tail):
    """Keeps what it read, so that its lines can be counted afterwards."""

    def __init__(self, path: str, position: Position | None = None) -> None:
        super().__init__(path, position)
        self.raw: list[Batch] = []

    def read(self, limit: int) -> Batch:
        batch = super().read(limit)
        self.raw.append(batch)
        return batch


def rows() -> Iterator[Row]:
    for how in ("rename", "copytruncate"):
        for language, korean in (("English", False), ("Korean", True)):
            if how == "rename" or not korean:
                yield from _growing(how, language, korean)
    yield from _first_sight()


def _growing(how: str, language: str, korean: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, _following(Path(folder)) as (poll, tail):
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        path = os.path.join(folder, "app.log")
        child = multiprocessing.get_context("spawn").Process(target=_write, args=(path, how, korean, theirs))
        child.start()
        cpu, done = 0.0, False
        while not done:
            done = ours.poll()
            before = _cpu()
            poll()
            cpu += _cpu() - before
            time.sleep(1.0)
        written, wall = ours.recv()
        child.join()
        poll()
        numbers = [
            int(found) for batch in tail().raw for one in batch.blocks for found in _NUMBER.findall(one.data)
        ]
        lost, twice = written - len(set(numbers)), len(numbers) - len(set(numbers))
        yield figure(
            f"{written / wall:,.0f} lines/s of {language}, {how} every {ROTATE_S:g} s",
            cpu / wall * 100,
            "%",
            "≤ 5 %",
        )
        yield Row("  lines lost / read twice", f"{lost:,}", f"{twice:,}", "0")


def _first_sight() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder, _following(Path(folder)) as (poll, _):
        with open(os.path.join(folder, "app.log"), "wb") as file:
            while file.tell() < FIRST_SIGHT_MB * 1_000_000:
                file.write(b"".join(_line(at, False) for at in range(10_000)))
        started = time.perf_counter()
        poll()
        yield figure(
            f"first sight of a log of {FIRST_SIGHT_MB} MB", (time.perf_counter() - started) * 1000, "ms", ""
        )


@contextmanager
def _following(folder: Path):  # type: ignore[no-untyped-def]
    home = folder / "home"
    home.mkdir(mode=0o700)
    store = open_ledger(str(home))
    watcher = LogFollower("UTC")
    logs = (Log("app", str(folder / "app.log"), "app", "trade"),)
    plain, follower.Tail = follower.Tail, Counting  # type: ignore[misc]

    def poll() -> None:
        watcher.poll(store.db, logs, store.now())
        while watcher.behind:
            watcher.poll(store.db, logs, store.now())

    try:
        yield poll, lambda: next(iter(watcher._followed.values())).tail
    finally:
        watcher.close()
        follower.Tail = plain  # type: ignore[misc]
        store.close()


def _write(path: str, how: str, korean: bool, done: Connection) -> None:
    """Write at the rate until the time is over; rotate now and then."""
    file = open(path, "ab", buffering=0)  # noqa: SIM115 - it is closed when it is rotated
    started = rotated = time.monotonic()
    number = 0
    while (now := time.monotonic()) - started < SECONDS:
        due = int((now - started) * RATE)
        file.write(b"".join(_line(at, korean) for at in range(number, due)))
        number = due
        if now - rotated >= ROTATE_S:
            rotated = now
            for old in range(4, 0, -1):
                if os.path.exists(f"{path}.{old}"):
                    os.replace(f"{path}.{old}", f"{path}.{old + 1}")
            if how == "rename":
                os.replace(path, f"{path}.1")
                file.close()
                file = open(path, "ab", buffering=0)  # noqa: SIM115 - it is closed when it is rotated
            else:
                shutil.copyfile(path, f"{path}.1")
                os.truncate(path, 0)
        time.sleep(TICK_S)
    done.send((number, time.monotonic() - started))


def _line(number: int, korean: bool) -> bytes:
    at = (
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        if number % 50 == 0
        else "2026-03-01 09:00:00,000"
    )
    if number % 1000 == 0:
        told = (
            ("거래 작업 시작", "거래 작업 완료 (0.08초)")
            if korean
            else ("Trading job started", "Trading job finished in 0.08s")
        )
        return f"{at} INFO {told[number // 1000 % 2]} #{number:09d}\n".encode()
    text = (
        "시세 수신 BTC-KRW 가격=143250000 거래량=0.00213"
        if korean
        else "tick BTC-KRW price=143250000 volume=0.00213"
    )
    return f"{at} INFO market.feed [worker-3] {text} lag=12ms #{number:09d}\n".encode()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
