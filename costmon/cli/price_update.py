"""`costmon prices update`: newer base prices, shown before they are taken over."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from costmon.pricing.catalog.update import Change, Diff, Past, RateChange, Update

_MOST = 12


@click.command()
@click.option(
    "--from", "source", metavar="FILE|URL", help="Read the table from there; default: genai-prices' own."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="Take it over without asking.")
@click.option(
    "--correct",
    metavar="MODEL",
    multiple=True,
    help="The old price of MODEL was wrong: take the new one for the past too. May be repeated; or all.",
)
@click.option("--undo", is_flag=True, help="Go back to the prices that came with costmon.")
@click.option(
    "--json", "as_json", is_flag=True, help="Machine-readable; asks nothing, so it needs --yes to change."
)
def update(
    source: str | None, dry_run: bool, yes: bool, correct: tuple[str, ...], undo: bool, as_json: bool
) -> None:
    """Fetch the newest published prices, show what changes, and take it over if you say so.

    One file is fetched, from github.com/pydantic/genai-prices (raw.githubusercontent.com), at most 20 MB. Your own
    prices and costmon's corrections stay above it.

    The past never changes by itself: where the new table says otherwise for days gone by, the old rates hold until
    today and the new ones from today (UTC) on. Such models are listed; --correct takes the new rates over for the past,
    and `costmon reprice` then applies them to calls that are in the ledger.
    """
    from costmon.pricing.catalog import update as updating

    if undo:
        _undo(as_json)
        return
    address = source or updating.URL
    from_file = source is not None and "://" not in source
    click.echo(f"{'reading' if from_file else 'fetching'} {address}", err=True)
    found = updating.prepare(address, _today(), from_file=from_file, correct=correct)
    if not as_json:
        click.echo("\n".join(_text(found)))
    wanted = not dry_run and (yes or found.diff.empty or (not as_json and _agreed()))
    problem = _apply(found) if wanted else ""
    if as_json:
        click.echo(json.dumps(_json(found, applied=wanted), indent=2, ensure_ascii=False))
    else:
        click.echo(_end(found, wanted, dry_run=dry_run))
    if problem:
        click.echo(f"warning: {problem}", err=True)


def _undo(as_json: bool) -> None:
    from costmon.pricing.catalog import update as updating

    undone = updating.undo()
    _compile()
    if as_json:
        click.echo(json.dumps({"undone": undone}))
    else:
        click.echo(
            "the prices that came with costmon hold again" if undone else "nothing to undo: no update is kept"
        )


def _today() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC).date()


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return click.confirm("Take these prices over?", default=False)


def _apply(found: Update) -> str:
    """Keep the catalogue and compile it into the ledger; what is in its way there, or ''."""
    from costmon.pricing.catalog import base
    from costmon.pricing.catalog import update as updating

    path = updating.keep(found)
    if base.base_catalog_path() != path:
        return f"{path} is older than the prices that came with costmon, which go on to hold"
    return _compile()


def _compile() -> str:
    from costmon import paths
    from costmon.monitor.prices import compile_prices
    from costmon.store import open_ledger
    from costmon.store.queries import settings

    store = open_ledger(paths.state_home())
    try:
        compile_prices(store)
        return settings(store.db).get("prices_error", "")
    finally:
        store.close()


def _end(found: Update, applied: bool, *, dry_run: bool) -> str:
    if applied:
        held = f"prices are {found.catalog['source']} {found.catalog['version']} now"
        undo = "" if found.diff.empty else "; costmon prices update --undo goes back"
        return held + undo + "".join(f"\n{line}" for line in _reprice(found.diff))
    return "nothing was changed" if dry_run else "nothing was changed; add --yes to take it over"


def _reprice(diff: Diff) -> list[str]:
    corrected = [past.model for past in diff.past if past.corrected]
    if len(corrected) > _MOST:
        return ["for calls in the ledger: costmon reprice --as correction"]
    return [f"for calls in the ledger: costmon reprice --as correction --model {name}" for name in corrected]


def _text(found: Update) -> list[str]:
    """What would change, in at most 80 columns."""
    diff = found.diff
    models = sum(len(part["models"]) for part in found.catalog["providers"].values())
    lines = [f"{models:,} models, {found.size:,} bytes", f"sha256 {found.sha256}"]
    kept = [past for past in diff.past if not past.corrected]
    corrected = [past for past in diff.past if past.corrected]
    lines += _section(
        "rates that change (USD per million tokens, or the unit's own amount)",
        [_changed(change) for change in diff.changed],
    )
    lines += _section("new models", [f"{provider} {model}" for provider, model in diff.added])
    lines += _section(
        "models no longer listed (kept, marked deprecated)",
        [f"{provider} {model}" for provider, model in diff.removed],
    )
    lines += _section(
        "names that mean another model now, also for calls repriced later",
        [f"{provider} {name}: {old} → {new}" for provider, name, old, new in diff.renamed],
    )
    lines += _section(
        "past prices that differ (kept; --correct MODEL takes the new ones)",
        [_past(past) for past in kept],
    )
    lines += _section("past prices that are corrected", [_past(past) for past in corrected])
    lines += _section(
        "left as they were, for a newer costmon",
        [f"{provider} {model}: {why}" for provider, model, why in diff.skipped],
    )
    return lines if len(lines) > 2 else [*lines, "nothing differs from the prices on file"]


def _section(title: str, rows: list[str]) -> list[str]:
    from costmon.shim.events import clean

    if not rows:
        return []
    shown = [f"  {_cut(clean(row, 400))}" for row in rows[:_MOST]]
    more = [f"  … and {len(rows) - _MOST:,} more (--json lists all)"] if len(rows) > _MOST else []
    return ["", f"{title}: {len(rows):,}", *shown, *more]


def _changed(change: Change) -> str:
    return f"{change.provider} {change.model}, from {_since(change.since)}: {_rates(change.rates)}"


def _past(past: Past) -> str:
    return f"{past.provider} {past.model}, before {past.until}: {_rates(past.rates)}"


def _since(day: str) -> str:
    return "the beginning" if day == "0000" else day


def _rates(rates: tuple[RateChange, ...]) -> str:
    shown = [
        f"{rate.unit.removesuffix('_tokens')} {_rate(rate.old)} → {_rate(rate.new)}" for rate in rates[:2]
    ]
    more = [f"{len(rates) - 2} more"] if len(rates) > 2 else []
    return ", ".join([*shown, *more]) or "hours or tiers of service"


def _rate(rate: Any) -> str:
    if rate is None:
        return "none"
    if isinstance(rate, str):
        return f"${rate}"
    return f"${rate[0]}" + "".join(f" (${price} above {above:,})" for above, price in rate[1:])


def _cut(text: str, width: int = 78) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _json(found: Update, *, applied: bool) -> dict[str, Any]:
    diff = found.diff
    return {
        "from": found.source,
        "sha256": found.sha256,
        "bytes": found.size,
        "version": f"{found.catalog['source']}@{found.catalog['version']}",
        "applied": applied,
        "added": [{"provider": provider, "model": model} for provider, model in diff.added],
        "removed": [{"provider": provider, "model": model} for provider, model in diff.removed],
        "changed": [
            {
                "provider": change.provider,
                "model": change.model,
                "since": None if change.since == "0000" else change.since,
                "rates": [_change_json(rate) for rate in change.rates],
            }
            for change in diff.changed
        ],
        "past": [
            {
                "provider": past.provider,
                "model": past.model,
                "until": past.until,
                "corrected": past.corrected,
                "rates": [_change_json(rate) for rate in past.rates],
            }
            for past in diff.past
        ],
        "renamed": [
            {"provider": provider, "name": name, "old": old, "new": new}
            for provider, name, old, new in diff.renamed
        ],
        "skipped": [
            {"provider": provider, "model": model, "why": why} for provider, model, why in diff.skipped
        ],
    }


def _change_json(rate: RateChange) -> dict[str, Any]:
    return {"unit": rate.unit, "old": _rate_json(rate.unit, rate.old), "new": _rate_json(rate.unit, rate.new)}


def _rate_json(unit: str, rate: Any) -> dict[str, Any] | None:
    from costmon.shim.units import units

    if rate is None:
        return None
    base, tiers = (rate, []) if isinstance(rate, str) else (rate[0], rate[1:])
    found: dict[str, Any] = {"per": units()[unit].per, "price": {"amount": base, "currency": "USD"}}
    if tiers:
        found["tiers"] = [
            {"above_input_tokens": above, "price": {"amount": price, "currency": "USD"}}
            for above, price in tiers
        ]
    return found
