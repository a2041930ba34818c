"""`costmon estimate`, `scenario` and `break-even` as a user types them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from costmon.cli import main
from tests.harness import cli

CONFIG = """\
time_zone = "Asia/Seoul"
[currency]
display = "KRW"
[[currency.rate]]
base = "USD"
quote = "KRW"
rate = 1385.2
date = 2026-11-20
"""
CALL = ("--input-tokens", "4000", "--output-tokens", "1000")


@pytest.fixture(autouse=True)
def home(costmon_home: Path) -> Path:
    costmon_home.mkdir(mode=0o700)
    return costmon_home


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin)


def rows(*arguments: str, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "--json", **more).stdout)
    return found


def refused(*arguments: str, stdin: str | bytes | None = None) -> str:
    """The one sentence a wrong command gets; exit code 2."""
    done = run(*arguments, stdin=stdin)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(("Error: ", "costmon: "))
    return done.stderr


# --- estimate -----------------------------------------------------------------------------------------------


def test_the_incidents_call_in_a_process_of_its_own(home: Path) -> None:
    """4,000 x $0.15 + 1,000 x $0.60 per million = $0.0012, from a shell."""
    done = cli.costmon(home, "estimate", "--model", "gpt-4o-mini", *CALL, "--json")
    (row,) = json.loads(done.stdout)
    assert row["cost"] == row["low"] == row["high"] == {"amount": "0.0012", "currency": "USD"}
    assert (row["model"], row["provider"], row["status"]) == ("gpt-4o-mini", "openai", "priced")
    assert (row["input_tokens"], row["output_tokens"]) == (4000, 1000)
    assert row["price_version"].startswith("genai-prices@")
    assert not (home / "ledger.db").exists()  # asking what something costs leaves nothing behind


def test_models_stand_side_by_side(home: Path) -> None:
    """The cheapest is marked, in dollars and in won: $0.0012 x 1,385.2 = ₩1.66, which is ₩2."""
    (home / "config.toml").write_text(CONFIG)
    shown = run("estimate", "--model", "gpt-4o-mini", "--model", "gpt-4o", *CALL).stdout.splitlines()
    assert shown[0].split() == ["MODEL", "INPUT", "OUTPUT", "COST"]
    assert shown[1].split() == ["gpt-4o-mini", "4,000", "1,000", "$0.0012", "cheapest"]
    assert shown[3].strip() == "in KRW: ₩2"
    assert shown[4].split() == ["gpt-4o", "4,000", "1,000", "$0.02"]
    assert max(map(len, shown)) <= 80


def test_display_currency_in_json(home: Path) -> None:
    """0.0012 x 1385.2 = 1.66224, once by the config alone and once by the ledger."""
    (home / "config.toml").write_text(CONFIG)
    before = rows("estimate", "--model", "gpt-4o-mini", *CALL)
    assert before[0]["display"]["cost"] == {"amount": "1.66224", "currency": "KRW"}
    assert run("status").exit_code == 0  # makes the ledger
    assert rows("estimate", "--model", "gpt-4o-mini", *CALL)[0]["display"] == before[0]["display"]


def test_an_unknown_model_is_unknown(home: Path) -> None:
    """A name like it is suggested and never used; if that was all, the exit code says so."""
    done = run("estimate", "--model", "gpt-4oo", "--model", "gpt-4o", *CALL)
    assert done.exit_code == 0
    assert "gpt-4oo" in done.stdout
    assert "no price is known for this name; names like it: gpt-4o" in done.stdout
    alone = run("estimate", "--model", "gpt-4oo", *CALL, "--json")
    assert alone.exit_code == 1
    (row,) = json.loads(alone.stdout)
    assert (row["cost"], row["status"], row["price_version"]) == (None, "unknown", None)
    assert row["similar"][0] == "gpt-4o"


def test_a_catch_all_price_is_no_price_of_a_model(home: Path) -> None:
    """A local server costs nothing whatever it is asked for; that does not make an unknown model free."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[price]]\nprovider = "mybox"\nmodel = "*"\ncurrency = "USD"\n[[price.rate]]\ninput = 0\noutput = 0\n'
    )
    assert run("estimate", "--model", "nope-7", *CALL).exit_code == 1
    (row,) = rows("estimate", "--model", "nope-7", "--provider", "mybox", *CALL)
    assert (row["status"], row["cost"]["amount"]) == ("free", "0")


