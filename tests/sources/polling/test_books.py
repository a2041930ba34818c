"""What a round leaves in the ledger: exact, replaced as a whole, and nothing of a failure but its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.providers.http import Traffic
from costmon.sources.providers.polling import books, breaker
from costmon.sources.providers.polling.books import amounts
from costmon.sources.providers.polling.rhythm import Standing
from costmon.sources.providers.polling.rounds import check
from costmon.sources.providers.protocol import Balance, Reading, SourceError, Usage
from tests.sources.polling.kit import DAY, HOUR, MINUTE, NOW, Home, bucket, figure

PLAN = Standing("ok", 0)
AMOUNTS = st.decimals(-(10**6), 10**6, places=12)


def put(home: Home, reading: Reading, *, after: int = HOUR) -> bool:
    """A round brings `reading` home."""
    home.now += after
    one = home.polled["openai"]

    def work() -> bool:
        assert breaker.take(home.store.db, one.name, one.rhythm, home.now, "me", by_hand=True) is None
        return books.book(home.store.db, one, reading, home.now, "me", PLAN, Traffic(2, 900))

    check(reading, NOW)
    return home.write(work)


def figures(home: Home) -> list[tuple]:
    return home.rows("select line, model, label, amount from figure order by start_at, line, model, label")


def test_a_revised_a_shrunk_and_an_emptied_bucket_are_what_was_read_last(home):
    day = bucket(20)
    put(home, Reading([day], [figure("1.50", "a"), figure("0.25", "b")]))
    put(home, Reading([day], [figure("1.75", "a"), figure("0.25", "b")]))
    assert home.total() == Decimal("2.00")
    put(home, Reading([day], [figure("0.75", "a")]))
    assert figures(home) == [("usage", "a", "", 750_000_000)]
    put(home, Reading([day]))
    assert figures(home) == []
    assert home.rows("select complete, revisions from figure_bucket") == [
        (1, 0)
    ]  # all of it while the day lasted


def test_reading_the_same_again_changes_only_when_it_was_read(home):
    reading = Reading(
        [bucket(19)], [figure("0.1", day=19)], [Usage(bucket(19).start, bucket(19).end, "m", requests=3)]
    )
    put(home, reading)
    (first,) = home.rows("select first_at, grew_at, fetched_at from figure_bucket")
    before = home.rows("select * from figure") + home.rows("select * from figure_usage")
    put(home, reading)
    assert home.rows("select * from figure") + home.rows("select * from figure_usage") == before
    assert home.rows("select first_at, grew_at, fetched_at - ? from figure_bucket", first[2]) == [
        (first[0], first[1], HOUR)
    ]


def test_a_change_of_what_was_over_is_a_revision(home):
    for amount in ("1", "1", "2"):
        put(home, Reading([bucket(18)], [figure(amount, day=18)]))
    (row,) = home.rows("select revisions, grew_at = fetched_at, first_at < grew_at from figure_bucket")
    assert row == (1, 1, 1)


def test_other_buckets_stay_as_they_were(home):
    put(home, Reading([bucket(18), bucket(19)], [figure("1", day=18), figure("2", day=19)]))
    put(home, Reading([bucket(19)], [figure("5", day=19)]))
    assert home.total() == 6
    put(home, Reading([], [], [], [Balance(Decimal(3), "USD")]))
    assert home.total() == 6


def test_another_cut_of_the_same_days_is_not_counted_twice(home):
    put(home, Reading([bucket(1, 10)], [replace(figure("7"), start=bucket(1).start, end=bucket(10).end)]))
    put(home, Reading([bucket(5)], [figure("1", day=5)]))
    assert home.total() == 1
    assert home.value("select count(*) from figure_bucket") == 1


def test_figures_of_one_group_are_added_before_they_are_rounded():
    tiny = [figure("0.0000000004"), figure("0.0000000004"), figure("0.0000000004")]
    assert list(amounts(tiny).values()) == [1]
    assert list(amounts(tiny[:1]).values()) == [0]
    assert list(amounts([figure("0.0000000005")]).values()) == [0]  # half to even
    assert list(amounts([figure("0.0000000015")]).values()) == [2]


@given(st.lists(st.tuples(AMOUNTS, st.sampled_from(["a", "b"]), st.sampled_from(["USD", "EUR"])), max_size=8))
def test_sums_are_exact_however_a_bill_is_cut(rows):
    found = amounts([figure(str(amount), model, currency=currency) for amount, model, currency in rows])
    for model in "ab":
        for currency in ("USD", "EUR"):
            exact = sum((Fraction(a) for a, m, c in rows if (m, c) == (model, currency)), Fraction(0))
            nano = sum(value for key, value in found.items() if (key[1], key[-1]) == (model, currency))
            assert abs(nano - exact * 10**9) <= Fraction(1, 2)


@given(AMOUNTS, st.decimals("0", "0.5", places=4))
def test_tax_and_net_add_up_to_what_was_billed(amount, share):
    found = amounts([figure(str(amount))], share)
    whole = amounts([figure(str(amount))])
    assert sum(found.values()) == sum(whole.values())
    net = sum(nano for key, nano in found.items() if key[0] == "usage")
    assert abs(net * (1 + Fraction(share)) - Fraction(amount) * 10**9) <= 1


def test_tax_is_taken_out_of_usage_only(make, server):
    home = make(f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\ntax_included = "10%"\n')
    put(
        home, Reading([bucket()], [figure("1.10"), figure("-0.50", line="credit"), figure("0.2", line="tax")])
    )
    sums = dict(home.rows("select line, sum(amount) from figure group by line"))
    assert sums == {"usage": 1_000_000_000, "tax": 300_000_000, "credit": -500_000_000}


def test_an_answer_that_lacks_something_takes_nothing_away(home):
    whole = Reading([bucket(19), bucket(20)], [figure("3", day=19), figure("1", day=20)])
    put(home, whole)
    put(home, Reading([bucket(19), bucket(20)], [figure("2", day=19), figure("4", day=20)], partial=True))
    assert home.rows("select start_at, amount from figure order by 1") == [
        (int(bucket(19).start.timestamp()) * 10**6, 3_000_000_000),
        (int(bucket(20).start.timestamp()) * 10**6, 4_000_000_000),
    ]
    assert home.rows("select complete from figure_bucket order by start_at") == [(1,), (0,)]
    put(home, Reading([bucket(20)], [figure("3.5", day=20)]))
    assert home.total() == Decimal("6.5")


def test_a_bucket_the_provider_calls_an_estimate_is_never_complete(home):
    put(home, Reading([replace(bucket(19), complete=False)], [figure("3", day=19)]))
    assert home.rows("select complete from figure_bucket") == [(0,)]
    put(home, Reading([bucket(19)], [figure("2", day=19)]))
    assert home.rows("select complete from figure_bucket") == [(1,)]
    assert home.total() == 2


def test_an_answer_that_is_all_there_is_takes_away_what_is_not_in_it(home):
    put(home, Reading([bucket(18), bucket(19)], [figure("1", day=18), figure("2", day=19)]))
    put(home, Reading([bucket(19)], [figure("1.5", day=19)], partial=True, whole=True))
    assert home.total() == Decimal("1.5")
    assert home.value("select count(*) from figure_bucket") == 1


def test_token_counts_are_kept_when_an_answer_has_none(home):
    day = bucket(20)
    put(
        home,
        Reading([day], [figure("1")], [Usage(day.start, day.end, "m", input_tokens=10, output_tokens=None)]),
    )
    put(home, Reading([day], [figure("2")]))
    assert home.rows("select model, input_tokens, output_tokens from figure_usage") == [("m", 10, None)]
    two = [
        Usage(day.start, day.end, "m", requests=1, input_tokens=5),
        Usage(day.start, day.end, "m", requests=2),
    ]
    put(home, Reading([day], [figure("2")], two))
    assert home.rows("select requests, input_tokens from figure_usage") == [(3, None)]  # a part is not known


def test_a_balance_goes_on_while_it_stays_the_same(home):
    for amount in ("10.50", "10.5", "9", "9", "10.5"):
        told = [Balance(Decimal(amount), "USD"), Balance(Decimal(70), "credits", "plan")]
        put(home, Reading(balances=told), after=10 * MINUTE)
    rows = home.rows(
        "select unit, amount, (last_at - first_at) / ? from balance order by unit, first_at", 10 * MINUTE
    )
    assert rows == [("USD", "10.5", 1), ("USD", "9", 1), ("USD", "10.5", 0), ("credits", "70", 4)]


def test_a_balance_that_nobody_watched_for_a_while_leaves_a_gap_though_it_is_the_same(home):
    for after in (0, 30 * MINUTE, 31 * MINUTE, 4 * DAY):
        put(home, Reading(balances=[Balance(Decimal(5), "USD")]), after=after)
    spans = home.rows("select (last_at - first_at) / ?, amount from balance order by first_at", MINUTE)
    assert spans == [(30, "5"), (0, "5"), (0, "5")]


def test_a_clock_that_is_set_back_deletes_nothing(home):
    """A dead battery says 2020; when the clock is right again, everything known before still is."""
    for amount in ("9", "8", "7"):
        put(home, Reading(balances=[Balance(Decimal(amount), "USD")]), after=10 * MINUTE)
    before = home.rows("select first_at, last_at, amount from balance order by first_at")
    put(home, Reading(balances=[Balance(Decimal("6.5"), "USD")]), after=-300 * DAY)
    put(home, Reading(balances=[Balance(Decimal("6.4"), "USD")]), after=10 * MINUTE)
    put(home, Reading(balances=[Balance(Decimal(6), "USD")]), after=300 * DAY)
    after = home.rows("select first_at, last_at, amount from balance order by first_at")
    assert [row for row in after if row[2] in "987"] == before
    assert [row[2] for row in after] == ["6.5", "6.4", "9", "8", "7", "6"]


def test_a_balance_read_by_a_clock_that_was_ahead_goes_when_its_time_has_come(home):
    """Rounds in the usual rhythm pass the moment it claims to be of: no round was made then."""
    put(home, Reading(balances=[Balance(Decimal(5), "USD")]), after=HOUR)
    put(home, Reading(balances=[Balance(Decimal(4), "USD")]), after=-59 * MINUTE)
    assert home.rows("select amount from balance order by first_at") == [("4",), ("5",)]
    for _ in range(6):
        put(home, Reading(balances=[Balance(Decimal(4), "USD")]), after=10 * MINUTE)
    assert home.rows("select amount from balance") == [("4",)]


def closed_days(*amounts: str | None) -> Reading:
    """The days up to yesterday, oldest first, with what was spent on each; None: the answer has nothing of it."""
    days = range(20 - len(amounts), 20)
    told = [figure(amount, day=day) for day, amount in zip(days, amounts, strict=True) if amount is not None]
    return Reading([bucket(day) for day in days] + [bucket(20)], told)


def test_days_that_had_money_and_all_fall_to_nothing_at_once_are_not_believed(home):
    put(home, closed_days("40", None, "45"))
    good = home.rows("select * from figure order by start_at")
    put(home, closed_days(None, None, None))
    assert home.rows("select * from figure order by start_at") == good
    (note,) = json.loads(home.source()["notes"])
    assert "(2026-11-17 to 2026-11-19, $85.00)" in note
    assert "kept as they were" in note
    assert home.rows("select complete from figure_bucket order by start_at") == [(1,), (0,), (1,), (0,)]
    read = home.rows("select fetched_at from figure_bucket order by start_at")
    assert read[0] < read[1]  # what was kept was not read now
    put(home, closed_days(None, None, "45"))  # one of several may well be taken back
    assert home.total() == 45
    assert home.source()["notes"] == "[]"


def test_what_is_new_in_a_doubted_answer_is_kept_too(home):
    put(home, closed_days("40"))
    reading = closed_days(None)
    put(home, replace(reading, figures=[figure("3")], balances=[Balance(Decimal(1), "USD")]))
    assert home.total() == 43
    assert home.value("select count(*) from balance") == 1
    put(home, closed_days(None))  # and again: today's money, once seen, stays as well
    assert home.total() == 43


def test_what_was_read_after_another_round_took_over_is_dropped(home):
    put(home, Reading([bucket()], [figure("1")]))
    one = home.polled["openai"]

    def late() -> bool:
        reading = Reading([bucket()], [figure("99")], balances=[Balance(Decimal(1), "USD")])
        return books.book(home.store.db, one, reading, home.now, "another", PLAN, Traffic(1, 10))

    assert home.write(late) is False
    assert home.total() == 1
    assert home.value("select count(*) from balance") == 0
    assert home.value("select sum(requests) from poll_hour") == 3  # it was sent, so it counts


def test_a_source_that_becomes_another_provider_starts_afresh(home, server):
    put(home, Reading([bucket()], [figure("1")], balances=[Balance(Decimal(1), "USD")]))
    home.configure("")
    assert home.rows("select name from source") == []
    assert home.total() == 1  # its figures wait
    home.configure(f'[source.openai]\nkind = "openai"\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n')
    assert home.total() == 1
    home.configure("")
    home.configure(f'[source.openai]\nkind = "deepseek"\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n')
    assert home.total() == 0
    assert home.value("select count(*) from balance") == 0


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (Reading([bucket(), bucket()]), "twice"),
        (Reading([bucket(19, 2), bucket(20)]), "overlap"),
        (Reading([bucket(19)], [figure("1", day=20)]), "outside its buckets"),
        (Reading([replace(bucket(), end=bucket().start)]), "ends before it starts"),
        (Reading([bucket(22)]), "ahead of this machine's clock"),
        (
            Reading(
                [
                    replace(
                        bucket(), start=datetime(2001, 1, 1, tzinfo=UTC), end=datetime(2001, 1, 2, tzinfo=UTC)
                    )
                ]
            ),
            "ten",
        ),
        (Reading([replace(bucket(), start=bucket().start.replace(tzinfo=None))]), "no zone"),
        (Reading([bucket()], [figure("NaN")]), "impossible"),
        (Reading([bucket()], [figure("1e15")]), "impossible"),
        (Reading([bucket()], [replace(figure("1"), amount=1.5)]), "impossible"),
        (Reading([bucket()], [figure("1", currency="usd")]), "three letters"),
        (Reading([bucket()], [figure("1", line="gift")]), "no known line"),
        (Reading([bucket()], usage=[Usage(bucket().start, bucket().end, requests=-1)]), "count"),
        (Reading(balances=[Balance(Decimal("Infinity"), "USD")]), "balance"),
        (
            Reading(balances=[Balance(Decimal(1), "USD"), Balance(Decimal(2), "USD")]),
            "balance is in it twice",
        ),
        ({"data": []}, "no Reading"),
    ],
)
def test_a_reading_that_would_make_a_wrong_number_is_refused(reading, why):
    with pytest.raises(SourceError, match=why) as found:
        check(reading, NOW)
    assert found.value.state == "schema"


def test_a_bucket_of_a_month_that_is_not_over_is_fine():
    start = datetime(2026, 11, 1, tzinfo=UTC)
    check(Reading([replace(bucket(), start=start, end=start + timedelta(days=30))]), NOW)
