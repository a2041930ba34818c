"""The story as lines of text: what the engine saw, what the apps said, which notifications were shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from costmon.demo.home import BUDGET
from costmon.demo.stage import APPS, ESSENTIAL, Said
from costmon.monitor.snapshot import FeedRow, Snapshot
from costmon.shim.events import clean
from costmon.shim.money import format_money
from costmon.store import Store, open_ledger

OPENING = (
    "SIMULATION: two made-up apps spend made-up money; a simulated day lasts {day:g} s. Nothing here is real."
)
_EVERY_H = 2
_ALERTS = """select subject, level, period_at, state, title, body, coalesce(channel, ''), coalesce(detail, '')
    from alert where state <> 'claimed' order by period_at, level"""
_TOTALS = """select (select count(*) from event), (select coalesce(sum(cost), 0) from event where currency = 'USD'),
    (select coalesce(sum(calls), 0) from refusal)"""


class AlertRow(NamedTuple):
    """A notification that was tried. `state` is 'sent' or 'failed', `detail` why."""

    subject: str
    level: int
    period_at: int
    state: str
    title: str
    body: str
    channel: str
    detail: str

    @property
    def shown(self) -> bool:
        return self.state == "sent" and self.channel != "none"


class Telling:
    """Feed it snapshots and what the apps said, in the order they came.

    Args:
        say: prints one line.
        story: tells a snapshot's news (levels, blocks, refusals, problems); the same as `costmon watch` uses.
    """

    def __init__(
        self, home: str, say: Callable[[str], object], story: Callable[[Snapshot], object], day_s: float
    ) -> None:
        self._say = say
        self._story = story
        self._store: Store = open_ledger(home)
        self._stamp = ""
        self._hour = 0
        self._full = False
        self._refused: set[str] = set()
        self._refused_when_full: set[str] = set()
        self._news = _Refusals()
        self._went_on = False
        self._popups_told: set[tuple[str, int, int]] = set()
        self._no_desktop_told = False
        say(OPENING.format(day=day_s))
        say(f"its home: {home}")

    @property
    def told(self) -> bool:
        """Whether the story was told once: 100 % spent, and both apps refused since."""
        return self._full and self._refused_when_full == set(APPS)

    def tell(self, snapshot: Snapshot | None, lines: Iterable[Said]) -> None:
        """Print what is new; `lines` were said before `snapshot` was made."""
        if snapshot is not None:
            self._stamp = f"{snapshot.at:%Y-%m-%d %H:%M:%S}Z"
            self._progress(snapshot)
            # What a failed notification says is told in its own line.
            problems = tuple(line for line in snapshot.problems if "could not be shown" not in line)
            self._story(replace(snapshot, problems=problems, feed=self._news.first_of_each(snapshot.feed)))
            full = any(budget.name == BUDGET and budget.level >= 100 for budget in snapshot.budgets)
            self._full = self._full or full
        for line in lines:
            self._app(line)
        self._popups()

    def close(self, complaints: Iterable[Said] = ()) -> None:
        """Print what came last, and the closing summary."""
        try:
            self.tell(None, complaints)
            calls, cost, refused = self._store.db.execute(_TOTALS).fetchone()
            spent = format_money(cost, "USD")
            self._say(
                f"SIMULATION over: {_calls(calls)}, {spent} spent, {refused} refused; {self._popup_summary()}"
            )
        finally:
            self._store.close()

    def _progress(self, snapshot: Snapshot) -> None:
        if snapshot.at.hour // _EVERY_H == self._hour:
            return
        self._hour = snapshot.at.hour // _EVERY_H
        for budget in snapshot.budgets:
            if budget.name == BUDGET:
                share = int(budget.ratio * 100)
                sums = f"{format_money(*budget.used, places=2)} of {format_money(*budget.limit)}"
                self._line("so far", f"{sums} ({share} %), {_calls(budget.calls)}")

    def _app(self, line: Said) -> None:
        """A refusal and what follows it are news; the calls that just work are not."""
        text = f"{line.app}: {clean(line.text, 400)}"
        if line.kind in ("ended", "log"):
            self._line("app", text)
        elif line.kind == "refused":
            self._note_refused(line.app, text)
        elif line.kind == "ok" and line.app in self._refused:
            self._refused.discard(line.app)
            self._news.forget(line.app)
            self._line("app", f"{text} again")
        elif line.kind == "ok" and line.app == ESSENTIAL and self._refused and not self._went_on:
            self._went_on = True
            self._line("app", f"{text}, while {', '.join(sorted(self._refused))} is refused")

    def _note_refused(self, app: str, text: str) -> None:
        if app not in self._refused:
            self._line("app", text)
            self._went_on = False
        self._refused.add(app)
        if self._full:
            self._refused_when_full.add(app)

    def _popups(self) -> None:
        for alert in self._alerts():
            key = (alert.subject, alert.period_at, alert.level)
            if alert.shown and key not in self._popups_told:
                self._popups_told.add(key)
                self._line("pop-up", f"{alert.title}. {alert.body}")
            elif not alert.shown and not self._no_desktop_told:
                self._no_desktop_told = True
                self._line("pop-up", f"{alert.title}. {alert.body} (no desktop here: {_why(alert.detail)})")

    def _popup_summary(self) -> str:
        alerts = self._alerts()
        shown = sum(alert.shown for alert in alerts)
        why = next((alert.detail for alert in alerts if not alert.shown), "")
        text = f"pop-ups: {shown} of {len(alerts)} shown"
        return f"{text} (no desktop here: {_why(why)})" if why else text

    def _alerts(self) -> list[AlertRow]:
        return [AlertRow(*row) for row in self._store.db.execute(_ALERTS)]

    def _line(self, word: str, text: str) -> None:
        self._say(f"{self._stamp}  {word:<9}  {text}")


def _calls(number: int) -> str:
    return f"{number} call" if number == 1 else f"{number} calls"


def _why(detail: str) -> str:
    """The first reason of several; the others are about the fallbacks."""
    return clean(detail.partition(";")[0], 200)


class _Refusals:
    """Lets one refused row through for each app, until the app got through again."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._kept: set[str] = set()
        self._silent: set[str] = set()

    def first_of_each(self, feed: tuple[FeedRow, ...]) -> tuple[FeedRow, ...]:
        for row in reversed(feed):
            if row.state == "refused" and row.key not in self._seen:
                self._seen.add(row.key)
                if row.app not in self._silent:
                    self._silent.add(row.app)
                    self._kept.add(row.key)
        return tuple(row for row in feed if row.state != "refused" or row.key in self._kept)

    def forget(self, app: str) -> None:
        self._silent.discard(app)
