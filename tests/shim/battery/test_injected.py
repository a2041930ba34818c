"""A process that dies, or whose disk fails, at one chosen system call. Every call of a cycle has its turn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from costmon.shim import ledger as ledger_module
from costmon.shim import schema, switch
from costmon.shim.recorder import Recorder
from costmon.shim.switch import Block
from tests.shim.battery import kit, strace

WRITES = "pwrite64,write,fsync,fdatasync,ftruncate,rename,unlink"
NANO = 1000

CYCLE = """
import os
from costmon.shim.calls import Call, Outcome
from costmon.shim.recorder import Recorder
recorder = Recorder(os.environ["COSTMON_HOME"])
held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=1000))
if held.written: os.write(1, f"reserved {held.attempt.id}\\n".encode())
recorder.settle(held, Outcome("ok", cost=700))
if not recorder.drain(): os.write(1, f"settled {held.attempt.id}\\n".encode())
recorder.ledger.close()
"""
CHECKPOINT = """
import os
from costmon.shim.ledger import Ledger
ledger = Ledger(os.environ["COSTMON_HOME"])
print(ledger.checkpoint())
ledger.close()
"""
OPEN = """
import os
from costmon.shim.ledger import Ledger
ledger = Ledger(os.environ["COSTMON_HOME"])
ledger.write_once(lambda db: None)
os.write(1, b"open\\n")
ledger.close()
"""
KILL = """
import os
from costmon.shim import switch
switch.write(os.environ["COSTMON_HOME"] + "/switch", switch.Block("all", "new"))
os.write(1, b"blocked\\n")
"""
ALLOW = """
import os
from costmon.shim import switch
switch.lift(os.environ["COSTMON_HOME"] + "/switch", "all")
os.write(1, b"lifted\\n")
"""


# --- what is there before, what must be there after ---


def nothing(home: Path) -> None:
    """A new machine."""
    home.mkdir()


def in_use(home: Path) -> None:
    """A ledger with a budget and three events."""
    kit.add_budget(home, 10**9)
    recorder = Recorder(str(home))
    for _ in range(3):
        kit.spend(recorder, 700)
    recorder.ledger.close()


def in_use_and_durable(home: Path) -> None:
    """The same, every commit to the disk at once."""
    in_use(home)
    kit.set_setting(home, "synchronous", "full")


def unclosed(home: Path) -> None:
    """Three events still in the write-ahead log, their process gone."""

    def die() -> None:
        in_use(home)
        recorder = Recorder(str(home))
        for _ in range(3):
            kit.spend(recorder, 700)

    kit.forked(die)()
    assert (home / "ledger.db-wal").stat().st_size > 0


def of_the_first_schema(home: Path) -> None:
    """A ledger of schema 1, as its release left it: two settled events and a reservation, all rows of `event`."""
    home.mkdir()

    def make() -> None:
        ledger_module.schema.STEPS, ledger_module.schema.VERSION = schema.STEPS[:1], 1
        db = kit.connect(home)
        assert db.execute("pragma user_version").fetchone() == (1,)
        db.execute("begin immediate")
        db.execute(
            """insert into budget (id, name, scope_key, scope_value, amount, currency, period, time_zone, mode, levels,
               at_95, at_100, definition) values (1, 'total', 'all', '', 1000000, 'USD', 'day', 'UTC', 'default', '[]',
               'block', 'block', '{}')"""
        )
        db.execute(
            "insert into budget_period values (1, 0, ?, 1400, 0, 1000, 2, 0)", (kit.now_us() + kit.DAY_US,)
        )
        for number, (state, cost) in enumerate((("settled", 700), ("settled", 700), ("reserved", None))):
            charges = json.dumps([[1, 0, 1000, cost or 0, 1, 1]])
            db.execute(
                """insert into event (id, created_at, local_day_at, machine, source, app, api, provider, model, state,
                   outcome, reserved, charge, cost, currency, cost_status, owner, lease_until,
                   charges) values
                   (?, 1, 0, 'm', 'track', 'a', 'call', 'p', 'm', ?, ?, 1000, ?, ?, 'USD', 'priced', 'x:1:1', 1, ?)""",
                (f"old{number}", state, "ok" if cost else None, cost, cost, charges),
            )
        db.execute("insert into refusal values (60000000, 'a', 'p', 'm', 'budget', 'all', 'why', 1, 2, 3)")
        db.execute("commit")
        db.close()

    kit.forked(make)()


def blocked(home: Path) -> None:
    home.mkdir()
    switch.write(str(home / "switch"), Block("all", "old"))


def books_agree(home: Path, said: list[str]) -> None:
    """What was said to be written is there, once; nothing is half there; and after the orphans nothing stays reserved."""
    db = kit.connect(home)
    settled = dict(db.execute("select id, cost from event").fetchall())
    reserved = {row[0] for row in db.execute("select id from reservation")}
    machines = db.execute("select count(*) from setting where key = 'machine'").fetchone()
    assert machines == (1,)
    assert db.execute("pragma user_version").fetchone() == (schema.VERSION,)
    db.close()
    assert not reserved & set(settled)
    for line in said:
        what, _, name = line.partition(" ")
        if what == "reserved":
            assert name in reserved or settled.get(name) == 700
        elif what == "settled":
            assert settled.get(name) == 700
    kit.assert_sums_agree(home)
    from costmon.shim import booking

    recorder = Recorder(str(home))
    recorder.ledger.write(lambda db: db.execute("update reservation set lease_until = 0"), 1)
    left = recorder.ledger.write(lambda db: booking.settle_orphans(db, kit.now_us()), 1)
    assert left == len(reserved)
    kit.spend(recorder, 700)
    recorder.ledger.close()
    kit.assert_sums_agree(home)
    for (held,) in kit.rows(home, "select reserved from budget_period"):
        assert held == 0


def migrated(home: Path, said: list[str]) -> None:
    """Every row of the old ledger is in the new one, in its new place, once."""
    assert kit.rows(home, "select id, cost from event order by id") == [("old0", 700), ("old1", 700)]
    assert kit.rows(home, "select id, reserved from reservation") == [("old2", 1000)]
    assert kit.rows(home, "select minute_at, rule, calls, dry_run from refusal") == [
        (60000000, "budget", 3, 0)
    ]
    books_agree(home, said)


def old_or_new(home: Path, said: list[str]) -> None:
    """A reader finds the old block or the new one, whole."""
    block = switch.read(str(home / "switch"), "all")
    assert block is not None
    assert block.intact
    assert block.reason in (("new",) if said else ("old", "new"))


def blocked_or_not(home: Path, said: list[str]) -> None:
    block = switch.read(str(home / "switch"), "all")
    assert block is None or (block.intact and not said)


class Scene(NamedTuple):
    before: Callable[[Path], None]
    code: str
    after: Callable[[Path, list[str]], None]
    quick: int  # by default every so many-th system call is broken; under -m slow, every one
    only_ledger: bool = True


SCENES = {
    "cycle": Scene(in_use, CYCLE, books_agree, 2),
    "cycle, full durability": Scene(in_use_and_durable, CYCLE, books_agree, 4),
    "first cycle of all": Scene(nothing, CYCLE, books_agree, 150),
    "migration": Scene(of_the_first_schema, OPEN, migrated, 20),
    "checkpoint": Scene(unclosed, CHECKPOINT, books_agree, 4),
    "kill": Scene(blocked, KILL, old_or_new, 1, only_ledger=False),
    "allow": Scene(blocked, ALLOW, blocked_or_not, 1, only_ledger=False),
}


def instants(counted: dict[str, int], step: int) -> Iterator[tuple[str, int]]:
    for name, count in sorted(counted.items()):
        yield from ((name, number) for number in range(1, count + 1, step))


def die_at_each(home: Path, name: str, step: int) -> int:
    """Run one scene over and over, killed by the kernel at another system call each time; returns how often."""
    scene = SCENES[name]
    template = home.parent / "template"
    scene.before(template)

    def fresh() -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home)

    fresh()
    whole = strace.run(scene.code, home, WRITES, only_ledger=scene.only_ledger)
    assert whole.code == 0, whole.err
    assert whole.out
    scene.after(home, whole.out)
    kills = 0
    for call, number in instants(whole.calls, step):
        fresh()
        fault = f"{call}:signal=KILL:when={number}"
        run = strace.run(scene.code, home, WRITES, fault, only_ledger=scene.only_ledger)
        assert run.fired, fault
        scene.after(home, run.out)
        kills += 1
    print(f"{name}: {dict(whole.calls)}, {kills} kills")
    return kills


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.slow
def test_killed_at_a_system_call(costmon_home: Path, name: str) -> None:
    """Death in the middle of a write leaves the old state or the new one, and never takes back what was acknowledged."""
    assert die_at_each(costmon_home, name, SCENES[name].quick) >= 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_system_call(costmon_home: Path, name: str) -> None:
    """The same at every single one."""
    assert die_at_each(costmon_home, name, 1) >= 3


# --- disks that fail ---

CALLS = """
import os
from costmon.shim.calls import Call, Outcome
from costmon.shim.recorder import Recorder
recorder = Recorder(os.environ["COSTMON_HOME"])
for number in range(6):
    held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=1000))
    recorder.settle(held, Outcome("ok", cost=700))
    os.write(1, f"call {held.attempt.id}\\n".encode())
    recorder.ledger.retry_now()