def test_text_and_messages_are_counted(home: Path, tmp_path: Path) -> None:
    """A prompt from a file, from standard input, or as chat messages; the range of an estimate is a range of money."""
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("How is the weather in Seoul? " * 50, encoding="utf-8")
    arguments = ("--model", "claude-sonnet-5-5", "--output-tokens", "0")
    (row,) = rows("estimate", str(prompt), *arguments)
    assert row["tokens"]["input"]["low"] < row["input_tokens"] < row["tokens"]["input"]["high"]
    # $2 per million input tokens
    assert Decimal(row["low"]["amount"]) == row["tokens"]["input"]["low"] * Decimal("0.000002")
    assert Decimal(row["cost"]["amount"]) == row["input_tokens"] * Decimal("0.000002")
    assert Decimal(row["high"]["amount"]) == row["tokens"]["input"]["high"] * Decimal("0.000002")
    assert rows("estimate", "-", *arguments, stdin=prompt.read_text())[0]["cost"] == row["cost"]
    chat = json.dumps([{"role": "user", "content": prompt.read_text()}])
    (talk,) = rows("estimate", "-", *arguments, stdin=chat)
    assert row["input_tokens"] < talk["input_tokens"] < row["input_tokens"] + 20
    assert rows("estimate", "-", *arguments, stdin='{"a": [1]}')[0]["input_tokens"] > 0
    assert not list(home.iterdir())  # nothing of the text is kept


def test_the_output_is_assumed_and_said(home: Path) -> None:
    """1,000 tokens, or assumed_output of the config: 1,000 x $0.60 and 200 x $0.60 per million."""
    arguments = ("estimate", "--model", "gpt-4o-mini", "--input-tokens", "0")
    assert rows(*arguments)[0]["cost"]["amount"] == "0.0006"
    assert "1,000 output tokens are assumed" in run(*arguments).stdout
    (home / "config.toml").write_text("[limits]\nassumed_output = 200\n")
    assert rows(*arguments)[0]["cost"]["amount"] == "0.00012"
    (row,) = rows(*arguments, "--max-output", "500")
    assert [row[key]["amount"] for key in ("low", "cost", "high")] == ["0", "0.00012", "0.0003"]


