"""The switch while it is being written: a reader sees the old block or the new one, never neither."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from costmon.shim import switch
from costmon.shim.switch import Block
from tests.shim.battery import kit

READERS = 4
TOGGLES = 1000
PADDING = "x" * 400


def reader(folder: Path, done: Path) -> Callable[[], tuple[int, int, int]]:
    """Read until `done` exists: (reads, reads that found no whole document, reads that went back in time)."""

    def work() -> tuple[int, int, int]:
        reads = odd = back = 0
        last = -1
        while not done.exists():
            for _ in range(20):
                block = switch.check(str(folder), ["all"], 0)
                reads += 1
                if block is None or not block.intact:
                    odd += 1
                else:
                    number = int(block.reason.split()[0])
                    back += number < last
                    last = number
        return reads, odd, back

    return work


def storm(folder: Path, write: Callable[[int], None], seconds: float = 0) -> tuple[int, int, int]:
    done = folder.parent / "done"
    write(0)
    results = [kit.forked(reader(folder, done)) for _ in range(READERS)]
    began = time.monotonic()
    number = 0
    while number < TOGGLES or time.monotonic() - began < seconds:
        number += 1
        write(number)
    done.touch()
    found = [result() for result in results]
    return sum(f[0] for f in found), sum(f[1] for f in found), sum(f[2] for f in found)


@pytest.mark.slow
def test_a_thousand_toggles_are_never_seen_half_done(tmp_path: Path) -> None:
    """While somebody rewrites a block, no app slips through or sees rubbish."""
    folder = tmp_path / "switch"
    reads, odd, back = storm(folder, lambda n: switch.write(str(folder), Block("all", f"{n} {PADDING}")))
    assert reads > TOGGLES
    assert (odd, back) == (0, 0)


def test_a_naive_writer_is_caught(tmp_path: Path) -> None:
    """Control: open, truncate, write shows torn reads, so the test above can see them."""
    folder = tmp_path / "switch"
    folder.mkdir()

    def naive(number: int) -> None:
        document = switch._document(Block("all", f"{number} {PADDING}"))
        with open(folder / "all", "wb", buffering=0) as file:
            file.write(document[:50])
            file.write(document[50:])

    _, odd, _ = storm(folder, naive, seconds=1)
    assert odd >= 1


def test_set_and_lifted_by_one_seen_by_all(tmp_path: Path) -> None:
    """After `costmon kill` returns, the next look of every process blocks; after `costmon allow`, none does."""
    folder = tmp_path / "switch"
    folder.mkdir()
    asking, answering = [os.pipe() for _ in range(READERS)], [os.pipe() for _ in range(READERS)]

    def look(number: int) -> Callable[[], None]:
        def work() -> None:
            while os.read(asking[number][0], 1) == b"?":
                blocked = switch.check(str(folder), ["all", "app=a"], 0) is not None
                os.write(answering[number][1], b"1" if blocked else b"0")

        return work

    children = [kit.forked(look(number)) for number in range(READERS)]
    wrong = 0
    for step in range(200):
        if step % 2:
            switch.lift(str(folder), "app=a")
        else:
            switch.write(str(folder), Block("app=a", "stop"))
        for _, send in asking:
            os.write(send, b"?")
        wrong += sum(os.read(receive, 1) != (b"0" if step % 2 else b"1") for receive, _ in answering)
    for _, send in asking:
        os.write(send, b".")
    for child in children:
        child()
    for pair in asking + answering:
        os.close(pair[0]), os.close(pair[1])
    assert wrong == 0
