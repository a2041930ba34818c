"""Unlogged spend in budgets and in alerts: what counts, what does not, and when it is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon import config
from costmon.act.alerts import deliver
from costmon.act.channels import Delivery
from costmon.act.channels.none import NullNotifier
from costmon.insight.values import Day
from costmon.monitor.compile import compile_config
from costmon.monitor.reconciled import UnloggedAlerts, reconcile, this_month, unlogged_alerts
from costmon.monitor.unlogged import Unlogged, refresh
from costmon.monitor.view import build_snapshot
from costmon.shim.money import NANO
from costmon.shim.recorder import Recorder
from costmon.shim.timestamps import to_datetime, to_us
from costmon.shim.usage.hosts import KNOWN_HOSTS
from costmon.sources.providers import registry
from costmon.sources.resources.collect import Collector
from costmon.store import Store, open_ledger
from tests.harness.billed import DAY, HOUR, add_balance, add_bucket, add_source, at, log_call, nano
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


def test_the_least_that_was_billed_hides_nothing_of_other_days(db: sqlite3.Connection) -> None:
    """One of two accounts was not read on the 18th: that day lacks $9 of what was logged, and the 19th has $4 too many."""
    configure(db, BUDGET)
    for name in ("openai", "openai-eu"):
        add_source(db, name, provider="openai", read_at=NOW)
        add_bucket(db, "2026-11-19", {"amount": "2"}, source=name, read_at=NOW)
    add_bucket(db, "2026-11-18", {"amount": "1"}, read_at=NOW)
    log_call(db, at("2026-11-18") + HOUR, "10")
    refresh(db, NOW)
    assert unlogged(db) == nano(4)


def test_what_a_budget_cannot_convert_is_said(db: sqlite3.Connection) -> None:
    """€5 beside $7 and no rate: $7 count, and the euros are named; with a rate all of it counts."""
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    bill = ({"amount": "7", "model": "o3"}, {"amount": "5", "model": "gpt-5", "currency": "EUR"})
    add_bucket(db, "2026-11-19", *bill, read_at=NOW)
    log_call(db, at("2026-11-18"), "0")
    refresh(db, NOW)
    assert unlogged(db) == nano(7)
    found = this_month(db, NOW)
    assert found.problems == (
        "openai cannot be compared in full, no rate from EUR to USD: add [[currency.rate]] to the config",
        'budget "total" does not count all unlogged spend at openai, no rate from EUR to USD: add [[currency.rate]] '
        "to the config",
    )
    (day,) = [day for day in found.days if day.billed]
    assert (day.billed, day.least, day.unlogged.best) == (nano(7), True, nano(7))
    (alert,) = unlogged_alerts(db, NOW)
    assert "$7.00" in alert.title
    configure(db, f'[[currency.rate]]\nbase = "EUR"\nquote = "USD"\nrate = 2\ndate = 2026-11-01\n{BUDGET}')
    refresh(db, NOW)
    assert unlogged(db) == nano(17)
    assert this_month(db, NOW).problems == ()


def test_a_day_read_by_a_clock_that_was_ahead_does_not_count(db: sqlite3.Connection) -> None:
    configure(db, BUDGET)
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "3"}, read_at=NOW + 5 * DAY)
    log_call(db, at("2026-11-18"), "0")
    refresh(db, NOW)
    assert unlogged(db) == 0
    assert [day.state for day in this_month(db, NOW).days if day.billed] == ["partial"]


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


@pytest.mark.parametrize("logged_at", ["2026-11-19 12:00", "2026-11-19 22:59"])
def test_what_was_logged_long_before_midnight_hides_nothing(db: sqlite3.Connection, logged_at: str) -> None:
    """$10 of free tokens at noon were not billed; $10 that nobody logged on the next day are told all the same."""
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-19", read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "10"}, read_at=NOW)
    log_call(db, at(logged_at), "10")
    (alert,) = unlogged_alerts(db, NOW)
    assert "$10.00 on 2026-11-20" in alert.title


def test_a_day_without_a_figure_hides_nothing(db: sqlite3.Connection) -> None:
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "10"}, read_at=NOW)
    log_call(db, at("2026-11-20") - 1, "10")
    (alert,) = unlogged_alerts(db, NOW)
    assert "$10.00 on 2026-11-20" in alert.title


def test_it_is_told_again_when_it_has_doubled(db: sqlite3.Connection) -> None:
    """$0.50 is told, $0.99 is not again; $500 is told once, not ten times; $300 after a revision is no news."""
    log_call(db, at("2026-11-18"), "0")
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "0.5"}, read_at=NOW)
    shown: list[str] = []

    class Screen(NullNotifier):
        def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:
            shown.append(title)
            return Delivery(True, "screen", "")

    def tick(amount: str) -> list[str]:
        shown.clear()
        db.execute("update figure set amount = ?", (nano(amount),))
        deliver(db, unlogged_alerts(db, NOW), Screen(), lambda: NOW, "me")
        return list(shown)

    title = "costmon: openai billed {} on 2026-11-20 that no app logged"
    assert tick("0.5") == [title.format("$0.50")]
    assert tick("0.99") == []
    assert tick("1") == [title.format("$1.00")]
    assert tick("500") == [title.format("$500.00")]
    assert tick("500") == tick("300") == tick("500") == []
    assert tick("513") == [title.format("$513.00")]


@pytest.mark.parametrize(("cost", "status"), [("1", "partial"), (None, "")])
def test_a_call_nobody_can_price_does_not_switch_the_alarm_off(
    db: sqlite3.Connection, cost: str | None, status: str
) -> None:
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "10"}, read_at=NOW)
    log_call(db, at("2026-11-20") + HOUR, cost, status=status, currency="USD" if cost else "")
    (alert,) = unlogged_alerts(db, NOW)
    amount = "$9.00" if cost else "$10.00"
    assert alert.title == f"costmon: openai billed up to {amount} on 2026-11-20 that no app logged"
    assert "Calls without a full price may be a part of it." in alert.body


def test_what_cannot_be_compared_with_the_threshold_is_said(db: sqlite3.Connection) -> None:
    """A billionth of a yuan is no alarm of $1, nor is a billion of them; why not is on the page."""
    configure(db, '[unlogged]\nalert = "1 USD"\n')
    log_call(db, at("2026-11-18"), "0")
    add_source(db, "moonshot", read_at=NOW)
    add_bucket(db, "2026-11-20", {"amount": "9", "currency": "CNY"}, source="moonshot", read_at=NOW)
    assert unlogged_alerts(db, NOW) == []
    assert this_month(db, NOW).problems == (
        "no alert is raised for unlogged spend at moonshot, no rate from CNY to USD: add [[currency.rate]] to the config",
    )


def test_a_subscription_hides_no_bypass(db: sqlite3.Connection) -> None:
    """$20 a month for a plan beside $10 that nobody logged: budget and alert see the $10."""
    configure(
        db,
        f'{BUDGET}[resource.plan]\nkind = "flat"\nprovider = "anthropic"\nprice = "20 USD"\nper = "month"\n',
    )
    moments = [at("2026-11-17"), NOW]
    collector = Collector(clock=lambda: moments[0] / 1e6)
    collector.collect(db, moments[0])
    del moments[0]
    collector.collect(db, NOW)
    assert db.execute("select sum(cost) > 0 from event where source = 'meter'").fetchone() == (1,)
    add_source(db, "anthropic", read_at=NOW)
    add_bucket(db, "2026-11-19", {"amount": "10"}, source="anthropic", read_at=NOW)
    refresh(db, NOW)
    assert unlogged(db) == nano(10)
    (alert,) = unlogged_alerts(db, NOW)
    assert "$10.00" in alert.title


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


# --- balances -----------------------------------------------------------------------------------------------


def derived(db: sqlite3.Connection, day: str) -> Day:
    """What the balances tell of a day."""
    (found,) = [one for one in this_month(db, NOW).days if one.start == to_datetime(at(day))]
    return found


def test_the_last_day_of_a_balance_nobody_reads_is_stale(db: sqlite3.Connection) -> None:
    add_source(db, "deepseek", read_at=at("2026-11-15 12:00"), series="", every_us=EVERY)
    add_balance(db, at("2026-11-14"), at("2026-11-15"), "9")
    add_balance(db, at("2026-11-15") + EVERY, at("2026-11-15 12:00"), "5")
    assert (derived(db, "2026-11-14").state, derived(db, "2026-11-15").state) == ("final", "stale")


def test_a_pause_within_a_day_is_the_least_of_that_day(db: sqlite3.Connection) -> None:
    add_source(db, "deepseek", read_at=NOW, series="", every_us=EVERY)
    add_balance(db, at("2026-11-18"), at("2026-11-19 12:00"), "100")
    add_balance(db, at("2026-11-19 12:30"), NOW, "80")
    found = derived(db, "2026-11-19")
    assert (found.billed, found.least, found.state) == (nano(20), True, "partial")


def test_a_balance_beside_one_nobody_read_is_the_least(db: sqlite3.Connection) -> None:
    for name, last, read_at in (("a", NOW, NOW), ("b", at("2026-11-18 12:00"), at("2026-11-18 12:00"))):
        add_source(db, name, provider="deepseek", read_at=read_at, series="", every_us=EVERY)
        add_balance(db, at("2026-11-17"), at("2026-11-18"), "9", source=name)
        add_balance(db, at("2026-11-18") + EVERY, last, "5", source=name)
    found = derived(db, "2026-11-19")
    assert (found.state, found.least) == ("stale", True)
    assert "no balance of b" in found.why[0]


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


@pytest.mark.parametrize("kind", ["file", "acme"])
def test_days_of_one_account_and_a_month_of_another_add_up(db: sqlite3.Connection, kind: str) -> None:
    """$2 on each of two days beside an invoice of $90: $94, whatever days are asked for, and some are not told."""
    configure(db, BUDGET)
    log_call(db, at("2026-10-01"), "0", provider="x")
    for name, series in (("days", "day"), ("month", "month")):
        add_source(db, name, provider="acme", kind=kind, series=series, read_at=NOW)
    add_bucket(db, "2026-11-01", {"amount": "90"}, source="month", days=19, read_at=NOW)
    for day in ("2026-11-02", "2026-11-18"):
        add_bucket(db, day, {"amount": "2"}, source="days", read_at=NOW)
    log_call(db, at("2026-11-18") + HOUR, "4", provider="acme")
    for first, last in (
        ("2026-11-01", "2026-11-20"),
        ("2026-11-18", "2026-11-19"),
        ("2026-11-03", "2026-11-04"),
    ):
        (found,) = reconcile(db, NOW, at(first), at(last), "acme").days
        assert (found.start, found.end) == (to_datetime(at("2026-11-01")), to_datetime(at("2026-11-20")))
        assert (found.billed, found.own.best, found.unlogged.best) == (nano(94), nano(4), nano(90))
        assert (found.least, found.state) == (True, "partial")
        assert found.why == ("days tells a part of this time only",)
    refresh(db, NOW)
    assert unlogged(db) == nano(90)


@pytest.mark.parametrize("first", ["2026-11-01", "2026-11-05"])
def test_weeks_and_days_that_are_all_there_are_final(db: sqlite3.Connection, first: str) -> None:
    """All figures of both accounts: their sum is what was billed, and nothing of it is missing."""
    log_call(db, at("2026-10-01"), "0", provider="x")
    for name in ("days", "weeks"):
        add_source(db, name, provider="acme", read_at=NOW)
    add_bucket(db, "2026-11-01", {"amount": "7"}, source="weeks", days=7, read_at=NOW)
    for number in range(1, 8):
        add_bucket(db, f"2026-11-0{number}", {"amount": "1"}, source="days", read_at=NOW)
    (found,) = reconcile(db, NOW, at(first), at("2026-11-08"), "acme").days
    assert (found.billed, found.state, found.least) == (nano(14), "final", False)


BUCKETS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 19), st.integers(1, 9), st.integers(0, 99)), max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BUCKETS, st.integers(1, 19), st.integers(1, 9))
def test_a_stretch_is_the_same_whatever_days_are_asked_for(
    db: sqlite3.Connection, told: list[tuple[str, int, int, int]], first: int, days: int
) -> None:
    """Buckets of three sources, overlapping as they like: no cent is lost, none counts twice, and no window changes it."""
    for table in ("source", "figure_bucket", "figure", "figure_usage"):
        db.execute(f"delete from {table}")
    for name in "abc":
        add_source(db, name, provider="acme", read_at=NOW)
    kept: dict[str, list[tuple[int, int]]] = {name: [] for name in "abc"}
    total = 0
    for name, start, length, cents in sorted(told, key=lambda one: (one[1], one[2])):
        if any(start < end and begin < start + length for begin, end in kept[name]):
            continue
        kept[name].append((start, start + length))
        total += cents
        add_bucket(
            db, f"2026-11-{start:02}", {"amount": f"{cents / 100:.2f}"}, source=name, days=length, read_at=NOW
        )
    whole = reconcile(db, NOW, at("2026-11-01"), at("2026-11-30"), "acme").days
    assert sum(day.billed or 0 for day in whole) == total * NANO // 100
    assert all(one.end <= other.start for one, other in pairwise(whole))
    start, end = at(f"2026-11-{first:02}"), at(f"2026-11-{first:02}") + days * DAY
    some = reconcile(db, NOW, start, end, "acme").days
    assert some == tuple(day for day in whole if to_us(day.start) < end and to_us(day.end) > start)


def test_one_source_that_tells_a_time_twice_is_not_added_up(db: sqlite3.Connection) -> None:
    log_call(db, at("2026-10-01"), "0", provider="x")
    add_source(db, read_at=NOW)
    add_bucket(db, "2026-11-01", {"amount": "7"}, days=7, read_at=NOW)
    add_bucket(db, "2026-11-03", {"amount": "2"}, read_at=NOW)
    (found,) = reconcile(db, NOW, at("2026-11-01"), at("2026-11-08"), "openai").days
    assert (found.billed, found.least) == (nano(7), True)
    assert found.why == ("figures of openai that overlap others of it are left out",)


@pytest.mark.parametrize(("read_at", "state"), [(NOW, "partial"), (NOW - DAY, "stale")])
def test_a_day_one_of_two_sources_told_is_not_final(db: sqlite3.Connection, read_at: int, state: str) -> None:
    log_call(db, at("2026-10-01"), "0", provider="x")
    add_source(db, read_at=NOW)
    add_source(db, "openai-eu", provider="openai", read_at=read_at)
    add_bucket(db, "2026-11-10", {"amount": "2"}, read_at=NOW)
    (found,) = reconcile(db, NOW, at("2026-11-10"), at("2026-11-11"), "openai").days
    assert (found.state, found.least) == (state, True)


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
