"""`costmon prices list`, `compare` and `check` as a user types them, `check` on a real ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from costmon.cli.prices import prices
from costmon.shim.recorder import Outcome, Recorder
from costmon.store import open_ledger
from tests.shim.battery import kit


@pytest.fixture(autouse=True)
def home(costmon_home: Path) -> Path:
    costmon_home.mkdir(mode=0o700)
    return costmon_home


def run(*arguments: str) -> Result:
    return CliRunner().invoke(prices, arguments)


def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


# --- list and compare ---------------------------------------------------------------------------------------


def test_list_says_what_is_left_out() -> None:
    """Over two thousand models: a page, and how to see the rest."""
    lines = run("list", "--limit", "5").stdout.splitlines()
    assert lines[0].split() == ["MODEL", "INPUT", "OUTPUT", "CACHE", "LAYER", "SINCE"]
    shown = [line for line in lines if line.startswith("anthropic ")]
    assert len(shown) == 5
    assert lines[-1].startswith("5 of 2,")
    found = document("list", "--limit", "5")
    assert (len(found["models"]), found["more"] > 2000) == (5, True)


def test_search_narrows_the_list() -> None:
    """All words must occur; the rates are those of `show`, with their layer and date."""
    found = document("list", "--search", "SONNET 5-5", "--provider", "Anthropic", "--at", "2026-11-20")
    (row,) = found["models"]
    assert (row["model"], row["layer"], row["since"]) == ("claude-sonnet-5-5", "builtin", "2026-10-07")
    assert row["rates"]["cache_read_tokens"]["price"] == {"amount": "0.1", "currency": "USD"}
    before = document("list", "--search", "sonnet-5-5", "--provider", "anthropic", "--at", "2026-10-06")
    assert before["models"][0]["rates"]["cache_read_tokens"]["price"]["amount"] == "0.2"
    assert [
        row["model"] for row in document("list", "--search", "o3-pro", "--provider", "openai")["models"]
    ] == ["o3-pro"]


def test_a_users_price_is_listed_once(home: Path) -> None:
    """It hides the one below."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\n'
        'currency = "KRW"\n[[price.rate]]\ninput = 9\noutput = 8\n'
    )
    found = document("list", "--search", "gpt-4o", "--provider", "openai")["models"]
    assert [(row["layer"], len(row["rates"])) for row in found if row["model"] == "gpt-4o"] == [("user", 2)]
    line = next(
        line for line in run("list", "--search", "openai gpt-4o").stdout.splitlines() if " KRW" in line
    )
    assert line.split() == ["openai", "gpt-4o", "9", "8", "-", "KRW", "user"]


def test_the_currency_stands_under_its_own_heading(home: Path) -> None:
    """A date stays under SINCE, whatever the price is in."""
    (home / "prices.toml").write_text(
        'schema = 1\n[[price]]\nprovider = "openai"\nmodel = "gpt-77"\ncurrency = "EUR"\n'
        "[[price.rate]]\nfrom = 2026-01-02\ninput = 9\noutput = 8\n"
    )
    head, row, *_ = run("list", "--search", "gpt-77").stdout.splitlines()
    assert row[head.index("IN  ") :].startswith("EUR ")
    assert row[head.index("SINCE") :] == "2026-01-02"
    assert len(row) <= 80


def test_a_name_is_listed_once_with_the_price_that_counts() -> None:
    """azure has `ada` of its own and by its fallback; the shim takes the first."""
    found = document("list", "--provider", "azure", "--limit", "5000")["models"]
    names = [row["model"].lower() for row in found]
    assert len(names) == len(set(names))
    (ada,) = [row for row in found if row["model"] == "ada"]
    shown = document("show", "ada", "--provider", "azure")
    assert ada["rates"] == shown["rates"]


def test_resources_are_found_and_shown(home: Path) -> None:
    """Traffic, storage and servers have a page too, and the lines that use them."""
    (one,) = document("list", "--search", "egress")["resources"]
    assert (one["resource"], one["kind"], one["per"]) == ("aws-ec2-egress", "transfer", "GB")
    assert one["price"] == {"amount": "0.09", "currency": "USD"}
    listed = run("list", "--search", "egress")
    assert listed.exit_code == 0
    assert "0.09 USD per GB, 100 free a month, tiers" in listed.stdout
    assert all(len(line) <= 80 for line in listed.stdout.splitlines())
    shown = run("show", "aws-ec2-egress").stdout
    assert "0.09 USD per GB; the first 100 GB of a month cost nothing" in shown.replace("\n  ", " ")
    assert "what is above 10,240: 0.085 USD" in shown
    assert "checked 2026-11-20" in shown
    lines = shown.partition("in config.toml:\n")[2]
    (home / "config.toml").write_text('measure = "network"\n'.join([lines, ""]))
    from costmon import config

    (mine,) = config.load(str(home / "config.toml")).resources
    assert (mine.name, mine.price_of) == ("aws-ec2-egress", "aws-ec2-egress")
    assert document("show", "runpod-h100-sxm", "--at", "2020-01-01")["price"] is None
    assert "names like it: aws-ec2-egress" in run("show", "aws-ec2-egres").stderr


