"""Low, best and high of a sum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from costmon.budget.bands import Band, band

nano = st.integers(0, 10**15)


def test_each_unknown_widens_its_own_side() -> None:
    """Estimates err both ways; calls without a price and calls in flight only add."""
    assert band(1_000) == Band(1_000, 1_000, 1_000)
    assert band(1_000, estimated=100) == Band(970, 1_000, 1_030)
    assert band(1_000, assumed=500) == Band(1_000, 1_000, 1_500)
    assert band(1_000, reserved=200) == Band(1_000, 1_000, 1_200)
    assert band(1_000, estimated=100, assumed=500, reserved=200) == Band(970, 1_000, 1_730)


@given(certain=nano, estimated=nano, assumed=nano, reserved=nano)
def test_a_band_holds_its_sum(certain: int, estimated: int, assumed: int, reserved: int) -> None:
    """Never below zero, never inside out, and exact where everything is known."""
    found = band(certain + estimated, estimated=estimated, assumed=assumed, reserved=reserved)
    assert 0 <= found.low <= found.best <= found.high
    assert (found.low == found.high) == (not estimated and not assumed and not reserved)


@given(parts=st.lists(st.tuples(nano, nano, nano, nano), max_size=8))
def test_bands_of_parts_hold_the_band_of_the_whole(parts: list[tuple[int, int, int, int]]) -> None:
    """Models add up to the day to the nano, but for one nano of rounding each."""
    bands = [band(c + e, estimated=e, assumed=a, reserved=r) for c, e, a, r in parts]
    certain, estimated, assumed, reserved = (sum(part[i] for part in parts) for i in range(4))
    whole = band(certain + estimated, estimated=estimated, assumed=assumed, reserved=reserved)
    assert whole.best == sum(one.best for one in bands)
    assert 0 <= whole.low - sum(one.low for one in bands) <= len(bands)
    assert 0 <= sum(one.high for one in bands) - whole.high <= len(bands)
