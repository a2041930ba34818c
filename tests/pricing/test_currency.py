"""Exchange rates: exact, dated, fetched only on request, and never moved by a broken feed."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon import config
from costmon.config.values import ExchangeRate
from costmon.errors import ConfigError, PriceError
from costmon.monitor.compile import compile_config, config_changed
from costmon.pricing import currency, fetch
from costmon.pricing.currency import Held, RateError
from costmon.shim import policy, schema
from costmon.shim.money import Rate, convert
from costmon.shim.timestamps import to_us
from tests.harness.feed import Page, feed

NOW = to_us(datetime(2026, 11, 21, 9, 30, tzinfo=UTC))  # a Saturday
DAY_US = 86_400_000_000
GOOD = {"USD": "1.1355", "KRW": "1539.06", "JPY": "178.27", "GBP": "0.85463"}
FETCHING = '[currency]\nfetch = "ecb"\ndisplay = "KRW"\n'


def table(day: str = "2026-11-20", rates: dict[str, str] | None = None, *, head: str = "") -> bytes:
    """One day as the bank writes it."""
    cubes = "".join(f"<Cube currency='{code}' rate='{rate}'/>\n" for code, rate in (rates or GOOD).items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}\n'
        '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
        'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n<gesmes:subject>Reference rates</gesmes:subject>'
        f"<Cube><Cube time='{day}'>{cubes}</Cube></Cube></gesmes:Envelope>"
    ).encode()


def parse(text: str) -> config.Config:
    return config.parse(text.encode(), "config.toml")


# --- fetching ------------------------------------------------------------------------------------------------


def test_a_good_day_is_kept_with_its_date() -> None:
    """After an update the won has a rate, crossed through the euro without losing a digit."""
    with feed(Page(table())) as server:
        kept = currency.update(NOW, url=server.url)
    assert server.requests == ["/file"]
    assert currency.held() == kept
    found = currency.find(currency.fetched_rates(parse(FETCHING), kept), "USD", "KRW", date(2026, 11, 21))
    assert found is not None
    assert Fraction(*found.rate) == Fraction("1539.06") / Fraction("1.1355")
    assert (found.day, found.source) == (date(2026, 11, 20), "ecb")
    if os.name == "posix":
        assert os.stat(currency.cache_file()).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (Page(b"<!DOCTYPE html><html><body>Sorry</body></html>"), "is a web page"),
        (Page(b"<html><body>Sorry<br></body></html>"), "is a web page"),
        (Page(table()[:-40]), "is cut short or no XML"),
        (Page(b""), "is cut short or no XML"),
        (Page(b"<a/>"), "holds no rates"),
        (Page(table()[:200], cut=True), "broke off in the middle"),
        (Page(b"x" * 1000, times=100_000), "is larger than 1 MB"),
        (Page(b"x" * 1000, times=100_000, told_length=False), "is larger than 1 MB"),
        (Page(status=503), "answered 503"),
        (Page(status=302, headers={"location": "https://example.com/x"}), "redirects to another host"),
        (Page(status=302, headers={"location": "http://127.0.0.1:1/x"}), "redirects to another host"),
        (Page(status=302, headers={"location": "/file"}), "redirects more than 3 times"),
        (Page(table(), headers={"content-encoding": "gzip"}), "answered compressed"),
        (Page(table(rates=GOOD | {"KRW": "0"})), 'gives "0" for KRW'),
        (Page(table(rates=GOOD | {"KRW": "-1539"})), 'gives "-1539" for KRW'),
        (Page(table(rates=GOOD | {"KRW": "NaN"})), 'gives "NaN" for KRW'),
        (Page(table(rates=GOOD | {"KRW": "1e9"})), 'gives "1e9" for KRW'),
        (Page(table(rates=GOOD | {"KRW": "9" * 400})), "which is no rate above zero"),
        (Page(table(rates=GOOD | {"KRW": "1234567.5"})), "which is no rate above zero and below a million"),
        (Page(table(rates=GOOD | {"KRW": ""})), "which is no rate above zero"),
        (Page(table(rates=GOOD | {"won": "1539"})), "no code of three capitals"),
        (Page(table(rates={"KRW": "1539.06"})), "has no rate for USD"),
        (Page(table(rates=GOOD | {"KRW": "1900"})), "moves the rate from USD to KRW by more than 20 %"),
        (
            Page(table(rates=GOOD | {"USD": "0.9"})),
            "by more than 20 %",
        ),
        (Page(table("2026-11-18")), "older than what is on file (2026-11-19)"),
        (Page(table("2026-11-23")), "this machine's clock says 2026-11-21"),
        (Page(table("soon")), "has a day that is none"),
        (Page(table("0001-01-01")), "is dated 0001-01-01"),
        (Page(table(head='<!DOCTYPE x [<!ENTITY a "aaaa">]>')), "declares a document type"),
        (Page(table(head="<!DOCTYPE x>").decode().encode("utf-16")), "table of rates"),
        (Page(b"<a>" * 200_000), "is cut short or no XML"),
    ],
)
def test_a_broken_feed_leaves_the_last_good_rates(page: Page, says: str) -> None:
    """Whatever the server sends, it is one sentence, and sums go on with the rates of the day before."""
    with feed(Page(table("2026-11-19"))) as server:
        good = currency.update(NOW - DAY_US, url=server.url)
    with feed(page) as server, pytest.raises(RateError) as error:
        currency.update(NOW, url=server.url)
    assert server.requests
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("stay")
    after = currency.held()
    assert after.days == good.days
    assert (after.fetched_at, after.tried_at, after.problem) == (good.fetched_at, NOW, str(error.value))
    assert server.sent < 60_000_000


def test_a_server_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than the timeout, also when the answer has begun."""
    monkeypatch.setattr(currency, "TIMEOUT_S", 0.3)
    with (
        feed(Page(table(), hang=True)) as server,
        pytest.raises(RateError, match=r"did not answer within 0.3 s"),
    ):
        currency.update(NOW, url=server.url)
    assert server.requests


