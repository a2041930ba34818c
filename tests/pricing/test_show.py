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


def test_show_tells_which_window_holds_and_until_when(home: Path) -> None:
    """A Friday's peak ends at 10:00 UTC; on Saturday the next change is Monday's peak."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[price]]\nprovider = "acme"\nmodel = "night-1"\ncurrency = "USD"\n'
        "[[price.rate]]\ninput = 1\noutput = 2\n"
        'when = [{ days = ["mon", "tue", "wed", "thu", "fri"], hours = ["06:00-10:00"], multiply = 2 }]\n'
    )
    friday = json.loads(run("show", "night-1", "--at", "2026-11-20T09:00:00Z", "--json").output)
    assert friday["rates"]["input_tokens"]["price"]["amount"] == "2"
    assert friday["next_change"] == "2026-11-20T10:00:00.000000Z"
    assert [row["holds"] for row in friday["history"]] == [False, True]
    assert friday["history"][1]["window"] == "Mon-Fri 06:00-10:00 UTC"
    saturday = run("show", "night-1", "--at", "2026-11-21").output
    assert "no window holds, so it is the usual price" in saturday
    assert "next change: 2026-11-23 06:00 UTC" in saturday
    assert (
        "the window Mon-Fri 06:00-10:00 UTC holds"
        in run("show", "night-1", "--at", "2026-11-23T06:00:00Z").output
    )


def test_show_tells_the_history() -> None:
    """o3 was cut to a fifth on 2025-06-10; the day before that the cut is the next change."""
    shown = json.loads(run("show", "o3", "--at", "2025-06-09", "--json").output)
    prices = [
        (row["from"], row["rates"]["input_tokens"]["price"]["amount"], row["holds"])
        for row in shown["history"]
    ]
    assert prices == [(None, "10", True), ("2025-06-10", "2", False)]
    assert shown["next_change"] == "2025-06-10T00:00:00.000000Z"
    assert "* from 2025-06-10: " in run("show", "o3").output


def test_show_tells_the_variants() -> None:
    """Batch and flex are there from their dates on."""
    shown = json.loads(run("show", "o3", "--at", "2026-10-13", "--json").output)
    found = {
        row["context"]: (row["from"], row["holds"], row["rates"]["input_tokens"]["price"]["amount"])
        for row in shown["variants"]
    }
    assert found["service_tier=flex"] == ("2026-10-12", True, "1")
    assert found["processing=batch"] == ("2026-10-14", False, "1")
    assert "service_tier=default" not in found


def test_show_follows_and_names_aliases(home: Path) -> None:
    """A house name leads to a model at another provider."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[alias]]\nprovider = "azure"\nmatch = "prod-chat-*"\nto = "openai:gpt-4o-mini"\n'
    )
    shown = json.loads(run("show", "prod-chat-7", "--json").output)
    assert (shown["provider"], shown["model"], shown["aliases"]) == (
        "openai",
        "gpt-4o-mini",
        ["azure prod-chat-7"],
    )
    assert "alias followed: azure prod-chat-7 → openai gpt-4o-mini" in run("show", "prod-chat-7").output


def test_a_name_may_name_its_provider() -> None:
    """As aliases and gateways write it; a catch-all of a local server never answers for an unknown name."""
    for name in ("azure:gpt-4o", "azure/gpt-4o"):
        assert json.loads(run("show", name, "--json").output)["provider"] == "azure"
    bedrock = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert json.loads(run("show", bedrock, "--json").output)["provider"] == "aws"
    assert run("show", "nope-7").exit_code == 1
    assert "names like it: gpt-4o" in run("show", "gpt-4oo").stderr


def test_wrong_names_and_dates() -> None:
    """One sentence each, without a traceback."""
    for arguments in (
        ("",),
        ("x" * 300,),
        ("gpt-4o", "--at", "2200-01-01"),
        ("gpt-4o", "--at", "1969-12-31"),
    ):
        wrong = run("show", *arguments)
        assert wrong.exit_code == 2
        assert wrong.stderr.count("\n") == 1


