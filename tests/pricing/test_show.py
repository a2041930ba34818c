"""`costmon prices show` and `build` as a user types them."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from costmon.cli.prices import prices


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COSTMON_HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(prices, arguments)


def test_show_names_price_source_and_layer() -> None:
    """A figure on the screen can be traced to its card."""
    shown = run("show", "claude-sonnet-5-5", "--at", "2026-10-06")
    assert shown.exit_code == 0
    assert "anthropic claude-sonnet-5-5" in shown.output
    assert "builtin@2026.11.20:" in shown.output
    assert "cache_read_tokens      0.2 USD per 1,000,000" in shown.output


def test_show_as_json() -> None:
    """Scripts read amounts as texts, with their currency, and see tiers."""
    shown = json.loads(run("show", "gemini-2.5-pro", "--json").output)
    assert shown["provider"] == "google"
    assert shown["layer"] == "base"
    assert shown["rates"]["input_tokens"] == {
        "per": 1_000_000,
        "price": {"amount": "1.25", "currency": "USD"},
        "tiers": [{"above_input_tokens": 200_000, "price": {"amount": "2.5", "currency": "USD"}}],
    }


def test_show_at_a_provider() -> None:
    """The same model elsewhere has its own card."""
    assert "openrouter openai/gpt-4o" in run("show", "openai/gpt-4o", "--provider", "OpenRouter").output


def test_show_prefers_the_users_price_and_reports_a_bad_file(home: Path) -> None:
    """prices.toml is used as soon as it is there; a typo in it is a warning, not a crash."""
    text = 'schema=1\n[[price]]\nprovider="openai"\nmodel="gpt-99"\ncurrency="KRW"\n[[price.rate]]\ninput=9\n'
    (home / "prices.toml").write_text(text)
    assert "9 KRW per 1,000,000" in run("show", "gpt-99").output
    (home / "prices.toml").write_text(text + "oops = 1\n")
    shown = run("show", "gpt-4o")
    assert shown.exit_code == 0
    assert "warning: " in shown.stderr
    assert "rate[1].oops is no unit known here" in shown.stderr


def test_show_unknown_model_says_what_to_do(home: Path) -> None:
    """An unknown model is an error with the file to edit and the lines to paste, which price nothing until filled in."""
    shown = run("show", "gpt-99")
    assert shown.exit_code == 1
    message, _, stub = shown.stderr.partition("\n")
    assert message.startswith(f"Error: no price for gpt-99 at that time; add it to {home}/prices.toml")
    (home / "prices.toml").write_text(stub)
    assert "warning: " in run("show", "gpt-4o").stderr
    filled = stub.replace('input = "?"', "input = 1").replace('output = "?"', "output = 2")
    (home / "prices.toml").write_text(filled)
    assert run("show", "gpt-99").exit_code == 0
    (home / "prices.toml").unlink()
    assert run("show", "gpt-4o", "--provider", "nobody").exit_code == 1


def test_bad_date_is_one_sentence() -> None:
    """A date that is none is refused with an example."""
    assert run("show", "gpt-4o", "--at", "tomorrow").stderr == (
        "Error: --at 'tomorrow' is no date; write it like 2026-11-20\n"
    )


def test_build_writes_the_catalogue(home: Path) -> None:
    """Building to another place leaves the bundled file alone and says what was built."""
    built = run("build", "--output", str(home / "catalog.json"))
    assert built.exit_code == 0
    assert f"models, genai-prices {version('genai-prices')} of 20" in built.output
    assert json.loads((home / "catalog.json").read_text())["schema"] == 1
    assert run("build", "--output", str(home / "no" / "catalog.json")).exit_code == 1
