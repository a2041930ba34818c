"""`costmon prices update`: newer prices from today on, and never another past than the one that was billed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon import paths
from costmon.errors import PriceError
from costmon.monitor.engine import read_config
from costmon.monitor.prices import compile_prices
from costmon.pricing.catalog import base, build, update
from costmon.pricing.catalog.layers import compiled
from costmon.pricing.catalog.published import Published, patterns_in, price_keys, read_published
from costmon.shim.cards import Card, Entry, find_card, moment_of, rates_at
from costmon.shim.catalogue import read_catalog
from costmon.shim.recorder import Outcome, Recorder
from costmon.shim.timestamps import to_us
from costmon.store import open_ledger
from tests.harness import published
from tests.harness.feed import Page, feed
from tests.shim.battery import kit

TODAY = date(2026, 11, 21)
BUNDLED = paths.bundled
CATALOG = read_catalog(base.bundled_file())
FEW = ("anthropic", "openai")  # providers enough for most tests
Edit = Callable[[list[Any]], None]

pytestmark = pytest.mark.skipif(
    CATALOG["version"] != version("genai-prices"),
    reason="another genai-prices is installed than catalog.json was built from: run `costmon prices build`",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue of few providers."""
    folder = tmp_path_factory.mktemp("pricing")
    providers = {name: CATALOG["providers"][name] for name in FEW}
    (folder / "catalog.json").write_text(json.dumps({**CATALOG, "providers": providers, "builtin": {}}))
    return folder


@pytest.fixture(autouse=True)
def few_providers(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "bundled", lambda name: str(small))


def payload(*edits: Edit) -> bytes:
    document = [part for part in published.table() if part["id"] in FEW]
    for edit in edits:
        edit(document)
    return json.dumps(document).encode()


def dearer(document: list[Any]) -> None:
    published.model(document, "openai", "gpt-4o")["prices"]["input_mtok"] = 3.1


def newer(document: list[Any]) -> None:
    document[0]["models"].append(
        {
            "id": "claude-9",
            "match": {"starts_with": "claude-9"},
            "prices": {"input_mtok": 1, "output_mtok": 5},
        }
    )


def fewer(document: list[Any]) -> None:
    part = next(part for part in document if part["id"] == "openai")
    part["models"] = [model for model in part["models"] if model["id"] != "gpt-4.1"]


def prepared(data: bytes, today: date = TODAY, *correct: str) -> update.Update:
    with feed(Page(data)) as server:
        found = update.prepare(server.url, today, correct=correct)
    assert server.requests == ["/file"]
    return found


def card(model: str, day: str, provider: str = "openai") -> Card:
    """What the base layer, as it is on disk now, says of a call of that day."""
    catalog = read_catalog(base.base_catalog_path())
    layers = [(2, catalog["source"], catalog["version"], catalog["providers"][provider]["models"])]
    at = to_us(datetime.fromisoformat(day).replace(tzinfo=UTC))
    found = find_card(lambda name: layers if name == provider else [], provider, model, at, {})
    assert found is not None
    return found


def price(model: str, day: str, unit: str = "input_tokens", provider: str = "openai") -> str:
    return str(card(model, day, provider).rates[unit]["price"])


# --- reading -------------------------------------------------------------------------------------------------


def test_the_published_table_reads_as_the_package() -> None:
    """The file and the Python package of one release give one catalogue, to the last digit."""
    found = read_published(json.dumps(published.table()).encode(), "table", patterns_in(CATALOG))
    assert found.providers == build.build(paths.bundled("pricing"), TODAY)["providers"]
    assert found.skipped == {}