def test_batch_and_cache_and_date() -> None:
    """Half price in batches from 2026-10-14 on, before that no price for them is known; o3 was 5 times as dear once."""
    (half,) = rows("estimate", "--model", "gpt-4o-mini", *CALL, "--batch", "--at", "2026-11-20")
    assert half["cost"]["amount"] == "0.0006"
    (none,) = rows("estimate", "--model", "gpt-4o-mini", *CALL, "--batch", "--at", "2026-01-01")
    assert (none["cost"]["amount"], none["unpriced"]) == ("0.0012", ["processing=batch"])
    assert none["notes"] == ["no batch price is known; this is the list price"]
    # 3,000 x 0.15 + 1,000 x 0.075 + 1,000 x 0.6 = 1,125 millionths
    assert (
        rows("estimate", "--model", "gpt-4o-mini", *CALL, "--cached-tokens", "1000")[0]["cost"]["amount"]
        == "0.001125"
    )
    assert rows("estimate", "--model", "o3", *CALL, "--at", "2025-06-09")[0]["cost"]["amount"] == "0.08"
    assert rows("estimate", "--model", "o3", *CALL, "--at", "2025-06-10")[0]["cost"]["amount"] == "0.016"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--input-tokens", "-1", "no whole number"),
        ("--input-tokens", "NaN", "no whole number"),
        ("--input-tokens", "1e30", "no whole number"),
        ("--input-tokens", "abc", "no whole number"),
        ("--input-tokens", "9999999999999", "must be 0 to 1,000,000,000,000"),
        ("--output-tokens", "٣", "no whole number"),
        ("--at", "tomorrow", "is no date; write it like 2026-11-20"),
        ("--at", "1969-12-31", "must lie in the years 1970 to 2199"),
        ("--at", "2200-01-01", "must lie in the years 1970 to 2199"),
        ("--at", "9999-12-31T23:59:59-12:00", "must lie in the years 1970 to 2199"),
        ("--cached-tokens", "5000", "is more than --input-tokens 4000"),
        ("--model", "", "is no name"),
        ("--model", "x" * 300, "is no name"),
    ],
)
def test_wrong_numbers_are_one_sentence(option: str, value: str, said: str) -> None:
    """Each names the option, the value and what to write."""
    message = refused("estimate", "--model", "gpt-4o", *CALL, option, value)
    assert option in message
    assert said in message


def test_wrong_input_is_one_sentence(home: Path, tmp_path: Path) -> None:
    """A missing file, a folder, no text, a pipe nobody writes to, nothing to count, both at once."""
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00")
    model = ("--model", "gpt-4o")
    assert "No such file" in refused("estimate", str(tmp_path / "none"), *model)
    assert "is not a regular file" in refused("estimate", str(tmp_path), *model)
    assert "is not UTF-8 text" in refused("estimate", str(tmp_path / "noise"), *model)
    assert "is not UTF-8 text" in refused("estimate", "-", *model, stdin=b"\xff\xff")
    assert "say how long the input is" in refused("estimate", *model)
    assert "not both FILE and --input-tokens" in refused("estimate", "x", *model, *CALL)
    assert "did you mean openai?" in refused("estimate", *model, *CALL, "--provider", "opnai")
    assert "say which model" in refused("estimate", *CALL)
    (home / "config.toml").write_text('[currency]\ndisplay = "DOUBLOON"\n')
    assert "config.toml" in refused("estimate", *model, *CALL)


# --- scenario -----------------------------------------------------------------------------------------------


def test_the_incidents_weeks() -> None:
    """Every 5 minutes 2,016 x $0.0012 = $2.4192 a week; every hour 168 x $0.0012 = $0.2016."""
    (often,) = rows("scenario", "--every", "5m", *CALL, "--model", "gpt-4o-mini")
    (rare,) = rows("scenario", "--every", "1h", *CALL, "--model", "gpt-4o-mini")
    assert often["calls_per_day"] == 288
    assert often["per_call"]["amount"] == "0.0012"
    assert often["per_week"] == {"amount": "2.4192", "currency": "USD"}
    assert rare["per_week"] == {"amount": "0.2016", "currency": "USD"}
    assert often["cost"]["amount"] == "10.368"  # 30 x 288 x $0.0012
    week = rows("scenario", "--requests-per-day", "288", *CALL, "--model", "gpt-4o-mini", "--days", "7")
    assert week[0]["cost"]["amount"] == "2.4192"


def test_shares_are_mixed_exactly() -> None:
    """0.6 x $0.001125 + 0.4 x $0.0006 a call, where the batch API has no own price for cache reads of $0.075."""
    (row,) = rows(
        *("scenario", "--requests-per-day", "1000", *CALL, "--model", "gpt-4o-mini"),
        *("--cached-share", "25%", "--batch-share", "40", "--at", "2026-11-20"),
    )
    assert row["per_call"]["amount"] == "0.000915"
    assert row["cost"]["amount"] == "27.45"  # 30 x 1,000 x $0.000915


