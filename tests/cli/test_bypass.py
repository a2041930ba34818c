"""`costmon bypass` from the shell: it lets calls through at once, ends by itself, and stays on record."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from costmon.cli import main
from costmon.monitor.compile import writing
from costmon.shim import policy, switch
from costmon.shim.events import new_id
from costmon.store import open_ledger

MINUTE = 60_000_000
WHY = ("--why", "the market crashed")


@pytest.fixture
def home(costmon_home):
    costmon_home.mkdir(mode=0o700)
    return costmon_home


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    assert not isinstance(result.exception, Exception), result.exception
    return result.output


def listed():
    return json.loads(run("bypass", "--json"))["bypasses"]


def status():
    return json.loads(run("status", "--json"))


def ledger(home, sql: str, *values: object):
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as db:
        return db.execute(sql, values).fetchall()


def generation(home) -> int:
    return int(ledger(home, "select value from setting where key = 'generation'")[0][0])


def overspend(home) -> None:
    """A budget over everything that is spent, and the block it puts into the switch."""
    run("budget", "set", "total", "1USD")
    store = open_ledger(str(home))
    now = store.now()
    store.db.execute(
        "insert into event (id, created_at, settled_at, local_day_at, machine, source, app, api, provider, model, state,"
        " outcome, cost, cost_status, currency) values (?, ?, ?, 0, 'm', 'shim', 'trader', 'chat', 'openai', 'gpt-4o',"
        " 'settled', 'ok', 2000000000, 'priced', 'USD')",
        (new_id(now), now, now),
    )
    store.close()
    run("budget", "rm", "total")
    run("budget", "set", "total", "1USD")  # a new budget counts what its period already saw
    assert blocked(home) == {"all"}


def blocked(home) -> set[str]:
    return {block.scope for block in switch.blocks(str(home / "switch"))}


def test_a_bypass_is_seen_by_every_app_at_its_next_call(home):
    """It is in the ledger with who, why and until when, and shims are told to read it."""
    run("status")
    before = generation(home)
    said = run("bypass", "--for", "15m", *WHY)
    assert "all calls go out until" in said
    assert "costmon bypass end" in said
    assert generation(home) == before + 1
    row = listed()[0]
    assert (row["scope"], row["active"], row["reason"]) == ("all", True, "the market crashed")
    assert row["by"].endswith("at a shell")
    assert row["lifted_at"] is None
    since, until = ledger(home, "select created_at, until_at from override")[0]
    assert until - since == 15 * MINUTE
    store = open_ledger(str(home))
    assert policy.load(store.db).rules.excuses({"app": "anything"}, store.now())
    assert not policy.load(store.db).rules.excuses({"app": "anything"}, until)
    store.close()


def test_what_costmon_blocked_by_itself_is_free_and_comes_back(home):
    """The switch's automatic block goes with the bypass and returns with its end; the budget says the same."""
    overspend(home)
    assert status()["budgets"][0]["blocks"] == "all"
    run("bypass", "--for", "15m", *WHY)
    assert blocked(home) == set()
    assert status()["budgets"][0]["blocks"] == ""
    assert "BYPASS of everything until" in run("status")
    assert "refuses" not in run("budget", "set", "total", "1.5USD")
    assert "ended: the bypass of everything" in run("bypass", "end")
    assert blocked(home) == {"all"}
    assert status()["budgets"][0]["blocks"] == "all"
    assert "BYPASS" not in run("status")


def test_what_a_person_blocked_stays_blocked(home):
    """A bypass lifts only what costmon decides by itself, and says what it does not lift."""
    run("kill", "app=trader", "--why", "it went mad")
    said = run("bypass", "--for", "15m", *WHY)
    assert "still blocked by hand: app=trader (it went mad); lift it with: costmon allow app=trader" in said
    assert blocked(home) == {"app=trader"}
    found = json.loads(run("bypass", "--for", "15m", *WHY, "--json"))
    assert [entry["scope"] for entry in found["still_blocked"]] == ["app=trader"]


