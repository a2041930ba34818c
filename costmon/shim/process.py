"""This process, as the run of every call that no job made."""

from __future__ import annotations

import os

from costmon.shim.context import program_name
from costmon.shim.owner import owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection


def who() -> str:
    """This process for people: 'pid 4711 of trader.scheduler on box'."""
    from costmon.shim.events import clean  # it costs a host its typing import

    node = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return clean(f"pid {os.getpid()} of {program_name()}{f' on {node}' if node else ''}")


refused: set[str] = set()
"""Runs going on in this process of which a call was refused."""


class Process:
    """This process as the run of every call that no job made: its id, and its row, written once for each app.

    What a forked child inherits of this names its parent, so none of it counts there.
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._tried: set[tuple[str, str]] = set()
        self._written: set[tuple[str, str]] = set()
        self._told: set[str] = set()

    @property
    def known(self) -> bool:
        """Whether a ledger has rows that say that this process is there."""
        mine = self._ids.get(owner(), "")
        return mine in self._told or any(run == mine for run, _ in self._tried)

    def tell(self, now: int) -> None:
        """A ledger is about to have a row of a job that this process has to end."""
        self._told.add(self.id(now))

    def id(self, now: int) -> str:
        """Begins with 'p', which no run's id does; a forked child has its own."""
        me = owner()
        found = self._ids.get(me)
        if found is None:
            from costmon.shim.events import new_id

            found = self._ids.setdefault(me, f"p{new_id(now)}")  # of two threads, the first
        return found

    def write(self, db: Connection, run: str, app: str, first_at: int) -> None:
        """See that the ledger knows this process under the app's name.

        Its transaction may be rolled back, so the row counts as written only once a later one finds it there.
        """
        if (run, app) in self._written or run != self._ids.get(owner()):
            return
        new = db.execute(
            "insert or ignore into process (id, app, owner, who, first_at) values (?, ?, ?, ?, ?)",
            (run, app, owner(), who(), first_at),
        ).rowcount
        self._tried.add((run, app))
        if not new:
            self._written.add((run, app))

    def forget(self) -> None:
        """The ledger is another one."""
        self._tried.clear()
        self._written.clear()


process = Process()
