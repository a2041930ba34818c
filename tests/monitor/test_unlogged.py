"""Unlogged spend in budgets and in alerts: what counts, what does not, and when it is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from costmon import config
from costmon.monitor.compile import compile_config
from costmon.monitor.reconciled import UnloggedAlerts, reconcile, this_month, unlogged_alerts
from costmon.monitor.unlogged import Unlogged, refresh
from costmon.monitor.view import build_snapshot
from costmon.shim.money import NANO
from costmon.shim.recorder import Recorder
from costmon.shim.usage.hosts import KNOWN_HOSTS
from costmon.sources.providers import registry
from costmon.store import Store, open_ledger
from tests.harness.billed import HOUR, add_balance, add_bucket, add_source, at, log_call, nano
from tests.shim.battery import kit

BUDGET = '[budget.total]\namount = "100 USD"\nperiod = "month"\ncount_unlogged = true\n'
NOW = at("2026-11-20 12:00")
EVERY = 300_000_000


@pytest.fixture
def store(costmon_home: Path) -> Iterator[Store]:
    found = open_ledger(str(costmon_home))
    yield found
    found.close()


@pytest.fixture
def db(store: Store) -> sqlite3.Connection:
    return store.db


def configure(db: sqlite3.Connection, text: str, now: int = NOW) -> None:
    compile_config(db, config.parse(f'time_zone = "UTC"\n{text}'.encode(), "config.toml"), now)


def unlogged(db: sqlite3.Connection, name: str = "total", now: int = NOW) -> int:
    """What the budget's current period has."""
    sql = """select unlogged from budget_period join budget on id = budget_id
             where name = ? and start_at <= ? and end_at > ?"""
    return int(db.execute(sql, (name, now, now)).fetchone()[0])


# --- budgets ------------------------------------------------------------------------------------------------


def test_closed_days_count_and_open_ones_do_not(db: sqlite3.Connection) -> None:
    """$5 billed for two days that are over, $2 logged: $3. Today's $7 wait until the day is over."""
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-18", {"amount": "2"}, read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "3"}, {"amount": "0.5", "line": "tax"}, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "7"}, read_at=NOW)
    log_call(db, at("2026-11-18") + HOUR, "2")
    assert refresh(db, NOW)
    assert unlogged(db) == nano(3)
    assert not refresh(db, NOW), "nothing changed, and yet it was written"
    log_call(db, at("2026-11-19") + HOUR, "1")
    assert refresh(db, NOW)
    assert unlogged(db) == nano(2)


def test_a_day_read_before_it_was_over_does_not_count(db: sqlite3.Connection) -> None:
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "3"}, read_at=at("2026-11-20") - 1)
    refresh(db, NOW)
    assert unlogged(db) == 0


def test_days_of_last_month_do_not_count(db: sqlite3.Connection) -> None:
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-10-31", {"amount": "3"}, read_at=NOW)
    add_bucket(db, "2026-11-01", {"amount": "4"}, read_at=NOW)
    refresh(db, NOW)
    assert unlogged(db) == nano(4)


def test_one_providers_gap_is_not_hidden_by_another(db: sqlite3.Connection) -> None:
    """$4 too few logged at one, $9 too much at the other: $4; within one provider days make up for each other."""
    scoped = '[budget.{0}]\namount = "9 USD"\nscope = "provider={0}"\ncount_unlogged = true\n'
    configure(db, BUDGET + scoped.format("openai") + scoped.format("xai"))
    for name in ("openai", "xai"):
        add_source(db, name, read_at=NOW)
    add_bucket(db, "2026-11-18", {"amount": "5"}, read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "1"}, read_at=NOW)
    add_bucket(db, "2026-11-18", {"amount": "1"}, source="xai", read_at=NOW)
    log_call(db, at("2026-11-19") + HOUR, "2")
    log_call(db, at("2026-11-18") + HOUR, "10", provider="xai")
    refresh(db, NOW)
    assert [unlogged(db, name) for name in ("total", "openai", "xai")] == [nano(4), nano(4), 0]


def test_what_the_budget_counts_already_does_not_count_twice(db: sqlite3.Connection) -> None:
    """A call without a price is in the budget at what is assumed of it; its bill is no unlogged spend on top."""
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "3"}, read_at=NOW)
    log_call(db, at("2026-11-19") + HOUR, None, charge="2", currency="")
    refresh(db, NOW)
    assert unlogged(db) == nano(1)


