"""`costmon whatif`: the incident's figures, from measured runs and from a price."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from costmon.cli import main
from tests.monitor.schedule.kit import DAY, MINUTE, NOON, World, world

PRICED = ("--tokens", "4000/1000", "--model", "gpt-4o-mini")


def costmon(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def every_5m(costmon_home: Path) -> World:
    """A job that has run every five minutes since the morning, as its process announces."""
    with world(costmon_home) as made:
        made.watched = NOON - DAY
        for minutes in range(0, 180, 5):
            made.run("trade", "pid 9 of backend", NOON - 180 * MINUTE + minutes * MINUTE, plan="every 5m")
        made.step()
    (costmon_home / "clock.json").write_text(json.dumps({"real_at": 0, "at": NOON, "rate": 0}))
    return made


def test_the_incident_measured(every_5m: World) -> None:
    document = json.loads(costmon("whatif", "trade", "--every", "60m", "--json"))

    assert (document["now"], document["instead"]) == ("every 5m", "every 60m")
    assert document["because"] == "the median of 36 runs in the last 7 days"
    week = document["week"]
    assert week["now"] == {"runs": 2016, "calls": 2016, "cost": {"amount": "2.4192", "currency": "USD"}}
    assert week["instead"] == {"runs": 168, "calls": 168, "cost": {"amount": "0.2016", "currency": "USD"}}
    assert week["saved"] == {"amount": "2.2176", "currency": "USD"}
    assert week["saved_share"] == pytest.approx(11 / 12, abs=1e-6)


def test_the_table_reads_the_same(every_5m: World) -> None:
    text = costmon("whatif", "trade", "--every", "60m")

    assert max(map(len, text.splitlines())) <= 80
    week = next(line.split() for line in text.splitlines() if line.startswith("a week"))
    assert week[2:] == ["2,016", "2,016", "$2.4192", "168", "168", "$0.2016", "$2.2176", "(91.7", "%)"]
    assert "A run costs $0.0012: the median of 36 runs" in text


def test_a_crontab_instead_counts_its_own_runs(every_5m: World) -> None:
    document = json.loads(costmon("whatif", "trade", "--cron", "0 9-17 * * 1-5", "--json"))

    assert document["week"]["instead"]["runs"] == 45
    assert document["day"]["instead"]["runs"] == pytest.approx(45 / 7, abs=1e-6)


def test_a_job_that_never_ran_is_priced_by_its_model(costmon_home: Path) -> None:
    words = ("whatif", "new", "--every", "60m", "--from-every", "5m", *PRICED)
    document = json.loads(costmon(*words, "--json"))

    assert document["week"]["now"]["cost"]["amount"] == "2.4192"
    assert document["week"]["instead"]["cost"]["amount"] == "0.2016"
    assert document["because"] == "one call of gpt-4o-mini with 4,000 input and 1,000 output tokens"
    assert not (costmon_home / "ledger.db").exists()


def test_more_often_costs_more_and_says_so(every_5m: World) -> None:
    assert "(400 % more)" in costmon("whatif", "trade", "--every", "1m")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trade",), "say the other rhythm"),
        (("trade", "--every", "60m", "--cron", "0 * * * *"), "say the other rhythm"),
        (("trade", "--every", "soon"), "is no time; write it like"),
        (("trade", "--cron", "0 * * *"), "is no crontab schedule; write five fields"),
        (("trade", "--every", "60m", "--tokens", "4000/1000"), "--tokens and --model belong together"),
        (("trade", "--every", "60m", "--tokens", "many", "--model", "gpt-4o-mini"), "is not IN/OUT"),
        (("trade", "--every", "60m", "--calls-per-run", "3"), "--calls-per-run needs --tokens"),
        (("trade", "--every", "60m", "--tokens", "1/1", "--model", "gpt-9-nonsense"), "has no known price"),
        (("trde", "--every", "60m"), "no job is called 'trde'; there is trade"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(every_5m: World, words: tuple[str, ...], said: str) -> None:
    text = costmon("whatif", *words, code=2)

    assert said in text
    assert "Traceback" not in text
