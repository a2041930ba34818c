"""Traffic, disks, uptime and GPUs: what the host says, and what is made of a time without readings."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from costmon.monitor.resources import resource_line
from costmon.sources.resources import probes
from costmon.sources.resources.probes import Host, moved
from tests.harness.venvs import ROOT
from tests.shim.battery import kit
from tests.sources.kit import DAY, HOUR, MINUTE, NANO, SLOT, assert_tiled, here

NET = '[resource.net]\nkind = "transfer"\nprice = "0.09 USD"\nper = "GB"\nmeasure = "network"\n'
DISK = '[resource.disk]\nkind = "storage"\nprice = "0.10 USD"\nper = "GB-month"\nmeasure = "disk:/"\n'
UP = '[resource.up]\nkind = "time"\nprice = "3600 USD"\nper = "hour"\nmeasure = "uptime"\n'
GPU = '[resource.gpu]\nkind = "time"\nprice = "3600 USD"\nper = "hour"\nmeasure = "gpu"\n'
GB = 10**9


# --- traffic ------------------------------------------------------------------------------------------------


def test_bytes_count_in_the_quarter_hour_they_are_seen_in(world):
    w = world(f'[budget.total]\namount = "100 USD"\n{NET}')
    w.host.nic("net", 500)
    w.tick()
    for sent in (GB, 3 * GB):
        w.host.nic("net", 500 + sent, received=7 * GB)
        w.tick(after=5 * MINUTE)
    assert w.events() == []
    assert w.status("net").ahead == (270_000_000, "USD")
    w.host.nic("net", 500 + 10 * GB)  # what is received is another matter
    w.tick(after=6 * MINUTE)
    assert [(e["api"], e["amount"], e["cost"], e["before"]) for e in w.events()] == [
        ("transfer", 3 * GB, 270_000_000, 0)
    ]
    w.tick(after=SLOT)
    assert [e["amount"] for e in w.events()] == [3 * GB, 7 * GB]
    w.tick(after=DAY)  # nothing sent: nothing to tell
    assert len(w.events()) == 2
    kit.assert_sums_agree(w.home)


def test_the_free_gigabytes_are_crossed_once_a_month(world):
    w = world(NET + 'free = 100\ntiers = [{ above = 150, price = "0.05 USD" }]\n', "2026-11-30 12:00")
    total = 0
    w.host.nic("net", 0)
    w.tick()
    for more in (60, 60, 60):
        total += more * GB
        w.host.nic("net", total)
        w.tick(after=SLOT)
    w.tick(after=SLOT)
    assert [e["cost"] for e in w.events()] == [0, 20 * 90_000_000, 30 * 90_000_000 + 30 * 50_000_000]
    w.host.nic("net", total + 60 * GB)
    w.tick(after=DAY)  # December
    w.tick(after=SLOT)
    assert (w.events()[-1]["cost"], w.events()[-1]["before"]) == (0, 0)


def test_a_restart_loses_no_bytes_and_a_gap_counts_where_it_is_seen(world):
    w = world(NET)
    w.host.nic("net", 0)
    w.tick()
    w.host.nic("net", GB)
    w.tick(after=MINUTE)
    w.restart()
    w.host.values = {}
    w.host = w.collector._host
    w.host.nic("net", 4 * GB)
    w.tick(after=DAY)
    w.tick(after=SLOT)
    assert [(e["created_at"], e["amount"]) for e in w.events()] == [
        (w.now - DAY - SLOT - MINUTE, GB),
        (w.now - SLOT - (w.now - SLOT) % SLOT, 3 * GB),
    ]


@pytest.mark.parametrize(
    ("last", "now", "passed", "reset"),
    [
        ({"eth0": [100, 5]}, {"eth0": [150, 9]}, 50, False),
        ({"eth0": [100, 5]}, {"eth0": [30, 1]}, 30, True),  # wrapped, or made anew
        ({"eth0": [100, 5]}, {"eth0": [100, 5], "eth1": [40, 0]}, 0, True),  # when they passed, nobody knows
        ({"eth0": [100, 5]}, {"eth0": [140, 1]}, 40, False),  # only what is received began anew
        ({"eth0": [100, 5]}, {}, 0, False),
    ],
)
def test_a_counter_that_begins_anew_counts_from_zero(last, now, passed, reset):
    assert moved({"boot": "b", "nics": last}, {"boot": "b", "nics": now}, "sent") == (passed, reset)


def test_after_a_reboot_counters_count_from_zero_even_when_they_are_higher():
    before, after = {"boot": "b1", "nics": {"eth0": [100, 5]}}, {"boot": "b2", "nics": {"eth0": [900, 50]}}
    assert moved(before, after, "sent") == (900, True)
    assert moved(before, after, "both") == (950, True)
    assert moved(before, after, "received") == (50, True)


def test_an_interface_with_another_name_bills_no_past(world):
    """What it had counted before is not of this quarter hour; it counts from when it was first seen."""
    w = world(NET)
    w.host.nic("net", 5000 * GB)
    w.tick()
    w.host.nic("net", 5001 * GB, interface="wan0")
    w.tick(after=MINUTE)
    w.host.nic("net", 5003 * GB, interface="wan0")
    w.tick(after=MINUTE)
    w.tick(after=SLOT)
    assert [(e["amount"], e["cost_status"]) for e in w.events()] == [(2 * GB, "estimated")]


def _nic(folder, name: str, index: int, *, below: int = 0, device: bool = False, master: str = "") -> None:
    (folder / name).mkdir()
    (folder / name / "ifindex").write_text(f"{index}\n")
    (folder / name / "iflink").write_text(f"{below or index}\n")
    if device:
        (folder / name / "device").mkdir()
    if master:
        os.symlink(f"../{master}", folder / name / "master")


def test_each_byte_is_counted_at_the_card_it_leaves_over(tmp_path, monkeypatch):
    """Bridges, bonds, VLANs and tunnels stand on a card; so do a switch's ports, and a virtual card on its fast path."""
    beside = ["br0", "bond0", "team0", "podman0", "lxdbr0", "vmnet1", "nordlynx", "wan-bridge"]
    for index, name in enumerate(beside, 10):
        _nic(tmp_path, name, index)
    _nic(tmp_path, "eth0", 2, device=True, master="br0")
    _nic(tmp_path, "eth1", 3, device=True, master="bond0")
    _nic(tmp_path, "eth0.100", 4, below=2)
    _nic(tmp_path, "lan1", 5, below=2, device=True)
    _nic(tmp_path, "enP1s2", 6, device=True, master="eth1")
    monkeypatch.setattr(probes, "SYS_NET", str(tmp_path))
    there = [*beside, "eth0", "eth1", "eth0.100", "lan1", "enP1s2"]
    assert probes.real_interfaces(there) == {"eth0", "eth1"}


