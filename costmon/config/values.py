"""What a configuration is made of: frozen values, checked when they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType

from costmon.shim.money import Money, Rate
from costmon.shim.switch import SCOPE_KEYS as SCOPE_KEYS

PERIODS = ("day", "week", "month")
WINDOWS = ("minute", "hour", "day")
DEFAULT_LEVELS = (70, 80, 90, 95, 100)
RESOURCE_PERS = {
    "time": ("hour", "day", "month"),
    "storage": ("GB-month", "GiB-month"),
    "transfer": ("GB", "GiB"),
    "flat": ("month", "year", "day"),
}
"""What a price of each kind of resource may be per."""
MONTHS = ("730h", "calendar")


def scope_text(key: str, value: str) -> str:
    """`all`, or `app=trader`."""
    return f"{key}={value}" if value else key


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit for one scope in each period; `levels` are percentages, ascending. The zone is an IANA name."""

    name: str
    amount: Money
    period: str = "month"
    time_zone: str = "UTC"
    scope_key: str = "all"
    scope_value: str = ""
    levels: tuple[int, ...] = DEFAULT_LEVELS
    at_95: str = "block-nonessential"
    at_100: str = "block"
    mode: str = "default"
    count_unlogged: bool = False
    """Whether what providers billed beyond what apps logged counts as spent."""

    @property
    def scope(self) -> str:
        return scope_text(self.scope_key, self.scope_value)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `calls` attempts of one scope in each minute or hour of the clock, or each local day."""

    name: str
    calls: int
    per: str
    scope_key: str = "all"
    scope_value: str = ""

    @property
    def scope(self) -> str:
        return scope_text(self.scope_key, self.scope_value)


@dataclass(frozen=True, slots=True)
class Breaker:
    """A provider that fails `failures` times within `within_us` is left alone for `pause_us`."""

    failures: int = 5
    within_us: int = 60_000_000
    pause_us: int = 30_000_000


@dataclass(frozen=True, slots=True)
class Repeat:
    """At most `calls` identical requests within `within_us`."""

    calls: int = 20
    within_us: int = 600_000_000


@dataclass(frozen=True, slots=True)
class RetryLoop:
    """At most `failures` failed attempts of one identical request within `within_us`."""

    failures: int = 5
    within_us: int = 300_000_000


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """`rate` units of `quote` for one of `base`, from the local day `day` on."""

    base: str
    quote: str
    rate: Rate
    day: date
    source: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that costs without calls: a server, storage, traffic, a subscription.

    `kind` is 'time', 'storage', 'transfer' or 'flat'. Either `price` (nano of `currency`) `per` a unit, or `price_of`, the
    name of a resource in a price file. `free` and the `tiers` ((above, nano), …) count in what the price is per, from the
    start of the month. `follows` says what moves it: 'clock' (always on, announced, subscribed), 'runs' (costmon meter),
    'uptime', 'gpu', 'disk', 'folder' or 'network', the last three with a `target`. `held` is bytes announced: stored, or
    sent in a month. `since` and `until` are ISO texts, a date (of the operator's calendar) or an instant; '' is open.
    """

    name: str
    kind: str
    follows: str
    provider: str = "own"
    app: str = "resources"
    price: int = 0
    currency: str = ""
    per: str = ""
    free: int = 0
    tiers: tuple[tuple[int, int], ...] = ()
    month: str = "calendar"
    increment_s: int = 1
    price_of: str = ""
    target: str = ""
    count: str = "sent"
    held: int = 0
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where provider figures come from. `kind` names the kind of source; `provider` ('' = the kind's) whose calls in the
    ledger its figures are compared with; `base_url` '' is the kind's.

    `key` says where the key is: '' (wherever it is usual), 'keyring', 'env:NAME' or 'file:/path'. `every_us` 0 is the kind's
    rhythm. `tax_included` is the share of tax inside its figures. `options` are the kind's own settings, as texts.
    """

    name: str
    kind: str
    provider: str = ""
    base_url: str = ""
    key: str = ""
    every_us: int = 0
    enabled: bool = True
    tax_included: Decimal = Decimal(0)
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


HALF_A_DOLLAR = Money(500_000_000, "USD")


@dataclass(frozen=True, slots=True)
class Unlogged:
    """From what a day's unlogged spend is worth an alert; None = never."""

    alert: Money | None = HALF_A_DOLLAR


@dataclass(frozen=True, slots=True)
class Job:
    """What a job is held to: the plan of record. `name` is a job's name in whatever app, or 'APP/NAME' in one app.

    Either `every_us` or `cron` (five fields) with its `zone` (IANA, '' = the operator's); neither: runs are counted, and
    nothing is expected. `alert`: whether a misfire or a missed run is told.
    """

    name: str
    every_us: int = 0
    cron: str = ""
    zone: str = ""
    alert: bool = True


@dataclass(frozen=True, slots=True)
class Schedules:
    """Where plans are read besides the apps themselves. `floor_us`: an interval below it wants a plan of record.
    `apscheduler` are SQLite job stores, `compose` compose files, as absolute paths."""

    floor_us: int = 3_600_000_000
    crontab: bool = True
    systemd: bool = True
    apscheduler: tuple[str, ...] = ()
    compose: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """A log that tells of a job's runs. `zone` is the IANA name of its times, '' = inferred. `patterns` are regular
    expressions of the operator's own by what they tell, in place of the built-in ones for that."""

    name: str
    path: str
    app: str
    job: str
    zone: str = ""
    patterns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Host:
    """Whose API a host serves, and whether calls to it cost nothing."""

    provider: str
    free: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How apps are held to budgets. `unknown_price` is 'dearest', 'refuse' or USD per million tokens."""

    assumed_output: int = 1000
    unknown_price: str = "dearest"
    strict: bool = False
    admit_wait: float = 0.0
    """Seconds a call waits for other calls' reservations to settle."""
    synchronous: str = "normal"
    dry_run: bool = False
    """Everything is decided and recorded, nothing is refused but what a person has blocked."""
    warn_prompt_tokens: int = 0
    """A prompt of so many tokens or more earns a notice; 0 is never."""
    warn_repeats: int = 20
    """So do so many identical calls within 10 minutes,"""
    warn_retries: int = 5
    """and so many failed tries of one request within 5."""


@dataclass(frozen=True, slots=True)
class Notify:
    """Where alerts go."""

    desktop: bool = True


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that events, and sums of days, are kept; 0 is for ever."""

    events: int = 90
    aggregates: int = 365


@dataclass(frozen=True, slots=True)
class Tui:
    """How the terminal looks."""

    theme: str = "costmon-dark"


@dataclass(frozen=True, slots=True)
class Config:
    """One whole configuration; `time_zone` is an IANA name ("local" is already resolved)."""

    path: str
    content_hash: str
    time_zone: str = "UTC"
    display_currency: str = "USD"
    rates: tuple[ExchangeRate, ...] = ()
    fetch_rates: str = ""
    """Where rates that are not written here come from: '' (nowhere) or 'ecb'."""
    budgets: tuple[Budget, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    breaker: Breaker | None = None
    repeat: Repeat | None = None
    retry_loop: RetryLoop | None = None
    resources: tuple[Resource, ...] = ()
    sources: tuple[Source, ...] = ()
    unlogged: Unlogged = Unlogged()
    jobs: tuple[Job, ...] = ()
    schedules: Schedules = Schedules()
    logs: tuple[Log, ...] = ()
    hosts: Mapping[str, Host] = field(default_factory=lambda: MappingProxyType({}))
    limits: Limits = Limits()
    notify: Notify = Notify()
    tui: Tui = Tui()
    retention: Retention = Retention()
