"""Processes that die: at a random instant, at exit, across a fork. What was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from costmon.shim import booking
from costmon.shim.recorder import Outcome, Recorder
from costmon.shim.schema import VERSION
from costmon.store import open_ledger as open_store
from tests.shim.battery import kit

SEED = 20261121


# --- kill -9 ----------------------------------------------------------------------------------------------------

WRITER = """
import os, sys
from costmon.shim.calls import Call, Outcome
from costmon.shim.recorder import Recorder
recorder = Recorder(os.environ["COSTMON_HOME"])
ack = int(sys.argv[1])
cost = 0
while True:
    cost = cost % 997 + 1
    held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=1000))
    os.write(ack, f"r{held.attempt.id} 1000\\n".encode())
    recorder.settle(held, Outcome("ok", cost=cost))
    os.write(ack, f"s{held.attempt.id} {cost}\\n".encode())
"""


class Writer:
    """A process that spends as fast as it can and says over a pipe what it was told is written."""

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests may be alive
            self._pid = os.fork()  # a new interpreter for each of a thousand would take minutes
        if self._pid == 0:
            try:
                os.close(self._reading)
                sys.argv = ["writer", str(writing)]
                exec(compile(WRITER, "writer", "exec"), {})
            finally:
                os._exit(1)
        os.close(writing)

    def kill(self) -> tuple[dict[str, int], dict[str, int]]:
        """(reserved, settled): nano by event id, as acknowledged."""
        os.kill(self._pid, signal.SIGKILL)
        assert os.waitpid(self._pid, 0)[1] == signal.SIGKILL
        with os.fdopen(self._reading, "rb") as pipe:
            lines = pipe.read().decode().split("\n")[:-1]
        found: dict[str, dict[str, int]] = {"r": {}, "s": {}}
        for line in lines:
            name, amount = line[1:].split(" ")
            found[line[0]][name] = int(amount)
        return found["r"], found["s"]

    def wait_until_it_writes(self) -> None:
        import select

        assert select.select([self._reading], [], [], 30)[0], "the writer never began"


def storm(home: Path, kills: int) -> tuple[int, int]:
    """Kill writers at random instants, two at a time; returns (acknowledged settlements, open reservations left)."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    budget = kit.add_budget(home, 10**15)
    reserved: dict[str, int] = {}
    settled: dict[str, int] = {}
    left = 0
    for _ in range(0, kills, 2):
        writers = [Writer(), Writer()]
        for writer in writers:
            writer.wait_until_it_writes()
            time.sleep(rng.uniform(0, 0.06))
        for writer in writers:
            ours, done = writer.kill()
            reserved |= ours
            settled |= done
        db = kit.connect(home)
        assert db.execute("pragma quick_check").fetchone()[0] == "ok"
        db.close()
    both = "select id, state, cost from event union all select id, 'reserved', null from reservation"
    states = {row[0]: row[1:] for row in kit.rows(home, both)}
    assert settled, "the writers never got as far as a settlement"
    missing = [name for name in reserved if name not in states]
    wrong = [name for name, cost in settled.items() if states[name] != ("settled", cost)]
    assert (missing, wrong) == ([], [])
    kit.assert_sums_agree(home)
    left = sum(state == "reserved" for state, *_ in states.values())
    assert kit.period(home, budget)["reserved"] == left * 1000
    recorder = Recorder(str(home))
    assert recorder.ledger.write(lambda db: booking.settle_orphans(db, kit.now_us()), 5) == left
    recorder.ledger.close()
    kit.assert_sums_agree(home)
    total = kit.one(home, "select sum(cost) from event")
    found = kit.period(home, budget)
    assert (found["spent"], found["reserved"], found["calls"]) == (total, 0, len(states))
    return len(settled), left


