"""Billed − logged = unlogged, to the nano, whatever is compared; and what is not known never becomes a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.insight.models import Names
from costmon.insight.reconcile import Alarming, alarming, bucket_state, compare, sums, totals
from costmon.insight.values import Day, Figure, Own, Span, Stretch, Tokens, Used, View
from costmon.shim.money import Rate, convert
from tests.harness.billed import DAY, HOUR, at

MODELS = ("gpt-5-mini", "gpt-4o", "o3")
START = at("2026-11-18")
NOWHERE: dict[tuple[str, str], Rate] = {}
MONEY = st.integers(0, 10**15)


def rate_of(rates: dict[tuple[str, str], Rate]) -> object:
    def rate(base: str, quote: str, at_us: int) -> Rate | None:
        return Rate(1, 1) if base == quote else rates.get((base, quote))

    return rate


def days_of(view: View, rates: dict[tuple[str, str], Rate] = NOWHERE) -> list[Day]:
    return compare(view, rate_of(rates), "USD")  # type: ignore[arg-type]


def figure(model: str, nano: int, **more: str) -> Figure:
    return Figure(
        *(
            more.get("line", "usage"),
            model,
            more.get("label", ""),
            more.get("project", ""),
            more.get("key", ""),
        ),
        *(more.get("currency", "USD"), nano),
    )


def own(
    model: str, nano: int, currency: str = "USD", *, more: int | None = 0, less: int = 0, unpriced: int = 0
) -> Own:
    return Own(model, currency, nano - less, nano, None if more is None else nano + more, 1, unpriced)


def stretch(*figures: Figure, number: int = 0, state: str = "final", least: str = "") -> Stretch:
    begin = START + number * DAY
    return Stretch(begin, begin + DAY, state, figures, least=least)


def view(*stretches: Stretch, own: dict[int, object] | None = None, adds: bool = True) -> View:
    """`own`: by the number of the day."""
    spans = {START + number * DAY: found for number, found in (own or {}).items()}
    logged = {(one.start, one.end): spans.get(one.start, ()) for one in stretches}
    return View("openai", ("openai",), adds, stretches=stretches, own=logged)  # type: ignore[arg-type]


@st.composite
def views(draw: st.DrawFn) -> View:
    stretches, logged = [], {}
    for number in range(draw(st.integers(1, 5))):
        billed = draw(st.lists(st.tuples(st.sampled_from((*MODELS, "")), MONEY), max_size=6))
        figures = [figure(model, nano, label="" if model else "tool calls") for model, nano in billed]
        figures += [figure("", nano, line="tax") for nano in draw(st.lists(MONEY, max_size=1))]
        figures += [figure("", -nano, line="credit") for nano in draw(st.lists(MONEY, max_size=1))]
        stretches.append(stretch(*figures, number=number))
        rows = draw(st.lists(st.tuples(st.sampled_from(MODELS), MONEY, MONEY, MONEY), max_size=4))
        logged[number] = tuple(own(model, nano, more=up, less=down) for model, nano, up, down in rows)
    return view(*stretches, own=logged)


@given(views())
def test_the_groups_add_up_to_the_bill_and_to_what_was_logged(one: View) -> None:
    """Lines to days, days to months, months to the sum of all: no nano is lost, none counts twice."""
    days = days_of(one)
    for day, said in zip(days, one.stretches, strict=True):
        figures = said.figures or ()
        logged = one.own[said.start, said.end]
        assert day.billed == sum(f.amount for f in figures if f.line == "usage")
        assert day.bill == sum(f.amount for f in figures)
        assert not isinstance(logged, str)
        assert day.own == Span(*(sum(getattr(o, side) for o in logged) for side in ("low", "best", "high")))
        for line in day.lines:
            assert line.billed is not None
            assert line.own.best is not None
            assert line.unlogged.best == line.billed - line.own.best
        assert day.unlogged == Span(*(day.billed - side for side in reversed(day.own)))  # type: ignore[operator]
        assert len({(line.model, line.label) for line in day.lines}) == len(day.lines)
    months = totals(days)
    assert sum(month.bill for month in months) == sum(day.bill or 0 for day in days)
    assert sum(month.unlogged.best or 0 for month in months) == sum(day.unlogged.best or 0 for day in days)
    for total in sums(months):
        assert total.unlogged.best == total.compared - (total.own.best or 0)
        assert total.complete


@given(views(), st.lists(st.tuples(st.sampled_from((*MODELS, "")), MONEY), min_size=1, max_size=4))
def test_what_has_no_rate_only_makes_a_day_the_least(one: View, lost: list[tuple[str, int]]) -> None:
    """Whatever is billed in euros beside dollars, without a rate: the dollars stay, and nothing becomes more certain."""
    one = replace(one, currency="USD")
    first, *others = one.stretches
    euros = tuple(figure(model, nano + 1, currency="EUR") for model, nano in lost)
    more = first._replace(figures=(*(first.figures or ()), *euros))
    plain, (day, *_) = days_of(one)[0], days_of(replace(one, stretches=(more, *others)))
    assert day.least
    assert (day.billed or 0) == plain.billed
    assert day.unlogged.high is None
    if day.unlogged.best is not None:
        assert day.unlogged.best == plain.unlogged.best
        assert day.unlogged.low is None or day.unlogged.low <= day.unlogged.best
    sure = alarming(day)
    assert not sure.at_most
    assert sure.nano <= max(0, plain.unlogged.best or 0)


@given(views(), st.integers(1, 10**6), st.integers(1, 10**6))
def test_converting_keeps_signs_and_order(one: View, numerator: int, denominator: int) -> None:
    """Logged in dollars, billed in won: each line converts on its own, and low ≤ best ≤ high stays."""
    rate = Rate(numerator, denominator)
    in_won = one.stretches[0]._replace(
        figures=tuple(f._replace(currency="KRW") for f in one.stretches[0].figures or ())
    )
    moved = View("openai", ("openai",), currency="KRW", stretches=(in_won,), own=one.own)
    (day,) = days_of(moved, {("USD", "KRW"): rate})
    (plain, *_) = days_of(one)
    logged = {line.name: line.own.best for line in plain.lines}
    for line in day.lines:
        before = logged[line.name]
        assert before is not None
        assert line.own.best is not None
        assert line.billed is not None
        low, best, high = line.own
        assert (low or 0) <= best <= (high or 0)
        assert (best > 0) <= (before > 0)
        assert (best < 0) <= (before < 0)
        assert line.unlogged.best == line.billed - best
    assert day.unlogged.best == (day.billed or 0) - (day.own.best or 0)


def test_no_rate_is_unknown_and_says_which() -> None:
    (day,) = days_of(view(stretch(figure("o3", 5, currency="CNY")), own={0: (own("o3", 3),)}))
    assert (day.currency, day.billed, day.own.best, day.unlogged.best) == ("CNY", 5, None, None)
    assert day.why == ("no rate from USD to CNY",)
    (total,) = totals([day])
    assert (total.billed, total.compared, total.unknown) == (5, 0, 1)


def test_the_rate_is_named() -> None:
    rates = {("USD", "CNY"): Rate(712, 100)}
    (day,) = days_of(view(stretch(figure("o3", 5, currency="CNY")), own={0: (own("o3", 3),)}), rates)
    assert day.own.best == convert(3, Rate(712, 100)) == 21
    assert day.why == ("converted: USD at 7.12 CNY",)


def test_no_figure_is_no_zero() -> None:
    """A day nobody told of has no bill and no difference; a bucket without figures is a real zero."""
    untold = Stretch(START, START + DAY, "unknown", None, why="the key is wrong")
    (day,) = days_of(view(untold, own={0: (own("o3", 3),)}))
    assert (day.state, day.billed, day.bill, day.tax, day.unlogged.best) == (
        "unknown",
        None,
        None,
        None,
        None,
    )
    assert day.own.best == 3
    assert day.why == ("the key is wrong",)
    (zero,) = days_of(view(stretch(), own={0: (own("o3", 3),)}))
    assert (zero.billed, zero.unlogged.best) == (0, -3)
    (total,) = totals([day, zero])
    assert (total.unread, total.billed, total.unlogged.best, total.days) == (1, 0, -3, 2)


def test_a_ledger_that_cannot_say_is_no_zero() -> None:
    """Also on a day of no bill: that nothing was billed says nothing of what was logged."""
    for figures in ((figure("o3", 5),), ()):
        (day,) = days_of(view(stretch(*figures), own={0: "the ledger begins on 2026-11-20"}))
        assert day.billed == sum(f.amount for f in figures)
        assert (day.own.best, day.unlogged) == (None, Span(None, None, None))
        assert day.why == ("the ledger begins on 2026-11-20",)


def test_calls_without_a_price_make_it_an_upper_bound() -> None:
    logged = (own("o3", 10, more=None, unpriced=2),)
    (day,) = days_of(view(stretch(figure("o3", 100)), own={0: logged}))
    assert day.unlogged == Span(None, 90, 90)
    assert "2 calls without a full price" in day.lines[0].why


def test_a_call_that_nobody_can_price_does_not_switch_the_alarm_off() -> None:
    """The best figure is told of then, as the most there is; what other models lack stays certain."""
    logged = (own("o3", 10, more=None, unpriced=1),)
    (day,) = days_of(view(stretch(figure("o3", 100)), own={0: logged}))
    assert alarming(day) == Alarming(90, at_most=True)
    (day,) = days_of(view(stretch(figure("o3", 10), figure("gpt-4o", 50)), own={0: logged}))
    assert alarming(day) == Alarming(50, at_most=False)
    (day,) = days_of(view(stretch(figure("o3", 4), figure("gpt-4o", 50)), own={0: logged}))
    assert alarming(day) == Alarming(44, at_most=False)


def test_a_group_without_a_rate_leaves_the_others_known_as_the_least() -> None:
    """$7 beside €5 that nobody can convert: at least $7 were billed, and at least that is unlogged."""
    bill = stretch(figure("o3", 7), figure("gpt-4o", 5, currency="EUR"))
    (day,) = days_of(view(bill))
    assert (day.billed, day.least, day.unlogged) == (7, True, Span(7, 7, None))
    assert {line.name: line.billed for line in day.lines} == {"o3": 7, "gpt-4o": None}
    assert day.why == ("no rate from EUR to USD",)
    assert alarming(day) == Alarming(7)
    (day,) = days_of(view(bill, own={0: (own("gpt-4o", 4),)}))
    assert (day.unlogged, alarming(day)) == (Span(3, 3, None), Alarming(3))
    (day,) = days_of(view(bill, own={0: (own("gpt-4o", 9),)}))
    assert (day.unlogged.best, alarming(day)) == (None, Alarming(0))
    (total,) = totals([day])
    assert (total.billed, total.least, total.unknown) == (7, True, 1)


def test_both_currencies_of_one_model_are_the_least_of_it() -> None:
    (day,) = days_of(
        view(stretch(figure("o3", 7), figure("o3", 5, currency="EUR")), own={0: (own("o3", 2),)})
    )
    assert (day.lines[0].billed, day.lines[0].unlogged, day.least) == (7, Span(5, 5, None), True)


def test_what_was_logged_in_a_currency_without_a_rate_raises_no_alarm() -> None:
    bill = stretch(figure("o3", 5, currency="CNY"), figure("gpt-4o", 50, currency="CNY"))
    (day,) = days_of(view(bill, own={0: (own("o3", 3),)}))
    assert alarming(day) == Alarming(0)


def test_a_provider_that_names_no_model_is_compared_as_a_whole() -> None:
    (day,) = days_of(view(stretch(figure("", 100)), own={0: (own("o3", 10), own("gpt-4o", 20))}))
    (line,) = day.lines
    assert (line.name, line.unlogged.best, line.calls) == ("all models", 70, 2)


def test_a_bill_of_services_is_compared_as_a_whole() -> None:
    """Azure names services, RunPod kinds of machines: what apps logged by model is the other side of all of them."""
    (day,) = days_of(view(stretch(figure("", 100, label="pod GPU")), own={0: (own("o3", 10),)}))
    (line,) = day.lines
    assert (line.name, line.unlogged.best, line.calls, line.why) == ("pod GPU", 90, 1, "")
    bill = stretch(figure("", 100, label="pod GPU"), figure("", 7, label="storage"))
    (day,) = days_of(view(bill, own={0: (own("o3", 10),)}))
    assert [(line.name, line.unlogged.best) for line in day.lines] == [("all models", 97)]
    (day,) = days_of(view(stretch(figure("", 5), figure("o3", 7)), own={0: (own("o3", 7),)}))
    assert {line.name: line.unlogged.best for line in day.lines} == {"o3": 0, "no model named": 5}


def test_the_least_that_was_spent_proves_no_overbilling() -> None:
    """One key's $1 beside $3 logged with all keys: nobody knows; beside $0.40 at least $0.60 were not logged."""
    one_key = stretch(figure("", 100, key="k"), least="tells the spend of one key only")
    (day,) = days_of(view(one_key, own={0: (own("o3", 300),)}))
    assert (day.unlogged.best, day.unlogged.high, day.least) == (None, None, True)
    (day,) = days_of(view(one_key, own={0: (own("o3", 40),)}))
    assert day.unlogged == Span(60, 60, None)
    assert alarming(day) == Alarming(60)


