"""One round of a source at a time, among any number of processes: the lease in its row of the ledger.

A round holds it for a minute and renews it while answers come in; one that was killed or hangs loses it, and what it
brings home after that is not booked. The rules are `rhythm`'s; this is where they are applied, each in one transaction.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from costmon.errors import LedgerBusy
from costmon.shim.locks import jitter_s
from costmon.shim.owner import is_gone, owner
from costmon.sources.providers.polling.rhythm import HOUR_US, LEASE_US, NotNow, Rhythm, Standing, entry

WAIT_S = 10.0
_T = TypeVar("_T")
_STANDING = "state, next_at, failures, opened_at, probe, probe_until"


async def transaction(db: sqlite3.Connection, work: Callable[[], _T], wait_s: float = WAIT_S) -> _T:
    """`work()` inside one BEGIN IMMEDIATE, undone as a whole if it raises; a busy ledger is awaited.

    `work` does not await: nothing else of this thread can come between. Raises LedgerBusy after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            db.execute("begin immediate")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
            if time.monotonic() >= deadline:
                raise LedgerBusy("the ledger is busy in another process; try again") from None
        await asyncio.sleep(jitter_s())
    try:
        result = work()
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return result


def standing(db: sqlite3.Connection, name: str) -> Standing:
    """Where the source `name` stands; as never polled where there is no row."""
    row = db.execute(f"select {_STANDING} from source where name = ?", (name,)).fetchone()  # noqa: S608
    return Standing() if row is None else Standing(*row)


def about(db: sqlite3.Connection, name: str) -> dict[str, Any]:
    """What the ledger notes about the source `name`."""
    row = db.execute("select about from source where name = ?", (name,)).fetchone()
    found = json.loads(row[0]) if row is not None else {}
    return found if isinstance(found, dict) else {}


def note(db: sqlite3.Connection, name: str, **values: object) -> None:
    """Add to what the ledger notes about the source `name`."""
    known = about(db, name)
    noted = known | values
    if noted != known:
        db.execute(
            "update source set about = ? where name = ?", (json.dumps(noted, ensure_ascii=False), name)
        )


def new_probe() -> str:
    """A name for a round, which tells whose it is."""
    return f"{owner()} {uuid.uuid4().hex}"


def is_dead(probe: str | None) -> bool:
    """Whether the process of the round `probe` is surely gone: its lease holds nobody up."""
    return probe is not None and is_gone(probe.partition(" ")[0])


def rounds_this_hour(db: sqlite3.Connection, name: str, now: int) -> int:
    """How many rounds began since the clock's hour did."""
    row = db.execute(
        "select polls from poll_hour where source = ? and hour_at = ?", (name, now - now % HOUR_US)
    ).fetchone()
    return 0 if row is None else int(row[0])


def take(
    db: sqlite3.Connection,
    name: str,
    rhythm: Rhythm,
    now: int,
    probe: str,
    *,
    setup: str = "",
    keys: str = "",
    by_hand: bool = False,
) -> NotNow | None:
    """Inside the caller's transaction: begin a round called `probe`, or say why not. The source has a row.

    setup, keys: what the round is asked with; a source that fails is asked at once when either is another than before.
    """
    at, known = standing(db, name), about(db, name)
    if is_dead(at.probe):
        at = at._replace(probe=None, probe_until=None)
    changed = known.get("setup") != setup or (at.state != "ok" and known.get("keys") != keys and not by_hand)
    refused = entry(at, rhythm, now, rounds_this_hour(db, name, now), by_hand=by_hand, changed=changed)
    if refused is not None:
        return refused
    if known.get("setup") != setup:
        known.pop("wide_at", None)
    known["setup"] = setup
    if not by_hand:
        known["keys"] = keys
    db.execute(
        "update source set probe = ?, probe_until = ?, about = ? where name = ?",
        (probe, now + LEASE_US, json.dumps(known), name),
    )
    db.execute(
        "insert into poll_hour (source, hour_at, polls) values (?, ?, 1)"
        " on conflict (source, hour_at) do update set polls = polls + 1",
        (name, now - now % HOUR_US),
    )
    return None


def renew(db: sqlite3.Connection, name: str, probe: str, now: int) -> bool:
    """Inside the caller's transaction: hold on for another minute; False when another round has taken over."""
    found = db.execute(
        "update source set probe_until = ? where name = ? and probe = ?", (now + LEASE_US, name, probe)
    )
    return found.rowcount == 1


def holds(db: sqlite3.Connection, name: str, probe: str) -> bool:
    """Whether the round `probe` is still the source's."""
    found = db.execute("select 1 from source where name = ? and probe = ?", (name, probe)).fetchone()
    return found is not None


def free(db: sqlite3.Connection, name: str, probe: str) -> None:
    """Inside the caller's transaction: a round was given up, the next may begin."""
    db.execute(
        "update source set probe = null, probe_until = null where name = ? and probe = ?", (name, probe)
    )