@pytest.mark.slow
def test_kill_nine_twenty_times(costmon_home: Path) -> None:
    """kill -9 in the middle of a write loses no acknowledged event, doubles none, and the budget adds up afterwards."""
    acknowledged, _ = storm(costmon_home, 20)
    assert acknowledged > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_nine_a_thousand_times(costmon_home: Path) -> None:
    """The same 1,000 times over on one ledger."""
    began = time.monotonic()
    acknowledged, left = storm(costmon_home, 1000)
    print(f"{acknowledged} acknowledged, {left} orphans, {time.monotonic() - began:.0f} s")
    assert left > 0  # some died between reservation and settlement


def test_a_queue_would_be_caught(costmon_home: Path) -> None:
    """Control: a writer that acknowledges before it commits loses events in the same storm."""
    kit.connect(costmon_home).close()
    code = WRITER.replace(
        '    recorder.settle(held, Outcome("ok", cost=cost))\n', "    queue.append((held, cost))\n"
    ).replace("cost = 0\n", "cost = 0\nqueue = []\n", 1)
    assert code != WRITER
    reading, writing = os.pipe()
    path = os.pathsep.join([str(kit.PACKAGE), str(Path(__file__).resolve().parents[3])])
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(writing)], pass_fds=[writing], env={**os.environ, "PYTHONPATH": path}
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = [pipe.readline() for _ in range(20)]
        child.kill()
        child.wait()
        lines += pipe.read().split(b"\n")[:-1]
    acknowledged = [line[1:].split()[0].decode() for line in lines if line.startswith(b"s")]
    settled = {row[0] for row in kit.rows(costmon_home, "select id from event where state = 'settled'")}
    assert any(name not in settled for name in acknowledged)


# --- exits ------------------------------------------------------------------------------------------------------

EXITS = {
    "return": "", "exception": "raise KeyError('x')", "sys.exit": "sys.exit(3)", "SIGTERM": "os.kill(os.getpid(), 15)",
    "SIGINT": "os.kill(os.getpid(), 2)", "os._exit": "os._exit(0)", "os.abort": "os.abort()",
    "kill -9": "os.kill(os.getpid(), 9)",
}  # fmt: skip


@pytest.mark.parametrize("how", EXITS)
def test_whatever_way_an_app_ends_its_settled_calls_are_there(costmon_home: Path, how: str) -> None:
    """Nothing waits in a queue: what was settled is written, however the process ends in the next line."""
    child = kit.python(
        f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import costmon
@costmon.track("x", cost_per_call="0.01")
def call(): pass
for _ in range(25): call()
{EXITS[how]}
"""
    )
    assert (child.returncode == 0) is (how in ("return", "os._exit"))
    if how in ("return", "sys.exit", "SIGTERM", "os._exit", "kill -9"):
        assert child.stderr == ""
    assert kit.rows(costmon_home, "select state, count(*) from event group by state") == [("settled", 25)]
    kit.assert_sums_agree(costmon_home)


def test_no_thread_of_ours_runs_in_the_app(costmon_home: Path) -> None:
    """The shim starts no thread, so it can neither outlive the app nor die with one."""
    child = kit.python(
        """
import threading, costmon
@costmon.track("x", cost_per_call="0.01")
def call(): return threading.active_count()
print(call(), call())
"""
    )
    assert child.stdout.split() == ["1", "1"], child.stderr


@pytest.mark.slow
def test_an_exit_beside_a_locked_ledger_takes_two_seconds(costmon_home: Path) -> None:
    """An app that ends while the ledger is locked ends within about 2 s, and its orphan is settled afterwards."""
    db = kit.connect(costmon_home)
    child = kit.start_python(
        """
import sys, costmon
from costmon.shim import runtime
from costmon.shim.calls import Call, Outcome
recorder = runtime.recorder()
held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=7))
print("admitted", flush=True)
sys.stdin.readline()
recorder.settle(held, Outcome("ok", cost=5), wait_s=0.0)
print("settled", flush=True)
"""
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "admitted\n"
    db.execute("begin immediate")
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "settled\n"
    began = time.monotonic()
    child.wait(10)
    assert 1 <= time.monotonic() - began <= 3.5
    child.communicate()
    db.execute("rollback")
    db.close()
    assert kit.rows(costmon_home, "select reserved from reservation") == [(7,)]
    recorder = Recorder(str(costmon_home))
    assert recorder.ledger.write_once(lambda db: booking.settle_orphans(db, kit.now_us())) == 1
    recorder.ledger.close()
    kit.assert_sums_agree(costmon_home)


def test_a_spool_is_written_at_exit(costmon_home: Path) -> None:
    """What an app could not write while the ledger was locked is written when it ends."""
    db = kit.connect(costmon_home)
    child = kit.start_python(
        """
