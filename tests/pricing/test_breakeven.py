"""From how many requests a day on a server of one's own is cheaper: written out by hand."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from costmon.pricing.calculators.breakeven import Server, break_even, compare

NANO = 10**9
CENT = NANO // 100


def server(price: Fraction = Fraction(12, 10), speed: int = 1500, hours: int = 12) -> Server:
    """A price in dollars an hour."""
    return Server(price * NANO, Fraction(speed), Fraction(hours))


def test_cheaper_from_so_many_requests() -> None:
    """12 h x $1.20 = $14.40 a day; at $0.01 a request that is 1,440 requests, so cheaper from 1,441 on.

    1,500 tokens a second are 64.8 million in 12 hours, 129,600 requests of 500; 1,441 x 500 / 64.8 M = 1.11 %.
    """
    found = break_even(server(), Fraction(CENT), 500)
    assert found.server.day == Fraction(1440, 100) * NANO
    assert (found.capacity, found.needed, found.from_requests) == (129_600, 1441, 1441)
    assert found.utilisation == Fraction(1441 * 500, 64_800_000)
    assert found.full_request == Fraction(14_400_000_000, 129_600)
    at_break = compare(found, Fraction(1440))
    beyond = compare(found, Fraction(1441))
    assert at_break is not None
    assert beyond is not None
    assert (at_break.cheaper, beyond.cheaper) == ("same", "server")


def test_never_when_the_server_cannot_carry_so_many() -> None:
    """15 tokens a second in 12 hours are 648,000: 1,296 requests of 500. $14.40 needs 1,441 at $0.01."""
    found = break_even(server(speed=15), Fraction(CENT), 500)
    assert (found.capacity, found.needed, found.from_requests, found.reason) == (1296, 1441, None, "capacity")
    assert found.utilisation is None


def test_exactly_full_is_still_possible() -> None:
    """1,441 requests of 1 token in an hour at 1,441/3,600 tokens a second, at $14.40 an hour: the last one is cheaper."""
    found = break_even(Server(Fraction(1440 * CENT), Fraction(1441, 3600), Fraction(1)), Fraction(CENT), 1)
    assert (found.capacity, found.from_requests, found.utilisation) == (1441, 1441, 1)


def test_never_against_a_free_api() -> None:
    """Nothing is cheaper than free."""
    found = break_even(server(), Fraction(0), 500)
    assert (found.from_requests, found.needed, found.reason) == (None, None, "free")


def test_a_load_beyond_one_server_takes_more() -> None:
    """20,000 requests at 1,296 a server take 16 servers: 16 x $14.40 = $230.40 a day against $200."""
    found = break_even(server(speed=15), Fraction(CENT), 500)
    load = compare(found, Fraction(20_000))
    assert load is not None
    assert (load.servers, load.hosted, load.api) == (16, Fraction(23_040 * CENT), Fraction(200 * NANO))
    assert load.cheaper == "api"


def test_a_server_too_slow_for_a_single_request() -> None:
    """A thousandth of a token a second is 43 tokens in 12 hours."""
    found = break_even(Server(Fraction(NANO), Fraction(1, 1000), Fraction(12)), Fraction(CENT), 500)
    assert (found.capacity, found.full_request, found.reason) == (0, None, "capacity")
    assert compare(found, Fraction(1)) is None


@given(
    st.fractions(Fraction(1, 100), 100),
    st.fractions(Fraction(1, 10), 10**5),
    st.fractions(Fraction(1, 2), 24),
    st.integers(1, NANO),
    st.integers(1, 10**5),
)
def test_it_is_the_first_number_at_which_the_server_is_cheaper(
    price: Fraction, speed: Fraction, hours: Fraction, api: int, tokens: int
) -> None:
    """One request fewer is not cheaper, and the number is never beyond what the server can do."""
    box = Server(price * NANO, speed, hours)
    found = break_even(box, Fraction(api), tokens)
    assert found.needed is not None
    assert found.needed * api > box.day >= (found.needed - 1) * api
    if found.from_requests is not None:
        assert found.from_requests * tokens <= box.tokens_a_day
        assert found.utilisation is not None
        assert 0 < found.utilisation <= 1
