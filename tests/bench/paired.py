"""The same SDK call with and without a tool, in turn and in one process: what is between the two is the tool's.

Nothing of costmon is imported here: other tools are measured with it too, each in an environment of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Samples = dict[str, list[float]]
Mode = str
Call = Callable[[], object]
PLAIN = "plain"
MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "what now? " * 40}]
CALLERS = 100


class Switchboard:
    """Sends the calls of patched methods to the method as it was, or as a tool has left it, by `mode`.

    A class attribute set before every call would spoil the interpreter's caches; one number does not.
    """

    def __init__(self) -> None:
        self.mode: Mode = PLAIN
        self._found: dict[tuple[type, str], Any] = {}
        self._ways: dict[tuple[type, str], dict[Mode, Any]] = {}

    def remember(self, classes: Iterable[type]) -> None:
        """What the methods of these classes are before any tool has come."""
        for owner in classes:
            for name, value in vars(owner).items():
                if callable(value) and not isinstance(value, type):
                    self._found.setdefault((owner, name), value)

    def installed(self, mode: Mode) -> list[str]:
        """A tool has patched what it wants: from now on that holds in `mode` only. Returns what it has patched."""
        changed = []
        for (owner, name), original in self._found.items():
            now = vars(owner).get(name)
            ways = self._ways.get((owner, name))
            if now is original or (ways is not None and now is ways["dispatch"]):
                continue
            ways = self._ways.setdefault((owner, name), {PLAIN: original})
            ways[mode] = now
            ways["dispatch"] = self._dispatcher(ways)
            changed.append(f"{owner.__module__}.{owner.__name__}.{name}")
        for (owner, name), ways in self._ways.items():
            setattr(owner, name, ways["dispatch"])
        return changed

    def restore(self) -> None:
        """Put every method back as it was, for the next tool to patch."""
        for (owner, name), ways in self._ways.items():
            setattr(owner, name, ways[PLAIN])

    def _dispatcher(self, ways: dict[Mode, Any]) -> Any:
        def dispatch(self_: Any, *args: Any, **kwargs: Any) -> Any:
            way = ways.get(self.mode, ways[PLAIN])
            return way.__get__(self_, type(self_))(*args, **kwargs)

        return dispatch


def chat(client: Any) -> object:
    """One plain call."""
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=200)


def stream(client: Any, chunks: int) -> int:
    """One stream, read to its end."""
    found = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=200,
        stream=True,
        user=str(chunks),
        stream_options={"include_usage": True},
    )
    return sum(1 for _ in found)


async def callers(client: Any, each: int) -> None:
    """100 callers at once, `each` calls a head."""

    async def caller() -> None:
        for _ in range(each):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=200)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


def in_turn(board: Switchboard, calls: dict[Mode, Call], rounds: int, warm: int = 20) -> Samples:
    """µs of every call; in each round every mode once, in an order of its own.

    Beside the time on the clock each mode has, under `cpu(mode)`, the processor time of the whole process: on a busy
    machine that is what can still be trusted. (It lacks the time a call waits for the disk.)
    """
    samples = _empty(calls)
    for number in range(-warm, rounds):
        for mode in _order(calls, number):
            board.mode = mode
            at = _now()
            calls[mode]()
            _note(samples, mode, at, number)
    board.mode = PLAIN
    return samples


async def in_turn_async(
    board: Switchboard, calls: dict[Mode, Callable[[], Awaitable[object]]], rounds: int
) -> Samples:
    """Like `in_turn`, on a running event loop."""
    samples = _empty(calls)
    for number in range(-1, rounds):
        for mode in _order(calls, number):
            board.mode = mode
            at = _now()
            await calls[mode]()
            _note(samples, mode, at, number)
    board.mode = PLAIN
    return samples


def cpu(mode: Mode) -> Mode:
    """The name under which a mode's processor time is kept."""
    return mode + " cpu"


def _empty(modes: Iterable[Mode]) -> Samples:
    return {name: [] for mode in modes for name in (mode, cpu(mode))}


def _order(modes: Iterable[Mode], number: int) -> list[Mode]:
    order = list(modes)
    random.Random(number).shuffle(order)
    return order


def _now() -> tuple[int, int]:
    return time.perf_counter_ns(), time.process_time_ns()


def _note(samples: Samples, mode: Mode, began: tuple[int, int], number: int) -> None:
    processor, clock = time.process_time_ns(), time.perf_counter_ns()
    if number >= 0:
        samples[mode].append((clock - began[0]) / 1000)
        samples[cpu(mode)].append((processor - began[1]) / 1000)


def added(samples: Samples, mode: Mode, over: Mode = PLAIN) -> list[float]:
    """What `mode` took more than `over`, round by round; with `cpu(mode)`, in processor time."""
    if mode.endswith(" cpu"):
        over = cpu(over)
    return [more - less for more, less in zip(samples[mode], samples[over], strict=True)]


def rss_mb() -> float:
    """This process's resident memory."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
