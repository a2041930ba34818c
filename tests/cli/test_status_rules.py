"""What `costmon status` says of rules: how full, what is open, what was refused, and what is only tried out."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from costmon.cli import main
from costmon.cli.story import Story
from costmon.monitor.view import build_snapshot
from costmon.store import open_ledger

MINUTE = 60_000_000
RULES = (
    '[rate_limit.openai]\ncalls = 60\nper = "minute"\nscope = "provider=openai"\n'
    '[rate_limit.day]\ncalls = 5\nper = "day"\n[breaker]\npause = "10m"\n[limits]\ndry_run = {}\n'
)
REASON = 'rate limit "openai": 60 calls a minute for provider=openai are used up'


@pytest.fixture
def home(costmon_home):
    costmon_home.mkdir(mode=0o700)
    return costmon_home


def status(*args: str) -> str:
    result = CliRunner().invoke(main, ["status", *args])
    assert result.exit_code == 0, result.output
    return result.output


def configured(home, dry_run: bool = False):
    (home / "config.toml").write_text(RULES.format(str(dry_run).lower()))
    status()
    return open_ledger(str(home))


def count(store, name: str, calls: int, *, minutes_ago: int = 0) -> None:
    start = store.now() - minutes_ago * MINUTE
    store.db.execute(
        "insert or replace into rate_window select id, ?, ? from rate_limit where name = ?",
        (start - start % MINUTE if name == "openai" else 0, calls, name),
    )


def refuse(store, rule: str, calls: int, *, dry_run: bool, reason: str = REASON) -> None:
    now = store.now()
    store.db.execute(
        "insert into refusal (minute_at, app, provider, model, rule, scope, reason, first_at, last_at, calls, dry_run)"
        " values (?, 'trader', 'openai', 'gpt-4o', ?, 'provider=openai', ?, ?, ?, ?, ?)",
        (now - now % MINUTE, rule, reason, now, now, calls, dry_run),
    )


def test_a_rate_limit_shows_its_window(home):
    """How many of how many in this minute; what an earlier minute counted is over."""
    store = configured(home)
    count(store, "openai", 60)
    text = status()
    assert "rate limit openai (provider=openai): 60 of 60 calls this minute, until" in text
    assert "FULL" in text
    assert "rate limit day (all): 0 of 5 calls this day" in text
    count(store, "openai", 60, minutes_ago=2)
    limits = {limit["name"]: limit for limit in json.loads(status("--json"))["rate_limits"]}
    assert (limits["openai"]["calls"], limits["openai"]["limit"], limits["openai"]["per"]) == (
        0,
        60,
        "minute",
    )
    assert limits["openai"]["until"].endswith(":00.000000Z")
    store.close()


def test_an_open_breaker_is_told(home):
    """Which provider is left alone, since when, and when one call tries it."""
    store = configured(home)
    store.db.execute("insert into breaker values ('openai', 5, 0, ?, null, null)", (store.now() - MINUTE,))
    store.db.execute("insert into breaker values ('anthropic', 2, ?, null, null, null)", (store.now(),))
    text = status()
    assert "breaker openai: open since" in text
    assert "after 5 failures" in text
    assert "breaker anthropic" not in text
    assert [entry["provider"] for entry in json.loads(status("--json"))["breakers"]] == ["openai"]
    store.close()


def test_refusals_are_told_with_their_rule(home):
    """Who reads it knows which line of the config refused."""
    store = configured(home)
    refuse(store, "rate", 12, dry_run=False)
    assert "refused 12× by rule rate (provider=openai), last" in status()
    found = json.loads(status("--json"))
    assert (found["refused_today"], found["would_be_refused_today"], found["dry_run"]) == (12, 0, False)
    assert found["refusals"][0]["rule"] == "rate"
    assert found["refusals"][0]["reason"] == REASON
    store.close()


def test_a_dry_run_is_told_and_counts_apart(home):
    """Nobody takes a call that went out for one that was stopped, nor believes that something is enforced."""
    store = configured(home, dry_run=True)
    refuse(store, "rate", 12, dry_run=True)
    text = status()
    assert text.startswith("DRY RUN: everything is decided and recorded")
    assert "0 refused today · 12 would be refused" in text
    assert "would be refused 12× by rule rate" in text
    found = json.loads(status("--json"))
    assert (found["refused_today"], found["would_be_refused_today"], found["dry_run"]) == (0, 12, True)
    assert found["refusals"][0]["would_be"] is True
    snapshot = build_snapshot(store, mine=False)
    assert (snapshot.feed[0].state, snapshot.feed[0].rule) == ("excused", "rate")
    assert snapshot.feed[0].note == f"would be refused: {REASON}"
    store.close()


def test_the_story_of_a_dry_run_says_that_it_is_one(home):
    """`costmon watch` tells what would be refused as such."""
    store = configured(home, dry_run=True)
    said: list[str] = []
    story = Story(said.append)
    story.tell(build_snapshot(store, mine=True))
    refuse(store, "repeat", 1, dry_run=True)
    story.tell(build_snapshot(store, mine=True))
    assert [line.split("Z  ")[1] for line in said if "would be" in line] == [
        f"dry run    trader → gpt-4o: would be refused: {REASON}"
    ]
    store.close()
