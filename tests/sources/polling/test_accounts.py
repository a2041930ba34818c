"""No account counts twice, and no two are mixed under one name."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from costmon.monitor import bills
from tests.sources.polling.kit import HOUR, MINUTE, NOW, Home
from tests.sources.providers.fake.openai import OpenAI

TODAY = NOW.date()


@pytest.fixture
def two(make, server, monkeypatch) -> Home:
    """Two sources with one key, from two places."""
    monkeypatch.setenv("OTHER_KEY", server.fake.key)
    server.bill.spend(TODAY, "7", "m")
    return make(text(server))


def text(server, *names: str) -> str:
    keys = {"openai": "POLL_KEY", "again": "OTHER_KEY"}
    return "".join(
        f'[source.{name}]\nkind = "openai"\nbase_url = "{server.url}"\nkey = "env:{keys[name]}"\n'
        for name in names or keys
    )


def billed(home: Home) -> Decimal:
    """What the ledger's readers add up of all sources."""
    views = bills.read_views(home.store.db, home.now, home.now - 40 * 24 * HOUR, home.now)
    return Decimal(
        sum(figure.amount for view in views for stretch in view.stretches for figure in stretch.figures or ())
    ).scaleb(-9)


def test_a_second_source_of_the_same_account_is_not_read_and_says_why(two, server):
    assert two.turn("openai").booked
    asked = len(server.journal)
    error = two.turn("again").error
    assert (error.state, str(error)) == (
        "config",
        "reads the same account as [source.openai], and would count twice; remove one of the two",
    )
    assert len(server.journal) == asked
    assert two.source("again")["state"] == "config"
    assert billed(two) == 7


def test_what_both_read_before_it_was_noticed_counts_once(two, server):
    for name in ("openai", "again"):
        assert two.turn(name, by_hand=True).booked or name == "again"
    two.write(
        lambda: [
            two.store.db.execute(f"insert into {table} select 'again', {rest} from {table}")
            for table, rest in (
                ("figure", "start_at, end_at, line, model, label, project, api_key, currency, amount"),
                ("figure_bucket", "start_at, end_at, first_at, fetched_at, grew_at, revisions, complete"),
            )
        ]
    )
    assert billed(two) == 14
    two.turn("again", by_hand=True, after=MINUTE)
    assert billed(two) == 7
    assert two.total("openai") == 7


def test_when_the_first_one_is_removed_the_second_is_read(two, server):
    two.turn("openai")
    assert two.turn("again").error is not None
    two.configure(text(server, "again"))
    assert two.turn("again", after=MINUTE).booked
    assert billed(two) == 7


def test_neither_the_key_nor_a_plain_hash_of_it_is_in_the_ledger(two, server):
    import hashlib

    two.turn("openai")
    dump = "\n".join(two.store.db.iterdump())
    assert '"account": "' in dump
    for name in ("sha256", "blake2b", "md5", "sha1"):
        assert hashlib.new(name, server.fake.key.encode()).hexdigest()[:16] not in dump
    assert server.fake.key not in dump


def accounts(server, monkeypatch, new: str = "sk-admin-second") -> OpenAI:
    """The server becomes the one of another account, and the key changes with it."""
    server.fake = OpenAI()
    server.fake.key = new
    server.bill.charges.clear()
    monkeypatch.setenv("POLL_KEY", new)
    return server.fake


def test_the_key_of_another_account_replaces_the_figures_of_the_old_one(home, server, monkeypatch):
    for days in (0, 2, 15):
        server.bill.spend(TODAY - timedelta(days=days), "5", "m")
    home.turn()
    assert home.total() == 15
    accounts(server, monkeypatch)
    server.bill.spend(TODAY - timedelta(days=15), "1", "m")
    home.due()
    assert home.turn().booked
    assert home.total() == 1
    assert home.turn(by_hand=True, after=HOUR).booked
    assert home.total() == 1


def test_until_the_new_account_was_read_the_old_figures_stay(home, server, monkeypatch):
    from tests.sources.providers.fake import Answer

    server.bill.spend(TODAY - timedelta(days=9), "5", "m")
    home.turn()
    good = home.dump()
    accounts(server, monkeypatch)
    server.faults.append(Answer({}, 500))
    home.due()
    assert home.turn().error.state == "upstream"
    assert not server.faults
    assert home.dump() == good
    home.due()
    assert home.turn().booked
    assert home.total() == 0


def test_a_new_key_of_the_same_account_reads_again_as_far_as_is_known(home, server, monkeypatch):
    """Keys are rotated: what is replaced is asked for anew, older months too."""
    server.bill.spend(TODAY - timedelta(days=3), "5", "m")
    home.turn()
    home.now += 45 * 24 * HOUR
    server.now = NOW + timedelta(days=45)
    charges = list(server.bill.charges)
    home.turn()
    accounts(server, monkeypatch)
    server.bill.charges.extend(charges)
    home.due()
    assert home.turn().booked
    assert home.total() == 5


def test_a_key_that_is_another_sources_by_mistake_does_not_cost_the_own_history(
    home, make, server, monkeypatch
):
    other = OpenAI()
    other.key = "sk-admin-other"
    server.bill.spend(TODAY, "7", "m")
    monkeypatch.setenv("OTHER_KEY", server.fake.key)
    two = make(text(server))
    assert two.turn("again").booked
    first, server.fake = server.fake, other
    monkeypatch.setenv("POLL_KEY", other.key)
    assert two.turn("openai").booked
    server.fake = first
    monkeypatch.setenv("POLL_KEY", first.key)
    assert two.turn("openai", by_hand=True, after=HOUR).error.state == "config"
    assert two.total("openai") == 7  # what it read with its own key


def test_a_source_that_comes_back_with_another_key_does_not_keep_the_old_figures(home, server, monkeypatch):
    server.bill.spend(TODAY - timedelta(days=9), "5", "m")
    home.turn()
    home.configure("")
    home.configure(text(server, "openai"))
    assert home.turn(after=HOUR).booked
    assert home.total() == 5
    home.configure("")
    accounts(server, monkeypatch)
    home.configure(text(server, "openai"))
    assert home.total() == 5  # nobody knows yet
    assert home.turn(after=HOUR).booked
    assert home.total() == 0
