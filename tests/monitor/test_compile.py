"""The config in the ledger: apps enforce what the file says, and no change loses or doubles a cent."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time

import pytest

from costmon import config
from costmon.budget.periods import period_at
from costmon.budget.rows import read_budgets
from costmon.errors import ConfigError, LedgerBusy
from costmon.monitor import compile as compiling
from costmon.monitor.compile import (
    compile_config,
    config_changed,
    record_config_error,
    refresh_horizon,
    setting,
    writing,
)
from costmon.shim import booking, policy, schema
from costmon.shim.events import Attempt, new_id
from costmon.shim.money import Rate, convert
from costmon.shim.rules import Rules
from costmon.shim.timestamps import from_iso, to_iso

NOW = 1_795_000_000_000_000  # 2026-11-18T08:26:40Z
DAY = 86_400_000_000
BUDGET = '[budget.total]\namount = "10 USD"\nperiod = "month"\n'
RATE = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1385.2\ndate = {}\n'


@pytest.fixture
def db(tmp_path):
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    for _, statements in schema.STEPS:
        for statement in statements:
            connection.execute(statement)
    yield connection
    connection.close()


def compiled(db, text: str, now: int = NOW):
    return compile_config(db, config.parse(text.encode(), "config.toml"), now)


def add_event(
    db, at: int = NOW, *, state: str = "settled", cost: int | None = 0, reserved: int = 0, **more: object
):
    if state == "reserved":
        return _add_reservation(db, at, reserved)
    row = {
        "id": new_id(at),
        "created_at": at,
        "local_day_at": _day_of(db, at),
        "machine": "m",
        "source": "shim",
        "app": "trader",
        "api": "chat",
        "provider": "openai",
        "model": "gpt-4o",
        "state": state,
        "cost": cost,
        "reserved": reserved,
        "currency": "USD",
        **(
            {"outcome": "ok", "cost_status": "priced" if cost is not None else "unknown"}
            if state == "settled"
            else {}
        ),
        **more,
    }
    db.execute(
        f"insert into event ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values())
    )
    return row["id"]


def _add_reservation(db, at: int, reserved: int) -> str:
    attempt = Attempt(
        new_id(at),
        at,
        "shim",
        "trader",
        "",
        "",
        False,
        "chat",
        "openai",
        "gpt-4o",
        "",
        0,
        0,
        reserved,
        "USD",
        False,
    )
    booking.reserve(db, attempt, [])
    return attempt.id


def _day_of(db, at: int) -> int:
    row = db.execute("select max(start_at) from local_day where start_at <= ?", (at,)).fetchone()
    return row[0] if row[0] is not None else at - at % DAY


def totals(db, name: str = "total", now: int = NOW):
    period = next(period for budget, period in read_budgets(db, now) if budget.name == name)
    return period.spent, period.assumed, period.reserved, period.calls, period.unpriced


def budget(db, name: str = "total"):
    return next(budget for budget, _ in read_budgets(db, NOW) if budget.name == name)


def dump(db):
    tables = [row[0] for row in db.execute("select name from sqlite_master where type = 'table'")]
    return {table: db.execute(f"select * from {table}").fetchall() for table in sorted(tables)}


FULL = (
    'time_zone = "Asia/Seoul"\n' + RATE.format("2026-11-10") + BUDGET + 'levels = [50, 100]\n'
    '[budget.won]\namount = "15000 KRW"\nperiod = "day"\nscope = "app=trader"\n'
    '[hosts]\n"127.0.0.1:11434" = { provider = "ollama", free = true }\n'
    '[limits]\nstrict = true\nadmit_wait = 2.5\nunknown_price = 10\n'
)  # fmt: skip


def test_settings_arrive_as_text(db):
    """An app finds its limits and hosts without reading TOML."""
    compiled(db, FULL)
    found = dict(db.execute("select key, value from setting"))
    assert json.loads(found["hosts"]) == {"127.0.0.1:11434": {"provider": "ollama", "free": True}}
    expected = {
        "time_zone": "Asia/Seoul",
        "display_currency": "USD",
        "strict": "1",
        "admit_wait": "2.5",
        "unknown_price": "10",
        "assumed_output": "1000",
        "synchronous": "normal",
        "dry_run": "0",
        "warn_prompt_tokens": "0",
        "breaker": "",
        "repeat": "",
        "retry_loop": "",
        "config_error": "",
        "compiled_at": str(NOW),
        "generation": "1",
    }
    assert {key: found[key] for key in expected} == expected


def test_compiling_twice_changes_nothing(db):
    """A config that did not change wakes nobody up."""
    add_event(db, cost=5)
    first = compiled(db, FULL)
    before = dump(db)
    again = compiled(db, FULL)
    assert (first.changed, first.added) == (True, ("total", "won"))
    assert (again.changed, again.generation) == (False, first.generation)
    assert dump(db) == before


def test_periods_reach_from_the_last_one_to_25_months_ahead(db):
    """Enforcement goes on for two years without costmon being opened."""
    compiled(db, FULL)
    for name, kind in (("total", "month"), ("won", "day")):
        rows = db.execute(
            "select start_at, end_at from budget_period where budget_id = ? order by start_at",
            (budget(db, name).id,),
        ).fetchall()
        assert rows[0][1] == period_at(kind, "Asia/Seoul", NOW).start_us
        assert all(one[1] == two[0] for one, two in zip(rows, rows[1:]))  # noqa: B905, RUF007
        assert to_iso(rows[-1][1]) == "2028-12-31T15:00:00.000000Z"
    days = db.execute("select start_at, end_at, label from local_day order by start_at").fetchall()
    assert (days[0][2], days[-1][2]) == ("2026-10-01", "2028-12-31")
    assert all(one[1] == two[0] for one, two in zip(days, days[1:]))  # noqa: B905, RUF007


def test_rates_are_found_in_both_directions_and_before_the_first_day(db):
    """A look-up is the newest row not after now, whichever way the user wrote the rate."""
    later = RATE.format("2026-11-15").replace("1385.2", "1400")
    compiled(db, 'time_zone = "Asia/Seoul"\n' + RATE.format("2026-11-10") + later)

    def rate(base: str, quote: str, at: str):
        return db.execute(
            "select numerator, denominator from exchange_rate where base = ? and quote = ? and from_at <= ?"
            " order by from_at desc limit 1",
            (base, quote, from_iso(at)),
        ).fetchone()

    assert rate("USD", "KRW", "2020-01-01T00:00:00Z") == (6926, 5)
    assert rate("USD", "KRW", "2026-11-14T14:59:59Z") == (6926, 5)
    assert rate("USD", "KRW", "2026-11-14T15:00:00Z") == (1400, 1)
    assert rate("KRW", "USD", "2026-11-20T00:00:00Z") == (1, 1400)


def test_a_rate_taken_out_of_the_file_is_gone(db):
    """The ledger knows the rates of the file and no others."""
    compiled(db, RATE.format("2026-11-10"))
    assert compiled(db, "").changed
    assert db.execute("select count(*) from exchange_rate").fetchone() == (0,)


def test_a_new_budget_counts_what_its_period_already_saw(db):
    """A budget set at noon knows what the morning cost, and what is still in flight."""
    start = period_at("month", "UTC", NOW).start_us
    add_event(db, start, cost=7)
    add_event(db, start - 1, cost=1000)
    add_event(db, NOW, cost=5, app="chatbot")
    add_event(db, NOW, cost=None, reserved=11, currency="")
    flying = add_event(db, NOW, state="reserved", cost=None, reserved=13)
    compiled(db, 'time_zone = "UTC"\n' + BUDGET + '[budget.app]\namount = "1 USD"\nscope = "app=trader"\n')
    assert totals(db) == (12, 11, 13, 3, 1)
    assert totals(db, "app") == (7, 11, 13, 2, 1)
    charges = json.loads(db.execute("select charges from reservation where id = ?", (flying,)).fetchone()[0])
    assert charges == [[budget(db).id, start, 13, 0, 1, 1], [budget(db, "app").id, start, 13, 0, 1, 1]]


@pytest.mark.parametrize("scope", ["provider", "model", "app", "route", "job"])
def test_every_scope_counts_its_own(db, scope):
    """A budget of one provider, model, app, route or job counts no other."""
    add_event(db, cost=3, **{scope: "mine"})
    add_event(db, cost=4, **{scope: "other"})
    compiled(db, BUDGET + f'scope = "{scope}=mine"')
    assert totals(db)[0] == 3


def test_a_budget_in_won_is_exact_to_the_nano(db):
    """Each call is converted at the rate of its time and rounded once, and the sum is the sum of those."""
    dice = random.Random(1)
    zone, first = "Asia/Seoul", period_at("month", "Asia/Seoul", NOW)
    change = from_iso("2026-11-14T15:00:00Z")
    expected = 0
    for _ in range(300):
        at, cost = dice.randrange(first.start_us, NOW), dice.randrange(10**9)
        add_event(db, at, cost=cost)
        expected += convert(cost, Rate(6926, 5) if at < change else Rate(1399123456789, 10**9))
    later = RATE.format("2026-11-15").replace("1385.2", "1399.123456789")
    text = f'time_zone = "{zone}"\n' + RATE.format("2026-11-10") + later
    compiled(db, text + '[budget.total]\namount = "15000 KRW"\n')
    assert totals(db) == (expected, 0, 0, 300, 0)
    charged = [json.loads(row[0])[0][3] for row in db.execute("select charges from event")]
    assert sum(charged) == expected


def test_a_currency_nobody_can_convert_is_not_counted_as_nothing(db):
    """A call billed in a currency without a rate shows up as unpriced."""
    add_event(db, cost=5, currency="EUR")
    compiled(db, BUDGET)
    assert totals(db) == (0, 0, 0, 1, 1)


def test_a_new_limit_keeps_the_totals(db):
    """Raising a budget forgets nothing; alerts are armed anew, and so they are by new levels."""
    add_event(db, cost=7)
    compiled(db, BUDGET)
    before = budget(db)
    db.execute("update budget_period set spent = spent + 100")  # what an app settled since
    result = compiled(db, BUDGET.replace("10 USD", "20 USD"))
    assert result.updated == ("total",)
    assert totals(db)[0] == 107
    assert (budget(db).id, budget(db).amount, budget(db).limit_version) == (before.id, 20 * 10**9, 2)
    compiled(db, BUDGET.replace("10 USD", "20 USD") + "levels = [50]\n")
    assert (budget(db).levels, budget(db).limit_version) == ((50,), 3)


def test_a_new_mode_keeps_the_alerts(db):
    """Switching to strict says nothing twice."""
    compiled(db, BUDGET)
    compiled(db, BUDGET + 'mode = "strict"\nat_95 = "warn"\n')
    assert (budget(db).mode, budget(db).at_95, budget(db).limit_version) == ("strict", "warn", 1)


@pytest.mark.parametrize(
    "change",
    [
        'period = "day"',
        'period = "month"\nscope = "app=trader"',
        'period = "month"\ntime_zone = "Asia/Seoul"',
    ],
)
def test_another_definition_counts_anew_and_each_event_once(db, change):
    """After a change of period, scope or zone the budget holds exactly what lies in its new period."""
    compiled(db, 'time_zone = "UTC"\n' + BUDGET)
    before = budget(db)
    for step in range(60):
        add_event(db, NOW - step * DAY // 2, cost=10**step % 9973, app="trader" if step % 2 else "chatbot")
    compiled(db, 'time_zone = "UTC"\n' + BUDGET.replace('period = "month"', change))
    now = budget(db)
    period = period_at(now.period, now.time_zone, NOW)
    expected = db.execute(
        "select sum(cost), count(*) from event where created_at >= ? and created_at < ? and (? = '' or app = ?)",
        (period.start_us, period.end_us, now.scope_value, now.scope_value),
    ).fetchone()
    assert totals(db) == (expected[0], 0, 0, expected[1], 0)
    assert now.id != before.id
    assert now.limit_version == before.limit_version + 1
    live = {charge[0] for row in db.execute("select charges from event") for charge in json.loads(row[0])}
    assert live == {now.id}


def test_events_forget_the_charges_of_budgets_that_are_gone(db):
    """Redefining a budget over and over does not make its events grow."""
    event = add_event(db, cost=3)
    for kind in ("day", "week", "month", "day"):
        compiled(db, BUDGET.replace("month", kind))
    charges = json.loads(db.execute("select charges from event where id = ?", (event,)).fetchone()[0])
    assert [charge[0] for charge in charges] == [budget(db).id]
    assert totals(db) == (3, 0, 0, 1, 0)


def test_a_removed_budget_leaves_nothing_and_its_id_is_not_used_again(db):
    """A call in flight for a removed budget never charges the one that follows."""
    compiled(db, BUDGET)
    before = budget(db)
    assert compiled(db, "").removed == ("total",)
    assert db.execute("select count(*) from budget_period").fetchone() == (0,)
    compiled(db, BUDGET)
    assert budget(db).id > before.id
    assert budget(db).limit_version == before.limit_version + 1


def rollup(db, table: str):
    return db.execute(
        f"select provider, model, app, currency, sum(calls), sum(cost), sum(unpriced) from {table}"
        " group by 1, 2, 3, 4 having sum(calls) <> 0 order by 1, 2, 3, 4"
    ).fetchall()


def by_day(db):
    return db.execute(
        "select local_day_at, sum(coalesce(cost, 0)), count(*) from event where state = 'settled' group by 1"
    ).fetchall()


def scatter(db, count: int = 200, days: int = 20):
    dice = random.Random(2)
    for _ in range(count):
        at = NOW - dice.randrange(days * DAY)
        add_event(
            db, at, cost=dice.choice([None, dice.randrange(10**9)]), app=dice.choice(["trader", "chatbot"])
        )


@pytest.mark.parametrize(
    "zones", [("UTC", "Asia/Seoul"), ("Pacific/Kiritimati", "Pacific/Niue"), ("Asia/Kolkata", "UTC")]
)
def test_a_new_zone_moves_past_days_without_losing_a_call(db, zones):
    """After a move the screen's days are the new zone's days, and their sums are the events' sums."""
    compiled(db, f'time_zone = "{zones[0]}"')
    scatter(db)
    events = rollup(db, "rollup_quarter")
    compiled(db, f'time_zone = "{zones[1]}"')
    assert rollup(db, "rollup_day") == rollup(db, "rollup_quarter") == events
    days = db.execute("select day_at, sum(cost), sum(calls) from rollup_day group by 1").fetchall()
    assert days == by_day(db)
    for (day,) in db.execute("select distinct day_at from rollup_day"):
        assert period_at("day", zones[1], day).start_us == day


