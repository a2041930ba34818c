"""A provider that is not there: it answers on loopback in the shapes the real ones document, from a bill we wrote.

bill      what was really spent           server     HTTP on loopback, a journal, faults on demand
openai …  one module a kind, each with its `FAKE`
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from tests.sources.providers.fake.bill import Bill


class Request(NamedTuple):
    """`query` in order, with repeats; header names in lower case; `path` below the base URL."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def one(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


class Answer(NamedTuple):
    """`body`: bytes as they are, anything else as JSON (Decimal is written as a number with all its digits)."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Fake(Protocol):
    """One provider. `key` works, `wrong_key` is of another kind of key there; `options` are for `[source.NAME]`.

    `days` is False where the provider tells no money by day: then the contract about buckets is not for it. A fake may
    set any of `TRAITS` too.
    """

    kind: str
    key: str
    wrong_key: str
    options: dict[str, str]
    days: bool

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer: ...


TRAITS: Mapping[str, Any] = {
    "covers_today": True,  # today's bucket is in its answer
    "empty_days": True,  # a day without spend is in its answer, as a zero
    "models": True,  # its figures name the model
    "credits": True,  # it tells negative amounts
    "digits": 9,  # decimals of a dollar that its amounts can carry
    "most_days": 31,  # how far back one round can reach
    # The JSON fields without which a figure would be wrong: renamed, each is a `schema` error that names it.
    "fields": (),
    # The fields (more, next) of its pages; more is "" where only the cursor says so; None = it does not page.
    "cursor": None,
    # What the contract sets on a copy of the fake, one after the other: {"texts": True} sends its amounts as texts.
    "variants": ({},),
    "served": True,  # False: it is not asked over HTTP at all
}
"""What the contract asks about a fake, and what holds for one that does not say."""


def trait(fake: Fake, name: str) -> Any:
    return getattr(fake, name, TRAITS[name])