def test_gateways_are_shown_and_never_added() -> None:
    plain = days_of(view(stretch(figure("o3", 100)), own={0: (own("o3", 90),)}))
    passed_on = days_of(view(stretch(figure("o3", 100)), own={0: (own("o3", 90),)}, adds=False))
    (total,) = sums(totals([*plain, *passed_on]))
    assert (total.bill, total.unlogged.best) == (100, 10)


def test_the_likely_spenders_are_the_largest() -> None:
    """By money where the provider tells it, by tokens where it tells those only."""
    figures = [figure("o3", nano, project=f"p{nano}", key="k") for nano in (5, 50, 7, 20)]
    (day,) = days_of(view(stretch(*figures, figure("o3", 99))))
    assert [(one.project, one.amount) for one in day.lines[0].likely] == [("p50", 50), ("p20", 20), ("p7", 7)]
    used = (Used("o3", "", "k1", Tokens(1, 10, 0, 5)), Used("o3", "", "k2", Tokens(1, 90, 0, 5)))
    (day,) = days_of(view(stretch(figure("o3", 5))._replace(used=used)))
    assert [(one.key, one.tokens) for one in day.lines[0].likely] == [("k2", 95), ("k1", 15)]
    assert day.lines[0].billed_tokens == Tokens(2, 100, 0, 10)