def test_every_provider_of_the_whole_table_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real table against the real catalogue: nothing differs, nothing is lost."""
    monkeypatch.setattr(paths, "bundled", BUNDLED)
    found = prepared(json.dumps(published.table()).encode())
    assert found.diff.empty
    assert found.catalog["providers"] == CATALOG["providers"]


def test_every_unit_has_its_published_name() -> None:
    """No price is read for another unit than the one it is for."""
    from genai_prices.data_units import unit_data

    assert price_keys() == {raw.get("price_key", key): key for key, raw in unit_data.items()}


def test_an_unchanged_table_changes_nothing() -> None:
    """The update of a day without news says so."""
    found = prepared(payload())
    assert found.diff == update.Diff()
    assert found.diff.empty
    assert found.catalog["providers"] == {name: CATALOG["providers"][name] for name in FEW}


# --- the past ------------------------------------------------------------------------------------------------


def test_news_hold_from_today_and_the_past_stays() -> None:
    """A price edited without a date: yesterday's calls cost what they cost, today's the new price."""
    found = prepared(payload(dearer, newer, fewer))
    change = update.RateChange("input_tokens", "2.5", "3.1")
    assert found.diff.added == (("anthropic", "claude-9"),)
    assert found.diff.removed == (("openai", "gpt-4.1"),)
    assert found.diff.changed == (update.Change("openai", "gpt-4o", "2026-11-21", (change,)),)
    assert found.diff.past == (update.Past("openai", "gpt-4o", "2026-11-21", (change,), False),)
    assert price("gpt-4o", "2026-11-21") == "2.5"  # nothing is kept yet
    update.keep(found)
    assert [
        price("gpt-4o", day) for day in ("2024-01-01", "2026-11-20T23:59:59", "2026-11-21", "2027-01-01")
    ] == [
        "2.5",
        "2.5",
        "3.1",
        "3.1",
    ]
    assert price("claude-9", "2026-11-21", provider="anthropic") == "1"
    assert price("gpt-4.1", "2026-11-21") == "2"
    assert card("gpt-4o", "2026-11-21").version == f"2026-11-21-{found.sha256[:8]}"
    everything = compiled(None)
    assert (everything.version, everything.checked) == (found.catalog["version"], TODAY)


def test_a_correction_changes_the_past_on_demand() -> None:
    """Only the model that is named takes the new price for the past."""

    def both(document: list[Any]) -> None:
        dearer(document)
        published.model(document, "openai", "gpt-4.1")["prices"]["output_mtok"] = 9

    found = prepared(payload(both), TODAY, "openai:gpt-4o")
    assert {(past.model, past.corrected) for past in found.diff.past} == {
        ("gpt-4o", True),
        ("gpt-4.1", False),
    }
    update.keep(found)
    assert (price("gpt-4o", "2026-01-01"), price("gpt-4.1", "2026-01-01", "output_tokens")) == ("3.1", "8")
    update.keep(prepared(payload(both), TODAY, "all"))
    assert price("gpt-4.1", "2026-01-01", "output_tokens") == "9"


def test_a_dated_price_needs_no_guard() -> None:
    """A new row with its date is taken as it is; nothing in the past differs."""

    def dated(document: list[Any]) -> None:
        model = published.model(document, "openai", "gpt-4o")
        model["prices"] = [
            {"prices": model["prices"]},
            {"constraint": {"start_date": "2026-12-01"}, "prices": {"input_mtok": 2, "output_mtok": 8}},
        ]

    found = prepared(payload(dated))
    assert found.diff.past == ()
    assert [(change.model, change.since) for change in found.diff.changed] == [("gpt-4o", "2026-12-01")]
    update.keep(found)
    assert [price("gpt-4o", day) for day in ("2026-11-30", "2026-12-01")] == ["2.5", "2"]


def test_a_date_before_today_is_past_too() -> None:
    """A row dated last week alters what was billed since: it holds from today, and is listed."""

    def late(document: list[Any]) -> None:
        model = published.model(document, "openai", "gpt-4o")
        model["prices"] = [
            {"prices": model["prices"]},
            {"constraint": {"start_date": "2026-11-14"}, "prices": {"input_mtok": 2, "output_mtok": 8}},
        ]

    found = prepared(payload(late))
    assert [(past.model, past.until) for past in found.diff.past] == [("gpt-4o", "2026-11-21")]
    update.keep(found)
    assert [price("gpt-4o", day) for day in ("2026-11-13", "2026-11-20", "2026-11-21")] == ["2.5", "2.5", "2"]


def test_updating_again_changes_nothing_more() -> None:
    """The same table the next month: no new rows, the old difference still on the list."""
    first = prepared(payload(dearer))
    update.keep(first)
    again = prepared(payload(dearer), date(2026, 12, 20))
    assert again.diff.empty
    assert [(past.model, past.until) for past in again.diff.past] == [("gpt-4o", "2026-11-21")]
    assert again.catalog["providers"] == first.catalog["providers"]


def test_a_model_under_a_new_name_keeps_its_past() -> None:
    """An entry that is renamed and repriced at once does not reprice last month."""

    def renamed(document: list[Any]) -> None:
        model = published.model(document, "openai", "gpt-4o")
        model["id"] = "gpt-4o-latest"
        model["prices"]["input_mtok"] = 3.1

    update.keep(prepared(payload(renamed)))
    assert [price("gpt-4o", day) for day in ("2026-11-20", "2026-11-21")] == ["2.5", "3.1"]


def test_a_name_that_moves_is_told() -> None:
    """A name that means another model from now on cannot be dated, so it is listed."""

    def moved(document: list[Any]) -> None:
        published.model(document, "openai", "gpt-4o")["match"] = {"equals": "gpt-4o"}
        published.model(document, "openai", "gpt-4.1")["match"]["or"].append({"equals": "gpt-4o-2024-08-06"})

    found = prepared(payload(moved))
    assert found.diff.renamed == (("openai", "gpt-4o-2024-08-06", "gpt-4o", "gpt-4.1"),)
    assert not found.diff.empty


_RATES = st.sampled_from(["1", "2", "3"])
_DAYS = st.sampled_from(["2026-01-01", "2026-06-01", "2026-11-01", "2026-11-21", "2026-12-01"])
_ROWS = st.lists(
    st.tuples(
        st.none() | _DAYS, st.none() | st.sampled_from([["01:00", "04:00"], ["22:00", "03:00"]]), _RATES
    ),
    max_size=4,
)


def _entry(first: str, rows: list[tuple[str | None, list[str] | None, str]]) -> Entry:
    listed: list[dict[str, Any]] = [{"rates": {"input_tokens": first}}]
    for start, hours, rate in rows:
        when = {"from": start} if start else {"time": hours} if hours else {}
        listed.append({**when, "rates": {"input_tokens": rate}})
    return {"id": "m", "match": {"equals": "m"}, "prices": listed}


@settings(max_examples=100, deadline=None)
@given(_RATES, _ROWS, _RATES, _ROWS, st.integers(0, 400), st.integers(0, 23))
def test_no_update_alters_a_past_instant(
    first: str, rows: list[Any], other: str, others: list[Any], days: int, hour: int
) -> None:
    """Whatever two tables say: before today the old one holds, from today on the new one, also after more updates."""
    old, new = _entry(first, rows), _entry(other, others)
    instant = to_us(datetime(2025, 12, 1, hour, 30, tzinfo=UTC)) + days * 86_400_000_000

    def merged(entry: Entry, today: str) -> Entry:
        providers, _ = update.merge(
            {"p": {"models": [entry]}}, Published({"p": {"models": [new]}}, {}), today
        )
        found: Entry = providers["p"]["models"][0]
        return found

    joined = merged(old, "2026-11-21")
    moment = moment_of(instant)
    past = moment.stamp < "2026-11-21"
    assert rates_at(joined, moment) == rates_at(old if past else new, moment)
    assert rates_at(merged(joined, "2026-12-24"), moment) == rates_at(joined, moment)


# --- what is kept --------------------------------------------------------------------------------------------


def test_a_later_costmon_overtakes_an_update(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An upgrade with newer prices wins over an older update; an equal day is the update's."""
    path = update.keep(prepared(payload(dearer)))
    assert base.base_catalog_path() == path
    folder = tmp_path / "pricing"
    folder.mkdir()
    for checked, wins in (("2026-11-20", True), ("2026-11-21", True), ("2026-11-22", False)):
        (folder / "catalog.json").write_text(json.dumps({**CATALOG, "checked": checked}))
        monkeypatch.setattr(paths, "bundled", lambda name: str(folder))
        assert (base.base_catalog_path() == path) is wins


