"""Past calls priced anew: exactly what a fresh capture would say, all of it on the record, and none of it lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from costmon import config
from costmon.monitor.compile import compile_config
from costmon.monitor.engine import Engine
from costmon.monitor.prices import compile_prices
from costmon.monitor.reprice import RepriceError, Scope, preview, reprice, resume, revert, runs, work
from costmon.monitor.reprice.cards import Asked, Cards
from costmon.monitor.reprice.judge import REASONS
from costmon.shim import policy
from costmon.shim.calls import Outcome
from costmon.shim.prices import Prices
from costmon.shim.recorder import Recorder
from costmon.store import Store, open_ledger
from tests.harness.cli import environ
from tests.shim.battery import kit
from tests.sources.kit import World

HOUR = 3_600_000_000
DAY = 24 * HOUR
KINDS = ("event", "rollup_quarter", "rollup_day", "budget_period")
TOTAL = """select sum(spent), sum(assumed), sum(unpriced) from budget_period join budget on id = budget_id
    where name = 'total'"""
RATE = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2020-01-01\n'
BUDGETS = RATE + (
    '[budget.total]\namount = "900 USD"\nat_95 = "warn"\nat_100 = "warn"\n'
    '[budget.won]\namount = "900000 KRW"\nat_95 = "warn"\nat_100 = "warn"\n'
)


@pytest.fixture
def store(costmon_home):
    ledger = open_ledger(str(costmon_home))
    compile_config(ledger.db, config.parse(BUDGETS.encode(), "config.toml"), ledger.now())
    yield ledger
    ledger.close()


@pytest.fixture
def recorder(store):
    made = Recorder(store.home)
    yield made
    made.ledger.close()


def price(store: Store, text: str) -> None:
    """Write prices.toml and compile it."""
    path = Path(store.home, "prices.toml")
    path.write_text("schema = 1\n" + text)
    os.utime(path, ns=(store.now() * 1000, store.now() * 1000))
    compile_prices(store)
    assert dict(store.db.execute("select key, value from setting"))["prices_error"] == ""


def model_price(model: str, each: str, currency: str = "USD", more: str = "") -> str:
    return (
        f'[[price]]\nprovider = "openai"\nmodel = "{model}"\ncurrency = "{currency}"\n{more}'
        f"[[price.rate]]\ninput = {each}\noutput = {each}\n"
    )


def call(recorder: Recorder, asked: str = "gpt-4o-mini", count: int = 1, **outcome: object) -> None:
    for _ in range(count):
        held = recorder.admit(kit.llm(asked, provider=str(outcome.get("provider", "openai"))))
        assert held is not None
        fields = {"usage": {"input_tokens": 1000, "output_tokens": 100}, **outcome}
        fields.pop("provider", None)
        recorder.settle(held, Outcome(str(fields.pop("kind", "ok")), **fields))  # type: ignore[arg-type]


def dump(store: Store) -> dict[str, list[object]]:
    return {table: store.db.execute(f"select * from {table}").fetchall() for table in KINDS}


def costs(store: Store) -> list[tuple[object, ...]]:
    return store.db.execute("select cost, currency, cost_status from event order by id").fetchall()


def run_all(store: Store, **scope: object):
    return reprice(store, "correction", Scope(**scope), reason="test", by="me")  # type: ignore[arg-type]


def test_repricing_right_after_capture_changes_nothing(store, recorder):
    """Every way a call is priced is found again: other names, tiers, windows, hosts, what was cut off or is free."""
    price(
        store,
        '[[alias]]\nprovider = "azure"\nmatch = "prod-chat-*"\nto = "azure:gpt-4o"\n'
        + model_price("house", "3"),
    )
    call(recorder)
    call(recorder, "gpt-4o", model="gpt-4o-2024-08-06")
    call(recorder, "house")
    call(recorder, "house-asked", model="gpt-4o")  # a deployment's name; the answer tells the model
    call(recorder, "o3", service_tier="flex")
    call(recorder, "gpt-4o", service_tier="batch")
    call(recorder, "gpt-4o", service_tier="never-heard-of")
    call(recorder, "gpt-4o", usage={"input_tokens": 10, "web_searches": 2, "input_audio_tokens": 4})
    call(recorder, "gpt-4o", usage={"input_tokens": 10, "cache_read_tokens": 90})  # contradicts itself
    call(recorder, "nobody-knows-it")
    call(recorder, "gpt-4o", kind="dropped", estimated=True, at_least_reserved=True)
    call(recorder, "gpt-4o", estimated=True)
    call(recorder, "gpt-4o", kind="error", charged=False, usage=None)
    call(recorder, "gpt-4o", cost=77)
    call(recorder, "gpt-4o", usage=None)
    for model, host in (
        ("claude-sonnet-4-5", "proxy.example"),
        ("mistral/mistral-large-latest", "proxy.example:4000"),
    ):
        held = recorder.admit(kit.llm(model, endpoint=host, anywhere=True))
        recorder.settle(held, Outcome("ok", usage={"input_tokens": 900, "output_tokens": 90}))
    held = recorder.admit(kit.llm("prod-chat-7", provider="azure", endpoint="x.openai.azure.com"))
    recorder.settle(held, Outcome("ok", usage={"input_tokens": 900, "output_tokens": 90}))
    held = recorder.admit(kit.llm("deepseek-v4-pro", provider="deepseek", family="openai"))
    recorder.settle(held, Outcome("ok", usage={"input_tokens": 900, "output_tokens": 90}))
    before = dump(store)
    priced = store.db.execute("select count(*) from event where cost > 0").fetchone()[0]
    assert priced >= 14
    found = preview(store, Scope(allow_unknown=True))
    assert not found.groups
    assert found.unchanged + sum(found.reasons().values()) == len(before["event"])
    assert found.reasons() == {"held": 1, "unbilled": 1, "stated": 1, "no usage": 1, "unknown": 1}
    run_all(store, allow_unknown=True)
    assert dump(store) == before


def test_cards_of_any_instant_are_the_shims(store):
    """One look-up serves a whole stretch of time: at no instant is it another card than the shim's."""
    import random

    chance, db = random.Random(7), store.db
    names = [
        (provider, entry["id"])
        for provider, text in db.execute("select provider, models from catalog")
        for entry in json.loads(text)
        if any("from" in row or "until" in row or "time" in row or "week" in row
               for row in (*entry.get("prices", ()), *entry.get("variants", ())))
    ]  # fmt: skip
    windows = [name for name in names if name[0] == "deepseek"]
    rules, first = policy.load(db), 1_735_689_600_000_000
    cards, shim = Cards(db, rules), Prices()
    compared = 0
    for provider, model in [*windows[:8], *chance.sample(names, 60)]:
        for tier in ("", "flex", "batch"):
            for _ in range(12):
                at = first + chance.randrange(24 * 30 * DAY)
                asked = Asked(provider, model, tier or None, "chat", "api.openai.com", None)
                wanted = shim.card(db, provider, model, at, tier, anywhere=False)
                assert cards.card(asked, at) == wanted, (provider, model, tier, at)
                compared += wanted is not None
    assert compared > 500


