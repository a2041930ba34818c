"""One round: settings and key, ask, and check what came back before anybody believes it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NoReturn
from urllib.parse import urlsplit

from costmon.config.values import Source
from costmon.credentials import Secret
from costmon.shim.clock import is_demo
from costmon.sources.providers import access, http
from costmon.sources.providers.polling.rhythm import SECOND_US, Rhythm
from costmon.sources.providers.protocol import (
    CREDIT,
    TAX,
    USAGE,
    Balance,
    Bucket,
    Figure,
    Kind,
    Reading,
    Settings,
    SourceError,
    Usage,
    Window,
)
from costmon.sources.providers.reading import MOST

LIMIT_S = 300.0
_LONGEST = timedelta(days=366)
_AHEAD = timedelta(days=1)
_OLDEST = timedelta(days=366 * 10)


@dataclass(frozen=True, slots=True)
class Polled:
    """A source of the config as it is polled. `kind` and `settings` are None where `problem` says what is wrong with it.

    `setup` is a hash of all that its config says: figures of another setup may be of another account.
    """

    source: Source
    kind: Kind | None
    settings: Settings | None
    problem: SourceError | None
    setup: str

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def provider(self) -> str:
        """Whose calls in the ledger its figures are compared with."""
        if self.settings is not None:
            return self.settings.provider
        return self.source.provider or self.source.kind

    @property
    def host(self) -> str:
        """Where it is asked; '' where nobody is."""
        url = self.settings.base_url if self.settings is not None else self.source.base_url
        try:
            return urlsplit(url).hostname or ""
        except ValueError:
            return ""

    @property
    def rhythm(self) -> Rhythm:
        if self.kind is None:
            return Rhythm(600 * SECOND_US)
        least = self.kind.at_least_s * SECOND_US
        every = self.source.every_us or self.kind.every_s * SECOND_US
        return Rhythm(max(every, least), least, self.kind.fee is not None)


def resolve(source: Source) -> Polled:
    """`source` with its kind and settings, or with what is wrong with them."""
    told = [
        *(source.kind, source.provider, source.base_url, source.key, str(source.every_us)),
        *(str(source.tax_included), sorted(source.options.items())),
    ]
    setup = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    try:
        kind, settings = access.settings_of(source)
    except SourceError as error:
        return Polled(source, None, None, error, setup)
    return Polled(source, kind, settings, None, setup)


def may_ask(home: str, polled: Polled) -> bool:
    """In a simulation only what answers on this machine is asked."""
    return not is_demo(home) or polled.host in ("127.0.0.1", "::1", "localhost", "")


def key_version(polled: Polled, keys_changed: str, process: str) -> str:
    """What differs when the source's key may be another one: never the key, nor anything made of it.

    keys_changed: what the ledger says of keys that were set. process: differs in each process, as its environment may.
    """
    where = polled.source.key
    if where.startswith("file:"):
        try:
            return f"{keys_changed} {os.stat(os.path.expanduser(where[5:])).st_mtime_ns}"
        except OSError:
            return f"{keys_changed} none"
    usual = polled.kind.env if polled.kind is not None and not where else ()
    if where.startswith("env:") or any(name in os.environ for name in usual):
        return f"{keys_changed} {process}"
    return keys_changed


async def key(polled: Polled, limit_s: float = LIMIT_S) -> Secret | None:
    """The source's key, None where it needs none. Raises SourceError."""
    kind, settings = _usable(polled)
    async with _within(limit_s, kind):
        return await access.key_of(kind, settings, polled.source)


async def read(
    polled: Polled, secret: Secret | None, window: Window, traffic: http.Traffic, limit_s: float = LIMIT_S
) -> Reading:
    """Ask for the window, within `limit_s`. Raises SourceError; `traffic` tells what was sent even then."""
    kind, settings = _usable(polled)
    async with _within(limit_s, kind), http.connect(kind, settings, secret, traffic) as client:
        reading = await kind.fetch(client, settings, window)
    check(reading, window.now)
    return reading


