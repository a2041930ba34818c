"""Servers, subscriptions and announced storage: what the clock alone decides."""

from __future__ import annotations

import itertools
import sqlite3
from decimal import Decimal

import pytest

from costmon.errors import ConfigError
from costmon.monitor.reprice import Scope, reprice, revert
from costmon.monitor.resources import amount_text, resource_json, resource_line
from costmon.pricing.files.resources import ResourcePrice, ResourceRate
from costmon.sources.resources import Collector, Tariffs, rows
from costmon.store import open_ledger
from tests.shim.battery import kit
from tests.sources.kit import DAY, HOUR, MINUTE, NANO, SECOND, SLOT, World, assert_tiled, at

WON = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2026-01-01\n'
SERVER = '[resource.box]\nkind = "time"\nprice = "2450 KRW"\nper = "hour"\n'
ON = SERVER + "always_on = true\n"


def test_a_server_in_won_costs_its_price_an_hour(world):
    """One event a quarter hour, in won, charged to the budgets in won and in dollars."""
    w = world(
        f'[budget.won]\namount = "100000 KRW"\n[budget.usd]\namount = "100 USD"\n{ON}app = "trader"\n{WON}'
    )
    w.tick()
    w.tick(after=HOUR + 7 * MINUTE)
    events = w.events()
    assert [(e["api"], e["source"], e["provider"], e["model"], e["app"], e["currency"]) for e in events] == [
        ("time", "meter", "own", "box", "trader", "KRW")
    ] * 4
    assert [e["cost"] for e in events] == [612_500_000_000] * 4
    assert [e["amount"] for e in events] == [900] * 4
    assert [e["before"] for e in events] == [0, 900, 1800, 2700]
    assert dict(
        w.rows(
            "select b.name, p.spent from budget b join budget_period p on p.budget_id = b.id and p.spent > 0"
        )
    ) == {
        "won": 2450 * NANO,
        "usd": 1_750_000_000,  # 2450 / 1400
    }
    kit.assert_sums_agree(w.home)
    status = w.status("box")
    assert (status.running, status.amount, status.unit) == (True, 1, "h")
    assert status.cost == (2450 * NANO, "KRW")
    assert status.ahead == (285_833_333_333, "KRW")  # 7 minutes


def test_a_second_engine_or_tick_counts_nothing_twice(world):
    w = world(ON)
    w.tick()
    w.tick(after=3 * SLOT, times=3)
    Collector(w.host).collect(w.store.db, w.now)
    assert len(w.events()) == 3
    assert_tiled(w.events(), [(w.now - 3 * SLOT, w.now)])


def test_an_event_has_the_same_id_wherever_it_is_made(world):
    """Even a ledger whose cursors were lost does not count a quarter hour again."""
    w = world(ON)
    w.tick()
    w.tick(after=2 * SLOT)
    w.store.db.execute("update meter_run set accounted_until = started_at")
    w.tick()
    assert len(w.events()) == 2
    assert w.value("select used from meter_month") == "1800"
    other = world(ON)
    other.tick()
    other.tick(after=2 * SLOT)
    assert [e["id"] for e in other.events()] == [e["id"] for e in w.events()]
    assert all(e["id"][14] == "7" and e["id"][19] in "89ab" for e in w.events())


def test_since_reaches_back_and_until_ends(world):
    w = world(ON + "since = 2026-10-31\nuntil = 2026-11-02\n", "2026-11-01 12:00")
    w.catch_up()
    assert_tiled(w.events(), [(at("2026-10-31 00:00"), w.now)])
    w.tick(after=3 * DAY)
    w.catch_up()
    assert_tiled(w.events(), [(at("2026-10-31 00:00"), at("2026-11-02 00:00"))])
    assert w.cost("box") == 48 * 2450 * NANO
    assert not w.status("box").running


def test_days_off_are_caught_up_in_pieces_that_let_others_write(world):
    w = world(ON)
    w.tick()
    w.now += 12 * DAY
    seen = []
    while not seen or len(w.events()) > seen[-1]:
        seen.append(len(w.events()))
        w.tick()
    assert seen[-1] == 12 * 96
    assert max(b - a for a, b in itertools.pairwise(seen)) <= 1000  # of 250 each
    assert_tiled(w.events(), [(w.now - 12 * DAY, w.now)])
    assert w.cost("box") == 12 * 24 * 2450 * NANO