def test_undo_brings_back_the_bundled_prices() -> None:
    """One command and everything is as before the update."""
    update.keep(prepared(payload(dearer)))
    assert price("gpt-4o", "2026-11-21") == "3.1"
    assert update.undo()
    assert price("gpt-4o", "2026-11-21") == "2.5"
    assert not update.undo()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", '{"schema": 1, "providers": {"a": {}}, "checked": "2027-01-01"}', "[" * 99_999),
        '{"schema":1,"providers":{"openai":[]},"checked":"2027-01-01"}',
        '{"schema":1,"providers":[],"checked":"2027-01-01"}',
        '{"schema":1,"providers":{},"checked":3,"digest":null}',
    ],
)
def test_a_damaged_update_falls_back(text: str) -> None:
    """A disk fault in the kept file: the bundled prices hold, and it is said."""
    path = Path(update.keep(prepared(payload(dearer))))
    path.write_text(text)
    assert price("gpt-4o", "2026-11-21") == "2.5"
    assert compiled(None).problems == (
        f"{path}: cannot be used (it was damaged or edited), so the prices that came with costmon hold; run costmon prices "
        "update again",
    )


@pytest.mark.parametrize("key", ["id", "match", "prices", "rates"])
def test_one_damaged_entry_costs_no_call(costmon_home: Path, key: str) -> None:
    """Part of one entry is missing: apps go on, priced by what came with costmon, and it is said."""
    path = Path(update.keep(prepared(payload(dearer))))
    catalog = json.loads(path.read_text())
    entry = next(one for one in catalog["providers"]["openai"]["models"] if one["id"] == "gpt-4o")
    del (entry["prices"][0] if key == "rates" else entry)[key]
    path.write_text(json.dumps(catalog))
    store = open_ledger(str(costmon_home))
    recorder = Recorder(str(costmon_home))
    try:
        assert compile_prices(store)
        held = recorder.admit(kit.llm("gpt-4o"))
        assert held is not None
        recorder.settle(held, Outcome("ok", usage={"input_tokens": 1_000_000}))
        assert store.db.execute("select cost from event").fetchall() == [(2_500_000_000,)]
        (problem,) = store.db.execute("select value from setting where key = 'prices_error'").fetchone()
        assert "was damaged or edited" in problem
    finally:
        recorder.ledger.close()
        store.close()