def test_a_scenario_says_what_it_assumed(home: Path) -> None:
    """A model without a batch price, an unknown one, and won beside the dollars: 20.16 x 1385.2 = ₩27,926."""
    (home / "config.toml").write_text(CONFIG)
    models = ("--model", "grok-4.7", "--model", "nope-7")
    shown = run("scenario", "--every", "5m", *CALL, *models, "--batch-share", "50", "--days", "5")
    assert shown.exit_code == 0
    assert "no batch price is known; the batch share is at the list price" in shown.stdout.replace("\n", " ")
    assert "nope-7: no price is known for this name" in shown.stdout
    # 288 x 5 x (4,000 x $2 + 1,000 x $6 per million = $0.014) = $20.16
    assert ["grok-4.7", "$0.014", "$4.032", "$28.224", "$20.16", "₩27,926"] in [
        line.split() for line in shown.stdout.splitlines()
    ]
    assert run("scenario", "--every", "5m", *CALL, "--model", "nope-7").exit_code == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--every", "0m"),
        ("--every", "5"),
        ("--every", "-5m"),
        ("--every", "1e9d"),
        ("--cached-share", "101"),
        ("--cached-share", "-1"),
        ("--batch-share", "NaN"),
        ("--days", "0"),
        ("--days", "1e30"),
    ],
)
def test_wrong_scenarios_are_one_sentence(option: str, value: str) -> None:
    """Each names the option."""
    cadence = () if option == "--every" else ("--every", "5m")
    assert option in refused("scenario", *cadence, *CALL, "--model", "gpt-4o", option, value)


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "1e30", "abc", "2000000000"])
def test_wrong_numbers_of_requests(value: str) -> None:
    """No calls is no scenario."""
    assert "--requests-per-day" in refused(
        "scenario", "--requests-per-day", value, *CALL, "--model", "gpt-4o"
    )


def test_a_scenario_needs_one_cadence() -> None:
    """Either a number or an interval."""
    assert "either" in refused("scenario", *CALL, "--model", "gpt-4o")
    both = ("--every", "5m", "--requests-per-day", "3")
    assert "either" in refused("scenario", *both, *CALL, "--model", "gpt-4o")


# --- break-even ---------------------------------------------------------------------------------------------

SERVER = ("--server-price", "1.20 USD", "--tokens-per-second", "1500", "--hours-on", "12")
REQUEST = ("--model", "gpt-4o", "--input-tokens", "2000", "--output-tokens", "500")


def test_break_even() -> None:
    """gpt-4o: 2,000 x $2.50 + 500 x $10 per million = $0.01; 12 h x $1.20 = $14.40 = 1,440 of them: cheaper from 1,441."""
    found = json.loads(run("break-even", *SERVER, *REQUEST, "--requests-per-day", "20000", "--json").stdout)
    assert found["api_per_request"] == {"amount": "0.01", "currency": "USD"}
    assert found["server_per_day"] == {"amount": "14.4", "currency": "USD"}
    assert found["capacity_requests_per_day"] == 129_600
    assert found["break_even_requests_per_day"] == 1441
    assert found["utilisation_percent"] == 1.11
    assert found["at_load"]["api_per_day"]["amount"] == "200"
    assert (found["at_load"]["servers"], found["at_load"]["cheaper"]) == (1, "server")
    shown = run("break-even", *SERVER, *REQUEST).stdout
    assert "cheaper from 1,441 requests a day on, which use 1.1 % of the server" in shown