@pytest.mark.slow
def test_a_late_quarter_hour_is_charged_to_its_own_month(world):
    """And one from before the budget was, to none."""
    w = world(f'[budget.won]\namount = "9000000 KRW"\n{ON}since = 2026-09-30\n{WON}', "2026-11-01 01:00")
    w.catch_up()
    spent = w.rows("select start_at, spent from budget_period where spent + unpriced > 0 order by 1")
    assert spent == [
        (at("2026-10-01 00:00"), 744 * 2450 * NANO),
        (at("2026-11-01 00:00"), 2450 * NANO),
    ]
    assert w.cost("box") == ((1 + 31) * 24 + 1) * 2450 * NANO
    kit.assert_sums_agree(w.home)


@pytest.mark.parametrize(
    ("zone", "day", "hours"), [("America/New_York", "2026-11-01", 25), ("Europe/Berlin", "2026-03-29", 23)]
)
def test_a_day_of_25_or_23_hours(world, zone, day, hours):
    w = world(ON + f"since = {day}\n", f"{day} 23:59", zone)
    w.now += 2 * MINUTE
    w.catch_up()
    assert w.cost("box") == hours * 2450 * NANO
    assert w.value("select count(distinct day_at) from rollup_day") == 1


def test_a_month_ends_and_its_free_hours_begin_anew(world):
    w = world(
        SERVER.replace("2450 KRW", "1 USD") + "always_on = true\nfree = 2\nsince = 2026-10-31\n",
        "2026-11-02 00:00",
    )
    w.catch_up()
    november = at("2026-11-01 00:00")
    assert w.cost("box", 0, november) == 22 * NANO
    assert w.cost("box", november) == 22 * NANO
    assert [e["before"] for e in w.events() if e["created_at"] == november] == [0]


def test_a_price_that_changes_within_a_quarter_hour_splits_it(world):
    change = at("2026-11-01 00:05")
    w = world('[resource.box]\nkind = "time"\nalways_on = true\nprice_of = "vm"\n')
    rates = (ResourceRate(None, change, "hour", 3600 * NANO), ResourceRate(change, None, "hour", 7200 * NANO))
    w.price(ResourcePrice("vm", "time", "USD", rates, "builtin", "2026.11.20"))
    w.tick()
    w.tick(after=SLOT)
    assert [(e["amount"], e["cost"]) for e in w.events()] == [(300, 300 * NANO), (600, 1200 * NANO)]
    versions = {row[0] for row in w.rows("select price_version from event")}
    assert len(versions) == 2
    assert all(version.startswith("builtin@2026.11.20:") for version in versions)
    assert w.value("select count(*) from rate_card") == 2