def test_a_kept_catalogue_is_whole() -> None:
    """What was kept is what is read; any other word in it would be seen."""
    found = prepared(payload(dearer))
    path = Path(update.keep(found))
    assert base.damaged() == ""
    assert base.base_catalog_path() == str(path)
    path.write_text(path.read_text().replace("3.1", "3.2", 1))
    assert base.base_catalog_path() == base.bundled_file()


def _many(providers: int, models: int, fallback: list[str]) -> bytes:
    many = [{"id": f"m{i}", "match": {"equals": f"m{i}"}, "prices": {"input_mtok": 1}} for i in range(models)]
    others = [{"id": f"p{i}", "fallback_model_providers": fallback, "models": []} for i in range(providers)]
    return json.dumps([{"id": "openai", "models": many}, *others]).encode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            _many(400, 5000, ["openai"]),
            "larger than 20 MB (its providers fall back to one another too often)",
        ),
        (_many(1, 1000, ["openai"] * 21), "fallback_model_providers is no list of at most 20"),
        (_many(500, 1, []), "holds more than 500 providers"),
    ],
)
def test_a_small_table_cannot_make_a_huge_ledger(data: bytes, says: str, tmp_path: Path) -> None:
    """Each provider's list holds the models of those it falls back to once more."""
    path = tmp_path / "table.json"
    path.write_bytes(data)
    with pytest.raises(PriceError) as error:
        update.prepare(str(path), TODAY, from_file=True)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_what_is_kept_is_private() -> None:
    """Nobody else can write the prices that budgets count by."""
    path = update.keep(prepared(payload()))
    assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0


