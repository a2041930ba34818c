"""`costmon budget set | list | rm`: budgets from the shell. The config file is the one place for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from costmon.budget.bands import Band
    from costmon.budget.rows import Uncertain
    from costmon.budget.status import BudgetRow, PeriodRow, Standing
    from costmon.config import Config
    from costmon.store import Store


@click.group()
def budget() -> None:
    """Set, list and remove budgets."""


@budget.command("set")
@click.argument("name")
@click.argument("amount")
@click.option(
    "--period", type=click.Choice(["day", "week", "month"]), help="How often it starts anew [new: month]."
)
@click.option("--scope", help="all, or provider=…, model=…, app=…, route=…, job=… [new: all].")
@click.option("--time-zone", help='Where its periods begin, such as "Asia/Seoul" [new: that of config.toml].')
@click.option(
    "--mode", type=click.Choice(["default", "strict"]), help="strict: no call that may exceed what is left."
)
@click.option("--levels", help="Percentages at which you are told, such as 70,80,90,95,100.")
@click.option(
    "--count-unlogged/--no-count-unlogged",
    default=None,
    help="Count what providers billed beyond what apps logged [new: no].",
)
def set_budget(name: str, amount: str, **options: str | bool | None) -> None:
    """Make or change the budget NAME: AMOUNT is such as 10USD, 0.10USD or "15000 KRW".

    An existing budget keeps what is not given here.
    """
    from costmon.errors import CostmonError

    changes = {
        "amount": amount.strip(),
        **{key: value for key, value in options.items() if value is not None},
    }
    try:
        config = _edit(lambda text: _with_budget(text, name, _checked(changes)))
        row, period, standing = next(entry for entry in _compiled(config) if entry[0].name == name)
    except CostmonError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_describe(row, period))
    click.echo(_already(row, period, standing))


@budget.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_budgets(as_json: bool) -> None:
    """Every budget: what is spent of it in this period, and when that ends."""
    from costmon.errors import CostmonError

    try:
        standings = _current()
    except CostmonError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"budgets": [_as_json(*entry) for entry in standings]}, ensure_ascii=False))
    elif not standings:
        click.echo("No budget yet. Set one: costmon budget set total 10USD --period month")
    else:
        click.echo(table([_TITLES, *(_cells(*entry) for entry in standings)]))


@budget.command("rm")
@click.argument("name")
def remove_budget(name: str) -> None:
    """Remove the budget NAME; what was spent stays on record."""
    from costmon.errors import CostmonError

    try:
        _compiled(_edit(lambda text: _without_budget(text, name)))
    except CostmonError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f'Budget "{name}" is removed.')


# --- the file ---


def _edit(change: Any) -> Config:
    """Replace config.toml by `change(its text)` once that has been read without error. Raises ConfigError."""
    from costmon import config, paths
    from costmon.config.files import locked
    from costmon.monitor.compile import require_rates
    from costmon.pricing.currency import in_force

    path = paths.config_file()
    with locked(path):
        config.ensure(path)
        text = config.read(path).decode("utf-8-sig", "replace")
        config.load(path)
        edited = change(text)
        found = config.parse(edited.encode(), path)
        require_rates(found, in_force(found))
        if edited != text:
            config.replace(path, edited)
    return found


def _checked(changes: dict[str, Any]) -> dict[str, object]:
    """The options as they go into the file. Raises click.BadParameter naming the one that is wrong."""
    from costmon.config import parse_money
    from costmon.config.scopes import parse_scope
    from costmon.config.sections import check_levels

    values: dict[str, object] = dict(changes)
    checks: dict[str, Any] = {"amount": parse_money, "scope": parse_scope}
    for key, check in checks.items():
        if key in changes:
            _try(key, check, changes[key])
    if "levels" in changes:
        values["levels"] = list(
            _try("levels", lambda text: check_levels(_whole_numbers(text)), changes["levels"])
        )
    return values


def _try(key: str, check: Any, text: str) -> Any:
    try:
        return check(text)
    except ValueError as error:
        hint = "AMOUNT" if key == "amount" else f"--{key}"
        raise click.BadParameter(str(error), param_hint=hint) from error


def _whole_numbers(text: str) -> list[int]:
    parts = [part.strip().removesuffix("%").strip() for part in text.strip("[] ").split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ValueError(f'must be whole percentages with commas between, such as 70,80,90, not "{text}"')
    return [int(part) for part in parts]


def _with_budget(text: str, name: str, values: dict[str, object]) -> str:
    """The file's text with the budget set: an existing table keeps its other keys and every comment."""
    import tomlkit
    from tomlkit.items import Table

    from costmon.config.scopes import NAME
    from costmon.config.source import locate

    if not NAME.fullmatch(name):
        problem = f'"{name}" is no name for a budget; use 1 to 60 of A-Z a-z 0-9, space, dot, - and _'
        raise click.BadParameter(problem, param_hint="NAME")
    document = tomlkit.parse(text)
    existing: Any = document.get("budget", {}).get(name)
    if existing is None:
        header = f"[budget.{tomlkit.key(name).as_string()}]"
        return "\n".join([text.rstrip(), "", header, *_lines({"period": "month"} | values), ""]).lstrip()
    inserted = {} if ("budget", name) not in locate(text) or not isinstance(existing, Table) else values
    inserted = {key: value for key, value in inserted.items() if key not in existing}
    for key in [key for key in values if key not in inserted]:
        existing[key] = values[key]
    return _insert_lines(document.as_string(), name, inserted)


