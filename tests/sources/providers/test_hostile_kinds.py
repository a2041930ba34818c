"""A provider that sends nonsense in one field: either the round fails, or the money is what it was."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from costmon.sources.providers import registry
from costmon.sources.providers.protocol import Reading, Settings, SourceError
from tests.sources.providers.ask import NOW, days_until
from tests.sources.providers.fake import (
    Fake,
    Request,
    deepgram,
    deepinfra,
    deepseek,
    elevenlabs,
    fireworks,
    moonshot,
    runpod,
    vast,
    xai,
)
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import dumps

FAKES: list[Fake] = [
    module.FAKE
    for module in (deepgram, deepinfra, deepseek, elevenlabs, fireworks, moonshot, runpod, vast, xai)
]
GONE = object()
NONSENSE = (
    *(
        GONE,
        None,
        True,
        [],
        {},
        "",
        " ",
        "abc",
        "1,5",
        "0x10",
        "1_000",
        "١٢",
        "-",
        "1e309",
        "NaN",
        "Infinity",
    ),
    *(
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
        Decimal("1E+309"),
        10**30,
        [1],
        {"renamed": 1},
    ),
)
ZERO_WHEN_GONE = {
    "xai": ("val",),
    "fireworks": ("units", "nanos"),
}
"""Fields that a provider leaves out when they are zero."""


class AskedForMore(Exception):
    """A page more than there is: no number came of it."""


class Replay:
    """A client that answers in the order of the requests, as it was told."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = iter(answers)

    async def get(self, *_: Any, **__: Any) -> Any:
        for answer in self._answers:
            return answer
        raise AskedForMore

    post = get


class Recorder:
    """A client that asks the fake, and keeps its answers as they arrive."""

    def __init__(self, fake: Fake, bill: Bill) -> None:
        self._fake, self._bill = fake, bill
        self.answers: list[Any] = []

    async def get(self, path: str, params: Any = (), **_: Any) -> Any:
        return self._ask("GET", path, params, b"")

    async def post(self, path: str, body: Any, params: Any = (), **_: Any) -> Any:
        return self._ask("POST", path, params, json.dumps(body).encode())

    def _ask(self, method: str, path: str, params: Any, body: bytes) -> Any:
        key = self._fake.key
        headers = {
            "authorization": f"{'Token' if self._fake.kind == 'deepgram' else 'Bearer'} {key}",
            "xi-api-key": key,
        }
        answer = self._fake.answer(Request(method, path, list(params), headers, body), self._bill, NOW)
        assert answer.status == 200
        self.answers.append(json.loads(dumps(answer.body), parse_float=Decimal))
        return copy.deepcopy(self.answers[-1])


def read(fake: Fake, client: Any) -> Reading:
    kind = registry.kind(fake.kind)
    options = {option.name: option.default or "" for option in kind.options} | fake.options
    settings = Settings(kind.name, kind.provider, "https://gateway.example.com", MappingProxyType(options))
    asked = kind.fetch(client, settings, days_until(NOW, 3))
    with pytest.raises(StopIteration) as done:
        asked.send(None)  # type: ignore[attr-defined]  # nothing in it waits, so no loop is needed
    return done.value.value


def money(reading: Reading) -> tuple[Any, ...]:
    """What of a reading is a number of money, and which days it claims to know."""
    figures = sorted((found.start, found.line, found.currency, found.amount) for found in reading.figures)
    sums: dict[Any, Decimal] = {}
    for start, line, code, amount in figures:
        sums[start, line, code] = sums.get((start, line, code), Decimal(0)) + amount
    balances = [(one.unit, one.amount, one.limit) for one in reading.balances]
    return sums, balances, [(bucket.start, bucket.end) for bucket in reading.buckets]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in an answer, objects and lists too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from leaves(item, (*path, name))


def replaced(answers: list[Any], path: tuple[Any, ...], value: Any) -> list[Any]:
    """The answers with one place changed."""
    found = copy.deepcopy(answers)
    at: Any = found
    for name in path[:-1]:
        at = at[name]
    if value is GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return found


def a_bill() -> Bill:
    bill = Bill()
    for back in range(3):
        bill.spend(date(2026, 11, 20) - timedelta(days=back), "1.25", "model-a")
        bill.spend(date(2026, 11, 20) - timedelta(days=back), "0.5", "model-b")
    return bill


@pytest.mark.parametrize("fake", FAKES, ids=lambda fake: fake.kind)
def test_nonsense_in_a_field_is_an_error_or_changes_no_number(fake: Fake) -> None:
    recorder = Recorder(fake, a_bill())
    truth = money(read(fake, recorder))
    refused, wrong = 0, []
    for path in leaves(recorder.answers):
        for value in NONSENSE:
            if value is GONE and len(path) == 1:
                continue
            try:
                reading = read(fake, Replay(replaced(recorder.answers, path, value)))
            except (SourceError, AskedForMore):
                refused += 1
                continue
            found = money(reading)
            less = not reading.balances and reading.notes and found[::2] == truth[::2]
            if found != truth and not less and not lawful(fake, recorder.answers, path, value):
                wrong.append((path, value, found))
    assert not wrong, wrong[:5]
    assert refused > 20


def lawful(fake: Fake, answers: list[Any], path: tuple[Any, ...], value: Any) -> bool:
    """Answers that are well-formed and say something else: a row less, a zero left out, another number or currency."""
    name, at = path[-1], answers
    for step in path:
        at = at[step]
    return (
        (value is GONE and isinstance(name, int))
        or (value == [] and isinstance(at, list))
        or (value in (GONE, None) and name in ZERO_WHEN_GONE.get(fake.kind, ()))
        or (value == {} and name in ("coreInvoice", "prepaidCreditsUsed", "total"))
        or (value == [1] and name == "values")
        or (
            value in ("abc", "NaN", "Infinity")
            and name in ("currency", "currencyCode", "units")
            and isinstance(at, str)
        )
    )
