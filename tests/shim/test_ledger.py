"""The ledger's connection: whose file it is, what a fault leaves behind, what a broken one costs the host."""

from __future__ import annotations

import ast
import asyncio
import logging
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from costmon.errors import LedgerBusy, LedgerUnusable
from costmon.shim import ledger as module
from costmon.shim import schema
from costmon.shim.ledger import Ledger, wal_reset_bug
from costmon.shim.recorder import Outcome, Recorder
from costmon.store import open_ledger as open_store
from tests.shim.battery import kit

INSERT = "insert into setting values ('x', 'y') on conflict (key) do update set value = 'z'"


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return Recorder(str(costmon_home))


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "costmon"]


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False), ((3, 45, 0), True), ((3, 49, 2), True),
        ((3, 50, 4), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 0), True), ((3, 51, 2), True),
        ((3, 51, 3), False), ((3, 53, 1), False), ((4, 0, 0), False),
    ],
)  # fmt: skip
def test_which_sqlite_has_the_wal_reset_bug(version: tuple[int, int, int], affected: bool) -> None:
    """`costmon doctor` tells of it by version, since no stress test finds it."""
    assert wal_reset_bug(version) is affected


WRITER = """
import os, sqlite3, sys
sqlite3.sqlite_version_info = tuple(map(int, sys.argv[1].split(".")))
from costmon.shim.ledger import Ledger
ledger = Ledger(os.environ["COSTMON_HOME"])
def work(db):
    db.execute("insert into setting values ('x', 'y') on conflict (key) do update set value = 'z'")
    print(db.execute("pragma journal_mode").fetchone()[0], db.execute("pragma wal_autocheckpoint").fetchone()[0], flush=True)
    sys.stdin.readline()
ledger.write(work, 5)
print(ledger.checkpoint())
ledger.close()
"""


@pytest.mark.parametrize(
    "version", ["3.40.1", "3.44.6", "3.45.0", "3.50.4", "3.50.7", "3.51.0", "3.51.2", "3.51.3", "3.53.1"]
)
def test_no_checkpoint_races_a_writer_of_any_sqlite(costmon_home: Path, version: str) -> None:
    """Apps of one ledger each bring a SQLite; the bug is in the checkpoint, so writers without it are shielded as well."""
    ours = Ledger(str(costmon_home))
    ours.write_once(lambda db: db.execute(INSERT))
    with kit.start_python(WRITER, version) as writer:
        assert writer.stdout is not None
        assert (
            writer.stdout.readline() == "wal 0\n"
        )  # nobody's journal is changed under him, nor checkpointed at a commit
        assert ours.checkpoint() is False
        lock = module.FileLock(str(costmon_home / "checkpoint.lock"))
        assert not lock.acquire(exclusive=True)
        out, err = writer.communicate("\n", timeout=20)
        assert (out, err) == ("True\n", "")
    assert ours.checkpoint() is True
    lock.close()
    ours.close()


def test_a_checkpoint_waits_for_writers(costmon_home: Path) -> None:
    """While one process is in a transaction another does not checkpoint, and the other way round."""
    one, other = Ledger(str(costmon_home)), Ledger(str(costmon_home))
    other.write_once(lambda db: db.execute(INSERT))
    assert one.write_once(lambda db: other.checkpoint()) is False
    assert other.checkpoint() is True
    lock = module.FileLock(str(costmon_home / "checkpoint.lock"))
    assert lock.acquire(exclusive=True)
    with pytest.raises(LedgerBusy):
        one.write(lambda db: db.execute(INSERT), 0.05)
    lock.close()
    one.write(lambda db: db.execute(INSERT), 0.05)
    one.close(), other.close()