def test_calls_are_priced_by_what_was_taken_over(costmon_home: Path) -> None:
    """The next call costs the new price, and its event says which table that is from."""
    recorder = Recorder(str(costmon_home))
    try:
        for day, data in ((date(2020, 1, 1), payload()), (date.today(), payload(dearer))):  # noqa: DTZ011
            found = prepared(data, day)
            update.keep(found)
            store = open_ledger(str(costmon_home))
            read_config(store)
            store.close()
            held = recorder.admit(kit.llm("gpt-4o", input_tokens=1_000_000))
            assert held is not None
            recorder.settle(held, Outcome("ok", usage={"input_tokens": 1_000_000}))
    finally:
        recorder.ledger.close()
    rows = kit.rows(costmon_home, "select cost, price_version from event order by created_at")
    assert [cost for cost, _ in rows] == [2_500_000_000, 3_100_000_000]
    # The first table is older than the bundled one, and so not used.
    names = [version_.rpartition(":")[0] for _, version_ in rows]
    assert names == [f"genai-prices@{CATALOG['version']}", f"genai-prices@{found.catalog['version']}"]


# --- hostile tables ------------------------------------------------------------------------------------------


def _with_price(value: Any) -> bytes:
    def edit(document: list[Any]) -> None:
        published.model(document, "openai", "gpt-4o")["prices"]["input_mtok"] = value

    return payload(edit)


def _with(**fields: Any) -> bytes:
    return payload(lambda document: published.model(document, "openai", "gpt-4o").update(fields))