def test_gateways_and_balances_do_not_count(db: sqlite3.Connection) -> None:
    configure(db, BUDGET)
    add_source(db, "litellm", read_at=NOW, overlaps=True)
    add_bucket(db, "2026-11-19", {"amount": "3"}, source="litellm", read_at=NOW)
    add_source(db, "deepseek", read_at=NOW, series="", every_us=EVERY)
    add_balance(db, at("2026-11-18"), at("2026-11-19"), "9")
    add_balance(db, at("2026-11-19") + EVERY, NOW, "5")
    assert not refresh(db, NOW)
    assert unlogged(db) == 0


def test_a_budget_in_won_uses_the_rate_of_each_day(db: sqlite3.Connection) -> None:
    rates = "".join(
        f'[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = {rate}\ndate = {day}\n'
        for rate, day in ((1000, "2026-11-01"), (2000, "2026-11-19"))
    )
    configure(db, f'{rates}[budget.total]\namount = "90000 KRW"\ncount_unlogged = true\n')
    add_source(db, read_at=NOW)
    for day in ("2026-11-18", "2026-11-19"):
        add_bucket(db, day, {"amount": "1"}, read_at=NOW)
    refresh(db, NOW)
    assert unlogged(db) == 3000 * NANO


def test_switched_off_it_counts_no_more(db: sqlite3.Connection) -> None:
    """Also where the source is removed, or the budget no longer asks for it."""
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "3"}, read_at=NOW)
    refresh(db, NOW)
    assert unlogged(db) == nano(3)
    configure(db, BUDGET.replace("true", "false"))
    assert refresh(db, NOW)
    assert unlogged(db) == 0
    assert not refresh(db, NOW)


def test_what_the_ledger_no_longer_keeps_is_not_taken_for_nothing(db: sqlite3.Connection) -> None:
    """With 14 days of retention the quarter hours of the 2nd are gone: its bill proves nothing."""
    configure(db, BUDGET + "[retention]\nevents = 14\n")
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-02", {"amount": "3"}, read_at=NOW, first_at=at("2026-11-01"))
    refresh(db, NOW)
    assert unlogged(db) == 0


def test_it_looks_when_a_figure_came_and_once_a_minute(db: sqlite3.Connection) -> None:
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-18", {"amount": "3"}, read_at=NOW)
    keeper = Unlogged()
    assert keeper.refresh(db, NOW)
    log_call(db, at("2026-11-18") + HOUR, "1")
    assert not keeper.refresh(db, NOW + 59_000_000)
    assert keeper.refresh(db, NOW + 60_000_000)
    add_bucket(db, "2026-11-19", {"amount": "3"}, read_at=NOW + 61_000_000)
    assert keeper.refresh(db, NOW + 61_000_000)
    assert unlogged(db) == nano(5)


# --- alerts -------------------------------------------------------------------------------------------------


def test_the_alert_names_amount_day_model_and_likely_spenders(db: sqlite3.Connection) -> None:
    add_source(db, read_at=NOW)
    add_bucket(
        db,
        "2026-11-20",
        {"amount": "0.7", "model": "gpt-5-mini-2025-08-07", "label": "…, input", "project": "proj_crawler"},
        {"amount": "0.3", "model": "gpt-5-mini-2025-08-07", "label": "…, output", "key": "key_7"},
        {"amount": "0.1", "model": "gpt-4o-mini"},
        read_at=NOW,
    )
    log_call(db, at("2026-11-20") + HOUR, "0.1")
    (alert,) = unlogged_alerts(db, NOW)
    assert alert.title == "costmon: openai billed $1.00 on 2026-11-20 that no app logged"
    assert alert.body == (
        "Mostly gpt-5-mini. Largest spenders there: project proj_crawler ($0.70); key key_7 ($0.30). Something "
        "spends without costmon seeing it. costmon reconcile --provider openai shows both sides."
    )
    assert (alert.kind, alert.subject, alert.period_at) == ("unlogged", "openai", at("2026-11-20"))


@pytest.mark.parametrize(("setting", "told"), [('"1.00 USD"', True), ('"1.01 USD"', False), ("false", False)])
def test_the_threshold_is_the_operators(db: sqlite3.Connection, setting: str, told: bool) -> None:
    configure(db, f"[unlogged]\nalert = {setting}\n")
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "1"}, read_at=NOW)
    assert bool(unlogged_alerts(db, NOW)) == told


