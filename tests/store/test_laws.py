"""Whatever is called, repriced, reverted, budgeted and forgotten, in whatever order: every sum is that of its events.

An account beside the ledger adds up the events themselves, and those that retention took, in plain Python: it knows
nothing of triggers, deltas and batches.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from costmon import config
from costmon.monitor.compile import compile_config
from costmon.monitor.reprice import RepriceError, Scope, preview, reprice, revert, runs
from costmon.shim import policy
from costmon.shim.calls import Outcome
from costmon.shim.catalogue import compact_json
from costmon.shim.recorder import Recorder
from costmon.shim.schema import SUMS
from costmon.store import open_ledger, retention
from costmon.store.corrections import Corrections, Judgement, settled_events
from costmon.store.retention import cutoffs, prune
from tests.shim.battery import kit

HOUR = 3_600_000_000
DAY = 24 * HOUR
BEGIN = 1_795_219_200_000_000  # 2026-11-21 00:00 UTC
MODELS = ("gpt-4o-mini", "house-1", "house-2")
RATES = (
    '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1385.2\ndate = 2026-11-01\n'
    '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1402\ndate = 2026-11-22\n'
)
BUDGETS = {
    "total": 'amount = "9000 USD"\nperiod = "day"\n',
    "won": 'amount = "9000000 KRW"\nperiod = "week"\nscope = "app=a"\n',
    "house": 'amount = "9000 USD"\nperiod = "month"\nscope = "model=house-1"\n',
}
CALLS = st.tuples(
    st.sampled_from(MODELS),
    st.sampled_from("ab"),
    st.tuples(st.integers(0, 5000), st.integers(0, 900), st.integers(0, 3000)),
    st.sampled_from(("ok", "ok", "ok", "estimated", "cut", "silent", "unbilled", "reported", "odd unit")),
    st.sampled_from(("", "", "flex", "batch")),
)
PRICES = st.tuples(
    st.sampled_from(MODELS),
    st.one_of(st.none(), st.tuples(st.integers(0, 30), st.integers(0, 90))),
    st.sampled_from(("USD", "USD", "KRW")),
)
TABLES = ("event", "rollup_quarter", "rollup_day", "budget_period")
SAID = ("cost", "currency", "cost_status", "price_version", "charge", "charges")
DIMENSIONS = ("provider", "model", "app", "route", "job", "currency")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    open_ledger(str(home)).close()
    return home


class Ledger(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.mkdtemp()
        shutil.copytree(self.template, self.home, dirs_exist_ok=True)
        self.now = BEGIN
        self.store = open_ledger(self.home)
        self.store.now = lambda: self.now
        self.recorder = Recorder(self.home)
        self.recorder.ledger.now = lambda: self.now
        self.prices: dict[str, dict[str, object]] = {}
        self.gone: list[dict[str, object]] = []
        self.gone_slots: list[dict[str, object]] = []
        self.said: dict[tuple[int, str], dict[str, Any]] = {}
        self.forgotten_slots: set[int] = set()
        self.forgotten_days: set[int] = set()

    @initialize(names=st.sets(st.sampled_from(sorted(BUDGETS))))
    def begin(self, names: set[str]) -> None:
        self.budgets(names)

    @rule(names=st.sets(st.sampled_from(sorted(BUDGETS))))
    def budgets(self, names: set[str]) -> None:
        text = RATES + "".join(
            f'[budget.{name}]\n{BUDGETS[name]}at_95 = "warn"\nat_100 = "warn"\n' for name in sorted(names)
        )
        compile_config(self.store.db, config.parse(text.encode(), "config.toml"), self.now)

    @initialize(calls=st.lists(CALLS, min_size=3, max_size=6))
    def begin_with(self, calls: list[Any]) -> None:
        self.work(calls)

    @rule(calls=st.lists(CALLS, min_size=1, max_size=4), price=PRICES, undo=st.booleans())
    def work(self, calls: list[Any], price: Any = None, undo: bool | None = None) -> None:
        """Some calls, and perhaps a price that changes, and is applied to the past."""
        for call in calls:
            self.call(*call)
        if undo is not None:
            self.price(*price)
            self.reprice(None, (False, False), 0, undo)

    def call(self, model: str, app: str, tokens: tuple[int, int, int], how: str, tier: str) -> None:
        from costmon.shim import context

        context._process = context.Labels(app=app)
        held = self.recorder.admit(kit.llm(model, 100, 100))
        assert held is not None
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": tokens[0] + tokens[1]}
        if tokens[2]:
            usage["cache_read_tokens"] = tokens[2]
        if how == "odd unit":
            usage["web_searches"] = 2
        outcome = Outcome("ok", usage=usage, service_tier=tier)
        self.recorder.settle(
            held,
            {
                "estimated": outcome._replace(estimated=True),
                "cut": outcome._replace(outcome="dropped", estimated=True, at_least_reserved=True),
                "silent": Outcome("ok"),
                "unbilled": Outcome("error", charged=False),
                "reported": outcome._replace(cost=12_345),
            }.get(how, outcome),
        )

    @rule(hours=st.sampled_from((1, 7, 26, 60, 24 * 9)))
    def wait(self, hours: int) -> None:
        self.now += hours * HOUR + 1

    @rule(price=PRICES)
    def new_price(self, price: Any) -> None:
        self.price(*price)

    def price(self, model: str, price: tuple[int, int] | None, currency: str) -> None:
        self.prices.pop(model, None)
        if price is not None:
            rates = {"input_tokens": f"{price[0]}.25", "output_tokens": f"{price[1]}"}
            entry = {
                "id": model,
                "match": {"equals": model},
                "currency": currency,
                "prices": [{"rates": rates}],
            }
            self.prices[model] = entry
        db = self.store.db
        db.execute("begin immediate")
        db.execute("delete from catalog where layer = 0")
        db.execute(
            "insert into catalog values ('openai', 0, 'user', ?, ?)",
            (f"{abs(hash(str(self.prices))) % 10**8:08}", compact_json(list(self.prices.values()))),
        )
        db.execute("update setting set value = value + 1 where key = 'generation'")
        db.execute("commit")

    @rule(
        model=st.sampled_from((None, *MODELS)),
        unknown=st.sampled_from(((False, False), (True, False), (False, True))),
        back=st.integers(0, 5),
        undo=st.booleans(),
    )
    def reprice(self, model: str | None, unknown: tuple[bool, bool], back: int, undo: bool) -> None:
        before = self.dump()
        since = self.now - back * DAY if back else None
        scope = Scope(since=since, model=model, only_unknown=unknown[0], allow_unknown=unknown[1])
        expected = preview(self.store, scope)
        run = reprice(self.store, "correction", scope, reason="law", by="law")
        assert run.report == expected
        assert not preview(self.store, scope).events
        if undo:
            revert(self.store, run.id, reason="law", by="law")
            assert self.dump() == before

    @rule(number=st.integers(0, 30))
    def revert(self, number: int) -> None:
        known = runs.runs(self.store.db)
        if known:
            run = known[number % len(known)]
            try:
                revert(self.store, run.id, reason="law", by="law")
            except RepriceError:
                assert run.kind == "revert" or run.state == "reverted" or number % len(known) > 0
            else:
                self.revert_gone(run.id)

    def revert_gone(self, run: int) -> None:
        """What is no longer kept in detail says what it said before the run, as far as sums tell."""
        assert runs.run_of(self.store.db, run).state == "reverted"
        for event in self.gone:
            event.update(self.said.pop((run, str(event["id"])), {}))

    def remember(self) -> None:
        """What the events said before each run that still stands."""
        rules = policy.load(self.store.db)
        self.said = {key: said for key, said in self.said.items() if key[1] in {e["id"] for e in self.gone}}
        for run in runs.runs(self.store.db):
            if run.state == "reverted":
                continue
            rows = self.store.db.execute(
                f"select event_id, {', '.join(SAID)} from cost_revision where run_id = ?", (run.id,)
            )
            for event_id, *said in rows.fetchall():
                (event,) = settled_events(self.store.db, [event_id])
                old = dict(zip(SAID, said, strict=True))
                if [one[:2] for one in json.loads(event.charges)] != [
                    one[:2] for one in json.loads(old["charges"])
                ]:
                    then = Judgement(*said[:-1])
                    old["charges"] = Corrections(rules).merged(event, then, old["charges"])
                self.said[run.id, event_id] = old

    @rule(days=st.integers(0, 12), aggregates=st.integers(0, 20), batch=st.sampled_from((1, 2, 1000)))
    def forget(self, days: int, aggregates: int, batch: int) -> None:
        db, before = self.store.db, self.events()
        self.remember()
        kept = cutoffs(db, self.now, days, max(days, aggregates) if days else 0, self.now - DAY)
        db.execute("begin immediate")
        prune(db, kept, batch)
        db.execute("commit")
        left = {event["id"] for event in self.events()}
        gone = [event for event in before if event["id"] not in left]
        self.gone += gone
        self.gone_slots += [dict(event) for event in gone]  # 15-minute sums of what is gone soon go too
        starts = [row[0] for row in db.execute("select start_at from budget_period where start_at <= ? and end_at > ?",
                                               (self.now, self.now))]  # fmt: skip
        limit = min([self.now - days * DAY, *starts])
        assert all(event["created_at"] < limit for event in before if event["id"] not in left)
        # Sums of what is gone may go; the day's no sooner than the year is over.
        slots = {row[0] for row in db.execute("select distinct slot_at from rollup_quarter")}
        self.forgotten_slots |= {slot_of(event) for event in self.gone_slots} - slots
        day_rows = {row[0] for row in db.execute("select distinct day_at from rollup_day")}
        missing = {event["local_day_at"] for event in self.gone} - day_rows - self.forgotten_days
        assert all(kept.aggregates and day < kept.aggregates for day in missing)
        self.forgotten_days |= missing

    @invariant()
    def sums_are_those_of_the_events(self) -> None:
        events = self.events()
        for table, slot, place, gone, forgotten in (
            ("rollup_quarter", "slot_at", slot_of, self.gone_slots, self.forgotten_slots),
            ("rollup_day", "day_at", lambda event: event["local_day_at"], self.gone, self.forgotten_days),
        ):
            expected: Counter[tuple[object, ...]] = Counter()
            for event in events:
                assert place(event) not in forgotten, "sums went before their events"
            for event in [*events, *(e for e in gone if place(e) not in forgotten)]:
                for name, value in contribution(event).items():
                    expected[(place(event), *(event[key] for key in DIMENSIONS), name)] += value
            columns = ", ".join((slot, *DIMENSIONS, *SUMS))
            found = {
                (*row[: 1 + len(DIMENSIONS)], name): value
                for row in self.store.db.execute(f"select {columns} from {table}")
                for name, value in zip(SUMS, row[1 + len(DIMENSIONS) :], strict=True)
                if value
            }
            assert found == {key: value for key, value in expected.items() if value}, table

    @invariant()
    def budgets_are_those_of_the_charges(self) -> None:
        expected: Counter[tuple[int, int, str]] = Counter()
        for event in [*self.events(), *self.gone]:
            for budget, start, _, settled, numerator, _ in json.loads(str(event["charges"])):
                unknown = event["cost"] is None or not numerator
                expected[budget, start, "assumed" if unknown else "spent"] += settled
                expected[budget, start, "unpriced"] += unknown
        for budget, start, *sums in self.store.db.execute(
            "select budget_id, start_at, spent, assumed, unpriced from budget_period"
        ):
            wanted = [expected[budget, start, name] for name in ("spent", "assumed", "unpriced")]
            assert sums == wanted, (budget, start)
            assert min(sums) >= 0

    @invariant()
    def every_cost_is_explained(self) -> None:
        for event in self.events():
            assert (event["cost"] is None) == (event["cost_status"] == "unknown")
            if event["cost"] is not None:
                assert event["cost"] >= 0

    def events(self) -> list[dict[str, object]]:
        cursor = self.store.db.execute("select * from event where state = 'settled' order by id")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def dump(self) -> dict[str, list[object]]:
        found = {table: self.store.db.execute(f"select * from {table}").fetchall() for table in TABLES}
        # A row of zeros says what no row says: an earlier run may have left one.
        for table in ("rollup_quarter", "rollup_day"):
            found[table] = [row for row in found[table] if any(row[-len(SUMS) :])]
        return found

    def teardown(self) -> None:
        self.recorder.ledger.close()
        self.store.close()
        shutil.rmtree(self.home)


def slot_of(event: dict[str, object]) -> int:
    at = event["created_at"]
    assert isinstance(at, int)
    return at - at % 900_000_000


def contribution(event: dict[str, object]) -> dict[str, int]:
    cost, status = event["cost"], event["cost_status"]
    return {
        "calls": 1,
        "errors": int(event["outcome"] != "ok"),
        "input_tokens": event["input_tokens"] or 0,
        "output_tokens": event["output_tokens"] or 0,
        "cost": cost or 0,
        "unpriced": int(cost is None),
        "estimated": int(status == "estimated"),
        "partial": int(status == "partial"),
        "estimated_cost": (cost or 0) if status == "estimated" else 0,
        "assumed": (event["charge"] or 0) if cost is None else 0,
    }  # type: ignore[dict-item]


def check(template: Path, examples: int, steps: int) -> None:
    Ledger.template = template
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "KEEP_US", 0)  # the world of the law is younger
        run_state_machine_as_test(
            Ledger,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )


def test_every_sum_is_that_of_its_events(template: Path) -> None:
    check(template, 8, 15)


@pytest.mark.slow
def test_every_sum_is_that_of_its_events_at_length(template: Path) -> None:
    check(template, 600, 40)
