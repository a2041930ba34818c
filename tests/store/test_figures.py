"""What the ledger keeps of bills, and what it says itself of a provider's days."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from costmon.monitor.reconciled import this_month
from costmon.shim.recorder import Recorder
from costmon.store import figures, open_ledger
from costmon.store.figures import OwnRow, Reach
from tests.harness.billed import DAY, HOUR, add_balance, add_bucket, add_source, add_usage, at, log_call, nano
from tests.shim.battery import kit

DAYS = (at("2026-11-18"), at("2026-11-21"))


@pytest.fixture
def db(costmon_home: Path) -> Iterator[sqlite3.Connection]:
    store = open_ledger(str(costmon_home))
    yield store.db
    store.close()


def test_a_provider_day_takes_exactly_its_own_quarter_hours(db: sqlite3.Connection) -> None:
    """23:59:59.999999 is of the day, 00:00 of the next; providers, models and currencies stay apart."""
    for when, cost in ((at("2026-11-19") - 1, "1"), (at("2026-11-19"), "2"), (at("2026-11-20") - 1, "4")):
        log_call(db, when, cost)
    log_call(db, at("2026-11-19"), "8", currency="KRW")
    log_call(db, at("2026-11-19"), "16", provider="groq")
    log_call(db, at("2026-11-19"), "32", "o3")
    found = {
        (row.start_at, row.provider, row.model, row.currency): row.cost
        for row in figures.own_days(db, *DAYS, ["openai"])
    }
    assert found == {
        (at("2026-11-18"), "openai", "gpt-4o-mini", "USD"): nano(1),
        (at("2026-11-19"), "openai", "gpt-4o-mini", "USD"): nano(6),
        (at("2026-11-19"), "openai", "gpt-4o-mini", "KRW"): nano(8),
        (at("2026-11-19"), "openai", "o3", "USD"): nano(32),
    }
    assert sum(row.cost for row in figures.own_days(db, *DAYS)) == nano(63)


def test_a_stretch_that_is_no_day(db: sqlite3.Connection) -> None:
    """Seoul's day: from 15:00 UTC to 15:00 UTC."""
    start = at("2026-11-18 15:00")
    for when, cost in ((start - 1, "1"), (start, "2"), (start + DAY - 1, "4"), (start + DAY, "8")):
        log_call(db, when, cost)
    (row,) = figures.own_between(db, start, start + DAY, ["openai"])
    assert (row.start_at, row.cost, row.calls) == (start, nano(6), 2)
    assert figures.fits(start, start + DAY)
    assert not figures.fits(start + 1, start + DAY)


def test_what_is_unsure_of_it_comes_along(db: sqlite3.Connection) -> None:
    when = at("2026-11-19")
    log_call(db, when, "1")
    log_call(db, when, "2", status="estimated")
    log_call(db, when, "4", status="partial")
    log_call(db, when, None, charge="0.5", currency="")
    priced, unpriced = sorted(figures.own_days(db, *DAYS), key=lambda row: row.currency, reverse=True)
    assert priced == OwnRow(
        *(when, "openai", "gpt-4o-mini", "USD", 3, 300, 30, nano(7), 0, 1, 1, nano(2), 0, 0)
    )
    assert (unpriced.currency, unpriced.unpriced, unpriced.assumed, unpriced.cost) == ("", 1, nano("0.5"), 0)


def test_a_subscription_is_no_usage_and_a_server_is(db: sqlite3.Connection) -> None:
    """A provider's bill of usage has no fee of a subscription; what a model of the same name cost stays."""
    when = at("2026-11-19")
    for name, kind in (("claude-max", "flat"), ("gpu-box", "time")):
        db.execute(
            "insert into meter (resource, definition, first_seen_at, since_at, counted_until) values (?, ?, 0, 0, 0)",
            (name, f'{{"kind": "{kind}"}}'),
        )
    db.execute("insert into meter_month values ('old-plan', '2026-11', 'subscription_seconds', '900')")
    db.execute("insert into meter_month values ('gpu-box', '2026-11', 'subscription_seconds', '900')")
    for name in ("claude-max", "gpu-box", "old-plan"):
        log_call(db, when, "5", name, provider="anthropic", source="meter")
    log_call(db, when, "1", "claude-max", provider="openai")
    found = {(row.model, row.cost) for row in figures.own_days(db, *DAYS)}
    assert found == {("gpu-box", nano(5)), ("claude-max", nano(1))}
    assert {row.model for row in figures.own_between(db, when, when + HOUR)} == {"gpu-box", "claude-max"}


def test_a_call_in_flight_is_told_apart(costmon_home: Path, db: sqlite3.Connection) -> None:
    recorder = Recorder(str(costmon_home))
    assert recorder.admit(kit.llm(input_tokens=0, max_output=1000)) is not None
    now = kit.now_us()
    (row,) = figures.own_days(db, now - now % DAY, now - now % DAY + DAY)
    assert (row.calls, row.cost, row.reserved, row.model) == (0, 0, 600_000, "gpt-4o-mini")
    (row,) = figures.own_between(db, now - HOUR, now + HOUR, ["openai"])
    assert row.reserved == 600_000


