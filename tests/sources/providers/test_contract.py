"""What every source of provider figures must do, asked of each kind against its fake provider.

A fake joins by being a module of `fake/` with a `FAKE`; what it says of itself is in `fake.TRAITS`.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.sources.providers import registry
from costmon.sources.providers.http import Traffic
from costmon.sources.providers.protocol import CREDIT, DAY, STATES, Kind, Reading
from tests.sources.providers import fake as fakes
from tests.sources.providers.ask import NOW, Rewritten, changed, days_until, read, refusal
from tests.sources.providers.fake import Answer, Fake, trait
from tests.sources.providers.fake.bill import Bill, Charge
from tests.sources.providers.fake.server import Server

TODAY = NOW.date()
ONE_DAY = timedelta(days=1)


def found_fakes() -> Iterator[Fake]:
    for module in pkgutil.iter_modules(fakes.__path__, f"{fakes.__name__}."):
        fake = getattr(importlib.import_module(module.name), "FAKE", None)
        if fake is not None and trait(fake, "served"):
            yield fake


def _spelled(variant: dict[str, Any]) -> str:
    return "".join(f"-{name}={value}" for name, value in variant.items())


FAKES = [pytest.param(fake, id=fake.kind) for fake in found_fakes()]
DAILY = [
    pytest.param(changed(fake, **variant), id=f"{fake.kind}{_spelled(variant)}")
    for fake in found_fakes()
    if fake.days
    for variant in trait(fake, "variants")
]
CREDITED = [param for param in DAILY if trait(param.values[0], "credits")]  # type: ignore[arg-type]
KEYED = [pytest.param(fake, id=fake.kind) for fake in found_fakes() if fake.key]
ENDLESS = [
    pytest.param(fake, cursor, id=f"{fake.kind}-{cursor!r}")
    for fake in found_fakes()
    if trait(fake, "cursor")
    # Where no field says that there is more, no cursor is the last page.
    for cursor in ((None, "", 7, "same") if trait(fake, "cursor")[0] else (7, "same"))
]
FIELDS = [
    pytest.param(fake, field, id=f"{fake.kind}-{field}")
    for fake in found_fakes()
    for field in trait(fake, "fields")
]


def a_bill(fake: Fake, days: int) -> Bill:
    """Every third day is empty; the others have two models, projects and keys, or none of these."""
    bill = Bill()
    unit = Decimal(1).scaleb(-min(6, trait(fake, "digits")))
    for back in range(days):
        if back % 3 != 1:
            day = TODAY - back * ONE_DAY
            for at, model in enumerate(("model-a", "model-b", "model-a")):
                group = {"project": f"proj_{at}", "key": f"key_{at}"} if at < 2 else {}
                amount = (123_456 + 10_007 * back + 977 * at) * unit
                bill.spend(day, amount, model, input_tokens=100, cached_tokens=40, output_tokens=7, **group)
    return bill


def check(reading: Reading, fake: Fake, bill: Bill, days: int) -> None:
    """Each asked day is told once, and is the bill to the last digit, in all and by model."""
    asked = {TODAY - back * ONE_DAY for back in range(days)}
    told = Counter(bucket.start.date() for bucket in reading.buckets)
    assert all(bucket.end - bucket.start == ONE_DAY for bucket in reading.buckets)
    assert all(bucket.start.tzinfo is UTC for bucket in reading.buckets)
    expected = {day for day in asked if trait(fake, "empty_days") or bill.of(day)}
    assert told == Counter(expected - (set() if trait(fake, "covers_today") else {TODAY}))
    spans = {(bucket.start, bucket.end) for bucket in reading.buckets}
    assert {(figure.start, figure.end) for figure in reading.figures} <= spans
    assert {figure.currency for figure in reading.figures} <= {"USD"}
    by_day, by_model = totals(reading)
    for day in told:
        assert by_day.get(day, Decimal(0)) == bill.total(day, day), day
    if trait(fake, "models"):
        models: dict[tuple[date, str], Decimal] = {}
        for charge in bill.charges:
            if charge.day in told:
                group = charge.day, charge.model
                models[group] = models.get(group, Decimal(0)) + charge.amount
        assert by_model == models


def totals(reading: Reading) -> tuple[dict[date, Decimal], dict[tuple[date, str], Decimal]]:
    by_day: dict[date, Decimal] = {}
    by_model: dict[tuple[date, str], Decimal] = {}
    for figure in reading.figures:
        day = figure.start.date()
        by_day[day] = by_day.get(day, Decimal(0)) + figure.amount
        by_model[day, figure.model] = by_model.get((day, figure.model), Decimal(0)) + figure.amount
    return by_day, by_model


@pytest.mark.parametrize("fake", DAILY)
async def test_three_days_are_exact_and_follow_revisions_up_and_down(fake: Fake) -> None:
    kind = registry.kind(fake.kind)
    with Server(fake, a_bill(fake, 3), NOW) as server:
        check(await read(kind, server), fake, server.bill, 3)
        unit = Decimal(1).scaleb(-min(6, trait(fake, "digits")))
        for back in range(3):
            server.bill.spend(TODAY - back * ONE_DAY, (7 + back) * unit, "model-b")
        server.bill.charges.pop(0)
        check(await read(kind, server), fake, server.bill, 3)


@pytest.mark.parametrize("fake", DAILY)
async def test_a_month_to_date_is_whole(fake: Fake) -> None:
    days = min(31, trait(fake, "most_days"))
    with Server(fake, a_bill(fake, 40), NOW) as server:
        reading = await read(registry.kind(fake.kind), server, days_until(NOW, days))
        check(reading, fake, server.bill, days)


@pytest.mark.parametrize("fake", DAILY)
async def test_days_without_spend_are_zeros_and_not_missing(fake: Fake) -> None:
    with Server(fake, Bill(), NOW) as server:
        reading = await read(registry.kind(fake.kind), server)
        check(reading, fake, server.bill, 3)
        assert sum(figure.amount for figure in reading.figures) == 0


@pytest.mark.parametrize("fake", CREDITED)
async def test_a_negative_amount_is_a_credit(fake: Fake) -> None:
    bill = Bill()
    bill.spend(TODAY - ONE_DAY, "2.5", "model-a")
    bill.spend(TODAY - ONE_DAY, "-0.75", "model-b", project="proj_1")
    with Server(fake, bill, NOW) as server:
        reading = await read(registry.kind(fake.kind), server)
        check(reading, fake, bill, 3)
        assert {figure.line for figure in reading.figures if figure.amount < 0} == {CREDIT}
        assert CREDIT not in {figure.line for figure in reading.figures if figure.amount > 0}


@pytest.mark.parametrize("fake", DAILY)
def test_any_bill_comes_home_as_it_was(fake: Fake) -> None:
    kind = registry.kind(fake.kind)
    places = min(6, trait(fake, "digits"))
    charges = st.builds(
        Charge,
        day=st.integers(0, 2).map(lambda back: TODAY - back * ONE_DAY),
        amount=st.decimals(-5 if trait(fake, "credits") else 0, 100_000, places=places),
        model=st.sampled_from(["model-a", "model-b"]),
        project=st.sampled_from([None, "proj_1"]),
        key=st.sampled_from([None, "key_1"]),
        input_tokens=st.just(10),
    )
    with Server(fake, now=NOW) as server:

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(charges, max_size=8))
        def law(spent: list[Charge]) -> None:
            server.bill = Bill(spent)
            check(asyncio.run(read(kind, server)), fake, server.bill, 3)

        law()
        assert server.journal


@pytest.mark.parametrize("fake", FAKES)
async def test_the_right_key_is_read_and_every_request_is_counted(fake: Fake) -> None:
    traffic = Traffic()
    with Server(fake, a_bill(fake, 3), NOW) as server:
        reading = await read(registry.kind(fake.kind), server, traffic=traffic)
        assert traffic.requests == len(server.journal) > 0
        assert traffic.bytes > 0
    assert reading.balances or reading.buckets
    assert not [note for note in reading.notes if "\n" in note or len(note) > 300]


@pytest.mark.parametrize("fake", KEYED)
@pytest.mark.parametrize("which", ["wrong_key", "unknown"])
async def test_a_wrong_key_is_said_in_one_sentence_with_what_to_do(fake: Fake, which: str) -> None:
    with Server(fake, a_bill(fake, 3), NOW) as server:
        error = await refusal(server, fake.wrong_key if which == "wrong_key" else "no-such-key-0123456789")
    assert error.state in ("auth", "forbidden", "key")
    assert "key" in str(error)
    assert any(
        word in str(error) for word in ("make", "made", "need", "use", "Settings", "set ", "costmon keys")
    )


@pytest.mark.parametrize(("fake", "field"), FIELDS)
async def test_a_renamed_field_is_an_error_and_never_a_number(fake: Fake, field: str) -> None:
    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {f"{name}_v2" if name == field else name: rename(item) for name, item in value.items()}
        return [rename(item) for item in value] if isinstance(value, list) else value

    other = Rewritten(fake, rename)
    with Server(other, a_bill(fake, 3), NOW) as server:
        error = await refusal(server)
    assert other.fired
    assert error.state == "schema"
    assert field in str(error)


@pytest.mark.parametrize("fake", FAKES)
async def test_being_asked_to_wait_says_how_long(fake: Fake) -> None:
    with Server(fake, a_bill(fake, 3), NOW) as server:
        server.faults.append(Answer({"error": {"message": "slow down"}}, 429, {"retry-after": "30"}))
        error = await refusal(server)
        assert not server.faults
    assert error.state == "rate_limited"
    assert error.retry_after == 30


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Sign in</body></html>",
        b"",
        b"[]",
        b"null",
        b'"ok"',
        b"{}",
        b'{"data": {}}',
        b'{"data": [{}]}',
    ],
)
async def test_an_answer_of_another_shape_is_no_figure(fake: Fake, body: bytes) -> None:
    with Server(Rewritten(fake, lambda _: body), a_bill(fake, 3), NOW) as server:
        error = await refusal(server)
    assert error.state in ("schema", "upstream")


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.parametrize("status", [500, 503, 529])
async def test_a_failing_provider_is_no_zero(fake: Fake, status: int) -> None:
    with Server(fake, a_bill(fake, 3), NOW) as server:
        server.faults.append(Answer(b"<html>Bad gateway</html>", status, {"content-type": "text/html"}))
        error = await refusal(server)
    assert error.state == "upstream"


@pytest.mark.parametrize(("fake", "cursor"), ENDLESS)
async def test_pages_that_do_not_end_are_no_sum(fake: Fake, cursor: Any) -> None:
    more, after = trait(fake, "cursor")
    other = Rewritten(
        fake,
        lambda body: {**body, after: cursor, **({more: True} if more else {})} if after in body else body,
    )
    with Server(other, Bill(), NOW) as server:
        server.fake.answer = _any_page(server.fake.answer)  # type: ignore[method-assign]
        error = await refusal(server)
        assert len(server.journal) < 10
    assert other.fired
    assert error.state == "schema"


def _any_page(answer: Callable[..., Answer]) -> Callable[..., Answer]:
    """A fake that takes any cursor for the first page."""
    return lambda request, bill, now: answer(
        request._replace(
            query=[(name, value) for name, value in request.query if value not in ("same", "7")]
        ),
        bill,
        now,
    )


ODD_BODIES = (None, [], "text", 5, {}, {"error": "text"}, {"error": None}, {"error": []}, {"error": {}})


@pytest.mark.parametrize("fake", FAKES)
def test_no_refusal_is_too_odd_to_explain(fake: Fake) -> None:
    kind = registry.kind(fake.kind)
    for status in range(400, 600):
        for body in (
            *ODD_BODIES,
            {"error": {"message": None, "code": [], "type": {}}},
            {"detail": 3, "message": []},
        ):
            error = kind.explain(status, body)
            assert error is None or (error.state in STATES and error.status in (status, None))


@pytest.mark.parametrize("fake", FAKES)
def test_a_kind_says_what_it_needs_and_lacks(fake: Fake) -> None:
    kind: Kind = registry.kind(fake.kind)
    assert (kind.name, bool(kind.title), bool(kind.provider)) == (fake.kind, True, True)
    assert bool(kind.key) <= bool(kind.key_from)
    assert 10 <= kind.at_least_s <= kind.every_s
    assert kind.lacks
    assert not kind.base_url or kind.base_url.startswith("https://")
    assert kind.series in ("", DAY, "month")
    assert (kind.series == DAY) == fake.days
    assert not [start for start in kind.wrong_keys if fake.key.startswith(start)]