def test_by_default_half_a_dollar_is_told(db: sqlite3.Connection) -> None:
    for compiled in (False, True):
        if compiled:
            configure(db, "")
        add_source(db, f"s{compiled}", read_at=NOW)
        add_bucket(db, "2026-11-20", {"amount": "0.5"}, source=f"s{compiled}", read_at=NOW)
        add_source(db, f"t{compiled}", read_at=NOW)
        add_bucket(db, "2026-11-20", {"amount": "0.49"}, source=f"t{compiled}", read_at=NOW)
        assert f"s{compiled}" in {alert.subject for alert in unlogged_alerts(db, NOW)}
        assert f"t{compiled}" not in {alert.subject for alert in unlogged_alerts(db, NOW)}


def test_spend_around_midnight_is_no_alarm(db: sqlite3.Connection) -> None:
    """An app's $3 of 23:59 are billed at 00:01: both days differ by $3, and nothing is unlogged."""
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "1"}, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "3"}, read_at=NOW)
    log_call(db, at("2026-11-19") + HOUR, "1")
    log_call(db, at("2026-11-20") - 1, "3")
    assert unlogged_alerts(db, NOW) == []


def test_what_may_be_logged_is_no_alarm(db: sqlite3.Connection, costmon_home: Path) -> None:
    """A call without a price may be what was billed."""
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "3", "model": "o3"}, read_at=NOW)
    log_call(db, at("2026-11-20") + HOUR, None, "o3", charge="2.6", currency="")
    assert unlogged_alerts(db, NOW) == []


def test_days_before_the_ledger_began_are_no_alarm(db: sqlite3.Connection) -> None:
    """The first poll brings the month so far: only the day it ran on is compared."""
    add_source(db, read_at=NOW)
    for day in ("2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20"):
        add_bucket(db, day, {"amount": "5"}, read_at=NOW)
    assert [alert.period_at for alert in unlogged_alerts(db, NOW)] == [at("2026-11-20")]


def test_old_days_and_gateways_are_no_alarm(db: sqlite3.Connection) -> None:
    log_call(db, at("2026-11-01"), "0", provider="x")  # the ledger is old enough
    add_source(db, read_at=NOW)
    add_source(db, "litellm", read_at=NOW, overlaps=True)
    for day in ("2026-11-16", "2026-11-17", "2026-11-18"):
        add_bucket(db, day, {"amount": "5"}, read_at=NOW)
        add_bucket(db, day, {"amount": "5"}, source="litellm", read_at=NOW)
    found = [(alert.subject, alert.period_at) for alert in unlogged_alerts(db, NOW)]
    assert found == [("openai", at("2026-11-18"))]


def test_a_balance_that_fell_by_more_than_was_logged(db: sqlite3.Connection) -> None:
    log_call(db, at("2026-11-19") + HOUR, "1", provider="deepseek")
    add_source(db, "deepseek", read_at=NOW, series="", every_us=EVERY)
    add_balance(db, at("2026-11-18"), at("2026-11-19") + HOUR, "9")
    add_balance(db, at("2026-11-19") + HOUR + EVERY, NOW, "5")
    (alert,) = unlogged_alerts(db, NOW)
    assert alert.title == "costmon: deepseek lost $3.00 on 2026-11-19 that no app logged"
    assert "Its balance fell by more than apps logged." in alert.body


def test_the_warner_asks_again_only_when_something_came(db: sqlite3.Connection) -> None:
    alerts = UnloggedAlerts()
    assert alerts.due(db, NOW) == []
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "1"}, read_at=NOW)
    assert len(alerts.due(db, NOW)) == 1
    log_call(db, at("2026-11-20") + HOUR, "1", "")
    assert len(alerts.due(db, NOW + 59_000_000)) == 1
    assert alerts.due(db, NOW + 60_000_000) == []


# --- what is compared with what -----------------------------------------------------------------------------