def test_corrections_after_a_move_come_from_the_right_day(db):
    """An event corrected after the zone changed leaves no negative day behind."""
    compiled(db, 'time_zone = "UTC"')
    scatter(db, 50)
    compiled(db, 'time_zone = "Asia/Seoul"')
    db.execute("update event set cost = 1 where cost is not null")
    db.execute("update event set cost = 2, app = 'trader' where cost is null")
    days = db.execute(
        "select day_at, sum(cost), sum(calls) from rollup_day group by 1 having sum(calls)"
    ).fetchall()
    assert days == by_day(db)
    assert db.execute("select min(calls), min(cost) from rollup_day").fetchone()[0] >= 0


def test_days_older_than_the_fine_rollup_keep_their_zone(db):
    """Pruning the 15-minute rows keeps old days as they are, whatever zone comes later."""
    compiled(db, 'time_zone = "UTC"')
    scatter(db)
    cut = NOW - 10 * DAY
    before = rollup(db, "rollup_day")
    old = db.execute("select * from rollup_day where day_at < ? order by 1, 2, 3, 4", (cut - DAY,)).fetchall()
    db.execute("delete from rollup_quarter where slot_at < ?", (cut,))
    compiled(db, 'time_zone = "Asia/Seoul"')
    assert rollup(db, "rollup_day") == before
    assert (
        db.execute("select * from rollup_day where day_at < ? order by 1, 2, 3, 4", (cut - DAY,)).fetchall()
        == old
    )
    days = db.execute("select day_at, sum(cost), sum(calls) from rollup_day group by 1").fetchall()
    assert days == by_day(db)


