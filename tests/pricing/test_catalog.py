"""The layers together: what is compiled for the ledger, from which file, and what a bad file costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from costmon import paths
from costmon.monitor.prices import compile_prices
from costmon.pricing.catalog import build
from costmon.pricing.catalog.layers import Compiled, Row, builtin_layer, compiled, with_last_good
from costmon.pricing.files.resources import from_json
from costmon.shim import cards, catalogue
from costmon.shim.prices import Prices
from costmon.store import Store, open_ledger
from costmon.store.queries import settings

FOLDER = paths.bundled("pricing")
CATALOG = os.path.join(FOLDER, "catalog.json")
NOON = 1_795_176_000_000_000  # 2026-11-20, in UTC
MINE = """schema = 1
[[price]]
provider = "openai"
model = "gpt-4o"
currency = "USD"
[[price.rate]]
input = 9
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled pricing folder that a test may damage."""
    copy = tmp_path / "pricing"
    shutil.copytree(FOLDER, copy)
    monkeypatch.setattr(paths, "bundled", lambda name: str(copy))
    return copy


@pytest.mark.skipif(
    catalogue.read_catalog(CATALOG)["version"] != version("genai-prices"),
    reason="another genai-prices is installed than catalog.json was built from: run `costmon prices build`",
)
def test_catalog_is_what_the_installed_genai_prices_says() -> None:
    """The shipped catalogue is neither stale nor edited by hand: building it again changes nothing."""
    with open(CATALOG, encoding="utf-8") as file:
        text = file.read()
    assert text == build.to_text(build.build(FOLDER, build.release_day(FOLDER)))
    assert len(text) < 900_000


def test_catalog_holds_our_corrections_as_compiled() -> None:
    """A ledger seeded from catalog.json alone has the same corrections as one compiled from the TOML files."""
    layer = builtin_layer(FOLDER)
    assert layer.bad == {}
    assert catalogue.read_catalog(CATALOG)["builtin"] == layer.models
    assert {part["version"] for part in layer.models.values()} == {"2026.11.20"}
    assert {"anthropic", "deepseek", "mistral", "local"} <= set(layer.models)


def test_our_corrections_say_where_they_are_from() -> None:
    """Each price of ours bears its page and the day it was checked into the ledger; a card is the same without them."""
    for provider, part in catalogue.read_catalog(CATALOG)["builtin"].items():
        for entry in part["models"]:
            if "alias" in entry:
                continue
            assert entry["source"], entry["id"]
            assert date.fromisoformat(entry["checked"]).isoformat() == entry["checked"]
            bare = {key: value for key, value in entry.items() if key not in ("source", "checked")}
            one, other = (cards.resolve(each, provider, NOON, {}, "", "") for each in (entry, bare))
            assert one == other


def test_compiled_equals_the_seed() -> None:
    """Whoever creates the ledger, shim or engine, it holds the same prices."""
    everything = compiled(None)
    assert sorted(everything.rows) == sorted(catalogue.seed_rows(CATALOG))
    assert everything.problems == ()
    assert (everything.source, everything.checked) == (
        "genai-prices",
        date(2026, 11, 10),
    )


def test_user_file_is_the_first_layer(tmp_path: Path) -> None:
    """A price in prices.toml overrules the list price, under a version that names the file's content."""
    path = tmp_path / "prices.toml"
    path.write_text(MINE)
    rows = [row for row in compiled(str(path)).rows if row[0] == "openai"]
    assert [row[1] for row in rows] == [0, 1, 2]
    card = cards.lookup(
        [(layer, *rest, json.loads(models)) for _, layer, *rest, models in rows], "openai", "gpt-4o", 0, {}
    )
    assert card is not None
    assert card.rates["input_tokens"]["price"] == "9"
    assert card.source == "user"
    assert len(card.version) == 8


def test_bad_user_file_is_reported_and_skipped(tmp_path: Path) -> None:
    """A typo in prices.toml is one sentence; list prices go on."""
    path = tmp_path / "prices.toml"
    path.write_text(MINE.replace("9", "-9"))
    everything = compiled(str(path))
    assert everything.problems == (f"{path}: price[1].rate[1].input is -9, below zero; write 0 or more",)
    assert everything.rows == compiled(None).rows