def test_everything_is_private_under_any_umask(tmp_path: Path) -> None:
    """Under umask 000 nobody else can read the ledger, or put another one in its place."""
    home = tmp_path / "state" / "deep" / "costmon"

    def use() -> list[str]:
        os.umask(0)
        kit.spend(Recorder(str(home)), 5)
        return sorted(path.name for path in home.rglob("*"))

    names = kit.forked(use)()
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm"} <= set(names)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "state").rglob("*")}
    wrong = {
        str(path): oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)
    }
    assert wrong == {}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_wal_is_refused_on_a_network_file_system(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS, where shared memory does not work, the ledger uses a rollback journal and full syncs."""
    monkeypatch.setattr(module, "on_network_file_system", lambda home: True)
    kit.spend(Recorder(str(costmon_home)), 5)
    db = kit.connect(costmon_home)
    assert db.execute("pragma journal_mode").fetchone() == ("delete",)
    assert db.execute("pragma synchronous").fetchone() == (2,)
    db.close()
    assert kit.one(costmon_home, "select sum(cost) from event") == 5


def test_full_durability_is_a_setting(costmon_home: Path) -> None:
    """Who wants every event to survive a power cut can have it."""
    kit.set_setting(costmon_home, "synchronous", "full")
    one = Ledger(str(costmon_home))
    assert one.read(lambda db: db.execute("pragma synchronous").fetchone()) == (2,)
    one.close()


def test_a_deferred_transaction_would_fail_at_once(costmon_home: Path) -> None:
    """Control for the rule 'only BEGIN IMMEDIATE': a read that turns into a write gets no waiting at all."""
    one, two = kit.connect(costmon_home), kit.connect(costmon_home)
    one.execute("begin")
    one.execute("select count(*) from setting").fetchone()
    two.execute(INSERT)
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError) as caught:
        one.execute(INSERT)
    assert caught.value.sqlite_errorname == "SQLITE_BUSY_SNAPSHOT"
    assert time.monotonic() - began < 0.5
    one.close(), two.close()


def sources() -> list[Path]:
    package = Path(module.__file__).resolve().parents[1]
    return [*package.rglob("*.py")]


@pytest.mark.slow
def test_every_transaction_begins_immediate() -> None:
    """No code of ours opens a transaction that could fail half way for want of the lock."""
    begun = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "execute"
            ):
                sql = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
                if str(sql).lower().lstrip().startswith("begin"):
                    begun.add(sql)
    assert begun == {"begin immediate"}


def test_only_sqlite_opens_the_database(costmon_home: Path) -> None:
    """No code of ours opens the ledger's files by itself, which would drop SQLite's locks and lose commits."""
    code = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append((args[0], args[2])) if event == "open" else None)
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit
import os
recorder = Recorder(os.environ["COSTMON_HOME"])
for _ in range(300):
    kit.spend(recorder, 1)
recorder.ledger.checkpoint()
recorder.ledger.close()
kit.spend(recorder, 1)
ours = [flags for path, flags in opened if isinstance(path, str) and "ledger.db" in path]
print(len(ours) >= 1, all(flags & os.O_EXCL for flags in ours))
"""
    child = kit.python(code, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    assert child.stdout.split() == ["True", "True"], child.stderr  # O_EXCL: only ever to create it


# --- faults -----------------------------------------------------------------------------------------------------


def png(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(5000))


def truncated(path: Path) -> None:
    kit.spend(Recorder(str(path.parent)), 5)
    db = sqlite3.connect(path)
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()
    os.truncate(path, 20_000)


def zeroed_page(path: Path) -> None:
    kit.spend(Recorder(str(path.parent)), 5)
    db = sqlite3.connect(path)
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()
    with open(path, "r+b") as file:
        file.write(bytes(4096))


def foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("create table diary (text)")
    db.execute("insert into diary values ('dear diary')")
    db.commit()
    db.close()


def foreign_with_a_version(path: Path) -> None:
    foreign(path)
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 7")
    db.commit()
    db.close()


BROKEN = {
    "garbage": lambda path: path.write_bytes(b"hello" * 2000),
    "PNG": png,
    "short garbage": lambda path: path.write_bytes(b"\x01" * 50),
    "truncated": truncated,
    "zeroed first page": zeroed_page,
    "foreign": foreign,
    "foreign with a version": foreign_with_a_version,
    "folder": lambda path: path.mkdir(),
    "symlink to nowhere": lambda path: path.symlink_to("/nowhere/ledger.db"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_ledger_never_reaches_the_app(
    costmon_home: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With rubbish in place of the ledger calls go on, the log says so once, and the rubbish is left as it is."""
    costmon_home.mkdir()
    path = costmon_home / "ledger.db"
    BROKEN[kind](path)
    before = path.read_bytes() if path.is_file() else b""
    recorder = Recorder(str(costmon_home))
    caplog.set_level(logging.WARNING, "costmon")
    for _ in range(20):
        held = recorder.admit(kit.priced(100))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=100))
    with pytest.raises(LedgerUnusable):  # the fault is there
        recorder.ledger.write_once(lambda db: db.execute(INSERT))
    assert (path.read_bytes() if path.is_file() else b"") == before
    messages = warnings_of(caplog)
    assert len(messages) == len({message.split(":")[0] for message in messages}) <= 3
    assert all("\n" not in message for message in messages)
    recorder.ledger.close()


def test_a_ledger_that_heals_gets_what_it_missed(costmon_home: Path) -> None:
    """Once the broken file is moved away, the calls made meanwhile arrive in the new ledger, each once."""
    costmon_home.mkdir()
    png(costmon_home / "ledger.db")
    recorder = Recorder(str(costmon_home))
    for _ in range(5):
        kit.spend(recorder, 100)
    (costmon_home / "ledger.db").unlink()
    recorder.ledger._failed_at -= module.REOPEN_AFTER_S
    kit.spend(recorder, 100)
    assert recorder.drain() == 0
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (6, 600)
    ]
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_newer_ledger_is_not_downgraded(costmon_home: Path, recorder: Recorder) -> None:
    """An older shim beside a newer costmon adds rows and leaves the schema alone."""
    db = kit.connect(costmon_home)
    db.execute("alter table event add column shiny text default 'new'")
    db.execute(f"pragma user_version = {schema.VERSION + 5}")
    db.close()
    kit.spend(recorder, 7)
    assert kit.one(costmon_home, "select shiny from event") == "new"
    assert kit.one(costmon_home, "pragma user_version") == schema.VERSION + 5


def test_failing_for_hours_leaks_nothing(costmon_home: Path, recorder: Recorder) -> None:
    """A host beside a ledger that fails again and again does not run out of file descriptors."""
    kit.spend(recorder, 1)

    def fail(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def once() -> None:
        with pytest.raises(LedgerUnusable, match="disk I/O error"):
            recorder.ledger.write_once(fail)
        recorder.ledger._failed_at -= module.REOPEN_AFTER_S

    once()
    before = kit.descriptors()
    for _ in range(50):
        once()
    assert kit.descriptors() <= before
    kit.spend(recorder, 1)
    assert kit.one(costmon_home, "select count(*) from event") == 2


def test_an_unwritable_lock_file_leaks_nothing(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the ledger opens but its lock does not."""
    Recorder(str(costmon_home)).ledger.write_once(lambda db: None)

    def refuse(path: str) -> None:
        raise PermissionError(13, "denied", path)

    monkeypatch.setattr(module, "FileLock", refuse)
    monkeypatch.setattr(module, "wal_reset_bug", lambda version: True)
    ledger = Ledger(str(costmon_home))
    open_files = []
    for _ in range(20):
        with pytest.raises(LedgerUnusable):
            ledger.write_once(lambda db: None)
        ledger._failed_at -= module.REOPEN_AFTER_S
        open_files.append(kit.descriptors())
    assert max(open_files[1:]) <= open_files[0]


def test_a_removed_ledger_is_noticed(costmon_home: Path, recorder: Recorder) -> None:
    """After `rm -r` of the home a running app records into a new ledger, not into a deleted file."""
    kit.spend(recorder, 1)
    for path in costmon_home.glob("ledger.db*"):
        path.unlink()
    recorder.ledger._look_again_at = 0.0  # a second later
    kit.spend(recorder, 2)
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event") == [(1, 2)]


def test_a_restored_ledger_is_noticed(costmon_home: Path, recorder: Recorder, tmp_path: Path) -> None:
    """The same when a backup is put in its place."""
    kit.spend(recorder, 1)
    other = tmp_path / "other"
    kit.spend(Recorder(str(other)), 10)
    db = kit.connect(other)
    db.execute("vacuum into ?", (str(tmp_path / "backup.db"),))
    db.close()
    for path in costmon_home.glob("ledger.db-*"):
        path.unlink()
    os.replace(tmp_path / "backup.db", costmon_home / "ledger.db")
    recorder.ledger._look_again_at = 0.0
    kit.spend(recorder, 2)
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event") == [(2, 12)]


def test_an_interrupted_transaction_lets_go(costmon_home: Path, recorder: Recorder) -> None:
    """Ctrl-C inside a write leaves no lock behind for the other apps."""

    def interrupted(db: sqlite3.Connection) -> None:
        db.execute(INSERT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorder.ledger.write_once(interrupted)
    other = Ledger(str(costmon_home))
    other.write_once(lambda db: db.execute("insert into setting values ('other', '1')"))
    assert kit.rows(costmon_home, "select value from setting where key = 'x'") == []
    other.close()


# --- waiting ----------------------------------------------------------------------------------------------------


def test_while_another_creates_the_ledger_a_call_does_not_wait_for_it(costmon_home: Path) -> None:
    """A stuck first start of another process holds up a call for a quarter of a second, not for ten."""
    costmon_home.mkdir()
    lock = module.FileLock(str(costmon_home / "ledger.lock"))
    assert lock.acquire(exclusive=True)
    recorder = Recorder(str(costmon_home))
    began = time.monotonic()
    held = recorder.admit(kit.priced(100))
    assert time.monotonic() - began <= 0.6
    assert held is not None
    assert not held.written
    lock.close()
    recorder.settle(held, Outcome("ok", cost=100))
    assert kit.one(costmon_home, "select sum(cost) from event") == 100


async def test_a_busy_ledger_does_not_stop_the_event_loop(costmon_home: Path, recorder: Recorder) -> None:
    """While an async app waits for the ledger its other tasks run on."""
    kit.spend(recorder, 1)
    db = kit.connect(costmon_home)
    db.execute("begin immediate")
    longest = 0.0
    going = True

    async def ticks() -> None:
        nonlocal longest
        last = time.monotonic()
        while going:
            await asyncio.sleep(0.002)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    task = asyncio.create_task(ticks())
    await asyncio.sleep(0.01)
    began = time.monotonic()
    held = await recorder.admit_async(kit.priced(1))
    waited = time.monotonic() - began
    began = time.monotonic()
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=1), wait_s=0.0)
    settled = time.monotonic() - began
    going = False
    await task
    db.execute("rollback")
    db.close()
    assert 0.2 <= waited <= 0.45  # the fault was there
    assert settled <= 0.05
    assert longest <= 0.1
    assert recorder.drain() == 0
    assert kit.one(costmon_home, "select count(*) from event where state = 'settled'") == 2


def test_threads_share_one_connection(costmon_home: Path, recorder: Recorder) -> None:
    """64 threads of one app lose nothing and mix nothing up."""
    budget = kit.add_budget(costmon_home, 10**12)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for cost in range(1, 21):
                kit.spend(recorder, cost)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert recorder.drain(2) == 0
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (1280, 64 * 210)
    ]
    assert kit.period(costmon_home, budget) == {
        "spent": 64 * 210, "assumed": 0, "reserved": 0, "calls": 1280, "unpriced": 0
    }  # fmt: skip
    kit.assert_sums_agree(costmon_home)


def test_threads_that_drain_at_once_lose_nothing(costmon_home: Path, recorder: Recorder) -> None:
    """After an outage many threads come back together; every call of the outage is written, once."""
    kit.spend(recorder, 1)
    locker = kit.connect(costmon_home)
    locker.execute("begin immediate")
    for _ in range(60):
        held = recorder._without_ledger(LedgerBusy("x"), kit.priced(10), ("a", "", "", False))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=10), wait_s=0.0)
    assert len(recorder._spool) == 60  # the fault was there
    locker.execute("rollback")
    locker.close()
    barrier = threading.Barrier(16)
    faults: list[BaseException] = []

    def come_back() -> None:
        barrier.wait(10)
        try:
            for _ in range(5):
                kit.spend(recorder, 1)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=come_back) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert recorder.drain(2) == 0
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (1 + 60 + 80, 1 + 600 + 80)
    ]
    kit.assert_sums_agree(costmon_home)