def test_prices_in_two_currencies_name_theirs_and_have_no_winner(home: Path) -> None:
    """Nine won are not dearer than one dollar; without a rate nobody is the cheapest."""
    text = "schema = 1\n" + "".join(
        f'[[price]]\nprovider = "openai"\nmodel = "gpt-7{n}"\ncurrency = "{money}"\n[[price.rate]]\n'
        f"input = {9 + n}\noutput = 8\n"
        for n, money in ((7, "KRW"), (8, "USD"), (9, "KRW"))
    )
    (home / "prices.toml").write_text(text)
    shown = run("compare", "gpt-77", "gpt-78").stdout
    assert "16 KRW" in shown
    assert "17 USD" in shown
    assert "cheapest" not in shown
    same = run("compare", "gpt-77", "gpt-79").stdout
    assert "cheapest" in same  # of one currency, no rate is needed
    assert "16 KRW" not in same


def test_nothing_found() -> None:
    """No model is an exit code, a wrong provider a sentence with one like it."""
    assert run("list", "--search", "zzz-no-such").exit_code == 1
    wrong = run("list", "--provider", "opnai")
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "Error: --provider 'opnai' is no provider with prices; did you mean openai?\n",
    )
    assert run("list", "--limit", "0").exit_code == 2


def test_compare_rate_by_rate() -> None:
    """gpt-4o-mini: 1,000 x 0.15 + 1,000 x 0.6 per million = $0.00075; claude-haiku-5-5: 0.1 and 0.5, $0.0006."""
    found = document("compare", "gpt-4o-mini", "claude-haiku-5-5", "nope-7")
    assert [row["cost"] and row["cost"]["amount"] for row in found["models"]] == ["0.00075", "0.0006", None]
    assert [row["cheapest"] for row in found["models"]] == [False, True, False]
    shown = run("compare", "gpt-4o-mini", "claude-haiku-5-5", "nope-7").stdout
    assert "A  openai gpt-4o-mini  genai-prices@" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["input_tokens", "per", "1M", "0.15", "0.1+", "-"] in lines
    assert ["a", "call", "of", "1,000", "+", "1,000", "$0.00075", "$0.0006", "unknown"] in lines
    assert "nope-7: no price is known" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_compare_at_a_size_and_date() -> None:
    """o3 at 2025-06-09: 10 + 40 for a million each; from 2025-06-10 on 2 + 8. Above 200,000 Gemini costs 2.5 and 15."""
    size = ("--input-tokens", "1000000", "--output-tokens", "1000000")
    before = document("compare", "o3", *size, "--at", "2025-06-09")["models"][0]
    after = document("compare", "o3", *size, "--at", "2025-06-10")["models"][0]
    assert (before["cost"]["amount"], after["cost"]["amount"]) == ("50", "10")
    assert document("compare", "gemini-2.5-pro", *size)["models"][0]["cost"]["amount"] == "17.5"


def test_compare_refuses_too_many_and_only_unknown() -> None:
    """Ten columns fit nowhere; nothing priced is exit code 1."""
    assert run("compare", *(f"m{n}" for n in range(10))).exit_code == 2
    assert run("compare", "nope-7").exit_code == 1


# --- check --------------------------------------------------------------------------------------------------


@pytest.fixture
def recorder(home: Path) -> Recorder:
    """An app's recorder on a ledger of its own; the catalogue is seeded with it."""
    return Recorder(str(home))


def call(recorder: Recorder, usage: dict[str, int] | None, **more: Any) -> None:
    held = recorder.admit(kit.llm(**more))
    assert held is not None
    recorder.settle(held, Outcome("ok", usage=usage, service_tier=more.get("tier", "")))


def findings(kind: str) -> list[dict[str, Any]]:
    return [one for one in document("check")["findings"] if one["kind"] == kind]


