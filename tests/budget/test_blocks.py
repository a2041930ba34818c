"""What budgets block by themselves: the right scope, the right reason, until the right moment."""

from __future__ import annotations

import itertools

from costmon.budget.blocks import automatic_blocks, brief
from costmon.budget.status import BudgetRow, PeriodRow, standing

TOTAL = BudgetRow(
    1, "total", "all", "", 10**8, "USD", "day", "UTC", "default", (70, 95, 100), "block-nonessential", "block"
)
TRADER = TOTAL._replace(id=2, name="trader", scope_key="app", scope_value="trader")


def entry(budget: BudgetRow, used: int, end: int = 1000, **more: int):
    period = PeriodRow(0, end, "2026-11-20", used, **more)
    return budget, period, standing(budget, period, 500)


def test_a_total_budget_blocks_nonessential_then_all():
    """At 95 % the switch stops apps that are not essential, at 100 % every app."""
    assert automatic_blocks([entry(TOTAL, 94_999_999)]) == {}
    assert list(automatic_blocks([entry(TOTAL, 96_000_000)])) == ["nonessential"]
    blocks = automatic_blocks([entry(TOTAL, 10**8)])
    assert list(blocks) == ["all"]
    assert (blocks["all"].level, blocks["all"].period, blocks["all"].until_us) == (100, "2026-11-20", 1000)


def test_a_scoped_budget_blocks_its_own_scope():
    """A budget of one app never stops another; at 95 % it lets essential calls of that app through."""
    one, two = automatic_blocks([entry(TRADER, 95_000_000)]), automatic_blocks([entry(TRADER, 10**8)])
    assert list(one) == list(two) == ["app=trader"]
    assert (one["app=trader"].exempts_essential, two["app=trader"].exempts_essential) == (True, False)


def test_the_reason_is_a_sentence_with_figures():
    """A refused app's owner reads how much was spent of what."""
    block = automatic_blocks([entry(TOTAL, 96_000_000)])["nonessential"]
    assert block.reason == 'budget "total" has spent 96 % ($0.096 of $0.10)'
    block = automatic_blocks([entry(TOTAL, 90_000_000, assumed=6_000_000, unpriced=2)])["nonessential"]
    assert block.reason.endswith("($0.096 of $0.10, $0.006 of it assumed for 2 unpriced calls)")


def test_of_several_budgets_the_one_that_lasts_longest_counts_in_any_order():
    """A block does not lapse while another budget still wants it."""
    month = TOTAL._replace(id=3, name="month")
    for order in itertools.permutations([entry(TOTAL, 10**8), entry(month, 10**8, end=9000)]):
        assert automatic_blocks(order)["all"].budget == "month"


def test_a_full_block_beats_an_exempting_one_that_lasts_longer():
    """An app over its limit stays stopped even if a longer budget would exempt essential calls."""
    month = TRADER._replace(id=3, name="month")
    for order in itertools.permutations([entry(TRADER, 10**8), entry(month, 95_000_000, end=9000)]):
        assert automatic_blocks(order)["app=trader"].budget == "trader"


def test_money_keeps_the_decimals_it_needs():
    """Small sums are not rounded to nothing, round ones have no tail."""
    assert [brief(nano, "USD") for nano in (96_000_000, 10**8, 0, 12_345_678_901, 1_200)] == [
        "$0.096",
        "$0.10",
        "$0.00",
        "$12.35",
        "$0.000001",
    ]
    assert brief(15_000 * 10**9, "KRW") == "₩15,000"
