"""Every thing the shim depends on x every way it can fail: what is decided, seen by the app and said in the log.

The table is the decision; each cell runs. Calls are made by an app that is not essential, with a budget of $1 of which 40
cents are spent. `passes`: calls of 20 cents that go out before one is refused (None = none is, of ten). `says`: what the
log must say, once a minute at most. `waits`: the longest a call may take, in s.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from costmon import paths
from costmon.errors import SpendBlocked
from costmon.shim import ledger as ledger_module
from costmon.shim.recorder import Outcome, Recorder
from tests.harness.cli import costmon
from tests.shim.battery import kit
from tests.shim.battery.test_faults import Log, as_nobody, open_to_all

CENT = 10_000_000
Fault = Callable[[Path], AbstractContextManager[Any]]


class Cell(NamedTuple):
    """What happens. `refused`: the rule that refuses, or words of its reason."""

    fault: Fault
    passes: int | None
    says: str = ""
    refused: str = ""
    waits: float = 0.6
    warm: bool = True
    as_nobody: bool = False
    written: bool = True


# --- the faults ---


@contextlib.contextmanager
def nothing(home: Path) -> Iterator[None]:
    yield


@contextlib.contextmanager
def ledger_absent(home: Path) -> Iterator[None]:
    """Neither there nor to be made."""
    home.rename(home.parent / "aside")
    home.write_text("a file")
    yield


@contextlib.contextmanager
def ledger_removed(home: Path) -> Iterator[None]:
    for path in home.glob("ledger.db*"):
        path.unlink()
    yield


@contextlib.contextmanager
def ledger_locked(home: Path) -> Iterator[None]:
    db = kit.connect(home)
    db.execute("begin immediate")
    yield
    db.execute("rollback")
    db.close()


@contextlib.contextmanager
def ledger_garbage(home: Path) -> Iterator[None]:
    """Something else was put in its place."""
    for path in home.glob("ledger.db-*"):
        path.unlink()
    (home / "new").write_bytes(b"hello" * 4000)
    os.replace(home / "new", home / "ledger.db")
    yield
    assert (home / "ledger.db").read_bytes() == b"hello" * 4000


@contextlib.contextmanager
def ledger_denied(home: Path) -> Iterator[None]:
    (home / "switch").mkdir(exist_ok=True)
    open_to_all(home / "switch")
    home.chmod(0o755)
    for path in home.glob("ledger*"):
        path.chmod(0o600)
    yield


@contextlib.contextmanager
def switch_named_but_absent(home: Path) -> Iterator[None]:
    os.environ["COSTMON_SWITCH"] = str(home.parent / "nowhere")
    try:
        yield
    finally:
        del os.environ["COSTMON_SWITCH"]


@contextlib.contextmanager
def switch_fifo(home: Path) -> Iterator[None]:
    """A file that would keep a reader waiting for ever."""
    (home / "switch").mkdir(exist_ok=True)
    os.mkfifo(home / "switch" / "all")
    yield


@contextlib.contextmanager
def switch_garbage(home: Path) -> Iterator[None]:
    (home / "switch").mkdir(exist_ok=True)
    (home / "switch" / "all").write_bytes(b"\0\xff{")
    yield


@contextlib.contextmanager
def switch_denied(home: Path) -> Iterator[None]:
    open_to_all(home)
    home.chmod(0o777)
    for path in home.glob("ledger*"):
        path.chmod(0o666)
    (home / "switch").mkdir(exist_ok=True)
    (home / "switch").chmod(0o700)
    yield


def settings(name: str, value: str) -> Fault:
    @contextlib.contextmanager
    def fault(home: Path) -> Iterator[None]:
        kit.set_setting(home, name, value)
        yield

    return fault


def config_file(make: Callable[[Path], object]) -> Fault:
    @contextlib.contextmanager
    def fault(home: Path) -> Iterator[None]:
        path = Path(paths.config_home()) / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        yield

    return fault


def clock(document: str, *, marked: bool) -> Fault:
    @contextlib.contextmanager
    def fault(home: Path) -> Iterator[None]:
        (home / "clock.json").write_text(document)
        if marked:
            (home / "DEMO").touch()
        yield

    return fault


@contextlib.contextmanager
def programs_gone(home: Path) -> Iterator[None]:
    """No notify-send, no D-Bus, no display."""
    before = dict(os.environ)
    os.environ["PATH"] = "/nowhere"
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY"):
        os.environ.pop(name, None)
    yield
    os.environ.update(before)


@contextlib.contextmanager
def engine_stuck(home: Path) -> Iterator[None]:
    """An engine that hangs in a notification: it holds its lock and does nothing."""
    lock = ledger_module.FileLock(str(home / paths.ENGINE_LOCK))
    assert lock.acquire(exclusive=True)
    yield
    lock.close()


MEMORY = "costmon enforces from memory"
LEFT = 3  # of 60 cents
MATRIX: dict[tuple[str, str], Cell] = {
    ("nothing", "broken"): Cell(nothing, LEFT, refused="budget"),
    # An app that knew the budget goes on to the last known cent of it.
    ("ledger", "absent"): Cell(ledger_absent, LEFT, MEMORY, "used up when it last did", written=False),
    ("ledger", "slow"): Cell(ledger_locked, LEFT, MEMORY, "used up when it last did", written=False),
    ("ledger", "garbage"): Cell(ledger_garbage, LEFT, MEMORY, "used up when it last did", written=False),
    # One that did not may spend a dollar; behind a mere lock it reads what is left.
    ("ledger", "absent at the start"): Cell(ledger_absent, 5, MEMORY, "allowance", warm=False, written=False),
    ("ledger", "slow at the start"): Cell(
        ledger_locked, LEFT, MEMORY, "used up when it last did", warm=False, written=False
    ),
    ("ledger", "garbage at the start"): Cell(
        ledger_garbage, 5, MEMORY, "allowance", warm=False, written=False
    ),
    ("ledger", "denied"): Cell(
        ledger_denied, 5, MEMORY, "allowance", warm=False, as_nobody=True, written=False
    ),
    # Whoever removes the ledger starts a new one, without budgets until the config is compiled again.
    ("ledger", "removed"): Cell(ledger_removed, None),
    ("switch", "absent"): Cell(nothing, LEFT, refused="budget"),
    ("switch", "named but absent"): Cell(switch_named_but_absent, 0, refused="is missing", warm=False),
    ("switch", "slow"): Cell(switch_fifo, 0, refused="not a plain file", waits=0.1),
    ("switch", "garbage"): Cell(switch_garbage, 0, refused="cannot be read", waits=0.1),
    ("switch", "denied"): Cell(switch_denied, 0, refused="Permission denied", warm=False, as_nobody=True),
    # The app never reads the config: it obeys what was compiled last. `costmon status` says what is wrong with the file.
    ("config", "absent"): Cell(config_file(lambda path: None), LEFT, refused="budget"),
    ("config", "slow"): Cell(config_file(lambda path: os.mkfifo(path)), LEFT, refused="budget"),
    ("config", "garbage"): Cell(
        config_file(lambda path: path.write_text("[[[")), LEFT, refused="budget"
    ),
    ("config", "denied"): Cell(config_file(lambda path: path.mkdir()), LEFT, refused="budget"),
    # What was compiled cannot be read: as if the ledger could not answer.
    ("compiled config", "garbage"): Cell(
        settings("hosts", "{"), LEFT, "costmon could not", "used up when it last did", written=False
    ),
    ("compiled config", "garbage at the start"): Cell(
        settings("admit_wait", "soon"), 5, "costmon could not", "allowance", warm=False, written=False
    ),
    # A made-up clock holds in a demo's home only, and a broken one not even there.
    ("clock", "absent"): Cell(nothing, LEFT, refused="budget"),
    ("clock", "slow"): Cell(
        clock(json.dumps({"real_at": 0, "at": 0, "rate": 0.0}), marked=False),
        LEFT, "clock.json is ignored", "budget", warm=False,
    ),
    ("clock", "garbage"): Cell(
        clock("{", marked=True), LEFT, "clock.json is ignored", "budget", warm=False
    ),
    ("clock", "denied"): Cell(
        clock(json.dumps({"real_at": 1e999, "at": 0, "rate": 1.0}), marked=True),
        LEFT, "clock.json is ignored", "budget", warm=False,
    ),
    # Enforcement needs no warner; the log says when nobody would warn.
    ("notifier", "absent"): Cell(programs_gone, LEFT, "nobody would warn", "budget", warm=False),
    ("notifier", "slow"): Cell(engine_stuck, LEFT, refused="budget", warm=False),
    ("notifier", "garbage"): Cell(programs_gone, LEFT, "nobody would warn", "budget", warm=False),
    ("notifier", "denied"): Cell(programs_gone, LEFT, "nobody would warn", "budget", warm=False),
}  # fmt: skip


def spend_until_refused(recorder: Recorder) -> tuple[int | None, str, float, bool]:
    """(calls that went out, None = all ten; why the next did not; the longest took; whether the last was reserved)."""
    longest, written = 0.0, True
    for number in range(10):
        began = time.monotonic()
        try:
            held = recorder.admit(kit.priced(20 * CENT))
        except SpendBlocked as blocked:
            return (
                number,
                f"{blocked.rule}: {blocked.reason}",
                max(longest, time.monotonic() - began),
                written,
            )
        longest = max(longest, time.monotonic() - began)
        assert held is not None
        written = held.written
        recorder.settle(held, Outcome("ok", cost=20 * CENT), wait_s=0.0)
    return None, "", longest, written


@pytest.mark.parametrize("name", MATRIX, ids="-".join)
def test_each_cell(costmon_home: Path, name: tuple[str, str]) -> None:
    """What the app may still do, what refuses it, what the log says, and how long it takes: as the table says."""
    cell = MATRIX[name]
    if cell.as_nobody and os.geteuid() != 0:
        pytest.skip("needs root")
    kit.add_budget(costmon_home, 100 * CENT, mode="strict", at_95="warn", spent=40 * CENT)
    log = Log()
    recorder = Recorder(str(costmon_home)) if cell.warm else None
    if recorder is not None:
        kit.spend(recorder, 0)
        kit.spend(recorder, 1)
        db = kit.connect(costmon_home)
        db.execute("update budget_period set spent = ?", (40 * CENT,))
        db.close()
        held = recorder.admit(kit.priced(1))
        assert held is not None
        recorder.settle(held, Outcome("ok", cost=0))

    def work() -> tuple[tuple[int | None, str, float, bool], list[str]]:
        own = recorder if recorder is not None else Recorder(str(costmon_home))
        if recorder is not None:
            recorder.ledger._look_again_at = 0.0  # a second later
        found = spend_until_refused(own)
        own.ledger.close()
        return found, log.messages

    with cell.fault(costmon_home):
        (passes, reason, longest, written), messages = (as_nobody(work) if cell.as_nobody else work)()
    assert passes == cell.passes, (reason, messages)
    assert cell.refused in reason
    assert longest <= cell.waits
    assert written == cell.written or passes == 0
    kinds = [message.split(":")[0] for message in messages]
    assert len(kinds) == len(set(kinds))  # one line for each trouble
    assert cell.says in "\n".join(messages)


CATALOGS: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: path.unlink(),
    "garbage": lambda path: path.write_text("{]"),
    "of another shape": lambda path: path.write_text('{"providers": 5}'),
    "denied": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("how", CATALOGS)
def test_a_price_catalog_that_fails(
    costmon_home: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without prices a new ledger still records: the cost is unknown, the budget assumes one, and the log says why."""
    folder = tmp_path / "pricing"
    folder.mkdir()
    (folder / "catalog.json").write_text("{}")
    CATALOGS[how](folder / "catalog.json")
    monkeypatch.setattr(paths, "bundled", lambda name: str(folder))
    log = Log()
    number = kit.add_budget(costmon_home, 100 * CENT)
    recorder = Recorder(str(costmon_home))
    held = recorder.admit(kit.llm())
    assert held is not None
    recorder.settle(held, Outcome("ok", usage={"input_tokens": 10, "output_tokens": 10}))
    recorder.ledger.close()
    assert kit.rows(costmon_home, "select cost, cost_status from event") == [(None, "unknown")]
    period = kit.period(costmon_home, number)
    assert (period["calls"], period["unpriced"], period["reserved"]) == (1, 1, 0)
    assert period["assumed"] > 0
    assert any("cannot be read" in message and "catalog" in message for message in log.messages)


@pytest.mark.parametrize("how", ["garbage", "denied"])
def test_the_operator_is_told_of_a_config_that_cannot_be_read(costmon_home: Path, how: str) -> None:
    """`costmon doctor` names the file; the last good config goes on binding the apps (the table above)."""
    path = Path(paths.config_home()) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[[[") if how == "garbage" else path.mkdir()
    done = costmon(costmon_home, "status", check=False)
    assert "config.toml" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_every_cell_is_decided() -> None:
    """No dependency lacks an answer to being absent, slow, garbage or denied."""
    for part in ("ledger", "switch", "config", "clock", "notifier"):
        for failure in ("absent", "slow", "garbage", "denied"):
            assert (part, failure) in MATRIX
