"""What providers billed beside what apps logged, day by day, for the screens and for alerts. Times are µs UTC."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from costmon.act.alerts import Alert, Unlogged, unlogged_alert
from costmon.config.values import Unlogged as UnloggedConfig
from costmon.insight import reconcile as compare
from costmon.insight.values import Day, Sum, Total
from costmon.monitor import bills
from costmon.monitor.logged import last_hour
from costmon.monitor.unlogged import uncounted
from costmon.shim import policy
from costmon.shim.money import Money, convert
from costmon.shim.timestamps import to_datetime, to_us
from costmon.store import figures as rows
from costmon.store.figures import DAY_US
from costmon.store.queries import settings

ALERTED_US = 3 * DAY_US
"""Unlogged spend of days that are over for longer is no news."""
KEPT_US = 60_000_000
_MONTH_US = 62 * DAY_US


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The stretches that reach into some days, the sums of them, and what is unknown for want of a rate, one sentence each.

    `silent`: the providers apps called in this time that no source tells of, the busiest first.
    `alarms`: the unlogged spend of the last days that is worth an alert, for whoever has no desktop.
    """

    days: tuple[Day, ...] = ()
    totals: tuple[Total, ...] = ()
    sums: tuple[Sum, ...] = ()
    problems: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()


def reconcile(
    db: sqlite3.Connection, now: int, start_at: int, end_at: int, provider: str = ""
) -> Reconciliation:
    """Every stretch that reaches into [start_at, end_at) (UTC midnights), of one provider or of all that have a source."""
    days = read_days(db, now, start_at, end_at, provider)
    found = compare.totals(days)
    return Reconciliation(
        tuple(days),
        tuple(found),
        tuple(compare.sums(found)),
        (*_problems(days), *_silenced(db, days), *uncounted(db, now, provider)),
    )


def read_days(db: sqlite3.Connection, now: int, start_at: int, end_at: int, provider: str = "") -> list[Day]:
    """The stretches alone, by provider, the oldest first."""
    rate = policy.load(db).rate
    display = settings(db).get("display_currency") or "USD"
    views = bills.read_views(db, now, start_at, end_at, provider)
    return [day for view in views for day in compare.compare(view, rate, display)]


class _Kept(threading.local):
    """What was reconciled last in this thread: ten thousand rows are not read anew for every frame."""

    key: tuple[object, ...] = ()
    until = 0
    found = Reconciliation()


_kept = _Kept()