def test_events_recorded_before_costmon_ever_ran_move_into_the_users_days(db):
    """An app that was wrapped first had only UTC days; the first run puts them right."""
    scatter(db, 50)
    compiled(db, 'time_zone = "Asia/Seoul"')
    days = db.execute("select day_at, sum(cost), sum(calls) from rollup_day group by 1").fetchall()
    assert days == by_day(db)
    assert all(period_at("day", "Asia/Seoul", day[0]).start_us == day[0] for day in days)


def test_a_move_and_a_new_budget_keep_the_triggers(db):
    """Corrections go on reaching the rollups after every kind of compile."""

    def triggers():
        return db.execute(
            "select name, sql from sqlite_master where type = 'trigger' order by name"
        ).fetchall()

    before = triggers()
    scatter(db, 10)
    compiled(db, 'time_zone = "Asia/Seoul"\n' + BUDGET)
    assert triggers() == before
    assert rollup(db, "rollup_day") == rollup(db, "rollup_quarter")


def test_a_failed_compile_leaves_the_ledger_as_it_was(db, monkeypatch):
    """Half a config is never in force."""
    compiled(db, BUDGET)
    scatter(db, 20)
    before = dump(db)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(compiling, "compile_budgets", fail)
    with pytest.raises(sqlite3.OperationalError):
        compiled(db, 'time_zone = "Asia/Seoul"\n' + BUDGET)
    assert dump(db) == before
    assert not db.in_transaction