def test_where_nothing_tells_it_goes_by_the_names(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "SYS_NET", str(tmp_path / "none"))
    beside = [
        "lo",
        "lo0",
        "br0",
        "bridge0",
        "bond0",
        "team0",
        "eth0.100",
        "podman0",
        "lxdbr0",
        "macvlan0",
        "vmnet8",
    ]
    beside += ["utun3", "nordlynx", "docker0", "wg0"]
    cards = ["eth0", "en0", "wlan0", "Ethernet", "Wi-Fi"]
    assert probes.real_interfaces([*beside, *cards]) == set(cards)


def test_it_says_which_interfaces_count(world):
    w = world(NET)
    w.host.values["net"] = {
        "boot": "b",
        "nics": {"eth0": [1, 1], "wlan0": [1, 1]},
        "counted": ["eth0", "wlan0"],
    }
    w.tick()
    assert w.status("net").note == "counts eth0, wlan0"
    w.host.values["net"] = {"boot": "b", "nics": {"eth0": [1, 1]}, "counted": ["eth0"]}
    w.tick(after=MINUTE)
    assert w.status("net").note == "counts eth0"
    reading = Host().read(config_of("network"))
    assert reading["counted"] == sorted(reading["nics"])


def config_of(follows: str):
    from costmon.config.values import Resource

    return Resource("net", "transfer", follows)


