"""Alerts: one row each in the ledger, claimed → sent → marked.

A row is claimed by exactly one process, shown, and marked. A process that dies in between leaves a claim,
which another takes over after the lease: an alert is shown at least once, and a repeat replaces the first on
the screen, because it carries the same tag. Failed sends are tried three times, 30 s apart.

Times are µs since 1970 UTC. Leases and pauses are about real processes: where the ledger's clock runs fast
(the demo), give `system_clock` here all the same.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from costmon.act.channels import Delivery, Notifier
from costmon.act.channels.text import clean_body, clean_title
from costmon.errors import LedgerBusy
from costmon.shim.clock import Clock
from costmon.shim.money import Money, format_money

LEASE_US = 60_000_000
PAUSE_US = 30_000_000
MAX_ATTEMPTS = 3
BUSY_S = 5.0
# A hung desktop may cost one call of `deliver` this much and one send more; the rest waits for the next call.
ROUND_S = 5.0

_T = TypeVar("_T")
_PERIODS = {"day": "today", "week": "this week", "month": "this month"}

_KEY = (
    "kind = :kind and subject = :subject and limit_version = :limit_version"
    " and period_at = :period_at and level = :level"
)
# abs: after the clock was set back, a claim of the future would otherwise hold until that time.
_RECLAIMABLE = (
    f"(alert.state = 'claimed' and abs(:now - alert.claimed_at) > {LEASE_US}"
    f" or alert.state = 'failed' and alert.attempts < {MAX_ATTEMPTS}"
    f" and abs(:now - alert.claimed_at) >= {PAUSE_US})"
)
_LOOK = f"select {_RECLAIMABLE} from alert where {_KEY}"  # noqa: S608 - constants
_CLAIM = f"""insert into alert
        (kind, subject, limit_version, period_at, level, state, title, body, claimed_at, claimed_by)
    values (:kind, :subject, :limit_version, :period_at, :level, 'claimed', :title, :body, :now, :by)
    on conflict (kind, subject, limit_version, period_at, level) do update
        set state = 'claimed', title = excluded.title, body = excluded.body, claimed_at = excluded.claimed_at,
            claimed_by = excluded.claimed_by, attempts = alert.attempts + 1
        where {_RECLAIMABLE}
    returning 1"""  # noqa: S608
# One who was slower than his lease must not turn another's 'sent' into 'failed'.
_MARK = f"""update alert set state = :state, sent_at = :sent_at, channel = :channel, detail = :detail
    where {_KEY} and state <> 'sent'"""  # noqa: S608


class Alert(NamedTuple):
    """Something to tell a person once per (kind, subject, limit_version, period_at, level).

    `kind` is 'level' for a budget's level; `subject` is then the budget's name, `period_at` its period's
    start in µs. Of a notice it is the notice's kind, its app and subject, and its local day, at level 0; of
    unlogged spend 'unlogged', the provider and the start of its day, with the alert's threshold as `limit_version`; its
    level is how many times that has doubled.
    `urgency` is 'low', 'normal' or 'critical'.
    """

    kind: str
    subject: str
    limit_version: int
    period_at: int
    level: int
    title: str
    body: str
    urgency: str

    @property
    def tag(self) -> str:
        """The same for every attempt at this alert, so that a repeat replaces."""
        return f"{self.kind}/{self.subject}/{self.limit_version}/{self.period_at}/{self.level}"


class Notice(NamedTuple):
    """What an app met with that no budget's level shows; `kind` as in `shim.notices`, `day_at` its local day in µs."""

    kind: str
    subject: str
    app: str
    day_at: int
    detail: str


class Unlogged(NamedTuple):
    """What a provider billed for a day (`when`, beginning at `start`) that no app logged, most of it for `model`.

    `likely`: the projects and keys with the largest spend on it, with the amount where the provider tells it. `derived`:
    seen by how a balance fell. `first`: the ledger began on that day, and when, in words. `at_most`: calls without a full
    price may be a part of the amount. `level`: how many times the `threshold` (nano of its currency) has doubled.
    """

    provider: str
    when: str
    start: datetime
    amount: Money
    model: str = ""
    likely: Sequence[tuple[str, Money | None]] = ()
    derived: bool = False
    first: str = ""
    at_most: bool = False
    level: int = 0
    threshold: int = 0