def test_without_a_price_the_use_is_kept_to_be_priced_later(world):
    w = world(
        '[budget.total]\namount = "10 USD"\n[resource.box]\nkind = "time"\nalways_on = true\nprice_of = "vm"\n'
    )
    w.tick()
    w.tick(after=2 * SLOT)
    assert [(e["cost"], e["cost_status"], e["amount"], e["before"]) for e in w.events()] == [
        (None, "unknown", 900, 0),
        (None, "unknown", 900, 900),
    ]
    status = w.status("box")
    assert (status.cost, status.unpriced) == (None, 2)
    assert '"vm", which no price file has' in status.problem
    assert w.value("select unpriced from budget_period where spent + unpriced > 0") == 2
    w.price(ResourcePrice("vm", "time", "USD", (ResourceRate(None, None, "hour", NANO),)))
    card = Tariffs(w.store.db).card("box", w.now)
    assert card is not None
    assert (card.model, card.currency) == ("box", "USD")
    w.tick(after=SLOT)
    assert w.events()[-1]["cost"] == NANO // 4
    run = reprice(w.store, "unknown", Scope(until=w.now + 1), reason="price became known", by="test")
    assert (run.events, [e["cost"] for e in w.events()]) == (2, [NANO // 4] * 3)
    assert w.rows("select spent, assumed, unpriced from budget_period where spent > 0") == [
        (3 * NANO // 4, 0, 0)
    ]
    kit.assert_sums_agree(w.home)
    revert(w.store, run.id, reason="test", by="test")
    assert [e["cost"] for e in w.events()] == [None, None, NANO // 4]
    kit.assert_sums_agree(w.home)


def test_a_quarter_hour_of_a_server_is_no_call(world):
    """The screens count calls; what a server used counts as money alone."""
    w = world(f'[budget.won]\namount = "100000 KRW"\n{SERVER}always_on = true\n{WON}', "2026-11-03 12:00")
    w.tick()
    w.tick(after=2 * HOUR)
    assert len(w.events()) == 8
    assert w.rows("select sum(calls), sum(cost) from rollup_day") == [(0, 2 * 2450 * NANO)]
    assert w.rows("select calls, spent from budget_period where spent > 0") == [(0, 2 * 2450 * NANO)]
    assert w.status("box").problem == ""


def test_a_price_of_another_kind_is_none(world):
    w = world('[resource.box]\nkind = "time"\nalways_on = true\nprice_of = "disk"\n')
    w.price(ResourcePrice("disk", "storage", "USD", (ResourceRate(None, None, "GB-month", NANO),)))
    w.tick()
    w.tick(after=SLOT)
    assert w.events()[0]["cost_status"] == "unknown"
    assert "a price of kind storage; it is of kind time" in w.status("box").problem


def test_a_new_price_in_the_config_holds_from_its_edit_on(world):
    w = world(ON.replace("2450", "3600"))
    w.tick()
    w.tick(after=SLOT + 10 * MINUTE)
    w.configure(ON.replace("2450", "7200"))
    w.tick()
    w.tick(after=5 * MINUTE)
    assert [(e["amount"], e["cost"] // NANO) for e in w.events()] == [(900, 900), (600, 600), (300, 600)]
    assert_tiled(w.events(), [(w.now - 2 * SLOT, w.now)])


def test_a_resource_taken_out_of_the_config_is_accounted_to_its_end(world):
    w = world(ON)
    w.tick()
    w.tick(after=SLOT + 5 * MINUTE)
    end = w.now
    w.configure("")
    w.tick(after=HOUR)
    assert w.value("select count(*) from meter") == 0
    w.tick(after=DAY)
    # nobody knew better than the tick that saw it
    assert_tiled(w.events(), [(end - SLOT - 5 * MINUTE, end + HOUR)])


def test_what_changed_while_costmon_was_off_ends_when_the_file_was_saved(world):
    w = world(ON)
    w.tick()
    begun = w.now
    w.configure("")
    w.now += 10 * DAY
    for _ in range(5):
        w.collector.collect(w.store.db, w.now, changed_us=begun + HOUR)
    assert_tiled(w.events(), [(begun, begun + HOUR)])


def test_a_resource_that_comes_back_leaves_its_gap_out_unless_since_says_otherwise(world):
    w = world(ON)
    w.tick()
    begun = w.now
    w.configure("")
    w.tick(after=SLOT)
    w.configure(ON)
    w.tick(after=SLOT)
    w.tick(after=SLOT)
    assert_tiled(w.events(), [(begun, begun + SLOT), (begun + 2 * SLOT, begun + 3 * SLOT)])
    w.configure(ON + "since = 2026-10-31\n")
    w.catch_up()
    assert_tiled(w.events(), [(begun - DAY, begun + 3 * SLOT)])


def test_a_clock_set_back_takes_nothing_back_and_counts_nothing_twice(world):
    w = world(ON)
    w.tick()
    begun = w.now
    w.tick(after=4 * HOUR)
    w.tick(after=-3 * HOUR)
    assert len(w.events()) == 16
    assert "lie ahead" in w.status("box").problem
    w.tick(after=4 * HOUR)
    assert_tiled(w.events(), [(begun, w.now)])
    assert w.status("box").problem == ""


def test_a_moment_of_a_wrong_clock_bills_no_future(world):
    """Eight days ahead, seen once, or by every look of half a minute."""
    w = world(f'[budget.total]\namount = "1000 USD"\n{ON.replace("2450 KRW", "1 USD")}')
    w.tick()
    begun = w.now
    w.tick(after=HOUR)
    for times in (1, 6):
        w.ahead = 8 * DAY
        w.now += w.ahead
        for _ in range(times):
            w.tick(after=5 * SECOND)
        assert "the clock stands far ahead" in w.status("box").problem
        assert not w.collector.behind  # nobody waits for it
        w.now -= w.ahead
        w.ahead = 0
        w.tick(after=HOUR)
        assert w.status("box").problem == ""
    assert_tiled(w.events(), [(begun, w.now - w.now % SLOT)])
    assert w.value("select sum(spent) from budget_period") == w.cost("box") == 3 * NANO


def test_a_clock_that_jumps_about_is_never_believed(world):
    w = world(ON)
    w.tick()
    w.tick(after=SLOT)
    for _ in range(30):
        w.now, w.ahead = w.now + DAY, w.ahead + DAY
        w.tick(after=5 * SECOND)
    assert len(w.events()) == 1


def test_a_jump_that_lasts_is_true(world):
    """A machine that slept catches up, a minute after it woke."""
    w = world(ON)
    w.tick()
    begun = w.now
    w.now, w.ahead = w.now + 3 * DAY, 3 * DAY
    for _ in range(12):
        w.tick(after=5 * SECOND)
        assert w.events() == []
    w.tick(after=5 * SECOND)
    assert w.status("box").problem == ""
    w.catch_up()
    assert_tiled(w.events(), [(begun, w.now - w.now % SLOT)])


def test_a_costmon_that_begins_long_after_all_it_knows_looks_for_a_minute(world):
    w = world(ON)
    w.tick()
    begun = w.now
    w.restart()
    w.tick(after=23 * HOUR)
    assert_tiled(w.events(), [(begun, w.now)])
    w.restart()
    w.tick(after=3 * DAY)
    assert len(w.events()) == 92
    assert "the clock stands far ahead" in w.status("box").problem
    w.restart()  # its successor has the same doubt
    w.tick(after=5 * SECOND)
    assert len(w.events()) == 92
    w.tick(after=MINUTE)
    w.catch_up()
    assert_tiled(w.events(), [(begun, w.now - w.now % SLOT)])
    assert w.status("box").problem == ""


def test_time_passes_without_the_wall_clock():
    from costmon.sources.resources.trust import passed

    assert passed() <= passed()


def test_a_ledger_that_fails_in_the_middle_counts_all_or_nothing(world, monkeypatch):
    w = world(ON)
    w.tick()
    real, calls = rows.put_used, []

    def full(*args: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise sqlite3.OperationalError("database or disk is full")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(rows, "put_used", full)
    with pytest.raises(sqlite3.OperationalError):
        w.tick(after=5 * SLOT)
    assert len(calls) == 3
    assert w.events() == []
    assert w.value("select count(*) from rollup_quarter") == 0
    w.tick()
    assert_tiled(w.events(), [(w.now - 5 * SLOT, w.now)])


# --- subscriptions, storage, traffic as announced -----------------------------------------------------------


@pytest.mark.slow
def test_a_subscription_comes_to_its_price_in_every_month(world):
    w = world(
        '[resource.max]\nkind = "flat"\nprice = "19.99 USD"\nper = "month"\nsince = 2026-02-01\n',
        "2026-04-01 00:00",
    )
    w.catch_up()
    assert w.cost("max", 0, at("2026-03-01 00:00")) == 19_990_000_000
    assert w.cost("max", at("2026-03-01 00:00")) == 19_990_000_000
    assert w.events()[0]["unit"] == "subscription_seconds"


def test_a_subscription_by_the_year_and_by_the_day(world):
    text = '[resource.year]\nkind = "flat"\nprice = "365 USD"\nper = "year"\nsince = 2026-03-30\n'
    text += '[resource.day]\nkind = "flat"\nprice = "1 USD"\nper = "day"\nsince = 2026-03-01\n'
    w = world(text, "2026-04-01 00:00", "America/New_York")
    w.now += HOUR
    w.catch_up()
    assert w.cost("day", 0, at("2026-04-01 00:00", w.zone)) == 31 * NANO  # the month that lost an hour
    assert w.cost("year", 0, at("2026-04-01 00:00", w.zone)) == 2 * NANO


def test_announced_storage_by_the_gb_month(world):
    both = 'kind = "storage"\nprice = "0.023 USD"\n'
    text = f'[resource.gb]\n{both}per = "GB-month"\ngb = 50\nsince = 2026-02-27\n'
    text += f'[resource.gib]\n{both}per = "GiB-month"\ngib = 50\nmonth = "calendar"\nsince = 2026-02-27\n'
    w = world(text, "2026-03-01 00:00")
    w.catch_up()
    assert w.cost("gb") == 75_616_438  # 50 x 0.023 x 48 h / 730 h
    assert w.cost("gib") == 82_142_857  # 50 x 0.023 x 2 days of 28
    assert w.status("gib").stored == 50 * 2**30


def test_announced_traffic_is_spread_over_the_month(world):
    w = world(
        '[resource.out]\nkind = "transfer"\nprice = "0.09 USD"\nper = "GB"\ngb = 250\nfree = 100\n',
        "2026-02-01 00:00",
    )
    w.tick()
    w.tick(after=28 * DAY)
    w.catch_up()
    assert w.amount("out") == 250 * 10**9
    assert w.cost("out") == 13_500_000_000  # 150 x 0.09


# --- runs a person tells of -------------------------------------------------------------------------------


def test_start_and_stop_account_at_once(world):
    w = world(SERVER)
    w.now += 4 * MINUTE
    w.start("box")
    w.tick(after=20 * MINUTE)
    w.now += 2 * MINUTE + 700
    found = w.stop("box")
    assert found.changed
    assert found.run.accounted_until == found.run.stopped_at == w.now - 700
    assert [e["amount"] for e in w.events()] == [660, 660]
    assert w.cost("box") == 1320 * 2450 * NANO // 3600
    assert w.start(
        "box",
    ).changed
    assert not w.start("box").changed
    w.now += SLOT
    assert w.stop("box").changed
    assert not w.stop("box").changed


def test_runs_of_the_past_count_once_and_may_not_overlap(world):
    w = world(SERVER, "2026-11-03 12:00")
    w.start("box", ago=5 * HOUR)
    w.stop("box", ago=3 * HOUR)
    with pytest.raises(ConfigError, match=r"ran from .* already; start it at the end of that"):
        w.start("box", ago=4 * HOUR)
    with pytest.raises(ConfigError, match="lies ahead"):
        w.start("box", ago=-SECOND)
    w.start("box", ago=3 * HOUR)
    with pytest.raises(ConfigError, match=r"runs since .* already; stop it first"):
        w.start("box", ago=4 * HOUR)
    w.tick()
    with pytest.raises(ConfigError, match="started only at"):
        w.stop("box", ago=6 * HOUR)
    w.stop("box")
    assert_tiled(w.events(), [(w.now - 5 * HOUR, w.now)])
    assert w.cost("box") == 5 * 2450 * NANO


def test_a_forgotten_stop_takes_back_what_was_accounted(world):
    """At the price it had then, out of the budget and the sums; the server may run again in the same quarter hour."""
    w = world(f'[budget.won]\namount = "100000 KRW"\n{SERVER}{WON}', "2026-11-03 12:00")
    begun = w.now
    w.start("box")
    w.tick(after=2 * HOUR)
    w.configure(f'[budget.won]\namount = "100000 KRW"\n{SERVER.replace("2450", "9000")}{WON}')
    w.tick()
    w.tick(after=2 * HOUR)
    assert w.cost("box") == (2 * 2450 + 2 * 9000) * NANO
    w.stop("box", ago=4 * HOUR - 20 * MINUTE)
    third = 816_666_666_667  # a third of 2,450
    assert w.cost("box") == third
    assert w.value("select spent from budget_period where spent + unpriced > 0") == third
    assert w.value("select used from meter_month") == "1200"
    live = [e for e in w.events() if e["duration_us"]]
    assert_tiled(live, [(begun, begun + 20 * MINUTE)])
    assert {e["note"] for e in w.events() if not e["duration_us"]} == {"taken back"}
    kit.assert_sums_agree(w.home)
    w.start("box", ago=4 * HOUR - 30 * MINUTE)  # from a quarter hour on that was taken back
    w.stop("box", ago=3 * HOUR)
    assert_tiled(
        [e for e in w.events() if e["duration_us"]],
        [(begun, begun + 20 * MINUTE), (begun + 30 * MINUTE, begun + HOUR)],
    )
    assert w.amount("box") == 1200 + 1800
    kit.assert_sums_agree(w.home)


def test_a_forgotten_stop_keeps_begun_hours_and_locked_bills(world):
    w = world(SERVER.replace("2450 KRW", "1 USD") + "increment_s = 3600\n", "2026-11-03 12:00")
    w.start("box")
    w.tick(after=3 * HOUR)
    w.store.db.execute("insert into price_lock values (1, ?, 'billed', 'me', 0, null)", (w.now - 2 * HOUR,))
    with pytest.raises(ConfigError, match=r"the bill up to .* is locked; stop box at a time after that"):
        w.stop("box", ago=150 * MINUTE)
    w.stop("box", ago=119 * MINUTE)  # 61 minutes: two hours
    assert w.cost("box") == 2 * NANO
    w.start("box")
    w.tick(after=11 * DAY)
    w.catch_up()
    with pytest.raises(ConfigError, match=r"is accounted up to .*; stop it at .* or later"):
        w.stop("box", ago=10 * DAY + HOUR)
    w.stop("box", ago=9 * DAY)
    assert w.cost("box") == (2 + 48) * NANO
    kit.assert_sums_agree(w.home)


def test_a_stop_that_was_told_too_late_is_mended(world):
    """Exactly, as if it had been told so at first: out of the budget, the sums and the month's free hour."""
    text = f'[budget.won]\namount = "100000 KRW"\n{SERVER}free = 1\n{WON}'
    w = world(text, "2026-11-03 12:00")
    begun = w.now
    w.start("box")
    w.tick(after=5 * HOUR)
    w.stop("box")
    assert w.cost("box") == 4 * 2450 * NANO
    assert not w.stop("box").changed
    found = w.stop("box", ago=3 * HOUR)
    assert found.changed
    assert found.run.stopped_at == found.run.accounted_until == begun + 2 * HOUR
    assert w.cost("box") == 2450 * NANO == w.value("select sum(spent) from budget_period")
    assert_tiled([e for e in w.events() if e["duration_us"]], [(begun, begun + 2 * HOUR)])
    kit.assert_sums_agree(w.home)
    assert not w.stop("box", ago=2 * HOUR).changed  # it ended before that
    with pytest.raises(ConfigError, match="started only at"):
        w.stop("box", ago=6 * HOUR)
    w.start("box", ago=HOUR)
    w.stop("box")
    assert w.cost("box") == 2 * 2450 * NANO


def test_only_the_last_that_was_accounted_and_not_long_ago_is_shortened(world):
    w = world(SERVER, "2026-11-03 12:00")
    w.start("box", ago=3 * HOUR)
    w.stop("box", ago=HOUR)
    w.tell("box", 6 * HOUR, 5 * HOUR)
    with pytest.raises(ConfigError, match=r"another run of box was told of after the one that ended at"):
        w.stop("box", ago=2 * HOUR)
    assert w.cost("box") == 3 * 2450 * NANO
    w.now += 10 * DAY
    with pytest.raises(ConfigError, match=r"a run that is over ends at .* or later"):
        w.stop("box", ago=10 * DAY + 2 * HOUR)
    assert w.amount("box") == 3 * 3600


def test_a_start_of_long_ago_is_asked_for(world):
    """A typing error in the year could not be taken back."""
    w = world(SERVER, "2026-11-23 12:00")
    with pytest.raises(ConfigError, match=r"is more than 10 days ago, .* add --yes"):
        w.start("box", ago=365 * DAY)
    assert w.rows("select * from meter_run") == []
    assert w.start("box", ago=10 * DAY).changed


def test_only_what_runs_by_hand_is_started_by_hand(world):
    w = world(ON + '[resource.max]\nkind = "flat"\nprice = "20 USD"\nper = "month"\n')
    with pytest.raises(ConfigError, match="box needs no start and stop: it is always on"):
        w.start("box")
    with pytest.raises(ConfigError, match="max needs no start and stop: it is a subscription"):
        w.stop("max")
    with pytest.raises(ConfigError, match=r'no resource is named "x y" \(there are: box, max\)'):
        w.start("x y")


def test_begun_hours_are_billed_whole_and_never_twice(world):
    w = world(SERVER.replace("2450 KRW", "1 USD") + "increment_s = 3600\n")
    w.start("box")
    for _ in range(13):
        w.tick(after=5 * MINUTE)
    assert [e["amount"] for e in w.events()] == [3600, 0, 0, 0]  # 65 minutes: four quarter hours are over
    assert w.status("box").ahead == (NANO, "USD")  # the second hour has begun
    w.now -= 5 * MINUTE - SECOND
    w.stop("box")  # 3601 s
    assert w.amount("box") == 7200
    assert w.cost("box") == 2 * NANO
    w.start("box")
    w.now += SECOND
    w.stop("box")
    assert w.cost("box") == 3 * NANO


def test_a_run_of_no_length_is_none(world):
    w = world(SERVER)
    w.start("box")
    assert w.stop("box").run is None
    assert w.value("select count(*) from meter_run") == 0


def test_a_finer_step_in_the_middle_of_a_run_bills_no_hour_again(world):
    w = world(SERVER.replace("2450 KRW", "1 USD") + "increment_s = 3600\n")
    w.start("box")
    w.tick(after=2 * SLOT)
    w.configure(SERVER.replace("2450 KRW", "1 USD"))
    w.tick()
    w.tick(after=2 * SLOT)
    assert w.amount("box") == 3600


def test_the_same_world_under_a_year_of_silence_shows_what_waits(tmp_path):
    w = World(tmp_path / "w", ON)
    w.tick()
    w.now += 365 * DAY
    assert w.status("box").ahead == (365 * 24 * 2450 * NANO, "KRW")
    w.close()


def test_processes_that_account_at_the_same_moment_share_the_work(tmp_path):
    w = World(tmp_path / "w", f'[budget.won]\namount = "9000000 KRW"\n{ON}{WON}')
    w.tick()
    begun, home = w.now, str(w.home)
    w.close()

    def account() -> int:
        store = open_ledger(home)
        for step in range(12):
            Collector().collect(store.db, begun + (step + 1) * 2 * SLOT)
        store.close()
        return 0

    waiting = [kit.forked(account) for _ in range(3)]
    assert [wait() for wait in waiting] == [0, 0, 0]
    w.restart()
    assert_tiled(w.events(), [(begun, begun + 24 * SLOT)])
    assert w.cost("box") == 6 * 2450 * NANO
    kit.assert_sums_agree(home)
    w.close()


def test_a_run_that_was_forgotten_is_told_of_between_others(world):
    """The month's first free hour is crossed once, and the sum is that of all hours, whatever their order."""
    w = world(f'[budget.won]\namount = "100000 KRW"\n{SERVER}free = 1\n{WON}', "2026-11-03 12:00")
    w.start("box", ago=9 * HOUR)
    w.stop("box", ago=8 * HOUR)
    w.start("box", ago=2 * HOUR)
    with pytest.raises(ConfigError, match=r"box runs since .*; stop it first, then tell of the run before"):
        w.tell("box", 6 * HOUR, 4 * HOUR)
    w.tick()
    w.stop("box", ago=HOUR)
    assert w.tell("box", 6 * HOUR, 4 * HOUR).changed
    assert not w.tell("box", 6 * HOUR, 4 * HOUR).changed
    assert_tiled(
        [e for e in w.events() if e["duration_us"]],
        [
            (w.now - 9 * HOUR, w.now - 8 * HOUR),
            (w.now - 6 * HOUR, w.now - 4 * HOUR),
            (w.now - 2 * HOUR, w.now - HOUR),
        ],
    )
    assert (w.amount("box"), w.cost("box")) == (4 * 3600, 3 * 2450 * NANO)
    assert w.value("select spent from budget_period where spent > 0") == 3 * 2450 * NANO
    assert w.status("box").amount == 4
    kit.assert_sums_agree(w.home)


def test_a_run_told_of_later_overlaps_nothing_and_is_not_of_long_ago(world):
    w = world(SERVER, "2026-11-23 12:00")
    w.start("box", ago=3 * HOUR)
    w.stop("box", ago=2 * HOUR)
    for begun, ended in ((4, 2.5), (2.5, 1), (4, 1), (2.75, 2.5)):
        with pytest.raises(ConfigError, match=r"box ran from .* already; leave that time out"):
            w.tell("box", int(begun * HOUR), int(ended * HOUR))
    with pytest.raises(ConfigError, match="too long ago; a run that is told of later starts at"):
        w.tell("box", 11 * DAY, 10 * DAY)
    with pytest.raises(ConfigError, match="cannot have run until"):
        w.tell("box", HOUR, HOUR)
    with pytest.raises(ConfigError, match="lies ahead"):
        w.tell("box", HOUR, -HOUR)
    w.store.db.execute("insert into price_lock values (1, ?, 'billed', 'me', 0, null)", (w.now - 5 * HOUR,))
    with pytest.raises(ConfigError, match=r"the bill up to .* is locked"):
        w.tell("box", 6 * HOUR, 4 * HOUR)
    assert w.tell("box", 5 * HOUR, 4 * HOUR).changed
    assert w.cost("box") == 2 * 2450 * NANO


def test_the_collector_says_while_it_is_catching_up(world):
    """What a budget has used is not known before."""
    w = world(ON)
    assert not w.collector.behind
    w.tick()
    w.tick(after=30 * DAY)
    assert w.collector.behind
    ticks = 1
    while w.collector.behind:
        w.tick()
        ticks += 1
    assert ticks == 3  # 2,880 quarter hours
    assert w.amount("box") == 30 * 86_400
    w.tick()
    assert not w.collector.behind


# --- as it is shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said", "each"),
    [
        ('kind = "storage"\ngib = 50\nper = "GiB-month"\nmonth = "calendar"', "35.1042 GiB-month", "0.023"),
        ('kind = "storage"\ngib = 50\nper = "GB-month"', "37.1765 GB-month", "0.023"),
        ('kind = "time"\nalways_on = true\nper = "hour"', "505.5 h", "0.023"),
        ('kind = "time"\nalways_on = true\nper = "day"', "21.0625 d", "0.5"),
        ('kind = "flat"\nper = "month"', "0.702083 months", "20"),
        ('kind = "transfer"\ngb = 100\nper = "GB"', "70.2083 GB", "0.09"),
    ],
)
def test_an_amount_times_its_price_is_what_it_cost(world, body, said, each):
    """In what the price is per, by the month the price is spread over."""
    w = world(f'[resource.it]\n{body}\nprice = "{each} USD"\nsince = 2026-11-01\n')
    w.now += 505 * HOUR + 30 * MINUTE
    w.catch_up()
    status = w.status("it")
    assert amount_text(status) == said
    assert abs(status.amount * Decimal(each) - Decimal(status.cost.nano).scaleb(-9)) < Decimal("1e-8")
    shown = resource_json(status)
    assert shown["unit"] == said.split()[1].removesuffix("s")
    assert (shown["used"]["count"], shown["used"]["unit"]) == (str(w.amount("it")), w.events()[0]["unit"])


def test_a_month_in_two_currencies_shows_both(world):
    w = world(ON)
    w.tick()
    w.tick(after=2 * HOUR)
    w.configure(ON.replace("2450 KRW", "1.50 USD"))
    w.tick()
    w.tick(after=HOUR)
    status = w.status("box")
    assert (status.cost, status.others) == ((1_500_000_000, "USD"), ((4900 * NANO, "KRW"),))
    assert "3 h this month, $1.50 + ₩4,900" in resource_line(status)
    assert resource_json(status)["costs"] == [
        {"amount": "1.5", "currency": "USD"},
        {"amount": "4900", "currency": "KRW"},
    ]


def test_low_and_high_are_told(world):
    """What is not accounted yet may come; what has no price, nobody can bound."""
    w = world(ON)
    w.tick()
    w.tick(after=HOUR + 6 * MINUTE)
    status = w.status("box")
    assert (status.low, status.high) == ((2450 * NANO, "KRW"), (2695 * NANO, "KRW"))
    w = world('[resource.vm]\nkind = "time"\nalways_on = true\nprice_of = "none"\n')
    w.tick()
    w.tick(after=HOUR)
    assert (w.status("vm").low, w.status("vm").high) == (None, None)
    assert "its cost is unknown, and budgets count nothing for it" in w.status("vm").problem


def test_a_subscription_without_since_says_from_when_it_counts(world):
    plan = '[resource.max]\nkind = "flat"\nprice = "20 USD"\nper = "month"\n'
    w = world(plan, "2026-11-22 08:00", "Asia/Seoul")
    w.tick()
    note = "counted since 2026-11-22; since = 2026-11-01 in config.toml counts the whole month"
    assert w.status("max").note == note
    w.configure(plan + "since = 2026-11-01\n")
    w.tick()
    w.catch_up()
    assert w.status("max").note == ""
    w.configure(plan)
    w.now = at("2026-12-01 00:00", "Asia/Seoul")
    w.catch_up()
    assert w.cost("max") == 20 * NANO
    assert w.status("max").note == ""
