"""What this host says of itself: when it booted, what it sent, what is on its disks, whether its GPUs work.

psutil loads with the first probe. Each probe gives a plain dict for the ledger, or raises ProbeError with a sentence that
continues "gpu-box: …".
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from costmon.config.values import Resource

FOLDER_EVERY_S = 3600.0
FOLDER_STEP_S = 0.25
SYS_NET = "/sys/class/net"
# Traffic over these also passes a real interface, or never leaves the machine; for systems that do not tell it themselves.
_VIRTUAL = (
    "lo",
    "ifb",
    "dummy",
    "docker",
    "veth",
    "br",
    "bond",
    "team",
    "vlan",
    "macv",
    "ipvlan",
    "vnet",
    "vmnet",
    "vbox",
    "vethernet",
    "podman",
    "lxc",
    "lxd",
    "incus",
    "virbr",
    "cni",
    "flannel",
    "cali",
    "nebula",
    "zt",
    "nordlynx",
    "proton",
    "mullvad",
    "ipsec",
    "ppp",
    "gif",
    "stf",
    "awdl",
    "llw",
    "anpi",
    "utun",
    "tun",
    "tap",
    "wg",
    "tailscale",
)
Reading = dict[str, Any]


class ProbeError(Exception):
    """Nothing could be measured; the text says why."""


class Boot(NamedTuple):
    """`id` tells two boots apart ('' where the system has none); `at_us` is when it was, to a second or two."""

    id: str
    at_us: int


class Host:
    """This machine. Folders are summed bit by bit, so that a large one stops nobody."""

    def __init__(self) -> None:
        self._sums: dict[str, _Folder] = {}

    def read(self, resource: Resource) -> Reading | None:
        """A reading of what `resource` follows; None when there is nothing new. Raises ProbeError."""
        if resource.follows == "disk":
            return {"bytes": _used(resource.target)}
        if resource.follows == "folder":
            return self._folder(resource.target)
        if resource.follows == "network":
            return _network(resource)
        if resource.follows == "gpu":
            return {"busy": int(gpu_busy())}
        boot = boot_now()
        return {"boot": boot.id, "boot_at": boot.at_us}

    @property
    def summing(self) -> frozenset[str]:
        """The folders whose sum is not complete yet."""
        return frozenset(path for path, folder in self._sums.items() if folder.summing)

    def _folder(self, path: str) -> Reading | None:
        found = self._sums.setdefault(path, _Folder(os.path.expanduser(path)))
        total = found.step(FOLDER_STEP_S)
        return None if total is None else {"bytes": total}


def boot_now() -> Boot:
    """This boot of the host."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            name = file.read().strip()
    except (OSError, ValueError):
        name = ""
    import psutil

    return Boot(name, int(psutil.boot_time() * 1_000_000))


def _used(path: str) -> int:
    import psutil

    try:
        return int(psutil.disk_usage(os.path.expanduser(path)).used)
    except OSError as error:
        raise ProbeError(f"{path} cannot be measured ({error.strerror}); mend the path in measure") from error


def _network(resource: Resource) -> Reading:
    import psutil

    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    if resource.target:
        if resource.target not in counters:
            there = ", ".join(sorted(counters)[:8]) or "none"
            raise ProbeError(
                f'there is no interface "{resource.target}" (there are {there}); mend it in measure'
            )
        counters = {resource.target: counters[resource.target]}
    else:
        chosen = real_interfaces(list(counters))
        counters = {name: value for name, value in counters.items() if name in chosen}
    nics = {name: [value.bytes_sent, value.bytes_recv] for name, value in sorted(counters.items())}
    return {"boot": boot_now().id, "nics": nics, "counted": list(nics)}


