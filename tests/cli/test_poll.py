"""`costmon poll` from the shell: every figure with its window, age and state; a failure is one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from costmon.cli import main
from costmon.cli.polled import span, window_text
from costmon.errors import CostmonError
from costmon.store import open_ledger
from tests.harness.cli import COSTMON, costmon, environ
from tests.harness.venvs import ROOT
from tests.sources.polling.bypass import Selling, spend
from tests.sources.providers.fake import Answer, deepseek, openai
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

NOW = datetime.now(UTC)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("POLL_KEY", openai.FAKE.key)
    with Server(openai.FAKE, Bill(), NOW) as one:
        for day in range(4):
            one.bill.spend(
                NOW.date() - timedelta(days=day), "0.4021", "gpt-5-mini", project="proj_a", key="key_1"
            )
        yield one


@pytest.fixture
def home(costmon_home, server):
    costmon_home.mkdir(mode=0o700)
    configure(costmon_home, openai_at(server))
    return costmon_home


def openai_at(server, more: str = "") -> str:
    return f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n{more}'


def configure(home, text: str) -> None:
    (home / "config.toml").write_text(text)


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, args)
    assert not isinstance(result.exception, Exception), result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_every_figure_is_printed_with_its_window_age_and_state(home, server):
    said = run("poll", "--once")
    assert said.startswith("openai (OpenAI at 127.0.0.1): ok · 3 requests, ")
    today = next(line for line in said.splitlines() if line.startswith(f"{NOW:%Y-%m-%d}"))
    assert today.split()[1:] == [
        "gpt-5-mini,",
        "input",
        "proj_a,",
        "key_1",
        "$0.4021",
        "partial",
        *today.split()[-2:],
    ]
    assert all(len(line) <= 80 for line in said.splitlines())
    document = json.loads(run("poll", "--once", "--json"))
    (source,) = document["sources"]
    assert (source["name"], source["state"], source["lacks"] != []) == ("openai", "ok", True)
    figures = [one for one in source["figures"] if one["start"].startswith(f"{NOW:%Y-%m-%d}")]
    assert [(one["source"], one["cost"], one["state"], one["age_seconds"] < 60) for one in figures] == [
        ("openai", {"amount": "0.4021", "currency": "USD"}, "partial", True)
    ]
    assert source["this_hour"]["requests"] == len(server.journal)
    assert openai.FAKE.key not in said + json.dumps(document)


def test_a_failure_is_a_sentence_and_the_last_good_figures_with_their_age(home, server):
    run("poll", "--once")
    before = run("poll", "--json")
    server.faults.append(Answer({"error": {}}, 503))
    said = run("poll", "--once", code=1)
    assert not server.faults
    assert "NOT READ (upstream), the figures are " in said
    assert "$0.4021" in said
    assert "Traceback" not in said
    shown = run("poll")
    assert "upstream" in shown
    assert "OpenAI" in shown
    (source,) = json.loads(run("poll", "--json"))["sources"]
    (good,) = json.loads(before)["sources"]
    assert (source["month"], source["read_at"]) == (good["month"], good["read_at"])
    assert source["reason"]
    assert any(line.startswith("problem: source openai: ") for line in run("status").splitlines())


def test_sources_are_read_side_by_side_and_one_that_fails_fails_alone(home, server, monkeypatch):
    monkeypatch.setenv("DEEP_KEY", deepseek.FAKE.key)
    with Server(deepseek.FAKE, Bill(), NOW) as other:
        more = f'[source.deepseek]\nbase_url = "{other.url}"\nkey = "env:DEEP_KEY"\n'
        configure(home, openai_at(server, more + '[source.typo]\nkind = "opennai"\n'))
        other.faults.append(Answer(b"<html>", 200))
        document = json.loads(run("poll", "--once", "--json", code=2))
        assert {one["name"]: one["state"] for one in document["sources"]} == {
            "openai": "ok",
            "deepseek": "schema",
            "typo": "config",
        }
        assert 'did you mean "openai"?' in document["sources"][2]["reason"]
        only = json.loads(run("poll", "--once", "--source", "deepseek", "--json"))
        assert [one["name"] for one in only["sources"]] == ["deepseek"]
        assert only["sources"][0]["balances"] != []
    assert "balance" in run("poll")


def test_what_costs_money_is_read_only_when_it_is_named(home, server):
    configure(home, openai_at(server, "[source.aws]\n"))
    said = " ".join(run("poll", "--once").split())
    assert (
        "aws was not read: each request costs $0.01; read it with: costmon poll --once --source aws" in said
    )
    (aws,) = [one for one in json.loads(run("poll", "--json"))["sources"] if one["name"] == "aws"]
    assert (aws["fee"]["amount"], aws["fees_last_24_hours"]["amount"]) == ("0.01", "0")


def test_a_name_that_is_none_and_one_that_is_switched_off(home, server):
    assert 'did you mean "openai"?' in run("poll", "--source", "opena", code=2)
    configure(home, openai_at(server, "enabled = false\n"))
    assert "switched off" in run("poll", "--once", "--source", "openai", code=2)
    assert "Switched off: openai." in run("poll")
    assert server.journal == []


def test_without_once_nobody_is_asked(home, server):
    said = run("poll")
    assert "Never read: openai." in said
    assert "Nobody polls now" in said
    assert server.journal == []


def test_without_a_source_it_says_how_to_add_one(home):
    configure(home, "")
    assert "No source yet. costmon keys set openai adds one" in run("poll", "--once")
    assert json.loads(run("poll", "--json")) == {"sources": []}


def test_a_broken_config_is_one_sentence(home):
    configure(home, "[source.openai]\nkey = 5\n")
    result = CliRunner().invoke(main, ["poll"])
    assert isinstance(result.exception, (CostmonError, SystemExit))
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_the_provider_s_word_is_kept_by_hand_too(home, server):
    server.faults.append(Answer({}, 429, {"retry-after": "600"}))
    run("poll", "--once", code=1)
    asked = len(server.journal)
    said = run("poll", "--once", code=1)
    assert "the provider asked to wait; not asked again until" in " ".join(said.split())
    assert len(server.journal) == asked


def test_what_an_app_spends_past_the_shim_is_there_within_one_poll(home, server):
    run("poll", "--once")
    server.fake = Selling(openai.FAKE)
    spend(server.url, "1.00", "gpt-5-bypass")
    found = json.loads(run("poll", "--once", "--json"))["sources"][0]["figures"]
    (one,) = [figure for figure in found if figure["model"] == "gpt-5-bypass"]
    assert (one["cost"]["amount"], one["project"], one["api_key"]) == ("1", "proj_bot", "key_bot")
    store = open_ledger(str(home))
    assert store.db.execute("select count(*) from event").fetchone()[0] == 0
    store.close()


def test_as_a_process_of_its_own(home, server):
    os.environ["POLL_KEY"]  # the child inherits it
    done = costmon(home, "poll", "--once", "--source", "openai")
    assert "ok · 3 requests" in done.stdout
    assert done.stderr == ""
    assert costmon(home, "doctor", check=False).stdout.count("source openai") == 1


def later(monkeypatch, clock: Callable[[], datetime]) -> None:
    """The machine's clock, as the ledger sees it."""
    from costmon import store as package

    original = package.open_ledger

    def opened(home):
        found = original(home)
        found.now = lambda: int(clock().timestamp() * 1_000_000)
        return found

    monkeypatch.setattr(package, "open_ledger", opened)


