"""What `costmon reprice` prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from costmon.monitor.reprice import Run
    from costmon.monitor.reprice.report import GroupKey, Report, Sums
    from costmon.monitor.reprice.runs import Lock

_SHOWN_GROUPS = 40


def say(report: Report, as_json: bool, more: dict[str, Any], word: str) -> None:
    """What changes, or would (`word`); JSON with `more` in it."""
    if as_json:
        click.echo(json.dumps({**more, **_report_json(report)}, indent=2, ensure_ascii=False))
        return
    if report.events:
        click.echo(f"{calls(report.events)} {word}:")
        _echo_groups(report)
    else:
        kept = report.reasons()
        click.echo(
            "Nothing to change" + ("." if kept else ": every call in scope costs what its price says.")
        )
    _echo_left(report)


def say_run(run: Run, as_json: bool, *, table: bool) -> None:
    """What a run did, with its table."""
    if as_json:
        document = {"dry_run": False, "run": run_json(run), **_report_json(run.report)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if table and run.events:
        _echo_groups(run.report)
    if table or run.reverts is not None:
        _echo_left(run.report)
    done = "taken back" if run.reverts is not None else "repriced"
    click.echo(f"Run {run.id}: {calls(run.events)} {done}{_totals(run)}.")
    if run.reverts is None and run.events:
        click.echo(f"Take it back: costmon reprice revert {run.id}")


def _echo_groups(report: Report) -> None:
    from costmon.cli.values import table
    from costmon.shim.events import clean

    groups = sorted(report.groups.items(), key=lambda item: -abs(item[1].new - item[1].old))
    rows = [("PROVIDER", "MODEL", "CALLS", "OLD", "NEW", "CHANGE")]
    notes = []
    for key, sums in groups[:_SHOWN_GROUPS]:
        rows.append(
            (
                *(clean(key.provider, 14), clean(key.model, 24), f"{sums.events:,}"),
                *(_old(key, sums), _new(key, sums), _change(key, sums)),
            )
        )
        notes.append(f"  {clean(key.old, 60) or 'unknown'} → {clean(key.new, 60) or 'unknown'}")
    lines = table(rows, left=2)
    click.echo(lines[0])
    for line, note in zip(lines[1:], notes, strict=True):
        click.echo(line)
        click.echo(note)
    if len(groups) > _SHOWN_GROUPS:
        click.echo(f"and {len(groups) - _SHOWN_GROUPS} more groups, of less; --json shows them all")
    old, new = report.totals()
    for currency in sorted({*old, *new}):
        before, after = old.get(currency, 0), new.get(currency, 0)
        click.echo(
            f"in all {_money(before, currency)} → {_money(after, currency)} ({_signed(after - before, currency)})"
        )


def _echo_left(report: Report) -> None:
    from costmon.cli.values import wrapped
    from costmon.monitor.reprice.judge import REASONS
    from costmon.shim.events import clean

    for reason, count in sorted(report.reasons().items()):
        named = sorted(
            {clean(f"{key.provider} {key.model}", 60) for key in report.skipped if key.reason == reason}
        )
        models = ""
        if reason in ("unknown", "gone"):
            models = ": " + ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
        of_resources = reason in ("resource", "taken back")
        what = f"{count:,} quarter {'hour' if count == 1 else 'hours'}" if of_resources else calls(count)
        click.echo(wrapped(f"left alone: {what}, for {REASONS[reason]}{models}", "  "))
    if report.unchanged:
        click.echo(f"  unchanged: {calls(report.unchanged)}")


def run_lines(run: Run, zone: str) -> Iterator[str]:
    """A run in the log."""
    from costmon.cli.values import wrapped
    from costmon.shim.events import clean

    state = {"running": "STOPPED IN THE MIDDLE (or at work)", "done": "done", "reverted": "taken back"}[
        run.state
    ]
    what = f"takes run {run.reverts} back" if run.reverts is not None else run.kind
    yield f"run {run.id}  {local(run.at, zone)}  {what}  {state}"
    yield wrapped(f"{calls(run.events)}{_totals(run)}", "    ")
    yield wrapped(f"{clean(run.reason, 500)} ({clean(run.by)})", "    ")


def _totals(run: Run) -> str:
    """', $3.12 → $2.50' by currency."""
    old, new = run.old_total, run.new_total
    parts = [
        f", {_money(old[c], c) if c in old else 'unknown'} → {_money(new[c], c) if c in new else 'unknown'}"
        for c in sorted({*old, *new})
    ]
    return "".join(parts)


def _old(key: GroupKey, sums: Sums) -> str:
    return "unknown" if sums.old_unknown == sums.events else _money(sums.old, key.old_currency)


def _new(key: GroupKey, sums: Sums) -> str:
    return "unknown" if sums.new_unknown == sums.events else _money(sums.new, key.new_currency)


def _change(key: GroupKey, sums: Sums) -> str:
    if key.old_currency != key.new_currency or sums.old_unknown or sums.new_unknown:
        return "-"
    return _signed(sums.new - sums.old, key.new_currency)


def _signed(nano: int, currency: str) -> str:
    return ("+" if nano > 0 else "") + _money(nano, currency)


def _money(nano: int, currency: str) -> str:
    from costmon.cli.values import money

    return money(nano, currency)


def calls(count: int) -> str:
    """'1 call', '1,204 calls'."""
    return "1 call" if count == 1 else f"{count:,} calls"


def local(at_us: int, zone: str) -> str:
    """An instant in the operator's zone."""
    from costmon.cli.budget import local_time

    return local_time(at_us, zone)