def test_absent_user_file_is_no_problem(tmp_path: Path) -> None:
    """Nobody has to have a price file."""
    assert compiled(str(tmp_path / "none.toml")).problems == ()


def test_one_bad_file_of_ours_leaves_the_others(folder: Path) -> None:
    """A damaged correction is named; the other corrections and the base stay."""
    (folder / "anthropic.toml").write_text("schema = 1\n[[price]\n")
    everything = compiled(None)
    assert [str(folder / "anthropic.toml") in problem for problem in everything.problems] == [True]
    assert "anthropic" not in {name for name, layer, *_ in everything.rows if layer == 1}
    assert "mistral" in {name for name, layer, *_ in everything.rows if layer == 1}
    assert {name for name, layer, *_ in everything.rows if layer == 2} >= {"anthropic", "openai"}


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1, "providers": {}}', "\udcff"])
def test_damaged_base_is_reported(folder: Path, text: str) -> None:
    """Without a usable catalog.json our corrections and the user's still hold, and the cause is said."""
    (folder / "catalog.json").write_text(text, errors="surrogateescape")
    everything = compiled(None)
    assert len(everything.problems) == 1
    assert "catalog.json: cannot be used" in everything.problems[0]
    assert {layer for _, layer, *_ in everything.rows} == {1}


def entries(everything: Compiled, provider: str, layer: int = 0) -> list[str]:
    """The ids a provider has in a layer, as its rows say."""
    return [
        entry["id"]
        for name, at, *_, models in everything.rows
        if (name, at) == (provider, layer)
        for entry in json.loads(models)
    ]


def test_several_user_files_are_one_layer(tmp_path: Path) -> None:
    """prices.toml first, then prices.d in the order of its names; the first to price a model has it, and a stand-in
    for all models hides none, whatever file it is in."""
    (tmp_path / "prices.d").mkdir()
    (tmp_path / "prices.toml").write_text(MINE.replace("gpt-4o", "*"))
    (tmp_path / "prices.d" / "b.toml").write_text(MINE.replace("input = 9", "input = 2"))
    (tmp_path / "prices.d" / "a.toml").write_text(MINE)
    (tmp_path / "prices.d" / ".hidden.toml").write_text("no")
    (tmp_path / "prices.d" / "notes.txt").write_text("no")
    everything = compiled(str(tmp_path / "prices.toml"))
    assert everything.problems == ()
    assert entries(everything, "openai") == ["gpt-4o", "gpt-4o", "*"]
    assert prices_of(everything.rows, "gpt-4o") == "9"
    assert prices_of(everything.rows, "gpt-nine") == "9"
    (tmp_path / "prices.toml").unlink()
    assert entries(compiled(str(tmp_path / "prices.toml")), "openai") == ["gpt-4o", "gpt-4o"]


def prices_of(rows: Iterable[Row], model: str) -> str | None:
    """The input price of `model` at openai as these rows have it."""
    layers = sorted(
        (layer, source, version, json.loads(models))
        for name, layer, source, version, models in rows
        if name == "openai"
    )
    card = cards.lookup(layers, "openai", model, 0, {})
    return None if card is None else str(card.rates["input_tokens"]["price"])


def test_a_typo_takes_back_no_price(tmp_path: Path) -> None:
    """A file that is bad now keeps what it last gave, the good one beside it changes at once, and a file that is
    removed is gone."""
    (tmp_path / "prices.d").mkdir()
    first, second = tmp_path / "prices.toml", tmp_path / "prices.d" / "more.toml"
    first.write_text(MINE)
    second.write_text(MINE.replace("gpt-4o", "gpt-5"))
    before = compiled(str(first)).rows
    first.write_text(MINE.replace("9", "nine"))
    second.write_text(MINE.replace("gpt-4o", "gpt-5").replace("9", "8"))
    found = compiled(str(first))
    assert [str(first) in problem for problem in found.problems] == [True]
    after = with_last_good(found, before)
    assert (prices_of(after, "gpt-4o"), prices_of(after, "gpt-5")) == ("9", "8")
    assert with_last_good(found, after) == after
    first.unlink()
    gone = compiled(str(first))
    assert gone.bad == frozenset()
    assert prices_of(with_last_good(gone, after), "gpt-4o") == "2.5"


