"""`costmon rates` and `costmon prices update` as a user runs them, and what rates do to budgets."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmon import config, paths
from costmon.monitor.engine import Engine, read_config
from costmon.monitor.rates import RateKeeper
from costmon.monitor.snapshot import Snapshot
from costmon.monitor.view import build_snapshot
from costmon.pricing import currency
from costmon.shim.recorder import Outcome, Recorder
from costmon.store import open_ledger
from tests.harness import published
from tests.harness.cli import costmon
from tests.harness.feed import Page, feed
from tests.pricing.test_currency import GOOD, table
from tests.shim.battery import kit

TODAY = datetime.now(UTC).date()
OPTED_IN = 'time_zone = "UTC"\n[currency]\ndisplay = "KRW"\nfetch = "ecb"\n'
OWN = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = {}\ndate = {}\nsource = "my bank"\n'
BUDGET = '[budget.total]\namount = "15000 KRW"\n'


def write(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(text)


def snapshot(home: Path) -> Snapshot:
    store = open_ledger(str(home))
    try:
        assert read_config(store) == ""
        return build_snapshot(store, mine=False)
    finally:
        store.close()


# --- the commands --------------------------------------------------------------------------------------------


def test_update_list_and_show(costmon_home: Path) -> None:
    """Fetched, listed with date and source, and used by everything that converts."""
    write(costmon_home, OPTED_IN)
    with feed(Page(table(str(TODAY)))) as server:
        done = costmon(costmon_home, "rates", "update", "--url", server.url)
    assert done.stdout == f"5 currencies of {TODAY} on file: costmon rates list shows them\n"
    assert done.stderr == f"fetching {server.url}\n"
    lines = costmon(costmon_home, "rates", "list").stdout.splitlines()
    assert lines[1].split() == ["USD", "KRW", "1,355.4", str(TODAY), "today", "ecb"]
    assert max(map(len, lines)) <= 80
    shown = json.loads(costmon(costmon_home, "rates", "show", "eur", "krw", "--json").stdout)
    assert (shown["rate"], shown["date"], shown["source"], shown["stale"]) == (
        "1539.06",
        str(TODAY),
        "ecb",
        False,
    )
    listed = json.loads(costmon(costmon_home, "rates", "list", "--json").stdout)
    assert {(rate["base"], rate["quote"]) for rate in listed["rates"] if rate["used"]} == {("USD", "KRW")}
    assert json.loads(costmon(costmon_home, "status", "--json").stdout)["rates"] == [
        {
            "base": "USD",
            "quote": "KRW",
            "rate": "1355.402906209",
            "date": str(TODAY),
            "source": "ecb",
            "age_days": 0,
            "stale": False,
        }
    ]


def test_a_failed_update_is_one_sentence_and_exit_code_2(costmon_home: Path) -> None:
    """No traceback; the reason is still there in the list."""
    write(costmon_home, OPTED_IN + OWN.format("1385.2", TODAY))
    with feed(Page(b"<html></html>")) as server:
        done = costmon(costmon_home, "rates", "update", "--url", server.url, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1].startswith(f"costmon: {server.url} holds no rates")
    assert "the last attempt to fetch failed" in costmon(costmon_home, "rates", "list").stderr


def test_without_opting_in_nothing_is_fetched_or_used(costmon_home: Path) -> None:
    """`rates update` is a request of its own; the rates count once the config says so."""
    write(costmon_home, "")
    assert "no rates on file; add a [[currency.rate]] table" in costmon(costmon_home, "rates", "list").stdout
    with feed(Page(table(str(TODAY)))) as server:
        done = costmon(costmon_home, "rates", "update", "--url", server.url)
    assert 'not used yet: add fetch = "ecb" under [currency]' in done.stderr
    done = costmon(costmon_home, "rates", "show", "USD", "KRW", check=False)
    assert done.returncode != 0
    assert "no rate from USD to KRW" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "USD", "won!"), "'won!' is no currency"),
        (("show", "USD", "KRW", "--at", "soon"), "--at 'soon' is no day"),
        (("update", "--from", "/nonexistent"), "/nonexistent cannot be read"),
        (("update", "--from", "x", "--url", "y"), "exclude each other"),
        (("update", "--url", "http://example.com/"), "must begin with https://"),
    ],
)
def test_bad_arguments(costmon_home: Path, arguments: tuple[str, ...], says: str) -> None:
    """What is wrong is named, without a traceback."""
    done = costmon(costmon_home, "rates", *arguments, check=False)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_price_update_from_the_shell(costmon_home: Path, tmp_path: Path) -> None:
    """The difference is shown first; --yes takes it over, --undo goes back."""
    document = published.table()
    published.model(document, "openai", "gpt-4o")["prices"]["input_mtok"] = 3.1
    (tmp_path / "data.json").write_text(json.dumps(document))

    def update(*arguments: str) -> str:
        return costmon(costmon_home, "prices", "update", *arguments).stdout

    def input_price(*arguments: str) -> str:
        shown = json.loads(costmon(costmon_home, "prices", "show", "gpt-4o", "--json", *arguments).stdout)
        return str(shown["rates"]["input_tokens"]["price"]["amount"])

    source = ("--from", str(tmp_path / "data.json"))
    shown = update(*source)
    assert "openai gpt-4o, from" in shown
    assert "input $2.5 → $3.1" in shown
    assert shown.endswith("nothing was changed; add --yes to take it over\n")
    assert max(map(len, shown.splitlines())) <= 80
    assert update(*source, "--dry-run").endswith("nothing was changed\n")
    assert input_price() == "2.5"
    applied = json.loads(update(*source, "--yes", "--json"))
    assert applied["applied"] is True
    assert applied["changed"][0]["rates"][0]["new"] == {
        "per": 1_000_000,
        "price": {"amount": "3.1", "currency": "USD"},
    }
    yesterday = str(TODAY - timedelta(days=1))
    assert (input_price(), input_price("--at", yesterday)) == ("3.1", "2.5")
    corrected = update(*source, "--correct", "gpt-4o", "--yes")
    assert "costmon reprice --as correction --model gpt-4o" in corrected
    assert input_price("--at", yesterday) == "3.1"
    assert "hold again" in update("--undo")
    assert input_price() == "2.5"


# --- charges and sums ----------------------------------------------------------------------------------------


def test_a_charge_keeps_the_rate_of_its_admission(costmon_home: Path) -> None:
    """A won budget, a dollar price: an edited rate moves no past charge, and counts for the next call."""
    write(costmon_home, 'time_zone = "UTC"\n' + BUDGET + OWN.format("1000", "2026-01-01"))
    assert snapshot(costmon_home).budgets[0].spent.nano == 0
    recorder = Recorder(str(costmon_home))
    try:
        kit.spend(recorder, 2 * 10**9)
        held = recorder.admit(kit.priced(3 * 10**9))
        assert held is not None
        write(costmon_home, 'time_zone = "UTC"\n' + BUDGET + OWN.format("1500", "2026-01-01"))
        assert snapshot(costmon_home).budgets[0].spent.to_json() == {"amount": "2000", "currency": "KRW"}
        recorder.settle(held, Outcome("ok", cost=3 * 10**9))
        assert snapshot(costmon_home).budgets[0].spent.to_json() == {"amount": "5000", "currency": "KRW"}
        kit.spend(recorder, 10**9)
        assert snapshot(costmon_home).budgets[0].spent.to_json() == {"amount": "6500", "currency": "KRW"}
    finally:
        recorder.ledger.close()
    kit.assert_sums_agree(costmon_home)


def test_fetched_rates_charge_won_budgets(costmon_home: Path) -> None:
    """A budget in won needs no rate in the config once it is fetched; a new table moves nothing that was charged."""
    write(costmon_home, OPTED_IN + BUDGET)
    store = open_ledger(str(costmon_home))
    try:
        assert "no rate from USD to KRW was fetched yet; run costmon rates update" in read_config(store)
    finally:
        store.close()
    day = TODAY - timedelta(days=1)
    first, second = GOOD | {"USD": "1", "KRW": "1400"}, GOOD | {"USD": "1", "KRW": "1500"}
    recorder = Recorder(str(costmon_home))
    try:
        with feed(Page(table(str(day), first)), Page(table(str(TODAY), second))) as server:
            for _ in range(2):
                currency.update(_now(), url=server.url)
                assert snapshot(costmon_home).currency == "KRW"
                kit.spend(recorder, 10**9)
        after = snapshot(costmon_home)
    finally:
        recorder.ledger.close()
    assert after.budgets[0].spent.to_json() == {"amount": "2900", "currency": "KRW"}
    assert after.today.cost.to_json() == {"amount": "3000", "currency": "KRW"}  # a view, at today's rate
    assert after.problems == ("nobody warns: no engine is running (costmon, or costmon watch)",)


def _now() -> int:
    return int(datetime.now(UTC).timestamp()) * 1_000_000


def test_a_stale_rate_is_said(costmon_home: Path) -> None:
    """A view through an old rate says how old, and what to do."""
    day = TODAY - timedelta(days=8)
    write(costmon_home, 'time_zone = "UTC"\n[currency]\ndisplay = "KRW"\n' + OWN.format("1385.2", day))
    (use,) = snapshot(costmon_home).rates
    assert (use.rate, use.day, use.source, use.age_days, use.stale) == ("1385.2", day, "my bank", 8, True)
    text = f"the rate from USD to KRW is 8 days old ({day}): bring [[currency.rate]] in {paths.config_file()} up to date"
    assert text in snapshot(costmon_home).problems
    assert "8 d · stale" in costmon(costmon_home, "rates", "list").stdout
    write(
        costmon_home,
        'time_zone = "UTC"\n[currency]\ndisplay = "KRW"\n' + OWN.format("1385.2", day + timedelta(days=1)),
    )
    assert not snapshot(costmon_home).rates[0].stale


def test_a_stale_fetched_rate_says_why(costmon_home: Path) -> None:
    """When the feed is broken for a week, the reason stands beside the age."""
    day = TODAY - timedelta(days=9)
    write(costmon_home, OPTED_IN)
    with feed(Page(table(str(day))), Page(status=503)) as server:
        currency.update(_now(), url=server.url)
        with pytest.raises(currency.RateError):
            currency.update(_now(), url=server.url)
    problems = snapshot(costmon_home).problems
    assert (
        f"the rate from USD to KRW is 9 days old ({day}): {server.url} answered 503; the rates on file stay"
        in problems
    )


# --- the engine ----------------------------------------------------------------------------------------------


def test_the_engine_fetches_when_asked_and_only_then(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line in the config, and a running engine shows won; a server that hangs delays no tick."""
    with feed(Page(hang=True)) as slow, feed(Page(table(str(TODAY)))) as server:
        asked = threading.Event()
        real = currency.update

        def update(now_us: int, *, home: str | None = None, own: object = ()) -> currency.Held:
            asked.set()
            if not slow.requests:
                monkeypatch.setattr(currency, "TIMEOUT_S", 1.0)
                with pytest.raises(currency.RateError):
                    real(now_us, url=slow.url, home=home)
            monkeypatch.setattr(currency, "TIMEOUT_S", 10.0)
            return real(now_us, url=server.url, home=home)

        monkeypatch.setattr(currency, "update", update)
        write(costmon_home, "")
        keeper = RateKeeper(str(costmon_home))
        assert not keeper._opted_in()
        write(costmon_home, OPTED_IN)
        engine = Engine(str(costmon_home))
        try:
            ticks = 0
            found = engine.tick()
            while found is None or found.currency != "KRW":
                found = engine.next_snapshot(0.1) or found
                ticks += 1
                assert ticks < 300
        finally:
            engine.close()
        assert asked.is_set()
        assert slow.requests
        assert found.rates[0].source == "ecb"
        assert server.requests == ["/file"]


def test_a_demo_never_fetches(costmon_home: Path) -> None:
    """A simulation stays off the network."""
    write(costmon_home, OPTED_IN)
    (costmon_home / "DEMO").touch()
    assert not RateKeeper(str(costmon_home))._opted_in()


def test_the_default_file_shows_how(costmon_home: Path) -> None:
    """Removing one `#` opts in."""
    text = config.DEFAULT.replace("#fetch =", "fetch =")
    assert config.parse(text.encode(), "config.toml").fetch_rates == "ecb"
    assert config.parse(config.DEFAULT.encode(), "config.toml").fetch_rates == ""
