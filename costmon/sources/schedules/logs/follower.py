"""Every log of the config, followed: what it tells is written with how far it was read, so that nothing is told twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from costmon.config.values import Log
from costmon.config.zones import machine_zone
from costmon.shim.ledger import is_busy
from costmon.sources.schedules.logs import books
from costmon.sources.schedules.logs.follow import ABSENT, FIRST_SIGHT, Position, Tail
from costmon.sources.schedules.logs.heard import Clock, heard, oldest
from costmon.sources.schedules.logs.patterns import Patterns
from costmon.sources.schedules.logs.told import MAX_JOBS, Facts, State, Witness, advance
from costmon.sources.schedules.values import Problem

POLL_BYTES = FIRST_SIGHT + 1024 * 1024
"""So much of a log is read in one look, in bytes; `behind` says that there is more."""
HISTORY_US = 24 * 3600 * 1_000_000
"""So far back runs are told of a log that is seen for the first time."""
SAVE_EVERY_US = 30 * 1_000_000
_ZONES_US = 14 * 3600 * 1_000_000
"""No zone is further from UTC."""
_SAID_FOR_US = 3600 * 1_000_000


@dataclass(eq=False)
class _Reader:
    """One `[log.NAME]`: what it looks for, and what it has understood."""

    log: Log
    key: str
    patterns: Patterns
    clock: Clock
    state: State
    since: int
    facts: Facts = field(default_factory=Facts)
    crowded: bool = False

    @property
    def witness(self) -> Witness:
        return Witness(self.log.app, self.log.job, self.log.path, self.since, self.patterns.own)

    def to_json(self) -> dict[str, Any]:
        return {"clock": self.clock.to_json(), "told": self.state, "since": self.since}


@dataclass(eq=False)
class _Followed:
    """One file, with everybody who reads it. `again`: its end is read anew, for a changed config; what it told from `since`
    on is then forgotten. `rezoned`: because its times were read in a zone that was not its own."""

    tail: Tail
    readers: list[_Reader]
    saved: Position | None
    again: bool = False
    since: int | None = None
    rezoned: bool = False
    saved_at: int = 0
    said: dict[str, tuple[str, int]] = field(default_factory=dict)

    def facts(self) -> bool:
        """Whether there is something to write."""
        return self.since is not None or any(reader.facts for reader in self.readers)


class LogFollower:
    """Follows logs for as long as it lives; it belongs to one thread. `zone` is the operator's, an IANA name.

    `behind`: there was more to read than one look may take; look again at once.
    """

    def __init__(self, zone: str = "") -> None:
        self.zone = zone or machine_zone()
        self.behind = False
        self._logs: tuple[Log, ...] | None = None
        self._followed: dict[str, _Followed] = {}

    def poll(self, db: sqlite3.Connection, logs: tuple[Log, ...], now: int) -> list[Problem]:
        """One look at every log. Returns what is wrong at present, in one sentence each.

        Costs are not in logs: the runs have no calls of their own. A busy ledger waits for the next look and loses nothing.
        Raises sqlite3.Error when the ledger cannot be used.
        """
        self.behind = False
        if logs != self._logs and not self._begin(db, logs, now):
            return self._problems(now)
        if any(one.facts() for one in self._followed.values()) and not self._write(db, now):
            return self._problems(now)  # what could not be written before goes first
        for one in self._followed.values():
            self._look(one, now)
        self._write(db, now)
        return self._problems(now)

    def close(self, db: sqlite3.Connection | None = None, now: int = 0) -> None:
        """Let go of every file; with a ledger, how far they were read is written first."""
        if db is not None and self._logs is not None:
            self._write(db, now, whole=True)
        for one in self._followed.values():
            one.tail.close()
        self._followed.clear()
        self._logs = None

    def _begin(self, db: sqlite3.Connection, logs: tuple[Log, ...], now: int) -> bool:
        """Follow these logs from now on; False while the ledger is busy."""
        if self._logs is not None and not self._write(db, now, whole=True):
            return False
        by_path: dict[str, list[Log]] = {}
        for log in logs:
            by_path.setdefault(log.path, []).append(log)
        fresh: dict[str, _Followed] = {}
        for path, group in by_path.items():
            fresh[path] = self._follow(db, path, group, now)
        kept = {
            (one.log.path, one.log.app, job)
            for followed in fresh.values()
            for one in followed.readers
            for job in (one.log.job, *one.state.get("jobs", ()))
        }

        done = _transaction(db, lambda: books.withdraw_others(db, kept, now))
        for one in (self._followed if done else fresh).values():
            one.tail.close()
        if done:
            self._followed, self._logs = fresh, logs
        return done

    def _follow(self, db: sqlite3.Connection, path: str, logs: list[Log], now: int) -> _Followed:
        position, state = books.load(db, path)
        told = state.get("logs", {})
        keys = [_key(log) for log in logs]
        again = position is not None and not any(key in told for key in keys)
        if again:
            position = None  # the config says something else of it: its end is read anew
        readers = []
        for log, key in zip(logs, keys, strict=True):
            said = told.get(key, {})
            clock = Clock.from_json(said.get("clock"), log.zone, self.zone)
            since = said.get("since", now - HISTORY_US)
            readers.append(_Reader(log, key, Patterns(log.patterns), clock, said.get("told", {}), since))
        return _Followed(Tail(path, position), readers, position, again)

    def _look(self, one: _Followed, now: int) -> None:
        batch = one.tail.read(POLL_BYTES)
        self.behind |= batch.more
        if one.again and batch.blocks:
            first = 0 if batch.blocks[0].offset == 0 else oldest(batch.blocks[0], one.readers[0].clock, now)
            one.again, one.since = False, max(first, now - HISTORY_US) - one.rezoned * _ZONES_US
        for reader in one.readers:
            reader.clock.ahead = 0 if batch.blocks else reader.clock.ahead
            reader.clock.look(batch, now, self.zone)
            told = heard(batch.blocks, reader.patterns, reader.clock, now, live=batch.live)
            reader.state, facts = advance(reader.state, told, reader.witness)
            reader.facts.join(facts)
            reader.crowded |= facts.too_many
            if not batch.more:
                reader.clock.looked = now
        if any(reader.clock.misread for reader in one.readers):
            self._reread(one)

    def _reread(self, one: _Followed) -> None:
        """The next look reads the end of the log again, whose zone is known only now."""
        one.tail.close()
        one.tail, one.again, one.rezoned, one.since = Tail(one.tail.path), True, True, None
        for reader in one.readers:
            reader.clock, reader.state, reader.facts = reader.clock.anew(), {}, Facts()
        self.behind = True

    def _write(self, db: sqlite3.Connection, now: int, *, whole: bool = False) -> bool:
        """What was told since, and how far was read; False while the ledger is busy."""
        due: list[tuple[_Followed, Position]] = []
        for one in self._followed.values():
            position = one.tail.position()
            moved = position is not None and position != one.saved
            if position is not None and (
                one.facts() or (moved and (whole or not 0 <= now - one.saved_at < SAVE_EVERY_US))
            ):
                due.append((one, position))
        if not due:
            return True

        def work() -> None:
            for one, position in due:
                if one.since is not None:
                    books.forget(db, one.tail.path, one.since, announced=one.rezoned)
                for reader in one.readers:
                    note = reader.clock.zone.sentence() if reader.clock.naive else ""
                    books.write(db, reader.facts, reader.log.path, reader.log.app, note, now)
                state = {"logs": {reader.key: reader.to_json() for reader in one.readers}}
                books.save(db, one.tail.path, position, state, now)

        if not _transaction(db, work):
            return False
        for one, position in due:
            one.since, one.rezoned = None, False
            one.saved, one.saved_at = position, now
            for reader in one.readers:
                reader.facts = Facts()
        return True

    def _problems(self, now: int) -> list[Problem]:
        found = []
        for path, one in self._followed.items():
            for kind in [kind for kind in one.tail.problems if kind != ABSENT]:
                one.said[kind] = (one.tail.problems.pop(kind), now)
            if ABSENT in one.tail.problems:
                found.append(Problem(path, None, one.tail.problems[ABSENT]))
            found += [
                Problem(path, None, sentence)
                for sentence, since in one.said.values()
                if 0 <= now - since < _SAID_FOR_US
            ]
            found += [
                Problem(path, None, f"{path}: {text}") for reader in one.readers for text in _of(reader)
            ]
        return found


def _of(reader: _Reader) -> list[str]:
    """What is wrong with how one log is read."""
    found = []
    if reader.clock.ahead:
        minutes = reader.clock.ahead // 60_000_000
        found.append(
            f"the log has lines {minutes} minutes ahead of this machine's clock, read as {reader.clock.zone.name}; they are"
            f" passed over, set zone in [log.{reader.log.name}]"
        )
    if reader.clock.naive and reader.clock.zone.how == "assumed":
        found.append(
            f"the log's times carry no zone and are read as {reader.clock.zone.name}; set zone in [log.{reader.log.name}]"
        )
    if reader.crowded:
        found.append(f"the log names more than {MAX_JOBS} jobs; the others are passed over")
    return found


def _key(log: Log) -> str:
    """What a log is read as: anything else makes it another one."""
    told = [log.name, log.app, log.job, log.zone, sorted(log.patterns.items())]
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _transaction(db: sqlite3.Connection, work: Callable[[], None]) -> bool:
    """`work` as a whole; False, and nothing done, while others hold the ledger."""
    try:
        db.execute("begin immediate")
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return False
        raise
    try:
        work()
        db.execute("commit")
    except sqlite3.OperationalError as error:
        if db.in_transaction:
            db.execute("rollback")
        if is_busy(error):
            return False
        raise
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
    return True