def _lines(values: dict[str, object]) -> list[str]:
    import tomlkit

    return [f"{key} = {tomlkit.item(value).as_string()}" for key, value in values.items()]


def _insert_lines(text: str, name: str, values: dict[str, object]) -> str:
    """Add keys below the last one there: tomlkit would put them below the next table's comment."""
    from costmon.config.source import locate

    own = [found for path, found in locate(text).items() if path[:2] == ("budget", name)]
    if not own or not values:
        return text
    lines = text.split("\n")
    last = max(found.stop for found in own) - 1
    return "\n".join([*lines[:last], *_lines(values), *lines[last:]])


def _without_budget(text: str, name: str) -> str:
    """The file's text without the lines of one budget; what is written around them stays."""
    from costmon.config.source import locate
    from costmon.errors import ConfigError

    lines = locate(text)
    own = [found for path, found in lines.items() if path[:2] == ("budget", name)]
    if not own:
        raise ConfigError(_not_there(text, name))
    gone = {number for found in own for number in found}
    if ("budget", name) in lines:
        gone = set(range(min(gone), max(gone) + 1))
    return "\n".join(line for number, line in enumerate(text.split("\n"), start=1) if number not in gone)


def _not_there(text: str, name: str) -> str:
    import tomllib

    names = tomllib.loads(text).get("budget", {})
    if name in names:
        return f'budget "{name}" shares its line with other settings; remove it from the file by hand'
    return f'there is no budget "{name}"; ' + (
        f"there is {', '.join(names)}" if names else "there is none yet"
    )


# --- the ledger ---


def _compiled(config: Config) -> list[tuple[BudgetRow, PeriodRow, Standing]]:
    """Put `config` into the ledger: it holds from the next call on. Returns where its budgets stand."""
    from costmon import paths
    from costmon.monitor.compile import compile_config
    from costmon.store import open_ledger

    store = open_ledger(paths.state_home())
    try:
        compile_config(store.db, config, store.now())
        sync_switch(store)
        return _standings(store)
    finally:
        store.close()


def sync_switch(store: Store) -> None:
    """A raised or removed budget lifts the block it had set, whether an engine runs or not. Raises CostmonError."""
    from costmon import paths
    from costmon.errors import CostmonError
    from costmon.shim import blocks, policy

    folder = paths.switch_dir()
    try:
        blocks.sync(store.db, policy.load(store.db), folder, store.now())
    except OSError as error:
        raise CostmonError(
            f"{folder}: the switch cannot be brought up to date: {error.strerror or error}"
        ) from error


@contextmanager
def opened() -> Iterator[Store]:
    """The ledger, after reading a config file that has changed; a broken one earns a warning."""
    from costmon import config, paths
    from costmon.errors import ConfigError
    from costmon.monitor.compile import compile_config, config_changed
    from costmon.store import open_ledger

    store = open_ledger(paths.state_home())
    try:
        if config_changed(store.db, paths.config_file()):
            try:
                compile_config(store.db, config.load(paths.config_file()), store.now())
            except ConfigError as error:
                click.echo(f"{error}. The last good version stays in force.", err=True)
        yield store
    finally:
        store.close()


def _current() -> list[tuple[BudgetRow, PeriodRow, Standing, Band, Uncertain]]:
    """Every budget with where it stands and its band: nano of its currency."""
    from costmon.budget.rows import period_band, uncertain
    from costmon.shim import policy

    with opened() as store:
        rate, now = policy.load(store.db).rate, store.now()
        return [
            (
                row,
                period,
                standing,
                period_band(period, unsure),
                unsure,
            )
            for row, period, standing in _standings(store)
            for unsure in (uncertain(store.db, row, period, rate, now),)
        ]


