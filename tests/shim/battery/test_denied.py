"""Where the ledger may not or cannot be written: full disks at the rarer moments, and every way to be denied a home."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from costmon.errors import LedgerError, SpendBlocked
from costmon.shim import ledger as ledger_module
from costmon.shim import switch
from costmon.shim.ledger import Ledger
from costmon.shim.recorder import Outcome, Recorder
from costmon.shim.switch import Block
from tests.shim.battery import kit, strace
from tests.shim.battery.test_faults import Log, as_nobody, fill, open_to_all, root, small_disk
from tests.shim.battery.test_injected import books_agree, of_the_first_schema

__all__ = ["small_disk"]


# --- full disks ---


@root
def test_a_checkpoint_on_a_full_disk(small_disk: Path) -> None:
    """A log that cannot be moved into the database stays a log: nothing is lost, and with room it moves."""
    home = small_disk / "home"
    recorder = Recorder(str(home))
    kit.spend(recorder, 1)
    recorder.ledger.checkpoint()
    size = (home / "ledger.db").stat().st_size

    def grow(db: Any) -> None:  # pages the database does not have yet
        db.executemany(
            "insert into setting values (?, ?)", ((os.urandom(8).hex(), "x" * 900) for _ in range(400))
        )

    recorder.ledger.write_once(grow)
    for _ in range(20):
        kit.spend(recorder, 10)
    ballast = fill(small_disk)
    with pytest.raises(LedgerError, match=r"disk is full|disk I/O"):
        recorder.ledger.checkpoint()
    db = kit.connect(home)
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
    assert db.execute("select count(*), sum(cost) from event").fetchone() == (21, 201)
    db.close()
    ballast.unlink()
    recorder.ledger.retry_now()
    assert recorder.ledger.checkpoint()
    assert (home / "ledger.db").stat().st_size > size
    kit.spend(recorder, 10)
    assert kit.rows(home, "select count(*), sum(cost) from event") == [(22, 211)]
    kit.assert_sums_agree(home)
    recorder.ledger.close()


@root
def test_a_migration_on_a_full_disk(small_disk: Path) -> None:
    """An update of costmon on a full disk leaves the ledger of the old one, and finishes when there is room."""
    home = small_disk / "home"
    of_the_first_schema(home)
    ballast = fill(small_disk)
    recorder = Recorder(str(home))
    log = Log()
    for _ in range(3):
        held = recorder.admit(kit.priced(700))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=700))
    assert log.messages  # the fault fired
    assert not held.written
    ballast.unlink()
    recorder.ledger.retry_now()
    assert recorder.drain(2) == 0
    recorder.ledger.close()
    assert kit.rows(home, "select count(*), sum(cost) from event") == [(5, 3500)]
    assert kit.rows(home, "select id from reservation") == [("old2",)]
    books_agree(home, [])


@root
def test_a_block_on_a_full_disk(small_disk: Path) -> None:
    """A block that cannot be written says so, leaves the one that stands as it is, and no half file in its way."""
    folder = str(small_disk / "switch")
    switch.write(folder, Block("app=a", "old"))
    ballast = fill(small_disk)
    for scope in ("app=a", "app=b"):
        with pytest.raises(OSError, match="space"):
            switch.write(folder, Block(scope, "new " + "x" * 5000))
    standing = switch.read(folder, "app=a")
    assert standing is not None
    assert (standing.reason, standing.intact) == ("old", True)
    assert os.listdir(folder) == ["app=a"]
    ballast.unlink()
    switch.write(folder, Block("app=a", "new"))
    standing = switch.read(folder, "app=a")
    assert standing is not None
    assert standing.reason == "new"


@root
@pytest.mark.timeout(60)
@pytest.mark.slow
def test_room_on_the_disk_is_found_within_five_seconds(small_disk: Path) -> None:
    """An app that goes on calling notices by itself that the disk has room again, and writes what it kept."""
    home = small_disk / "home"
    recorder = Recorder(str(home))
    kit.spend(recorder, 10)
    ballast = fill(small_disk)
    for _ in range(40):
        kit.spend(recorder, 10)
    assert recorder._spool  # the fault fired
    ballast.unlink()
    began = time.monotonic()
    calls = 41
    while recorder._spool:
        time.sleep(0.1)
        kit.spend(recorder, 10)
        calls += 1
        assert time.monotonic() - began < ledger_module.REOPEN_AFTER_S + 1.5
    assert kit.rows(home, "select count(*), sum(cost) from event") == [(calls, calls * 10)]
    kit.assert_sums_agree(home)
    recorder.ledger.close()


# --- denied ---


def median_ms(home: Path) -> tuple[float, list[str], int]:
    """The median of what admission and settlement take in ms, the warnings' kinds, and how many calls went through."""
    log, recorder, took, done = Log(), Recorder(str(home)), [], 0
    for _ in range(41):
        began = time.perf_counter()
        try:
            held = recorder.admit(kit.priced(10))
            if held is not None:
                recorder.settle(held, Outcome("ok", cost=10))
                done += 1
        except SpendBlocked:
            pass
        took.append((time.perf_counter() - began) * 1000)
    logging.getLogger("costmon").removeHandler(log)
    return statistics.median(took), log.kinds(), done


