"""Whatever the price catalogue holds, calls are recorded, budgets hold, and no app waits for another."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon import paths
from costmon.errors import SpendBlocked
from costmon.shim import cards, catalogue, faults, matching, patterns
from costmon.shim.prices import Prices
from costmon.shim.recorder import Outcome, Recorder
from costmon.shim.timestamps import to_us
from tests.shim.battery import kit

CENT = 10_000_000
USAGE = {"input_tokens": 1000, "output_tokens": 1000}
GOOD = {"input_tokens": "1", "output_tokens": "2"}
HOSTILE = "^(([a-z0-9])+.)+-ft$"
LONG_NAME = "gpt-4o-mini-" + "a" * 36 + "!"


def write_row(home: Path, models: object, *, layer: int = 0, source: object = "user") -> None:
    """A row of the catalogue as any program might have written it, seen by every process."""
    text = models if isinstance(models, str | bytes | int | None) else catalogue.models_json(models)  # type: ignore[arg-type]
    db = kit.connect(home)
    db.execute("delete from catalog where provider = 'corp' and layer = ?", (layer,))
    db.execute("insert or replace into catalog values ('corp', ?, ?, 'v', ?)", (layer, source, text))
    db.close()
    kit.set_setting(home, "prices", "changed")


def call(recorder: Recorder, model: str = "m", **usage: int) -> None:
    held = recorder.admit(kit.llm(model, provider="corp", family="corp", input_tokens=1000, max_output=1000))
    assert held is not None
    assert held.written
    recorder.settle(held, Outcome("ok", usage={**USAGE, **usage}, model=model))


def refused(recorder: Recorder) -> bool:
    try:
        call(recorder)
    except SpendBlocked:
        return True
    return False


def entry(**more: Any) -> dict[str, Any]:
    return {"id": "m", "match": {"equals": "m"}, "prices": [{"rates": GOOD}], **more}


ODD: dict[str, Any] = {
    "no match": [{"id": "m", "prices": []}],
    "no id": [{"match": {"equals": "m"}, "prices": [{"rates": GOOD}]}],
    "no prices": [{"id": "m", "match": {"equals": "m"}}],
    "no rates": [entry(prices=[{}])],
    "an entry that is a text": ["m", 3, None, []],
    "an id that is a list": [entry(id=["m"])],
    "a match that is a text": [entry(match="m")],
    "a clause of a number": [entry(match={"starts_with": 3})],
    "clauses that are none": [entry(match={"or": [3, {"and": "x"}]})],
    "prices that are a number": [entry(prices=3)],
    "rates that are a list": [entry(prices=[{"rates": [1]}])],
    "a rate that is a number": [entry(prices=[{"rates": {"input_tokens": 3, "output_tokens": None}}])],
    "a rate that is no number": [entry(prices=[{"rates": {**GOOD, "input_tokens": "NaN"}}])],
    "a rate below zero": [entry(prices=[{"rates": {"input_tokens": "-5", "output_tokens": "-5"}}])],
    "a rate without end": [entry(prices=[{"rates": {**GOOD, "input_tokens": "9" * 5000}}])],
    "tiers of texts": [entry(prices=[{"rates": {**GOOD, "input_tokens": ["1", ["a", "2"]]}}])],
    "an empty tier": [entry(prices=[{"rates": {**GOOD, "input_tokens": []}}])],
    "half a graduated rate": [entry(prices=[{"rates": {**GOOD, "input_tokens": {"price": "1"}}}])],
    "a date that is a number": [entry(prices=[{"from": 3, "rates": GOOD}])],
    "a week of texts": [entry(prices=[{"week": ["x"], "rates": GOOD}])],
    "a variant of nothing": [entry(variants=[{}])],
    "an alias of one name": [entry(alias=["azure"])],
    "an alias of numbers": [entry(alias=[1, 2])],
    "a currency that is a number": [entry(currency=7)],
    "an intricate pattern": [entry(match={"regex": "(a+)+$"})],
    "a pattern that is none": [entry(match={"regex": "["})],
    "an object": "{}",
    "a number": "7",
    "no JSON": "[{",
    "a broken line": '[{"id":"m","match":{"equals":"m"},\n,{"id":}]',
    "deep": "[" * 3000 + ",\n" + "]" * 3000,
    "nothing": "",
    "bytes": b"\x00\xff",
}


@pytest.mark.parametrize("models", ODD.values(), ids=ODD)
def test_a_broken_row_loses_no_call(
    costmon_home: Path, models: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call goes out, is in the ledger, counts against its budget at the price that is assumed, and the next one that
    does not fit is refused. A warning says it once."""
    monkeypatch.setattr(faults, "_said", {})
    recorder = Recorder(str(costmon_home))
    budget = kit.add_budget(costmon_home, 100 * CENT, mode="strict", at_95="warn")
    write_row(costmon_home, models)
    with caplog.at_level(logging.WARNING, "costmon"):
        for _ in range(3):
            call(recorder)
    found = kit.rows(costmon_home, "select cost, cost_status from event")
    assert len(found) == 3
    assert {status for _, status in found} <= {"unknown", "priced"}
    sums = kit.period(costmon_home, budget)
    assert sums["spent"] + sums["assumed"] > 0
    assert any(refused(recorder) for _ in range(1000))
    kit.assert_sums_agree(costmon_home)
    lost = [record for record in caplog.records if "could not" in record.getMessage()]
    assert len({record.getMessage() for record in lost}) == len(lost) <= 2
    recorder.ledger.close()