def test_figures_by_source_bucket_and_line(db: sqlite3.Connection) -> None:
    """A bucket that only reaches into the days asked for comes whole; the others stay away."""
    add_source(db, read_at=at("2026-11-21"), lacks=["today is behind"], notes=["Priority Tier is not in it"])
    add_bucket(db, "2026-11-17", {"amount": "1"}, read_at=at("2026-11-21"))
    add_bucket(
        db,
        "2026-11-19",
        {"amount": "2.000000001", "model": "o3", "project": "p", "key": "k"},
        {"amount": "0.2", "line": "tax"},
        read_at=at("2026-11-21"),
        complete=False,
    )
    add_bucket(db, "2026-11-01", {"amount": "9"}, source="bill", days=30, read_at=at("2026-11-21"))
    add_usage(db, "2026-11-19", "o3", requests=3, input_tokens=10, cached_tokens=None, output_tokens=2)
    (source,) = figures.sources(db)
    assert (source.name, source.about["lacks"], source.notes) == (
        "openai",
        ["today is behind"],
        ("Priority Tier is not in it",),
    )
    buckets = figures.buckets(db, *DAYS)
    assert [(bucket.source, bucket.start_at, bucket.complete) for bucket in buckets] == [
        ("bill", at("2026-11-01"), True),
        ("openai", at("2026-11-19"), False),
    ]
    found = {(row.source, row.line, row.model, row.api_key): row.amount for row in figures.figures(db, *DAYS)}
    assert found == {
        ("openai", "usage", "o3", "k"): 2_000_000_001,
        ("openai", "tax", "", ""): nano("0.2"),
        ("bill", "usage", "", ""): nano(9),
    }
    (used,) = figures.usage(db, *DAYS)
    assert (used.requests, used.input_tokens, used.cached_tokens, used.output_tokens) == (3, 10, None, 2)


def test_balances_come_with_the_one_before(db: sqlite3.Connection) -> None:
    """Without it the first change inside the days could not be told."""
    for number in range(4):
        add_balance(
            db, at("2026-11-15") + number * DAY, at("2026-11-15") + number * DAY + HOUR, str(9 - number)
        )
    found = figures.balances(db, at("2026-11-17"))
    assert [row.amount for row in found] == ["8", "7", "6"]
    assert len(figures.balances(db, at("2026-11-30"))) == 1


def test_how_far_back_the_ledger_can_be_asked(db: sqlite3.Connection) -> None:
    """Beyond what is kept nobody knows; what is still there from before that is known."""
    now = at("2026-11-21")
    assert figures.reach(db, now) == Reach(now - 90 * DAY, None)
    log_call(db, at("2026-11-19"), "1")
    assert figures.reach(db, now) == Reach(now - 90 * DAY, at("2026-11-19"))
    log_call(db, at("2026-05-01") + HOUR, "1")  # a budget's period keeps it, say
    assert figures.reach(db, now) == Reach(at("2026-05-01") + HOUR, at("2026-05-01"))
    db.execute("insert or replace into setting values ('retention_events', '0')")
    assert figures.reach(db, now).kept_from == 0
    db.execute("insert or replace into setting values ('retention_events', '3')")
    db.execute("delete from rollup_quarter")
    assert figures.reach(db, now).kept_from == now - 11 * DAY  # no event goes before


def test_a_ledger_begins_with_its_first_bill_at_the_latest(db: sqlite3.Connection) -> None:
    add_bucket(db, "2026-11-18", read_at=at("2026-11-20"), first_at=at("2026-11-19") + HOUR)
    assert figures.reach(db, at("2026-11-21")).began_at == at("2026-11-19") + HOUR


def test_broken_texts_in_a_source_harm_nobody(db: sqlite3.Connection) -> None:
    add_source(db, read_at=1)
    db.execute("update source set about = 'x', notes = '{}'")
    (source,) = figures.sources(db)
    assert (source.about, source.notes) == ({}, ())


def test_the_providers_apps_called_are_known_the_busiest_first(db: sqlite3.Connection) -> None:
    """Whoever has no source is told of, also without any source at all; not what they called last year."""
    for provider, calls in (("groq", 1), ("openai", 3)):
        for hour in range(calls):
            log_call(db, at("2026-11-20") + hour * HOUR, "1", provider=provider)
    log_call(db, at("2025-11-20"), "1", provider="cohere")
    assert figures.providers_since(db, at("2026-11-01")) == ["openai", "groq"]
    assert this_month(db, at("2026-11-21")).silent == ("openai", "groq")
    add_source(db, "openai", read_at=at("2026-11-21"))
    assert this_month(db, at("2026-11-21")).silent == ("groq",)
