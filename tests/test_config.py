"""The config file: what it says is what holds, and what is wrong with it is said in one sentence."""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import fields
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon import config
from costmon.config import Breaker, Budget, Host, RateLimit, Repeat, RetryLoop
from costmon.config.source import locate
from costmon.errors import ConfigError
from costmon.shim.money import Money, Rate

LIMIT = '[rate_limit.openai]\ncalls = 60\nper = "minute"\n'
BUDGET = '[budget.total]\namount = "10 USD"\n'
RATE = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1385.2\ndate = 2026-11-20\n'


def parse(text: str) -> config.Config:
    return config.parse(text.encode(), "config.toml")


def test_a_missing_file_gives_the_defaults(tmp_path):
    """Nobody has to write a config before the first run."""
    found = config.load(str(tmp_path / "config.toml"))
    assert (found.budgets, found.display_currency, found.limits) == ((), "USD", config.Limits())


def test_the_default_file_says_the_defaults():
    """The file written on the first run changes nothing by being there."""
    written, absent = parse(config.DEFAULT), parse("")
    for field in fields(config.Config):
        assert field.name == "content_hash" or getattr(written, field.name) == getattr(absent, field.name)
    assert (absent.rate_limits, absent.breaker, absent.repeat, absent.retry_loop) == ((), None, None, None)
    assert (absent.limits.dry_run, absent.limits.warn_prompt_tokens) == (False, 0)


def test_every_example_of_the_default_file_works():
    """Removing the # of an example is all it takes."""
    found = parse(re.sub(r"(?m)^#(?=\S)", "", config.DEFAULT))
    assert found.budgets == (Budget("total", Money(10 * 10**9, "USD"), time_zone="Asia/Seoul"),)
    assert found.rates[0].rate == Rate(6926, 5)
    assert found.rates[0].day == date(2026, 11, 20)
    assert found.hosts["127.0.0.1:11434"] == Host("ollama", free=True)
    assert found.rate_limits == (RateLimit("openai", 60, "minute", "provider", "openai"),)
    # What an example says is also what its table alone would say.
    assert (found.breaker, found.repeat, found.retry_loop) == (Breaker(), Repeat(), RetryLoop())


def test_a_full_budget_is_read():
    """Every key of a budget arrives."""
    found = parse(
        RATE + '[budget."my app"]\namount = "₩15,000"\nperiod = "week"\ntime_zone = "Asia/Seoul"\n'
        'scope = "app=trader"\nlevels = [50, 100, 200]\nat_95 = "warn"\nat_100 = "warn"\nmode = "strict"\n'
    ).budgets[0]
    money = Money(15_000 * 10**9, "KRW")
    assert found == Budget(
        "my app", money, "week", "Asia/Seoul", "app", "trader", (50, 100, 200), "warn", "warn", "strict"
    )


def test_rules_are_read():
    """Every figure of every rule arrives; a time is what a person would write."""
    found = parse(
        LIMIT + '[rate_limit."the bot"]\ncalls = 5\nper = "day"\nscope = "app=trader"\n'
        '[breaker]\nfailures = 3\nwithin = "90s"\npause = "1h30m"\n'
        '[repeat]\ncalls = 2\nwithin = "7d"\n[retry_loop]\nfailures = 1\nwithin = "1s"\n'
        "[limits]\ndry_run = true\nwarn_prompt_tokens = 50_000\n"
    )
    assert [limit.scope for limit in found.rate_limits] == ["all", "app=trader"]
    assert found.rate_limits[1] == RateLimit("the bot", 5, "day", "app", "trader")
    second = 1_000_000
    assert found.breaker == Breaker(3, 90 * second, 5400 * second)
    assert found.repeat == Repeat(2, 7 * 86_400 * second)
    assert found.retry_loop == RetryLoop(1, second)
    assert (found.limits.dry_run, found.limits.warn_prompt_tokens) == (True, 50_000)


