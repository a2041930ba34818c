"""What the commands about prices share: numbers and dates as people write them, exchange rates, money and tables.

Bad input is one sentence and exit code 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from datetime import date

    from costmon.config import Config
    from costmon.pricing.calculators.estimate import Band
    from costmon.pricing.lookup.show import Catalogue
    from costmon.shim.money import Rate
    from costmon.shim.policy import Policy

    # Generic in newer versions of click only.
    WholeParam = click.ParamType[int]
    FractionParam = click.ParamType[Fraction]
    TextParam = click.ParamType[str]
else:
    WholeParam = FractionParam = TextParam = click.ParamType

MAX_TOKENS = 10**12
MAX_CALLS = 10**9
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_EVERY = re.compile(r"(?P<count>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>s|m|min|h|d)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


class BadInput(click.ClickException):
    """One sentence that names the option and says what to write."""

    exit_code = 2


class Whole(WholeParam):
    """A whole number, also written 4,000 or 4_000."""

    name = "N"

    def __init__(self, least: int = 0, most: int = MAX_TOKENS) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        digits = str(value).strip().replace(",", "").replace("_", "")
        if not re.fullmatch("[0-9]{1,30}", digits, re.ASCII):
            raise BadInput(f"{_name(param)} {_quoted(value)} is no whole number; write it like 4000")
        number = int(digits)
        if not self.least <= number <= self.most:
            raise BadInput(f"{_name(param)} {_quoted(value)} must be {self.least:,} to {self.most:,}")
        return number


class Number(FractionParam):
    """A decimal number more than 0 (or from 0 on) as an exact fraction; with `percent`, 0 to 100 as a share."""

    name = "N"

    def __init__(self, most: int, *, zero: bool = False, percent: bool = False) -> None:
        self.most, self.zero, self.percent = most, zero, percent
        self.name = "PCT" if percent else "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        if isinstance(value, Fraction):
            return value
        text = str(value).strip().replace(",", "").replace("_", "")
        text = text.removesuffix("%").strip() if self.percent else text
        if not re.fullmatch(r"[0-9]{1,30}(\.[0-9]{0,12})?", text, re.ASCII):
            raise BadInput(f"{_name(param)} {_quoted(value)} is no number; write it like {self._example()}")
        number = Fraction(text)
        if number > self.most or (not number and not self.zero):
            low = "0" if self.zero else "more than 0"
            raise BadInput(f"{_name(param)} {_quoted(value)} must be {low} and at most {self.most:,}")
        return number / 100 if self.percent else number

    def _example(self) -> str:
        return "40" if self.percent else "2.5"


class Every(FractionParam):
    """How often, such as 30s, 5m, 1h or 1d, in seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        if isinstance(value, Fraction):
            return value
        match = _EVERY.fullmatch(str(value).strip().lower())
        if match is None or len(match["count"]) > 15:
            raise BadInput(f"{_name(param)} {_quoted(value)} is no time; write it like 30s, 5m, 1h or 1d")
        seconds = Fraction(match["count"]) * _SECONDS[match["unit"]]
        if not Fraction(1, 1000) <= seconds <= 366 * 86_400:
            raise BadInput(f"{_name(param)} {_quoted(value)} must be 0.001s to 366d")
        return seconds


