"""`@costmon.track(...)`: record any metered call that is not an LLM SDK's, with the same admission and settlement.

@costmon.track("coupang", cost_per_call="0.01")
def search(query): ...

@costmon.track("whisper", per_minute="0.006", minutes=lambda result: Decimal(str(result.duration)) / 60)
async def transcribe(path): ...

with costmon.track("maps", cost_per_token="0.000002") as call:
    call.tokens(reply["units"])
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

from costmon.shim import runtime
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.events import Usage
from costmon.shim.faults import guarded, report
from costmon.shim.money import to_nano
from costmon.shim.usage import MAX_COUNT

if TYPE_CHECKING:
    from costmon.shim.recorder import Recorder

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C", bound=Callable[[Any], Any] | None)
Amount = Decimal | int | str | float
_LIMIT = 10**9


class track:  # noqa: N801 - reads as a keyword where it is used
    """Decorator of a function, coroutine function, generator or async generator that calls a metered API; and a context
    manager (`with`, `async with`) around such a call, whose handle takes `tokens(n)`, `minutes(n)` and `cost(amount)`.

    Args:
        provider: the name it spends under ("coupang").
        model: what was called there, for the screens; default the function's name ("call" for a block).
        cost_per_call: price of one call.
        cost_per_token, tokens: price of one token, and `tokens(result)` that says how many.
        per_minute, minutes: price of one minute, and `minutes(result)` that says how many (of audio, for example);
            without it the call's own duration counts.
        cost: `cost(result)` that returns the price itself, or None when it cannot tell.
        currency: of all of these, ISO 4217.
        essential: as in `instrument`.

    Amounts are Decimal, int or text ("0.01"); a float is read as it prints. Raises ValueError for anything else where
    it stands (what the functions and the handle say of a call never raises, see `Tracked`), and `SpendBlocked` at the
    call when a budget or the switch refuses it. Without any price the cost is unknown, never 0.
    """

    def __init__(
        self,
        provider: str,
        *,
        model: str = "",
        cost_per_call: Amount | None = None,
        cost_per_token: Amount | None = None,
        tokens: Callable[[Any], int] | None = None,
        per_minute: Amount | None = None,
        minutes: Callable[[Any], Amount] | None = None,
        cost: Callable[[Any], Amount | None] | None = None,
        currency: str = "USD",
        essential: bool | None = None,
    ) -> None:
        self._provider = provider
        self._model = model
        self._per_call = _amount("cost_per_call", cost_per_call)
        self._per_token = _amount("cost_per_token", cost_per_token)
        self._tokens = _function_of("tokens", tokens)
        self._per_minute = _amount("per_minute", per_minute)
        self._minutes = _function_of("minutes", minutes)
        self._cost = _function_of("cost", cost)
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise ValueError(
                f"currency={currency!r} is no currency: use three letters such as 'USD' (ISO 4217)"
            )
        self._currency = currency.upper()
        self._essential = essential

    def __enter__(self) -> Tracked:
        return self._entered(_Run(self, "call").start())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        blocks = _blocks.get()
        if not blocks:  # left in another context than it was entered in: its lease settles it
            return
        *outer, (run, handle) = blocks
        _blocks.set(tuple(outer))
        if error is None:
            run.returned(handle)
        else:
            run.failed(error, handle)

    async def __aenter__(self) -> Tracked:
        return self._entered(await _Run(self, "call").start_async())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self.__exit__(kind, error, trace)

    def _entered(self, run: _Run) -> Tracked:
        handle = Tracked(self._provider)
        _blocks.set((*_blocks.get(), (run, handle)))
        return handle

    def __call__(self, function: _F) -> _F:
        import inspect

        if self._per_token is not None and self._tokens is None:
            raise ValueError(
                "cost_per_token needs tokens=, a function of the result that says how many there were"
            )

        name = getattr(function, "__name__", "call")
        if inspect.isasyncgenfunction(function):
            wrapped = self._async_generator(function, name)
        elif inspect.iscoroutinefunction(function):
            wrapped = self._coroutine(function, name)
        elif inspect.isgeneratorfunction(function):
            wrapped = self._generator(function, name)
        else:
            wrapped = self._function(function, name)
        return functools.wraps(function)(wrapped)  # type: ignore[return-value]

    def _function(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            run = _Run(self, name).start()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                run.failed(error)
                raise
            run.returned(result)
            return result

        return call

    def _coroutine(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            run = await _Run(self, name).start_async()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                run.failed(error)
                raise
            run.returned(result)
            return result

        return call

    def _generator(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            run = _Run(self, name).start()
            try:
                result = yield from function(*args, **kwargs)
            except BaseException as error:
                run.failed(error)
                raise
            run.returned(result)
            return result

        return call

    def _async_generator(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            run = await _Run(self, name).start_async()
            inner, last = function(*args, **kwargs), None
            try:
                step = inner.__anext__()
                while True:  # what `yield from` does, which async generators lack
                    try:
                        last = await step
                    except StopAsyncIteration:
                        break
                    try:
                        sent = yield last
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as error:
                        step = inner.athrow(error)
                    else:
                        step = inner.asend(sent)
            except BaseException as error:
                run.failed(error)
                raise
            run.returned(last)

        return call


class Tracked:
    """What a `with costmon.track(...)` block says of its call. Nothing said: its price per call and its duration.

    Several calls of one method add up: `tokens(10)` and `tokens(20)` are 30 tokens; so with minutes and costs. None of
    them raises, since the money is spent by then: after a value that is no count or amount (None, text, NaN, less than
    nothing) the cost of the call is unknown, and the log says which API and method it was.
    """

    def __init__(self, provider: str = "") -> None:
        self._provider = provider
        # Lists, for an append from several threads loses nothing, unlike `+=`.
        self._tokens: list[int] = []
        self._minutes: list[Decimal] = []
        self._cost: list[Decimal] = []
        self._unknown = False

    def tokens(self, count: int) -> None:
        """It used so many tokens more."""
        self._say("tokens", self._tokens, _tokens, count)

    def minutes(self, count: Amount) -> None:
        """It used so many minutes more."""
        self._say("minutes", self._minutes, _stated, count)

    def cost(self, amount: Amount) -> None:
        """It cost so much more, in the block's currency."""
        self._say("cost", self._cost, _stated, amount)

    def _say(self, method: str, said: list[Any], read: Callable[[object], Any], value: object) -> None:
        try:
            said.append(read(value))
        except Exception:  # its text would quote the app's value
            self._unknown = True
            report(
                f"price {self._provider} {method}",
                f"{self._provider}: the price of a call is unknown ({method}() was given no number it can use)",
            )