@pytest.mark.parametrize("rule", ["breaker", "repeat", "retry_loop"])
def test_a_rule_is_on_as_soon_as_its_table_is_there(rule):
    """`[breaker]` alone is a breaker with the usual figures; without it there is none."""
    assert getattr(parse(f"[{rule}]"), rule) == {"breaker": Breaker(), "repeat": Repeat(),
                                                 "retry_loop": RetryLoop()}[rule]  # fmt: skip
    assert getattr(parse(""), rule) is None


def test_a_budget_takes_the_zone_at_the_top():
    """One line sets the zone for everything."""
    found = parse('time_zone = "Asia/Seoul"\n' + BUDGET)
    assert (found.time_zone, found.budgets[0].time_zone) == ("Asia/Seoul", "Asia/Seoul")


def test_local_is_the_zone_of_the_machine(monkeypatch):
    """\"local\" follows the machine, and a move of the machine counts as a change of the config."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    before = parse('time_zone = "local"')
    monkeypatch.setenv("TZ", "Asia/Seoul")
    after = parse('time_zone = "local"')
    assert (before.time_zone, after.time_zone) == ("Europe/Berlin", "Asia/Seoul")
    assert before.content_hash != after.content_hash


def test_an_inverse_rate_serves_a_budget():
    """A rate from won to dollars is as good as one from dollars to won."""
    text = RATE.replace('"USD"', '"X"').replace('"KRW"', '"USD"').replace('"X"', '"KRW"')
    assert parse(text + '[budget.a]\namount = "15000 KRW"').budgets[0].amount.currency == "KRW"


def test_ensure_writes_a_private_file_once(tmp_path):
    """The first run leaves a commented file only its owner can read; later runs leave it alone."""
    path = tmp_path / "new" / "config.toml"
    assert config.ensure(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_text("mine")
    assert not config.ensure(str(path))
    assert path.read_text() == "mine"
    assert os.listdir(path.parent) == ["config.toml"]


def test_replace_follows_a_link_and_keeps_the_mode(tmp_path):
    """A config that is a link into a dotfiles folder stays one."""
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    config.replace(str(link), "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


# (text, what the message must name, what it must advise)
BROKEN = [
    ("bugdet = 1", "line 1: bugdet", 'did you mean "budget"?'),
    ("x = [1,\n\n", "line 1", "mend the TOML"),
    ("a = 1\na = 2\nb = 1", "line 2", "overwrite"),
    ("[tui]\n[notify]\n[tui]", "line 3", "twice"),
    ("\nx = 'a", "line 2", "mend the TOML"),
    ("budget = 1", "line 1: budget", "[budget]"),
    ("[budget]\ntotal = 1", "line 2: budget.total", "[budget.total]"),
    ("[budget.total]", "line 1: budget.total", 'amount = "10 USD"'),
    ("[budget.total]\n\namount = 10", "line 3: budget.total.amount", '"10 USD"'),
    ('[budget.total]\namount = "10"', "line 2: budget.total.amount", "no currency"),
    ('[budget.total]\namount = "-1 USD"', "line 2: budget.total.amount", "more than zero"),
    ('[budget.total]\namount = "0 USD"', "line 2: budget.total.amount", "more than zero"),
    ('[budget.total]\namount = "nan USD"', "line 2: budget.total.amount", '"10 USD"'),
    ('[budget.total]\namount = "inf USD"', "line 2: budget.total.amount", '"10 USD"'),
    ("[budget.total]\namount = nan", "line 2: budget.total.amount", '"10 USD"'),
    ("[budget.total]\namount = true", "line 2: budget.total.amount", '"10 USD"'),
    ('[budget.total]\namount = "9000000001 USD"', "line 2: budget.total.amount", "at most"),
    ('[budget.total]\namount = "0.0000000001 USD"', "line 2: budget.total.amount", "nine decimals"),
    ('[budget.total]\namount = "$10 KRW"', "line 2: budget.total.amount", "two currencies"),
    ('[budget.total]\namount = "10 KRW"', "line 2: budget.total.amount", "[[currency.rate]]"),
    (BUDGET + 'peroid = "day"', "line 3: budget.total.peroid", 'did you mean "period"?'),
    (BUDGET + 'period = "daily"', "line 3: budget.total.period", '"day" or "week" or "month"'),
    (BUDGET + "period = 1", "line 3: budget.total.period", '"day"'),
    (BUDGET + 'time_zone = "Seoul"', "line 3: budget.total.time_zone", '"Asia/Seoul"'),
    ('# zone\ntime_zone = "Asia/Soul"', "line 2: time_zone", '"Asia/Seoul"'),
    ('time_zone = "../../etc/passwd"', "line 1: time_zone", '"local"'),
    ('time_zone = "+09:00"', "line 1: time_zone", '"Asia/Seoul"'),
    (BUDGET + 'scope = "ap=trader"', "line 3: budget.total.scope", 'did you mean "app"?'),
    (BUDGET + 'scope = "app="', "line 3: budget.total.scope", "app=trader"),
    (BUDGET + 'scope = "everything"', "line 3: budget.total.scope", "all, provider=…"),
    (BUDGET + 'scope = "app=a\\u0007"', "line 3: budget.total.scope", "printable"),
    (BUDGET + "levels = [80, 70]", "line 3: budget.total.levels", "[70, 80]"),
    (BUDGET + "levels = [70, 70]", "line 3: budget.total.levels", "[70]"),
    (BUDGET + "levels = [0]", "line 3: budget.total.levels", "1 to 1000"),
    (BUDGET + "levels = [true]", "line 3: budget.total.levels", "whole percentages"),
    (BUDGET + f"levels = {list(range(1, 23))}", "line 3: budget.total.levels", "20"),
    (BUDGET + 'at_95 = "block"', "line 3: budget.total.at_95", '"block-nonessential" or "warn"'),
    (BUDGET + 'mode = "hard"', "line 3: budget.total.mode", '"default" or "strict"'),
    ('[budget."a/b"]\namount = "1 USD"', 'line 1: budget."a/b"', "A-Z"),
    (f'[budget.{"a" * 61}]\namount = "1 USD"', "line 1: budget.aaa", "60"),
    ("[rate_limits]", "line 1: rate_limits", 'did you mean "rate_limit"?'),
    ("[retry-loop]", "line 1: retry-loop", 'did you mean "retry_loop"?'),
    ("rate_limit = 60", "line 1: rate_limit", "[rate_limit]"),
    ("[rate_limit]\nopenai = 60", "line 2: rate_limit.openai", "[rate_limit.openai]"),
    ("[rate_limit.a]", "line 1: rate_limit.a", "calls = 60"),
    ("[rate_limit.a]\ncalls = 1", "line 1: rate_limit.a", 'per = "minute"'),
    (LIMIT.replace("60", "0"), "line 2: rate_limit.openai.calls", "from 1"),
    (LIMIT.replace("60", "1.5"), "line 2: rate_limit.openai.calls", "whole"),
    (LIMIT.replace("60", '"60"'), "line 2: rate_limit.openai.calls", "whole"),
    (LIMIT.replace("60", "true"), "line 2: rate_limit.openai.calls", "whole"),
    (LIMIT.replace("60", "9" * 30), "line 2: rate_limit.openai.calls", "1,000,000,000"),
    (LIMIT.replace('"minute"', '"second"'), "line 3: rate_limit.openai.per", '"minute" or "hour" or "day"'),
    (LIMIT + 'scope = "openai"', "line 4: rate_limit.openai.scope", "provider=…"),
    (LIMIT + "within = 1", "line 4: rate_limit.openai.within", "scope, calls, per"),
    (LIMIT.replace("openai", '"a/b"'), 'line 1: rate_limit."a/b"', "A-Z"),
    ("".join(f"[rate_limit.n{n}]\n" for n in range(101)), "line 101: rate_limit.n100", "100 at most"),
    ("breaker = true", "line 1: breaker", "[breaker]"),
    ("[breaker]\nfailures = 0", "line 2: breaker.failures", "from 1"),
    ("[breaker]\npause = 30", "line 2: breaker.pause", '"90s"'),
    ('[breaker]\npause = "30"', "line 2: breaker.pause", '"90s"'),
    ('[breaker]\nwithin = "0.5s"', "line 2: breaker.within", "from 1 s"),
    ('[breaker]\nwithin = "8d"', "line 2: breaker.within", "to 7 d"),
    ('[breaker]\nwithin = "-1m"', "line 2: breaker.within", '"90s"'),
    ('[breaker]\nwithin = "' + "9" * 400 + 's"', "line 2: breaker.within", "to 7 d"),
    ("[breaker]\npuase = 1", "line 2: breaker.puase", 'did you mean "pause"?'),
    ("[repeat]\ncalls = -1", "line 2: repeat.calls", "from 1"),
    ('[repeat]\nwithin = "soon"', "line 2: repeat.within", '"1h30m"'),
    ("[retry_loop]\ncalls = 5", "line 2: retry_loop.calls", "failures, within"),
    ("[limits]\ndry_run = 1", "line 2: limits.dry_run", "true or false"),
    ("[limits]\nwarn_prompt_tokens = -1", "line 2: limits.warn_prompt_tokens", "from 0"),
    ("[currency.rate]\nbase = 1", "line 1: currency.rate", "[[currency.rate]]"),
    (RATE + '\n[[currency.rate]]\nbase = "USD"', "line 7: currency.rate #2", "quote"),
    (RATE + "\n" + RATE, "line 7: currency.rate #2", "keep one"),
    (RATE.replace("1385.2", "0"), "line 4: currency.rate #1.rate", "1385.2"),
    (RATE.replace("1385.2", "-1"), "line 4: currency.rate #1.rate", "1385.2"),
    (RATE.replace("1385.2", "inf"), "line 4: currency.rate #1.rate", "1385.2"),
    (RATE.replace("1385.2", "nan"), "line 4: currency.rate #1.rate", "1385.2"),
    (RATE.replace("1385.2", "true"), "line 4: currency.rate #1.rate", "1385.2"),
    (RATE.replace("1385.2", "1e999999"), "line 4: currency.rate #1.rate", "1385.2"),
    (RATE.replace("2026-11-20", '"2026-11-20"'), "line 5: currency.rate #1.date", "without quotes"),
    (RATE.replace("KRW", "USD"), "line 3: currency.rate #1.quote", "another currency"),
    (RATE.replace("KRW", "won!"), "line 3: currency.rate #1.quote", "three letters"),
    ('[currency]\ndisplay = "KRW"', "line 2: currency.display", "[[currency.rate]]"),
    ('[hosts]\n"https://a.example/v1" = "openai"', 'line 2: hosts."https://a.example/v1"', "alone"),
    ("[hosts]\na = 1", "line 2: hosts.a", "provider"),
    ("[hosts]\na = { free = true }", "line 2: hosts.a", "provider"),
    ('[hosts]\nA = "x"\na = "y"', "line 3: hosts.a", "keep one"),
    ("[limits]\nassumed_output = 0", "line 2: limits.assumed_output", "1 to"),
    ("[limits]\nassumed_output = 1.5", "line 2: limits.assumed_output", "whole"),
    ("[limits]\nstrict = 1", "line 2: limits.strict", "true or false"),
    ("[limits]\nadmit_wait = -1", "line 2: limits.admit_wait", "from 0"),
    ("[limits]\nunknown_price = true", "line 2: limits.unknown_price", '"dearest"'),
    ('[limits]\nunknown_price = "cheap"', "line 2: limits.unknown_price", '"refuse"'),
    ("[limits]\nunknown_price = nan", "line 2: limits.unknown_price", "number"),
    ('[limits]\nsynchronous = "off"', "line 2: limits.synchronous", '"full"'),
    ('[notify]\ndesktop = "yes"', "line 2: notify.desktop", "true or false"),
    ('[tui]\ntheme = "../x"', "line 2: tui.theme", "theme"),
    ("x = " + "[" * 2000, "line 1", "close"),
    ("x = " + "9" * 3999, "line 1", "split"),
    ("a" + ".a" * 1000 + " = 1", "line 1", "split"),
]


@pytest.mark.parametrize(("text", "where", "advice"), BROKEN, ids=[str(n) for n in range(len(BROKEN))])
def test_what_is_wrong_is_one_sentence_with_file_line_key_and_fix(text, where, advice):
    """A typo is found without searching: the message says where it is and what to write."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("config.toml, line ")
    assert where in message
    assert advice in message
    assert "\n" not in message
    assert len(message) < 400