def test_a_server_that_drips_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not keep the command waiting for ever."""
    monkeypatch.setattr(currency, "TIMEOUT_S", 0.3)
    drip = Page(b"<", times=10_000, pause_s=0.05)
    with feed(drip) as server, pytest.raises(RateError, match=r"did not send all of it within 0.3 s"):
        currency.update(NOW, url=server.url)
    assert 0 < server.sent < 100


def test_a_server_that_is_not_there() -> None:
    """Offline is a sentence too, without the library's own words."""
    with feed(Page()) as server:
        pass
    with pytest.raises(RateError, match=r"file cannot be reached; the rates on file stay$"):
        currency.update(NOW, url=server.url)


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "x", "https://[x"]
)
def test_only_https_is_fetched(url: str) -> None:
    """A rate that moves money comes over TLS or from this machine."""
    with pytest.raises(PriceError, match=r"must begin with https|begins with https"):
        fetch.fetch(url, limit=10, timeout_s=1)


def test_an_address_never_shows_its_secrets() -> None:
    """A mirror's password or token is in no message."""
    assert fetch.shown("https://me:hunter2@mirror.example/x?token=abc") == "https://mirror.example/x"


def test_a_big_move_is_taken_when_a_person_says_so() -> None:
    """A currency that really fell by a third is not locked out for good."""
    with feed(Page(table("2026-11-19")), Page(table(rates=GOOD | {"KRW": "2100"}))) as server:
        currency.update(NOW, url=server.url)
        with pytest.raises(RateError, match="costmon rates update --yes"):
            currency.update(NOW, url=server.url)
        kept = currency.update(NOW, url=server.url, yes=True)
    assert kept.days[-1] == (date(2026, 11, 20), GOOD | {"KRW": "2100"})
    assert kept.problem == ""