def test_an_interface_that_comes_back_goes_on_from_where_it_was(world):
    w = world(NET)
    w.host.nic("net", 5 * GB)
    w.tick()
    w.host.values["net"] = {"boot": "b1", "nics": {}}
    w.tick(after=MINUTE)
    w.host.nic("net", 6 * GB)
    w.tick(after=MINUTE)
    w.tick(after=SLOT)
    assert w.amount("net") == GB


def test_this_hosts_own_interfaces_are_read(costmon_home):
    """Loopback is none of them; an interface that is not there is named."""
    from costmon.config.values import Resource

    reading = Host().read(Resource("net", "transfer", "network"))
    assert reading is not None
    assert "lo" not in reading["nics"]
    assert set(reading["nics"]) <= set(psutil.net_io_counters(pernic=True))
    with pytest.raises(probes.ProbeError, match='no interface "nope0"'):
        Host().read(Resource("net", "transfer", "network", target="nope0"))


# --- storage ------------------------------------------------------------------------------------------------


def test_a_reading_holds_until_the_next_one(world):
    w = world(DISK)
    w.host.values["disk"] = {"bytes": 100 * GB}
    w.tick()
    w.host.values["disk"] = {"bytes": 400 * GB}
    w.tick(after=MINUTE)
    w.tick(after=MINUTE)
    assert w.status("disk").stored == 400 * GB
    for _ in range(14):
        w.tick(after=MINUTE)
    (event,) = w.events()
    assert event["amount"] == (60 * 100 + 840 * 400) * GB
    assert event["cost_status"] == "priced"
    assert event["cost"] == round((6000 + 336_000) * NANO / 10 / (730 * 3600))


def test_a_gap_holds_the_last_reading_and_says_so(world):
    w = world(DISK)
    w.host.values["disk"] = {"bytes": 100 * GB}
    w.tick()
    w.tick(after=MINUTE)
    w.host.fail("disk", "the disk is away")
    w.tick(after=DAY)
    w.catch_up()
    assert_tiled(w.events(), [(w.now - DAY - MINUTE, w.now - w.now % SLOT)])
    assert {e["cost_status"] for e in w.events()} == {"estimated"}
    assert w.amount("disk") == sum(e["duration_us"] for e in w.events()) // 10**6 * 100 * GB
    assert w.status("disk").problem == "the disk is away"


def test_nothing_is_made_up_before_the_first_reading(world):
    w = world(DISK)
    w.host.fail("disk")
    w.tick()
    w.tick(after=DAY)
    assert w.events() == []
    w.host.values["disk"] = {"bytes": GB}
    w.tick()
    w.tick(after=SLOT)
    assert_tiled(w.events(), [(w.now - SLOT, w.now)])


def test_many_days_of_a_held_reading_is_caught_up_bit_by_bit(world):
    w = world(DISK)
    w.host.values["disk"] = {"bytes": GB}
    w.tick()
    w.now += 12 * DAY
    w.tick()
    assert len(w.events()) <= 1000
    w.catch_up()
    assert_tiled(w.events(), [(w.now - 12 * DAY, w.now)])


def test_a_removed_disk_is_accounted_to_the_minute(world):
    w = world(DISK)
    w.host.values["disk"] = {"bytes": GB}
    w.tick()
    w.tick(after=MINUTE)
    w.configure("")
    w.tick(after=2 * MINUTE)
    assert_tiled(w.events(), [(w.now - 3 * MINUTE, w.now)])


def test_this_hosts_disk_and_a_folder_are_read(tmp_path):
    from costmon.config.values import Resource

    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 234)
    os.link(tmp_path / "a" / "one", tmp_path / "a" / "again")
    os.symlink("/", tmp_path / "a" / "root")
    host = Host()
    folder = Resource("f", "storage", "folder", target=str(tmp_path / "a"))
    assert host.read(folder) == {"bytes": 1234}
    assert host.read(folder) is None  # once an hour
    assert host.read(Resource("d", "storage", "disk", target="/"))["bytes"] > 0
    with pytest.raises(probes.ProbeError, match="cannot be measured"):
        host.read(Resource("d", "storage", "disk", target="/does/not/exist"))
    with pytest.raises(probes.ProbeError, match="is no folder"):
        host.read(Resource("g", "storage", "folder", target="/does/not/exist"))