class Crossing(NamedTuple):
    """What the texts of one budget's alerts need, as plain values.

    `level` is the highest of `levels` (percent) reached. `start`, `end` and `crosses_at` (when the limit is
    reached at the present rate) are aware. `at_95` is 'block-nonessential' or 'warn', `at_100` 'block' or
    'warn', as in the config. `spent` is what the budget counts, with what its `unpriced` calls are assumed to have cost;
    it lies between `low` and `high`, if these are known (no `high`: nobody can say). `ratio` (1.0 = the limit) is only
    shown.
    """

    budget: str
    scope: str
    limit_version: int
    levels: Sequence[int]
    level: int
    ratio: float
    spent: Money
    limit: Money
    period: str
    start: datetime
    end: datetime
    time_zone: str
    at_95: str = "block-nonessential"
    at_100: str = "block"
    unpriced: int = 0
    crosses_at: datetime | None = None
    low: Money | None = None
    high: Money | None = None


def claim(db: sqlite3.Connection, alert: Alert, now_us: int, claimed_by: str) -> bool:
    """Whether the caller must send `alert` now; true for one caller only, over all processes and restarts.

    True again when the claim is older than 60 s and was never marked, or when sending failed, but fewer than
    3 times, and 30 s have passed. `db` is in autocommit mode (isolation_level=None). Raises LedgerBusy after
    5 s.
    """
    texts = {"title": clean_title(alert.title), "body": clean_body(alert.body)}
    values = {**_key(alert), **texts, "now": now_us, "by": claimed_by}

    def take() -> bool:
        # Every tick asks for every level reached: what is done must not cost a write lock.
        seen = db.execute(_LOOK, values).fetchone()
        if seen is not None and not seen[0]:
            return False
        with _transaction(db):
            return db.execute(_CLAIM, values).fetchone() is not None

    return _patiently(take)


def mark(db: sqlite3.Connection, alert: Alert, outcome: Delivery, now_us: int) -> None:
    """Record what became of a claimed alert.

    Raises LedgerBusy after 5 s; the alert is then repeated when its lease is over.
    """
    values = {
        **_key(alert),
        "state": "sent" if outcome.ok else "failed",
        "sent_at": now_us if outcome.ok else None,
        "channel": outcome.channel,
        "detail": outcome.detail[:500],
    }

    def write() -> None:
        with _transaction(db):
            db.execute(_MARK, values)

    _patiently(write)


def deliver(
    db: sqlite3.Connection, alerts: Iterable[Alert], notifier: Notifier, now: Clock, claimed_by: str
) -> list[tuple[Alert, Delivery]]:
    """Claim, send and mark each of `alerts` that is due, lowest level first; return those that were tried.

    Meant to be called on every tick with all levels reached. Sending takes time: keep it off a drawing
    thread. Raises LedgerBusy when the ledger stays locked.
    """
    until = time.monotonic() + ROUND_S
    done = []
    for alert in sorted(alerts, key=lambda one: one.level):
        if time.monotonic() > until:
            break
        if claim(db, alert, now(), claimed_by):
            outcome = notifier.send(alert.title, alert.body, alert.urgency, alert.tag)
            mark(db, alert, outcome, now())
            done.append((alert, outcome))
    return done


def level_alerts(crossing: Crossing) -> list[Alert]:
    """One alert per level reached, ascending."""
    return [_level_alert(crossing, level) for level in sorted(crossing.levels) if level <= crossing.level]


def notice_alert(notice: Notice) -> Alert:
    """One alert for each kind, subject, app and local day."""
    consequence = _CONSEQUENCES.get(notice.kind, "")
    return Alert(
        kind=notice.kind,
        subject=f"{notice.app}: {notice.subject}",
        limit_version=0,
        period_at=notice.day_at,
        level=0,
        title=f"costmon: {notice_text(notice.kind, notice.subject, notice.app)}",
        body=" ".join(filter(None, (consequence, notice.detail))),
        urgency="normal",
    )


def unlogged_alert(found: Unlogged) -> Alert:
    """One alert for each provider and day, and another each time the amount has doubled."""
    amount = ("up to " if found.at_most else "") + format_money(*found.amount)
    what = "lost" if found.derived else "billed"
    named = [
        text + (f" ({format_money(*money)})" if money is not None else "") for text, money in found.likely
    ]
    sentences = (
        f"Mostly {found.model}." if found.model and not found.derived else "",
        "Its balance fell by more than apps logged." if found.derived else "",
        "Calls without a full price may be a part of it." if found.at_most else "",
        f"Largest spenders there: {'; '.join(named)}." if named else "",
        f"{found.first[0].upper()}{found.first[1:]}."
        if found.first
        else "Something spends without costmon seeing it.",
        f"costmon reconcile --provider {found.provider} shows both sides.",
    )
    return Alert(
        kind="unlogged",
        subject=found.provider,
        limit_version=found.threshold,
        period_at=_microseconds(found.start),
        level=found.level,
        title=f"costmon: {found.provider} {what} {amount} on {found.when} that no app logged",
        body=" ".join(filter(None, sentences)),
        urgency="normal",
    )


