"""What is old leaves the ledger a little at a time, and no sum of a day changes by a nano."""

from __future__ import annotations

import pytest

from costmon import config
from costmon.errors import ConfigError
from costmon.monitor.compile import compile_config
from costmon.monitor.reprice import RepriceError, Scope, reprice, revert, runs
from costmon.monitor.reprice.forgetting import Forgetting
from costmon.shim.calls import Outcome
from costmon.shim.recorder import Recorder
from costmon.store import open_ledger
from costmon.store.retention import Cutoffs, cutoffs, prune
from tests.shim.battery import kit

DAY = 86_400_000_000
NOW = 1_795_219_200_000_000 + DAY // 2  # 2026-11-21 12:00 UTC


class Home:
    """A ledger whose clock the test sets."""

    def __init__(self, path) -> None:
        self.at = NOW
        self.store = open_ledger(str(path))
        self.store.now = lambda: self.at
        self.recorder = Recorder(str(path))
        self.recorder.ledger.now = lambda: self.at

    def config(self, text: str) -> None:
        compile_config(self.store.db, config.parse(text.encode(), "config.toml"), self.at)

    def call(self, days_ago: int, count: int = 1) -> None:
        for _ in range(count):
            self.at = NOW - days_ago * DAY
            held = self.recorder.admit(kit.llm())
            self.recorder.settle(held, Outcome("ok", usage={"input_tokens": 1000, "output_tokens": 100}))
            self.at = NOW

    def count(self, table: str) -> int:
        return int(self.store.db.execute(f"select count(*) from {table}").fetchone()[0])

    def days(self):
        return self.store.db.execute("select * from rollup_day order by 1, 2, 3").fetchall()


@pytest.fixture
def home(costmon_home):
    made = Home(costmon_home)
    yield made
    made.recorder.ledger.close()
    made.store.close()


def test_events_go_after_90_days_and_the_sums_of_days_stay(home):
    for ago in (0, 89, 91, 200):
        home.call(ago, 3)
    days = home.days()
    assert Forgetting().forget(home.store, 5.0) is False
    assert home.count("event") == 6
    assert home.count("rollup_quarter") == 2
    assert home.days() == days
    assert sum(row[7] for row in home.days()) == 12


