"""Who holds a reservation: boot id + pid namespace + pid + start time, so that a recycled pid is not mistaken for it."""

from __future__ import annotations

import os

_cache: tuple[int, str] = (-1, "")


def owner() -> str:
    """This process as 'boot:namespace:pid:start'."""
    global _cache
    pid = os.getpid()
    if _cache[0] != pid:
        _cache = (pid, f"{_place()}:{pid}:{_start_of(pid)}")
    return _cache[1]


def is_gone(name: str) -> bool:
    """Whether the owner is surely dead: only for one of this boot and pid namespace; of others only the lease tells."""
    place, pid, start = [*name.rsplit(":", 2), "", ""][:3]
    if place != _place() or not place.strip(":") or not pid.isdecimal():
        return False
    found = _start_of(int(pid))
    return found != start and (bool(found) or not _is_hidden(int(pid)))


def _is_hidden(pid: int) -> bool:
    """Whether a process that /proc does not show lives under another user: a host may hide those (hidepid, proc(5))."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _place() -> str:
    return f"{_boot()}:{_namespace()}"


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip().replace("-", "")[:12]
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Start time of a process in clock ticks since boot (proc(5), field 22), '' when it is dead, reaped or not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        return ""