# --- what is alarming ----------------------------------------------------------------------------------------


def test_alarming_is_beyond_the_most_that_can_have_been_logged() -> None:
    """Billed 100; logged 40, at most 55 with what calls in flight and estimates may cost: 45 are certain."""
    (day,) = days_of(view(stretch(figure("o3", 100)), own={0: (own("o3", 40, more=15),)}))
    assert alarming(day) == Alarming(45)


def test_what_was_billed_after_midnight_is_not_unlogged() -> None:
    """Logged at 23:59 and billed at 00:01: the day before lacks just what this one has too much."""
    first, second = days_of(
        view(
            stretch(figure("o3", 70)),
            stretch(figure("o3", 100), number=1),
            own={0: (own("o3", 100),), 1: (own("o3", 60),)},
        )
    )
    assert second.unlogged.best == 40
    assert [alarming(second, first, late).nano for late in (0, 25, 30, 99)] == [40, 15, 10, 10]
    assert alarming(second).nano == 40
    unread = Stretch(START, START + DAY, "unknown", None)
    before, after = days_of(
        view(unread, stretch(figure("o3", 100), number=1), own={0: (own("o3", 30),), 1: ()})
    )
    assert (
        alarming(after, before, 30).nano == 100
    )  # of a day without a figure nobody knows that anything was late