def read_only_folder(home: Path) -> None:
    kit.spend(Recorder(str(home)), 1)
    open_to_all(home / "switch")
    home.chmod(0o555)


def read_only_file(home: Path) -> None:
    kit.spend(Recorder(str(home)), 1)
    open_to_all(home / "switch")
    home.chmod(0o777)
    for path in home.glob("ledger*"):
        path.chmod(0o444)


def another_users(home: Path) -> None:
    kit.spend(Recorder(str(home)), 1)
    open_to_all(home / "switch")
    home.chmod(0o755)
    for path in home.glob("ledger*"):
        path.chmod(0o600)


def no_home(home: Path) -> None:
    open_to_all(home.parent)
    home.parent.chmod(0o555)


def home_below_a_file(home: Path) -> None:
    home.parent.rmdir() if not os.listdir(home.parent) else shutil.rmtree(home.parent)
    home.parent.write_text("a file")
    open_to_all(home.parent.parent)


DENIED: dict[str, Callable[[Path], None]] = {
    "folder is read-only": read_only_folder,
    "file is 0444": read_only_file,
    "file of another user": another_users,
    "home missing and not to be made": no_home,
    "home below a file": home_below_a_file,
}


@root
@pytest.mark.parametrize("how", DENIED)
def test_a_denied_home_costs_milliseconds(costmon_home: Path, how: str) -> None:
    """Calls go on from memory; each loses less than 5 ms by it, and the log gets a line a minute for each trouble."""
    home = costmon_home.parent / "outer" / "home"
    home.parent.mkdir()
    DENIED[how](home)
    took, kinds, done = as_nobody(lambda: median_ms(home))()
    assert done == 41
    assert took <= 5
    assert 1 <= len(kinds) == len(set(kinds)) <= 3
    assert "costmon enforces from memory" in kinds


def test_no_descriptor_left_costs_milliseconds(costmon_home: Path) -> None:
    """With every descriptor in use a call is refused or goes on from memory, at once, and works when some are free."""
    kit.spend(Recorder(str(costmon_home)), 1)

    def work() -> tuple[float, list[str], int, int]:
        most = 50 + max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        opened = []
        fault = 0
        try:
            while True:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            fault = error.errno or 0
        took, kinds, _ = median_ms(costmon_home)
        for descriptor in opened:
            os.close(descriptor)
        after = median_ms(costmon_home)[2]
        return took, kinds, fault, after

    took, kinds, fault, after = kit.forked(work)()
    assert fault == errno.EMFILE  # the fault is there
    assert took <= 5
    assert len(kinds) == len(set(kinds))
    assert after == 41
    assert kit.one(costmon_home, "select count(*) from event where cost = 10") >= 41


NO_LOCKS = """
import os, time
from costmon.shim.calls import Call, Outcome
from costmon.shim.recorder import Recorder
recorder = Recorder(os.environ["COSTMON_HOME"])
for number in range(5):
    began = time.perf_counter()
    held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=10))
    recorder.settle(held, Outcome("ok", cost=10), wait_s=0.0)
    print(held.written, time.perf_counter() - began)
"""


@pytest.mark.parametrize("call", ["fcntl", "flock"])
def test_a_system_out_of_locks(costmon_home: Path, call: str) -> None:
    """Where the system has no lock to give (ENOLCK), no write is tried without one, and the app's calls go on."""
    kit.spend(Recorder(str(costmon_home)), 1)
    run = strace.run(
        NO_LOCKS, costmon_home, call, f"{call}:error=ENOLCK:when=1+", only_ledger=call == "fcntl"
    )
    assert run.fired
    assert run.code == 0, run.err
    assert "Traceback" not in run.err
    found = [line.split() for line in run.out]
    assert [written for written, _ in found] == ["False"] * 5
    longest = sorted(float(took) for _, took in found)
    assert longest[2] <= (0.6 if call == "fcntl" else 0.05)  # SQLite calls a missing POSIX lock "busy"
    assert kit.rows(costmon_home, "select cost from event") == [(1,)]
    books_agree_without(costmon_home)


def books_agree_without(home: Path) -> None:
    ledger = Ledger(str(home))
    ledger.write(lambda db: None, 1)
    ledger.close()
    kit.assert_sums_agree(home)
