"""`costmon status`: the state in text or JSON, without a terminal app."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from costmon import config, paths
from costmon.cli.jobs_shown import line as job_line
from costmon.cli.jobs_shown import status_json as job_json
from costmon.cli.polled_json import status_json
from costmon.cli.reconciled_json import total_json
from costmon.cli.rules import exceptions, rule_lines, rules_json
from costmon.insight.values import Total
from costmon.monitor.engine import read_config
from costmon.monitor.resources import resource_json, resource_line
from costmon.monitor.snapshot import BudgetStatus, Snapshot, SourceStatus, Spend
from costmon.monitor.view import build_snapshot
from costmon.shim.events import clean
from costmon.shim.money import format_money
from costmon.shim.timestamps import to_us
from costmon.store import open_ledger


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; money is {amount, currency}, times are UTC."
)
def status(as_json: bool) -> None:
    """Print budgets, spend, blocks, next runs and who warns."""
    config.ensure(paths.config_file())
    store = open_ledger(paths.state_home())
    try:
        read_config(store)
        snapshot = build_snapshot(store, mine=False)
    finally:
        store.close()
    click.echo(
        json.dumps(to_json(snapshot), indent=2, ensure_ascii=False)
        if as_json
        else "\n".join(to_text(snapshot))
    )


def to_text(s: Snapshot) -> list[str]:
    """The lines of `costmon status`."""
    lines = ["SIMULATION: these figures are made up"] if s.simulated else []
    lines += exceptions(s.rules)
    for block in s.switch.blocks:
        until = f" until {_local(block.until, s.time_zone)}" if block.until else " until costmon allow"
        lines.append(f"BLOCKED {clean(block.scope)}{until}: {clean(block.reason, 300)}")
    lines += [_budget_line(budget) for budget in s.budgets] or [
        "no budget: costmon budget set total 10USD --period month"
    ]
    lines.append(
        f"today {_spend(s.today)} · this hour {_spend(s.hour)} · {format_money(*s.burn_rate)} an hour · "
        f"{s.in_flight} in flight · {s.refused_today} refused today"
        + (f" · {s.rules.excused_today} would be refused" if s.rules.excused_today else "")
    )
    if s.readable:
        lines.append(_prices(s))
    lines += rule_lines(s.rules)
    lines += [f"resource {resource_line(resource)}" for resource in s.resources]
    lines += [_source_line(source, s.at) for source in s.sources]
    lines += [_unlogged_line(total) for total in s.reconciled.totals if total.compared or total.unlogged.best]
    lines += [job_line(job, s.at, s.time_zone) for job in s.schedule.jobs]
    for reader in s.switch.readers:
        lines.append(f"{clean(reader.app)} checked the switch {_local(reader.checked_at, s.time_zone)}")
    lines.append(
        f"warnings on, by process {s.engine.pid}"
        if s.engine.running
        else "NOBODY WARNS: run costmon or costmon watch"
    )
    lines.extend(
        f"problem: {clean(problem, 500)}" for problem in s.problems if not problem.startswith("nobody warns")
    )
    return lines


def to_json(s: Snapshot) -> dict[str, Any]:
    """The document of `costmon status --json`."""
    return {
        "at": _time(s.at),
        "simulated": s.simulated,
        "home": s.home,
        "time_zone": s.time_zone,
        "currency": s.currency,
        "rates": [
            {
                "base": rate.base,
                "quote": rate.quote,
                "rate": rate.rate,
                "date": rate.day.isoformat(),
                "source": rate.source,
                "age_days": rate.age_days,
                "stale": rate.stale,
            }
            for rate in s.rates
        ],
        "engine": {"running": s.engine.running, "pid": s.engine.pid, "since": _time(s.engine.since)},
        "budgets": [_budget_json(budget) for budget in s.budgets],
        "today": _spend_json(s.today),
        "hour": _spend_json(s.hour),
        "burn_rate_per_hour": s.burn_rate.to_json(),
        "in_flight": s.in_flight,
        "refused_today": s.refused_today,
        "would_be_refused_today": s.rules.excused_today,
        **rules_json(s.rules),
        "by_model": [{"model": row.name, **_spend_json(row.spend)} for row in s.by_model],
        "by_app": [{"app": row.name, **_spend_json(row.spend)} for row in s.by_app],
        "sources": [status_json(source, to_us(s.at)) for source in s.sources],
        "reconciled": [total_json(total) for total in s.reconciled.totals],
        "switch": {
            "folder": s.switch.folder,
            "blocks": [
                {
                    "scope": block.scope,
                    "reason": block.reason,
                    "by": block.by,
                    "since": _time(block.since),
                    "until": _time(block.until),
                    "automatic": block.automatic,
                }
                for block in s.switch.blocks
            ],
            "readers": [
                {"app": reader.app, "checked_at": _time(reader.checked_at)} for reader in s.switch.readers
            ],
        },
        "resources": [resource_json(resource) for resource in s.resources],
        "jobs": [job_json(job) for job in s.schedule.jobs],
        "prices": {"source": s.prices_source, "checked": _time(s.prices_checked)},
        "notices": [
            {
                "kind": notice.kind,
                "subject": notice.subject,
                "app": notice.app,
                "text": notice.text,
                "detail": notice.detail,
                "first_at": _time(notice.first_at),
                "last_at": _time(notice.last_at),
                "times": notice.calls,
            }
            for notice in s.notices
        ],
        "problems": list(s.problems),
    }


def _source_line(source: SourceStatus, at: datetime) -> str:
    """'source openai (openai): $12.40 settling this month · read 3 min ago · balance: $7.60'."""
    from costmon.cli.polled import balance_text, month_text, span

    parts = [f"source {clean(source.name)} ({clean(source.provider)}):"]
    parts[0] += f" {month_text(source)} this month" if source.month is not None else ""
    parts.append(f"read {span(at - source.ok_at)} ago" if source.ok_at is not None else "not read yet")
    if source.state not in ("", "ok"):
        parts.append(source.state.replace("_", " "))
    parts += [balance_text(balance) for balance in source.balances]
    return " · ".join(parts).replace(": · ", ": ")


def _unlogged_line(total: Total) -> str:
    """'openai 2026-11: provider figure $12.40, own figure $11.40, unlogged $1.00, settling'. Where the ledger knows only
    some of the days: '…: provider figure $12.40, of which $9.10 compared: own figure …'."""

    def money(nano: int | None) -> str:
        return "unknown" if nano is None else format_money(nano, total.currency)

    sign = "≥ " if total.least or total.unread else ""
    span = total.unlogged
    marks = {(True, True): "~", (True, False): "≤ ", (False, True): "≥ "}
    mark = marks.get((span.low != span.best, span.high != span.best), "") if span.best is not None else ""
    some = f", of which {money(total.compared)} compared: " if total.unread or total.unknown else ", "
    return (
        f"{clean(total.provider)} {total.month}: provider figure {sign}{money(total.billed)}{some}"
        f"own figure {money(total.own.best)}, unlogged {mark}{money(span.best)}, {total.state}"
    )


def _budget_line(b: BudgetStatus) -> str:
    beyond = f" + {format_money(*b.unlogged)} unlogged" if b.unlogged is not None and b.unlogged.nano else ""
    spent = f"{b.mark}{format_money(*b.spent)}{beyond}{between(b)}"
    parts = [
        f"budget {b.name} ({b.scope}, {b.period}): {spent} of {format_money(*b.limit)}, {b.ratio * 100:.1f} %"
    ]
    if b.unpriced:
        parts.append(f"{_calls(b.unpriced)} unpriced, assumed {format_money(*b.assumed)}")
    if b.partial:
        parts.append(f"{_calls(b.partial)} partly priced")
    if b.estimated:
        parts.append(f"{_calls(b.estimated)} estimated")
    if b.reserved.nano or b.in_flight:
        parts.append(f"{b.in_flight} in flight, {format_money(*b.reserved)} reserved")
    if b.level:
        parts.append(f"reached {b.level} %")
    if b.blocks:
        parts.append("blocks all" if b.blocks == "all" else "blocks apps not essential")
    if b.projected is not None:
        parts.append(f"projected {format_money(*b.projected)}")
    return " · ".join([*parts, f"until {_local(b.end, b.time_zone)}"])


def _budget_json(b: BudgetStatus) -> dict[str, Any]:
    return {
        "name": b.name,
        "scope": b.scope,
        "period": b.period,
        "time_zone": b.time_zone,
        "start": _time(b.start),
        "end": _time(b.end),
        "limit": b.limit.to_json(),
        "spent": b.spent.to_json(),
        "low": b.low.to_json(),
        "high": b.high.to_json() if b.high is not None else None,
        "assumed": b.assumed.to_json(),
        "unlogged": b.unlogged.to_json() if b.unlogged is not None else None,
        "reserved": b.reserved.to_json(),
        "remaining": b.remaining.to_json(),
        "ratio": round(b.ratio, 4),
        "level": b.level,
        "blocks": b.blocks,
        "calls": b.calls,
        "unpriced": b.unpriced,
        "partial": b.partial,
        "estimated": b.estimated,
        "in_flight": b.in_flight,
        "projected": b.projected.to_json() if b.projected is not None else None,
        "crosses_at": _time(b.crosses_at),
    }


def _spend(spend: Spend) -> str:
    """'~$1.20 between $1.14 and $1.38 (40 calls, 2 unpriced, 3 estimated)'."""
    counts = ((spend.unpriced, "unpriced"), (spend.partial, "partly priced"), (spend.estimated, "estimated"))
    parts = [_calls(spend.calls), *(f"{number} {what}" for number, what in counts if number)]
    if spend.in_flight:
        parts.append(f"{spend.in_flight} in flight")
    more = "".join(f" + {format_money(*money)}" for money in spend.unconverted)
    return f"{spend.mark}{format_money(*spend.cost)}{more}{between(spend)} ({', '.join(parts)})"


def between(part: Spend | BudgetStatus) -> str:
    """' between $1.14 and $1.38', ' at least $1.14' when nobody can say the most and no '≥' says the least, or nothing where
    both read the same."""
    least = format_money(*part.low)
    if part.high is None:
        return f" at least {least}" if part.mark == "~" else ""
    most = format_money(*part.high)
    return f" between {least} and {most}" if least != most else ""


def _local(at: datetime, zone: str) -> str:
    """'2026-12-01 00:00 KST'; UTC where this machine does not know the zone."""
    try:
        return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
    except (OSError, ValueError, KeyError):
        return f"{at:%Y-%m-%d %H:%M} UTC"


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def _prices(s: Snapshot) -> str:
    if s.prices_checked is None:
        return "prices: no base catalogue, every model is unpriced"
    days = max(0, (s.at - s.prices_checked).days)
    age = "of today" if not days else f"{days} day{'s' if days > 1 else ''} old"
    return f"prices: {s.prices_source}, {age}"


def _spend_json(spend: Spend) -> dict[str, Any]:
    return {
        "cost": spend.cost.to_json(),
        "low": spend.low.to_json(),
        "high": spend.high.to_json() if spend.high is not None else None,
        "unconverted": [money.to_json() for money in spend.unconverted],
        "calls": spend.calls,
        "errors": spend.errors,
        "input_tokens": spend.input_tokens,
        "output_tokens": spend.output_tokens,
        "unpriced": spend.unpriced,
        "partial": spend.partial,
        "estimated": spend.estimated,
        "in_flight": spend.in_flight,
    }


def _time(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at is not None else None