import sys, costmon
from costmon.shim import runtime
from costmon.shim.calls import Call, Outcome
recorder = runtime.recorder()
for cost in range(1, 6):
    held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=cost))
    print("admitted", flush=True)
    if cost == 1: sys.stdin.readline()
    recorder.settle(held, Outcome("ok", cost=cost), wait_s=0.0)
sys.stdin.readline()
"""
    )
    assert child.stdout is not None
    assert child.stdin is not None
    child.stdout.readline()
    db.execute("begin immediate")
    child.stdin.write("\n")
    child.stdin.flush()
    for _ in range(4):
        child.stdout.readline()
    time.sleep(0.05)
    db.execute("rollback")
    db.close()
    _, err = child.communicate("\n", timeout=20)
    assert child.returncode == 0, err
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (5, 15)
    ]


# --- forks ------------------------------------------------------------------------------------------------------


def inherited(recorder: Recorder) -> bool:
    """Whether this process still has a connection that another one opened."""
    return recorder.ledger._db is not None


def test_a_forked_child_uses_no_connection_of_its_parents(costmon_home: Path) -> None:
    """8 workers forked from an app in full work, 100 calls each: all there, none twice."""
    recorder = Recorder(str(costmon_home))
    number = kit.add_budget(costmon_home, 10**12)
    for _ in range(50):
        kit.spend(recorder, 1)

    def work() -> tuple[bool, int]:
        had = inherited(recorder)
        for _ in range(100):
            kit.spend(recorder, 3)
        return had, recorder.drain(2)

    children = [kit.forked(work) for _ in range(8)]
    for _ in range(50):
        kit.spend(recorder, 1)
    assert [child() for child in children] == [(False, 0)] * 8
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (900, 2500)
    ]
    assert kit.period(costmon_home, number)["spent"] == 2500
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_fork_in_the_middle_of_a_call(costmon_home: Path) -> None:
    """The parent's call in flight is settled by the parent, once, whatever the child does."""
    recorder = Recorder(str(costmon_home))
    number = kit.add_budget(costmon_home, 10**12)
    held = recorder.admit(kit.priced(1000))
    assert held is not None

    def child() -> None:
        for _ in range(10):
            kit.spend(recorder, 5)

    kit.forked(child)()
    recorder.settle(held, Outcome("ok", cost=900))
    assert kit.period(costmon_home, number) == {
        "spent": 950,
        "assumed": 0,
        "reserved": 0,
        "calls": 11,
        "unpriced": 0,
    }
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_child_outlives_its_parent(costmon_home: Path) -> None:
    """A daemon that forked off and lost its parent does not write into a deleted log when another process looks."""

    def parent() -> None:
        recorder = Recorder(str(costmon_home))
        kit.spend(recorder, 1)
        if os.fork() == 0:
            signal.alarm(30)
            time.sleep(0.3)  # the parent is gone
            kit.spend(recorder, 10)
            (costmon_home / "one").touch()
            while not (costmon_home / "go").exists():
                time.sleep(0.01)
            for _ in range(20):
                kit.spend(recorder, 100)
            (costmon_home / "two").touch()
            while not (costmon_home / "end").exists():
                time.sleep(0.01)
            os._exit(0)

    def wait_for(name: str) -> None:
        until = time.monotonic() + 20
        while not (costmon_home / name).exists():
            assert time.monotonic() < until
            time.sleep(0.01)

    kit.forked(parent)()
    wait_for("one")
    assert (
        kit.one(costmon_home, "select sum(cost) from event") == 11
    )  # opened and closed, as `costmon status` does
    (costmon_home / "go").touch()
    wait_for("two")
    seen = kit.rows(costmon_home, "select count(*), sum(cost) from event")
    (costmon_home / "end").touch()
    assert seen == [(22, 2011)]
    kit.assert_sums_agree(costmon_home)