def notice_text(kind: str, subject: str, app: str) -> str:
    """What happened, in one clause without a full stop."""
    return _NOTICES.get(kind, "{app}: {kind} {subject}").format(kind=kind, subject=subject, app=app)


_NOTICES = {
    "unseen": "{app} reached {subject} by a path costmon does not see",
    "prompt": "{app} sent a very large prompt to {subject}",
    "unpriced": "{app} called {subject}, whose price is unknown",
    "repeat": "{app} makes one and the same call to {subject} over and over",
    "retry": "{app} tries a failing call to {subject} again and again",
    "breaker": "calls of {app} to {subject} are held back after repeated failures",
}
_CONSEQUENCES = {
    "unseen": "What it spends there is neither counted nor stopped. Use a client costmon hooks, or @costmon.track.",
    "repeat": "Each one costs. A [repeat] rule in the config refuses them.",
    "retry": "Each try may cost. A [retry_loop] rule in the config refuses them.",
    "unpriced": "Its cost is assumed until a price is added: costmon prices check prints what to add.",
}


def _level_alert(crossing: Crossing, level: int) -> Alert:
    return Alert(
        kind="level",
        subject=crossing.budget,
        limit_version=crossing.limit_version,
        period_at=_microseconds(crossing.start),
        level=level,
        title=f'costmon: budget "{crossing.budget}" reached {level} %',
        body=f"{_spent(crossing)}{_consequence(crossing, level)}",
        urgency="critical" if level >= 95 else "normal",
    )


def _spent(crossing: Crossing) -> str:
    percent = int(round(crossing.ratio * 100, 6))
    spent, limit = format_money(*crossing.spent), format_money(*crossing.limit)
    span = _PERIODS.get(crossing.period, f"this {crossing.period}")
    calls = f"{crossing.unpriced} call{'s' if crossing.unpriced > 1 else ''} unpriced"
    unpriced = f", {calls}" if crossing.unpriced else ""
    return f"Spent {spent}{_between(crossing)} of {limit} {span} ({percent} %{unpriced})"


def _between(crossing: Crossing) -> str:
    if crossing.low is None:
        return ""
    low, high = format_money(*crossing.low), format_money(*crossing.high) if crossing.high else ""
    if low == high:
        return ""
    return f", between {low} and {high}," if high else f", at least {low},"


def _consequence(crossing: Crossing, level: int) -> str:
    """The rest of the body: what is refused from this level on, or when the limit will be reached."""
    action = {95: crossing.at_95, 100: crossing.at_100}.get(level, "warn")
    until = f"{_when(crossing, crossing.end)} ({crossing.time_zone})"
    everywhere = crossing.scope in ("", "all")
    if action == "block-nonessential":
        where = "Apps" if everywhere else f"Calls of {crossing.scope} from apps"
        return f". {where} not declared essential are refused until {until}."
    if action == "block":
        return f". All calls{'' if everywhere else f' of {crossing.scope}'} are refused until {until}."
    if crossing.crosses_at is not None and crossing.ratio < 1:
        return f"; at this rate the limit is reached at {_when(crossing, crossing.crosses_at)}."
    return "."


def _when(crossing: Crossing, moment: datetime) -> str:
    """The budget's wall clock; with the date unless the period is a day."""
    try:
        local = moment.astimezone(ZoneInfo(crossing.time_zone))
    except (KeyError, ValueError, OSError):  # a zone this machine does not know
        local = moment
    return f"{local:%H:%M}" if crossing.period == "day" else f"{local:%Y-%m-%d %H:%M}"


def _microseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _key(alert: Alert) -> dict[str, object]:
    # SQLite refuses lone surrogates, and a subject may be a name from outside.
    subject = alert.subject.encode(errors="replace").decode()
    return {**dict(zip(Alert._fields[:5], alert[:5], strict=True)), "subject": subject}


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
        db.execute("commit")
    finally:
        if db.in_transaction:
            db.execute("rollback")


def _patiently(attempt: Callable[[], _T]) -> _T:
    """`attempt()` until the ledger is not locked by another, for at most 5 s."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > until:
                raise LedgerBusy("the ledger is locked by another process; the alert waits") from error
        time.sleep(random.uniform(0.002, 0.03))  # noqa: S311 - jitter, no secret
