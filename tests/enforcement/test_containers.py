"""Two apps in containers of their own, the engine outside, one mounted state folder: one budget, one switch, exact sums."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from costmon.shim import switch
from costmon.shim.owner import owner
from tests.enforcement import containers
from tests.enforcement.containers import GROUP
from tests.harness import need
from tests.shim.battery import kit

pytestmark = pytest.mark.timeout(150)
ENGINE, TRADER, CRAWLER = 1500, 1001, 1002
CALLS = 120

# Makes CALLS calls while ten others stay in flight, sweeps for orphans as it goes, then calls on until it is stopped.
APP = """
import os, sys, time
from costmon.errors import SpendBlocked
from costmon.shim import booking, owner, switch
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit
calls, wait = int(sys.argv[1]), sys.argv[2] == "wait"
recorder = Recorder(os.path.join(os.environ["XDG_STATE_HOME"], "costmon"))
# A busy ledger is no answer here: the counts must be those of admissions in the ledger.
def admit(cost):
    while True:
        held = recorder.admit(kit.priced(cost))
        if held.written:
            return held
        recorder.settle(held, Outcome("ok", cost=0))
open_calls = [admit(1000) for _ in range(10)]
print("place", owner.owner(), os.getuid(), os.getgid(), time.tzname[0], flush=True)
sys.stdin.readline()
swept = 0
for number in range(calls):
    recorder.settle(admit(1000), Outcome("ok", cost=700))
    if number % 10 == 0:
        swept += recorder.ledger.write(lambda db: booking.settle_orphans(db, recorder.ledger.now()), 10)
for held in open_calls:
    recorder.settle(held, Outcome("ok", cost=700))
while recorder.drain(5.0):
    pass
print("done", swept, flush=True)
while wait:
    try:
        recorder.settle(admit(1), Outcome("ok", cost=0))
        time.sleep(0.002)
    except SpendBlocked as blocked:
        block = switch.read(recorder.folder, "all")
        print("stopped", time.monotonic_ns(), blocked.rule, block.automatic, block.intact, flush=True)
        sys.stdin.readline()
        wait = False