def test_forks_while_threads_write(costmon_home: Path) -> None:
    """Forking while other threads are inside SQLite neither hangs the child nor leaves it without the ledger."""
    import threading

    recorder = Recorder(str(costmon_home))
    kit.spend(recorder, 1)
    stop = threading.Event()
    written = [0] * 3

    def busy(number: int) -> None:
        while not stop.is_set():
            kit.spend(recorder, 1)
            written[number] += 1

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()

    def child() -> int:
        kit.spend(recorder, 1000)
        return recorder.drain(2)

    try:
        results = [kit.forked(child) for _ in range(40)]
        assert [result() for result in results] == [0] * 40
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert recorder.drain(2) == 0
    assert kit.rows(costmon_home, "select cost, count(*) from event group by cost") == [
        (1, 1 + sum(written)),
        (1000, 40),
    ]
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_fork_python_does_not_see(costmon_home: Path) -> None:
    """A process forked by C code (uWSGI) is told by its pid and opens a connection of its own."""
    code = """
import ctypes, os, sys
from costmon.shim.calls import Call, Outcome
from costmon.shim.recorder import Recorder
recorder = Recorder(os.environ["COSTMON_HOME"])
def spend(cost):
    held = recorder.admit(Call("call", "p", "p", "m", "", has_output=False, source="track", cost=cost))
    recorder.settle(held, Outcome("ok", cost=cost))
spend(1)
before = recorder.ledger._db
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    for _ in range(20): spend(10)
    os._exit(0 if recorder.ledger._db is not before else 9)
spend(1)
print(os.waitpid(pid, 0)[1])
spend(1)
"""
    child = kit.python(code)
    assert child.stdout.strip() == "0", child.stderr
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event") == [(23, 203)]
    kit.assert_sums_agree(costmon_home)


@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_worker_pools_of_every_kind(costmon_home: Path, method: str) -> None:
    """multiprocessing, however it starts its workers, loses no call."""
    code = f"""
import multiprocessing, sys
import costmon
from tests.shim.test_track import at_top_level
if __name__ == "__main__":
    at_top_level(0)
    with multiprocessing.get_context({method!r}).Pool(3, maxtasksperchild=4) as pool:
        assert pool.map(at_top_level, range(24), chunksize=1) == list(range(24))
        pool.close()
        pool.join()
"""
    script = costmon_home.parent / "pool.py"
    script.write_text(code)
    path = os.pathsep.join([str(kit.PACKAGE), str(Path(__file__).resolve().parents[3])])
    child = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    assert kit.rows(
        costmon_home, "select count(*), count(distinct id) from event where state = 'settled'"
    ) == [(25, 25)]


# --- many at once -----------------------------------------------------------------------------------------------


def test_twenty_processes_open_a_new_ledger_at_once(costmon_home: Path) -> None:
    """20 first starts at the same moment: one ledger, one migration record, no error, and everybody's call in it."""
    go = costmon_home.parent / "go"

    def start() -> None:
        while not go.exists():
            time.sleep(0.001)
        store = open_store(str(costmon_home))
        assert store.db.execute("select count(*) from event").fetchone()[0] >= 0
        store.close()

    def shim() -> int:
        while not go.exists():
            time.sleep(0.001)
        recorder = Recorder(str(costmon_home))
        kit.spend(recorder, 5)
        return recorder.drain(5)

    children = [kit.forked(start) for _ in range(10)] + [kit.forked(shim) for _ in range(10)]
    time.sleep(0.2)
    began = time.monotonic()
    go.touch()
    assert [child() for child in children] == [None] * 10 + [0] * 10
    assert time.monotonic() - began <= 10
    store = open_store(str(costmon_home))
    assert store.db.execute("select count(*) from _sqlite_migrations").fetchone() == (VERSION,)
    assert store.db.execute("select count(*), sum(cost) from event where state = 'settled'").fetchone() == (
        10,
        50,
    )
    assert store.db.execute("select count(*) from setting where key = 'machine'").fetchone() == (1,)
    store.close()
    kit.assert_sums_agree(costmon_home)


