"""Whose reservation it is, and whether its owner is still there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from costmon.shim.owner import is_gone, owner
from tests.shim.battery.kit import forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="owners are told apart by /proc")


def test_we_are_not_gone() -> None:
    """A call in flight keeps its reservation."""
    assert not is_gone(owner())


def test_a_child_is_another_owner() -> None:
    """A forked worker does not speak for its parent."""
    child = forked(owner)()
    assert child != owner()
    assert is_gone(child)


def test_a_killed_process_nobody_reaped_is_gone() -> None:
    """A worker whose parent never waits for it does not hold its budget for ever."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
    boot = owner().rsplit(":", 2)[0]
    with open(f"/proc/{child.pid}/stat", "rb") as file:
        start = file.read().rpartition(b")")[2].split()[19].decode()
    name = f"{boot}:{child.pid}:{start}"
    assert not is_gone(name)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    with open(f"/proc/{child.pid}/stat", "rb") as file:
        assert file.read().rpartition(b")")[2].split()[0] == b"Z"  # the fault is there
    assert is_gone(name)
    child.wait()


@pytest.mark.parametrize("change", ["pid", "start", "boot", "namespace"])
def test_only_a_surely_dead_owner_is_gone(change: str) -> None:
    """A container's call is not taken for dead because its pid means another process here."""
    boot, namespace, pid, start = owner().split(":")
    names = {
        "pid": (f"{boot}:{namespace}:4194999:{start}", True),
        "start": (f"{boot}:{namespace}:{pid}:1", True),  # the pid was used again
        "boot": (f"other:{namespace}:{pid}:{start}", False),
        "namespace": (f"{boot}:1:{pid}:{start}", False),
    }
    name, gone = names[change]
    assert is_gone(name) is gone


@pytest.mark.parametrize("name", ["", ":", "::::", "x", "a:b", "a:b:c:d:e", "boot:ns:-1:2", "boot:ns:²:2"])
def test_nonsense_is_nobody(name: str) -> None:
    """A damaged row does not stop the sweep."""
    assert not is_gone(name)