# --- for programs ---


def _report_json(report: Report) -> dict[str, Any]:
    old, new = report.totals()
    return {
        "events": report.events,
        "unchanged": report.unchanged,
        "old_total": _totals_json(old),
        "new_total": _totals_json(new),
        "groups": [_group_json(key, sums) for key, sums in report.groups.items()],
        "skipped": [{**key._asdict(), "events": count} for key, count in report.skipped.items()],
    }


def _group_json(key: GroupKey, sums: Sums) -> dict[str, Any]:
    from costmon.shim.money import Money

    old_known, new_known = sums.old_unknown < sums.events, sums.new_unknown < sums.events
    same = key.old_currency == key.new_currency and not sums.old_unknown and not sums.new_unknown
    return {
        "provider": key.provider,
        "model": key.model,
        "old_version": key.old or None,
        "new_version": key.new or None,
        "events": sums.events,
        "old_total": Money(sums.old, key.old_currency).to_json() if old_known else None,
        "new_total": Money(sums.new, key.new_currency).to_json() if new_known else None,
        "difference": Money(sums.new - sums.old, key.new_currency).to_json() if same else None,
        "old_unknown": sums.old_unknown,
        "new_unknown": sums.new_unknown,
    }


def run_json(run: Run) -> dict[str, Any]:
    """A run for programs; times are UTC."""
    from costmon.shim.timestamps import to_iso

    scope = {key: value for key, value in run.scope._asdict().items() if value not in (None, False)}
    for bound in ("since", "until"):
        if bound in scope:
            scope[bound] = to_iso(scope[bound])
    return {
        "id": run.id,
        "at": to_iso(run.at),
        "ended_at": to_iso(run.ended_at) if run.ended_at is not None else None,
        "kind": run.kind,
        "state": run.state,
        "reason": run.reason,
        "by": run.by,
        "scope": scope,
        "events": run.events,
        "old_total": _totals_json(run.old_total),
        "new_total": _totals_json(run.new_total),
        "reverts": run.reverts,
    }


def _totals_json(totals: dict[str, int]) -> list[dict[str, str]]:
    from costmon.shim.money import Money

    return [Money(nano, currency).to_json() for currency, nano in sorted(totals.items())]


def lock_json(lock: Lock) -> dict[str, Any]:
    """A lock for programs."""
    from costmon.shim.timestamps import to_iso

    return {
        "id": lock.id,
        "until": to_iso(lock.until_at),
        "reason": lock.reason,
        "by": lock.by,
        "at": to_iso(lock.created_at),
        "lifted_at": to_iso(lock.lifted_at) if lock.lifted_at is not None else None,
    }