def test_break_even_in_won(home: Path) -> None:
    """₩2,450 an hour at 1,385.2 is $1.768697…; x 12 = $21.224372; over $0.0006 a request: 35,373.95, so from 35,374 on,
    and 15 tokens a second can do only 1,296."""
    (home / "config.toml").write_text(CONFIG)
    arguments = ("break-even", "--server-price", "2450 KRW", "--tokens-per-second", "15", "--hours-on", "12")
    request = ("--model", "gpt-4o-mini", "--input-tokens", "2000", "--output-tokens", "500")
    found = json.loads(run(*arguments, *request, "--json").stdout)
    assert found["server_per_day"]["amount"] == "21.224371932"
    assert (found["needed_requests_per_day"], found["break_even_requests_per_day"]) == (35_374, None)
    assert found["never"] == "capacity"
    shown = run(*arguments, *request, "--requests-per-day", "20000").stdout
    assert "never: it takes 35,374 requests a day" in shown
    assert "₩29,400 a day" in shown  # 12 x 2,450, to the won
    assert max(map(len, shown.splitlines())) <= 80


def test_all_tokens_can_count() -> None:
    """1,500 tokens a second of input and output: 64.8 million / 2,500 = 25,920 requests."""
    found = json.loads(run("break-even", *SERVER, *REQUEST, "--counts", "all", "--json").stdout)
    assert found["capacity_requests_per_day"] == 25_920


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--server-price", "0 USD"),
        ("--server-price", "-1 USD"),
        ("--server-price", "NaN USD"),
        ("--server-price", "1.20"),
        ("--server-price", "5 XQX"),
        ("--tokens-per-second", "0"),
        ("--tokens-per-second", "1e30"),
        ("--hours-on", "25"),
        ("--hours-on", "0"),
    ],
)
def test_wrong_servers_are_one_sentence(option: str, value: str) -> None:
    """A price without a currency, a currency without a rate, a day of 25 hours."""
    assert option in refused("break-even", *SERVER, *REQUEST, option, value)


def test_a_request_without_counted_tokens() -> None:
    """Nothing to divide by."""
    assert "--counts all" in refused("break-even", *SERVER, *REQUEST, "--output-tokens", "0")


