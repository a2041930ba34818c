"""The Snapshot: everything a front end shows, as one frozen value. Times are aware UTC, money is `Money` (integer nano).

Front ends render it and own no data; only `engine.Engine` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from costmon.budget.bands import Band, band, mark
from costmon.monitor.reconciled import Reconciliation
from costmon.monitor.schedule.values import Schedule
from costmon.shim.money import Money


@dataclass(frozen=True, slots=True)
class Spend:
    """A sum with what is not known of it: `cost` is the best figure, and lies between `low` and `high`.

    `estimated` counts calls whose usage was estimated, not reported; their cost, `estimated_cost`, is inside `cost`.
    `unpriced` calls have no price: `assumed` is what enforcement assumes of them. `partial` calls have a part without a
    price. `in_flight` calls have `reserved` money. All nano of the currency of `cost`. `unconverted` are sums in currencies
    to which no rate is known; they are in no figure here.
    """

    cost: Money
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unpriced: int = 0
    estimated: int = 0
    partial: int = 0
    in_flight: int = 0
    estimated_cost: int = 0
    assumed: int = 0
    reserved: int = 0
    unconverted: tuple[Money, ...] = ()

    @property
    def low(self) -> Money:
        return Money(self._band.low, self.cost.currency)

    @property
    def high(self) -> Money | None:
        """None when nobody can say: a part has no price, or no rate."""
        high = self._band.high
        return None if high is None else Money(high, self.cost.currency)

    @property
    def mark(self) -> str:
        """'~' before a sum that rests on estimates, '≥ ' before one that lacks something."""
        missing = bool(self.unpriced or self.partial or self.unconverted)
        return mark(estimated=self.estimated_cost > 0, missing=missing)

    @property
    def _band(self) -> Band:
        return band(
            self.cost.nano,
            estimated=self.estimated_cost,
            assumed=self.assumed,
            reserved=self.reserved,
            bounded=not self.partial and not self.unconverted,
        )


@dataclass(frozen=True, slots=True)
class SpendBy:
    """The spend of one model or app in the operator's local day, with its share of the day (0…1)."""

    name: str
    spend: Spend
    share: float


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget in its current period.

    `used` = spent + assumed (what unpriced calls are assumed to have cost) + unlogged (what providers billed beyond what
    apps logged, None unless the budget counts it); enforcement and `ratio` use it.
    `level` is the highest level reached, 0 if none. `projected` is the linear projection of `used` at the period's
    end, None before there is enough of a period (5 minutes) to project from.
    """

    name: str
    scope: str
    period: str
    time_zone: str
    start: datetime
    end: datetime
    limit: Money
    spent: Money
    assumed: Money
    reserved: Money
    used: Money
    remaining: Money
    ratio: float
    level: int
    levels: tuple[int, ...]
    calls: int
    unpriced: int
    projected: Money | None
    crosses_at: datetime | None
    """When the projection reaches the limit, if that lies inside the period."""
    blocks: str
    """What the budget blocks now: '', 'nonessential' or 'all'."""
    mode: str
    estimated_cost: int = 0
    """Nano of `spent` that rests on estimated usage."""
    partial: int = 0
    in_flight: int = 0
    estimated: int = 0
    unlogged: Money | None = None

    @property
    def low(self) -> Money:
        return Money(self._band.low, self.spent.currency)

    @property
    def high(self) -> Money | None:
        """None when nobody can say: a part of a call has no price."""
        high = self._band.high
        return None if high is None else Money(high, self.spent.currency)

    @property
    def mark(self) -> str:
        """'~' before a sum that rests on estimates, '≥ ' before one that lacks something."""
        return mark(estimated=self.estimated_cost > 0, missing=bool(self.unpriced or self.partial))

    @property
    def _band(self) -> Band:
        return band(
            self.spent.nano + (self.unlogged.nano if self.unlogged is not None else 0),
            estimated=self.estimated_cost,
            assumed=self.assumed.nano,
            reserved=self.reserved.nano,
            bounded=not self.partial,
        )


@dataclass(frozen=True, slots=True)
class BlockStatus:
    """One file of the switch."""

    scope: str
    reason: str
    by: str
    since: datetime | None
    until: datetime | None
    automatic: bool
    intact: bool
    """False when the file is odd (empty, garbage, symlink …); it blocks all the same."""


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """An app that checks the switch, and when it last did (to the minute)."""

    app: str
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class SwitchStatus:
    folder: str
    blocks: tuple[BlockStatus, ...]
    readers: tuple[ReaderStatus, ...]


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One event or refusal of the live feed, newest first.

    `state` is 'reserved' (in flight), 'ok', 'error', 'unknown', 'dropped', 'refused', or 'excused': a dry run let it go.
    `cost` is None while in flight and when the price is unknown.
    """

    at: datetime
    app: str
    provider: str
    model: str
    route: str
    api: str
    state: str
    cost: Money | None
    cost_status: str
    input_tokens: int | None
    output_tokens: int | None
    duration: timedelta | None
    note: str
    """Why it was refused or what went wrong, one line."""
    calls: int = 1
    """More than 1 for refusals folded together."""
    key: str = ""
    """Stable identity of the row across snapshots."""
    rule: str = ""
    """What refused it: 'switch', 'budget', 'budget95', 'price', 'ledger', 'rate', 'breaker', 'repeat', 'retry_loop'."""