# The blocks this task is in, innermost last. On no object: one `track` may serve many tasks at once.
_blocks: ContextVar[tuple[tuple[_Run, Tracked], ...]] = ContextVar("costmon_tracked", default=())


class _Run:
    """One tracked call."""

    def __init__(self, spec: track, name: str) -> None:
        self._spec = spec
        self._model = spec._model or name
        self._held: Open | None = None
        self._wait_s = 2.0
        self._pid = os.getpid()
        self._began = time.monotonic()

    def start(self) -> _Run:
        asked = guarded("admit a tracked call", self._asked)
        if asked is not None:
            self._held = asked[0].admit(asked[1])
            self._running()
        return self

    def _asked(self) -> tuple[Recorder, Call] | None:
        return (runtime.recorder(), self._call()) if runtime.enabled() else None

    async def start_async(self) -> _Run:
        self._wait_s = 0.0
        asked = guarded("admit a tracked call", self._asked)
        if asked is not None:
            self._held = await asked[0].admit_async(asked[1])
            self._running()
        return self

    def _running(self) -> None:
        runtime.tracking.add((self._pid, id(self)))

    def returned(self, result: Any) -> None:
        guarded("settle a tracked call", self._settle, "ok", result, None)

    def failed(self, error: BaseException, said: Tracked | None = None) -> None:
        outcome = "dropped" if isinstance(error, GeneratorExit) else "error"
        guarded("settle a tracked call", self._settle, outcome, said, error)

    def _call(self) -> Call:
        spec = self._spec
        known = spec._per_call
        later = spec._per_token is not None or spec._per_minute is not None or spec._cost is not None
        return Call(
            api="call",
            family=spec._provider,
            provider=spec._provider,
            model=self._model,
            endpoint="",
            has_output=False,
            source="track",
            cost=to_nano(known) if known is not None and (known or not later) else None,
            currency=spec._currency,
            essential=spec._essential,
        )

    def _settle(self, outcome: str, result: Any, error: BaseException | None) -> None:
        runtime.tracking.discard((self._pid, id(self)))
        if self._held is None or self._pid != os.getpid():
            return  # a forked child that leaves its copy of the call says nothing about the parent's
        elapsed = time.monotonic() - self._began
        try:
            cost, usage = self._priced(result, elapsed, failed=error is not None)
        except Exception as fault:  # the app's own functions
            report(
                f"price {self._model}",
                f"{self._model}: its price is unknown ({type(fault).__name__} in tokens=, minutes= or cost=)",
            )
            cost, usage = None, None
        held = self._held
        if (
            cost is None
        ):  # else it would be settled at its price per call, to which what is unknown is to be added
            held = held._replace(call=held.call._replace(cost=None))
        recorder = runtime.recorder()
        recorder.settle(
            held,
            Outcome(
                outcome,
                usage=usage,
                cost=cost,
                error=type(error).__name__ if error is not None else None,
                duration_us=int(elapsed * 1e6),
            ),
            wait_s=self._wait_s,
        )

    def _priced(self, result: Any, elapsed_s: float, *, failed: bool) -> tuple[int | None, Usage | None]:
        """(nano, usage) of a finished call; a failed one costs what is charged for every call, and its time."""
        spec, said = self._spec, self._said(result, failed=failed)
        if said._unknown:
            return None, None
        parts: list[Decimal] = []
        if spec._per_call is not None:
            parts.append(spec._per_call)
        if spec._per_minute is not None:
            minutes = said._minutes or [Decimal(round(elapsed_s * 1e6)) / 60_000_000]
            parts.append(spec._per_minute * sum(minutes, Decimal(0)))
        count = _tokens(sum(said._tokens)) if said._tokens else None
        if spec._per_token is not None and count is not None:
            parts.append(spec._per_token * count)
        parts += said._cost
        total = sum(parts, Decimal(0))
        if total >= _LIMIT:
            raise ValueError("the price of a call is out of range")
        usage: Usage | None = {"output_tokens": count, "total_tokens": count} if count is not None else None
        return (to_nano(total) if parts else None), usage

    def _said(self, result: Any, *, failed: bool) -> Tracked:
        """What the app says of a call: itself in its block, or by its functions of the result."""
        spec, said = self._spec, Tracked()
        if isinstance(result, Tracked):
            return result
        if failed:
            return said
        if spec._tokens is not None:
            said._tokens.append(_tokens(spec._tokens(result)))
        if spec._minutes is not None:
            said._minutes.append(_stated(spec._minutes(result)))
        if spec._cost is not None:
            stated = spec._cost(result)
            if stated is not None:
                said._cost.append(_stated(stated))
        return said


def _function_of(name: str, value: _C) -> _C:
    if value is not None and not callable(value):
        raise ValueError(
            f"{name}={value!r} is no function: use one of the result, such as {name}=lambda result: ..."
        )
    return value


def _stated(value: object) -> Decimal:
    """An amount, where None is none."""
    amount = _amount("amount", value)
    if amount is None:
        raise ValueError("no amount")
    return amount


def _tokens(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        return value
    raise ValueError(f"tokens={value!r} is no count")


def _amount(name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, (int, float, str, Decimal)) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if amount.is_finite() and 0 <= amount < _LIMIT:
            return amount
    raise ValueError(f"{name}={value!r} is no amount of money: use text such as '0.01'")
