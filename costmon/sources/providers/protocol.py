"""What a source of provider figures is, and what it brings home. Other packages add theirs by these types.

A source is a `Kind`: what it is called, which key it needs, and `fetch`, which asks through a `Client` and returns a
`Reading`. A `Kind` keeps no state, never sees a key, and knows nothing of rhythms, retries or the ledger. It is registered
by an entry point of the group `costmon.sources` whose name is the kind's and whose object is the `Kind`.

Money is an exact Decimal in major units of its currency (dollars, not cents: a kind converts). Instants are aware UTC.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Protocol

from costmon.errors import CostmonError

USAGE, TAX, CREDIT = "usage", "tax", "credit"
"""The lines of a bill. Only usage is compared with what apps spent; tax is positive, a credit negative."""

DAY, MONTH = "day", "month"
FORM = "application/x-www-form-urlencoded"

STATES = (
    *("auth", "forbidden", "not_found", "rate_limited", "out_of_money"),
    *("upstream", "schema", "network", "config", "key"),
)
"""Why a source could not be read. `auth`: the key is wrong; `forbidden`: it is of the wrong kind or lacks a scope;
`out_of_money`: no retry helps before somebody pays; `schema`: the answer is not what the provider documents; `key`: there
is no key, or the keyring does not answer; `config`: a setting is missing or wrong."""

WAITS_FOR_A_PERSON = frozenset(("auth", "forbidden", "not_found", "out_of_money", "config", "key"))
"""States that asking again does not mend. `not_found` is asked again in the source's rhythm, the others when something of
the source was changed."""


class SourceError(CostmonError):
    """A source could not be read. The message is one sentence: what is wrong, and what to do.

    Args:
        state: one of `STATES`.
        retry_after: seconds the provider asked to wait, or None.
        status: the HTTP status, or None.
    """

    def __init__(
        self, state: str, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.state = state
        self.retry_after = retry_after
        self.status = status


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for: whole UTC days, [start, end); `end` is the midnight after now, so that today is inside."""

    start: datetime
    end: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time the provider accounted for, [start, end); with no figure in it, it is a real zero.

    `complete` False: the provider itself calls it an estimate, or cannot know all of it yet; then it is not final.
    """

    start: datetime
    end: datetime
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """What one group of one bucket cost. `label` is the provider's own words for what was bought."""

    start: datetime
    end: datetime
    amount: Decimal
    currency: str
    model: str = ""
    label: str = ""
    project: str = ""
    key: str = ""
    line: str = USAGE


@dataclass(frozen=True, slots=True)
class Usage:
    """What one group of one bucket used. `input_tokens` are all of them, cached ones too; None: it does not say."""

    start: datetime
    end: datetime
    model: str = ""
    project: str = ""
    key: str = ""
    requests: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left of a prepaid account or a quota, now. `unit` is a currency ('USD') or what is counted ('credits').

    `limit` is what it was filled to or may rise to; `resets_at` when it is filled up by itself. `spendable` is False for a
    cap on one key, which is no money of its own. `per_hour` is what the provider says is spent in an hour.
    """

    amount: Decimal
    unit: str
    label: str = ""
    limit: Decimal | None = None
    resets_at: datetime | None = None
    spendable: bool = True
    per_hour: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """All that one round brought home. `buckets` are what the figures cover, and replace what was known of them.

    `notes` are sentences for the operator: what this answer lacks, and why ("Priority Tier is not in it").
    `partial`: the provider itself says that something is missing; then no bucket of it is final.
    `whole`: this is all the source has to say, of any time; what is known of its other buckets is gone.
    """

    buckets: Sequence[Bucket] = ()
    figures: Sequence[Figure] = ()
    usage: Sequence[Usage] = ()
    balances: Sequence[Balance] = ()
    notes: Sequence[str] = ()
    partial: bool = False
    whole: bool = False


class Client(Protocol):
    """The way to one provider: JSON in and out, with the key in the headers and to no other host.

    Numbers arrive as int and Decimal, never as float. Every failure is a SourceError.
    """

    async def get(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        base: str = "",
    ) -> Any:
        """GET `path` below the source's base URL (or one of the kind's further `hosts`, as `base` "https://…")."""
        ...

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        params: Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        base: str = "",
    ) -> Any:
        """POST a JSON `body`, or a form where `headers` has Content-Type `FORM`: a query that changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request about to leave, for kinds that sign it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime


Authorize = Callable[[Outgoing, str], Mapping[str, str]]
"""From a request and the key to the headers that carry it."""
Fetch = Callable[[Client, "Settings", Window], Awaitable[Reading]]
Explain = Callable[[int, Any], SourceError | None]
"""From a status of 400 or more (or a 200 a kind takes for an error) and its parsed body (None if it is no JSON) to a
better error than the general one, or None."""


def bearer(request: Outgoing, key: str) -> Mapping[str, str]:  # noqa: ARG001 - an Authorize
    """`Authorization: Bearer KEY`."""
    return {"Authorization": f"Bearer {key}"}


def nothing_to_add(status: int, body: Any) -> SourceError | None:  # noqa: ARG001 - an Explain
    """An `Explain` that leaves it at the general error."""
    return None


def header(name: str, prefix: str = "") -> Authorize:
    """An `Authorize` that sends the key in the header `name`, after `prefix`."""
    return lambda _, key: {name: f"{prefix}{key}"}


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a kind in `[source.NAME]`. `default` None = it must be given. `help`: what it is and where to find it."""

    name: str
    help: str
    default: str | None = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One `[source.NAME]`, resolved: what `fetch` may know. `options` has every option of the kind."""

    name: str
    provider: str
    base_url: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tax_included: Decimal = Decimal(0)
    """The share of tax inside the provider's figures, such as 0.1 for 10 % VAT on top of the net price."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One provider's source. `provider` is its name in the ledger; `fetch` does all the asking.

    key: what key it needs, in words; '' = none. key_from: where it is made. env: the environment variables it is usual in.
    wrong_keys: beginnings of keys that cannot work, each with the rest of the sentence "this is …".
    every_s, at_least_s: its rhythm and the shortest one allowed, in seconds.
    settles_after: how long after its end a bucket may still grow.
    series: 'day' or 'month', what its buckets are; '' = it has no figures, only balances.
    lacks: what its figures never contain, as sentences.
    overlaps: it passes on what other providers bill too (a gateway): never added to theirs.
    fee: what one request costs, (amount, currency) or None.
    local: the key may go to this machine's own addresses by default (a proxy of one's own).
    verify: reads as little as proves the key; the default is `fetch`.
    """

    name: str
    provider: str
    title: str
    base_url: str
    fetch: Fetch
    key: str
    key_from: str = ""
    env: tuple[str, ...] = ()
    wrong_keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    authorize: Authorize = bearer
    explain: Explain = nothing_to_add
    verify: Fetch | None = None
    options: tuple[Option, ...] = ()
    hosts: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    every_s: int = 300
    at_least_s: int = 60
    settles_after: timedelta = timedelta(days=3)
    series: str = DAY
    lacks: tuple[str, ...] = ()
    overlaps: bool = False
    fee: tuple[Decimal, str] | None = None
    local: bool = False