def real_interfaces(names: Iterable[str]) -> set[str]:
    """Those over which traffic leaves the machine, each byte over one of them. Linux tells which have a device of their own;
    elsewhere, and in a container, which has none, it is told by their names."""
    found = list(names)
    devices = {name for name in found if _has_device(name)}
    # A card that is part of another (the fast path of a virtual one) is counted there too.
    devices -= {name for name in devices if _master(name) in devices}
    return devices or {name for name in found if "." not in name and not name.lower().startswith(_VIRTUAL)}


def _has_device(name: str) -> bool:
    folder = os.path.join(SYS_NET, name)
    if not os.path.exists(os.path.join(folder, "device")):
        return False
    own, below = _line(os.path.join(folder, "ifindex")), _line(os.path.join(folder, "iflink"))
    return own == below  # else it stands on another interface, as the ports of a switch do


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def _master(name: str) -> str:
    try:
        return os.path.basename(os.readlink(os.path.join(SYS_NET, name, "master")))
    except OSError:
        return ""


def moved(before: Reading, now: Reading, count: str) -> tuple[int, bool]:
    """(bytes that passed between two readings, whether some may be missing: a counter began anew, or an interface is new,
    of which nobody knows when its bytes passed; it counts from now on)."""
    rebooted = before.get("boot") != now.get("boot")
    counted = [position for position, name in enumerate(("received", "sent")) if count != name]
    total, missed = 0, False
    for name, values in now["nics"].items():
        known = before["nics"].get(name)
        if known is None and not rebooted:
            missed = True
            continue
        for position in counted:
            last = known[position] if known is not None and not rebooted else 0
            anew = values[position] < last
            total += values[position] - (0 if anew else last)
            missed = missed or anew or (rebooted and known is not None)
    return total, missed


def gpu_busy() -> bool:
    """Whether any NVIDIA GPU works or is held by a process. Raises ProbeError without a driver or pynvml."""
    try:
        import pynvml
    except ImportError as error:
        raise ProbeError(
            "no GPU can be measured here; install costmon[gpu] on the machine that has it"
        ) from error
    try:
        pynvml.nvmlInit()
        try:
            return any(_works(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
        finally:
            pynvml.nvmlShutdown()
    except Exception as error:  # NVML's errors, and whatever a driver's library raises
        raise ProbeError(
            f"the GPU driver cannot be asked ({type(error).__name__}); check nvidia-smi on this machine"
        ) from error


def _works(nvml: Any, index: int) -> bool:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        if nvml.nvmlDeviceGetUtilizationRates(handle).gpu > 0:
            return True
    except nvml.NVMLError:  # some cards only list their processes
        pass
    return bool(nvml.nvmlDeviceGetComputeRunningProcesses(handle))


class _Folder:
    """The bytes of the files below a folder, summed in steps; begun anew an hour after the last sum."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._walk: Iterator[int] | None = None
        self._total = 0
        self._done_at: float | None = None

    @property
    def summing(self) -> bool:
        return self._walk is not None

    def step(self, seconds: float) -> int | None:
        """Sum for so long; the total once it is complete. Raises ProbeError."""
        if self._walk is None:
            if self._done_at is not None and time.monotonic() - self._done_at < FOLDER_EVERY_S:
                return None
            if not os.path.isdir(self._path):
                raise ProbeError(f"{self._path} is no folder here; mend the path in measure")
            self._walk, self._total = _sizes(self._path), 0
        deadline = time.monotonic() + seconds
        for size in self._walk:
            self._total += size
            if time.monotonic() >= deadline:
                return None
        self._walk, self._done_at = None, time.monotonic()
        return self._total


def _sizes(folder: str) -> Iterator[int]:
    """The size of every file below `folder`: links are not followed, a file with several names counts once."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    size = 0
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            status = entry.stat(follow_symlinks=False)
                            key = (status.st_dev, status.st_ino)
                            size = 0 if key in seen else status.st_size
                            if status.st_nlink > 1:
                                seen.add(key)
                    except OSError:  # it went away meanwhile
                        continue
                    yield size
        except OSError:
            continue