def test_a_broken_entry_hides_no_other(costmon_home: Path) -> None:
    """Beside broken entries, before and after, the good one has its price."""
    broken = [found for models in ODD.values() if isinstance(models, list) for found in models]
    broken = [one for one in broken if not isinstance(one, dict) or one.get("match") != {"equals": "m"}]
    assert len(broken) > 5
    write_row(costmon_home, [*broken, entry(), *broken])
    recorder = Recorder(str(costmon_home))
    call(recorder)
    # 1000 x 1/M + 1000 x 2/M
    assert kit.rows(costmon_home, "select cost, cost_status from event") == [(3_000_000, "priced")]
    recorder.ledger.close()


def test_an_unpriced_model_beside_graduated_prices(costmon_home: Path) -> None:
    """A provider whose only prices are graduated: an unknown model of it is charged what is assumed, and recorded."""
    rate = {"price": "1", "graduated": [[1, "0.5"]]}
    write_row(costmon_home, [entry(prices=[{"rates": {"input_tokens": rate, "output_tokens": "2"}}])])
    recorder = Recorder(str(costmon_home))
    call(recorder)
    call(recorder, "another")
    assert kit.rows(costmon_home, "select cost, cost_status, charge from event order by id") == [
        (3_000_000, "priced", 3_000_000),
        (None, "unknown", 3_000_000),
    ]
    write_row(
        costmon_home,
        [entry(prices=[{"rates": {"input_tokens": {**rate, "price": "0"}, "output_tokens": "2"}}])],
    )
    call(recorder, "another")
    # Free at first is nothing to assume: 2000 x 75/M
    assert kit.one(costmon_home, "select charge from event order by id desc") == 150_000_000
    recorder.ledger.close()


def test_a_price_in_won_is_not_assumed_in_dollars(costmon_home: Path) -> None:
    """What is assumed is in dollars: 3,000 won a million tokens are no 3,000 dollars."""
    write_row(costmon_home, [entry(currency="KRW", prices=[{"rates": {**GOOD, "input_tokens": "3000"}}])])
    recorder = Recorder(str(costmon_home))
    call(recorder, "another")
    assert kit.one(costmon_home, "select charge from event") == 150_000_000
    recorder.ledger.close()


def test_a_million_dollars_a_token(costmon_home: Path) -> None:
    """A price with a wrong `per` in a ledger refuses the calls of a budget, and never makes a sum no column holds."""
    dear = str(10**12)
    write_row(costmon_home, [entry(prices=[{"rates": {"input_tokens": dear, "output_tokens": dear}}])])
    recorder = Recorder(str(costmon_home))
    for _ in range(30):
        call(recorder, input_tokens=10**8)
    found = kit.rows(costmon_home, "select distinct cost, cost_status, charge, reserved from event")
    assert found == [(None, "unknown", 10**16, 10**16)]
    kit.assert_sums_agree(costmon_home)
    kinds = kit.rows(costmon_home, "select distinct typeof(cost), typeof(assumed) from rollup_day")
    assert kinds == [("integer", "integer")]
    kit.add_budget(costmon_home, 10 * 100 * CENT, mode="strict")
    with pytest.raises(SpendBlocked):
        call(recorder)
    recorder.ledger.close()


def test_a_hostile_pattern_holds_nobody_up(costmon_home: Path) -> None:
    """The pattern that takes years on one name is not searched: the call under the ledger's lock is over at once."""
    write_row(costmon_home, [entry(match={"regex": HOSTILE})])
    recorder = Recorder(str(costmon_home))
    call(recorder)
    began = time.monotonic()
    call(recorder, LONG_NAME)
    assert time.monotonic() - began < 5
    assert kit.one(costmon_home, "select count(*) from event") == 2
    recorder.ledger.close()


# --- patterns -----------------------------------------------------------------------------------------------------