def test_the_batch_price_of_a_model_whose_entry_has_another_name(home: Path) -> None:
    """The entry's own context counts, whatever the model is called."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[price]]\nprovider = "acme"\nmodel = "family"\nmatch = { starts_with = "fam-" }\ncurrency = "USD"\n'
        "[[price.rate]]\ninput = 4\noutput = 4\n"
        '[[price.rate]]\ncontext = { processing = "batch" }\ninput = 1\noutput = 1\n'
    )
    (row,) = rows("estimate", "--model", "fam-3", *CALL, "--batch")
    assert row["cost"]["amount"] == "0.005"  # 5,000 x $1 per million
    (half,) = rows(
        *(
            "scenario",
            "--requests-per-day",
            "2",
            *CALL,
            "--model",
            "fam-3",
            "--batch-share",
            "50",
            "--days",
            "1",
        )
    )
    assert half["cost"]["amount"] == "0.025"  # one at $0.02, one at $0.005


# --- prices by the hour, and what is assumed ----------------------------------------------------------------

PRO = ("--model", "deepseek-v4-pro")


def test_a_month_of_a_model_with_peak_hours() -> None:
    """$39.9168 x (1 + 5/7 x 7/24) = $48.2328 on a Sunday and at the peak alike; a call of it is
    $48.2328 / (288 x 30) = $0.0055825, which the table shows in full."""
    for day in ("2026-11-22T12:00:00", "2026-11-23T02:00:00"):
        (row,) = rows("scenario", "--every", "5m", *CALL, *PRO, "--at", day)
        assert [row[key]["amount"] for key in ("low", "cost", "high")] == ["39.9168", "48.2328", "79.8336"]
    shown = run("scenario", "--every", "5m", *CALL, *PRO, "--at", "2026-11-22").stdout
    assert shown.splitlines()[2].split() == [
        "deepseek-v4-pro",
        "$0.0055825",
        "$1.6078",
        "$11.2543",
        "$48.2328",
    ]
    assert "in the cheapest hours alone are $39.9168, in\nthe dearest $79.8336" in shown
    (mini,) = rows("scenario", "--every", "5m", *CALL, "--model", "gpt-4o-mini")
    assert mini["low"] == mini["cost"] == mini["high"]


def test_break_even_with_peak_hours() -> None:
    """2,000 x $0.66 + 500 x $1.98 per million = $0.00231; x 203/168 = $0.00279125; $28.80 / that = 10,317.95."""
    server = ("break-even", "--server-price", "1.20 USD", "--tokens-per-second", "1500", *PRO)
    call = ("--input-tokens", "2000", "--output-tokens", "500", "--at", "2026-11-23T02:00:00")
    found = json.loads(run(*server, *call, "--json").stdout)
    keys = ("api_per_request_low", "api_per_request", "api_per_request_high")
    assert [found[key]["amount"] for key in keys] == ["0.00231", "0.00279125", "0.00462"]
    assert found["break_even_requests_per_day"] == int(Decimal("28.80") / Decimal("0.00279125")) + 1
    shown = run(*server, *call).stdout
    assert "a request is $0.00231 in the API's cheapest hours, $0.00462 in the dearest" in shown


def test_an_estimate_says_which_hours_price_holds() -> None:
    """And when it changes."""
    peak = run("estimate", *PRO, *CALL, "--at", "2026-11-23T02:00:00").stdout.replace("\n  ", " ")
    assert "at 2026-11-23 02:00 UTC the price of Mon-Fri 01:00-04:00, Mon-Fri 06:00-10:00 UTC holds" in peak
    assert "it changes on 2026-11-23 04:00 UTC" in peak
    usual = run("estimate", *PRO, *CALL, "--at", "2026-11-22").stdout.replace("\n  ", " ")
    assert "the usual price holds, not that of Mon-Fri 01:00-04:00" in usual


def test_an_assumed_answer_is_said_to_be_unbounded() -> None:
    """The range is of the input alone; a limit of the answer bounds it."""
    call = ("estimate", "--model", "gpt-4o-mini", "--input-tokens", "4000")
    shown = run(*call).stdout.replace("\n  ", " ")
    assert "1,000 output tokens are assumed; a longer answer costs more than this says" in shown
    assert "--max-output N bounds it" in shown
    said = {}
    for more in ((), ("--max-output", "2000"), ("--output-tokens", "500")):
        (row,) = rows(*call, *more)
        said[more] = (row["tokens"]["output"]["assumed"], row["tokens"]["output"]["bounded"])
    assert list(said.values()) == [(True, False), (True, True), (False, True)]


def test_a_batch_without_batch_prices_does_not_contradict_itself() -> None:
    """Before they were known: the list price, and nothing about batch prices beside it."""
    call = ("estimate", "--model", "gpt-4o-mini", *CALL, "--batch")
    before = run(*call, "--at", "2026-06-01").stdout
    assert "no batch price is known; this is the list price" in before
    assert "batch prices" not in before
    assert run(*call, "--at", "2026-11-20").stdout.splitlines()[-1] == "batch prices"


def test_a_price_that_ends_within_the_month_is_said(home: Path) -> None:
    """The figure is of the day's price; that another follows is a note."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[price]]\nprovider = "openai"\nmodel = "gpt-77"\ncurrency = "USD"\n'
        "[[price.rate]]\nuntil = 2026-12-01\ninput = 1\n[[price.rate]]\nfrom = 2026-12-01\ninput = 2\n"
    )
    call = (
        "scenario",
        "--every",
        "1d",
        "--input-tokens",
        "1000000",
        "--output-tokens",
        "0",
        "--model",
        "gpt-77",
    )
    (row,) = rows(*call, "--at", "2026-11-20")
    assert row["cost"]["amount"] == "30"
    assert row["notes"] == ["from 2026-12-01 00:00 UTC on another price holds, which is not counted here"]
    (row,) = rows(*call, "--at", "2026-11-20", "--days", "11")
    assert row["notes"] == []