def test_a_long_outage_does_not_hold_up_the_first_call_after_it(
    costmon_home: Path, recorder: Recorder
) -> None:
    """Ten thousand waiting settlements are written a few at a time, or all at exit."""
    kit.spend(recorder, 1)
    for _ in range(3000):
        held = recorder._without_ledger(LedgerBusy("x"), kit.priced(1), ("a", "", "", False))
        assert held is not None
        recorder._spool.append((held, Outcome("ok", cost=1), kit.now_us()))
    began = time.monotonic()
    kit.spend(recorder, 1)
    assert time.monotonic() - began < 0.5
    assert 0 < len(recorder._spool) < 3000
    assert recorder.drain(2) == 0
    assert kit.one(costmon_home, "select count(*) from event") == 3002


# --- the views --------------------------------------------------------------------------------------------------


def test_the_view_of_events_reads_like_the_documentation(costmon_home: Path, recorder: Recorder) -> None:
    """`llm_usage_events` has the columns people query, with exact decimal costs."""
    held = recorder.admit(kit.llm())
    assert held is not None
    recorder.settle(
        held,
        Outcome("ok", usage={"input_tokens": 8, "output_tokens": 2, "total_tokens": 10}, request_id="r1"),
    )
    db = kit.connect(costmon_home)
    db.row_factory = sqlite3.Row
    (row,) = db.execute("select * from llm_usage_events").fetchall()
    found = dict(row)
    db.close()
    assert found["estimated_cost_usd"] == "0.000002400"  # 8 x 150 + 2 x 600 nano
    names = ("provider", "model", "request_id", "total_tokens")
    assert [found[name] for name in names] == ["openai", "gpt-4o-mini", "r1", 10]
    assert found["created_at"].endswith("Z")
    assert {
        "route",
        "input_tokens",
        "output_tokens",
        "estimated_cost",
        "price_version",
        "cost_status",
    } <= set(found)


def test_store_and_shim_see_the_same_ledger(costmon_home: Path, recorder: Recorder) -> None:
    """What an app recorded before costmon ever ran is there when costmon comes."""
    kit.spend(recorder, 12)
    store = open_store(str(costmon_home))
    assert store.db.execute("select sum(cost) from rollup_day").fetchone() == (12,)
    assert store.db.execute("select count(*) from _sqlite_migrations").fetchone() == (schema.VERSION,)
    store.close()
