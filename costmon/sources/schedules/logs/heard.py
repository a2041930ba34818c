"""From the lines of a log to what they tell and when: times get their zone here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from costmon.sources.schedules.logs import zone as zones
from costmon.sources.schedules.logs.follow import Batch
from costmon.sources.schedules.logs.lines import Line, last, telling
from costmon.sources.schedules.logs.patterns import Patterns
from costmon.sources.schedules.logs.split import Block
from costmon.sources.schedules.logs.tell import Tell
from costmon.sources.schedules.logs.times import Stamp, resolve_year, time_in, time_of_day, written
from costmon.sources.schedules.logs.told import Told

_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
AHEAD_US = 300 * _SECOND
"""A line so far ahead of the clock is in another zone than was thought, or its writer's clock is wrong."""
_LOOK_BACK = 20


@dataclass
class Clock:
    """How times of one log are read; it goes on from batch to batch as JSON. `at` is the time of the last line that told
    something, `looked` when everything there was had been read, `guess` a zone seen once where another had been inferred,
    `misread`: times were read in a zone that nothing had told, and now it is known to be another."""

    zone: zones.Zone
    at: int = 0
    looked: int = 0
    timed: bool = False
    naive: bool = False
    guess: str = ""
    ahead: int = 0
    misread: bool = False

    @classmethod
    def from_json(cls, said: Any, configured: str, operator: str) -> Clock:
        said = said if isinstance(said, dict) else {}
        name, how = said.get("zone") or ("", "")
        if configured:
            zone = zones.Zone(configured, "config")
        elif how in ("inferred", "assumed"):
            zone = zones.Zone(str(name), str(how))
        else:
            zone = zones.Zone(operator, "assumed")
        return cls(
            zone, said.get("at", 0), said.get("looked", 0), bool(said.get("timed")), bool(said.get("naive"))
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "zone": list(self.zone), "at": self.at, "looked": self.looked, "timed": self.timed, "naive": self.naive,
        }  # fmt: skip

    def look(self, batch: Batch, now: int, operator: str) -> None:
        """Learn the zone from the newest line of a batch."""
        if not batch.blocks or batch.more or self.zone.how == "config":
            return
        naive = _newest(batch.blocks[-1], now, self.zone.name)
        if naive is None:
            return
        written_at = [batch.mtime_ns // 1000, *([now] if batch.live else [])]
        if self.zone.how == "inferred" and any(zones.fits(self.zone.name, naive, at) for at in written_at):
            self.guess = ""
            return
        found = next(
            (zone for at in written_at if (zone := zones.infer(naive, at, operator)) is not None), None
        )
        if found is None:
            return
        self.misread = self.zone.how == "assumed" and self.naive and found.name != self.zone.name
        if self.zone.how == "assumed" or found.name == self.guess or self._by_an_hour(found.name, now):
            self.zone, self.guess = found, ""
        else:
            self.guess = found.name

    def resolve(self, stamp: Stamp | None, now: int, *, live: bool) -> int | None:
        """When a line was written, µs UTC; None where nobody knows. A line without a time is as old as it can be read."""
        if stamp is None:
            return now if live else self.at if self.timed else None
        at = self.place(stamp, now, max(self.at - 60 * _SECOND, self.looked - AHEAD_US if live else 0))
        self.naive |= stamp.at is None
        if at > now + AHEAD_US:
            self.ahead = at - now
            return None
        self.timed = True
        self.at = at
        return at

    def anew(self) -> Clock:
        """For reading the log again in the zone that is known now."""
        return Clock(self.zone)

    def place(self, stamp: Stamp, now: int, after: int) -> int:
        if stamp.at is not None:
            return stamp.at
        assert stamp.naive is not None
        naive = stamp.naive
        if stamp.yearless:
            naive = resolve_year(naive, zones.local(now, self.zone.name))
        return zones.at_us(naive, self.zone.name, after)

    def _by_an_hour(self, name: str, now: int) -> bool:
        """Daylight saving began or ended in a zone of which only the offset is known."""
        here, there = (zones.local(now, one) for one in (self.zone.name, name))
        return self.zone.name.startswith("UTC") and abs(here - there) == timedelta(hours=1)


def heard(
    blocks: Iterable[Block], patterns: Patterns, clock: Clock, now: int, *, live: bool
) -> Iterator[Told]:
    """Everything these blocks tell, in their order."""
    for block in blocks:
        for line in telling(block, every=not patterns.narrow):
            yield from _line(line, patterns, clock, now, live)


def oldest(block: Block, clock: Clock, now: int) -> int:
    """When the first line of a block that has a time was written; now if none has."""
    for line in telling(Block(block.offset, block.data[: 16 * 1024], block.encoding), every=True):
        if (stamp := written(line.text).stamp) is not None:
            return clock.place(stamp, now, 0)
    return now


def _line(line: Line, patterns: Patterns, clock: Clock, now: int, live: bool) -> Iterator[Told]:
    if not line.hit and not patterns.own_tells(line.text):
        return
    said = written(line.text)
    tells = patterns.tells(line.text, said.message)
    if not tells:
        return
    at = clock.resolve(said.stamp, now, live=live)
    if at is None and said.stamp is not None:  # ahead of the clock: a plan is one whenever it was told
        yield from (Told(line.offset, None, tell) for tell in tells if tell.plan)
        return
    for tell in tells:
        upcoming = _next_at(tell, at, clock, now)
        if upcoming is not None and upcoming <= (at if at is not None else now) - _SECOND:
            upcoming = None  # said while the run it was of begins
        yield Told(line.offset, at, tell, upcoming, _planned_at(tell, clock, now))


def _next_at(tell: Tell, at: int | None, clock: Clock, now: int) -> int | None:
    since = at if at is not None else now
    if tell.next_text:
        stamp = time_in(tell.next_text)
        if stamp is not None:
            return clock.place(stamp, now, since)
        if (day := time_of_day(tell.next_text)) is not None:
            return _upcoming(day, since, clock)
    return at + tell.next_in_us if tell.next_in_us is not None and at is not None else None


def _upcoming(day: timedelta, since: int, clock: Clock) -> int:
    """The next time after `since` that it is so late in the day."""
    here = zones.local(since, clock.zone.name)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    today = zones.at_us(midnight + day, clock.zone.name, since)
    return (
        today if today >= since else zones.at_us(midnight + timedelta(days=1) + day, clock.zone.name, since)
    )


def _planned_at(tell: Tell, clock: Clock, now: int) -> int | None:
    stamp = time_in(tell.planned_text) if tell.planned_text else None
    return clock.place(stamp, now, 0) if stamp is not None else None


def _newest(block: Block, now: int, zone: str) -> Any:
    """The local time of the newest line that has one without a zone; None if the newest time has its zone."""
    for line in last(block, _LOOK_BACK):
        stamp = written(line.text).stamp
        if stamp is not None and stamp.naive is not None and stamp.yearless:
            return resolve_year(stamp.naive, zones.local(now, zone))
        if stamp is not None:
            return stamp.naive
    return None