def test_nothing_to_do_on_a_new_machine() -> None:
    """No ledger is no finding, and none is made; every price file says its age."""
    done = run("check")
    assert done.exit_code == (1 if (datetime.now(UTC) - datetime(2026, 11, 10, tzinfo=UTC)).days > 45 else 0)
    assert "base" in done.stdout
    assert "pricing/anthropic.toml: checked 2026-11-20" in done.stdout.replace("\n", " ").replace("  ", "")


def test_an_unpriced_model_gets_lines_that_work(home: Path, recorder: Recorder) -> None:
    """Pasted and filled in, they price the model; until then the check says so with exit code 1."""
    for _ in range(3):
        call(
            recorder,
            {"input_tokens": 100, "output_tokens": 10, "input_audio_tokens": 5},
            model="gpt-99-secret",
        )
    done = run("check")
    assert done.exit_code == 1
    assert "TODO  unpriced  3 calls of openai gpt-99-secret without a price" in done.stdout
    stub = done.stdout.partition('for each "?":\n\n')[2]
    assert stub.splitlines()[:4] == [
        "schema = 1",
        "[[price]]",
        'provider = "openai"',
        'model = "gpt-99-secret"',
    ]
    (found,) = findings("unpriced")
    assert (found["calls"], found["units"]) == (3, ["input_tokens", "output_tokens"])
    (home / "prices.toml").write_text(stub.replace('"?"', "1.5"))
    assert run("show", "gpt-99-secret").exit_code == 0
    (later,) = findings("unpriced")
    assert "have one now: `costmon reprice --only-unknown` puts it on them" in later["text"]
    assert later["stub"] is None
    call(recorder, {"input_tokens": 2, "output_tokens": 1}, model="gpt-99-secret")  # 3 x $1.50 per million
    assert kit.rows(home, "select cost, currency from event order by id desc limit 1") == [(4500, "USD")]


def test_an_api_without_tokens_gets_its_own_units(recorder: Recorder) -> None:
    """Seconds of audio are priced by the hour."""
    call(recorder, {"audio_seconds": 12}, model="whisper-99", has_output=False)
    (found,) = findings("unpriced")
    assert found["units"] == ["audio_seconds"]
    assert 'audio_seconds = "?"   # USD per hour' in found["stub"]


def test_a_tracked_api_is_priced_where_it_is_tracked(recorder: Recorder) -> None:
    """prices.toml would not be looked at: the cost belongs to the decorator."""
    held = recorder.admit(kit.priced(None, provider="coupang", model="search"))
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=None))
    (found,) = findings("unpriced")
    assert '@costmon.track("coupang", cost_per_call="…")' in found["text"]
    assert found["stub"] is None
    assert "prices.toml" not in run("check").stdout


def test_a_resource_without_a_price_is_no_tracked_call(recorder: Recorder) -> None:
    """A server is priced in prices.toml, by its name."""
    held = recorder.admit(kit.priced(None, provider="host", model="gpu-box", source="meter"))
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=None))
    (found,) = findings("unpriced")
    assert 'resource = "gpu-box"' in found["text"]
    assert "track" not in found["text"]


def test_an_answer_without_usage_is_not_a_missing_price(recorder: Recorder) -> None:
    """The price is known; what was used is not."""
    call(recorder, None, model="gpt-4o-mini")
    (found,) = findings("unpriced")
    assert found["state"] == "note"
    assert "answered without telling their usage" in found["text"]


def test_a_partly_priced_model_names_the_unit(home: Path, recorder: Recorder) -> None:
    """The lines to paste hold what is known already, because they replace the card."""
    call(recorder, {"input_tokens": 100, "output_tokens": 10, "code_executions": 2}, model="gpt-4o-mini")
    (found,) = findings("partial")
    assert (found["state"], found["units"], found["calls"]) == ("todo", ["code_executions"], 1)
    assert "no price for code_executions" in found["text"]
    (home / "prices.toml").write_text("schema = 1\n" + found["stub"].replace('"?"', "30"))
    shown = document("show", "gpt-4o-mini")
    assert shown["layer"] == "user"
    assert shown["rates"]["input_tokens"]["price"]["amount"] == "0.15"
    assert shown["rates"]["code_executions"]["price"]["amount"] == "30"