def test_a_broken_edit_keeps_the_last_good_config(db, tmp_path):
    """While the file is wrong its budgets hold on, and the screen can say what is wrong; mended, that is gone."""
    path = tmp_path / "config.toml"
    path.write_text(BUDGET)
    compile_config(db, config.load(str(path)), NOW)
    assert not config_changed(db, str(path))
    path.write_text(BUDGET.replace("month", "moon"))
    assert config_changed(db, str(path))
    with pytest.raises(ConfigError) as caught:
        config.load(str(path))
    record_config_error(db, str(caught.value))
    assert "line 3" in str(setting(db, "config_error"))
    assert budget(db).amount == 10 * 10**9
    path.write_text(BUDGET)
    assert config_changed(db, str(path))
    compile_config(db, config.load(str(path)), NOW)
    assert (setting(db, "config_error"), config_changed(db, str(path))) == ("", False)


def test_an_unreadable_file_counts_as_changed(db, tmp_path):
    """A folder in the file's place is noticed, not skipped."""
    (tmp_path / "config.toml").mkdir()
    assert config_changed(db, str(tmp_path / "config.toml"))


def test_the_horizon_is_moved_on_in_time(db):
    """A monitor left running for years never runs out of periods."""
    compiled(db, FULL)
    generation = setting(db, "generation")
    assert not refresh_horizon(db, NOW)
    assert not refresh_horizon(db, NOW + 365 * DAY)
    assert setting(db, "generation") == generation
    late = NOW + 500 * DAY
    assert refresh_horizon(db, late)
    assert not refresh_horizon(db, late)
    last = db.execute("select max(end_at) from budget_period group by budget_id").fetchall()
    assert all(row[0] > late + 365 * DAY for row in last)
    rows = db.execute("select start_at, end_at from local_day order by 1").fetchall()
    assert all(one[1] == two[0] for one, two in zip(rows, rows[1:]))  # noqa: B905, RUF007


