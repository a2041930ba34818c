"""`costmon reprice` from the shell: it shows, asks, does, and can be taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from costmon.cli import main
from costmon.monitor.prices import compile_prices
from costmon.shim.calls import Outcome
from costmon.shim.recorder import Recorder
from costmon.store import open_ledger
from tests.shim.battery import kit

TWO_DOLLARS = """schema = 1
[[price]]
provider = "openai"
model = "gpt-4o-mini"
currency = "USD"
[[price.rate]]
input = 2
output = 2
"""


@pytest.fixture
def home(costmon_home) -> Path:
    """Three calls at $0.00021 each, and a price file that says they cost $0.0022."""
    recorder = Recorder(str(costmon_home))
    for _ in range(3):
        held = recorder.admit(kit.llm())
        assert held is not None
        recorder.settle(held, Outcome("ok", usage={"input_tokens": 1000, "output_tokens": 100}))
    recorder.ledger.close()
    store = open_ledger(str(costmon_home))
    compile_prices(store)
    store.close()
    (costmon_home / "prices.toml").write_text(TWO_DOLLARS)
    return costmon_home


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["reprice", *arguments])
    assert result.exit_code == code, result.output
    assert all(len(line) <= 100 for line in result.output.splitlines() if not line.startswith("warning"))
    return result.output


def total(home: Path) -> int:
    return int(kit.one(home, "select sum(cost) from rollup_day"))


def test_a_dry_run_shows_the_difference_and_changes_nothing(home):
    said = run("--dry-run")
    assert "3 calls would change:" in said
    assert "openai    gpt-4o-mini      3  $0.00063  $0.0066  +$0.00597" in said
    assert "genai-prices@" in said
    assert " → user@" in said
    assert total(home) == 630_000
    assert "Nothing was repriced yet" in run("log")


def test_without_a_yes_nothing_is_changed(home):
    """A script that forgets --yes finds out, with exit code 2."""
    assert "nothing is changed without a yes: add --yes" in run(code=2)
    assert total(home) == 630_000


def test_a_run_and_its_revert_are_in_the_log(home):
    said = run("--yes", "--reason", "typed wrong")
    assert "Run 1: 3 calls repriced, $0.00063 → $0.0066." in said
    assert "costmon reprice revert 1" in said
    assert total(home) == 6_600_000
    assert "Nothing to change" in run("--dry-run")
    assert "Run 2: 3 calls taken back, $0.0066 → $0.00063." in run("revert", "1", "--yes")
    assert total(home) == 630_000
    log = run("log")
    assert "typed wrong" in log
    assert "takes run 1 back" in log
    assert "run 1 is reverted already" in run("revert", "1", "--yes", code=2)


def test_json_has_exact_money(home):
    found = json.loads(run("--yes", "--json"))
    assert found["old_total"] == [{"amount": "0.00063", "currency": "USD"}]
    assert found["groups"][0]["difference"] == {"amount": "0.00597", "currency": "USD"}
    assert found["run"]["state"] == "done"
    assert json.loads(run("log", "--json"))["runs"][0]["events"] == 3
    assert json.loads(run("--dry-run", "--json"))["unchanged"] == 3


def test_a_change_reaches_back_to_its_day_only(home):
    assert "Nothing to change" in run("--as", "change", "--from", "2199-01-01", "--dry-run")
    assert "3 calls would change" in run("--as", "change", "--from", "2020-01-01", "--dry-run")
    assert "needs --from DATE" in run("--as", "change", code=2)
    assert "--from belongs to --as change" in run("--from", "2020-01-01", code=2)


def test_scopes(home):
    assert "Nothing to change" in run("--dry-run", "--app", "nobody")
    assert "Nothing to change" in run("--dry-run", "--until", "2020-01-01")
    assert "Nothing to change" in run("--dry-run", "--only-unknown")
    assert "3 calls would change" in run("--dry-run", "--model", "gpt-4o-mini", "--provider", "openai")
    assert "the scope is empty" in run("--since", "2026-02-01", "--until", "2026-01-01", code=2)
    assert "is no date; write it like" in run("--since", "yesterday", code=2)
    assert "behind the word" in run("--yes", "log", code=2)


def test_a_lock_holds_until_it_is_lifted(home):
    assert "lies ahead" in run("lock", "--until", "2199-01-01", "--reason", "paid", code=2)
    assert "--reason is empty" in run("lock", "--until", "2020-01-01", "--reason", " ", code=2)
    tomorrow = kit.now_us()
    store = open_ledger(str(home))
    store.db.execute("insert into price_lock values (1, ?, 'paid', 'me', ?, null)", (tomorrow, tomorrow))
    store.close()
    assert "left alone: 3 calls, for their period is locked" in run("--yes")
    assert total(home) == 630_000
    assert "(paid; me)" in run("log")
    assert "lifted: calls before" in run("unlock")
    assert "Nothing is locked." in run("unlock")
    run("--yes")
    assert total(home) == 6_600_000


def test_what_there_is_not(home):
    assert "there is no run 7; costmon reprice log lists them" in run("revert", "7", "--yes", code=2)
    assert "there is no run 7" in run("continue", "7", code=2)


def test_a_broken_price_file_is_told_and_the_last_good_prices_count(home):
    (home / "prices.toml").write_text("schema = 1\n[[price]]\n")
    said = run("--dry-run")
    assert "The last good prices stay in force." in said
    assert "Nothing to change" in said
