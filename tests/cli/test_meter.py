"""`costmon meter` from the shell, and what `costmon status` and the engine make of resources."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from costmon.cli import main
from costmon.monitor.engine import Engine
from costmon.shim import policy
from costmon.sources.resources import collect
from costmon.store import open_ledger

BOX = '[resource.gpu-box]\nkind = "time"\nprice = "2450 KRW"\nper = "hour"\n'
MAX = '[resource.claude-max]\nkind = "flat"\nprice = "100 USD"\nper = "month"\nprovider = "anthropic"\n'
RATE = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2026-01-01\n'
HOUR = 3600 * 1_000_000


@pytest.fixture
def home(costmon_home):
    costmon_home.mkdir(mode=0o700)
    (costmon_home / "config.toml").write_text(f'time_zone = "Asia/Seoul"\n{RATE}{BOX}{MAX}')
    return costmon_home


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    assert not isinstance(result.exception, Exception), result.exception
    return result.output


def ago(hours: float) -> str:
    from costmon.shim.clock import system_clock
    from costmon.shim.timestamps import to_datetime

    return to_datetime(system_clock() - int(hours * HOUR)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_server_is_started_stopped_and_paid(home):
    began, ended = ago(3), ago(1)
    assert "gpu-box runs since" in run("meter", "start", "gpu-box", "--at", began)
    assert "gpu-box runs already, since" in run("meter", "start", "gpu-box")
    assert "gpu-box stopped after 2 h 00 min; this month: " in run("meter", "stop", "gpu-box", "--at", ended)
    assert sum(cost for (cost,) in ledger(home, "select cost from event")) in (
        4_900 * 10**9,
        4_900_680_555_556,
    )
    assert "gpu-box does not run; it stopped at" in run("meter", "stop", "gpu-box")
    (row,) = json.loads(run("meter", "list", "--json"))["runs"]
    assert row["stopped_at"] == row["accounted_until"]
    listed = run("meter", "list").splitlines()
    assert listed[0].split() == ["NAME", "FROM", "UNTIL", "LENGTH", "BY"]
    assert "2 h 00 min" in listed[1]
    assert all(len(line) <= 100 for line in listed)


def ledger(home, sql: str):
    store = open_ledger(str(home))
    try:
        return store.db.execute(sql).fetchall()
    finally:
        store.close()


def test_stopping_charges_the_budgets_at_once_and_blocks(home):
    config = home / "config.toml"
    config.write_text(config.read_text() + '[budget.total]\namount = "4000 KRW"\nperiod = "week"\n')
    run("meter", "start", "gpu-box", "--at", ago(2))
    run("meter", "stop", "gpu-box")
    status = json.loads(run("status", "--json"))
    store = open_ledger(str(home))
    try:
        start = policy.period_at(store.db, policy.load(store.db).budgets[0], store.now()).start
        late = store.db.execute("select count(*) from event where created_at < ?", (start,)).fetchone()[0]
    finally:
        store.close()
    if not late:  # unless the week began within these two hours
        assert status["budgets"][0]["spent"]["amount"].startswith("4900")
        assert [block["scope"] for block in status["switch"]["blocks"]] == ["all"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("start", "gpux"), 'no resource is named "gpux" (there are: claude-max, gpu-box)'),
        (("stop", "claude-max"), "claude-max needs no start and stop: it is a subscription"),
        (("start", "gpu-box", "--at", "2199-01-01"), "lies ahead"),
        (("start", "gpu-box", "--at", "noon"), 'must be a time such as "18:00"'),
        (("status", "gpux"), 'no resource is named "gpux"'),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(home, args, says):
    output = run("meter", *args, code=2)
    assert says in output
    assert "Traceback" not in output


def test_a_resource_without_a_price_is_a_problem_of_its_own(home):
    """Not a call of unknown price that `costmon prices` could help with."""
    (home / "config.toml").write_text('[resource.vm]\nkind = "time"\nprice_of = "nowhere"\n')
    run("meter", "start", "vm", "--at", ago(1))
    run("meter", "stop", "vm")
    problems = json.loads(run("status", "--json"))["problems"]
    assert [line for line in problems if line.startswith("resource vm: ")] == [
        'resource vm: its price_of names "nowhere", which no price file has; add it to prices.toml; until then its cost is'
        " unknown, and budgets count nothing for it"
    ]
    assert not any("unknown price" in line for line in problems)
    assert "price unknown" in run("meter", "status", "vm")


def test_what_never_ran(home):
    assert run("meter", "stop", "gpu-box") == "gpu-box never ran: nothing is accounted\n"
    assert "No run yet" in run("meter", "list")


def test_without_resources_it_says_what_to_do(costmon_home):
    assert "Add a [resource.NAME] table to" in run("meter")
    assert json.loads(run("meter", "status", "--json")) == {"resources": []}


def test_the_engine_accounts_and_the_status_shows_it(home):
    store = open_ledger(str(home))
    since = (store.now() // HOUR - 2) * HOUR
    store.close()
    text = (home / "config.toml").read_text().replace(BOX, BOX + f"always_on = true\nsince = {iso(since)}\n")
    (home / "config.toml").write_text(text)
    engine, other = Engine(str(home)), Engine(str(home))
    try:
        snapshot = engine.tick()
        assert snapshot is not None
        assert engine.mine
        other.tick()
        assert not other.mine
    finally:
        other.close()
        engine.close()
    found = {row["name"]: row for row in json.loads(run("status", "--json"))["resources"]}
    assert [one.name for one in snapshot.resources] == sorted(found) == ["claude-max", "gpu-box"]
    box = found["gpu-box"]
    assert (box["running"], box["unit"], box["cost"]["currency"]) == (True, "h", "KRW")
    assert float(box["amount"]) >= 2 or "-01T0" in iso(since)  # a month may have begun meanwhile
    assert box["not_yet_accounted"]["currency"] == "KRW"
    lines = [line for line in run("status").splitlines() if line.startswith("resource ")]
    assert [line.split(" (")[0] for line in lines] == ["resource claude-max", "resource gpu-box"]
    assert "runs since" in lines[1]
    table = run("meter")
    assert table.splitlines()[0].split()[:3] == ["NAME", "KIND", "PROVIDER"]
    assert "Nobody accounts for it now" in table
    assert (
        json.loads(run("meter", "status", "gpu-box", "--json"))["resources"] == [box]
        or box["not_yet_accounted"]
    )


def test_measuring_once_a_minute_is_enough(home, monkeypatch):
    (home / "config.toml").write_text(
        '[resource.up]\nkind = "time"\nprice = "1 USD"\nper = "hour"\nmeasure = "uptime"\n'
    )
    asked = []
    real = collect.Host.read
    monkeypatch.setattr(collect.Host, "read", lambda self, one: asked.append(one.name) or real(self, one))
    engine = Engine(str(home))
    try:
        for _ in range(5):
            engine._chores_at = -100.0
            engine.tick()
    finally:
        engine.close()
    assert asked == ["up"]


def test_a_broken_config_keeps_the_resources_that_were(home):
    run("meter")
    with (home / "config.toml").open("a") as file:
        file.write('[resource.bad]\nkind = "boat"\n')
    output = run("meter")
    assert 'resource.bad.kind must be "time"' in output
    assert "gpu-box" in output


def iso(at_us: int) -> str:
    from costmon.shim.timestamps import to_datetime

    return to_datetime(at_us).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_without_a_word_it_is_the_status_in_json_too(home):
    assert json.loads(run("meter", "--json")) == json.loads(run("meter", "status", "--json"))
    assert "costmon meter list --json" in run("meter", "--json", "list", code=2)


def test_a_typing_error_in_the_year_accounts_for_nothing(home):
    assert "is more than 10 days ago" in run("meter", "start", "gpu-box", "--at", "2025-01-01", code=2)
    assert "No run yet" in run("meter", "list")
    assert "gpu-box runs since 2025-01-01" in run("meter", "start", "gpu-box", "--at", "2025-01-01", "--yes")


def test_a_stop_is_set_right_afterwards(home):
    run("meter", "start", "gpu-box", "--at", ago(5))
    run("meter", "stop", "gpu-box")
    run("meter", "stop", "gpu-box", "--at", ago(3))
    (row,) = json.loads(run("meter", "list", "--json"))["runs"]
    assert row["stopped_at"] == row["accounted_until"]
    assert "2 h 00 min" in run("meter", "list") or "1 h 59 min" in run("meter", "list")
    assert sum(cost for (cost,) in ledger(home, "select cost from event")) < 4_902 * 10**9


def test_a_whole_run_is_told_of_at_once(home):
    said = run("meter", "start", "gpu-box", "--at", ago(3), "--until", ago(1))
    assert said.startswith("gpu-box ran for 2 h 00 min from ")
    assert "leave that time out" in run(
        "meter", "start", "gpu-box", "--at", ago(2), "--until", ago(0), code=2
    )
    assert "--until needs --at" in run("meter", "start", "gpu-box", "--until", ago(1), code=2)