@dataclass(frozen=True, slots=True)
class BypassStatus:
    """A bypass that holds now: what costmon decides by itself refuses nothing in its scope."""

    scope: str
    by: str
    reason: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """A rate limit in its current window (`per` is 'minute', 'hour' or 'day'), which ends at `until`."""

    name: str
    scope: str
    calls: int
    limit: int
    per: str
    until: datetime


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """A provider whose breaker is open until `until`, or half-open after that: then one call tries it."""

    provider: str
    failures: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class RefusedStatus:
    """Today's refusals of one rule and scope, with the newest sentence; `excused` ones went out, in a dry run."""

    rule: str
    scope: str
    reason: str
    calls: int
    last_at: datetime
    excused: bool


@dataclass(frozen=True, slots=True)
class RulesStatus:
    """The rules beside budgets, and what makes rules not count. `refused` is newest first."""

    dry_run: bool = False
    bypasses: tuple[BypassStatus, ...] = ()
    rate_limits: tuple[RateLimitStatus, ...] = ()
    breakers: tuple[BreakerStatus, ...] = ()
    refused: tuple[RefusedStatus, ...] = ()
    excused_today: int = 0
    """Calls that would have been refused today, were it not for a dry run."""


@dataclass(frozen=True, slots=True)
class NoticeStatus:
    """Something an app met with in the last 24 hours that no sum shows; `text` is the sentence for people."""

    kind: str
    subject: str
    app: str
    text: str
    detail: str
    first_at: datetime
    last_at: datetime
    calls: int


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Who warns: `running` says whether any engine holds the lock, `mine` whether it is this process."""

    running: bool
    mine: bool
    pid: int | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class RateUse:
    """An exchange rate some sum is converted by: what one `base` costs in `quote`, its day, and where it is from.

    `stale`: too old to be taken for today's.
    """

    base: str
    quote: str
    rate: str
    day: date
    source: str
    age_days: int
    stale: bool


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A server, storage, traffic or subscription in this calendar month.

    `amount` is in `unit`, what its price is per ('h', 'd', 'month', 'GB', 'GiB-month'), and, like `cost`, accounted for;
    `used` is the same, exact, in `counted_in` ('resource_seconds'). `cost` is None where nothing of it has a price, `ahead`
    what it has cost since. `stored` is the bytes stored now, None for other kinds. `unpriced` and `estimated` count
    quarter hours; `estimated_cost` is nano of `cost`. `others` is what the month cost in other currencies, from before its
    price was changed; `low` and `high` are without it. `note` says something that is not wrong, but may surprise.
    """

    name: str
    kind: str
    provider: str
    app: str
    running: bool
    since: datetime | None
    amount: Decimal
    unit: str
    cost: Money | None
    ahead: Money | None
    stored: int | None
    unpriced: int
    estimated: int
    problem: str
    estimated_cost: int = 0
    used: int = 0
    counted_in: str = ""
    note: str = ""
    others: tuple[Money, ...] = ()

    @property
    def low(self) -> Money | None:
        """None where nothing has a price."""
        return None if self._known is None else Money(self._band.low, self._known.currency)

    @property
    def high(self) -> Money | None:
        """With what is not accounted yet; None when nobody can say, as a part has no price."""
        high = self._band.high
        return None if high is None or self._known is None else Money(high, self._known.currency)

    @property
    def _known(self) -> Money | None:
        return self.cost if self.cost is not None else self.ahead

    @property
    def _band(self) -> Band:
        cost = self.cost.nano if self.cost is not None else 0
        same = self.ahead is not None and (self.cost is None or self.ahead.currency == self.cost.currency)
        return band(
            cost,
            estimated=self.estimated_cost,
            assumed=self.ahead.nano if self.ahead is not None and same else 0,
            bounded=not self.unpriced and same,
        )