def days(tables: dict[str, dict[str, str]]) -> bytes:
    """Some days as the bank writes them."""
    cubes = "".join(
        f"<Cube time='{day}'>{''.join(f'<Cube currency={code!r} rate={rate!r}/>' for code, rate in rates.items())}</Cube>"
        for day, rates in tables.items()
    )
    return f"<x><Cube>{cubes}</Cube></x>".encode()


def taken(data: bytes, path: Path, **more: Any) -> Held:
    path.write_bytes(data)
    return currency.update(NOW, file=str(path), **more)


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        (
            {"KRW": "0.000001"},
            "gives 0.000000880669309 KRW for a dollar on 2026-11-20, which no currency costs",
        ),
        (
            {"KRW": "153.906"},
            "gives 135.540290621 KRW for a dollar on 2026-11-20, and your own rate is 1385.2",
        ),
        ({"USD": "0.000001"}, "for a dollar on 2026-11-20, which no currency costs"),
    ],
)
def test_a_first_table_is_held_to_what_is_known(rates: dict[str, str], says: str, tmp_path: Path) -> None:
    """Nothing is on file to compare with: a figure no currency has is refused, and one far from your own."""
    own = (ExchangeRate("USD", "KRW", Rate(138520, 100), date(2026, 1, 1)),)
    with pytest.raises(RateError) as error:
        taken(table(rates=GOOD | rates), tmp_path / "x", own=own)
    assert says in str(error.value)
    assert currency.held().days == ()
    assert taken(table(rates=GOOD | rates), tmp_path / "x", own=own, yes=True).days


def test_a_past_day_is_never_replaced_by_a_jump(tmp_path: Path) -> None:
    """The newest day is as it was; what the table says of the day before would move a month's sums."""
    near = GOOD | {"KRW": "1530"}
    kept = taken(days({"2026-11-19": near, "2026-11-20": GOOD}), tmp_path / "x")
    wrong = days({"2026-11-19": GOOD | {"KRW": "999999"}, "2026-11-20": GOOD})
    with pytest.raises(
        RateError, match=r"moves the rate from USD to KRW by more than 20 % at once.* on 2026-11-19"
    ):
        taken(wrong, tmp_path / "x")
    assert currency.held().days == kept.days
    assert (
        taken(days({"2026-11-19": GOOD, "2026-11-20": GOOD}), tmp_path / "x").days[0][1]["KRW"] == "1539.06"
    )
    assert dict(taken(wrong, tmp_path / "x", yes=True).days)[date(2026, 11, 19)]["KRW"] == "999999"
    # What a person took is no reason to refuse the next day's table.
    assert taken(table("2026-11-20", GOOD | {"JPY": "178.5"}), tmp_path / "x", yes=True).days
    assert taken(table("2026-11-21", GOOD), tmp_path / "x").days[-1][0] == date(2026, 11, 21)


@pytest.mark.parametrize("odd", ["2026-11-17", "2026-11-18", "2026-11-19"])
def test_a_jump_between_two_days_of_one_table_is_refused(odd: str, tmp_path: Path) -> None:
    """A spike in the middle of a first table, or in days that were missing."""
    names = ("2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20")
    spiked = {day: GOOD | ({"KRW": "2900"} if day == odd else {}) for day in names}
    with pytest.raises(RateError, match="by more than 20 % at once"):
        taken(days(spiked), tmp_path / "x")
    taken(days({names[0]: GOOD, names[3]: GOOD}), tmp_path / "x")
    with pytest.raises(RateError, match="by more than 20 % at once"):
        taken(days(spiked), tmp_path / "x")
    assert [day.isoformat() for day, _ in currency.held().days] == [names[0], names[3]]


def test_a_currency_the_bank_drops_keeps_its_last_rate() -> None:
    """A missing currency goes stale; it does not vanish from budgets."""
    some = {code: rate for code, rate in GOOD.items() if code != "KRW"}
    with feed(Page(table("2026-11-12")), Page(table("2026-11-20", some))) as server:
        currency.update(NOW, url=server.url)
        kept = currency.update(NOW, url=server.url)
    found = currency.find(currency.fetched_rates(parse(FETCHING), kept), "USD", "KRW", date(2026, 11, 21))
    assert found is not None
    assert found.day == date(2026, 11, 12)
    assert currency.is_stale(found.day, date(2026, 11, 21))