def test_the_sums_of_days_go_after_a_year(home):
    for ago in (0, 364, 367, 500):
        home.call(ago)
    Forgetting().forget(home.store, 5.0)
    assert [(NOW - row[0]) // DAY for row in home.days()] == [364, 0]


def test_nothing_goes_when_all_is_kept_for_ever(home):
    home.config("[retention]\nevents = 0\naggregates = 0\n")
    home.call(4000)
    Forgetting().forget(home.store, 5.0)
    assert (home.count("event"), home.count("rollup_quarter"), home.count("rollup_day")) == (1, 1, 1)


def test_a_running_period_and_the_month_of_a_budget_to_come_stay_whole(home):
    """With two weeks' detail kept, a budget set today still counts what this month has seen."""
    home.config("[retention]\nevents = 14\naggregates = 14\n")
    for ago in (2, 20, 30):
        home.call(ago)  # the 19th, the 1st, and October 22
    Forgetting().forget(home.store, 5.0)
    assert home.count("event") == 2
    assert len(home.days()) == 2


def test_little_at_a_time_and_once_an_hour(home):
    home.call(100, 5)
    at = cutoffs(home.store.db, NOW, 90, 365, NOW)
    for left in (3, 1):
        home.store.db.execute("begin immediate")
        assert prune(home.store.db, at, 2).more
        home.store.db.execute("commit")
        assert home.count("event") == left
        assert home.count("rollup_quarter") == 1  # not before the last of its events
    forgetting = Forgetting()
    assert forgetting.forget(home.store, 5.0) is False
    home.call(100)
    assert forgetting.forget(home.store, 5.0) is False
    assert home.count("event") == 1


def test_what_an_unfinished_repricing_has_touched_stays(home):
    home.call(100, 2)
    home.store.db.execute("update catalog set models = replace(models, '\"0.15\"', '\"9\"'), version = 'new'")
    run = reprice(home.store, "correction", Scope(), reason="r", by="me")
    assert run.events == 2
    home.store.db.execute("update reprice_run set state = 'running'")
    days = home.days()
    Forgetting().forget(home.store, 5.0)
    assert home.count("event") == 2
    home.store.db.execute("update reprice_run set state = 'done'")
    Forgetting().forget(home.store, 5.0)
    assert (home.count("event"), home.count("cost_revision")) == (0, 0)
    assert home.days() == days
    assert runs.interrupted(home.store.db) is None


BUDGETS = (
    '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2020-01-01\n'
    '[budget.total]\namount = "9 USD"\nperiod = "day"\n[budget.won]\namount = "9000 KRW"\nperiod = "day"\n'
)


def dearer(home, price: str, now: str) -> None:
    home.store.db.execute("update catalog set models = replace(models, ?, ?), version = ?", (price, now, now))
    home.store.db.execute("update setting set value = value + 1 where key = 'generation'")


def budgets(home):
    return home.store.db.execute("select * from budget_period order by 1, 2").fetchall()


def take_back(home, run) -> runs.Run:
    return revert(home.store, run.id, reason="r", by="me")


def forget(home, count: int) -> None:
    """The `count` oldest events go."""
    left = home.count("event") - count
    home.store.db.execute("begin immediate")
    prune(home.store.db, Cutoffs(NOW, 0), count)
    home.store.db.execute("commit")
    assert home.count("event") == left


@pytest.mark.parametrize("gone", [1, 3, 5, 6])
def test_a_run_is_taken_back_to_the_nano_though_its_events_are_gone(home, gone):
    home.config(BUDGETS)
    for ago in (100, 99, 98):
        home.call(ago, 2)
    days, spent = home.days(), budgets(home)
    dearer(home, '"0.15"', '"9.75"')
    run = reprice(home.store, "correction", Scope(), reason="oops", by="me")
    assert run.events == 6
    assert home.days() != days
    assert budgets(home) != spent
    forget(home, gone)
    done = take_back(home, run)
    assert (home.days(), budgets(home)) == (days, spent)
    assert (done.events, done.old_total, done.new_total) == (6, run.new_total, run.old_total)
    assert runs.run_of(home.store.db, run.id).state == "reverted"
    assert (home.count("revision_day"), home.count("revision_rest")) == (0, 0)


def test_runs_upon_runs_are_taken_back_in_turn(home):
    """One after the other though the events are gone, and never out of turn."""
    home.call(100, 3)
    said = [home.days()]
    made = []
    for before, now in (('"0.15"', '"9.75"'), ('"9.75"', '"3.25"')):
        dearer(home, before, now)
        made.append(reprice(home.store, "correction", Scope(), reason="r", by="me"))
        said.append(home.days())
    forget(home, 3)
    with pytest.raises(RepriceError, match="3 of its events were repriced again by run 2; revert that first"):
        take_back(home, made[0])
    assert home.days() == said[2]
    take_back(home, made[1])
    assert home.days() == said[1]
    take_back(home, made[0])
    assert home.days() == said[0]


def test_a_currency_is_taken_back_too(home):
    """The dollars come back, and the won's row goes."""
    home.call(100, 2)
    days = home.days()
    home.store.db.execute(
        'update catalog set models = replace(models, \'"prices"\', \'"currency":"KRW","prices"\')'
    )
    home.store.db.execute("update setting set value = value + 1 where key = 'generation'")
    run = reprice(home.store, "correction", Scope(), reason="r", by="me")
    assert {row[6] for row in home.days()} == {"KRW"}
    forget(home, 2)
    take_back(home, run)
    assert home.days() == days


def test_a_locked_day_stays_though_its_events_are_gone(home):
    for ago in (100, 98):
        home.call(ago)
    days = home.days()
    dearer(home, '"0.15"', '"9.75"')
    run = reprice(home.store, "correction", Scope(), reason="r", by="me")
    wrong = home.days()
    forget(home, 2)
    runs.lock_until(home.store.db, NOW - 99 * DAY, reason="paid", by="me", now=NOW)
    done = take_back(home, run)
    assert home.days() == [wrong[0], days[1]]
    assert done.report.reasons() == {"locked": 1}
    assert runs.run_of(home.store.db, run.id).state == "done"
    runs.unlock(home.store.db, NOW)
    assert take_back(home, run).events == 1
    assert home.days() == days


def test_days_that_are_no_longer_summed_do_not_come_back(home):
    home.call(500)
    home.call(0)
    dearer(home, '"0.15"', '"9.75"')
    run = reprice(home.store, "correction", Scope(), reason="r", by="me")
    Forgetting().forget(home.store, 5.0)
    assert [(NOW - row[0]) // DAY for row in home.days()] == [0]
    take_back(home, run)
    assert [(NOW - row[0]) // DAY for row in home.days()] == [0]
    assert home.count("revision_rest") == 0


def test_a_long_log_of_repricings_does_not_hold_the_ledger(home):
    """Each event is looked up in it; nothing reads all of it."""
    home.call(100, 20)
    dearer(home, '"0.15"', '"9.75"')
    reprice(home.store, "correction", Scope(), reason="r", by="me")
    home.store.db.execute(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)"
        " insert into cost_revision select 1, 'other' || i, 1, 'USD', 'priced', '', 1, '[]' from n"
    )
    steps = []
    home.store.db.set_progress_handler(lambda: steps.append(1) and None, 1000)
    forget(home, 20)
    home.store.db.set_progress_handler(None, 0)
    assert len(steps) < 200


def test_a_lost_event_is_no_revert(home):
    """Nothing says 'reverted' that was not."""
    home.call(100)
    dearer(home, '"0.15"', '"9.75"')
    run = reprice(home.store, "correction", Scope(), reason="r", by="me")
    home.store.db.execute("delete from event")
    with pytest.raises(RepriceError, match="the ledger has lost event"):
        take_back(home, run)
    assert runs.run_of(home.store.db, run.id).state == "done"


def test_what_a_late_stop_needs_is_kept_whatever_a_setting_says(home):
    home.call(10)
    home.call(13)
    kept = cutoffs(home.store.db, NOW, 1, 365, NOW)
    home.store.db.execute("begin immediate")
    prune(home.store.db, kept)
    home.store.db.execute("commit")
    assert [(NOW - at) // DAY for (at,) in home.store.db.execute("select created_at from event")] == [10]


def test_cutoffs_never_reach_into_a_budgets_period(home):
    home.config('[budget.total]\namount = "9 USD"\nperiod = "month"\n')
    assert cutoffs(home.store.db, NOW, 3, 3, NOW) == Cutoffs(
        NOW - DAY // 2 - 20 * DAY, NOW - DAY // 2 - 20 * DAY
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("events = -1", "retention.events must be a whole number from 0 to 36,500"),
        ("events = 400", r"retention.aggregates must be at least events \(400 days\), or 0 for ever"),
        ("events = 1", r"retention.events must be at least 14 \(days\), or 0 for ever"),
        ("events = 0", "retention.aggregates must be 0"),
        ("days = 3", "retention.days is not a setting"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(text, problem):
    with pytest.raises(ConfigError, match=problem):
        config.parse(f"[retention]\n{text}\n".encode(), "config.toml")


def test_settings_are_read():
    found = config.parse(b"[retention]\nevents = 30\naggregates = 0\n", "config.toml").retention
    assert (found.events, found.aggregates) == (30, 0)