class Name(TextParam):
    """A model's or provider's name: one line of at most 200 characters, not empty."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from costmon.shim.events import clean

        text = clean(value, 1000)
        if not text or len(text) > 200:
            raise BadInput(f"{_name(param)} {_quoted(value)} is no name; write 1 to 200 characters")
        return text


def instant_us(text: str | None, now_us: int) -> int:
    """A date (its first moment, UTC) or an ISO instant in µs; None = now. Years 1970 to 2200."""
    from datetime import UTC, datetime

    from costmon.shim.timestamps import to_us

    if text is None:
        return now_us
    try:
        at = datetime.fromisoformat(text.strip())
        at_us = to_us(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise BadInput(f"--at {_quoted(text)} is no date; write it like 2026-11-20") from error
    if (
        not to_us(datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC))
        <= at_us
        < to_us(datetime(_LAST_YEAR, 1, 1, tzinfo=UTC))
    ):
        raise BadInput(f"--at {_quoted(text)} must lie in the years {_FIRST_YEAR} to {_LAST_YEAR - 1}")
    return at_us


def day_of(text: str | None, option: str) -> date | None:
    """A date, None for None."""
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{option} {_quoted(text)} is no date; write it like 2026-11-20") from error


class Exchange(NamedTuple):
    """The display currency, what is assumed of answers, and the dated exchange rates."""

    currency: str
    assumed_output: int
    policy: Policy

    def rate(self, base: str, at_us: int, quote: str = "") -> Rate | None:
        """Units of `quote` (default: the display currency) for one of `base`."""
        return self.policy.rate(base, quote or self.currency, at_us)


def exchange() -> Exchange:
    """What config.toml says, through the ledger where there is one (it also has fetched rates). Raises ConfigError."""
    import os

    from costmon import config, paths
    from costmon.errors import LedgerError
    from costmon.shim import policy

    loaded = config.load(paths.config_file())
    found = _from_config(loaded)
    if os.path.exists(paths.ledger_file()):
        from costmon.cli.budget import opened

        try:
            with opened() as store:
                found = policy.load(store.db)
        except LedgerError as error:
            click.echo(f"warning: {error}; only the rates in {paths.config_file()} count", err=True)
    return Exchange(loaded.display_currency, loaded.limits.assumed_output, found)


def _from_config(loaded: Config) -> Policy:
    from costmon.budget.periods import day_start
    from costmon.shim.policy import Policy

    rates: dict[tuple[str, str], list[tuple[int, Rate]]] = {}
    for entry in sorted(loaded.rates, key=lambda entry: entry.day):
        at = day_start(entry.day, loaded.time_zone)
        rates.setdefault((entry.base, entry.quote), []).append((at, entry.rate))
    limits = loaded.limits
    return Policy("", "", "", (), {}, rates, limits.assumed_output, limits.unknown_price, limits.strict, 0.0)


def now() -> int:
    """µs UTC by the clock of the home: a simulation's prices hold at its own time."""
    from costmon import paths
    from costmon.shim.clock import clock_of

    return clock_of(paths.state_home())()


def open_catalogue(provider: str | None = None) -> Catalogue:
    """Every price file as it is now; what was left out is a warning. Raises BadInput if nobody knows `provider`."""
    from costmon import paths
    from costmon.pricing.lookup import show

    catalogue = show.open_catalogue(paths.user_prices_file())
    for problem in catalogue.problems:
        click.echo(f"warning: {problem}", err=True)
    if provider is not None and provider.lower() not in catalogue.providers:
        near = catalogue.similar_providers(provider)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise BadInput(f"--provider {provider!r} is no provider with prices{hint}")
    return catalogue


def plain(value: Fraction) -> int | float:
    """A count for JSON (never money): whole, or with at most six decimals."""
    return value.numerator if value.denominator == 1 else float(round(value, 6))


# --- for people ---------------------------------------------------------------------------------------------


def money(nano: int, currency: str) -> str:
    """With the digits that matter for comparing: '$0.0012', '$2.4192', '₩15,000'; the least is not 0."""
    from costmon.shim.money import fine_money

    return fine_money(nano, currency)


def money_of(value: Fraction, currency: str, *, digits: int = 3) -> str:
    """`money` of an exact number of nano; a sum below 1 with at least so many digits that count."""
    from costmon.pricing.calculators.scenario import whole_nano
    from costmon.shim.money import fine_money

    return fine_money(whole_nano(value), currency, digits=digits)


def count(band: Band) -> str:
    """'1,200', or '840-1,560' when it is not known exactly."""
    return f"{band.best:,}" if band.exact else f"{band.low:,}-{band.high:,}"


def decimal(value: Fraction, places: int = 2) -> str:
    """A fraction with at most so many decimals and commas: '288', '205.71'."""
    from costmon.shim.money import divide_half_even

    scaled = divide_half_even(value.numerator * 10**places, value.denominator)
    whole, fraction = divmod(scaled, 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0")
    return f"{whole:,}" + (f".{digits}" if digits else "")


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Aligned lines: the first `left` columns to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def wrapped(text: str, indent: str = "  ") -> str:
    """A sentence for 80 columns, indented."""
    import textwrap

    return textwrap.fill(
        text,
        80,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _name(param: click.Parameter | None) -> str:
    if param is None:
        return "it"
    return param.opts[0] if param.param_type_name == "option" else param.human_readable_name


def _quoted(value: object) -> str:
    from costmon.shim.events import clean

    return repr(clean(str(value), 60))
