"""`@costmon.track`: the function behaves as before, and its calls are in the ledger."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import pickle
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import costmon
from costmon.errors import SpendBlocked
from costmon.shim import faults
from tests.shim.battery import kit

CANARY = "s3cr3t-canary-9f2c"
CENT = 10_000_000


def event(home: Path, *columns: str) -> dict[str, Any]:
    names = columns or ("provider", "model", "state", "outcome", "error", "cost", "cost_status", "currency")
    (found,) = kit.rows(home, f"select {', '.join(names)} from event")
    return dict(zip(names, found, strict=True))


def costs(home: Path) -> list[int | None]:
    return [row[0] for row in kit.rows(home, "select cost from event where state = 'settled' order by id")]


# --- the price --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["0.01", Decimal("0.01"), 0.01])
def test_a_price_per_call(costmon_home: Path, price: Any) -> None:
    """Each call costs what was said, to the nano."""

    @costmon.track("coupang", cost_per_call=price)
    def search(query: str) -> list[str]:
        return [query]

    assert search("a") == ["a"]
    assert event(costmon_home) == {
        "provider": "coupang", "model": "search", "state": "settled", "outcome": "ok", "error": None, "cost": CENT,
        "cost_status": "reported", "currency": "USD",
    }  # fmt: skip


def test_a_price_per_token(costmon_home: Path) -> None:
    """tokens= says how many, and they show in the ledger."""

    @costmon.track("x", cost_per_token="0.000002", tokens=len)
    def call() -> str:
        return "x" * 123

    call()
    assert event(costmon_home, "cost", "output_tokens") == {"cost": 246_000, "output_tokens": 123}


def test_a_price_per_minute(costmon_home: Path) -> None:
    """A call of 50 ms at 0.60 a minute costs 0.0005 and a little more."""

    @costmon.track("whisper", per_minute="0.60")
    def call() -> None:
        time.sleep(0.05)

    call()
    (cost,) = costs(costmon_home)
    assert cost is not None
    assert 500_000 <= cost <= 5_000_000


def test_a_price_the_result_tells(costmon_home: Path) -> None:
    """cost= reads the price from what the API returned; None means that it cannot tell."""

    @costmon.track("x", cost=lambda result: result.get("price"), currency="KRW")
    def call(**result: object) -> dict[str, object]:
        return result

    for price in ("12.5", Decimal("0"), 3, None):
        call(price=price)
    assert costs(costmon_home) == [12_500_000_000, 0, 3_000_000_000, None]
    assert kit.rows(costmon_home, "select distinct currency from event where cost is not null") == [("KRW",)]


def test_prices_add_up(costmon_home: Path) -> None:
    """A fee per call plus a price per token plus what the result says."""

    @costmon.track(
        "x", cost_per_call="0.01", cost_per_token="0.001", tokens=lambda r: 5, cost=lambda r: "0.1"
    )
    def call() -> None: ...

    call()
    assert costs(costmon_home) == [115_000_000]


def test_without_a_price_it_is_unknown_not_free(costmon_home: Path) -> None:
    """A tracked call nobody priced shows as unpriced."""

    @costmon.track("x")
    def call() -> None: ...

    call()
    assert event(costmon_home, "cost", "cost_status") == {"cost": None, "cost_status": "unknown"}


@pytest.mark.parametrize(
    "value",
    ["free", "", "NaN", "Infinity", "-1", -0.01, float("nan"), True, 10**9, "1e300", [], "0x10", "\ud800"],
)
@pytest.mark.parametrize("name", ["cost_per_call", "cost_per_token", "per_minute"])
def test_a_price_that_is_none_is_refused_at_once(name: str, value: Any) -> None:
    """A typing error in a price stops the program where it stands, naming the argument."""
    with pytest.raises(ValueError, match=name):
        costmon.track("x", tokens=len, **{name: value})


def test_a_token_price_needs_a_count() -> None:
    """cost_per_token alone is a clear error where it decorates; a block says the count itself."""
    with pytest.raises(ValueError, match="tokens="):
        costmon.track("x", cost_per_token="0.1")(print)


def test_a_price_per_minute_of_audio(costmon_home: Path) -> None:
    """Whisper bills minutes of audio, however long the request took."""

    @costmon.track("whisper", per_minute="0.006", minutes=lambda seconds: Decimal(seconds) / 60)
    def transcribe() -> int:
        return 90

    transcribe()
    assert event(costmon_home, "cost", "cost_status") == {"cost": 9_000_000, "cost_status": "reported"}


def test_a_block_says_what_it_used(costmon_home: Path) -> None:
    """`with costmon.track(...)` covers code that is no function: prices per call and per token add up."""
    with costmon.track("maps", model="route", cost_per_call="0.01", cost_per_token="0.000002") as call:
        call.tokens(123)
    assert event(costmon_home, "provider", "model", "outcome", "cost") == {
        "provider": "maps", "model": "route", "outcome": "ok", "cost": CENT + 246_000
    }  # fmt: skip


def test_what_a_block_says_several_times_adds_up(costmon_home: Path) -> None:
    """A block that makes several requests says each one's use; nothing is overwritten."""
    with costmon.track("maps", cost_per_token="0.001", per_minute="0.01") as call:
        for count in (10, 20):
            call.tokens(count)
            call.minutes(count)
            call.cost(Decimal(count))
    assert event(costmon_home, "cost", "output_tokens") == {
        "cost": 30_000_000 + 300_000_000 + 30 * 10**9, "output_tokens": 30
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, "twelve", float("nan"), -5, True, [], 10**30], ids=repr)
@pytest.mark.parametrize("method", ["tokens", "minutes", "cost"])
def test_a_block_that_says_nonsense_goes_on(
    costmon_home: Path,
    method: str,
    value: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The money is spent by then: the app runs on, the price is unknown and one log line names the API and the method."""
    monkeypatch.setattr(faults, "_said", {})
    caplog.set_level(logging.WARNING, "costmon")
    with costmon.track("maps", cost_per_call="1", cost_per_token="1", per_minute="1") as call:
        getattr(call, method)(1)
        getattr(call, method)(value)
        getattr(call, method)(value)
    assert event(costmon_home, "state", "outcome", "cost") == {
        "state": "settled",
        "outcome": "ok",
        "cost": None,
    }
    (line,) = [record.getMessage() for record in caplog.records]
    assert "maps" in line
    assert f"{method}()" in line


def test_a_text_is_no_count_of_tokens(costmon_home: Path) -> None:
    """`"12"` is an amount, but no count."""
    with costmon.track("maps", cost_per_token="1") as call:
        call.tokens("12")  # type: ignore[arg-type]
    assert costs(costmon_home) == [None]


def test_a_failing_count_leaves_no_part_of_the_price(costmon_home: Path) -> None:
    """A fee per call plus an unknown number of tokens is unknown, not the fee."""

    @costmon.track("maps", cost_per_call="1", cost_per_token="1", tokens=lambda result: -1)
    def call() -> None: ...

    call()
    assert costs(costmon_home) == [None]


@pytest.mark.parametrize("value", ["0.01", 3, Decimal(1)])
@pytest.mark.parametrize("name", ["tokens", "minutes", "cost"])
def test_a_number_where_a_function_belongs_is_refused_at_once(name: str, value: Any) -> None:
    """`cost="0.01"` for `cost_per_call` stops the program where it stands, not after the first paid call."""
    with pytest.raises(ValueError, match=f"{name}=.* is no function"):
        costmon.track("x", **{name: value})


def test_a_block_that_says_nothing_is_unknown(costmon_home: Path) -> None:
    """A price per token without a count is not taken for free."""
    with costmon.track("maps", cost_per_token="0.000002"):
        pass
    assert event(costmon_home, "cost", "cost_status") == {"cost": None, "cost_status": "unknown"}


def test_a_block_that_fails_keeps_its_error_and_what_it_said(costmon_home: Path) -> None:
    """The app's own exception comes out; what was used by then is charged."""

    def drive() -> None:
        with costmon.track("maps", cost_per_token="0.01") as call:
            call.tokens(3)
            raise KeyError(CANARY)

    with pytest.raises(KeyError, match=CANARY):
        drive()
    assert event(costmon_home, "outcome", "error", "cost") == {
        "outcome": "error", "error": "KeyError", "cost": 3 * CENT
    }  # fmt: skip


async def test_async_blocks_of_one_tracker_stay_apart(costmon_home: Path) -> None:
    """One tracker may guard many tasks at once, and blocks may nest."""
    tracker = costmon.track("maps")

    async def work(number: int) -> None:
        async with tracker as outer:
            async with tracker as inner:
                await asyncio.sleep(0.001 * (number % 3))
                inner.cost(Decimal(number))
            outer.cost(100)

    await asyncio.gather(*(work(number) for number in range(20)))
    assert sorted(costs(costmon_home)) == [n * 10**9 for n in [*range(20), *[100] * 20]]  # type: ignore[type-var]


def test_a_block_is_refused_before_it_runs(costmon_home: Path) -> None:
    """A budget that is used up stops a block at its first line."""
    kit.add_budget(costmon_home, CENT)
    ran = []
    for _ in range(2):
        try:
            with costmon.track("maps", cost_per_call="0.01"):
                ran.append(1)
        except SpendBlocked:
            pass
    assert ran == [1]


HOSTILE = [-5, True, None, 2.5, float("nan"), "7", 10**30, [], ZeroDivisionError(CANARY)]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("name", ["tokens", "cost"])
def test_a_hostile_count_or_price_is_unknown(
    costmon_home: Path, name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A negative, endless or failing tokens= or cost= neither reaches the app nor refunds the budget nor stays open."""
    caplog.set_level(logging.WARNING, "costmon")
    number = kit.add_budget(costmon_home, 10**12)

    def read(result: object) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    price = {"cost_per_token": "1", "tokens": read} if name == "tokens" else {"cost": read}

    @costmon.track("x", **price)
    def call() -> int:
        return 7

    assert call() == 7
    if name == "cost" and value == 2.5:
        assert costs(costmon_home) == [2_500_000_000]
    elif name == "cost" and value == "7":
        assert costs(costmon_home) == [7_000_000_000]
    else:
        assert costs(costmon_home) == [None]
        assert kit.period(costmon_home, number)["spent"] == 0
    assert kit.period(costmon_home, number)["reserved"] == 0
    assert CANARY not in caplog.text
    kit.assert_sums_agree(costmon_home)


def test_a_huge_price_is_still_an_integer(costmon_home: Path) -> None:
    """The dearest price one may state adds up as an integer."""

    @costmon.track("x", cost=lambda r: 999_999_999)
    def call() -> None: ...

    for _ in range(3):
        call()
    assert kit.rows(costmon_home, "select typeof(sum(cost)), typeof(max(cost)) from rollup_day") == [
        ("integer", "integer")
    ]
    kit.assert_sums_agree(costmon_home)


# --- kinds of function ------------------------------------------------------------------------------------------


def decorated() -> dict[str, Callable[..., Any]]:
    tracked = costmon.track("x", cost_per_call="0.01")

    @tracked
    def sync(a: int, *rest: int, b: str = "c", **more: int) -> tuple[Any, ...]:
        """Says."""
        return (a, rest, b, more)

    @tracked
    async def coroutine(a: int, *rest: int, b: str = "c", **more: int) -> tuple[Any, ...]:
        """Says."""
        return (a, rest, b, more)

    @tracked
    def generator(a: int, *rest: int, b: str = "c", **more: int) -> Iterator[Any]:
        """Says."""
        yield from (a, rest, b, more)

    @tracked
    async def async_generator(a: int, *rest: int, b: str = "c", **more: int) -> AsyncIterator[Any]:
        """Says."""
        for item in (a, rest, b, more):
            yield item

    return {"sync": sync, "coroutine": coroutine, "generator": generator, "async generator": async_generator}


async def result_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    value = function(*args, **kwargs)
    if inspect.isasyncgen(value):
        return tuple([item async for item in value])
    if inspect.isgenerator(value):
        return tuple(value)
    return await value if inspect.isawaitable(value) else value


@pytest.mark.parametrize("kind", ["sync", "coroutine", "generator", "async generator"])
async def test_a_function_stays_what_it_was(costmon_home: Path, kind: str) -> None:
    """Name, docstring, signature, kind, arguments and result are those of the function itself."""
    function = decorated()[kind]
    assert (function.__name__, function.__doc__) == (kind.replace(" ", "_"), "Says.")
    assert list(inspect.signature(function).parameters) == ["a", "rest", "b", "more"]
    assert inspect.iscoroutinefunction(function) is (kind == "coroutine")
    assert inspect.isgeneratorfunction(function) is (kind == "generator")
    assert inspect.isasyncgenfunction(function) is (kind == "async generator")
    assert await result_of(function, 1, 2, 3, b="x", d=4) == (1, (2, 3), "x", {"d": 4})
    assert costs(costmon_home) == [CENT]


class Boom(Exception):
    pass


@pytest.mark.parametrize("kind", ["sync", "coroutine", "generator", "async generator"])
@pytest.mark.parametrize(
    "error", [Boom(CANARY), KeyError(CANARY), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()]
)
async def test_an_exception_is_the_apps_own(costmon_home: Path, kind: str, error: BaseException) -> None:
    """The very exception object comes out, and the ledger knows its class and nothing of its text."""
    tracked = costmon.track("x", cost_per_call="0.01")

    @tracked
    def sync() -> None:
        raise error

    @tracked
    async def coroutine() -> None:
        raise error

    @tracked
    def generator() -> Iterator[int]:
        yield 1
        raise error

    @tracked
    async def async_generator() -> AsyncIterator[int]:
        yield 1
        raise error

    functions = {
        "sync": sync,
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
    }
    with pytest.raises(type(error)) as caught:
        await result_of(functions[kind])
    assert caught.value is error
    assert caught.value.__cause__ is None
    found = event(costmon_home)
    assert (found["outcome"], found["error"], found["cost"]) == ("error", type(error).__name__, CENT)
    assert_canary_is_nowhere(costmon_home)


def assert_canary_is_nowhere(home: Path) -> None:
    for path in home.rglob("*"):
        data = b"" if path.is_dir() else path.read_bytes()
        assert CANARY.encode() not in data, path
        assert CANARY[::-1].encode() not in data, path


def test_arguments_and_results_are_not_stored(costmon_home: Path) -> None:
    """What an app asks and gets stays out of the ledger and the log."""

    @costmon.track("x", cost_per_call="0.01")
    def ask(question: str) -> str:
        return question[::-1]

    ask(CANARY)
    assert_canary_is_nowhere(costmon_home)


def test_a_generator_talks_both_ways(costmon_home: Path) -> None:
    """send(), throw(), close() and the return value of a generator work as without us."""
    log: list[object] = []

    @costmon.track("x", cost_per_call="0.01")
    def chat() -> Generator[str, str, str]:
        try:
            log.append((yield "one"))
            try:
                yield "two"
            except Boom as error:
                log.append(error)
            yield "three"
        finally:
            log.append("closed")
        return "result"

    def outer() -> Generator[str, str, None]:
        log.append((yield from chat()))

    boom = Boom()
    talk = outer()
    assert next(talk) == "one"
    assert talk.send("hello") == "two"
    assert talk.throw(boom) == "three"
    assert list(talk) == []
    assert log == ["hello", boom, "closed", "result"]
    talk = chat()
    next(talk)
    talk.close()
    assert log[-1] == "closed"
    assert [row[0] for row in kit.rows(costmon_home, "select outcome from event order by id")] == [
        "ok",
        "dropped",
    ]


async def test_an_async_generator_talks_both_ways(costmon_home: Path) -> None:
    """asend(), athrow() and aclose() reach the app's own async generator, whose cleanup runs at once."""
    log: list[object] = []

    @costmon.track("x", cost_per_call="0.01")
    async def chat() -> AsyncGenerator[str, str]:
        try:
            log.append((yield "one"))
            try:
                yield "two"
            except Boom as error:
                log.append(error)
            yield "three"
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    boom = Boom()
    talk = chat()
    assert await anext(talk) == "one"
    assert await talk.asend("hello") == "two"
    assert await talk.athrow(boom) == "three"
    assert [item async for item in talk] == []
    assert log == ["hello", boom, "closed"]
    talk = chat()
    assert await anext(talk) == "one"
    await talk.aclose()
    assert log[-1] == "closed"
    async for _ in chat():
        break
    assert [row[0] for row in kit.rows(costmon_home, "select outcome from event order by id limit 2")] == [
        "ok",
        "dropped",
    ]


def test_a_generator_nobody_reads_made_no_call(costmon_home: Path) -> None:
    """A generator that is made and thrown away did nothing, so it costs nothing."""
    made = decorated()["generator"](1)
    del made
    gc.collect()
    assert not (costmon_home / "ledger.db").exists() or costs(costmon_home) == []


async def test_a_cancelled_call_is_settled(costmon_home: Path) -> None:
    """A task cancelled while it waits for the API leaves nothing reserved."""

    @costmon.track("x", cost_per_call="0.01")
    async def call() -> None:
        await asyncio.sleep(30)

    task = asyncio.create_task(call())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert event(costmon_home, "state", "error") == {"state": "settled", "error": "CancelledError"}


async def test_many_at_once(costmon_home: Path) -> None:
    """200 concurrent tasks: 200 events, the exact sum, the labels of each."""

    @costmon.track("x", cost=lambda r: f"0.{r:03d}")
    async def call(number: int) -> int:
        await asyncio.sleep(0.001 * (number % 7))
        return number

    async def one(number: int) -> None:
        with costmon.context(route=f"/{number % 3}"):
            assert await call(number) == number

    await asyncio.gather(*(one(number) for number in range(200)))
    from costmon.shim import runtime

    assert runtime.recorder().drain(2) == 0
    assert sum(cost or 0 for cost in costs(costmon_home)) == sum(range(200)) * 1_000_000
    by_route = dict(kit.rows(costmon_home, "select route, count(*) from event group by route"))
    assert by_route == {"/0": 67, "/1": 67, "/2": 66}
    kit.assert_sums_agree(costmon_home)


def test_methods_and_classes(costmon_home: Path) -> None:
    """Methods, static methods, class methods and callable objects can be tracked."""
    tracked = costmon.track("x", cost_per_call="0.01")

    class Api:
        @tracked
        def method(self, x: int) -> tuple[object, int]:
            return self, x

        @staticmethod
        @tracked
        def static(x: int) -> int:
            return x

        @classmethod
        @tracked
        def klass(cls, x: int) -> tuple[type, int]:
            return cls, x

        def __call__(self, x: int) -> int:
            return x

    api = Api()
    assert api.method(1) == (api, 1)
    assert Api.static(2) == 2
    assert Api.klass(3) == (Api, 3)
    assert tracked(api)(4) == 4
    assert len(costs(costmon_home)) == 4


@costmon.track("x", cost_per_call="0.01")
def at_top_level(x: int) -> int:
    return x


def test_a_tracked_function_can_be_pickled(costmon_home: Path) -> None:
    """A process pool can run it."""
    assert pickle.loads(pickle.dumps(at_top_level))(3) == 3


def test_calls_inside_calls(costmon_home: Path) -> None:
    """A tracked function that calls itself counts every call."""

    @costmon.track("x", cost_per_call="0.01")
    def down(n: int) -> int:
        return n if n == 0 else down(n - 1)

    assert down(20) == 0
    assert costs(costmon_home) == [CENT] * 21


# --- refusals ---------------------------------------------------------------------------------------------------


async def test_a_refused_call_does_not_run(costmon_home: Path) -> None:
    """When the budget is spent the function's body does not start, whatever kind it is."""
    kit.add_budget(costmon_home, CENT, spent=CENT)
    ran: list[int] = []
    tracked = costmon.track("x", cost_per_call="0.01")

    @tracked
    def sync() -> None:
        ran.append(1)

    @tracked
    async def coroutine() -> None:
        ran.append(2)

    @tracked
    def generator() -> Iterator[int]:
        ran.append(3)
        yield 1

    @tracked
    async def async_generator() -> AsyncIterator[int]:
        ran.append(4)
        yield 1

    for function in (sync, coroutine, generator, async_generator):
        with pytest.raises(SpendBlocked) as caught:
            await result_of(function)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert ran == []
    assert kit.one(costmon_home, "select sum(calls) from refusal") == 4


def test_essential_is_the_innermost(costmon_home: Path) -> None:
    """track(essential=True) goes on at 96 % though the app is not essential."""
    kit.add_budget(costmon_home, 100 * CENT, spent=96 * CENT)
    essential = costmon.track("x", cost_per_call="0.01", essential=True)(lambda: "ran")
    plain = costmon.track("x", cost_per_call="0.01")(lambda: "ran")
    assert essential() == "ran"
    with pytest.raises(SpendBlocked):
        plain()
    with costmon.context(essential=True):
        assert plain() == "ran"


def test_guard_asks_the_switch(costmon_home: Path) -> None:
    """guard() raises while the switch blocks, and names nobody else's block."""
    costmon.guard()
    folder = costmon_home / "switch"
    (folder / "provider=openai").touch()
    costmon.guard()
    costmon.guard(provider="anthropic")
    with pytest.raises(SpendBlocked):
        costmon.guard(provider="openai")
    (folder / "all").touch()
    with pytest.raises(SpendBlocked):
        costmon.guard()


# --- off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "false", "No", " off "])
async def test_switched_off_it_does_nothing(
    costmon_home: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """COSTMON_ENABLED=0: nothing is written, nothing is refused, not even by the switch."""
    (costmon_home / "switch").mkdir(parents=True)
    (costmon_home / "switch" / "all").touch()
    before = listing(costmon_home)
    monkeypatch.setenv("COSTMON_ENABLED", value)
    for function in decorated().values():
        assert await result_of(function, 1) == (1, (), "c", {})
    costmon.guard()
    costmon.instrument(app="x")
    with costmon.job("j", every="1h"):
        pass
    assert listing(costmon_home) == before


def listing(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*"))


def test_a_dead_home_is_not_the_apps_problem(costmon_home: Path) -> None:
    """Without a place to write, tracked functions work."""
    (costmon_home / "ledger.db").mkdir(parents=True)
    assert [at_top_level(number) for number in range(5)] == list(range(5))


def test_threads(costmon_home: Path) -> None:
    """Functions tracked in 16 threads lose nothing."""
    threads = [threading.Thread(target=lambda: [at_top_level(n) for n in range(20)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(costs(costmon_home)) == 320