HOSTILE: dict[str, tuple[Page, str]] = {
    "negative": (Page(_with_price(-1)), "openai gpt-4o input_mtok is not from 0 to 1,000,000 USD"),
    "huge": (Page(_with_price(10**400)), "openai gpt-4o input_mtok is not from 0 to 1,000,000 USD"),
    "exponent": (
        Page(_with_price(1).replace(b'"input_mtok": 1,', b'"input_mtok": 1e999999999,', 1)),
        "is not from 0",
    ),
    "NaN": (Page(_with_price(float("nan"))), '"NaN" is no price'),
    "infinity": (Page(_with_price(float("-inf"))), '"-Infinity" is no price'),
    "text": (Page(_with_price("2.5")), "openai gpt-4o input_mtok is no number"),
    "true": (Page(_with_price(True)), "openai gpt-4o input_mtok is no number"),
    "tiers": (
        Page(_with_price({"base": 1, "tiers": [{"start": -5, "price": 1}]})),
        "a tier has no start above zero",
    ),
    "no prices": (Page(_with(prices=None)), "openai gpt-4o has no prices"),
    "no rule": (Page(_with(match={})), "its matching rule is none"),
    "deep rule": (
        Page(_with(match=json.loads('{"or":[' * 9 + '{"equals":"x"}' + "]}" * 9))),
        "its matching rule is none",
    ),
    "bad date": (
        Page(_with(prices=[{"constraint": {"start_date": "soon"}, "prices": {}}])),
        "a constraint has no date or time",
    ),
    "zone": (
        Page(
            _with(
                prices=[
                    {"constraint": {"start_time": "01:00+09:00", "end_time": "02:00+09:00"}, "prices": {}}
                ]
            )
        ),
        "a time of day is not in UTC",
    ),
    "no id": (
        Page(_with(id="\x1b[31m")),
        "a model of openai has no id, or one that is too long or not printable",
    ),
    "escape": (Page(_with(match={"equals": "gpt\x1b[31m"})), "a text is missing, too long or not printable"),
    "hidden": (Page(_with(id="gpt\u202e4o")), "not printable"),
    "twice": (Page(_with(id="gpt-4.1")), "openai names the model gpt-4.1 twice"),
    "object": (Page(b'{"providers": []}'), "is not the price table of genai-prices (a list of providers)"),
    "few": (Page(b'[{"id": "openai", "models": []}]'), "it is not the whole table"),
    "no list": (Page(b'[{"id": "openai", "models": 3}]'), "openai has no list of models"),
    "html": (Page(b"<!DOCTYPE html><html></html>"), "is a web page"),
    "truncated": (Page(payload()[:-100]), "is cut short or no JSON"),
    "cut": (Page(payload()[:1000], cut=True), "broke off in the middle"),
    "brackets": (Page(b"[" * 1_000_000), "is cut short or no JSON"),
    "not utf-8": (Page(b'["\xff"]'), "is cut short or no JSON"),
    "100 MB": (Page(b" " * 100_000, times=1000), "is larger than 20 MB"),
    "100 MB unsaid": (Page(b" " * 100_000, times=1000, told_length=False), "is larger than 20 MB"),
    "redirect": (Page(status=302, headers={"location": "https://example.com/"}), "redirects to another host"),
    "gone": (Page(status=404), "answered 404"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_table_changes_nothing(name: str) -> None:
    """Whatever is served, it is one sentence, and prices stay what they were."""
    page, says = HOSTILE[name]
    with feed(page) as server, pytest.raises(PriceError) as error:
        update.prepare(server.url, TODAY)
    assert server.requests
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not os.path.exists(base.updated_file())


def test_a_server_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends within its timeout."""
    monkeypatch.setattr(update, "TIMEOUT_S", 0.3)
    with (
        feed(Page(payload(), hang=True)) as server,
        pytest.raises(PriceError, match=r"did not answer within 0.3 s"),
    ):
        update.prepare(server.url, TODAY)
    assert server.requests


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"prices": {"input_mtok": 99, "thoughts_mtok": 3}},
            "it prices thoughts_mtok, which this version does not know",
        ),
        ({"match": {"sounds_like": "x"}}, "it has a matching rule this version does not know"),
        ({"match": {"regex": "^(a+)+$"}}, "it is found by a new and intricate regular expression"),
        (
            {"prices": [{"constraint": {"weekday": "mon"}, "prices": {}}]},
            "it has a condition this version does not know",
        ),
    ],
)
def test_what_only_a_newer_costmon_knows_leaves_the_model_alone(fields: dict[str, Any], why: str) -> None:
    """A new kind of price is not guessed at, and does not hold up all other news."""
    found = prepared(
        payload(newer, lambda document: published.model(document, "openai", "gpt-4o").update(fields))
    )
    assert found.diff.skipped == (("openai", "gpt-4o", why),)
    assert found.diff.added == (("anthropic", "claude-9"),)
    update.keep(found)
    assert price("gpt-4o", "2026-11-21") == "2.5"


@pytest.mark.parametrize(
    "pattern", [r"^claude-opus-9-\d{8}$", r"^x-ai/grok-9\.1-\d{8}$", r"^claude-9[-@]\d{8}$"]
)
def test_a_simple_new_pattern_is_taken(pattern: str) -> None:
    """New models come with patterns like those of old ones."""

    def edit(document: list[Any]) -> None:
        newer(document)
        document[0]["models"][-1]["match"] = {"regex": pattern}

    assert prepared(payload(edit)).diff.added == (("anthropic", "claude-9"),)


def test_a_model_that_does_not_exist_cannot_be_corrected() -> None:
    """A typo is named instead of correcting nothing."""
    with (
        feed(Page(payload())) as server,
        pytest.raises(PriceError, match="--correct gpt-99: no model has that id"),
    ):
        update.prepare(server.url, TODAY, correct=("gpt-99",))
    assert server.requests