def test_a_huge_number_is_refused_with_a_sentence():
    """More digits than Python converts is no crash."""
    with pytest.raises(ConfigError, match=r"config\.toml"):
        parse("x = [" + ",\n".join(["9" * 3000] * 3) + "]\ny = 1e" + "9" * 30)


@pytest.mark.parametrize("make", ["directory", "fifo", "big", "latin"])
def test_a_file_that_is_no_config_is_refused_at_once(tmp_path, make):
    """A folder, a pipe, a huge or a binary file in its place neither hangs nor floods costmon."""
    path = tmp_path / "config.toml"
    if make == "directory":
        path.mkdir()
    elif make == "fifo":
        os.mkfifo(path)
    elif make == "big":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    else:
        path.write_bytes(b"a = 1\nb = '\xe9'")
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        config.load(str(path))
    assert time.monotonic() - started < 0.2
    assert str(path) in str(caught.value)
    assert make != "latin" or "line 2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "nano", "currency"),
    [
        ("0.10USD", 100_000_000, "USD"),
        ("10 usd", 10 * 10**9, "USD"),
        ("$10", 10 * 10**9, "USD"),
        ("₩15000", 15_000 * 10**9, "KRW"),
        ("15,000 KRW", 15_000 * 10**9, "KRW"),
        ("1,234,567.89 USD", 1_234_567_890_000_000, "USD"),
        ("USD 3", 3 * 10**9, "USD"),
        (".5 EUR", 500_000_000, "EUR"),
        ("0.000000001 USD", 1, "USD"),
    ],
)
def test_money_is_read_as_people_write_it(text, nano, currency):
    """Symbols, codes and thousands separators are all understood."""
    assert config.parse_money(text) == Money(nano, currency)


