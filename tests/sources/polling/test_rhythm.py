"""When a source is asked: the laws of the rhythm, and of the breaker with any number of callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from costmon.sources.providers.polling.rhythm import (
    HOUR_US,
    LEASE_US,
    LOOK_AGAIN_US,
    MINUTE_US,
    OPENS_AT,
    SECOND_US,
    Rhythm,
    Standing,
    after_failure,
    after_success,
    due_at,
    entry,
    furthest,
    hourly,
)
from costmon.sources.providers.polling.windows import FURTHEST, window
from costmon.sources.providers.protocol import STATES

NOW = 1_795_000_000_000_000
USUAL = Rhythm(10 * MINUTE_US)
CHANCES = st.floats(-1, 1)
RHYTHMS = st.builds(
    lambda least, more, paid: Rhythm((least + more) * MINUTE_US, least * MINUTE_US, paid),
    st.integers(1, 720),
    st.integers(0, 720),
    st.booleans(),
)
WAITERS = st.one_of(st.none(), st.floats(0, 1e12))


@given(RHYTHMS, CHANCES)
def test_what_answers_is_asked_in_its_rhythm_within_a_tenth(rhythm, chance):
    wait = after_success(rhythm, NOW, chance).next_at - NOW
    assert max(rhythm.at_least_us, MINUTE_US) <= wait <= rhythm.every_us * 1.1 + 1
    assert wait >= rhythm.every_us * 0.9 - 1


@given(RHYTHMS, CHANCES, WAITERS, st.sampled_from(["upstream", "network", "schema", "rate_limited"]))
def test_what_fails_is_asked_less_and_less_up_to_an_hour_and_never_before_it_asked_to(
    rhythm, chance, asked, state
):
    at = Standing()
    waits = []
    for _ in range(12):
        at = after_failure(rhythm, at, state, NOW, chance, asked)
        waits.append(at.next_at - NOW)
        assert at.next_at - NOW <= furthest(state, rhythm)
    assert min(waits) >= MINUTE_US
    assert waits[-1] >= HOUR_US * 0.9
    assert max(waits) <= max(HOUR_US, rhythm.at_least_us)
    assert min(waits) >= min((asked or 0) * SECOND_US, HOUR_US) - 1
    assert (at.failures, at.opened_at) == (12, NOW)


def test_the_pauses_double_from_a_minute_and_the_fifth_failure_opens_the_breaker():
    at = Standing()
    seen = []
    for _ in range(8):
        at = after_failure(Rhythm(MINUTE_US), at, "upstream", NOW, 0.0)
        seen.append(((at.next_at - NOW) // MINUTE_US, at.opened_at is not None))
    assert [minutes for minutes, _ in seen] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [opened for _, opened in seen].index(True) == OPENS_AT - 1
    assert after_success(USUAL, NOW, 0.0) == Standing("ok", NOW + 10 * MINUTE_US)


@pytest.mark.parametrize(
    ("state", "wait"),
    [
        ("auth", None),
        ("forbidden", None),
        ("config", LOOK_AGAIN_US),
        ("out_of_money", LOOK_AGAIN_US),
        ("key", 10 * MINUTE_US),
        ("not_found", USUAL.every_us),
    ],
)
def test_what_waits_for_a_person_is_left_alone(state, wait):
    at = after_failure(USUAL, Standing("upstream", NOW, 7, NOW), state, NOW, 0.0)
    assert at == Standing(state, None if wait is None else NOW + wait)
    later = NOW + 365 * 24 * HOUR_US
    refused = entry(at, USUAL, later, 0)
    assert (refused is not None) == (wait is None)
    assert entry(at, USUAL, NOW + SECOND_US, 0, changed=True) is None
    assert entry(at, USUAL, NOW + SECOND_US, 0, by_hand=True) is None


def test_a_person_does_not_outvote_the_provider_or_the_hour():
    at = after_failure(USUAL, Standing(), "rate_limited", NOW, 0.0, 1800.0)
    assert entry(at, USUAL, NOW + MINUTE_US, 0, by_hand=True).why == "asked to wait"
    assert entry(at, USUAL, NOW + MINUTE_US, 0, changed=True).why == "asked to wait"
    assert entry(at, USUAL, NOW + 30 * MINUTE_US, 0, by_hand=True) is None
    assert entry(Standing("ok"), USUAL, NOW, 60, by_hand=True).why == "often"
    assert hourly(Rhythm(HOUR_US, HOUR_US)) == 6


@given(RHYTHMS, st.sampled_from(STATES), st.integers(-(10**17), 10**17), CHANCES)
def test_a_clock_that_jumped_never_postpones_a_round_for_ever(rhythm, state, jump, chance):
    at = after_failure(rhythm, Standing(), state, NOW, chance)
    due = due_at(at, rhythm, NOW + jump)
    assert (due is None) == (at.next_at is None)
    if due is not None:
        assert due <= NOW + jump + furthest(state, rhythm)


class Breaker(RuleBasedStateMachine):
    """Ten callers, a provider in any mood, a clock that goes on (or back): the rules on one row."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.at = Standing()
        self.holders: dict[str, int] = {}  # who is asking, and until when its lease holds
        self.rounds: dict[int, int] = {}
        self.begun: list[int] = []
        self.numbers = 0

    @rule(seconds=st.integers(0, 4000))
    def time_passes(self, seconds):
        self.now += seconds * SECOND_US

    @rule(callers=st.integers(1, 10), by_hand=st.booleans())
    def callers_come(self, callers, by_hand):
        before = self.at
        began = 0
        for _ in range(callers):
            hour = self.now // HOUR_US
            if entry(self.at, USUAL, self.now, self.rounds.get(hour, 0), by_hand=by_hand) is None:
                began += 1
                self.numbers += 1
                self.rounds[hour] = self.rounds.get(hour, 0) + 1
                self.holders[str(self.numbers)] = self.now + LEASE_US
                self.at = self.at._replace(probe=str(self.numbers), probe_until=self.now + LEASE_US)
                self.begun.append(self.now)
        assert began <= 1
        if before.opened_at is not None and not by_hand and self.now < (before.next_at or 0):
            assert not began  # open: nobody comes through before the pause is over

    @precondition(lambda self: self.at.probe in self.holders)
    @rule(state=st.sampled_from(["ok", "upstream", "network", "schema", "not_found"]), chance=CHANCES)
    def the_probe_answers(self, state, chance):
        self.holders.pop(self.at.probe)
        self.at = (
            after_success(USUAL, self.now, chance)
            if state == "ok"
            else after_failure(USUAL, self.at, state, self.now, chance)
        )

    @precondition(lambda self: self.holders)
    @rule()
    def a_probe_dies(self):
        self.holders.popitem()

    @invariant()
    def one_at_a_time(self):
        assert sum(until > self.now for until in self.holders.values()) <= 1

    @invariant()
    def it_recovers(self):
        """Whatever happened, an hour and a bit later somebody may ask."""
        later = self.now + 2 * HOUR_US
        assert entry(self.at, USUAL, later, 0) is None

    @invariant()
    def at_most_one_a_minute(self):
        for hour, count in self.rounds.items():
            assert count <= 60, hour