def test_a_busy_ledger_is_waited_for(db, tmp_path, monkeypatch):
    """Saving the config while apps write is not lost; a ledger held for good is said to be busy."""
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, timeout=0, check_same_thread=False)
    db.execute("pragma busy_timeout = 0")
    other.execute("begin immediate")
    release = threading.Timer(0.2, lambda: other.execute("commit"))
    release.start()
    started = time.monotonic()
    assert compiled(db, BUDGET).changed
    assert time.monotonic() - started >= 0.15
    release.join()
    monkeypatch.setattr(writing, "BUSY_WAIT_S", 0.1)
    other.execute("begin immediate")
    with pytest.raises(LedgerBusy, match="busy"):
        compiled(db, "")
    other.execute("rollback")
    other.close()


def test_an_untouched_default_file_elsewhere_takes_no_budget_away(db, tmp_path):
    """A command run inside a container makes a config.toml there; the one outside stays in force."""
    outside, inside = tmp_path / "outside.toml", tmp_path / "inside.toml"
    outside.write_text(BUDGET)
    compile_config(db, config.load(str(outside)), NOW)
    config.ensure(str(inside))
    assert not config_changed(db, str(inside))
    inside.write_text(BUDGET.replace("10", "20"))
    assert config_changed(db, str(inside))
    outside.write_text(config.DEFAULT)
    assert config_changed(db, str(outside))