def test_a_corrected_price_moves_events_sums_and_budgets(store, recorder):
    """1,000 + 100 tokens at $2 a million instead of $0.15 and $0.60."""
    call(recorder, count=3)
    price(store, model_price("gpt-4o-mini", "2"))
    run = run_all(store)
    assert costs(store) == [(2_200_000, "USD", "priced")] * 3
    assert (run.events, run.old_total, run.new_total) == (3, {"USD": 630_000}, {"USD": 6_600_000})
    spent = dict(
        store.db.execute(
            "select name, spent from budget join budget_period on id = budget_id where spent > 0"
        )
    )
    assert spent == {"total": 6_600_000, "won": 6_600_000 * 1400}
    assert store.db.execute("select sum(cost), sum(calls) from rollup_day").fetchone() == (6_600_000, 3)
    version = store.db.execute("select distinct price_version from event").fetchone()[0]
    digest = version.rpartition(":")[2]
    assert store.db.execute("select count(*) from rate_card where hash = ?", (digest,)).fetchone()[0] == 1


def test_a_price_in_another_currency_charges_budgets_by_the_day(store, recorder):
    """A card in won: the budget in won is charged to the nano, the one in dollars by the rate of the call's day."""
    call(recorder)
    price(store, model_price("gpt-4o-mini", "2800", "KRW"))
    before = dump(store)
    run = run_all(store)
    won = 1100 * 2_800_000
    assert costs(store) == [(won, "KRW", "priced")]
    spent = dict(
        store.db.execute(
            "select name, spent from budget join budget_period on id = budget_id where spent > 0"
        )
    )
    assert spent == {"total": won // 1400, "won": won}
    assert store.db.execute("select currency, sum(cost), sum(calls) from rollup_day").fetchall() == [
        ("KRW", won, 1)
    ]
    assert run.old_total == {"USD": 210_000}
    revert(store, run.id, reason="back", by="me")
    assert dump(store) == before


def test_an_unknown_price_becomes_known_and_assumed_money_real(store, recorder):
    """What was assumed leaves the budget, what it did cost enters it."""
    call(recorder, "house")
    before = dump(store)
    assumed = TOTAL
    assert store.db.execute(assumed).fetchone()[2] == 1
    price(store, model_price("house", "2"))
    run = reprice(store, "unknown", Scope(only_unknown=True), reason="r", by="me")
    assert store.db.execute(assumed).fetchone() == (2_200_000, 0, 0)
    assert costs(store) == [(2_200_000, "USD", "priced")]
    revert(store, run.id, reason="back", by="me")
    assert dump(store) == before


def test_a_price_that_is_gone_leaves_the_cost_unless_allowed(store, recorder):
    price(store, model_price("house", "2"))
    call(recorder, "house")
    price(store, model_price("other", "2"))
    assert run_all(store).report.reasons() == {"gone": 1}
    assert costs(store)[0][0] == 2_200_000
    before = dump(store)
    run = run_all(store, allow_unknown=True)
    assert costs(store) == [(None, "USD", "unknown")]
    spent, assumed, unpriced = store.db.execute(TOTAL).fetchone()
    assert (spent, unpriced) == (0, 1)
    assert assumed > 0  # as the dearest model of the provider
    revert(store, run.id, reason="back", by="me")
    assert dump(store) == before


def test_locked_periods_keep_their_cost_in_both_directions(store, recorder):
    call(recorder)
    price(store, model_price("gpt-4o-mini", "2"))
    runs.lock_until(store.db, store.now(), reason="paid", by="me", now=store.now())
    call(recorder)
    price(store, model_price("gpt-4o-mini", "3"))
    run = run_all(store)
    assert [row[0] for row in costs(store)] == [210_000, 3_300_000]
    assert run.report.reasons() == {"locked": 1}
    runs.lock_until(store.db, store.now(), reason="paid too", by="me", now=store.now())
    taken = revert(store, run.id, reason="back", by="me")
    assert (taken.events, taken.report.reasons()) == (0, {"locked": 1})
    assert [row[0] for row in costs(store)] == [210_000, 3_300_000]
    assert len(runs.unlock(store.db, store.now())) == 2
    revert(store, run.id, reason="back", by="me")
    assert [row[0] for row in costs(store)] == [210_000, 2_200_000]


def test_runs_are_taken_back_once_and_newest_first(store, recorder):
    call(recorder, count=2)
    price(store, model_price("gpt-4o-mini", "2"))
    first = run_all(store)
    price(store, model_price("gpt-4o-mini", "3"))
    second = run_all(store)
    with pytest.raises(
        RepriceError, match=r"2 of its events were repriced again by run 2; revert that first"
    ):
        revert(store, first.id, reason="back", by="me")
    third = revert(store, second.id, reason="back", by="me")
    with pytest.raises(RepriceError, match="run 2 is reverted already"):
        revert(store, second.id, reason="back", by="me")
    with pytest.raises(RepriceError, match="run 3 took run 2 back"):
        revert(store, third.id, reason="back", by="me")
    revert(store, first.id, reason="back", by="me")
    assert [row[0] for row in costs(store)] == [210_000] * 2
    assert [(run.kind, run.state) for run in runs.runs(store.db)] == [
        ("revert", "done"),
        ("revert", "done"),
        ("correction", "reverted"),
        ("correction", "reverted"),
    ]


def test_a_budget_that_came_since_is_charged_right_after_a_revert(store, recorder):
    """It adopted the call at its corrected cost; taking that back takes it back there too."""
    call(recorder)
    price(store, model_price("gpt-4o-mini", "2"))
    run = run_all(store)
    later = BUDGETS + '[budget.late]\namount = "900 USD"\n'
    compile_config(store.db, config.parse(later.encode(), "config.toml"), store.now())
    spent = "select spent from budget_period join budget on id = budget_id where name = 'late' and calls > 0"
    assert store.db.execute(spent).fetchone() == (2_200_000,)
    revert(store, run.id, reason="back", by="me")
    assert store.db.execute(spent).fetchone() == (210_000,)
    kit.assert_sums_agree(store.home)


def test_what_others_write_in_between_is_not_lost(store, recorder, monkeypatch):
    """While a batch is judged, a new budget adopts its calls and another call comes in: both are counted."""
    call(recorder, count=5)
    price(store, model_price("gpt-4o-mini", "2"))
    other, plain, fired = open_ledger(store.home), work.read, []

    def read_slowly(*arguments: object):
        found = plain(*arguments)
        if not fired:
            fired.append(True)
            later = BUDGETS + '[budget.late]\namount = "900 USD"\n'
            compile_config(other.db, config.parse(later.encode(), "config.toml"), other.now())
            call(recorder)
        return found

    monkeypatch.setattr(work, "read", read_slowly)
    assert run_all(store).events == 5
    assert fired
    other.close()
    late = "select spent, calls from budget_period join budget on id = budget_id where name = 'late' and calls > 0"
    assert store.db.execute(late).fetchone() == (6 * 2_200_000, 6)
    kit.assert_sums_agree(store.home)


KILLED = """
import os, signal, sys
from costmon.monitor.reprice import Scope, reprice, revert, work
from costmon.store import open_ledger
work.BATCH = 10
def told(run):
    if run.events >= 30:
        os.kill(os.getpid(), signal.SIGKILL)
store = open_ledger(sys.argv[1])
if sys.argv[2] == "reprice":
    reprice(store, "correction", Scope(), reason="killed", by="me", told=told)
else:
    revert(store, int(sys.argv[2]), reason="killed", by="me", told=told)
"""


def killed(store: Store, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, store.home, what],
        env=environ(store.home, PYTHONPATH=str(kit.PACKAGE)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("how", ["continue", "revert"])
def test_a_run_killed_in_the_middle_is_finished_or_taken_back(store, recorder, how):
    """Every whole batch is there with its sums; nothing is half."""
    call(recorder, count=70)
    before = dump(store)
    price(store, model_price("gpt-4o-mini", "2"))
    killed(store, "reprice")
    (run,) = runs.runs(store.db)
    assert (run.state, run.events) == ("running", 30)
    kit.assert_sums_agree(store.home)
    with pytest.raises(RepriceError, match="run 1 was stopped in the middle"):
        run_all(store)
    if how == "continue":
        assert resume(store, 1).events == 70
        assert {row[0] for row in costs(store)} == {2_200_000}
        with pytest.raises(RepriceError, match="nothing to continue"):
            resume(store, 1)
    else:
        killed(store, "1")
        with pytest.raises(RepriceError, match="costmon reprice continue 2"):
            resume(store, 1)
        assert revert(store, 1, reason="back", by="me").state == "done"
        assert dump(store) == before
    kit.assert_sums_agree(store.home)
    assert runs.interrupted(store.db) is None


def test_two_at_once_are_refused(store, recorder):
    with runs.alone(store.home), pytest.raises(RepriceError, match="another process is repricing"):
        run_all(store)


def test_the_engine_prices_unknown_calls_and_no_others(costmon_home, store, recorder):
    """A price that became known is applied by itself, in the log; a price that changed is not."""
    call(recorder, "house", count=3)
    call(recorder)
    engine = Engine(str(costmon_home))
    try:
        engine.tick()
        assert runs.runs(store.db) == []
        price(store, model_price("house", "2") + model_price("gpt-4o-mini", "9"))
        engine._chores_at = -99.0
        engine.tick()
        (run,) = runs.runs(store.db)
        assert (run.kind, run.by, run.reason, run.events, run.state) == (
            *("unknown", "costmon", "price became known", 3, "done"),
        )
        assert [row[0] for row in costs(store)] == [2_200_000] * 3 + [210_000]
        revert(store, run.id, reason="no", by="me")
        engine._chores_at = -99.0
        engine.tick()
        assert costs(store)[0][0] is None  # what a person took back stays so until the prices change again
    finally:
        engine.close()


def test_the_operators_price_for_the_name_that_was_asked_holds(store, recorder):
    """An answer names a dated snapshot; a price in prices.toml for the name that was asked comes before the base's."""
    price(store, model_price("gpt-4o", "1"))
    recorder._transactions.forget()
    call(recorder, "gpt-4o", model="gpt-4o-2024-08-06")
    call(recorder, "gpt-4o", model="another-name-of-it")
    assert costs(store) == [(1_100_000, "USD", "priced")] * 2  # 1,100 tokens at $1 a million
    assert not preview(store, Scope()).groups


def test_a_price_for_the_asked_name_reaches_calls_another_model_answered(store, recorder):
    """Priced by the model that answered first, the calls follow when the operator prices the name they were made by."""
    call(recorder, "house-asked", model="gpt-4o")
    assert costs(store) == [(3_500_000, "USD", "priced")]  # 1,000 x 2.5 + 100 x 10 of a million
    price(store, model_price("house-asked", "1"))
    run_all(store)
    assert costs(store) == [(1_100_000, "USD", "priced")]


# --- resources ------------------------------------------------------------------------------------------------

BOX = (
    '[budget.resources]\namount = "900000 KRW"\nscope = "provider=own"\nat_95 = "warn"\nat_100 = "warn"\n'
    '[resource.gpu-box]\nkind = "time"\nprice = "2450 KRW"\nper = "hour"\nfree = 1\n'
)
WON_BUDGET = """select spent, assumed, unpriced from budget_period join budget on id = budget_id
    where name = 'resources' and spent + unpriced > 0"""
NANO = 10**9


@pytest.fixture
def box(costmon_home):
    """A server that ran for four hours and a half, of which each month's first is free."""
    made = World(costmon_home, RATE + BOX, "2026-11-03 12:00")
    made.start("gpu-box")
    made.tick(after=4 * HOUR)
    made.now += 30 * 60 * 1_000_000
    yield made
    made.close()


def price_of_box(box: World, each: str) -> None:
    box.configure(RATE + BOX.replace("2450 KRW", each))


def of_box(box: World, **scope: object):
    return reprice(box.store, "correction", Scope(until=box.now, **scope), reason="test", by="me")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("each", "currency", "nano", "won"),
    [("2500 KRW", "KRW", 7500 * NANO, 7500 * NANO), ("2 USD", "USD", 6 * NANO, 8400 * NANO)],
)
def test_a_resource_named_by_model_is_priced_anew_and_back(box, each, currency, nano, won):
    assert box.rows(WON_BUDGET) == [(3 * 2450 * NANO, 0, 0)]
    price_of_box(box, each)
    before = dump(box.store)

    left = preview(box.store, Scope(provider="own", until=box.now))
    assert (left.events, left.reasons()) == (0, {"resource": 16})
    assert "--model NAME prices one anew" in REASONS["resource"]

    run = of_box(box, model="gpu-box")
    assert run.events == 16
    assert (box.cost("gpu-box"), {e["currency"] for e in box.events()}) == (nano, {currency})
    assert box.rows(WON_BUDGET) == [(won, 0, 0)]
    kit.assert_sums_agree(box.home)
    again = preview(box.store, Scope(model="gpu-box", until=box.now))
    assert (again.events, again.unchanged) == (0, 16)

    revert(box.store, run.id, reason="test", by="me")
    assert dump(box.store) == before
    kit.assert_sums_agree(box.home)


def test_what_was_taken_back_and_what_is_locked_stay_as_they_are(box):
    box.stop("gpu-box", ago=2 * HOUR + 30 * 60 * 1_000_000)
    price_of_box(box, "2500 KRW")
    left = preview(box.store, Scope(model="gpu-box", until=box.now))
    assert (left.events, left.reasons()) == (8, {"taken back": 8})
    box.store.db.execute("insert into price_lock values (1, ?, 'billed', 'me', 0, null)", (box.now,))
    assert of_box(box, model="gpu-box").events == 0
    assert box.cost("gpu-box") == 2450 * NANO


def test_a_run_shortened_after_its_repricing_goes_back_to_the_old_price_of_what_is_left(box):
    price_of_box(box, "2500 KRW")
    run = of_box(box, model="gpu-box")
    box.stop("gpu-box", ago=2 * HOUR + 20 * 60 * 1_000_000)  # after 2 h 10 min
    assert box.rows(WON_BUDGET)[0][0] == box.cost("gpu-box") == pytest.approx(2500 * NANO * 70 / 60, abs=1)
    revert(box.store, run.id, reason="test", by="me")
    assert box.rows(WON_BUDGET)[0][0] == box.cost("gpu-box") == pytest.approx(2450 * NANO * 70 / 60, abs=1)
    kit.assert_sums_agree(box.home)
