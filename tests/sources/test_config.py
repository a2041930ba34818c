"""[resource.NAME] tables: what may stand there, and the one sentence when it may not."""

from __future__ import annotations

import json
import re

import pytest

from costmon import config
from costmon.config.resources import resource_from_fields, resources_to_json
from costmon.errors import ConfigError

TIME = 'kind = "time"\nprice = "1 USD"\nper = "hour"\n'
STORE = 'kind = "storage"\nprice = "1 USD"\nper = "GB-month"\n'
MOVE = 'kind = "transfer"\nprice = "1 USD"\nper = "GB"\nmeasure = "network"\n'


def parse(text: str):
    return config.parse(text.encode(), "config.toml")


def resource(body: str, before: str = ""):
    return parse(f"{before}[resource.box]\n{body}").resources[0]


def test_the_examples_of_the_default_file_work():
    live = re.sub(r"(?m)^#(?! )", "", config.DEFAULT)
    found = {one.name: one for one in parse(live).resources}
    assert sorted(found) == ["backups", "egress", "gpu-box"]
    assert (found["gpu-box"].follows, found["gpu-box"].since) == ("clock", "2026-11-01")
    assert (found["backups"].held, found["backups"].month) == (50 * 10**9, "730h")
    assert (found["egress"].free, found["egress"].tiers) == (100, ((10240, 85_000_000),))


@pytest.mark.parametrize(
    ("body", "follows", "target"),
    [
        (TIME, "runs", ""),
        (TIME + "always_on = false\n", "runs", ""),
        (TIME + "always_on = true\n", "clock", ""),
        (TIME + 'measure = "uptime"\n', "uptime", ""),
        (TIME + 'measure = "gpu"\n', "gpu", ""),
        (STORE + "gib = 1.5\n", "clock", ""),
        (STORE + 'measure = "disk:/var"\n', "disk", "/var"),
        (STORE + 'measure = "folder:~/data"\n', "folder", "~/data"),
        (MOVE, "network", ""),
        (MOVE.replace("network", "network:eth0"), "network", "eth0"),
        ('kind = "flat"\nprice = "20 USD"\nper = "month"\n', "clock", ""),
        ('kind = "time"\nprice_of = "aws-vm"\n', "runs", ""),
    ],
)
def test_what_moves_it(body, follows, target):
    found = resource(body)
    assert (found.follows, found.target) == (follows, target)
    ((_, fields),) = json.loads(resources_to_json([found])).items()
    assert resource_from_fields(fields) == found


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ('price = "1 USD"\nper = "hour"\n', 3, 'resource.box has no kind; add a line such as kind = "time"'),
        ('kind = "server"\n', 4, 'kind must be "time" or "storage" or "transfer" or "flat", not "server"'),
        ('kind = "time"\n', 3, 'has no price; add a line such as price = "2450 KRW"'),
        ('kind = "time"\nprice = "1 USD"\n', 3, 'has no per; add a line such as per = "hour"'),
        (TIME.replace("1 USD", "-1 USD"), 5, "price must be more than zero"),
        (TIME.replace('"1 USD"', "nan"), 5, "price must be a text with its currency"),
        (TIME.replace('"1 USD"', "1"), 5, "price must be a text with its currency"),
        (TIME.replace("1 USD", "1"), 5, "price names no currency"),
        (TIME.replace("hour", "GB"), 6, 'per must be "hour" or "day" or "month" for kind time, not "GB"'),
        (TIME + 'price_of = "vm"\n', 5, "price cannot stand beside price_of"),
        ('kind = "time"\nprice_of = "vm"\nfree = 2\n', 6, "free cannot stand beside price_of"),
        (TIME + 'measure = "cpu"\n', 7, 'measure must be "uptime" or "gpu" for kind time, not "cpu"'),
        (TIME + 'measure = "network"\n', 7, 'measure must be "uptime" or "gpu" for kind time, not "network"'),
        (TIME + 'always_on = true\nmeasure = "gpu"\n', 8, "measure cannot stand beside always_on"),
        (TIME + "gb = 5\n", 7, "gb is for kind storage or transfer, not time"),
        (TIME + "since = 2026-11-01\n", 7, "since needs always_on = true"),
        (TIME + 'measure = "uptime"\nsince = 2026-11-01\n', 8, "since is for what is announced"),
        (TIME + "always_on = true\nsince = 2026-11-02\nuntil = 2026-11-01\n", 9, "until is not after since"),
        (TIME + 'always_on = true\nsince = "2026-11-02"\n', 8, "since must be a day or time without quotes"),
        (TIME + "always_on = true\nsince = 2026-11-02T10:00:00\n", 8, "since has no time zone"),
        (TIME + "increment_s = 0\n", 7, "increment_s must be a whole number from 1"),
        (TIME + "alway_on = true\n", 7, 'alway_on is not a setting; did you mean "always_on"?'),
        (STORE, 3, "says not how much it is; add gb = 50 or measure"),
        (STORE + "gb = -1\n", 7, "gb must be a number from 0"),
        (STORE + "gb = nan\n", 7, "gb must be a number from 0"),
        (
            STORE + 'measure = "disk:var"\n',
            7,
            'measure must be "disk:/path" or "folder:/path" for kind storage',
        ),
        (STORE + "gb = 1\ngib = 1\n", 8, "gib cannot stand beside gb"),
        (STORE + "gb = 1\nincrement_s = 60\n", 8, "increment_s is for kind time, not storage"),
        (MOVE + 'count = "out"\n', 8, 'count must be "sent" or "received" or "both"'),
        (MOVE + 'free = 5\ntiers = [{ above = 5, price = "1 USD" }]\n', 9, "above must be more than 5"),
        (MOVE + 'tiers = [{ above = 5, price = "1 KRW" }]\n', 8, "price is in KRW, the resource in USD"),
        (
            'kind = "flat"\nprice = "1 USD"\nper = "month"\nmeasure = "gpu"\n',
            7,
            "measure is for kind time, storage or transfer",
        ),
    ],
)
def test_a_wrong_resource_is_named_in_one_sentence(body, line, says):
    with pytest.raises(ConfigError) as caught:
        resource(body, '[budget.total]\namount = "10 USD"\n')
    assert str(caught.value).startswith(f"config.toml, line {line}: resource.box")
    assert says in str(caught.value)


def test_names_are_checked():
    with pytest.raises(ConfigError, match="is no name for a resource"):
        parse('[resource."a/b"]\n' + TIME)
    with pytest.raises(
        ConfigError, match=r"must be a table with a name, written \[resource.gpu-box\], not \"x\""
    ):
        parse('[resource]\nbox = "x"\n')


def test_a_price_that_a_budget_cannot_count_is_refused():
    won = TIME.replace("1 USD", "2450 KRW")
    budget = '[budget.total]\namount = "10 USD"\n'
    with pytest.raises(ConfigError, match='is in KRW, but budget "total" is in USD and no rate leads there'):
        resource(won, budget)
    rate = '[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2026-01-01\n'
    assert resource(won, rate + budget).currency == "KRW"
    assert resource(won, budget + 'scope = "app=trader"\n').currency == "KRW"  # that budget does not count it
