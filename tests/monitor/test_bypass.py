"""An app that never loads the shim spends a dollar: the provider's bill tells on it, and a person is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from costmon.monitor.engine import Engine
from costmon.monitor.warner import Warner
from costmon.shim.recorder import Outcome, Recorder
from costmon.store import open_ledger
from tests.harness.billed import nano
from tests.harness.cli import costmon, environ
from tests.harness.desk import Desk, wait_for
from tests.shim.battery import kit
from tests.sources.polling.bypass import Selling, spend
from tests.sources.providers.fake import openai
from tests.sources.providers.fake.server import Server

MODEL = "gpt-5-mini-2025-08-07"
CONFIG = '[source.openai]\nbase_url = "{}"\nkey = "env:POLL_KEY"\nevery = "1m"\n'


@pytest.fixture
def server(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A provider that sells calls and bills them, and a costmon that polls it."""
    monkeypatch.setenv("POLL_KEY", openai.FAKE.key)
    with Server(Selling(openai.FAKE)) as one:
        costmon_home.mkdir(mode=0o700)
        (costmon_home / "config.toml").write_text(CONFIG.format(one.url))
        yield one


def logged_spend(home: Path, server: Server, dollars: str, model: str) -> None:
    """A call of an app that does load the shim: in the ledger, and on the bill."""
    recorder = Recorder(str(home))
    held = recorder.admit(kit.priced(None, api="chat", provider="openai", model=model))
    assert held is not None
    spend(server.url, dollars, model)
    recorder.settle(held, Outcome("ok", cost=nano(dollars)))
    recorder.ledger.close()


def reconciled(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(costmon(home, "reconcile", "--json").stdout)
    return found


def test_a_bypassed_dollar_is_unlogged_after_one_poll(costmon_home: Path, server: Server) -> None:
    """$1 by a plain socket, $0.40 by an app costmon sees: $1.00 of that day and model is unlogged, to the nano."""
    logged_spend(costmon_home, server, "0.40", "gpt-4o-mini")
    spend(server.url, "1.00", MODEL)
    assert len(server.bill.charges) == 2, "the app did not spend"
    costmon(costmon_home, "poll", "--once")
    found = reconciled(costmon_home)
    (day,) = [day for day in found["days"] if day["billed"]["amount"] != "0"]
    assert (day["provider"], day["start"]) == ("openai", f"{server.now:%Y-%m-%d}T00:00:00.000000Z")
    by_model = {line["model"]: line["unlogged"]["best"]["amount"] for line in day["models"]}
    assert by_model == {"gpt-5-mini": "1", "gpt-4o-mini": "0"}
    assert day["unlogged"] == {side: {"amount": "1", "currency": "USD"} for side in ("low", "best", "high")}
    assert found["all"][0]["unlogged"]["best"] == {"amount": "1", "currency": "USD"}
    (line,) = [line for line in day["models"] if line["model"] == "gpt-5-mini"]
    assert line["largest"][0]["project"] == "proj_bot"
    assert line["billed_usage"]["input_tokens"] == 1000


@contextmanager
def watching(home: Path, desk: Desk) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "costmon", "watch", "--quiet"],
        env={**environ(home, POLL_KEY=openai.FAKE.key), **desk.env, "COSTMON_HOME": str(home)},
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.system
@pytest.mark.timeout(90)
def test_a_person_is_told_the_day_and_the_model(costmon_home: Path, server: Server, desk: Desk) -> None:
    """A running costmon polls, sees it, and pops up."""
    spend(server.url, "1.00", MODEL)
    with watching(costmon_home, desk):
        wait_for(lambda: desk.calls() >= 1, "the pop-up")
    assert kit.one(costmon_home, "select sum(polls) from poll_hour") == 1
    (shown,) = desk.history()
    day = f"{server.now:%Y-%m-%d}"
    assert shown.title == f"costmon: openai billed $1.00 on {day} that no app logged"
    assert "gpt-5-mini" in shown.body
    assert "project proj_bot, key key_bot ($1.00)" in shown.body


def test_the_warner_claims_it_once(costmon_home: Path, server: Server) -> None:
    """Without a desktop: the alert of that day is in the ledger once, however often it is looked for."""
    spend(server.url, "1.00", MODEL)
    (costmon_home / "config.toml").write_text(CONFIG.format(server.url) + "[notify]\ndesktop = false\n")
    costmon(costmon_home, "poll", "--once")
    reconciled(costmon_home)  # compiles the config
    store = open_ledger(str(costmon_home))
    for _ in range(3):
        Warner(str(costmon_home))._deliver(store)
    rows = store.db.execute("select subject, title, state from alert where kind = 'unlogged'").fetchall()
    store.close()
    title = f"costmon: openai billed $1.00 on {server.now:%Y-%m-%d} that no app logged"
    assert [row[:2] for row in rows] == [("openai", title)]


@pytest.mark.parametrize("by", ["poll", "engine"])
def test_a_budget_that_counts_it_refuses(costmon_home: Path, server: Server, by: str) -> None:
    """Yesterday's dollar that nobody logged fills a budget of a dollar: the switch closes by itself, be it after a poll by
    hand or, where the budget came later, in a costmon that runs."""
    yesterday = server.now.date() - timedelta(days=1)
    period = "month" if yesterday.month == server.now.month else "week"
    # On a first that is a Monday yesterday is in no period of today's: its dollar must close nothing.
    closed = period == "month" or server.now.weekday() != 0
    server.bill.spend(yesterday, "1.00", MODEL)
    file = costmon_home / "config.toml"
    plain = f'time_zone = "UTC"\n{CONFIG.format(server.url)}'
    budget = f'[budget.total]\namount = "1 USD"\nperiod = "{period}"\ncount_unlogged = true\n'
    file.write_text(plain if by == "engine" else plain + budget)
    costmon(costmon_home, "poll", "--once")
    if by == "engine":
        file.write_text(plain + budget)
        assert costmon(costmon_home, "check").returncode == 0
        engine = Engine(str(costmon_home))
        try:
            engine.tick()
        finally:
            engine.close()
    said = costmon(costmon_home, "check", check=False)
    assert said.returncode == int(closed)
    assert ("logged by no app" in said.stdout + said.stderr) == closed