LIMITS = (
    '[rate_limit.openai]\ncalls = 60\nper = "minute"\nscope = "provider=openai"\n'
    '[rate_limit.all]\ncalls = 1000\nper = "day"\n'
)


def limits(db):
    rows = db.execute("select name, id, scope_key, scope_value, calls, per from rate_limit")
    return {row[0]: row[1:] for row in rows}


def windows(db):
    return dict(db.execute("select limit_id, calls from rate_window"))


def test_rules_arrive_as_figures(db):
    """An app compares integers: no TOML, no durations. A rule taken out of the file is off again."""
    text = (
        '[breaker]\npause = "45s"\n[repeat]\n[retry_loop]\nwithin = "1h30m"\n'
        "[limits]\ndry_run = true\nwarn_prompt_tokens = 9000\n"
    )
    first = compiled(db, text)
    assert json.loads(setting(db, "breaker")) == {
        "failures": 5,
        "within_us": 60_000_000,
        "pause_us": 45_000_000,
    }
    assert json.loads(setting(db, "repeat")) == {"calls": 20, "within_us": 600_000_000}
    assert json.loads(setting(db, "retry_loop")) == {"failures": 5, "within_us": 5_400_000_000}
    assert (setting(db, "dry_run"), setting(db, "warn_prompt_tokens")) == ("1", "9000")
    again = compiled(db, text)
    assert (again.changed, again.generation) == (False, first.generation)
    off = compiled(db, "")
    assert off.generation == first.generation + 1
    assert [setting(db, key) for key in ("breaker", "repeat", "retry_loop", "dry_run")] == ["", "", "", "0"]


def test_what_is_compiled_is_what_a_shim_reads(db):
    """The shim's own reader understands every figure."""
    compiled(db, LIMITS + '[breaker]\npause = "45s"\n[repeat]\n[retry_loop]\n[limits]\ndry_run = true\n')
    rules = policy.load(db).rules
    assert [(limit.name, limit.scope, limit.calls, limit.per) for limit in rules.limits] == [
        ("openai", "provider=openai", 60, "minute"),
        ("all", "all", 1000, "day"),
    ]
    assert rules.breaker == (5, 60_000_000, 45_000_000)
    assert (rules.repeat, rules.retry_loop) == ((20, 600_000_000), (5, 300_000_000))
    assert rules.dry_run
    compiled(db, "")
    assert policy.load(db).rules == Rules()


def test_a_rate_limit_keeps_its_count_while_it_counts_the_same(db):
    """Raising it does not give the whole number anew; another scope or window starts at none."""
    compiled(db, LIMITS)
    openai, everything = limits(db)["openai"][0], limits(db)["all"][0]

    def count():
        db.executemany("insert or replace into rate_window values (?, 0, 7)", [(openai,), (everything,)])

    count()
    generation = int(setting(db, "generation"))
    assert compiled(db, LIMITS.replace("60", "90")).generation == generation + 1
    assert limits(db)["openai"] == (openai, "provider", "openai", 90, "minute")
    assert windows(db) == {openai: 7, everything: 7}
    compiled(db, LIMITS.replace('"minute"', '"hour"'))
    assert windows(db) == {everything: 7}
    count()
    compiled(db, LIMITS.replace("provider=openai", "provider=anthropic").replace('"minute"', '"hour"'))
    assert windows(db) == {everything: 7}
    assert limits(db)["openai"] == (openai, "provider", "anthropic", 60, "hour")


def test_a_rate_limit_taken_out_of_the_file_leaves_nothing(db):
    """Its count goes with it, and what takes its place starts at none."""
    compiled(db, LIMITS)
    openai = limits(db)["openai"][0]
    db.execute("insert into rate_window values (?, 0, 7)", (openai,))
    assert compiled(db, "").changed
    assert (limits(db), windows(db)) == ({}, {})
    compiled(db, LIMITS)
    assert set(limits(db)) == {"openai", "all"}
    assert windows(db) == {}