def this_month(db: sqlite3.Connection, now: int) -> Reconciliation:
    """The current UTC month, or the last seven days where those begin earlier; up to a minute old unless a figure came."""
    stamp = rows.stamp(db)
    key = (db.execute("pragma database_list").fetchone()[2], policy.generation(db), *stamp, now // DAY_US)
    if key != _kept.key or not now < _kept.until <= now + KEPT_US:
        midnight = now - now % DAY_US
        start_at = min(to_us(to_datetime(midnight).replace(day=1)), midnight - 6 * DAY_US)
        found = reconcile(db, now, start_at, midnight + DAY_US) if stamp[0] else Reconciliation()
        told = {row.provider for row in rows.sources(db)} | {day.provider for day in found.days}
        silent = [name for name in rows.providers_since(db, start_at) if name not in told]
        alarms = [
            f"{one.title.removeprefix('costmon: ')}: costmon reconcile" for one in unlogged_alerts(db, now)
        ]
        _kept.found = replace(found, silent=tuple(silent), alarms=tuple(alarms))
        _kept.key, _kept.until = key, now + KEPT_US
    return _kept.found


def _problems(days: Iterable[Day]) -> list[str]:
    """What cannot be compared for want of an exchange rate."""
    lacking: dict[tuple[str, str], bool] = {}
    for day in days:
        for why in day.why:
            if why.startswith("no rate"):
                key = (day.provider, why)
                lacking[key] = lacking.get(key, True) and day.unlogged.best is not None
    return [
        f"{provider} cannot be compared{' in full' if partly else ''}, {why}: {_ADD_RATE}"
        for (provider, why), partly in sorted(lacking.items())
    ]


_ADD_RATE = "add [[currency.rate]] to the config"


def _silenced(db: sqlite3.Connection, days: Iterable[Day]) -> list[str]:
    """Whose unlogged spend is never told of, because nobody can say whether it reaches the threshold."""
    threshold = alert_threshold(settings(db).get("unlogged_alert"))
    if threshold is None:
        return []
    rate = policy.load(db).rate
    found = {
        (day.provider, day.currency)
        for day in days
        if day.adds and (day.unlogged.best or 0) > 0
        if rate(day.currency, threshold.currency, to_us(day.start)) is None
    }
    return [
        f"no alert is raised for unlogged spend at {provider}, no rate from {currency} to {threshold.currency}: {_ADD_RATE}"
        for provider, currency in sorted(found)
    ]


# --- alerts -------------------------------------------------------------------------------------------------


class UnloggedAlerts:
    """What unlogged spend is to be told of; looked for when a figure came, and once a minute. Of one thread."""

    EVERY_US = 60_000_000

    def __init__(self) -> None:
        self._seen: tuple[object, ...] = ()
        self._until = 0
        self._found: list[Alert] = []

    def due(self, db: sqlite3.Connection, now: int) -> list[Alert]:
        """As `unlogged_alerts`."""
        seen = (*rows.stamp(db), policy.generation(db))
        if seen != self._seen or not now < self._until <= now + self.EVERY_US:
            self._found = unlogged_alerts(db, now)
            self._seen, self._until = seen, now + self.EVERY_US
        return self._found


def unlogged_alerts(db: sqlite3.Connection, now: int) -> list[Alert]:
    """One alert for each provider and day of the last three whose unlogged spend reaches the threshold, sent or not.

    Its level is how many times the threshold has doubled; a lower one than was told already is none.
    """
    threshold = alert_threshold(settings(db).get("unlogged_alert"))
    if threshold is None or not rows.stamp(db)[0]:
        return []
    midnight = now - now % DAY_US
    days = [day for day in read_days(db, now, _since(db, midnight), midnight + DAY_US) if day.adds]
    before = {(day.provider, to_us(day.end)): day for day in days}
    rate = policy.load(db).rate
    found = []
    for day in days:
        start = to_us(day.start)
        if to_us(day.end) <= midnight - ALERTED_US + DAY_US:
            continue
        yesterday = before.get((day.provider, start))
        late = _late(db, now, day, rate) if yesterday is not None else 0
        alarming = compare.alarming(day, yesterday, late)
        known = rate(day.currency, threshold.currency, start)
        times = convert(alarming.nano, known) // max(1, threshold.nano) if known is not None else 0
        if alarming.nano and times:
            level = times.bit_length() - 1
            if level >= _told_of(db, day, threshold):
                found.append(unlogged_alert(_told(day, alarming, level, threshold)))
    return found


def _late(db: sqlite3.Connection, now: int, day: Day, rate: compare.RateAt) -> int:
    """The most that was logged in the hour before a day, in its currency; what has no rate is not among it."""
    start, most = to_us(day.start), 0
    for own in last_hour(db, now, day.provider, start):
        known = rate(own.currency, day.currency, start)
        most += convert(own.best if own.high is None else own.high, known) if known is not None else 0
    return most


def _told_of(db: sqlite3.Connection, day: Day, threshold: Money) -> int:
    """The highest level that was shown of a day; 0 for none."""
    row = db.execute(
        "select max(level) from alert where kind = 'unlogged' and subject = ? and limit_version = ? and period_at = ?"
        " and state = 'sent'",
        (day.provider, threshold.nano, to_us(day.start)),
    ).fetchone()
    return int(row[0] or 0)


def alert_threshold(text: str | None) -> Money | None:
    """The setting `unlogged_alert`: '' is never, else JSON [nano, currency]; None = no config was compiled yet."""
    if text == "":
        return None
    try:
        nano, currency = json.loads(text or "")
        return Money(int(nano), str(currency))
    except (ValueError, TypeError):
        return UnloggedConfig().alert


def _since(db: sqlite3.Connection, midnight: int) -> int:
    """Far enough back that the stretch before each one told of is there."""
    monthly = any(one.series == "month" for one in bills.read_traits(db))
    return midnight - (_MONTH_US if monthly else ALERTED_US + DAY_US)


def _told(day: Day, alarming: compare.Alarming, level: int, threshold: Money) -> Unlogged:
    top = day.top
    return Unlogged(
        provider=day.provider,
        when=stretch_text(day),
        start=day.start,
        amount=Money(alarming.nano, day.currency),
        model=(top.model or top.label) if top is not None else "",
        likely=tuple(
            (one.text, day.money(one.amount)) for one in (top.likely if top is not None else ()) if one.text
        ),
        derived=day.derived,
        first=day.first,
        at_most=alarming.at_most,
        level=level,
        threshold=threshold.nano,
    )


def stretch_text(day: Day) -> str:
    """'2026-11-20', '2026-11' for a month, 'from … to …' for anything else."""
    last = to_datetime(to_us(day.end) - 1)
    if to_us(day.end) - to_us(day.start) == DAY_US:
        return f"{day.start:%Y-%m-%d}"
    if day.start.day == 1 and (last.year, last.month) == (day.start.year, day.start.month):
        return (
            f"{day.start:%Y-%m}"
            if to_datetime(to_us(day.end)).day == 1
            else f"{day.start:%Y-%m-%d} … {last:%d}"
        )
    return f"{day.start:%Y-%m-%d} … {last:%m-%d}"