def _usable(polled: Polled) -> tuple[Kind, Settings]:
    if polled.kind is None or polled.settings is None:
        raise polled.problem or SourceError("config", f'the source "{polled.name}" has no kind')
    return polled.kind, polled.settings


@asynccontextmanager
async def _within(limit_s: float, kind: Kind) -> AsyncIterator[None]:
    """Every failure inside becomes a SourceError without the words of what failed."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except SourceError:
        raise
    except TimeoutError:
        raise SourceError(
            "network", f"the round took over {limit_s:g} s and was given up; the last good figures are kept"
        ) from None
    except Exception as error:
        raise SourceError(
            "schema",
            f'the source kind "{kind.name}" failed at this answer ({type(error).__name__}); update costmon, or the '
            "package it comes from",
        ) from None


def check(reading: Reading, now: datetime) -> None:
    """Raises SourceError ('schema') for a reading that could not be booked without making a wrong number."""
    if not isinstance(reading, Reading):
        _fail("it is no Reading")
    spans = [_span(bucket, Bucket, now) for bucket in reading.buckets]
    if len(set(spans)) != len(spans):
        _fail("a bucket is in it twice")
    ordered = sorted(spans)
    if any(later[0] < earlier[1] for earlier, later in pairwise(ordered)):
        _fail("its buckets overlap")
    known = set(spans)
    for figure in reading.figures:
        if _span(figure, Figure, now) not in known:
            _fail("a figure lies outside its buckets")
        _check_figure(figure)
    for usage in reading.usage:
        _span(usage, Usage, now)
        _check_counts(usage)
    names = [(balance.label, balance.unit) for balance in _balances(reading.balances)]
    if len(set(names)) != len(names):
        _fail("a balance is in it twice")


def _span(part: object, of: type, now: datetime) -> tuple[datetime, datetime]:
    if not isinstance(part, of):
        _fail(f"something in it is no {of.__name__}")
    start, end = getattr(part, "start", None), getattr(part, "end", None)
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        _fail("a bucket has no times")
    if start.tzinfo is None or end.tzinfo is None:
        _fail("a bucket's time has no zone")
    if not start < end <= start + _LONGEST:
        _fail("a bucket ends before it starts, or a year later")
    if start > now + _AHEAD:
        raise SourceError(
            "schema",
            f"its figures are of {start:%Y-%m-%d}, which is ahead of this machine's clock; set the clock, or update "
            "costmon",
        )
    if start < now - _OLDEST:
        _fail("a bucket is older than ten years")
    return start, end


def _check_figure(figure: Figure) -> None:
    amount, currency = figure.amount, figure.currency
    if not isinstance(amount, Decimal) or not amount.is_finite() or abs(amount) > MOST:
        _fail("an amount in it is impossible")
    if (
        not isinstance(currency, str)
        or len(currency) != 3
        or not currency.isascii()
        or not currency.isupper()
    ):
        _fail("a currency in it is no code of three letters")
    if figure.line not in (USAGE, TAX, CREDIT):
        _fail("a figure in it is of no known line")


def _check_counts(usage: Usage) -> None:
    counts = (usage.requests, usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    for count in counts:
        if count is not None and (
            isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**62
        ):
            _fail("a count in it is impossible")


def _balances(balances: Iterable[Balance]) -> Iterable[Balance]:
    for balance in balances:
        amounts = (
            (balance.amount, balance.limit, balance.per_hour) if isinstance(balance, Balance) else (None,)
        )
        for amount in (amounts[0], *(extra for extra in amounts[1:] if extra is not None)):
            if not isinstance(amount, Decimal) or not amount.is_finite() or abs(amount.adjusted()) > 30:
                _fail("a balance in it is impossible")
        if balance.resets_at is not None and balance.resets_at.tzinfo is None:
            _fail("a balance's time has no zone")
        yield balance


def _fail(problem: str) -> NoReturn:
    raise SourceError(
        "schema", f"the answer cannot be used, {problem}; the last good figures are kept, update costmon"
    )
