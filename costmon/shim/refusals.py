"""What was refused, folded by minute, for the live feed. A refusal is no event: nothing left the machine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from costmon.errors import LedgerError
from costmon.shim import context
from costmon.shim.events import clean
from costmon.shim.faults import guarded
from costmon.shim.process import refused

if TYPE_CHECKING:
    from costmon.errors import SpendBlocked
    from costmon.shim.calls import Call
    from costmon.shim.ledger import Ledger

MAX_WAITING = 1_000
_MINUTE_US = 60_000_000


class Refusals:
    """This process's refusals on their way into the ledger; neither method raises."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[tuple[Any, ...]] = deque(maxlen=MAX_WAITING)

    def note(self, blocked: SpendBlocked, app: str, call: Call, *, dry_run: bool = False) -> None:
        """`call` of `app` was refused just now; in a dry run it would have been, and goes out."""
        now = self._ledger.now()
        row = (
            now - now % _MINUTE_US, app, clean(call.provider), clean(call.model), blocked.rule, blocked.scope,
            clean(blocked.reason, 500), now, now, int(dry_run),
        )  # fmt: skip
        if not dry_run and context.run():
            refused.add(context.run())
        self._waiting.append(row)
        self.flush()

    def flush(self) -> None:
        """Write the refusals that wait; a busy ledger takes them with the next one, or at exit."""
        guarded("record a refusal", self._write)

    def _write(self) -> None:
        rows = []
        try:
            while True:
                rows.append(self._waiting.popleft())  # taken out first: two threads may flush at once
        except IndexError:
            pass
        if not rows:
            return
        try:
            self._ledger.write_once(lambda db: [db.execute(_REFUSAL, row) for row in rows])
        except LedgerError:
            self._waiting.extendleft(reversed(rows))


_REFUSAL = """insert into refusal
    (minute_at, app, provider, model, rule, scope, reason, first_at, last_at, dry_run, calls)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
    on conflict do update set calls = calls + 1, last_at = excluded.last_at, reason = excluded.reason"""