def test_a_bad_file_of_ours_keeps_its_last_prices(folder: Path) -> None:
    """The correction of a damaged file of ours stays in a ledger that had it."""
    before = compiled(None).rows
    (folder / "anthropic.toml").write_text("schema = 1\n[[price]\n")
    (folder / "mistral.toml").unlink()
    after = with_last_good(compiled(None), before)
    kept = {row for row in after if row[1] == 1}
    assert [row for row in before if row[:2] == ("anthropic", 1)] == [
        row for row in kept if row[0] == "anthropic"
    ]
    assert "mistral" not in {row[0] for row in kept}
    (folder / "catalog.json").write_text("{")
    assert {row for row in with_last_good(compiled(None), before) if row[1] == 2} == {
        row for row in before if row[1] == 2
    }


def test_an_unreadable_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """prices.d that may not be listed is named; its prices stay."""
    (tmp_path / "prices.d").mkdir()
    (tmp_path / "prices.d" / "a.toml").write_text(MINE)
    before = compiled(str(tmp_path / "prices.toml")).rows
    real = os.listdir

    def refuse(path: str) -> list[str]:
        if str(path).endswith("prices.d"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", refuse)
    found = compiled(str(tmp_path / "prices.toml"))
    assert found.problems == (
        f"{tmp_path}/prices.d: cannot be listed (Permission denied); check its permissions",
    )
    assert prices_of(with_last_good(found, before), "gpt-4o") == "9"


def test_the_ledger_keeps_the_last_good_compile(costmon_home: Path) -> None:
    """Through the engine's chore and a real ledger: a typo is said and costs no price; the repair takes effect."""
    os.makedirs(paths.config_home(), exist_ok=True)
    file = Path(paths.user_prices_file())
    file.write_text(MINE)
    store = open_ledger(str(costmon_home))
    try:
        assert compile_prices(store)
        assert not compile_prices(store)
        assert ledger_price(store) == ("9", "")
        file.write_text(MINE.replace("9", "nine"))
        assert compile_prices(store)
        price, error = ledger_price(store)
        assert price == "9"
        assert error.startswith(f"{file}: ")
        file.write_text(MINE.replace("9", "7"))
        assert compile_prices(store)
        assert ledger_price(store) == ("7", "")
        (Path(paths.config_home()) / "prices.d").mkdir()
        (Path(paths.config_home()) / "prices.d" / "x.toml").write_text(MINE.replace("gpt-4o", "gpt-new"))
        assert compile_prices(store)
        file.unlink()
        assert compile_prices(store)
        assert ledger_price(store) == ("2.5", "")
    finally:
        store.close()


def ledger_price(store: Store) -> tuple[str | None, str]:
    """(input price of gpt-4o, the setting prices_error)."""
    rows = [tuple(row) for row in store.db.execute("select * from catalog").fetchall()]
    return prices_of(rows, "gpt-4o"), settings(store.db)["prices_error"]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("azure/gpt-4o", ("azure", "gpt-4o")),
        ("openrouter/openai/gpt-4o-mini", ("openrouter", "openai/gpt-4o-mini")),
        ("claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("team-x/gpt-4o", ("openai", "gpt-4o")),
        ("azure/eu/gpt-4o", None),
        ("gpt-99", None),
    ],
)
def test_a_proxy_nobody_knows(costmon_home: Path, model: str, found: tuple[str, str] | None) -> None:
    """A host that only speaks OpenAI's API may serve any maker's model: the provider its prefix names comes first."""
    store = open_ledger(str(costmon_home))
    try:
        card = Prices().card(store.db, "openai", model, NOON, "", anywhere=True)
    finally:
        store.close()
    assert (card and (card.provider, card.model)) == found


