"""One round of several sources because a person asks, beside whatever engine may be polling the same ones."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from costmon.errors import LedgerUnusable
from costmon.sources.providers.polling import books, breaker
from costmon.sources.providers.polling.breaker import transaction
from costmon.sources.providers.polling.keeper import LEDGER_WAIT_MS
from costmon.sources.providers.polling.rhythm import LEASE_US
from costmon.sources.providers.polling.rounds import Polled
from costmon.sources.providers.polling.turns import Turn, Turner
from costmon.store import Store

_LOOK_EVERY_S = 0.2


class Done(NamedTuple):
    """What came of one source. `elsewhere`: another process was reading it, and its round was awaited."""

    polled: Polled
    turn: Turn
    elsewhere: bool = False


def _unsaid(name: str) -> None:
    """Nobody is told."""


async def poll(
    store: Store,
    every: Sequence[Polled],
    chosen: Sequence[Polled],
    waiting: Callable[[str], None] = _unsaid,
) -> list[Done]:
    """One round of the `chosen` among `every` source of the config, at the same time. Raises LedgerError.

    `waiting` is called with the name of a source whose round in another process is awaited.
    """
    turner = Turner(store)
    try:
        store.db.execute(f"pragma busy_timeout = {LEDGER_WAIT_MS}")
        await transaction(store.db, lambda: books.register(store.db, every))
        return list(await asyncio.gather(*(_one(turner, polled, waiting) for polled in chosen)))
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{store.home}: the ledger cannot be written: {error}") from error


async def _one(turner: Turner, polled: Polled, waiting: Callable[[str], None]) -> Done:
    turn = await turner.take(polled, by_hand=True)
    if turn.refused is None or turn.refused.why != "busy":
        return Done(polled, turn)
    waiting(polled.name)
    if await _ended(turner.store, polled.name):
        return Done(polled, turn, elsewhere=True)
    return Done(polled, await turner.take(polled, by_hand=True))


async def _ended(store: Store, name: str) -> bool:
    """Wait until the round under way ends; False when it has lost its lease instead."""
    probe = breaker.standing(store.db, name).probe
    deadline = time.monotonic() + LEASE_US / 1e6 + 5
    while time.monotonic() < deadline:
        at = breaker.standing(store.db, name)
        if at.probe != probe or at.probe is None:
            return True
        if at.probe_until is None or at.probe_until <= store.now() or breaker.is_dead(at.probe):
            return False
        deadline = max(deadline, time.monotonic() + (at.probe_until - store.now()) / 1e6)
        await asyncio.sleep(_LOOK_EVERY_S)
    return False
