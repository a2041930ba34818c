"""`costmon reconcile` as a user reads it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from costmon.cli import main
from costmon.store import open_ledger
from tests.harness.billed import DAY, HOUR, add_balance, add_bucket, add_source, at, log_call
from tests.harness.cli import costmon
from tests.shim.battery import kit

TODAY = datetime.now(UTC).date()


def day(ago: int) -> str:
    return str(TODAY - timedelta(days=ago))


@pytest.fixture
def db(costmon_home: Path) -> Iterator[sqlite3.Connection]:
    costmon_home.mkdir(mode=0o700)
    (costmon_home / "config.toml").write_text('time_zone = "UTC"\n')
    store = open_ledger(str(costmon_home))
    yield store.db
    store.close()


@pytest.fixture
def bill(db: sqlite3.Connection) -> sqlite3.Connection:
    """Three days of one provider: a bypass, a real zero, and one still open; and two that have no source."""
    now = kit.now_us()
    add_source(db, read_at=now, lacks=["today's figure is behind by minutes to hours"])
    add_bucket(
        db,
        day(3),
        {
            "amount": "9.1",
            "model": "gpt-5-mini-2025-08-07",
            "label": "gpt-5-mini-2025-08-07, input",
            "key": "k",
        },
        {"amount": "0.42", "label": "web search tool calls"},
        {"amount": "0.91", "line": "tax"},
        {"amount": "-1", "line": "credit"},
        read_at=now,
        first_at=now - 3 * DAY,
    )
    add_bucket(db, day(1), read_at=now)
    add_bucket(db, day(0), {"amount": "1", "model": "gpt-4o-mini"}, read_at=now)
    log_call(db, at(day(3)) + HOUR, "9", "gpt-5-mini", status="estimated")
    log_call(db, at(day(2)) + HOUR, "3", "gpt-5-mini")
    log_call(db, at(day(1)) + HOUR, None, "house-7", charge="0.3")
    log_call(db, at(day(1)) + HOUR, "1.25", "llama-3", provider="groq")
    log_call(db, at(day(1)) + HOUR, "1", "claude-sonnet-4-5", provider="anthropic", calls=3)
    return db


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ("reconcile", *args))
    assert not isinstance(result.exception, Exception), result.exception
    assert result.exit_code == code, result.output
    return result.output


def cells(text: str, first: str) -> list[list[str]]:
    return [line.split("  ") for line in text.splitlines() if line.startswith(first)]


def rows(text: str, first: str) -> list[list[str]]:
    return [[cell.strip() for cell in row if cell.strip()] for row in cells(text, first)]


def test_the_table(bill: sqlite3.Connection) -> None:
    said = run()
    assert max(map(len, said.splitlines())) <= 80
    assert rows(said, day(3)) == [
        [day(3), "gpt-5-mini", "$9.10", "~$9.00", "$0.10", "final"],
        [day(3), "web search tool calls", "$0.42", "$0.00", "$0.42", "final"],
    ]
    assert rows(said, day(2)) == [[day(2), "gpt-5-mini", "?", "$3.00", "?", "unknown"]]
    assert rows(said, day(1)) == [[day(1), "house-7", "$0.00", "≥ $0.00", "≤ $0.00", "settling"]]
    assert rows(said, day(0)) == [[day(0), "gpt-4o-mini", "$1.00", "$0.00", "$1.00", "partial"]]
    assert "openai: today's figure is behind by minutes to hours" in said
    assert f"  {day(2)}: it was not read" in said
    assert "anthropic (3 calls): no figures to compare with; costmon keys set anthropic" in said
    assert "groq (1 call): no figures to compare with. Groq publishes" in said


def test_days_and_models_by_themselves(bill: sqlite3.Connection) -> None:
    by_day = run("--by", "day", "--provider", "openai")
    assert rows(by_day, day(3)) == [[day(3), "$9.52", "~$9.00", "$0.52", "final"]]
    by_model = run("--by", "model", "--provider", "OpenAI")
    assert rows(by_model, "gpt-5-mini") == [["gpt-5-mini", "$9.10", "~$9.00", "$0.10", "final"]]
    assert "groq" not in by_model


def test_json_is_exact_and_adds_up(bill: sqlite3.Connection) -> None:
    found: dict[str, Any] = json.loads(run("--json"))
    assert (found["since"], found["until"], found["time_zone"]) == (day(6), day(0), "UTC")
    days = {one["start"][:10]: one for one in found["days"]}
    first = days[day(3)]
    assert first["bill"] == {"amount": "9.43", "currency": "USD"}
    assert (first["billed"]["amount"], first["tax"]["amount"], first["credit"]["amount"]) == (
        "9.52",
        "0.91",
        "-1",
    )
    assert [side["amount"] for side in first["logged"].values()] == ["6.3", "9", "11.7"]
    assert [side["amount"] for side in first["unlogged"].values()] == ["-2.18", "0.52", "3.22"]
    assert first["models"][0]["largest"] == [
        {"project": None, "key": "k", "billed": {"amount": "9.1", "currency": "USD"}, "tokens": None}
    ]
    assert first["models"][0]["logged_usage"] == {
        "requests": 1,
        "input_tokens": 100,
        "cached_tokens": None,
        "output_tokens": 10,
    }
    untold = days[day(2)]
    assert (untold["billed"], untold["bill"], untold["unlogged"], untold["state"]) == (
        None,
        None,
        None,
        "unknown",
    )
    assert sum(float(one["compared"]["amount"]) for one in found["totals"]) == pytest.approx(10.52)
    assert {one["provider"]: one["how"] for one in found["without_source"]} == {
        "anthropic": "costmon keys set anthropic",
        "groq": None,
    }


def test_long_names_and_large_sums_fit_80_columns(db: sqlite3.Connection) -> None:
    now = kit.now_us()
    add_source(db, read_at=now)
    name = "a-model-with-a-name-nobody-would-give-it-2026-01-01"
    figure = {"amount": "98765432.1", "currency": "KRW", "model": name}
    add_bucket(db, day(0), figure, {**figure, "model": "b"}, read_at=now)
    for by in ((), ("--by", "day"), ("--by", "model")):
        said = run(*by)
        assert max(map(len, said.splitlines())) <= 80, said
        assert "₩98,765,432" in said or "₩197,530,864" in said


def test_a_balance_is_marked_as_derived(db: sqlite3.Connection) -> None:
    now = kit.now_us()
    add_source(db, "deepseek", read_at=now, series="", every_us=300_000_000)
    add_balance(db, at(day(2)), at(day(1)) + HOUR, "20")
    add_balance(db, at(day(1)) + HOUR + 300_000_000, now, "17.5")
    log_call(db, at(day(1)), "2", "deepseek-chat", provider="deepseek")
    said = run()
    assert "deepseek · read just now · derived from its balance" in said
    assert rows(said, day(1)) == [[day(1), "all models", "~$2.50", "$2.00", "$0.50", "final"]]


def test_a_gateway_is_not_added(db: sqlite3.Connection) -> None:
    now = kit.now_us()
    for name, overlaps in (("openai", False), ("litellm", True)):
        add_source(db, name, read_at=now, overlaps=overlaps)
        add_bucket(db, day(1), {"amount": "2"}, source=name, read_at=now, first_at=now - DAY)
    said = run()
    assert "litellm · read just now · shown, not added: others bill the same" in said
    (everything,) = json.loads(run("--json"))["all"]
    assert everything["billed"]["amount"] == "2"


def test_a_source_that_cannot_be_read_says_why(db: sqlite3.Connection) -> None:
    add_source(db, state="forbidden", reason="OpenAI refuses: the key lacks the scope api.usage.read")
    log_call(db, at(day(1)), "2")
    said = run()
    assert "openai · never read" in said
    assert rows(said, day(1)) == [[day(1), "gpt-4o-mini", "?", "$2.00", "?", "unknown"]]
    assert f"  {day(1)}: OpenAI refuses: the key lacks the scope api.usage.read" in said


def test_a_source_that_was_never_read_says_how(db: sqlite3.Connection, costmon_home: Path) -> None:
    log_call(db, at(day(1)), "2")
    (costmon_home / "config.toml").write_text("[source.openai]\n")
    assert "openai (1 call): no figures to compare with; costmon poll --once gets them." in run()


def test_no_rate_says_what_to_add(db: sqlite3.Connection) -> None:
    now = kit.now_us()
    add_source(db, "moonshot", read_at=now)
    add_bucket(db, day(0), {"amount": "7", "currency": "CNY"}, source="moonshot", read_at=now)
    log_call(db, at(day(0)), "1", "kimi-k2", provider="moonshot")
    said = run()
    assert rows(said, day(0)) == [[day(0), "all models", "CN¥7.00", "?", "?", "partial"]]
    assert "moonshot cannot be compared, no rate from USD to CNY: add [[currency.rate]]" in said


def test_a_group_without_a_rate_leaves_the_others_as_the_least(db: sqlite3.Connection) -> None:
    now = kit.now_us()
    add_source(db, read_at=now)
    figures = ({"amount": "7", "model": "o3"}, {"amount": "5", "model": "gpt-4o", "currency": "EUR"})
    add_bucket(db, day(0), *figures, read_at=now)
    said = run()
    assert rows(said, day(0)) == [
        [day(0), "o3", "≥ $7.00", "$0.00", "$7.00", "partial"],
        [day(0), "gpt-4o", "?", "$0.00", "?", "partial"],
    ]
    assert rows(run("--by", "day"), day(0)) == [[day(0), "≥ $7.00", "$0.00", "≥ $7.00", "partial"]]
    assert "openai cannot be compared in full, no rate from EUR to USD: add" in said
    (found,) = json.loads(run("--json"))["days"]
    assert (found["billed"]["amount"], found["at_least"], found["unlogged"]["high"]) == ("7", True, None)
    assert found["unlogged"]["best"]["amount"] == "7"


def test_a_total_says_what_its_days_say(db: sqlite3.Connection) -> None:
    """A call without a full price makes what was logged the least and the difference the most; both unsure, it is about."""
    now = kit.now_us()
    add_source(db, read_at=now)
    add_bucket(db, day(0), {"amount": "7", "model": "o3"}, read_at=now)
    log_call(db, now, "1", "o3", status="partial")
    name = f"{TODAY:%Y-%m}" if TODAY.day == 1 else "1 day"
    assert rows(run("--by", "day"), f"{name} ") == [[f"{name} total", "$7.00", "≥ $1.00", "≤ $6.00"]]
    db.execute("update figure_bucket set complete = 0")
    assert rows(run("--by", "day"), f"{name} ") == [[f"{name} total", "≥ $7.00", "≥ $1.00", "~$6.00"]]


def test_a_month_is_shown_whatever_days_of_it_are_asked_for(db: sqlite3.Connection) -> None:
    """A series of months has no days: that of the days asked for is shown whole."""
    now = kit.now_us()
    month = TODAY.replace(day=1)
    days = ((month + timedelta(days=31)).replace(day=1) - month).days
    log_call(db, at(str(month)) - DAY, "0", provider="x")
    add_source(db, "xai", read_at=now, series="month")
    add_bucket(db, str(month), {"amount": "9"}, source="xai", days=days, read_at=now)
    for since in (str(month), day(0)):
        assert rows(run("--since", since), f"{month:%Y-%m}")[0][:3] == [
            f"{month:%Y-%m}",
            "all models",
            "$9.00",
        ]


def test_nothing_to_compare_says_how_to_begin(db: sqlite3.Connection) -> None:
    assert run().startswith("No source of provider figures yet: costmon keys set openai adds one")
    found = json.loads(run("--json"))
    assert (found["days"], found["totals"], found["all"]) == ([], [], [])


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--since", "yesterday"), "--since 'yesterday' is no date; write it like 2026-11-20"),
        (("--since", "2026-03-01", "--until", "2026-02-01"), "lies after --until 2026-02-01; swap them"),
        (("--since", "2150-01-01", "--until", "2150-01-02"), "--since 2150-01-01 lies in the future"),
        (("--since", "2001-01-01"), "are more than 400 days; ask for fewer"),
        (("--since", "0001-01-01", "--until", "0001-01-02"), "must lie in the years 2000 to 2199"),
        (("--provider", "nobody"), "--provider 'nobody': nothing is known of it"),
    ],
)
def test_bad_input_is_one_sentence(db: sqlite3.Connection, args: tuple[str, ...], sentence: str) -> None:
    said = run(*args, code=2)
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_as_a_process(bill: sqlite3.Connection, costmon_home: Path) -> None:
    """With a broken config the ledger's last good one serves, and the problem is named."""
    (costmon_home / "config.toml").write_text("[budget.x]\namount = 3\n")
    done = costmon(costmon_home, "reconcile", "--by", "day")
    assert day(3) in done.stdout
    assert "warning:" in done.stderr
