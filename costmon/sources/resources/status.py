"""Where every resource stands this month. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from sqlite3 import Connection
from typing import NamedTuple
from zoneinfo import ZoneInfo

from costmon.config.values import RESOURCE_PERS, Resource
from costmon.pricing.files.resources import UNITS, ResourcePrice, ResourceRate, measure_of
from costmon.shim import cards
from costmon.shim.events import clean
from costmon.shim.money import Money
from costmon.shim.timestamps import to_datetime
from costmon.shim.units import BEFORE
from costmon.sources.resources import rows
from costmon.sources.resources.advance import MEASURED, Tariff, use_of
from costmon.sources.resources.books import Books
from costmon.sources.resources.definitions import NOTHING_COUNTS, Definitions, configured, parse
from costmon.sources.resources.pieces import SLOT_US, month_seconds, stretches, whole_second
from costmon.sources.resources.rows import Meter, Run


class ResourceUse(NamedTuple):
    """One resource in this calendar month. `amount` is in `unit` ('resource_seconds', 'storage_byte_seconds',
    'transfer_bytes', 'subscription_seconds') and accounted for, as is `cost`, None where nothing has a price; `ahead` is
    what the time since then has cost. `per` of the unit is one `measure` ('h', 'GiB-month'), as the price of now counts it.
    `others` is what the month cost in other currencies, after its price was changed to one of `cost`.
    `estimated_cost` is the part of `cost` that rests on estimates. `level` is the bytes stored now, None for other kinds.
    `unpriced` counts quarter hours without a price. Times are µs UTC."""

    name: str
    kind: str
    provider: str
    app: str
    follows: str
    running: bool
    since: int | None
    accounted_until: int | None
    amount: int
    unit: str
    measure: str
    per: Fraction
    level: int | None
    cost: Money | None
    others: tuple[Money, ...]
    ahead: Money | None
    unpriced: int
    estimated: int
    estimated_cost: int
    problem: str
    note: str


def resource_uses(db: Connection, now_us: int) -> list[ResourceUse]:
    """Every configured resource, in the order of their names."""
    definitions = configured(db)
    if not definitions.written:
        return []
    look = _Look(db, definitions, now_us)
    return [look.at(parse(written)) for _, written in sorted(definitions.written.items())]


class _Look:
    """What all resources share: the month, its sums, the tables."""

    def __init__(self, db: Connection, definitions: Definitions, now_us: int) -> None:
        self._db = db
        self._definitions = definitions
        self._now = now_us
        self._books = Books(db, definitions.zone, now_us)
        self._month = self._books.months.at(now_us)
        self._meters = rows.meters(db)
        self._policy = self._books.policy
        self._runs: dict[str, Run] = {}
        for run in rows.unaccounted(db):
            self._runs[run.resource] = run

    def at(self, resource: Resource) -> ResourceUse:
        meter, run = self._meters.get(resource.name), self._runs.get(resource.name)
        price = self._definitions.price_of(resource)
        (cost, *others), estimated_cost, unpriced, estimated = self._sums(resource, price)
        measure, per = self._measure(resource, price)
        return ResourceUse(
            name=resource.name,
            kind=resource.kind,
            provider=resource.provider,
            app=resource.app,
            follows=resource.follows,
            running=self._running(resource, meter, run),
            since=self._since(resource, meter, run),
            accounted_until=_accounted(resource, meter, run),
            amount=self._books.used(resource.name, self._month.label, UNITS[resource.kind]),
            unit=UNITS[resource.kind],
            measure=measure,
            per=per,
            level=_level(resource, meter),
            cost=cost,
            others=tuple(money for money in others if money is not None),
            ahead=self._ahead(Tariff(resource, price), meter, run),
            unpriced=unpriced,
            estimated=estimated,
            estimated_cost=estimated_cost,
            problem=self._problem(resource, price, meter, run),
            note=self._note(resource, meter),
        )

    def _measure(self, resource: Resource, price: ResourcePrice | None) -> tuple[str, Fraction]:
        """What its amounts are shown in, so that they can be compared with the price."""
        rate = price.rate_at(self._now) if price is not None else None
        if rate is None:
            rate = ResourceRate(None, None, RESOURCE_PERS[resource.kind][0], 0)
        return measure_of(rate, self._now, month_seconds(self._month))

    def _note(self, resource: Resource, meter: Meter | None) -> str:
        """Which interfaces count, or that a subscription is not counted from the first of the month on."""
        if resource.follows == "network" and not resource.target and meter is not None and meter.reading:
            names = meter.reading.get("counted", list(meter.reading["nics"]))
            return f"counts {', '.join(map(clean, names)) or 'nothing: there is no interface'}"
        if resource.kind != "flat" or resource.since or meter is None:
            return ""
        if not self._month.start_us < meter.first_seen_at < self._month.end_us:
            return ""
        zone = ZoneInfo(self._books.months.zone)
        seen = to_datetime(meter.first_seen_at).astimezone(zone).date()
        return f"counted since {seen}; since = {seen.replace(day=1)} in config.toml counts the whole month"

    def _sums(
        self, resource: Resource, price: ResourcePrice | None
    ) -> tuple[list[Money | None], int, int, int]:
        """(cost this month in its price's currency, then in others, how much of the first is estimated, quarter hours
        unpriced, estimated), from the days of the month."""
        found = self._db.execute(
            "select currency, sum(cost), sum(unpriced), sum(estimated), sum(estimated_cost) from rollup_day"
            " where day_at >= ? and day_at < ? and provider = ? and model = ? group by currency order by 2 desc",
            (self._month.start_us, self._month.end_us, resource.provider, resource.name),
        ).fetchall()
        known = [Money(cost, currency) for currency, cost, *_ in found if currency]
        usual = next(
            (money for money in known if price is not None and money.currency == price.currency), None
        )
        money = usual or next(iter(known), None)
        rests = sum(row[4] for row in found if money is not None and row[0] == money.currency)
        others = [other for other in known if other != money and other.nano]
        return [money, *others], rests, sum(row[2] for row in found), sum(row[3] for row in found)

    def _running(self, resource: Resource, meter: Meter | None, run: Run | None) -> bool:
        if resource.follows in ("disk", "folder", "network", "gpu"):
            return meter is not None and bool(meter.reading) and bool(meter.reading.get("busy", 1))
        return (
            run is not None
            and run.started_at <= self._now
            and (run.stopped_at is None or run.stopped_at > self._now)
        )

    def _since(self, resource: Resource, meter: Meter | None, run: Run | None) -> int | None:
        if resource.follows in ("disk", "folder", "network", "gpu"):
            return meter.first_seen_at if meter is not None else None
        if run is not None:
            return run.started_at
        last = rows.runs(self._db, resource.name, count=1)
        return last[0].started_at if last else None

    def _ahead(self, tariff: Tariff, meter: Meter | None, run: Run | None) -> Money | None:
        """What is not accounted for yet, priced as it will be; None where a part of it has no price."""
        total, currency = 0, tariff.price.currency if tariff.price is not None else ""
        used: dict[str, int] = {}
        for at, amount in self._waiting(tariff, meter, run):
            card = self._books.card(tariff.resource, tariff.price, at)
            if card is None:
                return None
            month, unit = self._books.months.at(at).label, UNITS[tariff.resource.kind]
            before = used.get(month, self._books.used(tariff.resource.name, month, unit))
            used[month] = before + amount
            total += cards.price(card, {unit: amount, BEFORE: before}).nano or 0
        return Money(total, currency) if currency else None

    def _waiting(self, tariff: Tariff, meter: Meter | None, run: Run | None) -> Iterator[tuple[int, int]]:
        """(from when, how much) of what is not accounted for yet."""
        if meter is not None and tariff.resource.follows in MEASURED and tariff.resource.follows != "uptime":
            yield meter.since_at, meter.pending
        elif run is not None:
            seconds, end = run.billed, whole_second(run.due(self._now))
            for start, stop in stretches(run.accounted_until, end, tariff.price, self._books.months):
                amount, seconds = use_of(self._books, tariff, run, seconds, start, stop)
                yield start, amount

    def _problem(
        self, resource: Resource, price: ResourcePrice | None, meter: Meter | None, run: Run | None
    ) -> str:
        """What is wrong, in one sentence; '' when nothing is."""
        found = self._definitions.problem(resource)
        if not found and price is not None and price.rate_at(self._now) is None:
            found = (
                f'"{price.name}" has no price of today; add a [[price.rate]] that holds now; {NOTHING_COUNTS}'
            )
        if not found and price is not None:
            found = self._no_rate(resource, price)
        if not found and meter is not None:
            found = meter.note
        if not found and meter is not None and resource.follows == "folder" and not meter.reading:
            found = "its folder is being summed; nothing is counted before that is done"
        until = _accounted(resource, meter, run)
        if not found and until is not None and until > self._now + SLOT_US:
            found = "it is accounted for times that lie ahead: the clock was set back; it goes on from there"
        return found

    def _no_rate(self, resource: Resource, price: ResourcePrice) -> str:
        labels = {"provider": resource.provider, "model": resource.name, "app": resource.app}
        for budget in self._policy.matching(labels):
            if self._policy.rate(price.currency, budget.currency, self._now) is None:
                return f"no rate from {price.currency} to {budget.currency}: budget {budget.name} misses it"
        return ""


def _accounted(resource: Resource, meter: Meter | None, run: Run | None) -> int | None:
    if resource.follows in ("disk", "folder", "network", "gpu"):
        return meter.since_at if meter is not None else None
    return run.accounted_until if run is not None else None


def _level(resource: Resource, meter: Meter | None) -> int | None:
    if resource.kind != "storage":
        return None
    if resource.follows == "clock":
        return resource.held
    return meter.reading.get("bytes") if meter is not None else None
