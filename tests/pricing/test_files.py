"""Price files: a good one becomes entries, a bad one a single sentence that names file, key and fix."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.errors import PriceError
from costmon.pricing.files.read import MAX_MESSAGE, PriceFile, load_price_file
from costmon.shim import cards
from costmon.shim.timestamps import to_us

HEAD = 'schema = 1\n[[price]]\nprovider = "acme"\nmodel = "m-1"\ncurrency = "USD"\n'
RATE = "[[price.rate]]\ninput = 1\noutput = 2\n"
GOOD = HEAD + RATE
ALIAS = 'schema = 1\n[[alias]]\nprovider = "azure"\nmatch = "prod-chat-*"\nto = "azure:gpt-4o"\n'
ZONES = sorted(name for name in available_timezones() if name.startswith("Asia/"))[:25]
NESTED = "{ or = [" * 12 + '{ equals = "x" }' + "] }" * 12


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "prices.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def card_of(file: PriceFile, model: str, at: str = "2026-11-20", **context: str) -> cards.Card | None:
    when = to_us(datetime.fromisoformat(at).replace(tzinfo=UTC))
    ((provider, entries),) = file.models.items()
    return cards.lookup([(0, "user", file.digest, entries)], provider, model, when, context)


def cost(file: PriceFile, usage: dict[str, int], at: str = "2026-11-20", **context: str) -> int | None:
    card = card_of(file, "m-1", at, **context)
    return None if card is None else cards.price(card, usage).nano


def test_plain_price(tmp_path: Path) -> None:
    """Two lines of rates price a model: 1000 x 1/M + 1000 x 2/M."""
    file = load_price_file(write(tmp_path, GOOD))
    assert cost(file, {"input_tokens": 1000, "output_tokens": 1000}) == 3_000_000
    assert len(file.digest) == 8


def test_free_local_models(tmp_path: Path) -> None:
    """A price of 0 for "*" makes every model of a local server free; a named one keeps its own."""
    text = (
        HEAD.replace("m-1", "*")
        + "[[price.rate]]\ninput = 0\noutput = 0\n"
        + GOOD.removeprefix("schema = 1\n")
    )
    file = load_price_file(write(tmp_path, text))
    free, own = card_of(file, "llama3:8b"), card_of(file, "M-1")
    assert free is not None
    assert own is not None
    assert cards.price(free, {"input_tokens": 10**6, "output_tokens": 5}) == (0, "free", ())
    assert cards.price(own, {"input_tokens": 1}) == (1000, "priced", ())


def test_everything_a_rate_can_say(tmp_path: Path) -> None:
    """Dates, zones, amounts, tiers, contexts, other units and another currency."""
    text = (
        HEAD.replace("USD", "KRW")
        + 'match = { or = [{ starts_with = "M-1-" }, { regex = "^house-[0-9]+$" }] }\n'
        + "[[price.rate]]\nuntil = 2026-01-01T00:00:00+09:00\nper = 1\ninput = 0.003\n"
        + "[[price.rate]]\nfrom = 2026-01-01T00:00:00+09:00\nper = 1000\ninput = 2\noutput = 4\n"
        + "web_searches = 14_000\n"
        + "tiers = [{ above = 1000, input = 3 }, { above = 2000, input = 5, output = 6 }]\n"
        + '[[price.rate]]\ncontext = { service_tier = "flex" }\nper = 1000\ninput = 1\n'
    )
    file = load_price_file(write(tmp_path, text))
    assert cost(file, {"input_tokens": 2}, "2025-12-31T14:59:59") == 6_000_000
    assert cost(file, {"input_tokens": 1000}, "2025-12-31T15:00:00") == 2_000_000_000
    assert cost(file, {"input_tokens": 1001, "output_tokens": 1}) == 3_003_000_000 + 4_000_000
    assert cost(file, {"input_tokens": 2001, "output_tokens": 1}) == 10_005_000_000 + 6_000_000
    assert (
        cost(file, {"input_tokens": 5000, "web_searches": 1}, service_tier="flex")
        == 5_000_000_000 + 14_000_000_000
    )
    names = {name: card_of(file, name) for name in ("m-1", "m-1-turbo", "HOUSE-7", "m-10", "house-x")}
    assert {name: card and card.currency for name, card in names.items()} == {
        "m-1": "KRW",
        "m-1-turbo": "KRW",
        "HOUSE-7": "KRW",
        "m-10": None,
        "house-x": None,
    }


BAD = {
    "schema = 1\n[[price]\n": "is not valid TOML: Expected ']]' at the end of an array declaration (at line",
    b"\xff\xfe": "is not UTF-8",
    "": "schema must be 1",
    "schema = 2\n": "schema must be 1",
    "schema = 1\nprices = 3\n": "prices is no key known here",
    "schema = 1\nprice = 3\n": "price must be a list of tables",
    GOOD.replace("input = 1", "input = -1"): "price[1].rate[1].input is -1, below zero",
    GOOD.replace("input = 1", "input = nan"): "price[1].rate[1].input is NaN",
    GOOD.replace("input = 1", "input = inf"): "price[1].rate[1].input is Infinity",
    GOOD.replace("input = 1", "input = true"): "input is 'True'; write a number",
    GOOD.replace("input = 1", 'input = "2.5"'): "input is '2.5'; write a number",
    GOOD.replace("input = 1", "input = 1e12"): "input is over",
    GOOD.replace("input = 1", "input = 0.00000000001"): "more than 9 decimals",
    GOOD.replace("input = 1", "inputs = 1"): "price[1].rate[1].inputs is no unit known here",
    GOOD.replace("input = 1", "input = 1\ninput_tokens = 1"): "gives input_tokens a second time",
    GOOD.replace(
        "input = 1\n", "cache_read = 1\n"
    ): "has a price for cache_read_tokens but none for input_tokens",
    GOOD.replace("input = 1", "per = 100\ninput = 1"): "price[1].rate[1].per is 100",
    GOOD.replace('currency = "USD"\n', ""): "price[1] has no currency",
    GOOD.replace('"USD"', '"usd"'): "price[1].currency is 'usd'",
    GOOD.replace('"acme"', "7"): "price[1].provider must be a text",
    GOOD.replace('"m-1"', '""'): "price[1].model must be a text",
    GOOD.replace("[[price.rate]]", 'checked = "today"\n[[price.rate]]'): "price[1].checked must be a date",
    GOOD.replace("[[price.rate]]", "colour = 1\n[[price.rate]]"): "price[1].colour is no key known here",
    GOOD.replace(
        "[[price.rate]]", 'match = { like = "x" }\n[[price.rate]]'
    ): "price[1].match must be a table",
    GOOD.replace(
        "[[price.rate]]", 'match = { regex = "(" }\n[[price.rate]]'
    ): "match.regex is no regular expression",
    GOOD.replace("[[price.rate]]", "match = { or = [] }\n[[price.rate]]"): "price[1].match.or must be a list",
    HEAD: "price[1] has no [[price.rate]]",
    HEAD + "[[price.rate]]\n": "price[1].rate[1] has no price",
    HEAD + '[[price.rate]]\ncontext = { a = "b" }\ninput = 1\n': "has no [[price.rate]] without a context",
    HEAD + "[[price.rate]]\ncontext = 1\ninput = 1\n": "rate[1].context must be a table",
    GOOD + RATE: "price[1].rate[2] overlaps price[1].rate[1]",
    HEAD
    + "[[price.rate]]\nfrom = 2026-02-01\ninput = 1\n"
    + "[[price.rate]]\nuntil = 2026-02-02\ninput = 1\n": "price[1].rate[1] overlaps price[1].rate[2]",
    GOOD + "from = 2026-02-01\nuntil = 2026-02-01\n": "price[1].rate[1].until is not after from",
    GOOD + "from = 2026-02-01T00:00:00\n": "price[1].rate[1].from has no time zone",
    GOOD + "from = 2026-02-01T00:00:00.5Z\n": "price[1].rate[1].from has a fraction of a second",
    GOOD + "from = 0001-01-01T00:00:00+14:00\n": "price[1].rate[1].from lies outside the calendar",
    GOOD + 'from = "2026-02-01"\n': "price[1].rate[1].from must be a date",
    GOOD + "tiers = [{ input = 1 }]\n": "price[1].rate[1].tiers[1].above must be a whole number",
    GOOD + "tiers = [{ above = 9, input = 1 }, { above = 9, input = 1 }]\n": "tiers[2].above must be a whole",
    GOOD + "tiers = [{ above = 9, cache_read = 1 }]\n": "tiers[1] has a price for cache_read_tokens",
    GOOD + GOOD.removeprefix("schema = 1\n"): "price[2] names acme m-1 a second time",
    GOOD + 'mode = "graduated"\n': "rate[1].mode says how tiers work, and there are none",
    GOOD + 'mode = "steps"\ntiers = [{ above = 9, input = 1 }]\n': "rate[1].mode is 'steps'; write \"cliff\"",
    GOOD + "mode = 1\ntiers = [{ above = 9, input = 1 }]\n": "rate[1].mode is '1'",
    GOOD + "tiers = [{ above = 9 }]\n": "tiers[1] has no price",
    GOOD + "tiers = { above = 9 }\n": "tiers must be a list of tables",
    GOOD
    + "tiers = [{ above = 1_000_000_000_000_000, input = 1 }]\n": "tiers[1].above must be a whole number",
    GOOD + 'audio_seconds = 1\nmode = "graduated"\ntiers = [{ above = 1, audio_seconds = 1 }]\n': (
        "tiers[1].above must be a multiple of 3,600, which is what audio_seconds is priced per"
    ),
    GOOD + "when = 1\n": "rate[1].when must be a list of tables",
    GOOD + "when = [{ multiply = 2 }]\n": "rate[1].when[1] says neither days nor hours",
    GOOD + 'when = [{ days = ["mon"] }]\n': "when[1] must have either `multiply = …` or prices of its own",
    GOOD + 'when = [{ days = ["mon"], multiply = 2, input = 1 }]\n': "when[1] must have either",
    GOOD + 'when = [{ days = ["mon"], multiply = -2 }]\n': "when[1].multiply is -2, below zero",
    GOOD + 'when = [{ days = ["mon"], multiply = nan }]\n': "when[1].multiply is NaN",
    GOOD + 'when = [{ days = ["mon"], multiply = "2" }]\n': "when[1].multiply is '2'; write a number",
    GOOD + 'when = [{ days = ["mon"], multiply = 0.3333333333 }]\n': "multiply has more than 9 decimals",
    GOOD + 'when = [{ days = "mon", multiply = 2 }]\n': "when[1].days must be a list of texts",
    GOOD + "when = [{ days = [], multiply = 2 }]\n": "when[1].days must be a list of texts",
    GOOD
    + 'when = [{ days = ["Monday"], multiply = 2 }]\n': "when[1].days[1] is 'Monday'; write one of mon, tue",
    GOOD + "when = [{ hours = [9], multiply = 2 }]\n": "when[1].hours[1] is '9'; write hours and minutes",
    GOOD
    + 'when = [{ hours = ["9-12"], multiply = 2 }]\n': "when[1].hours[1] is '9-12'; write hours and minutes",
    GOOD + 'when = [{ hours = ["09:00-09:00"], multiply = 2 }]\n': "'09:00-09:00', which is no span of time",
    GOOD + 'when = [{ hours = ["09:00-24:30"], multiply = 2 }]\n': "'09:00-24:30', which is no span of time",
    GOOD + 'when = [{ days = ["mon"], tz = "Asia/Soul", multiply = 2 }]\n': "tz 'Asia/Soul' is no time zone",
    GOOD + 'when = [{ days = ["mon"], tz = "../etc", multiply = 2 }]\n': "tz '../etc' is no time zone",
    GOOD + 'when = [{ days = ["mon"], tz = 9, multiply = 2 }]\n': "when[1].tz must be a text",
    GOOD + 'when = [{ days = ["mon"], until = 3, multiply = 2 }]\n': "when[1].until is no unit known here",
    GOOD
    + 'when = [{ days = ["mon"], multiply = 2 }, { hours = ["23:00-01:00"], days = ["sun"], multiply = 3 }]\n': (
        "when[2] overlaps price[1].rate[1].when[1]; an hour can have one price"
    ),
    GOOD
    + 'when = [{ days = ["mon"], multiply = 2 }, { days = ["tue"], tz = "Asia/Seoul", multiply = 3 }]\n': (
        "when[2] overlaps"
    ),
    GOOD + 'tiers = [{ above = 9, input = 4 }]\nwhen = [{ days = ["mon"], input = 2 }]\n': (
        "when[1] replaces input_tokens, which has tiers; use `multiply = …` instead"
    ),
    HEAD + '[[price.rate]]\nweb_searches = 1\nwhen = [{ days = ["mon"], cache_read = 2 }]\n': (
        "when[1] has a price for cache_read_tokens but none for input_tokens"
    ),
    GOOD + "when = [" + '{ days = ["mon"], multiply = 2 },' * 51 + "]\n": "rate[1].when has over 50 windows",
    GOOD
    + "when = [{ hours = ["
    + '"09:00-10:00",' * 51
    + "], multiply = 2 }]\n": "hours has over 50 entries",
    GOOD + "resource_seconds = 1\n": "rate[1].resource_seconds is no unit known here",
    "schema = true\n": "schema must be 1",
    'schema = 1\n[[price]]\nresource = "r"\nkind = "time"\ncurrency = "USD"\n[[price.rate]]\nper = "hour"\n'
    + "amount = 0x"
    + "f" * 900_000
    + "\n": "amount is over 1,000,000,000",
    'schema = 1\n[[price]]\nresource = "r"\nkind = "time"\ncurrency = "USD"\n[[price.rate]]\nper = "hour"\n'
    + "amount = 1\nfree = 0x"
    + "f" * 20_000
    + "\n": "free is 'a number of thousands of digits'",
    "schema = 1\nschema = 1\n": "is not valid TOML: Cannot overwrite a value",
    "schema = 1\nalias = 3\n": "alias must be a list of tables",
    ALIAS.replace('to = "azure:gpt-4o"\n', ""): "alias[1] has no to; add `to = …`",
    ALIAS.replace('match = "prod-chat-*"\n', ""): "alias[1] has no match",
    ALIAS.replace('"azure"\n', "1\n"): "alias[1].provider must be a text",
    ALIAS.replace('"prod-chat-*"', "[]"): "alias[1].match must be a text",
    ALIAS.replace('"azure:gpt-4o"', "{}"): "alias[1].to must be a text",
    ALIAS + "price = 1\n": "alias[1].price is no key known here; the keys are provider, match, to",
    ALIAS.replace("prod-chat-*", "gpt-*"): "alias[1].to matches the alias itself (gpt-*)",
    ALIAS.replace("prod-chat-*", "a*b*c*d*e*f*g*h*i*j"): "alias[1].match has more than 8 stars",
    ALIAS + ALIAS.removeprefix("schema = 1\n"): "alias[2] names azure prod-chat-* a second time",
    GOOD.replace(
        "[[price.rate]]", f"match = {NESTED}\n[[price.rate]]"
    ): "is nested too deeply; write a flatter",
    GOOD.replace("input = 1", "input = 1e999999999"): "input is over",
    GOOD.replace("input = 1", "input = 1e-999999999"): "more than 9 decimals",
    GOOD.replace("input = 1", "input = 0.1" + "0" * 60 + "1"): "more than 9 decimals",
    GOOD.replace("input = 1", "input = " + "9" * 5000): "is not valid TOML",
    GOOD.replace("input = 1", "input = []"): "input is '[]'; write a number",
    GOOD.replace("input = 1", "input = 2026-01-01"): "input is '2026-01-01'; write a number",
    GOOD.replace("[[price.rate]]", "rate = 1\n[[price.rate]]"): "is not valid TOML",
    HEAD + "rate = 1\n": "price[1].rate must be a list of tables",
    GOOD.replace('"USD"', "true"): "price[1].currency must be a text",
    GOOD + "per = true\n": "price[1].rate[1].per is True",
    GOOD + "per = []\n": "price[1].rate[1].per is []",
    GOOD + "from = 7\n": "price[1].rate[1].from must be a date",
    GOOD + "until = 07:30:00\n": "price[1].rate[1].until must be a date",
    bytes(range(256)): "is not UTF-8 text (byte 129)",
    b"\x00\x01\x02\x03": "is not valid TOML",
    "a = " + "[" * 5000: "is nested too deeply",
    "schema = 1\n[a"
    + ".a" * 50_000
    + "]\n": "has a key of over 30 parts; a price file needs no deep nesting",
    "schema = 1\n" + '"! ".' * 50_000 + '"!" = 1\n': "has a key of over 30 parts",
    GOOD.replace("[[price.rate]]", "match = { regex = '^(([a-z0-9])+.)+-ft$' }\n[[price.rate]]"): (
        "price[1].match.regex could take very long on some names, inside every app; write it simpler"
    ),
    GOOD.replace("[[price.rate]]", "match = { or = [{ regex = '(x+x+)+y' }] }\n[[price.rate]]"): (
        "price[1].match.or[1].regex could take very long"
    ),
    GOOD.replace("[[price.rate]]", "match = { or = [" + "{ regex = '^a' }," * 101 + "] }\n[[price.rate]]"): (
        "price[1] is the file's pattern number 101"
    ),
    GOOD.replace("[[price.rate]]", "match = { or = [" + "{ equals = 'a' }," * 2001 + "] }\n[[price.rate]]"): (
        "price[1].match.or has over 2,000 clauses"
    ),
    "schema = 1\n"
    + "".join(
        f'[[alias]]\nprovider = "azure"\nmatch = "a*{i}*b"\nto = "openai:gpt-4o"\n' for i in range(101)
    ): "alias[101] is the file's pattern number 101",
    GOOD.replace("input = 1", "per = 1\ninput = 2.5"): (
        "price[1].rate[1] makes 1,000,000 input_tokens cost 2,500,000 USD, over 1,000,000; check the amount and `per`"
    ),
    GOOD
    + "per = 1000\ntiers = [{ above = 9, output = 2000 }]\n": "rate[1] makes 1,000,000 output_tokens cost 2,000,000",
    GOOD
    + 'when = [{ days = ["mon"], multiply = 1_000_000_000 }]\n': "rate[1] makes 1,000,000 input_tokens cost",
    GOOD + "web_searches = 1_000_001\n": "rate[1] makes 1,000 web_searches cost 1,000,001 USD",
    GOOD.replace('"USD"', '"KRW"').replace("input = 1", "per = 1\ninput = 1001"): "over 1,000,000,000; check",
    GOOD.replace("input = 1", "input = 0x" + "f" * 20_000): "input is over 1,000,000,000",
    GOOD.replace("input = 1", "per = 0x" + "f" * 20_000): "per is a number of thousands of digits; write 1",
    GOOD + "tiers = [" + "{ above = 9, input = 4 }," * 101 + "]\n": "rate[1].tiers has over 100 tiers",
    GOOD.replace('"m-1"', '"m\\u001b[31m"'): "price[1].model has a character that cannot be shown",
    GOOD.replace('"m-1"', '"m\\u202e1"'): "price[1].model has a character that cannot be shown",
    GOOD.replace('"acme"', '"a\\u009bcme"'): "price[1].provider has a character that cannot be shown",
    GOOD.replace(
        "[[price.rate]]", 'match = { equals = "m\\n" }\n[[price.rate]]'
    ): "match.equals has a character",
    GOOD.replace("[[price.rate]]", 'source = "x\\u0007"\n[[price.rate]]'): "price[1].source has a character",
    GOOD + 'context = { service_tier = "f\\u001b" }\n': "context.service_tier has a character",
    ALIAS.replace("prod-chat", "prod\\u0085chat"): "alias[1].match has a character that cannot be shown",
    ALIAS.replace("gpt-4o", "gpt\\u2066"): "alias[1].to has a character that cannot be shown",
    GOOD
    + "when = ["
    + ", ".join(
        f'{{ days = ["mon"], hours = ["{i % 24:02}:00-{i % 24:02}:30"], tz = "{zone}", multiply = 2 }}'
        for i, zone in enumerate(ZONES)
    )
    + "]\n": "when[25].tz is the file's time zone number 25",
    GOOD + "#" * 1_000_000: "is over 1,000,000 bytes",
}


@pytest.mark.parametrize(("text", "sentence"), BAD.items(), ids=[value[:40] for value in BAD.values()])
def test_bad_file_is_one_sentence(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    """Each mistake names the file and the key, in one line, and nothing of the file is used."""
    path = write(tmp_path, text)
    with pytest.raises(PriceError) as caught:
        load_price_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert sentence in message
    assert "\n" not in message


def test_missing_source_or_date_in_our_own_files(tmp_path: Path) -> None:
    """A correction that ships with costmon says where its figures are from and when they were looked up."""
    with pytest.raises(PriceError, match="has no source"):
        load_price_file(write(tmp_path, GOOD), dated=True)
    sourced = GOOD.replace("[[price.rate]]", 'source = "x"\n[[price.rate]]')
    with pytest.raises(PriceError, match="has no checked"):
        load_price_file(write(tmp_path, sourced), dated=True)
    file = load_price_file(
        write(tmp_path, sourced.replace('"x"\n', '"x"\nchecked = 2026-11-20\n')), dated=True
    )
    assert file.checked == {"acme": date(2026, 11, 20)}


def test_what_is_not_a_file(tmp_path: Path) -> None:
    """A folder, a FIFO or nothing at that path is said at once; nothing blocks."""
    with pytest.raises(PriceError, match="not a regular file"):
        load_price_file(str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PriceError, match="not a regular file"):
        load_price_file(str(tmp_path / "fifo"))
    with pytest.raises(PriceError, match="cannot be read"):
        load_price_file(str(tmp_path / "absent"))


def test_a_hundred_megabytes(tmp_path: Path) -> None:
    """Only the first megabyte of such a file is read."""
    with open(tmp_path / "prices.toml", "wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(PriceError, match="is over 1,000,000 bytes; split it"):
        load_price_file(str(tmp_path / "prices.toml"))


def test_links(tmp_path: Path) -> None:
    """A link that leads to itself or nowhere is said; one to a good file is followed."""
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    with pytest.raises(PriceError, match=r"loop.toml: cannot be read \(Too many levels"):
        load_price_file(str(tmp_path / "loop.toml"))
    (tmp_path / "link.toml").symlink_to(write(tmp_path, GOOD))
    assert set(load_price_file(str(tmp_path / "link.toml")).models) == {"acme"}


def test_a_mark_at_the_start_is_no_fault(tmp_path: Path) -> None:
    """Some editors begin UTF-8 files with a byte order mark."""
    assert set(load_price_file(write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())).models) == {"acme"}


def test_graduated_tiers(tmp_path: Path) -> None:
    """The first 1,000 pages at 2.00 per 1,000, the next at 1.00, and half a million tokens free: each only for what
    lies above."""
    text = (
        HEAD
        + '[[price.rate]]\ninput = 0\ninput_document_pages = 2\nmode = "graduated"\n'
        + "tiers = [{ above = 1000, input_document_pages = 1 }, { above = 500_000, input = 4 }]\n"
    )
    file = load_price_file(write(tmp_path, text))
    assert cost(file, {"input_document_pages": 1000}) == 2_000_000_000
    # 1,000 x 2/1,000 + 500 x 1/1,000
    assert cost(file, {"input_document_pages": 1500}) == 2_500_000_000
    assert cost(file, {"input_tokens": 500_000}) == 0
    # 250,000 x 4/M
    assert cost(file, {"input_tokens": 750_000}) == 1_000_000_000


def test_hostile_names_stay_one_short_line(tmp_path: Path) -> None:
    """Control characters and endless keys of a file do not reach the terminal."""
    with pytest.raises(PriceError) as caught:
        load_price_file(write(tmp_path, f'schema = 1\n"\\u001b[31m{"x" * 5000}\\n" = 1\n'))
    assert len(str(caught.value)) <= MAX_MESSAGE
    assert str(caught.value).isprintable()


@pytest.mark.slow
def test_a_full_megabyte_of_prices_is_read_quickly(tmp_path: Path) -> None:
    """Thousands of prices are no reason to wait: the checks do not compare each with each."""
    one = '[[price]]\nprovider="a"\nmodel="m{}"\ncurrency="USD"\n[[price.rate]]\ninput=1\n'
    file = load_price_file(write(tmp_path, "schema = 1\n" + "".join(one.format(i) for i in range(10_000))))
    assert len(file.models["a"]) == 10_000


def test_many_names_and_long_texts_are_no_deep_keys(tmp_path: Path) -> None:
    """The bound on dotted keys meets neither addresses nor lists."""
    names = ", ".join(f'{{ equals = "m.{i}.b" }}' for i in range(500))
    rate = f'source = "https://{"a.b/" * 20}{"1." * 25}html"\nmatch = {{ or = [{names}] }}\n[[price.rate]]'
    file = load_price_file(write(tmp_path, GOOD.replace("[[price.rate]]", rate)))
    assert card_of(file, "m.499.b") is not None


def test_dear_prices_that_are_real(tmp_path: Path) -> None:
    """A million dollars, and a billion of any other currency, are as far as a price goes."""
    dollars = load_price_file(
        write(tmp_path, GOOD.replace("input = 1", "per = 1\ninput = 1").replace("output = 2", "output = 0.5"))
    )
    assert cost(dollars, {"input_tokens": 1}) == 10**9
    won = load_price_file(
        write(tmp_path, GOOD.replace("USD", "KRW").replace("input = 1", "input = 1_000_000_000"))
    )
    assert cost(won, {"input_tokens": 1}) == 10**12


def test_a_file_whose_name_cannot_be_shown(tmp_path: Path) -> None:
    """A name with a control character would reach the terminal with every price of the file."""
    path = tmp_path / "a\x1b[31m.toml"
    path.write_text(GOOD)
    with pytest.raises(PriceError, match="rename the file") as caught:
        load_price_file(str(path))
    assert str(caught.value).isprintable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(cut=st.integers(0, len(GOOD)), junk=st.text(max_size=8), more=st.integers(0, 12))
@pytest.mark.slow
def test_damaged_files_never_escape(tmp_path: Path, cut: int, junk: str, more: int) -> None:
    """Whatever an editor leaves behind, the answer is prices or one sentence."""
    text = GOOD[:cut] + junk + GOOD[cut + more :]
    with contextlib.suppress(PriceError):
        load_price_file(write(tmp_path, text.encode("utf-8", "surrogatepass")))
