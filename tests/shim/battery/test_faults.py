"""Machines that fail: full disks, other users, no descriptors left, a held ledger. The app never notices."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import logging
import os
import resource
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from costmon.errors import SpendBlocked
from costmon.shim import faults, switch
from costmon.shim import ledger as ledger_module
from costmon.shim.ledger import Ledger
from costmon.shim.recorder import Outcome, Recorder
from costmon.shim.switch import Block
from tests.shim.battery import kit

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534


class Log(logging.Handler):
    """The warnings costmon gave in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        logging.getLogger("costmon").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def kinds(self) -> list[str]:
        return [message.split(":")[0] for message in self.messages]


def as_nobody(work: Callable[[], Any]) -> Callable[[], Any]:
    """`work` in a child of an ordinary user."""

    def child() -> Any:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return work()

    return kit.forked(child)


def open_to_all(path: Path) -> None:
    for folder in [path, *path.parents]:
        if folder != Path("/") and stat.S_IMODE(folder.stat().st_mode) & 0o055 != 0o055:
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o055)


def use(home: Path, calls: int = 20, cost: int = 10) -> tuple[int, list[str], float]:
    """Make calls; returns (how many went through, the warnings' kinds, the longest call in s)."""
    log, recorder, done, longest = Log(), Recorder(str(home)), 0, 0.0
    for _ in range(calls):
        began = time.monotonic()
        held = recorder.admit(kit.priced(cost))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=cost))
        longest = max(longest, time.monotonic() - began)
        done += 1
    recorder.ledger.close()
    return done, log.kinds(), longest


# --- other users ------------------------------------------------------------------------------------------------


@root
@pytest.mark.parametrize("how", ["folder", "file", "both", "parent"])
def test_a_home_one_may_not_write(costmon_home: Path, how: str) -> None:
    """An app that runs as another user goes on, says once a minute that it cannot record, and changes nothing."""
    if how == "parent":
        costmon_home.parent.joinpath("locked").mkdir(mode=0o555)
        costmon_home = costmon_home.parent / "locked" / "home"
        open_to_all(costmon_home.parent)
    else:
        kit.spend(Recorder(str(costmon_home)), 5)
        for path in costmon_home.glob("ledger*"):
            path.chmod(0o444 if how != "folder" else 0o666)
        open_to_all(costmon_home / "switch")
        costmon_home.chmod(0o755 if how != "file" else 0o777)
    before = {path: path.stat().st_mtime_ns for path in costmon_home.glob("ledger.db")}

    def work() -> tuple[bool, tuple[int, list[str], float]]:
        try:
            (costmon_home / "probe").touch()
            denied = False
        except OSError:
            denied = True
        return denied, use(costmon_home)

    denied, (done, kinds, longest) = as_nobody(work)()
    assert denied is (how != "file")  # the fault is there
    assert done == 20
    assert 1 <= len(kinds) == len(set(kinds)) <= 3
    assert longest < 0.5
    assert {path: path.stat().st_mtime_ns for path in before} == before


@root
def test_an_unreadable_home_blocks_as_the_switch_says(costmon_home: Path) -> None:
    """A home of mode 0700 of another user: what the switch says cannot be known, so the call is refused in clear words."""
    kit.spend(Recorder(str(costmon_home)), 5)
    open_to_all(costmon_home.parent)
    costmon_home.chmod(0o700)

    def work() -> str:
        try:
            use(costmon_home)
        except SpendBlocked as blocked:
            return blocked.reason
        return "passed"

    reason = as_nobody(work)()
    assert "Permission denied" in reason
    assert "\n" not in reason


@root
def test_an_ordinary_users_ledger_is_left_usable_by_root(costmon_home: Path) -> None:
    """Running once as root does not leave files its owner cannot write any more."""
    costmon_home.mkdir()
    os.chown(costmon_home, NOBODY, NOBODY)
    open_to_all(costmon_home.parent)

    def first() -> None:
        kit.spend(Recorder(str(costmon_home)), 1)

    as_nobody(first)()
    kit.spend(Recorder(str(costmon_home)), 2)

    def again() -> int:
        recorder = Recorder(str(costmon_home))
        kit.spend(recorder, 4)
        return recorder.drain(1)

    assert as_nobody(again)() == 0
    assert kit.one(costmon_home, "select sum(cost) from event") == 7


# --- full disks -------------------------------------------------------------------------------------------------


