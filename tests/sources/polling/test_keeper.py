"""The long-lived part: one task a source, in one loop, which no source and no fault of ours brings down."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread

import pytest

from costmon.shim.clock import MARKER
from costmon.sources.providers.polling import keeper as module
from costmon.sources.providers.polling import turns
from costmon.sources.providers.polling.keeper import Keeper
from costmon.store import open_ledger
from tests.sources.providers.fake import deepseek, openai
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server


class Kept:
    """A keeper in a thread of its own, as the engine has it."""

    def __init__(self, home) -> None:
        self.home = home
        self.keeper = Keeper(str(home))
        self.thread = Thread(target=lambda: asyncio.run(self.keeper.run()), daemon=True)
        self.store = open_ledger(str(home))

    def start(self) -> Kept:
        self.thread.start()
        return self

    def row(self, name: str = "openai") -> dict:
        cursor = self.store.db.execute("select * from source where name = ?", (name,))
        found = cursor.fetchone()
        return {} if found is None else dict(zip([c[0] for c in cursor.description], found, strict=True))

    def until(self, check: Callable[[], object], within: float = 15.0) -> None:
        deadline = time.monotonic() + within
        while not check():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.02)

    def stop(self) -> float:
        began = time.monotonic()
        self.keeper.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()
        return time.monotonic() - began

    def close(self) -> None:
        self.stop()
        self.store.close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("POLL_KEY", openai.FAKE.key)
    with Server(openai.FAKE, Bill(), datetime.now(UTC)) as one:
        one.bill.spend(one.now.date(), "1.5", "m")
        yield one


@pytest.fixture
def config(costmon_home, server, monkeypatch):
    """Writes config.toml; `config()` names one source on loopback."""
    costmon_home.mkdir(mode=0o700)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)

    def write(text: str | None = None) -> None:
        usual = f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n'
        fresh = costmon_home / "config.new"
        fresh.write_text(usual if text is None else text)
        os.replace(fresh, costmon_home / "config.toml")

    write()
    return write


@pytest.fixture
def kept(costmon_home, config):
    made = Kept(costmon_home)
    yield made
    made.close()


def test_it_polls_by_itself_and_ends_at_once(kept, server):
    kept.start().until(lambda: kept.row().get("state") == "ok")
    assert kept.store.db.execute("select sum(amount) from figure").fetchone()[0] == 1_500_000_000
    asked = len(server.journal)
    time.sleep(0.3)
    assert len(server.journal) == asked  # the next round is minutes away
    assert kept.stop() < 2.0
    assert kept.row()["probe"] is None


def test_it_ends_within_two_seconds_in_the_middle_of_a_round(kept, server):
    asked, leave = Event(), Event()

    def hang(handler):
        asked.set()
        leave.wait(20)

    server.faults.append(hang)
    kept.start()
    assert asked.wait(15)
    assert kept.stop() < 2.0
    leave.set()
    assert kept.row()["probe"] is None
    assert kept.store.db.execute("select count(*) from figure_bucket").fetchone()[0] == 0


def test_a_changed_config_starts_stops_and_rereads_sources(kept, config, server, monkeypatch):
    kept.start().until(lambda: kept.row().get("state") == "ok")
    monkeypatch.setenv("DEEP_KEY", deepseek.FAKE.key)
    with Server(deepseek.FAKE, Bill(), datetime.now(UTC)) as other:
        config(
            f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n'
            f'[source.deepseek]\nbase_url = "{other.url}"\nkey = "env:DEEP_KEY"\n'
        )
        kept.until(lambda: kept.row("deepseek").get("state") == "ok")
        asked = len(server.journal)
        config("this is not TOML")
        time.sleep(0.3)
        assert kept.row("deepseek")["state"] == "ok"  # the last good config stays in force
        assert len(server.journal) == asked  # a source that did not change was not asked anew
        config(f'[source.deepseek]\nbase_url = "{other.url}"\nkey = "env:DEEP_KEY"\n')
        kept.until(lambda: not kept.row())
        assert {running.polled.name for running in kept.keeper._running.values()} == {"deepseek"}


def test_one_source_that_hangs_holds_up_no_other(kept, config, server, monkeypatch):
    leave = Event()
    server.faults.append(lambda handler: leave.wait(20))
    monkeypatch.setenv("DEEP_KEY", deepseek.FAKE.key)
    with Server(deepseek.FAKE, Bill(), datetime.now(UTC)) as other:
        config(
            f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n'
            f'[source.deepseek]\nbase_url = "{other.url}"\nkey = "env:DEEP_KEY"\n'
        )
        kept.start().until(lambda: kept.row("deepseek").get("state") == "ok")
        assert kept.row()["state"] == ""
    leave.set()


def test_a_fault_of_our_own_is_said_and_the_task_starts_again(kept, server, monkeypatch, caplog):
    monkeypatch.setattr(module, "RESTART_S", 0.2)
    take, calls = turns.Turner.take, []

    async def faulty(self, polled, *, by_hand=False):
        calls.append(polled.name)
        if len(calls) == 1:
            raise KeyError("sk-admin-secret in the text of an exception")
        return await take(self, polled, by_hand=by_hand)

    monkeypatch.setattr(turns.Turner, "take", faulty)
    kept.start().until(lambda: kept.row().get("state") == "schema")
    assert "costmon itself failed here (KeyError)" in kept.row()["reason"]
    kept.until(lambda: len(calls) > 1)
    assert "KeyError" in caplog.text
    assert "sk-admin-secret" not in caplog.text + kept.row()["reason"]
    assert module.RESTART_S < 60


def test_a_key_that_was_set_wakes_a_source_that_waits_for_it(kept, server, monkeypatch):
    server.faults.extend([openai.error(401, "Incorrect API key provided.", "invalid_api_key")])
    kept.start().until(lambda: kept.row().get("state") == "auth")
    assert kept.row()["next_at"] is None
    kept.store.db.execute("insert into setting values ('keys_changed', '7')")
    kept.until(lambda: kept.row()["state"] == "ok")


def test_a_wall_clock_that_jumped_wakes_whoever_is_due_by_it(kept, server, monkeypatch):
    jump = 0

    def opened(home):
        store = open_ledger(home)
        store.now = lambda: time.time_ns() // 1000 + jump
        return store

    monkeypatch.setattr(module, "open_ledger", opened)
    kept.start().until(lambda: kept.row().get("state") == "ok")
    asked, first = len(server.journal), kept.row()["polled_at"]
    jump = 3600 * 1_000_000  # the machine slept for an hour
    kept.until(lambda: kept.row()["polled_at"] > first)
    assert len(server.journal) > asked


def test_a_simulation_asks_nobody_outside(kept, config, costmon_home, server):
    (costmon_home / MARKER).write_text("")
    (costmon_home / "clock.json").write_text(json.dumps({"real_at": 0, "at": 0, "rate": 1.0}))
    config(
        f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n'
        '[source.deepseek]\nbase_url = "https://deepseek.invalid"\nkey = "env:POLL_KEY"\n'
    )
    kept.start().until(lambda: kept.row().get("state") == "ok")
    assert kept.row("deepseek")["state"] == ""
    assert set(kept.keeper._running) == {"openai"}


def test_a_ledger_that_was_replaced_ends_the_run(kept, costmon_home):
    kept.start().until(lambda: kept.row().get("state") == "ok")
    os.rename(costmon_home / "ledger.db", costmon_home / "ledger.old")
    kept.thread.join(10)
    assert not kept.thread.is_alive()