QUICK = [
    r"^claude-sonnet-5-5-\d{8}$", "^house-[0-9]+$", r"^(typesafe/)?jev-1\.13(-\d{8})?$", "^a.*b", "a+$", "^[^/]+/gpt",
    r"(?s)^a(?=(.*?b))\1(?=(.*?c))\2.*d\Z", "^(?!.*-[tT][tT][sS](?:$|-))", "x|y|zz", "[]a]+b", "a{,3}", "",
]  # fmt: skip
SLOW = [
    HOSTILE, "(a+)+$", "^(a|aa)+$", "(x+x+)+y", "(a{1,65535}){1,65535}", "^a*b*c*", ".*.*", "a?" * 30 + "a" * 30,
    "(a?){30}a{30}", "(?=(.*)+)x", r"(.*)\1+", "((a*)*)*", "(?P<x>a)", "(?<=a)b", "x" * 501, None, 3,
]  # fmt: skip


@pytest.mark.parametrize("pattern", QUICK)
def test_quick_patterns(pattern: str) -> None:
    """What price files and the published table use."""
    assert patterns.is_quick(pattern)
    assert re.compile(pattern)


@pytest.mark.parametrize("pattern", SLOW)
def test_slow_patterns(pattern: Any) -> None:
    """What could take long, and what is not understood."""
    assert not patterns.is_quick(pattern)


PIECE = st.sampled_from(["a", "b", ".", "[ab]", "a?", "a*", "b+", "a{2}", "a{1,3}", "(a)", "(a|ab)", "(?:a*b)?", "(?=a*)",
                         "(?!b+a)", "(a+)", "(a?b?)*", "(a|b)+", "^", "$", "|"])  # fmt: skip


@given(st.lists(PIECE, max_size=10), st.text("ab", max_size=30))
def test_what_is_called_quick_is_quick(pieces: list[str], end: str) -> None:
    """On the longest names, made to fail at their ends, nothing that passes takes a tenth of a second."""
    pattern = "".join(pieces)
    if patterns.is_quick(pattern):
        try:
            found = re.compile(pattern)
        except re.error:
            return
        for name in ("a" * 199 + "!", ("ab" * 100)[:199] + "!", ("a" * 160 + end + "!")[:200]):
            began = time.process_time()
            found.search(name)
            assert time.process_time() - began < 1.5


def test_every_pattern_of_the_catalogue_is_searched() -> None:
    """Bounding patterns takes no model of ours its price."""
    catalog = catalogue.read_catalog(os.path.join(paths.bundled("pricing"), "catalog.json"))
    found = set(re.findall(r'"regex":("(?:[^"\\]|\\.)*")', json.dumps(catalog, separators=(",", ":"))))
    assert len(found) > 50
    assert [text for text in found if not patterns.is_quick(json.loads(text))] == []


def test_names_too_long_match_no_pattern() -> None:
    """The bound on patterns is for names as long as those of calls."""
    assert matching.matches({"regex": "^a+$"}, "a" * patterns.LONGEST)
    assert not matching.matches({"regex": "^a+$"}, "a" * (patterns.LONGEST + 1))


# --- names and instants -------------------------------------------------------------------------------------------


def test_a_bracket_in_a_name_hides_no_name() -> None:
    """'claude-x[1m]' and all names after it are found."""
    names = ["claude-x[1m]", "claude-x", 'q"]uote', "z]"]
    models = matching.Models(catalogue.models_json([{"id": "a", "match": {"in": names}, "prices": []}]))
    assert [models.first(name) is not None for name in (*names, "claude")] == [True] * 4 + [False]


def test_a_price_changes_on_its_second_in_a_running_process(costmon_home: Path) -> None:
    """A process that asked at 12:00:10 has the new price at 12:00:30, not at 12:01."""
    edge = "2026-11-20T12:00:30"
    rows = [{"until": edge, "rates": {"input_tokens": "1"}}, {"from": edge, "rates": {"input_tokens": "2"}}]
    write_row(costmon_home, [entry(prices=rows)])
    db = kit.connect(costmon_home)
    prices = Prices()

    def price_at(second: int) -> str:
        at = to_us(datetime(2026, 11, 20, 12, 0, second, tzinfo=UTC))
        card = prices.card(db, "corp", "m", at, "", anywhere=False)
        assert card is not None
        return str(card.rates["input_tokens"]["price"])

    assert [price_at(second) for second in (10, 29, 30, 45)] == ["1", "1", "2", "2"]
    db.close()


def test_a_card_is_looked_up_once_a_minute_where_no_price_changes_within_one(costmon_home: Path) -> None:
    """Edges on full minutes need no closer look."""
    write_row(costmon_home, [entry(prices=[{"from": "2026-11-20T12:30:00", "rates": GOOD}])])
    db = kit.connect(costmon_home)
    prices = Prices()
    noon = to_us(datetime(2026, 11, 20, 13, tzinfo=UTC))
    one, other = (prices.card(db, "corp", "m", noon + s * 1_000_000, "", anywhere=False) for s in (1, 59))
    assert one is not None
    assert one is other
    assert isinstance(one, cards.Card)
    db.close()