def test_tiers_are_kept_in_the_lines_to_paste(home: Path, recorder: Recorder) -> None:
    """Above 272,000 tokens gpt-6-sol costs 4 instead of 2; so it must after pasting."""
    before = document("show", "gpt-6-sol")
    call(recorder, {"input_tokens": 100, "output_tokens": 10, "code_executions": 2}, model="gpt-6-sol")
    (found,) = findings("partial")
    (home / "prices.toml").write_text("schema = 1\n" + found["stub"].replace('"?"', "30"))
    after = document("show", "gpt-6-sol")
    assert after["layer"] == "user"
    assert {key: after["rates"][key] for key in before["rates"]} == before["rates"]


def test_bad_files_and_gaps(home: Path) -> None:
    """A file that was left out, and dates that leave a model unpriced."""
    head = 'schema = 1\n[[price]]\nprovider = "openai"\ncurrency = "USD"\nmodel = "gpt-77"\nchecked = 2020-01-01\n'
    first = "[[price.rate]]\nuntil = 2026-01-01\ninput = 1\noutput = 1\n"
    second = "[[price.rate]]\nfrom = 2026-02-01\nuntil = 2026-03-01\ninput = 1\noutput = 1\n"
    (home / "prices.toml").write_text(head + first + second)
    gaps = [one["text"] for one in findings("gap")]
    assert gaps == [
        "prices.toml: openai gpt-77 has no price from 2026-01-01 until 2026-02-01 (UTC); it is unpriced",
        "prices.toml: openai gpt-77 has no price from 2026-03-01 on (UTC); it is unpriced",
    ]
    assert [one["state"] for one in findings("file") if "2020-01-01" in one["text"]] == ["note"]
    (home / "prices.toml").write_text(head + first + second + "oops = 1\n")
    (left_out,) = findings("left-out")
    assert "oops is no unit known here" in left_out["text"]


def test_a_model_its_maker_has_dropped(recorder: Recorder) -> None:
    """Still priced, so only a note."""
    listed = document("list", "--limit", "5000")["models"]
    old = next(row for row in listed if row["deprecated"] and "output_tokens" in row["rates"])
    call(recorder, {"input_tokens": 1, "output_tokens": 1}, model=old["model"], provider=old["provider"])
    (found,) = findings("deprecated")
    assert (found["state"], found["model"], found["calls"]) == ("note", old["model"], 1)


def test_what_was_used_long_ago_does_not_matter(home: Path, recorder: Recorder) -> None:
    """After 90 days an unpriced model is forgotten."""
    call(recorder, {"input_tokens": 100, "output_tokens": 10}, model="gpt-99-secret")
    store = open_ledger(str(home))
    try:
        past = store.now() - timedelta(days=120) // timedelta(microseconds=1)
        store.db.execute("update rollup_day set day_at = ?", (past,))
    finally:
        store.close()
    assert findings("unpriced") == []


def test_an_old_base_is_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices of 46 days ago are warned about, of 45 not."""
    from costmon.cli import values
    from costmon.shim.timestamps import to_us

    def state(days: int) -> str:
        later = datetime(2026, 11, 10, 12, tzinfo=UTC) + timedelta(days=days)
        monkeypatch.setattr(values, "now", lambda: to_us(later))
        return str(findings("base")[0]["state"])

    assert (state(45), state(46)) == ("ok", "todo")


def test_a_context_without_a_price_is_named(home: Path, recorder: Recorder) -> None:
    """A dated name and a tier its maker has no price for: the lines to paste price just that name and tier."""
    model, tier = "gpt-6-sol-2026-10-01", "turbo"
    held = recorder.admit(kit.llm(model=model))
    assert held is not None
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    recorder.settle(held, Outcome("ok", usage=usage, service_tier=tier))
    (found,) = findings("partial")
    assert (found["units"], found["calls"]) == ([f"service_tier={tier}"], 1)
    (home / "prices.toml").write_text("schema = 1\n" + found["stub"].replace('"?"', "30"))
    shown = document("show", model)
    assert (shown["layer"], shown["rates"]["input_tokens"]["price"]["amount"]) == ("user", "2")
    assert shown["variants"][0]["rates"]["input_tokens"]["price"]["amount"] == "30"
    assert "priced in full by now" in findings("partial")[0]["text"]


def test_the_lines_to_paste_name_the_provider_the_ledger_saw(recorder: Recorder) -> None:
    """Not the maker that a name looks like."""
    call(recorder, {"input_tokens": 10, "output_tokens": 1}, model="gpt-99-hosted", provider="together")
    assert 'provider = "together"' in run("show", "gpt-99-hosted").stderr
    assert 'provider = "openai"' in run("show", "gpt-98").stderr