def test_a_large_folder_is_summed_in_steps(tmp_path, monkeypatch):
    from costmon.config.values import Resource

    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"x" * 10)
    monkeypatch.setattr(probes, "FOLDER_STEP_S", 0.0)
    host, folder = Host(), Resource("f", "storage", "folder", target=str(tmp_path))
    found = [host.read(folder) for _ in range(6)]
    assert found == [None] * 5 + [{"bytes": 50}]


# --- uptime -------------------------------------------------------------------------------------------------


def boot(w, name: str, ago: int) -> None:
    w.host.values["up"] = {"boot": name, "boot_at": w.now - ago}


def test_uptime_counts_from_when_it_was_configured_and_through_a_gap_of_one_boot(world):
    w = world(UP)
    begun = w.now
    boot(w, "b1", DAY)
    w.tick()
    w.now += 2 * HOUR  # costmon was off, the host was not
    w.host.values["up"]["boot_at"] += 2_000_000  # it is known to a second or two
    w.tick()
    assert_tiled(w.events(), [(begun, w.now)])
    assert {e["cost_status"] for e in w.events()} == {"priced"}


def test_a_reboot_while_costmon_was_off_leaves_the_gap_out(world):
    w = world(UP)
    begun = w.now
    boot(w, "b1", DAY)
    w.tick()
    w.tick(after=20 * MINUTE)
    w.restart()
    w.host = w.collector._host
    w.now += 5 * HOUR
    boot(w, "b2", HOUR)
    w.tick()
    w.tick(after=SLOT)
    seen = begun + 20 * MINUTE
    events = w.events()
    assert_tiled(events, [(begun, seen), (w.now - SLOT - HOUR, w.now - w.now % SLOT)])
    assert [e["cost_status"] for e in events if e["created_at"] < seen] == ["priced", "estimated"]
    assert w.value("select estimated from meter_run order by id limit 1") == 1


def test_without_a_boot_id_a_step_of_the_clock_is_no_reboot(world):
    w = world(UP)
    begun = w.now
    boot(w, "", DAY)
    w.tick()
    w.now += HOUR
    w.host.values["up"]["boot_at"] += 30 * MINUTE
    w.tick()
    assert_tiled(w.events(), [(begun, w.now)])
    boot(w, "", 10 * MINUTE)
    w.now += HOUR
    boot(w, "", 10 * MINUTE)
    w.tick()
    assert w.value("select count(*) from meter_run") == 2


def test_a_clock_set_back_over_a_reboot_counts_no_second_twice(world):
    w = world(UP)
    begun = w.now
    boot(w, "b1", DAY)
    w.tick()
    w.tick(after=4 * HOUR)
    w.now -= 3 * HOUR
    boot(w, "b2", MINUTE)
    w.tick()
    w.tick(after=HOUR)
    w.tick(after=4 * HOUR)
    assert_tiled(w.events(), [(begun, w.now)])


def test_this_hosts_boot_is_read():
    found = probes.boot_now()
    assert found.id == probes.boot_now().id
    assert abs(found.at_us - psutil.boot_time() * 1e6) < 5e6


# --- GPU ----------------------------------------------------------------------------------------------------


def test_a_gpu_costs_while_it_works(world):
    w = world(GPU)
    w.host.values["gpu"] = {"busy": 0}
    w.tick()
    w.host.values["gpu"] = {"busy": 1}
    w.tick(after=MINUTE)
    w.tick(after=MINUTE)
    w.host.values["gpu"] = {"busy": 0}
    w.tick(after=MINUTE)
    w.tick(after=SLOT)
    assert [(e["amount"], e["cost"]) for e in w.events()] == [(120, 120 * NANO)]
    assert w.status("gpu").running is False