def test_resources_have_cards(tmp_path: Path) -> None:
    """Our list prices of resources, and the user's over them."""
    ours = compiled(None).resources
    assert ours["aws-ec2-egress"].rates[0].free == 100
    assert ours["aws-ec2-egress"].source == "builtin"
    path = tmp_path / "prices.toml"
    path.write_text(
        'schema = 1\n[[price]]\nresource = "aws-ec2-egress"\nkind = "transfer"\ncurrency = "KRW"\n'
        '[[price.rate]]\nper = "GB"\namount = 120\n'
    )
    mine = compiled(str(path)).resources
    assert mine["aws-ec2-egress"].currency == "KRW"
    assert (mine["aws-ec2-egress"].source, len(mine["aws-ec2-egress"].version)) == ("user", 8)
    assert set(mine) == set(ours)
    path.write_text(path.read_text() + path.read_text().removeprefix("schema = 1\n"))
    assert "names resource aws-ec2-egress a second time" in compiled(str(path)).problems[0]


def test_without_genai_prices() -> None:
    """costmon prices calls on a machine without genai-prices; only building the catalogue needs it."""
    code = """
import sys
sys.modules["genai_prices"] = None
from datetime import date
from costmon import paths
from costmon.errors import PriceError
from costmon.pricing.catalog import build
from costmon.pricing.catalog.layers import compiled
assert len(compiled(None).rows) > 40 and not compiled(None).problems
try:
    build.build(paths.bundled("pricing"), date(2026, 11, 10))
except PriceError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    assert done.stdout == "genai-prices is not installed; run `pip install genai-prices` and build again\n"


def test_cards_load_the_standard_library_only() -> None:
    """What prices a call inside a host app brings nothing with it."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import costmon.shim.cards\n"
        "names = {m.partition('.')[0] for m in set(sys.modules) - before} - {'costmon'}\n"
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )
    assert done.stdout.strip() == ""


def test_a_plain_file_where_the_folder_belongs_is_named(tmp_path: Path) -> None:
    """prices.d that is no folder would be left out in silence; prices.toml beside it works."""
    (tmp_path / "prices.toml").write_text(MINE)
    (tmp_path / "prices.d").write_text(MINE)
    found = compiled(str(tmp_path / "prices.toml"))
    assert found.problems == (
        f"{tmp_path}/prices.d: cannot be listed (Not a directory); make it a folder of price files, or remove it",
    )
    assert prices_of(found.rows, "gpt-4o") == "9"


def resource(amount: str) -> str:
    return f"""schema = 1
[[price]]
resource = "aws-ec2-egress"
kind = "transfer"
currency = "USD"
[[price.rate]]
per = "GB"
amount = {amount}
"""


def test_a_broken_file_does_not_bring_back_the_bundled_resource(costmon_home: Path) -> None:
    """A typo in the file that corrects a bundled resource keeps the correction; without the file it goes."""
    home = Path(paths.config_home())
    (home / "prices.d").mkdir(parents=True)
    mine, other = home / "prices.toml", home / "prices.d" / "a.toml"
    mine.write_text(resource("0.5"))
    other.write_text(resource("0.7").replace("aws-ec2-egress", "my-line"))
    store = open_ledger(str(costmon_home))

    def amounts() -> tuple[int | None, int | None]:
        compile_prices(store)
        found = from_json(settings(store.db)["resource_prices"])
        both = (found.get(name) for name in ("aws-ec2-egress", "my-line"))
        one, two = (None if price is None else price.rates[-1].price for price in both)
        return one, two

    try:
        bundled = compiled(None).resources["aws-ec2-egress"].rates[-1].price
        assert amounts() == (500_000_000, 700_000_000)
        mine.write_text(resource("x"))
        assert amounts() == (500_000_000, 700_000_000)
        other.unlink()  # while the other file is still bad
        assert amounts() == (500_000_000, None)
        other.write_text(resource("0.6"))
        assert amounts() == (500_000_000, None)  # prices.toml comes first, and it had a price
        mine.write_text("schema = 1\n")
        assert amounts() == (600_000_000, None)
        other.unlink()
        assert amounts() == (bundled, None)
    finally:
        store.close()