def test_names_meet_by_the_price_list(db: sqlite3.Connection) -> None:
    """A dated id on the bill, an alias in the app, OpenRouter's id of another maker's model: one row each."""
    when = at("2026-11-20") + HOUR
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "1", "model": "gpt-4o-mini-2024-07-18"}, read_at=NOW)
    log_call(db, when, "1", "gpt-4o-mini")
    add_source(db, "openrouter", read_at=NOW)
    figure = {"amount": "2", "model": "openai/gpt-4.1-2025-04-14"}
    add_bucket(db, "2026-11-20", figure, source="openrouter", read_at=NOW)
    log_call(db, when, "2", "openai/gpt-4.1", provider="openrouter")
    found = reconcile(db, NOW, at("2026-11-20"), at("2026-11-21"))
    assert [(day.provider, len(day.lines), day.unlogged.best) for day in found.days] == [
        ("openai", 1, 0),
        ("openrouter", 1, 0),
    ]


def test_two_accounts_of_one_provider_are_one_bill(db: sqlite3.Connection) -> None:
    """Their days add up; where one was not read, the bill is the least that was spent."""
    log_call(db, at("2026-11-19") + HOUR, "3")
    for name, amount in (("openai", "2"), ("openai-eu", "1.5")):
        add_source(db, name, provider="openai", read_at=NOW)
        add_bucket(db, "2026-11-19", {"amount": amount}, source=name, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "1"}, read_at=NOW)
    first, second = reconcile(db, NOW, at("2026-11-19"), at("2026-11-21")).days
    assert (first.billed, first.unlogged.best, first.least) == (nano("3.5"), nano("0.5"), False)
    assert (second.billed, second.least, second.why) == (nano(1), True, ("no figure of openai-eu",))


def test_an_invoice_beside_an_endpoint_is_not_added(db: sqlite3.Connection) -> None:
    add_source(db, read_at=NOW)
    add_source(db, "bill", provider="openai", kind="file", read_at=NOW)
    for name in ("openai", "bill"):
        add_bucket(db, "2026-11-19", {"amount": "2"}, source=name, read_at=NOW)
    found = reconcile(db, NOW, at("2026-11-19"), at("2026-11-20"))
    assert [(day.sources, day.adds) for day in found.days] == [(("openai",), True), (("bill",), False)]
    assert found.sums[0].billed == nano(2)


def test_a_month_is_compared_with_the_whole_month(db: sqlite3.Connection) -> None:
    log_call(db, at("2026-10-01"), "0")
    add_source(db, "xai", read_at=NOW, series="month")
    add_bucket(db, "2026-11-01", {"amount": "9"}, source="xai", days=30, read_at=NOW)
    log_call(db, at("2026-11-02"), "4", provider="xai")
    log_call(db, at("2026-11-19"), "3", provider="xai")
    (day,) = this_month(db, NOW).days
    assert (day.state, day.own.best, day.unlogged.best) == ("partial", nano(7), nano(2))
    (alert,) = unlogged_alerts(db, NOW)
    assert "xai billed $2.00 on 2026-11 that" in alert.title


def test_a_month_in_the_middle_of_which_the_ledger_began(db: sqlite3.Connection) -> None:
    """What was logged is only a part: the difference is the most that can be unlogged."""
    log_call(db, at("2026-11-15"), "4", provider="xai")
    add_source(db, "xai", read_at=NOW, series="month")
    add_bucket(db, "2026-11-01", {"amount": "9"}, source="xai", days=30, read_at=NOW)
    (day,) = this_month(db, NOW).days
    assert day.unlogged == (None, nano(5), nano(5))
    assert day.why == ("the ledger begins on 2026-11-15 only",)
    assert unlogged_alerts(db, NOW) == []


def test_the_snapshot_carries_it(store: Store, costmon_home: Path) -> None:
    """And a home without a source pays nothing for it."""
    assert build_snapshot(store, mine=False).reconciled.days == ()
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    add_source(store.db, read_at=kit.now_us())
    add_bucket(store.db, today, {"amount": "1"}, read_at=kit.now_us())
    kit.spend(Recorder(str(costmon_home)), NANO // 4, provider="openai")
    (day,) = build_snapshot(store, mine=False).reconciled.days
    assert (day.billed, day.own.best, day.unlogged.best) == (NANO, NANO // 4, 3 * NANO // 4)


def test_a_kind_knows_its_provider_by_the_ledgers_name() -> None:
    """Another name would be compared with nothing, and all its spend be taken for unlogged."""
    for name in registry.names():
        kind = registry.kind(name)
        host = urlsplit(kind.base_url).hostname or ""
        assert KNOWN_HOSTS.get(host, kind.provider) == kind.provider, name
