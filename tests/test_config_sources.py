"""`[source.NAME]`, `[unlogged]` and `count_unlogged`: what is read, and one sentence for what is wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest

from costmon import config
from costmon.config import Config
from costmon.config.values import Source, Unlogged
from costmon.errors import ConfigError
from costmon.shim.money import Money

CANARY = "sk-admin-canary0123456789"


def parse(text: str) -> Config:
    return config.parse(text.encode(), "config.toml")


def test_nothing_is_polled_by_default() -> None:
    assert parse("").sources == ()
    assert parse(config.DEFAULT).sources == ()
    assert parse("").unlogged == Unlogged(Money(500_000_000, "USD"))


def test_a_source_says_all_it_may() -> None:
    found = parse(
        """
        [source.bill]
        kind = "xai"
        provider = "x-ai"
        base_url = "https://eu.example.com/v1"
        key = "env:XAI_MANAGEMENT_KEY"
        every = "30m"
        enabled = false
        tax_included = "10 %"
        team = "t-1"
        retries = 3
        deep = true
        """
    ).sources
    assert found == (
        Source(
            "bill", "xai", "x-ai", "https://eu.example.com/v1", "env:XAI_MANAGEMENT_KEY", 1_800_000_000, False,
            Decimal("0.1"), {"team": "t-1", "retries": "3", "deep": "true"},
        ),
    )  # fmt: skip


def test_a_name_is_enough() -> None:
    assert parse("[source.openai]").sources == (Source("openai", "openai"),)


PASTED = "sk-admin-canary0123456789", "Canary9f3QzR7wXyKp1c", "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@pytest.mark.parametrize("pasted", PASTED)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[source.openai]\nprovider = "KEY"', "line 2: source.openai.provider looks like a key"),
        ('[source.openai]\nkind = "KEY"', "line 2: source.openai.kind looks like a key"),
        ('[source.openai]\nbase_url = "KEY"', "line 2: source.openai.base_url looks like a key"),
        ('[source.openai]\nevery = "KEY"', "line 2: source.openai.every looks like a key"),
        ('[source.openai]\ntax_included = "KEY"', "line 2: source.openai.tax_included looks like a key"),
        ('[source.openai]\nenabled = "KEY"', "line 2: source.openai.enabled looks like a key"),
        ("\n[source.KEY]", "line 2: [source.…] has a name that looks like a key"),
        ('[source]\nKEY = "x"', "line 2: [source.…] has a name that looks like a key"),
        ('[source.openai]\n"KEY" = 1', "line 2: a setting of source.openai has a name that looks like a key"),
        ('[source.openai]\nteam = "KEY\\t"', "source.openai.team must be a text in quotes"),
        ('[source.openai]\nkey = "env:KEY"', "source.openai.key says where the key is"),
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(text: str, said: str, pasted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.replace("KEY", pasted))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert pasted[:12] not in str(caught.value)
    assert pasted[-8:] not in str(caught.value)


def test_names_and_ids_are_no_keys() -> None:
    found = parse(
        """
        [source.openai-production-europe-2]
        kind = "openai"
        provider = "openai-of-my-company-2026"
        base_url = "https://gateway.example.com/v1/0a1b2c3d4e5f6789abcdef/openai"
        key = "env:OPENAI_ADMIN_KEY_2026"
        team = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
        """
    ).sources
    assert found[0].options == {"team": "0a1b2c3d-4e5f-6789-abcd-ef0123456789"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[source]\nopenai = 1", "source.openai must be a table with a name, written [source.openai]"),
        ("[source.OpenAI]", "is no name for a source"),
        (f'[source.openai]\nkey = "{CANARY}"', "source.openai.key says where the key is, never the key"),
        ("[source.openai]\nkey = 5", "says where the key is"),
        ('[source.openai]\nkey = "file:relative"', "says where the key is"),
        ('[source.openai]\nevery = "0s"', "source.openai.every must be a duration"),
        ('[source.openai]\ntax_included = "0.1"', 'must be a percentage in quotes, such as "10%"'),
        ("[source.openai]\ntax_included = 10", "must be a percentage in quotes"),
        ('[source.openai]\nprovider = "Open AI"', "must be a name in lower case"),
        ("[source.openai]\nteam = [1]", "source.openai.team must be a text in quotes"),
        (
            '[source.openai]\nkey = "env:K"\n[source.again]\nkind = "openai"\nkey = "env:K"',
            "source.again is the account of [source.openai] once more, and would count twice",
        ),
        ('[unlogged]\nalert = "much"', "unlogged.alert"),
        (
            '[unlogged]\nalert = "500 KRW"',
            "unlogged.alert is in KRW, but no exchange rate between USD and KRW",
        ),
        ("[unlogged]\nalert = true", "unlogged.alert must be an amount with its currency"),
        ("[unlogged]\nabove = 1", "unlogged.above is not a setting"),
        (
            '[budget.bot]\namount = "1 USD"\nscope = "app=bot"\ncount_unlogged = true',
            "budget.bot.count_unlogged is for a budget over everything or over one provider",
        ),
        (
            '[budget.day]\namount = "1 USD"\nperiod = "day"\ncount_unlogged = true',
            "budget.day.count_unlogged is for weeks and months",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert CANARY[:12] not in str(caught.value)  # a key in the wrong place is not passed on


def test_too_many() -> None:
    with pytest.raises(ConfigError, match="one source too many"):
        parse("\n".join(f"[source.s{number}]" for number in range(51)))


def test_an_alert_can_be_off_and_in_won() -> None:
    assert parse("[unlogged]\nalert = false").unlogged.alert is None
    rate = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1385.2\ndate = 2026-11-20\n'
    assert parse(f'{rate}[unlogged]\nalert = "500 KRW"').unlogged.alert == Money(500 * 10**9, "KRW")


def test_budgets_over_everything_or_a_provider_may_count_it() -> None:
    for scope in ("all", "provider=openai"):
        found = parse(f'[budget.b]\namount = "1 USD"\nscope = "{scope}"\ncount_unlogged = true')
        assert found.budgets[0].count_unlogged