def test_every_model_is_found_as_the_shim_finds_it(home: Path) -> None:
    """The card that is shown is the one that calls are priced by, with its layer and entry."""
    from costmon.pricing.lookup.show import open_catalogue
    from costmon.pricing.lookup.timetable import price_rows
    from costmon.shim.cards import LAYERS, find_card

    at_us = 1_795_000_000_000_000  # 2026-11-18
    catalogue = open_catalogue(None)
    for provider in ("anthropic", "openai", "mistral", "deepseek"):
        for layer, _, _, entries in catalogue.layers(provider):
            for entry in entries[::12]:
                card = find_card(catalogue.layers, provider, entry["id"], at_us, {})
                found = catalogue.find(entry["id"], provider, at_us)
                assert card is None or (found and found.card) == card
                if found is not None and found.entry is entry:
                    assert found.layer == LAYERS[layer]
                    held = [row for row in price_rows(entry, at_us) if row.holds]
                    assert held[0].rates == found.card.rates


def test_what_is_listed_can_be_shown() -> None:
    """Also an entry whose id is no name that a call could bear."""
    listed = json.loads(
        run("list", "--provider", "aws", "--search", "regional", "--limit", "3", "--json").output
    )
    assert listed["models"]
    for row in listed["models"]:
        shown = json.loads(run("show", row["model"], "--provider", "aws", "--json").output)
        assert shown["rates"] == row["rates"]


def test_show_says_where_the_figures_are_from_and_of_which_day(home: Path) -> None:
    """A page and a day of ours and the user's, the release of the base; what is not said is said to be."""
    ours = json.loads(run("show", "deepseek-v4-pro", "--json").output)
    assert ours["quoted_from"].startswith("https://api-docs.deepseek.com/")
    assert ours["checked"] == "2026-11-20"
    base = run("show", "gpt-4o-mini").output
    assert f"source: genai-prices {version('genai-prices')} (released 2026-11-10)" in base
    text = 'schema=1\n[[price]]\nprovider="openai"\nmodel="gpt-99"\ncurrency="USD"\n'
    rate = "[[price.rate]]\ninput=9\n"
    (home / "prices.toml").write_text(text + rate)
    plain = json.loads(run("show", "gpt-99", "--json").output)
    assert (plain["quoted_from"], plain["checked"]) == (None, None)
    assert "source: not said" in run("show", "gpt-99").output
    (home / "prices.toml").write_text(text + 'source="my contract"\nchecked=2026-11-01\n' + rate)
    assert "source: my contract (checked 2026-11-01)" in run("show", "gpt-99").output
    again = json.loads(run("show", "gpt-99", "--json").output)
    assert again["hash"] == plain["hash"]  # a note on a price makes no other card


def test_the_lines_to_paste_guess_no_provider(home: Path) -> None:
    """Nobody knows who serves it: a place to fill in, which the reader refuses with its place until it is."""
    shown = run("show", "qwen99:8b").stderr
    assert 'provider = "?"' in shown
    (home / "prices.toml").write_text(shown.partition("\n")[2])
    assert 'price[1].provider is still "?"; write who serves the model' in run("show", "gpt-4o").stderr


def test_a_picture_is_not_priced_by_the_token(home: Path) -> None:
    """Its lines ask for the price of calls."""
    shown = run("show", "my-image-9").stderr
    assert 'requests = "?"   # USD per 1,000 calls' in shown
    assert "tokens" not in shown


def test_a_free_host_needs_no_price(home: Path) -> None:
    """An Ollama at home, or a host the config marks free."""
    shown = run("show", "qwen99:8b", "--provider", "ollama")
    assert shown.exit_code == 1
    assert "Calls to an Ollama of your own network" in shown.stderr
    assert "cost nothing and need no price" in shown.stderr
    (home / "config.toml").write_text('[hosts]\n"10.0.0.7:8000" = { provider = "vllm", free = true }\n')
    shown = run("show", "qwen99:8b", "--provider", "vllm")
    assert "Calls to 10.0.0.7:8000, marked free in [hosts] of config.toml, cost nothing" in shown.stderr
    assert "cost nothing" not in run("show", "qwen99:8b", "--provider", "openai").stderr