@given(views(), MONEY)
def test_alarming_is_never_more_than_the_difference(one: View, late: int) -> None:
    days = days_of(one)
    before = None
    for day in days:
        sure = alarming(day, before, late).nano
        assert 0 <= sure <= max(0, sum(max(0, line.unlogged.best or 0) for line in day.lines))
        assert sure <= max(0, day.unlogged.best or 0)
        before = day


# --- states -------------------------------------------------------------------------------------------------

END = START + DAY


@pytest.mark.parametrize(
    ("fetched_at", "now", "complete", "ok_at", "state"),
    [
        (END - HOUR, END - HOUR, True, END - HOUR, "partial"),  # not over yet
        (END - HOUR, END + HOUR, True, END + HOUR, "partial"),  # last read before its end
        (END + HOUR, END + HOUR, True, END + HOUR, "settling"),
        (
            END + 2 * DAY,
            END + 9 * DAY,
            True,
            END + 2 * DAY,
            "final",
        ),  # read after it settled, whenever that was
        (END + 2 * DAY - 1, END + 2 * DAY, True, END + 2 * DAY, "settling"),
        (
            END + 3 * DAY,
            END + 3 * DAY,
            False,
            END + 3 * DAY,
            "partial",
        ),  # the provider says it lacks something
        (END + HOUR, END + HOUR + 1_800_000_000, True, END + HOUR, "stale"),  # three rhythms of ten minutes
        (END + HOUR, END + HOUR + 1_799_999_999, True, END + HOUR, "settling"),
        (END - HOUR, END + DAY, True, None, "stale"),
        (END + 9 * DAY, END + 3 * DAY, True, END + 3 * DAY, "partial"),  # read by a clock that was ahead
        (END + 9 * DAY, END - HOUR, True, END - HOUR, "partial"),
    ],
)
def test_the_state_of_a_bucket(
    fetched_at: int, now: int, complete: bool, ok_at: int | None, state: str
) -> None:
    found = bucket_state(
        end=END,
        fetched_at=fetched_at,
        complete=complete,
        settles_us=2 * DAY,
        ok_at=ok_at,
        every_us=600_000_000,
        now=now,
    )
    assert found == state


# --- names --------------------------------------------------------------------------------------------------


def test_a_bill_and_an_app_mean_the_same_model() -> None:
    """Dated ids, line items and aliases meet at the price list's id; what nobody knows stays what it is."""
    asked = []

    def resolve(provider: str, model: str) -> str | None:
        asked.append(model)
        return {"gpt-5-mini-2025-08-07": "gpt-5-mini", "gpt-5-mini": "gpt-5-mini", "prod": "gpt-5-mini"}.get(
            model
        )

    names = Names(resolve)
    said = ("gpt-5-mini-2025-08-07", "gpt-5-mini-2025-08-07, cached input", "gpt-5-mini", "prod")
    assert {names.of("openai", name) for name in said} == {"gpt-5-mini"}
    assert names.of("openai", "House-7, input") == names.of("openai", "house-7") == "house-7"
    assert names.of("openai", "web search, tool calls") == "web search, tool calls"
    assert names.of("openai", "") == ""
    count = len(asked)
    names.of("openai", "prod")
    assert len(asked) == count