def test_files_are_read_without_the_network(tmp_path: Path) -> None:
    """A machine without internet gets its rates on a stick."""
    file = tmp_path / "rates.xml"
    file.write_bytes(table())
    assert currency.update(NOW, file=str(file)).days[-1][0] == date(2026, 11, 20)
    for path, says in ((tmp_path / "none", "cannot be read"), (tmp_path, "cannot be read|no ordinary file")):
        with pytest.raises(RateError, match=says):
            currency.update(NOW, file=str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang_the_command(tmp_path: Path) -> None:
    """--from with something that never ends is refused at once."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RateError, match="no ordinary file"):
        currency.update(NOW, file=str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"days": {"x": {}}}', "[" * 100_000, '{"days": {"2026-11-20": {"USD": 1}}}']
)
def test_a_damaged_cache_is_no_rates(text: str, costmon_home: Path) -> None:
    """Never a traceback; the next update replaces it."""
    path = Path(currency.cache_file())
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert currency.held() == Held()


def test_when_the_engine_fetches() -> None:
    """Once a day, an hour after a failure, and again at once when the clock was set back."""
    hour = 3_600_000_000
    assert currency.due(Held(), NOW)
    assert not currency.due(Held(fetched_at=NOW, tried_at=NOW), NOW + 23 * hour)
    assert currency.due(Held(fetched_at=NOW, tried_at=NOW), NOW + 24 * hour)
    failed = Held(fetched_at=NOW - 24 * hour, tried_at=NOW, problem="x")
    assert not currency.due(failed, NOW + hour - 1)
    assert currency.due(failed, NOW + hour)
    assert currency.due(Held(fetched_at=NOW, tried_at=NOW), NOW - 48 * hour)


# --- rates ---------------------------------------------------------------------------------------------------


def test_your_own_rate_wins_over_a_fetched_one() -> None:
    """What the operator wrote is never overruled, in either direction and whatever its date."""
    own = FETCHING + '[[currency.rate]]\nbase = "KRW"\nquote = "USD"\nrate = 0.0007\ndate = 2026-01-02\n'
    kept = Held(((date(2026, 11, 20), GOOD),))
    rates = currency.fetched_rates(parse(own), kept)
    assert {rate.quote for rate in rates} == {"EUR", "JPY", "GBP"}
    found = currency.find((*parse(own).rates, *rates), "USD", "KRW", date(2026, 11, 21))
    assert found is not None
    assert (found.rate, found.day) == (Rate(10_000, 7), date(2026, 1, 2))


def test_on_a_weekend_fridays_rate_holds() -> None:
    """There is no table for a Saturday; the newest one before it counts, the oldest covers what came earlier."""
    days = tuple((date(2026, 11, day), GOOD | {"KRW": f"15{day}"}) for day in (18, 19, 20))
    rates = currency.fetched_rates(parse(FETCHING), Held(days))

    def won(day: int) -> Fraction:
        found = currency.find(rates, "USD", "KRW", date(2026, 11, day))
        assert found is not None
        return Fraction(*found.rate) * Fraction("1.1355")

    assert [won(day) for day in (1, 18, 19, 20, 21, 22)] == [1518, 1518, 1519, 1520, 1520, 1520]


def ledger() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    for _, statements in schema.STEPS:
        for statement in statements:
            db.execute(statement)
    db.execute("insert into setting values ('generation', '1')")
    return db


def test_fetched_rates_reach_the_ledger_when_the_config_asks() -> None:
    """Opting in is one line; without it what was fetched is not used."""
    db = ledger()
    with pytest.raises(
        ConfigError, match="no rate from USD to KRW was fetched yet; run costmon rates update"
    ):
        compile_config(db, parse(FETCHING), NOW)
    with feed(Page(table())) as server:
        currency.update(NOW, url=server.url)
    compile_config(db, parse(FETCHING), NOW)
    assert policy.load(db).rate("USD", "KRW", NOW) == Rate(*_whole("1539.06", "1.1355"))
    compile_config(db, parse(""), NOW)
    assert policy.load(db).rates == {}


def _whole(over: str, under: str) -> tuple[int, int]:
    rate = Fraction(over) / Fraction(under)
    return rate.numerator, rate.denominator


def test_a_new_table_is_noticed(tmp_path: Path) -> None:
    """A running engine sees new rates without a restart; without the opt-in they are no news."""
    db, path = ledger(), tmp_path / "config.toml"
    for text, noticed in ((FETCHING, True), ("", False)):
        path.write_text(text)
        with feed(Page(table("2026-11-18")), Page(table("2026-11-19")), Page(table())) as server:
            currency.update(NOW, url=server.url, yes=True) if not currency.held().days else None
            compile_config(db, config.load(str(path)), NOW)
            assert not config_changed(db, str(path))
            Path(currency.cache_file()).unlink()
            currency.update(NOW, url=server.url)
        assert config_changed(db, str(path)) is noticed


def test_a_budget_in_a_currency_the_bank_has_not() -> None:
    """Only what can be fetched may be left to be fetched."""
    with pytest.raises(ConfigError, match="no exchange rate between USD and TWD is on file"):
        parse('[currency]\nfetch = "ecb"\n[budget.total]\namount = "100 TWD"\n')
    assert parse('[currency]\nfetch = "ecb"\n[budget.total]\namount = "15,000원"\n').budgets[0].amount == (
        15_000 * 10**9,
        "KRW",
    )


@pytest.mark.parametrize("value", ['"fed"', "true", '""'])
def test_another_source_is_refused(value: str) -> None:
    """A source that does not exist is named with its line."""
    with pytest.raises(ConfigError, match=r'config.toml, line 2: currency.fetch must be "ecb"'):
        parse(f"[currency]\nfetch = {value}\n")


_CODES = st.sampled_from(["USD", "KRW", "EUR", "JPY"])
_DAYS = st.dates(date(2026, 11, 1), date(2026, 11, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_CODES, _CODES, st.integers(1, 10**6), st.integers(1, 1000), _DAYS), max_size=8),
    st.tuples(_CODES, _CODES),
    st.dates(date(2026, 10, 30), date(2026, 11, 9)),
)
def test_what_is_shown_is_what_apps_are_charged(
    written: list[tuple[str, str, int, int, date]], pair: tuple[str, str], day: date
) -> None:
    """`costmon rates` and the shim find the same rate for every pair and day."""
    rates = {
        (base, quote, at): ExchangeRate(base, quote, Rate(over, under), at)
        for base, quote, over, under, at in written
        if base != quote
    }
    db = ledger()
    from costmon.monitor.compile import _compile_rates

    _compile_rates(db, tuple(rates.values()), "Asia/Seoul")
    noon = to_us(datetime(day.year, day.month, day.day, 3, tzinfo=UTC))
    ours, shims = currency.find(rates.values(), *pair, day), policy.load(db).rate(*pair, noon)
    assert (ours is None) == (shims is None)
    if ours is not None and shims is not None:
        assert Fraction(*ours.rate) == Fraction(*shims)
        assert convert(10**12, ours.rate) == convert(10**12, shims)


def test_digits_of_very_small_rates_are_kept() -> None:
    """One won in dollars is no zero."""
    assert currency.digits(Fraction(1, 1355)) == "0.000738007380074"
    assert currency.digits(Rate(13552, 10)) == "1355.2"


def test_the_cache_holds_a_hundred_days() -> None:
    """It never grows without end."""
    first = date(2026, 1, 1)
    days = tuple((first + timedelta(days=n), GOOD) for n in range(150))
    currency.keep(Held(days))
    assert len(currency.held().days) == 100
    assert currency.held().days[-1] == days[-1]
    assert json.loads(Path(currency.cache_file()).read_text())["source"] == "ecb"