def test_what_is_read_by_hand_counts_in_budgets_and_blocks_without_an_engine(
    home, server, monkeypatch, costmon_home
):
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    server.now = now
    server.bill.charges.clear()
    server.bill.spend(now.date() - timedelta(days=2), "12", "m")
    budget = '[budget.total]\namount = "10 USD"\ncount_unlogged = true\nat_100 = "block"\n'
    configure(home, f'time_zone = "UTC"\n{budget}{openai_at(server)}')
    later(monkeypatch, lambda: now)
    run("status")
    assert "blocked" not in run("status")
    run("poll", "--once")
    store = open_ledger(str(home))
    rows = store.db.execute("select unlogged from budget_period where unlogged > 0").fetchall()
    store.close()
    assert rows == [(12_000_000_000,)]
    assert list((costmon_home / "switch").iterdir())


def test_figures_of_a_clock_that_was_ahead_are_not_final_and_have_no_age(home, server, monkeypatch):
    at = [NOW + timedelta(hours=20)]
    later(monkeypatch, lambda: at[0])
    server.now = at[0]
    run("poll", "--once")
    at[0] = server.now = NOW - timedelta(days=2)
    server.faults.append(Answer({}, 500))
    said = run("poll")
    assert " due " in said.splitlines()[1], said
    assert "0 s ago" not in said
    assert "which is still to come" in " ".join(said.split())
    document = json.loads(run("poll", "--json"))["sources"][0]
    assert (document["stale"], document["age_seconds"]) == (True, None)
    shown = run("poll", "--once", code=1)
    assert not server.faults
    assert "final" not in shown
    assert "the figures are ? old" in " ".join(shown.split())


