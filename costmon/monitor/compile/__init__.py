"""Compile the configuration into the ledger, so that a shim only compares integers: no TOML, no calendars.

Each function here is one transaction. `generation` goes up when something a shim or a screen reads changed.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from typing import Any, NamedTuple

from costmon.budget.periods import day_start
from costmon.config import DEFAULT, Config, ExchangeRate, fingerprint, fingerprint_of
from costmon.config.resources import resources_to_json
from costmon.config.schedules import to_json as schedules_to_json
from costmon.errors import ConfigError
from costmon.monitor.compile.budgets import BudgetChanges, compile_budgets, extend_periods
from costmon.monitor.compile.days import compile_days, move_days
from costmon.monitor.compile.rules import compile_rules
from costmon.monitor.compile.settings import bump, put, setting
from costmon.monitor.compile.writing import transaction
from costmon.pricing import currency

HORIZON_US = 365 * 86_400 * 1_000_000
_RATE_COLUMNS = "base, quote, from_at, numerator, denominator, source"
_RateKey = tuple[str, str, int]
_RateRow = tuple[int, int, str]


class CompileResult(NamedTuple):
    """What a compile did. `changed` is false when the ledger already said all of it; names are budgets'."""

    changed: bool
    generation: int
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def compile_config(db: sqlite3.Connection, config: Config, now_us: int) -> CompileResult:
    """Make the ledger say what `config` says, as of `now_us` (µs UTC). Running it twice changes nothing.

    Raises LedgerBusy when others hold the ledger for 5 s, sqlite3.Error when it cannot be written, ConfigError when a
    rate that is to be fetched has not come yet.
    """
    rates_stamp = currency.stamp()
    rates = currency.in_force(config)
    require_rates(config, rates)

    def work() -> CompileResult:
        before = db.total_changes
        zone_before = setting(db, "time_zone")
        _compile_settings(db, config)
        put(db, "fetch_rates", config.fetch_rates)
        put(db, "rates_stamp", rates_stamp if config.fetch_rates else "")
        _compile_rates(db, rates, config.time_zone)
        compile_days(db, config.time_zone, now_us, replace=zone_before != config.time_zone)
        if zone_before != config.time_zone:
            move_days(db, config.time_zone)
        compile_rules(db, config.rate_limits)
        changes = compile_budgets(db, config.budgets, now_us)
        return _finish(db, before, now_us, changes)

    return transaction(db, work)


def refresh_horizon(db: sqlite3.Connection, now_us: int) -> bool:
    """Compute periods and days further ahead once fewer than 12 months of them remain; whether it had to."""

    def work() -> bool:
        before = db.total_changes
        compile_days(db, setting(db, "time_zone") or "UTC", now_us)
        extend_periods(db, now_us)
        return _finish(db, before, now_us, BudgetChanges()).changed

    return _horizon_us(db) < now_us + HORIZON_US and transaction(db, work)


def config_changed(db: sqlite3.Connection, config_path: str) -> bool:
    """Whether the file differs from what the ledger holds, or was broken when it was last looked at.

    The untouched default file of another place (a container's own home, say) is no news: it would remove the budgets of
    the file that somebody wrote.
    """
    try:
        found = fingerprint(config_path)
    except ConfigError:
        return True
    elsewhere = setting(db, "config_path") not in (None, config_path)
    if elsewhere and found == fingerprint_of(DEFAULT.encode()) and _holds_limits(db):
        return False
    fetched = setting(db, "fetch_rates") and setting(db, "rates_stamp") != currency.stamp()
    return found != setting(db, "config_hash") or bool(setting(db, "config_error")) or bool(fetched)


def _holds_limits(db: sqlite3.Connection) -> bool:
    held = "select exists (select 1 from budget) or exists (select 1 from rate_limit)"
    return bool(db.execute(held).fetchone()[0])


def record_config_error(db: sqlite3.Connection, message: str) -> None:
    """Remember why the file cannot be used; the last good configuration stays in force."""
    if setting(db, "config_error") != message:
        transaction(db, lambda: put(db, "config_error", message))