def test_a_busy_gpu_counts_five_minutes_of_a_gap_at_most(world):
    w = world(GPU)
    w.host.values["gpu"] = {"busy": 1}
    w.tick()
    w.host.values["gpu"] = {"busy": 0}
    w.tick(after=DAY)
    assert [(e["amount"], e["cost_status"]) for e in w.events()] == [(300, "estimated")]


def test_a_gpu_that_cannot_be_asked_costs_nothing(world):
    w = world(GPU)
    w.host.values["gpu"] = {"busy": 1}
    w.tick()
    w.host.fail("gpu", "the driver is away")
    w.tick(after=MINUTE)
    w.tick(after=MINUTE)
    w.tick(after=SLOT)
    assert w.amount("gpu") == 60
    assert w.status("gpu").problem == "the driver is away"


FAKE_NVML = """
import os
class NVMLError(Exception):
    pass
class Rates:
    def __init__(self, gpu):
        self.gpu = gpu
def nvmlInit():
    if os.environ["FAKE"] == "broken":
        raise NVMLError("Driver Not Loaded")
def nvmlShutdown():
    print("shut down")
def nvmlDeviceGetCount():
    return 2
def nvmlDeviceGetHandleByIndex(index):
    return index
def nvmlDeviceGetUtilizationRates(handle):
    if os.environ["FAKE"] == "unsupported":
        raise NVMLError("Not Supported")
    return Rates(80 if os.environ["FAKE"] == "busy" and handle == 1 else 0)
def nvmlDeviceGetComputeRunningProcesses(handle):
    return ["a process"] if os.environ["FAKE"] == "unsupported" else []
"""


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("busy", "shut down\nTrue"),
        ("idle", "shut down\nFalse"),
        ("unsupported", "shut down\nTrue"),
        ("broken", "the GPU driver cannot be asked (NVMLError); check nvidia-smi on this machine"),
    ],
)
def test_the_driver_is_asked_through_nvml(tmp_path, state, said):
    assert _asked(tmp_path, FAKE_NVML, state) == said


def test_without_nvml_there_is_one_sentence(tmp_path):
    assert _asked(tmp_path, "raise ImportError('none here')", "") == (
        "no GPU can be measured here; install costmon[gpu] on the machine that has it"
    )


def _asked(folder, module: str, state: str) -> str:
    (folder / "pynvml.py").write_text(module)
    code = (
        "from costmon.sources.resources.probes import ProbeError, gpu_busy\n"
        "try:\n    print(gpu_busy())\nexcept ProbeError as error:\n    print(error)"
    )
    env = {**here(folder), "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "FAKE": state}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_a_long_catching_up_keeps_no_reading_waiting(world):
    w = world(
        DISK
        + '[resource.box]\nkind = "time"\nprice = "1 USD"\nper = "hour"\nalways_on = true\nsince = 2026-08-01\n'
    )
    w.host.values["disk"] = {"bytes": GB}
    w.tick()
    w.host.values["disk"] = {"bytes": 2 * GB}
    w.tick(after=MINUTE)
    w.tick(after=MINUTE)
    assert (
        w.value("select count(*) from meter_run where accounted_until < ?", w.now - DAY) == 1
    )  # it still catches up
    assert w.value("select pending from meter where resource = 'disk'") == str(60 * GB + 60 * 2 * GB)


def test_what_was_measured_over_a_gap_may_be_a_third_off(world):
    w = world('[resource.disk]\nkind = "storage"\nmeasure = "disk:/"\nprice = "730 USD"\nper = "GB-month"\n')
    w.host.values["disk"] = {"bytes": GB}
    w.tick()
    w.tick(after=HOUR)
    status = w.status("disk")
    assert status.estimated == 4
    assert status.cost == (NANO, "USD")
    assert (status.low, status.high) == ((7 * NANO // 10, "USD"), (13 * NANO // 10, "USD"))
    assert "4 quarter hours estimated, between $0.70 and $1.30" in resource_line(status)