TestBreaker = Breaker.TestCase


# --- the days asked for -------------------------------------------------------------------------------------

DAYS = timedelta(days=1)


def days(found) -> tuple[str, str]:
    return f"{found.start:%m-%d}", f"{found.end - DAYS:%m-%d}"


def test_the_first_round_of_a_day_reaches_to_the_month_before_and_the_others_three_days():
    now = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
    settles = timedelta(days=2)
    assert days(window(now, None, settles)) == ("10-31", "11-20")
    assert days(window(now, now - timedelta(hours=1), settles)) == ("11-17", "11-20")
    assert days(window(now, now - DAYS, settles)) == ("10-31", "11-20")
    first = datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC)
    assert days(window(first, None, settles)) == ("11-28", "12-01")
    assert days(window(first, first, settles)) == ("11-28", "12-01")


@given(
    st.integers(0, 525_600).map(
        lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.lists(st.integers(1, 60 * 24 * 3), min_size=1, max_size=8),
    st.integers(0, 24 * 10),
)
def test_every_day_is_read_again_once_it_is_final(at, gaps_minutes, settle_hours):
    """However long costmon was off in between (up to weeks): by the last round every day old enough is final."""
    settles = timedelta(hours=settle_hours)
    now = at
    wide_at = None
    read: dict[datetime, datetime] = {}
    for gap in gaps_minutes:
        asked = window(now, wide_at, settles)
        day = asked.start
        while day < asked.end:
            read[day] = now
            day += DAYS
        if wide_at is None or wide_at.date() != now.date():
            wide_at = now
        now += timedelta(minutes=gap * 5)
    asked = window(now, wide_at, settles)
    assert now - asked.start <= FURTHEST + DAYS
    for day, when in read.items():
        final_at = day + DAYS + settles
        if when < final_at and wide_at.date() > final_at.date():
            raise AssertionError(f"{day} was last read {when}, before it was final, and is never read again")
