"""The layers together: what is compiled for the ledger, from which file, and what a bad file costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from costmon import paths
from costmon.pricing import build
from costmon.pricing.catalog import builtin_layer, compiled
from costmon.shim import cards, catalogue

FOLDER = paths.bundled("pricing")
CATALOG = os.path.join(FOLDER, "catalog.json")
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
    layer, problems = builtin_layer(FOLDER)
    assert problems == []
    assert catalogue.read_catalog(CATALOG)["builtin"] == layer
    assert {name: part["version"] for name, part in layer.items()} == {
        "anthropic": "2026.11.20",
        "mistral": "2026.11.20",
    }


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
    assert [row[1] for row in rows] == [0, 2]
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
    assert {name for name, layer, *_ in everything.rows if layer == 1} == {"mistral"}
    assert {name for name, layer, *_ in everything.rows if layer == 2} >= {"anthropic", "openai"}


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1, "providers": {}}', "\udcff"])
def test_damaged_base_is_reported(folder: Path, text: str) -> None:
    """Without a usable catalog.json our corrections and the user's still hold, and the cause is said."""
    (folder / "catalog.json").write_text(text, errors="surrogateescape")
    everything = compiled(None)
    assert len(everything.problems) == 1
    assert "catalog.json: cannot be used" in everything.problems[0]
    assert {layer for _, layer, *_ in everything.rows} == {1}


def test_without_genai_prices() -> None:
    """costmon prices calls on a machine without genai-prices; only building the catalogue needs it."""
    code = """
import sys
sys.modules["genai_prices"] = None
from datetime import date
from costmon import paths
from costmon.errors import PriceError
from costmon.pricing import build
from costmon.pricing.catalog import compiled
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