"""


@pytest.fixture(autouse=True)
def needs_root() -> None:
    need("unshare", "setpriv", "mount")
    if os.getuid() != 0:
        need("root (run as root)")


class Fleet:
    """What a test started; nothing of it outlives the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.running: list[subprocess.Popen[str]] = []

    def app(self, user: int, zone: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
        child = containers.start(
            self.home,
            user,
            "-c",
            APP,
            *arguments,
            TZ=zone,
            COSTMON_APP=f"app{user}",
            **options,  # type: ignore[arg-type]
        )
        self.running.append(child)
        return child

    def costmon(self, *arguments: str) -> str:
        """The operator's command line, outside the apps' namespaces, as a user of the group."""
        child = containers.start(self.home, ENGINE, "-m", "costmon", *arguments, own_processes=False)
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        return out

    def engine(self) -> subprocess.Popen[str]:
        child = containers.start(self.home, ENGINE, "-m", "costmon", "watch", own_processes=False)
        self.running.append(child)
        return child

    def stop(self) -> None:
        for child in self.running:
            child.kill()
            child.wait(30)
            for pipe in (child.stdin, child.stdout, child.stderr):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(containers.make_home(tmp_path / "state"))
    yield found
    found.stop()


def says(child: subprocess.Popen[str]) -> list[str]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise AssertionError(child.communicate(timeout=30)[1])
    return line.split()


def tell(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def wait_for(home: Path, name: str) -> None:
    deadline = time.monotonic() + 60
    while not (home / name).exists():
        assert time.monotonic() < deadline, f"no {name}"
        time.sleep(0.02)


def test_two_containers_and_an_engine_share_one_state(fleet: Fleet) -> None:
    """Every call is counted once, none is taken for an orphan though no process sees the others', and `kill` stops both."""
    home = fleet.home
    fleet.costmon("budget", "set", "total", "100USD", "--period", "month")
    fleet.engine()
    wait_for(home, "engine.json")
    apps = [
        fleet.app(TRADER, "Asia/Seoul", str(CALLS), "wait"),
        fleet.app(CRAWLER, "America/New_York", str(CALLS), "wait"),
    ]
    places = [says(app) for app in apps]
    boots, spaces, pids = zip(*(place[1].split(":")[:3] for place in places), strict=True)
    assert len(set(boots)) == 1
    assert len({*spaces, os.readlink("/proc/self/ns/pid").strip("pid:[]")}) == 3
    assert pids[0] == pids[1]  # the same number, another process
    assert [place[2:] for place in places] == [["1001", "2000", "KST"], ["1002", "2000", "EST"]]
    assert kit.one(home, "select count(*) from reservation") == 20
    for app in apps:
        tell(app)
    assert [says(app) for app in apps] == [["done", "0"]] * 2
    fleet.costmon("kill", "all", "--why", "a test")
    killed = time.monotonic_ns()
    for app in apps:
        _, at, rule, automatic, intact = says(app)
        assert (rule, automatic, intact) == ("switch", "False", "True")
        assert int(at) <= killed + 2 * 10**9
        tell(app)
    for app in apps:
        app.wait(30)
    paid = "cost = 700 and note is null"
    assert kit.rows(home, f"select app, count(*) from event where {paid} group by app order by app") == [
        ("app1001", CALLS + 10),
        ("app1002", CALLS + 10),
    ]
    assert kit.one(home, "select count(*) from event where note is not null") == 0
    assert kit.rows(home, "select sum(spent), sum(reserved) from budget_period") == [
        (2 * (CALLS + 10) * 700, 0)
    ]
    kit.assert_sums_agree(home)
    for folder, _, names in os.walk(home):
        at = os.stat(folder)
        assert (stat.S_IMODE(at.st_mode), at.st_gid) == (0o2770, GROUP), folder
        for name in names:
            at = os.stat(os.path.join(folder, name))
            assert (stat.S_IMODE(at.st_mode), at.st_gid) == (0o660, GROUP), name


CROSSING = """
import os, sys
from costmon.shim import switch
from costmon.shim.recorder import Outcome, Recorder
from tests.shim.battery import kit
recorder = Recorder(os.path.join(os.environ["XDG_STATE_HOME"], "costmon"))
recorder.settle(recorder.admit(kit.priced(100)), Outcome("ok", cost=2000))
lapsed = switch.Block("app=app1002", "over", by="budget x", until=1, automatic=True)
switch.write(recorder.folder, lapsed)
print("crossed")
"""
REFUSED = """
import os
from costmon.errors import SpendBlocked
from costmon.shim import switch
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit
recorder = Recorder(os.path.join(os.environ["XDG_STATE_HOME"], "costmon"))
print(switch.read(recorder.folder, "app=app1002").automatic)
try:
    recorder.admit(kit.priced(1))
except SpendBlocked as blocked:
    block = switch.read(recorder.folder, "all")
    print(blocked.rule, blocked.scope, blocked.budget, blocked.until is not None, block.automatic, block.intact)
switch.lift(recorder.folder, "all")
switch.check(recorder.folder, ["app=app1002"], recorder.ledger.now())
print(os.listdir(recorder.folder))
"""


def test_the_block_one_app_writes_is_understood_by_the_other(fleet: Fleet) -> None:
    """The app that crosses the limit puts a block into the folder; to the other user it is no odd file of a stranger."""
    fleet.costmon("budget", "set", "total", "0.000001USD", "--period", "month")  # 1,000 nano
    first = containers.start(fleet.home, TRADER, "-c", CROSSING, COSTMON_APP="app1001")
    assert first.communicate(timeout=60)[0] == "crossed\n"
    second = containers.start(fleet.home, CRAWLER, "-c", REFUSED, COSTMON_APP="app1002")
    out, err = second.communicate(timeout=60)
    assert out.splitlines() == ["True", "switch all total True True True", "['readers']"], err
    assert os.stat(fleet.home / "switch").st_uid == TRADER


def test_a_file_of_a_user_outside_the_group_blocks(fleet: Fleet) -> None:
    """Only members of the group may narrow a block: a file that belongs to another group is one of a stranger."""
    folder = fleet.home / "switch"
    fleet.costmon("kill", "app=x")
    fleet.costmon("allow", "app=x")
    block = switch.Block("app=x", "over", by="budget x", until=1, automatic=True)
    switch.write(str(folder), block)
    os.chown(folder / "app=x", 1003, GROUP)
    assert switch.check(str(folder), ["app=x"], kit.now_us()) is None  # it has lapsed
    switch.write(str(folder), block)
    os.chown(folder / "app=x", 1003, 1003)
    found = switch.check(str(folder), ["app=x"], kit.now_us())
    assert found is not None
    assert "another user" in found.reason
    os.chown(folder / "app=x", 1003, GROUP)
    folder.chmod(0o2777)  # anybody may write here, so belonging to the group proves nothing
    assert switch.check(str(folder), ["app=x"], kit.now_us()) is not None


HIDDEN = """
import os, sys
from costmon.shim import owner
from tests.shim.battery import kit
other = sys.argv[1]
pid = other.split(":")[2]
assert not os.path.exists(f"/proc/{pid}/stat"), "it is not hidden"
print(owner.is_gone(other), owner.is_gone(other.replace(f":{pid}:", ":4194303:")))
"""


def test_a_process_the_host_hides_is_not_taken_for_dead(fleet: Fleet) -> None:
    """Where /proc shows each user his own processes alone (hidepid), the lease tells about the others."""
    with subprocess.Popen(["setpriv", "--reuid=1001", "--clear-groups", "sleep", "60"]) as sleeper:
        try:
            boot, space, *_ = owner().split(":")
            with open(f"/proc/{sleeper.pid}/stat", "rb") as file:
                began = file.read().rpartition(b")")[2].split()[19].decode()
            hide = "mount -t proc -o hidepid=2 proc /proc"
            name = f"{boot}:{space}:{sleeper.pid}:{began}"
            child = containers.start(
                fleet.home, CRAWLER, "-c", HIDDEN, name, own_processes=False, before=hide
            )
            out, err = child.communicate(timeout=60)
            assert out == "False True\n", err
        finally:
            sleeper.kill()


def test_a_private_folder_stays_private(tmp_path: Path) -> None:
    """Without the group's mode the other user gets nowhere: calls are refused, and nothing of the first is opened."""
    home = containers.make_home(tmp_path / "state", mode=0o700)
    os.chown(home, TRADER, GROUP)
    own = containers.start(home, TRADER, "-c", APP, "1", "no")
    says(own)
    out, err = own.communicate("\n", timeout=60)
    assert out.startswith("done"), err
    for folder, _, names in os.walk(home):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in names} <= {0o600}
    other = containers.start(home, CRAWLER, "-c", APP, "1", "no")
    _, err = other.communicate("\n", timeout=60)
    assert "cannot be read" in err
    assert kit.one(home, "select count(distinct app) from event") == 1
