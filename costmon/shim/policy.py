"""What the operator's config says, as compiled into the ledger: budgets, rates, hosts and limits, all integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from costmon.shim import rules
from costmon.shim.money import PAR, Rate, divide_half_even
from costmon.shim.rules import Rules

if TYPE_CHECKING:
    from sqlite3 import Connection

ASSUMED_OUTPUT = 1000


class Budget(NamedTuple):
    """One budget; `amount` in nano of `currency`."""

    id: int
    name: str
    scope_key: str
    scope_value: str
    amount: int
    currency: str
    period: str
    time_zone: str
    strict: bool
    blocks_95: bool
    blocks_100: bool

    @property
    def scope(self) -> str:
        return "all" if self.scope_key == "all" else f"{self.scope_key}={self.scope_value}"


class Period(NamedTuple):
    """One period of a budget: its bounds in µs UTC (half-open) and its sums in nano of the budget's currency.

    `unlogged` is what providers billed beyond what apps logged, for a budget that counts it.
    """

    start: int
    end: int
    spent: int
    assumed: int
    reserved: int
    unlogged: int = 0

    @property
    def used(self) -> int:
        return self.spent + self.assumed + self.unlogged


class Policy(NamedTuple):
    generation: str
    machine: str
    hash_key: str
    budgets: tuple[Budget, ...]
    hosts: dict[str, dict[str, Any]]
    rates: dict[tuple[str, str], list[tuple[int, Rate]]]
    assumed_output: int
    unknown_price: str
    strict: bool
    admit_wait: float
    rules: Rules = Rules()

    def matching(self, labels: dict[str, str]) -> list[Budget]:
        """The budgets a call with these labels counts against."""
        return [b for b in self.budgets if b.scope_key == "all" or labels.get(b.scope_key) == b.scope_value]

    def rate(self, base: str, quote: str, at: int) -> Rate | None:
        """The rate that holds at `at` (µs): the newest dated not after it, else the oldest; the inverse pair and the
        way over USD serve too."""
        if base == quote:
            return PAR
        direct = self._pair(base, quote, at)
        if direct is not None:
            return direct
        to_usd, from_usd = self._pair(base, "USD", at), self._pair("USD", quote, at)
        if to_usd is None or from_usd is None:
            return None
        return Rate(to_usd.numerator * from_usd.numerator, to_usd.denominator * from_usd.denominator)

    def _pair(self, base: str, quote: str, at: int) -> Rate | None:
        if base == quote:
            return PAR
        direct = _dated(self.rates.get((base, quote)), at)
        if direct is not None:
            return direct
        inverse = _dated(self.rates.get((quote, base)), at)
        return Rate(inverse.denominator, inverse.numerator) if inverse is not None else None


def generation(db: Connection) -> str:
    """Changes whenever the compiled config, an override or the prices change."""
    return str(db.execute("select value from setting where key = 'generation'").fetchone()[0])


def load(db: Connection) -> Policy:
    """Read the compiled config."""
    import json

    settings = dict(db.execute("select key, value from setting").fetchall())
    rates: dict[tuple[str, str], list[tuple[int, Rate]]] = {}
    for base, quote, at, numerator, denominator in db.execute(
        "select base, quote, from_at, numerator, denominator from exchange_rate order by from_at"
    ):
        rates.setdefault((base, quote), []).append((at, Rate(numerator, denominator)))
    return Policy(
        generation=settings.get("generation", ""),
        machine=settings.get("machine", ""),
        hash_key=settings.get("hash_key", ""),
        budgets=tuple(_budget(row) for row in db.execute(_BUDGETS)),
        hosts=json.loads(settings.get("hosts") or "{}"),
        rates=rates,
        assumed_output=int(settings.get("assumed_output") or ASSUMED_OUTPUT),
        unknown_price=settings.get("unknown_price") or "dearest",
        strict=settings.get("strict") in ("1", "true"),
        admit_wait=float(settings.get("admit_wait") or 0),
        rules=rules.load(db, settings),
    )


_BUDGETS = """select id, name, scope_key, scope_value, amount, currency, period, time_zone, mode, at_95, at_100
              from budget order by id"""


def _budget(row: tuple[Any, ...]) -> Budget:
    *fields, mode, at_95, at_100 = row
    return Budget._make((*fields, mode == "strict", at_95 != "warn", at_100 != "warn"))


def period_at(db: Connection, budget: Budget, now: int) -> Period:
    """The period of `budget` that contains `now`. Past the compiled horizon the last length repeats."""
    row = db.execute(_PERIOD, (budget.id, now)).fetchone()
    if row is None:
        row = db.execute(_FIRST_PERIOD, (budget.id,)).fetchone()
    if row is None:
        day = 86_400_000_000
        return _insert(db, budget.id, now - now % day, now - now % day + day)
    period = Period(*row)
    if period.end > now or period.start > now:
        return period
    length = period.end - period.start
    start = period.end + (now - period.end) // length * length
    return _insert(db, budget.id, start, start + length)


_PERIOD = """select start_at, end_at, spent, assumed, reserved, unlogged from budget_period
             where budget_id = ? and start_at <= ? order by start_at desc limit 1"""
_FIRST_PERIOD = """select start_at, end_at, spent, assumed, reserved, unlogged from budget_period
                   where budget_id = ? order by start_at limit 1"""


def _insert(db: Connection, budget_id: int, start: int, end: int) -> Period:
    if db.in_transaction:
        db.execute(
            "insert or ignore into budget_period (budget_id, start_at, end_at) values (?, ?, ?)",
            (budget_id, start, end),
        )
    return Period(start, end, 0, 0, 0)


def local_day_at(db: Connection, now: int) -> int:
    """The start (µs UTC) of the operator's local day that contains `now`."""
    return local_day(db, now)[0]


def local_day(db: Connection, now: int) -> tuple[int, int]:
    """The operator's local day that contains `now`: (start, end) in µs UTC; UTC days before costmon ever ran."""
    row = db.execute(
        "select start_at, end_at from local_day where start_at <= ? order by start_at desc limit 1", (now,)
    )
    found = row.fetchone()
    day = 86_400_000_000
    if found is None:
        return now - now % day, now - now % day + day
    start, end = found
    if now < end:
        return start, end
    start = end + (now - end) // day * day
    return start, start + day


def percent_reached(used: int, amount: int, level: int) -> bool:
    """Whether `used` is at least `level` % of `amount`, exactly."""
    return used * 100 >= amount * level


def percent(used: int, amount: int) -> int:
    """The share in whole per cent, rounded half to even."""
    return divide_half_even(used * 100, amount) if amount > 0 else 0


def _dated(rates: list[tuple[int, Rate]] | None, at: int) -> Rate | None:
    if not rates:
        return None
    best = rates[0][1]
    for from_at, rate in rates:
        if from_at > at:
            break
        best = rate
    return best