os.write(1, f"left {recorder.drain(0.5)}\\n".encode())
recorder.ledger.close()
"""


def fail_at(home: Path, template: Path, call: str, error: str, number: int, lasting: bool) -> None:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(template, home)
    fault = f"{call}:error={error}:when={number}{'+' if lasting else ''}"
    run = strace.run(CALLS, home, WRITES, fault)
    assert run.fired, fault
    assert (run.code, "Traceback" in run.err) == (0, False), run.err
    *calls, last = run.out
    assert len(calls) == 6  # the app was not stopped, however long the fault
    left = int(last.removeprefix("left "))
    if not lasting:
        assert left == 0  # the connection was replaced, and everything arrived
    said = [line.removeprefix("call ") for line in calls]
    db = kit.connect(home)
    found = {row[0] for row in db.execute("select id from event where cost = 700")} & set(said)
    orphans = db.execute("select count(*) from reservation").fetchone()[0]
    db.close()
    # A commit whose sync failed may be found whole by the next process, though the one that wrote it spooled it.
    assert 6 - left <= len(found) <= 6
    assert len(found) + orphans <= 6
    assert len(run.err.splitlines()) <= 4, run.err  # a line for each kind of trouble, not for each call
    books_agree(home, [])


def failures(template: Path, home: Path) -> dict[str, int]:
    shutil.copytree(template, home)
    whole = strace.run(CALLS, home, WRITES)
    assert whole.code == 0
    return {name: whole.calls[name] for name in ("pwrite64", "fdatasync") if whole.calls[name]}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.slow
def test_a_disk_that_fails_at_a_write(costmon_home: Path, error: str, lasting: bool) -> None:
    """The app's six calls go through; what could be written is there, once; a disk that recovers has it all."""
    template = costmon_home.parent / "template"
    in_use_and_durable(template)
    counted = failures(template, costmon_home)
    assert counted["fdatasync"] > 2
    for call, number in instants({name: min(count, 60) for name, count in counted.items()}, 9):
        fail_at(costmon_home, template, call, error, number, lasting)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_disk_that_fails_at_every_write(costmon_home: Path, error: str, lasting: bool) -> None:
    """The same at every write and every sync."""
    template = costmon_home.parent / "template"
    in_use_and_durable(template)
    done = 0
    for call, number in instants(failures(template, costmon_home), 1):
        fail_at(costmon_home, template, call, error, number, lasting)
        done += 1
    print(f"{error} {'for good' if lasting else 'once'}: {done} faults")
