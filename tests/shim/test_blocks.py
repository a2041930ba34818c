"""What budgets block by themselves: the right scope, the right reason, until the right moment."""

from __future__ import annotations

import itertools

from costmon.shim import switch
from costmon.shim.blocks import apply, automatic_blocks
from costmon.shim.policy import Budget, Period

TOTAL = Budget(1, "total", "all", "", 10**8, "USD", "day", "UTC", False, True, True)
TRADER = TOTAL._replace(id=2, name="trader", scope_key="app", scope_value="trader")
NOW = 500


def entry(budget: Budget, spent: int, end: int = 1000, assumed: int = 0) -> tuple[Budget, Period]:
    return budget, Period(0, end, spent, assumed, 0)


def test_a_total_budget_blocks_nonessential_then_all() -> None:
    """At 95 % the switch stops apps that are not essential, at 100 % every app."""
    assert automatic_blocks([entry(TOTAL, 94_999_999)], NOW) == {}
    assert list(automatic_blocks([entry(TOTAL, 95_000_000)], NOW)) == ["nonessential"]
    blocks = automatic_blocks([entry(TOTAL, 10**8)], NOW)
    assert list(blocks) == ["all"]
    assert (blocks["all"].automatic, blocks["all"].until) == (True, 1000)


def test_reservations_never_write_a_block() -> None:
    """Calls in flight may come back cheaper: only money that is spent puts a file into the switch."""
    budget, period = entry(TOTAL, 90_000_000)
    assert automatic_blocks([(budget, period._replace(reserved=50_000_000))], NOW) == {}


def test_a_scoped_budget_blocks_its_own_scope() -> None:
    """A budget of one app never stops another; at 95 % it lets essential calls of that app through."""
    one = automatic_blocks([entry(TRADER, 95_000_000)], NOW)
    two = automatic_blocks([entry(TRADER, 10**8)], NOW)
    assert list(one) == list(two) == ["app=trader"]
    assert (one["app=trader"].exempts_essential, two["app=trader"].exempts_essential) == (True, False)


def test_the_reason_is_a_sentence_with_figures() -> None:
    """A refused app's owner reads how much was spent of what, and how much of that is assumed."""
    block = automatic_blocks([entry(TOTAL, 96_000_000)], NOW)["nonessential"]
    assert block.reason == 'budget "total" has used $0.096 of $0.10 (96 %)'
    block = automatic_blocks([entry(TOTAL, 90_000_000, assumed=6_000_000)], NOW)["nonessential"]
    assert block.reason == 'budget "total" has used $0.096 of $0.10 (96 %, $0.006 of it assumed)'


def test_of_several_budgets_the_one_that_lasts_longest_counts_in_any_order() -> None:
    """A block does not lapse while another budget still wants it."""
    month = TOTAL._replace(id=3, name="month")
    for order in itertools.permutations([entry(TOTAL, 10**8), entry(month, 10**8, end=9000)]):
        assert automatic_blocks(order, NOW)["all"].by == "budget month"


def test_a_full_block_beats_an_exempting_one_that_lasts_longer() -> None:
    """An app over its limit stays stopped even if a longer budget would exempt essential calls."""
    month = TRADER._replace(id=3, name="month")
    for order in itertools.permutations([entry(TRADER, 10**8), entry(month, 95_000_000, end=9000)]):
        assert automatic_blocks(order, NOW)["app=trader"].by == "budget trader"


def test_applying_leaves_alone_what_a_person_set(tmp_path) -> None:
    """Raising a budget lifts its own block and nobody else's."""
    folder = str(tmp_path)
    switch.write(folder, switch.Block("all", "holiday", by="operator", since=1))
    apply(folder, automatic_blocks([entry(TOTAL, 10**8), entry(TRADER, 10**8)], NOW), NOW)
    assert {block.scope: block.automatic for block in switch.blocks(folder)} == {
        "all": False,
        "app=trader": True,
    }
    apply(folder, {}, NOW)
    assert [block.scope for block in switch.blocks(folder)] == ["all"]
    assert switch.read(folder, "all").reason == "holiday"


def test_applying_again_keeps_the_moment_it_began(tmp_path) -> None:
    """'Blocked since' tells when the block began, not when it was last looked at."""
    folder = str(tmp_path)
    apply(folder, automatic_blocks([entry(TOTAL, 10**8)], NOW), NOW)
    apply(folder, automatic_blocks([entry(TOTAL, 10**8 + 1, end=2000)], NOW + 100), NOW + 100)
    block = switch.read(folder, "all")
    assert (block.since, block.until) == (NOW, 2000)


def test_a_clock_set_back_frees_nobody(tmp_path) -> None:
    """After the clock jumped back a day, the engine leaves today's block where it is."""
    folder = str(tmp_path)
    apply(folder, automatic_blocks([entry(TOTAL, 10**8)], NOW), NOW)
    apply(folder, {}, NOW - 86_400)
    assert [block.scope for block in switch.blocks(folder)] == ["all"]
    apply(folder, {}, NOW + 1)
    assert switch.blocks(folder) == []