def _standings(store: Store) -> list[tuple[BudgetRow, PeriodRow, Standing]]:
    from costmon.budget.rows import read_budgets
    from costmon.budget.status import standing
    from costmon.monitor.overrides import enforced, unenforced

    now = store.now()
    free = unenforced(store.db, now)
    return [
        (row, period, enforced(row, standing(row, period, now), free))
        for row, period in read_budgets(store.db, now)
    ]


# --- what it says ---

_TITLES = ("NAME", "SCOPE", "PERIOD", "SPENT", "BETWEEN", "LIMIT", "USED", "LEVEL", "RESETS")


def _describe(row: BudgetRow, period: PeriodRow) -> str:
    from costmon.shim.money import format_money

    scope = "everything" if row.scope == "all" else row.scope
    return (
        f'Budget "{row.name}": {format_money(row.amount, row.currency)} a {row.period} for {scope}; '
        f"this {row.period} ends {local_time(period.end_us, row.time_zone)}."
    )


def _already(row: BudgetRow, period: PeriodRow, standing: Standing) -> str:
    from costmon.shim.money import format_money

    percent = standing.used * 100 // row.amount
    text = f"Already spent in it: {_spent(row, period)}, {percent} %."
    if period.unpriced:
        text += f" Unpriced calls are assumed to have cost {format_money(period.assumed, row.currency)}."
    if period.unlogged:
        text += f" Providers billed {format_money(period.unlogged, row.currency)} that no app logged."
    if standing.blocks:
        who = "every call in its scope" if standing.blocks == "all" else "apps that are not essential"
        text += f" It refuses {who} now."
    return text


def _spent(row: BudgetRow, period: PeriodRow) -> str:
    from costmon.shim.money import format_money

    spent = format_money(period.spent, row.currency)
    if not period.unpriced:
        return spent
    return f"≥ {spent}, {period.unpriced} {'call' if period.unpriced == 1 else 'calls'} unpriced"


def _marked(row: BudgetRow, period: PeriodRow, unsure: Uncertain) -> str:
    """'~$1.20, 2 unpriced, 3 estimated'."""
    from costmon.budget.bands import mark
    from costmon.shim.money import format_money

    missing = bool(period.unpriced or unsure.partial)
    counts = (
        (period.unpriced, "unpriced"),
        (unsure.partial, "partly priced"),
        (unsure.estimated, "estimated"),
    )
    sign = mark(estimated=unsure.estimated_cost > 0, missing=missing)
    spent = sign + format_money(period.spent, row.currency)
    unlogged = [f"{format_money(period.unlogged, row.currency)} unlogged"] if period.unlogged else []
    return ", ".join([spent, *unlogged, *(f"{number} {what}" for number, what in counts if number)])


def _cells(
    row: BudgetRow, period: PeriodRow, standing: Standing, band: Band, unsure: Uncertain
) -> tuple[str, ...]:
    from costmon.shim.money import format_money

    low = format_money(band.low, row.currency)
    high = format_money(band.high, row.currency) if band.high is not None else "?"
    between = f"{low} – {high}" if low != high else "-"
    return (
        *(
            row.name,
            row.scope,
            row.period,
            _marked(row, period, unsure),
            between,
            format_money(row.amount, row.currency),
        ),
        *(
            f"{standing.used * 100 // row.amount} %",
            str(standing.level or "-"),
            local_time(period.end_us, row.time_zone),
        ),
    )


def table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _as_json(
    row: BudgetRow, period: PeriodRow, standing: Standing, band: Band, unsure: Uncertain
) -> dict[str, object]:
    from costmon.shim.money import Money
    from costmon.shim.timestamps import to_iso

    def money(nano: int) -> dict[str, str]:
        return Money(nano, row.currency).to_json()

    return {
        "name": row.name,
        "scope": row.scope,
        "period": row.period,
        "time_zone": row.time_zone,
        "start": to_iso(period.start_us),
        "end": to_iso(period.end_us),
        "limit": money(row.amount),
        "spent": money(period.spent),
        "low": money(band.low),
        "high": money(band.high) if band.high is not None else None,
        "assumed": money(period.assumed),
        "unlogged": money(period.unlogged) if row.count_unlogged else None,
        "reserved": money(period.reserved),
        "remaining": money(standing.remaining),
        "ratio": round(standing.ratio, 4),
        "level": standing.level,
        "blocks": standing.blocks,
        "calls": period.calls,
        "unpriced": period.unpriced,
        "partial": unsure.partial,
        "estimated": unsure.estimated,
    }


def local_time(at_us: int, zone: str) -> str:
    from zoneinfo import ZoneInfo

    from costmon.shim.timestamps import to_datetime

    return f"{to_datetime(at_us).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
