"""`@costmon.track(...)`: record any metered call that is not an LLM SDK's, with the same admission and settlement.

@costmon.track("coupang", cost_per_call="0.01")
def search(query): ...

@costmon.track("whisper", per_minute="0.006")
async def transcribe(path): ...
"""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator, Callable, Generator
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from costmon.shim import runtime
from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.events import Usage
from costmon.shim.faults import guarded, report
from costmon.shim.money import to_nano
from costmon.shim.usage import MAX_COUNT

_F = TypeVar("_F", bound=Callable[..., Any])
Amount = Decimal | int | str | float
_LIMIT = 10**9


class track:  # noqa: N801 - reads as a keyword where it is used
    """Decorator of a function, coroutine function, generator or async generator that calls a metered API.

    Args:
        provider: the name it spends under ("coupang").
        model: what was called there, for the screens; default the function's name.
        cost_per_call: price of one call.
        cost_per_token, tokens: price of one token, and `tokens(result)` that says how many.
        per_minute: price of one minute of the call's duration.
        cost: `cost(result)` that returns the price itself, or None when it cannot tell.
        currency: of all of these, ISO 4217.
        essential: as in `instrument`.

    Amounts are Decimal, int or text ("0.01"); a float is read as it prints. Raises ValueError for anything else, and
    `SpendBlocked` at the call when a budget or the switch refuses it. Without any price the cost is unknown, never 0.
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
        cost: Callable[[Any], Amount | None] | None = None,
        currency: str = "USD",
        essential: bool | None = None,
    ) -> None:
        if cost_per_token is not None and tokens is None:
            raise ValueError(
                "cost_per_token needs tokens=, a function of the result that says how many there were"
            )
        self._provider = provider
        self._model = model
        self._per_call = _amount("cost_per_call", cost_per_call)
        self._per_token = _amount("cost_per_token", cost_per_token)
        self._tokens = tokens
        self._per_minute = _amount("per_minute", per_minute)
        self._cost = cost
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise ValueError(
                f"currency={currency!r} is no currency: use three letters such as 'USD' (ISO 4217)"
            )
        self._currency = currency.upper()
        self._essential = essential

    def __call__(self, function: _F) -> _F:
        import inspect

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


class _Run:
    """One tracked call."""

    def __init__(self, spec: track, name: str) -> None:
        self._spec = spec
        self._model = spec._model or name
        self._held: Open | None = None
        self._wait_s = 2.0
        self._began = time.monotonic()

    def start(self) -> _Run:
        if runtime.enabled():
            self._held = runtime.recorder().admit(self._call())
        return self

    async def start_async(self) -> _Run:
        self._wait_s = 0.0
        if runtime.enabled():
            self._held = await runtime.recorder().admit_async(self._call())
        return self

    def returned(self, result: Any) -> None:
        guarded("settle a tracked call", self._settle, "ok", result, None)

    def failed(self, error: BaseException) -> None:
        outcome = "dropped" if isinstance(error, GeneratorExit) else "error"
        guarded("settle a tracked call", self._settle, outcome, None, error)

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
        if self._held is None:
            return
        elapsed = time.monotonic() - self._began
        try:
            cost, usage = self._priced(result, elapsed, failed=error is not None)
        except Exception as fault:  # the app's own tokens= or cost=
            report(
                f"price {self._model}",
                f"{self._model}: its price is unknown ({type(fault).__name__} in tokens= or cost=)",
            )
            cost, usage = None, None
        recorder = runtime.recorder()
        recorder.settle(
            self._held,
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
        spec = self._spec
        total, known, usage = Decimal(0), False, None
        if spec._per_call is not None:
            total, known = total + spec._per_call, True
        if spec._per_minute is not None:
            total, known = total + spec._per_minute * Decimal(round(elapsed_s * 1e6)) / 60_000_000, True
        if not failed and spec._per_token is not None and spec._tokens is not None:
            count = _tokens(spec._tokens(result))
            total, known, usage = (
                total + spec._per_token * count,
                True,
                {"output_tokens": count, "total_tokens": count},
            )
        if not failed and spec._cost is not None:
            stated = _amount("cost", spec._cost(result))
            total, known = (total + stated, True) if stated is not None else (total, known)
        if total >= _LIMIT:
            raise ValueError("the price of a call is out of range")
        return (to_nano(total) if known else None), usage


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