@pytest.mark.slow
def test_eight_processes_of_five_hundred_calls(costmon_home: Path) -> None:
    """8 apps flat out: exactly 4,000 events, the exact sum, and every gauge agrees."""
    kit.add_budget(costmon_home, 10**15)
    by_app = kit.add_budget(costmon_home, 10**15, name="a3", scope="app=a3")

    def app(number: int) -> tuple[float, int]:
        from costmon.shim.context import context

        recorder = Recorder(str(costmon_home))
        longest = 0.0
        with context(app=f"a{number}"):
            for step in range(500):
                began = time.monotonic()
                kit.spend(recorder, step * 7919 % 1009 + number)
                longest = max(longest, time.monotonic() - began)
        return longest, recorder.drain(5)

    children = [kit.forked(lambda number=number: app(number)) for number in range(8)]  # type: ignore[misc]
    results = [child() for child in children]
    assert [left for _, left in results] == [0] * 8
    print(f"longest call {max(longest for longest, _ in results):.2f} s")
    one = sum(step * 7919 % 1009 for step in range(500))
    total = 8 * one + 500 * sum(range(8))
    assert kit.rows(
        costmon_home, "select count(*), count(distinct id), sum(cost) from event where state = 'settled'"
    ) == [(4000, 4000, total)]
    assert kit.period(costmon_home, by_app)["spent"] == one + 1500
    kit.assert_sums_agree(costmon_home)


def test_callers_in_many_processes_share_one_budget(costmon_home: Path) -> None:
    """20 processes on a budget of 30 calls: exactly 30 go out."""
    number = kit.add_budget(costmon_home, 30 * 1000, mode="strict", at_95="warn")

    def app() -> int:
        from costmon.errors import SpendBlocked

        recorder = Recorder(str(costmon_home))
        passed = 0
        for _ in range(5):
            try:
                kit.spend(recorder, 1000)
                passed += 1
            except SpendBlocked:
                pass
        recorder.drain(5)
        return passed

    children = [kit.forked(app) for _ in range(20)]
    assert sum(child() for child in children) == 30
    assert kit.period(costmon_home, number)["spent"] == 30_000
    kit.assert_sums_agree(costmon_home)


def test_writers_beside_checkpoints(costmon_home: Path) -> None:
    """While one process checkpoints all the time, writers lose nothing."""
    kit.connect(costmon_home).close()
    done = costmon_home / "done"

    def engine() -> int:
        store = open_store(str(costmon_home))
        count = 0
        while not done.exists():
            count += store.checkpoint()
            time.sleep(0.002)
        store.close()
        return count

    def app() -> int:
        recorder = Recorder(str(costmon_home))
        for _ in range(300):
            kit.spend(recorder, 1)
        return recorder.drain(5)

    checkpoints = kit.forked(engine)
    apps = [kit.forked(app) for _ in range(3)]
    assert [child() for child in apps] == [0, 0, 0]
    done.touch()
    assert checkpoints() > 0
    assert kit.one(costmon_home, "select sum(cost) from event where state = 'settled'") == 900
    kit.assert_sums_agree(costmon_home)


def test_the_log_does_not_grow_without_an_engine(costmon_home: Path) -> None:
    """With no monitor for weeks the write-ahead log is kept to about 16 MB by the shim itself."""
    recorder = Recorder(str(costmon_home))
    big = "x" * 200

    def fill(db: sqlite3.Connection) -> None:
        db.executemany(
            "insert into setting values (?, ?)", ((os.urandom(8).hex(), big * 40) for _ in range(2500))
        )

    recorder.ledger.write_once(fill)
    assert (costmon_home / "ledger.db-wal").stat().st_size > 16 * 1024 * 1024  # the fault is there
    for _ in range(300):
        kit.spend(recorder, 1)
    assert (costmon_home / "ledger.db-wal").stat().st_size < 4 * 1024 * 1024
    recorder.ledger.close()