def test_a_bypass_of_one_app_leaves_the_others_alone(home):
    """Everybody else meets the budget as before."""
    overspend(home)
    assert "calls of app=trader go out" in run("bypass", "--for", "1h30m", *WHY, "--scope", " app = trader ")
    assert blocked(home) == {"all"}
    assert status()["budgets"][0]["blocks"] == "all"
    store = open_ledger(str(home))
    rules, now = policy.load(store.db).rules, store.now()
    store.close()
    assert rules.excuses({"app": "trader"}, now)
    assert not rules.excuses({"app": "crawler"}, now)
    assert "no bypass is active for app=crawler" in run("bypass", "end", "--scope", "app=crawler")
    assert "ended: the bypass of app=trader" in run("bypass", "end", "--scope", "app=trader")
    assert not any(row["active"] for row in listed())


def test_it_ends_by_itself_and_stays_on_record(home):
    """Nobody has to do anything at its end; the history keeps it, ended or run out."""
    assert "No bypass yet" in run("bypass")
    run("bypass", "--for", "15m", "--why", "first")
    run("bypass", "--for", "15m", "--why", "second", "--scope", "app=trader")
    ledger(
        home,
        "update override set created_at = created_at - ?, until_at = until_at - ?",
        20 * MINUTE,
        20 * MINUTE,
    )
    assert [row["active"] for row in listed()] == [False, False]
    assert status()["bypasses"] == []
    assert "no bypass is active" in run("bypass", "end")
    run("bypass", "--for", "15m", "--why", "third")
    run("bypass", "end")
    lines = run("bypass").splitlines()
    assert re.split("  +", lines[0]) == ["SCOPE", "STATE", "FROM", "UNTIL", "BY", "WHY", "ENDED BY"]
    assert [re.split("  +", line)[1] for line in lines[1:]] == ["ended", "over", "over"]
    assert [row["reason"] for row in listed()] == ["third", "second", "first"]
    assert listed()[0]["lifted_by"].endswith("at a shell")
    assert ledger(home, "select count(*) from override") == [(3,)]


def test_a_second_bypass_counts_beside_the_first(home):
    """The longer one holds, and a shorter one says so; `end` ends both."""
    run("bypass", "--for", "2h", *WHY)
    assert "an earlier bypass of it holds longer" in run("bypass", "--for", "15m", *WHY)
    assert "holds longer" not in run("bypass", "--for", "3h", *WHY)
    assert [len(status()["bypasses"]), run("bypass", "end").count("ended")] == [3, 3]
    assert json.loads(run("bypass", "end", "--json")) == {"ended": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--for", "15m"), "--why"),
        (("--for", "15m", "--why", " \n "), "--why"),
        (WHY, "--for 15m"),
        (("--scope", "app=a"), "--for 15m"),
        (("--for", "24h1s", *WHY), "from 1 s to 24 h"),
        (("--for", "0s", *WHY), "from 1 s to 24 h"),
        (("--for", "15", *WHY), "such as 15m"),
        (("--for", "soon", *WHY), "such as 15m"),
        (("--for", "15m", *WHY, "--scope", "nonessential"), "must be one of all, provider=…"),
        (("--for", "15m", *WHY, "--scope", "ap=x"), 'did you mean "app"?'),
        (("--for", "15m", *WHY, "end"), "costmon bypass end"),
    ],
)
def test_what_is_missing_or_wrong_changes_nothing(home, arguments, said):
    """No bypass begins without an end and a reason."""
    assert said in run("bypass", *arguments, code=2).replace("\n", " ")
    assert listed() == []


def test_what_is_written_into_the_reason_harms_no_terminal(home):
    """Control characters do not reach a screen or break a line."""
    run("bypass", "--for", "15m", "--why", "x\x1b[31m\ny")
    for text in (run("bypass"), run("status")):
        assert "\x1b" not in text
        assert "x" in text


def test_a_busy_ledger_is_said_and_nothing_is_bypassed(home, monkeypatch):
    """One line, exit code 2."""
    run("status")
    monkeypatch.setattr(writing, "BUSY_WAIT_S", 0.05)
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as other:
        other.execute("begin immediate")
        assert "busy" in run("bypass", "--for", "15m", *WHY, code=2)
        other.execute("rollback")
    assert listed() == []