@given(st.decimals("0.000000001", 9_000_000_000, places=9))
def test_money_is_exact(value: Decimal):
    """Not a nano is lost between the file and the limit."""
    assert config.parse_money(f"{value:f} USD").nano == int(value * 10**9)


@given(st.text(max_size=40))
def test_any_text_is_money_or_an_error(text):
    """No amount, however odd, ends in a traceback."""
    with suppress(ValueError):
        assert config.parse_money(text).nano > 0


def test_lines_are_found_through_comments_strings_and_arrays():
    """The line named is the key's own, whatever stands above it."""
    text = (
        "# [budget.no]\na = '''\nb = 1\n'''\n\n[x.y] # c\nk = [\n  1, # ]\n  2,\n]\n\"q.r\" = '#'\n"
        "[[z]]\nn = 1\n[[z]]\nn = { m = 2 }\n[z.sub]\no = 1\nd.e = 1"
    )
    found = {path: (lines.start, lines.stop - 1) for path, lines in locate(text).items()}
    assert found == {
        ("a",): (2, 4), ("x", "y"): (6, 6), ("x", "y", "k"): (7, 10), ("x", "y", "q.r"): (11, 11),
        ("z",): (12, 12), ("z", 0): (12, 12), ("z", 0, "n"): (13, 13),
        ("z", 1): (14, 14), ("z", 1, "n"): (15, 15),
        ("z", 1, "sub"): (16, 16), ("z", 1, "sub", "o"): (17, 17), ("z", 1, "sub", "d", "e"): (18, 18),
    }  # fmt: skip


@given(st.binary(max_size=300))
def test_any_bytes_are_a_config_or_an_error(data):
    """Whatever an editor leaves behind, costmon says a sentence."""
    with suppress(ConfigError):
        config.parse(data, "config.toml")


@given(st.lists(st.sampled_from([*"\"'[]{}=.\na1# ", '"""', "budget"])))
def test_any_toml_like_text_is_a_config_or_an_error(parts):
    """Half-typed TOML is a sentence too."""
    with suppress(ConfigError):
        parse("".join(parts))