class Hanging:
    """The next answer waits until `leave` is set."""

    def __init__(self, server: Server) -> None:
        self.asked, self.leave = threading.Event(), threading.Event()

        def answer(handler) -> None:
            self.asked.set()
            self.leave.wait(30)
            handler.send(server.fake.answer(server.journal[-1], server.bill, server.now))

        server.faults.append(answer)


def child(home) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COSTMON, "poll", "--once"],
        cwd=ROOT,
        env=environ(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def probe(home) -> str | None:
    store = open_ledger(str(home))
    try:
        return store.db.execute("select probe from source").fetchone()[0]
    finally:
        store.close()


def test_one_that_is_told_to_end_leaves_its_source_free(home, server):
    hanging = Hanging(server)
    first = child(home)
    assert hanging.asked.wait(30)
    assert probe(home) is not None
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=10)[1]
    assert first.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert probe(home) is None
    hanging.leave.set()
    assert "ok" in run("poll", "--once")


@pytest.mark.slow
def test_one_that_was_killed_holds_nobody_up(home, server):
    hanging = Hanging(server)
    first = child(home)
    assert hanging.asked.wait(30)
    first.kill()
    first.communicate(timeout=10)
    assert probe(home) is not None
    assert json.loads(run("poll", "--json"))["sources"][0]["reading"] is False
    hanging.leave.set()
    done = costmon(home, "poll", "--once")
    assert "ok · 3 requests" in done.stdout
    assert "waiting" not in done.stderr


def test_one_that_waits_for_another_says_so(home, server):
    hanging = Hanging(server)
    first = child(home)
    assert hanging.asked.wait(30)
    second = child(home)
    assert second.stderr.readline() == (
        "openai: another costmon is reading it now; waiting for that round to end …\n"
    )
    hanging.leave.set()
    assert "read by another costmon just now" in " ".join(second.communicate(timeout=30)[0].split())
    assert "ok · 3 requests" in first.communicate(timeout=30)[0]


def test_windows_and_ages_read_as_people_write_them():
    day = datetime(2026, 11, 20, tzinfo=UTC)
    assert window_text(day, day + timedelta(days=1)) == "2026-11-20"
    assert window_text(day.replace(day=1), datetime(2026, 12, 1, tzinfo=UTC)) == "2026-11"
    assert window_text(day, day + timedelta(days=3)) == "11-20 – 11-22"
    assert [span(timedelta(seconds=s)) for s in (0, 119, 121, 7201, 200_000)] == [
        "0 s",
        "119 s",
        "2 min",
        "2 h",
        "2 d",
    ]


def test_the_kinds_say_what_they_need() -> None:
    """Whoever adds a source learns which key, which options and where to get them, without leaving the terminal."""
    from click.testing import CliRunner

    from costmon.cli import main

    text = CliRunner().invoke(main, ["poll", "--kinds"]).output
    assert "openai (OpenAI)" in text
    assert "an Admin key" in text
    assert "OPENAI_ADMIN_KEY" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    kinds = {
        kind["kind"]: kind
        for kind in json.loads(CliRunner().invoke(main, ["poll", "--kinds", "--json"]).output)["kinds"]
    }
    assert kinds["aws"]["fee"] == {"amount": "0.01", "currency": "USD"}
    assert kinds["azure"]["options"]["tenant"]["needed"]