def mount(source: str, target: Path, kind: str, options: str) -> None:
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    if libc.mount(source.encode(), str(target).encode(), kind.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def unmount(target: Path) -> None:
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    libc.umount2(str(target).encode(), 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("none", folder, "tmpfs", "size=6m")
    except OSError as error:
        pytest.skip(f"cannot mount: {error}")
    yield folder
    unmount(folder)


def fill(folder: Path) -> Path:
    path = folder / "ballast"
    with open(path, "ab", buffering=0) as file:
        for size in (4096, 1):
            with pytest.raises(OSError, match="space"):
                file.writelines(bytes(size) for _ in range(10**6))
    return path


@root
def test_a_disk_that_fills_up(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk: calls go on and are enforced from memory; when there is room again everything arrives, once."""
    caplog.set_level(logging.WARNING, "costmon")
    home = small_disk / "home"
    number = kit.add_budget(home, 10_000, mode="strict", at_95="warn")
    recorder = Recorder(str(home))
    for _ in range(10):
        kit.spend(recorder, 100)
    ballast = fill(small_disk)
    passed = refused = 0
    for _ in range(150):
        try:
            kit.spend(recorder, 100)
            passed += 1
        except SpendBlocked:
            refused += 1
    assert "disk is full" in caplog.text or "disk I/O" in caplog.text  # the fault fired
    assert (passed, refused) == (90, 60)
    kinds = [record.getMessage().split(":")[0] for record in caplog.records]
    assert len(kinds) == len(set(kinds))
    db = kit.connect(home)
    assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
    db.close()
    with pytest.raises(OSError, match="space"):  # a kill that cannot be written says so
        switch.write(str(home / "switch"), Block("all", "x" * 9000))
    ballast.unlink()
    recorder.ledger._failed_at -= ledger_module.REOPEN_AFTER_S
    assert recorder.drain(2) == 0
    assert kit.rows(home, "select count(*), sum(cost) from event where state = 'settled'") == [(100, 10_000)]
    assert kit.period(home, number)["spent"] == 10_000
    kit.assert_sums_agree(home)
    recorder.ledger.close()


@root
def test_a_new_ledger_on_a_full_disk(small_disk: Path) -> None:
    """The first start of all on a full disk: the app runs, and no half-made ledger is left in its way."""
    home = small_disk / "home"
    home.mkdir(mode=0o700)
    ballast = fill(small_disk)
    done, kinds, _ = kit.forked(lambda: use(home))()
    assert done == 20
    assert kinds  # the fault fired
    ballast.unlink()
    recorder = Recorder(str(home))
    kit.spend(recorder, 7)
    assert recorder.drain() == 0
    assert kit.one(home, "select sum(cost) from event") == 7
    kit.assert_sums_agree(home)
    recorder.ledger.close()


@pytest.mark.parametrize("limit", [0, 4096, 40_000])
def test_a_limit_on_file_sizes(costmon_home: Path, limit: int) -> None:
    """Under `ulimit -f` the app is neither killed nor stopped, and what was written before stays sound."""
    kit.spend(Recorder(str(costmon_home)), 5)

    def work() -> tuple[int, list[str], int]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        done, kinds, _ = use(costmon_home, calls=60)
        try:
            (costmon_home / "probe").write_bytes(bytes(100_000))
        except OSError as error:
            return done, kinds, error.errno
        return done, kinds, 0

    done, kinds, fault = kit.forked(work)()
    assert done == 60
    assert fault == errno.EFBIG  # the fault is there
    assert 1 <= len(kinds) == len(set(kinds)) <= 3
    assert kit.one(costmon_home, "select count(*) from event where cost = 5") == 1
    kit.assert_sums_agree(costmon_home)


def test_no_descriptors_left(costmon_home: Path) -> None:
    """An app that used up its file descriptors hears EMFILE from its own files, not from us."""

    def work() -> tuple[int, list[str], int]:
        most = 50 + max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        opened = []
        try:
            while True:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            fault = error.errno
        # The switch cannot be read either: then calls are refused, which is SpendBlocked and nothing else.
        log, blocked = Log(), 0
        recorder = Recorder(str(costmon_home))
        for _ in range(5):
            try:
                recorder.admit(kit.priced(5))
            except SpendBlocked:
                blocked += 1
        for descriptor in opened:
            os.close(descriptor)
        recorder.ledger._failed_at -= ledger_module.REOPEN_AFTER_S
        kit.spend(recorder, 5)
        return blocked, log.kinds(), fault

    blocked, kinds, fault = kit.forked(work)()
    assert fault == errno.EMFILE  # the fault is there
    assert blocked in (0, 5)
    assert len(kinds) == len(set(kinds))
    assert kit.one(costmon_home, "select count(*) from event where cost = 5") >= 1


# --- a held ledger ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_process_holds_the_ledger(costmon_home: Path) -> None:
    """Another process sits on the write lock for 3 s: calls wait 0.3 s at most, reads go on, nothing is lost."""
    recorder = Recorder(str(costmon_home))
    kit.add_budget(costmon_home, 10**12)
    kit.spend(recorder, 1)
    begun = costmon_home / "begun"

    def holder() -> None:
        db = kit.connect(costmon_home)
        db.execute("begin immediate")
        begun.touch()
        time.sleep(3)
        db.execute("rollback")
        db.close()

    child = kit.forked(holder)
    while not begun.exists():
        time.sleep(0.005)
    waits, reads, calls = [], [], 0
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        began = time.monotonic()
        held = recorder.admit(kit.priced(10))
        waits.append(time.monotonic() - began)
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=10), wait_s=0.0)
        calls += 1
        began = time.monotonic()
        assert kit.one(costmon_home, "select count(*) from event") == 1
        reads.append(time.monotonic() - began)
    child()
    assert min(waits) >= 0.2  # the fault was there
    assert sorted(waits)[len(waits) // 2] <= 0.4  # a loaded machine may keep one of them from running
    assert max(waits) <= 1
    assert max(reads) <= 0.2
    assert recorder.drain(2) == 0
    assert kit.rows(costmon_home, "select count(*), sum(cost) from event where state = 'settled'") == [
        (calls + 1, calls * 10 + 1)
    ]
    kit.assert_sums_agree(costmon_home)
    recorder.ledger.close()


def test_a_frozen_process_does_not_stop_the_others(costmon_home: Path) -> None:
    """An app stopped (SIGSTOP) in the middle of a write holds the others up for a moment per call, not for ever."""
    begun = costmon_home.parent / "begun"
    kit.connect(costmon_home).close()

    def frozen() -> None:
        def work(db: Any) -> None:
            db.execute("update setting set value = value")
            begun.touch()
            time.sleep(60)

        Ledger(str(costmon_home)).write_once(work)

    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            frozen()
        finally:
            os._exit(0)
    os.close(reading), os.close(writing)
    try:
        while not begun.exists():
            time.sleep(0.005)
        os.kill(pid, signal.SIGSTOP)
        recorder = Recorder(str(costmon_home))
        began = time.monotonic()
        held = recorder.admit(kit.priced(10))
        assert 0.2 <= time.monotonic() - began <= 0.5
        assert held is not None
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    recorder.settle(held, Outcome("ok", cost=10))
    assert kit.one(costmon_home, "select sum(cost) from event") == 10
    recorder.ledger.close()


# --- warnings ---------------------------------------------------------------------------------------------------


def test_a_warning_comes_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that lasts an hour is 60 lines in the app's log, not a million."""
    now = [1000.0]
    monkeypatch.setattr(faults.time, "monotonic", lambda: now[0])
    log = Log()
    for _ in range(3600):
        faults.report("x", "it fails")
        now[0] += 1
    assert len(log.messages) == 60
    logging.getLogger("costmon").removeHandler(log)


def test_a_log_that_raises_is_no_fault_of_the_call(costmon_home: Path) -> None:
    """A host whose logging is broken still gets its call through."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    handler = Broken()
    logging.getLogger("costmon").addHandler(handler)
    try:
        (costmon_home / "ledger.db").mkdir(parents=True)
        assert use(costmon_home, calls=3)[0] == 3
    finally:
        logging.getLogger("costmon").removeHandler(handler)


def test_one_bad_logger_cannot_call_itself_for_ever(costmon_home: Path) -> None:
    """A host that sends its log through a tracked API does not recurse into the ground."""
    import costmon

    (costmon_home / "ledger.db").mkdir(parents=True)
    sent: list[str] = []

    @costmon.track("log-service", cost_per_call="0.0001")
    def send(line: str) -> None:
        sent.append(line)

    class Remote(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            send(record.getMessage())

    handler = Remote()
    logging.getLogger("costmon").addHandler(handler)
    try:
        send("hello")
    finally:
        logging.getLogger("costmon").removeHandler(handler)
    assert "hello" in sent
    assert len(sent) < 10
