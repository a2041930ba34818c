"""Exchange rates while the engine runs: fetched in a thread of their own when the operator opted in, and told apart
from stale ones."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from threading import Event, Thread
from zoneinfo import ZoneInfo

from costmon import config as configuration
from costmon import paths
from costmon.config import ExchangeRate
from costmon.config.zones import is_zone
from costmon.errors import ConfigError, PriceError
from costmon.monitor.snapshot import RateUse
from costmon.pricing import currency
from costmon.shim.clock import is_demo, system_clock
from costmon.shim.money import Rate
from costmon.shim.timestamps import to_datetime

_LOOK_EVERY_S = 60.0


class RateKeeper(Thread):
    """Fetches exchange rates once a day if the config says so, and an hour after a failure; no tick ever waits for it.

    What it fetches lies in a file; the engine compiles it when the file changes.
    """

    def __init__(self, home: str) -> None:
        super().__init__(name="costmon-rates", daemon=True)
        self._home = home
        self._ending = Event()
        self._seen: tuple[int, int] = (0, 0)
        self._wanted = False
        self._own: tuple[ExchangeRate, ...] = ()

    def stop(self) -> None:
        """Fetch no more; a fetch under way is left to itself."""
        self._ending.set()

    def run(self) -> None:
        while not self._ending.is_set():
            if self._opted_in() and currency.due(currency.held(self._home), system_clock()):
                try:
                    currency.update(system_clock(), home=self._home, own=self._own)
                except PriceError:
                    pass  # kept beside the rates, and told when they are stale
            self._ending.wait(_LOOK_EVERY_S)

    def _opted_in(self) -> bool:
        """What the config says; a file that is wrong keeps the last answer."""
        path = paths.config_file()
        try:
            status = os.stat(path)
            if (status.st_mtime_ns, status.st_size) != self._seen:
                found = configuration.load(path)
                self._wanted, self._own = bool(found.fetch_rates), found.rates
                self._seen = (status.st_mtime_ns, status.st_size)
        except (OSError, ConfigError):
            pass
        return self._wanted and not is_demo(self._home)


def rates_in_use(
    db: sqlite3.Connection, pairs: Iterable[tuple[str, str]], time_zone: str, now_us: int
) -> tuple[RateUse, ...]:
    """The rates by which `pairs` of (base, quote) are converted at `now_us`; a pair without one is left out."""
    zone = ZoneInfo(time_zone if is_zone(time_zone) else "UTC")
    today = to_datetime(now_us).astimezone(zone).date()
    rates: tuple[ExchangeRate, ...] | None = None
    found = []
    for base, quote in sorted(set(pairs)):
        if base == quote:
            continue
        rates = _compiled(db, zone) if rates is None else rates
        rate = currency.find(rates, base, quote, today)
        if rate is not None:
            age = max(0, (today - rate.day).days)
            stale = currency.is_stale(rate.day, today)
            found.append(RateUse(base, quote, currency.digits(rate.rate), rate.day, rate.source, age, stale))
    return tuple(found)


def stale_texts(rates: Iterable[RateUse], home: str, *, fetched: bool) -> list[str]:
    """One sentence for each rate that is too old, and what to do. `fetched`: the config leaves rates to be fetched."""
    texts = []
    for rate in rates:
        if not rate.stale:
            continue
        text = f"the rate from {rate.base} to {rate.quote} is {rate.age_days} days old ({rate.day})"
        if not fetched or currency.SOURCE not in rate.source:
            fix = f"bring [[currency.rate]] in {paths.config_file()} up to date"
        else:
            fix = currency.held(home).problem or "run costmon rates update"
        texts.append(f"{text}: {fix}")
    return texts


def _compiled(db: sqlite3.Connection, zone: ZoneInfo) -> tuple[ExchangeRate, ...]:
    """The rates in the ledger, by their days."""
    rows = db.execute(
        "select base, quote, from_at, numerator, denominator, source from exchange_rate order by from_at"
    ).fetchall()
    dated = {row[:2] for row in rows if row[2] > 0}
    return tuple(
        ExchangeRate(
            base,
            quote,
            Rate(numerator, denominator),
            to_datetime(at).astimezone(zone).date(),
            source.removesuffix(" (inverse)"),
        )
        for base, quote, at, numerator, denominator, source in rows
        # A pair's oldest rate stands there once more, for all days before it.
        if at > 0 or (base, quote) not in dated
    )
