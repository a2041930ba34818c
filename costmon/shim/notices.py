"""Things the operator should be told once a day and that no sum shows: one row each of table `notice`, repeats folded.

Kinds: `unseen` (a provider was reached past every hook), `prompt`, `unpriced`, `breaker`, and from the engine `repeat` and
`retry`. The engine makes an alert of each row. `note` may be called from anywhere in a host but not inside a transaction of
the same ledger: it writes at most once a minute per kind and subject, for at most 10 ms, and what it cannot write now it
writes with a later call or at exit.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from costmon.errors import LedgerError
from costmon.shim.events import clean
from costmon.shim.faults import guarded
from costmon.shim.policy import local_day_at

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.ledger import Ledger

QUIET_S = 60.0
RETRY_S = 5.0  # after a ledger that could not take it
MAX_WAITING = 256  # kinds x subjects x apps of one process; a flood of new ones is dropped

_Key = tuple[str, str, str, str]  # home, kind, subject, app


class _Waiting:
    """What is not written yet: how often, since when and until when (µs UTC), and the last detail."""

    __slots__ = ("calls", "detail", "first_at", "last_at")

    def __init__(self, now: int) -> None:
        self.calls = 0
        self.detail = ""
        self.first_at = self.last_at = now


_waiting: dict[_Key, _Waiting] = {}
_written: dict[tuple[str, str, str], float] = {}
_pid = os.getpid()


def note(ledger: Ledger, kind: str, subject: str, app: str, detail: str) -> bool:
    """Tell the operator that `app` did something about `subject`; True when it is in the ledger now. Never raises.

    `detail` is one sentence of ours without content of the app's. Times are the ledger's clock.
    """
    return bool(guarded("write a notice", _note, ledger, kind, subject, app, detail))


def flush(ledger: Ledger) -> None:
    """Write whatever waits for this ledger, as at exit. Never raises."""
    guarded("write a notice", _flush, ledger, list(_waiting))


def forget() -> None:
    """Drop what waits: it is another process's, or another test's."""
    global _pid
    _waiting.clear()
    _written.clear()
    _pid = os.getpid()


def _note(ledger: Ledger, kind: str, subject: str, app: str, detail: str) -> bool:
    if _pid != os.getpid():
        forget()
    key = (ledger.home, clean(kind, 40), clean(subject), clean(app) or "python")
    now = ledger.now()
    found = _waiting.get(key)
    if found is None:
        if len(_waiting) >= MAX_WAITING:
            return False
        found = _waiting.setdefault(key, _Waiting(now))
    found.calls += 1
    found.last_at = now
    found.detail = clean(detail, 500)
    written = _written.get(key[:3])
    if written is not None and time.monotonic() - written < QUIET_S:
        return False
    if len(_written) >= 4 * MAX_WAITING:
        _written.clear()
    _written[key[:3]] = time.monotonic()
    return _flush(ledger, [key])


def _flush(ledger: Ledger, keys: list[_Key]) -> bool:
    # Taken out first: two threads may flush at once.
    rows = [(key, found) for key in keys if key[0] == ledger.home and (found := _waiting.pop(key, None))]
    if not rows:
        return True
    try:
        ledger.write_once(lambda db: _put(db, rows))
    except LedgerError:
        for key, found in rows:
            _merge(_waiting.setdefault(key, found), found)
            _written[key[:3]] = time.monotonic() - QUIET_S + RETRY_S
        return False
    return True


def _merge(kept: _Waiting, other: _Waiting) -> None:
    if kept is not other:
        kept.calls += other.calls
        kept.first_at = min(kept.first_at, other.first_at)


def _put(db: Connection, rows: list[tuple[_Key, _Waiting]]) -> None:
    for (_, kind, subject, app), found in rows:
        day = local_day_at(db, found.last_at)
        values = (kind, subject, app, day, found.detail, found.first_at, found.last_at, found.calls)
        db.execute(_NOTICE, values)


_NOTICE = """insert into notice (kind, subject, app, day_at, detail, first_at, last_at, calls)
    values (?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (kind, subject, app, day_at) do update set calls = notice.calls + excluded.calls,
        last_at = max(notice.last_at, excluded.last_at), detail = excluded.detail"""