@dataclass(frozen=True, slots=True)
class BalanceStatus:
    """What is left of a prepaid account or quota, in major units of `unit`; `age` since `seen_at`, when it was last read.

    `spendable` False: a cap on one key, no money of its own. `run_out` is when it is used up, None when nobody can say.
    """

    label: str
    amount: Decimal
    unit: str
    limit: Decimal | None
    resets_at: datetime | None
    per_hour: Decimal | None
    spendable: bool
    seen_at: datetime
    age: timedelta
    run_out: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source of provider figures as it was last polled.

    `state` is '' before the first round, 'ok', or why not (`sources.providers.protocol.STATES`), with `reason` in one
    sentence. `next_at` None: when its settings or its key change. `stale`: not read for three of its rhythms. `reading`: a
    round is under way. Traffic is of the clock's hour, and of 24 of them. `month` is what the provider billed for usage
    since the UTC month began (None: not known), `month_others` the same in other currencies, `month_state` the worst of its
    buckets, `month_missing_days` how many of its days are in no figure.
    """

    name: str
    kind: str
    provider: str
    host: str
    title: str
    state: str
    reason: str
    polled_at: datetime | None
    ok_at: datetime | None
    next_at: datetime | None
    every: timedelta
    reading: bool
    stale: bool
    rounds_hour: int
    requests_hour: int
    bytes_hour: int
    rounds_day: int
    requests_day: int
    bytes_day: int
    failures_day: int
    month: Money | None
    month_others: tuple[Money, ...]
    month_state: str
    month_missing_days: int
    lacks: tuple[str, ...]
    notes: tuple[str, ...]
    overlaps: bool
    fee: Money | None
    """What one request costs."""
    balances: tuple[BalanceStatus, ...] = ()

    @property
    def fees_day(self) -> Money | None:
        """What the requests of the last 24 hours cost, where they cost anything."""
        return None if self.fee is None else Money(self.fee.nano * self.requests_day, self.fee.currency)


@dataclass(frozen=True, slots=True)
class Snapshot:
    at: datetime
    time_zone: str
    home: str
    currency: str
    engine: EngineStatus
    budgets: tuple[BudgetStatus, ...] = ()
    today: Spend = field(default_factory=lambda: Spend(Money(0, "USD")))
    hour: Spend = field(default_factory=lambda: Spend(Money(0, "USD")))
    """The current clock hour."""
    burn_rate: Money = field(default_factory=lambda: Money(0, "USD"))
    """Money an hour, measured over this quarter hour and the one before."""
    by_model: tuple[SpendBy, ...] = ()
    by_app: tuple[SpendBy, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    resources: tuple[ResourceStatus, ...] = ()
    sources: tuple[SourceStatus, ...] = ()
    switch: SwitchStatus = field(default_factory=lambda: SwitchStatus("", (), ()))
    feed: tuple[FeedRow, ...] = ()
    in_flight: int = 0
    refused_today: int = 0
    rules: RulesStatus = field(default_factory=RulesStatus)
    prices_source: str = ""
    prices_checked: datetime | None = None
    notices: tuple[NoticeStatus, ...] = ()
    problems: tuple[str, ...] = ()
    """One line each: what is wrong now and how to mend it (config, ledger, notifier, nobody warns …)."""
    readable: bool = True
    """False when the ledger cannot be read: then every figure here is unknown, not zero."""
    simulated: bool = False
    """True in a demo home: figures are made up and the clock may run fast."""
    rates: tuple[RateUse, ...] = ()
    """What sums in other currencies, and budgets, are converted by now."""
    hour_bars: tuple[int, ...] = ()
    """Cost in nano of the display currency for each of the last 24 quarter hours, oldest first."""
    reconciled: Reconciliation = field(default_factory=Reconciliation)
    """What providers billed beside what apps logged, this UTC month."""