def _compile_settings(db: sqlite3.Connection, config: Config) -> None:
    """Flags are '1' and '0', seconds decimal text, hosts JSON: {host: {"provider": …, "free": bool}}.

    A rule is JSON of its figures, such as {"failures": 5, "within_us": 60000000, "pause_us": 30000000}; '' is off.
    """
    hosts = {host: {"provider": entry.provider, "free": entry.free} for host, entry in config.hosts.items()}
    limits = config.limits
    values = {
        "time_zone": config.time_zone,
        "display_currency": config.display_currency,
        "hosts": json.dumps(hosts, sort_keys=True),
        "assumed_output": str(limits.assumed_output),
        "unknown_price": limits.unknown_price,
        "strict": "1" if limits.strict else "0",
        "admit_wait": f"{limits.admit_wait:g}",
        "synchronous": limits.synchronous,
        "dry_run": "1" if limits.dry_run else "0",
        "warn_prompt_tokens": str(limits.warn_prompt_tokens),
        "warn_repeats": str(limits.warn_repeats),
        "warn_retries": str(limits.warn_retries),
        "breaker": _figures(config.breaker),
        "repeat": _figures(config.repeat),
        "retry_loop": _figures(config.retry_loop),
        "resources": resources_to_json(config.resources),
        "schedules": schedules_to_json(config.jobs, config.schedules, config.logs),
        "desktop": "1" if config.notify.desktop else "0",
        "unlogged_alert": json.dumps(config.unlogged.alert) if config.unlogged.alert else "",
        "retention_events": str(config.retention.events),
        "retention_aggregates": str(config.retention.aggregates),
        "config_hash": config.content_hash,
        "config_path": config.path,
        "config_error": "",
    }
    for key, value in values.items():
        put(db, key, value)


def _figures(rule: Any) -> str:
    return "" if rule is None else json.dumps(asdict(rule))


def require_rates(config: Config, rates: tuple[ExchangeRate, ...]) -> None:
    """A budget whose currency has no rate would miss calls."""
    missing = currency.without_rate(config, rates)
    if missing:
        raise ConfigError(
            f"{config.path}: no rate from USD to {' or '.join(missing)} was fetched yet; run costmon rates update, or "
            f"add a [[currency.rate]] table"
        )


def _compile_rates(db: sqlite3.Connection, rates: tuple[ExchangeRate, ...], time_zone: str) -> None:
    """One row for each direction and day, so that a look-up is "the newest of base → quote not after now"."""
    wanted = _rate_rows(rates, time_zone)
    found = {row[:3]: row[3:] for row in db.execute(f"select {_RATE_COLUMNS} from exchange_rate")}  # noqa: S608
    gone = [key for key in found if key not in wanted]
    fresh = [(*key, *row) for key, row in wanted.items() if found.get(key) != row]
    db.executemany("delete from exchange_rate where base = ? and quote = ? and from_at = ?", gone)
    db.executemany(f"insert or replace into exchange_rate ({_RATE_COLUMNS}) values (?, ?, ?, ?, ?, ?)", fresh)  # noqa: S608


def _rate_rows(rates: tuple[ExchangeRate, ...], time_zone: str) -> dict[_RateKey, _RateRow]:
    """Rows by key. A rate the user wrote beats an inverse; a pair's oldest also covers all days before."""
    rows: dict[_RateKey, _RateRow] = {}
    inverses: dict[_RateKey, _RateRow] = {}
    for entry in rates:
        at = day_start(entry.day, time_zone)
        rate, source = entry.rate, entry.source
        rows[entry.base, entry.quote, at] = (rate.numerator, rate.denominator, source)
        inverses[entry.quote, entry.base, at] = (rate.denominator, rate.numerator, f"{source} (inverse)")
    rows = inverses | rows
    oldest: dict[tuple[str, str], int] = {}
    for base, quote, at in rows:
        oldest[base, quote] = min(at, oldest.get((base, quote), at))
    return {(base, quote, 0): rows[base, quote, at] for (base, quote), at in oldest.items()} | rows


def _finish(db: sqlite3.Connection, before: int, now_us: int, changes: BudgetChanges) -> CompileResult:
    """Count the generation up if the transaction changed a row."""
    changed = db.total_changes > before
    if changed:
        bump(db)
        put(db, "compiled_at", str(now_us))
    return CompileResult(changed, int(setting(db, "generation") or 0), *changes)


def _horizon_us(db: sqlite3.Connection) -> int:
    """Up to when every budget and the operator's days are known."""
    ends = db.execute(
        "select coalesce(max(end_at), 0) from local_day union all select"
        " (select coalesce(max(end_at), 0) from budget_period where budget_id = budget.id) from budget"
    )
    return min(int(row[0]) for row in ends)
