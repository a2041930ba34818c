"""What a round leaves of balances: a row for as long as one stayed the same and somebody looked.

Inside the caller's transaction. Times are µs UTC, amounts are text in major units of the balance's unit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from decimal import Decimal

from costmon.shim.events import clean
from costmon.shim.timestamps import to_us
from costmon.sources.providers.polling.rounds import Polled
from costmon.sources.providers.protocol import Balance

_MAX_TEXT = 200
_FOLLOWING = 3
"""Rounds further apart than this many rhythms leave a gap."""


def write(db: sqlite3.Connection, polled: Polled, told: Sequence[Balance], now: int) -> None:
    """Write what the round at `now` was told; the source's row still has the one before."""
    if told:
        _forget_what_never_was(db, polled, now)
    for balance in told:
        _write(db, polled, balance, now)


def _forget_what_never_was(db: sqlite3.Connection, polled: Polled, now: int) -> None:
    """Balances first seen between the last round and this one, when no round was: a clock that was ahead wrote them.

    Only where the two rounds follow in the source's rhythm. After a longer time it may be this clock that was behind and
    is right again, and those rows be the true ones.
    """
    (before,) = db.execute("select ok_at from source where name = ?", (polled.name,)).fetchone()
    if before is not None and before < now <= before + _FOLLOWING * polled.rhythm.every_us:
        db.execute(
            "delete from balance where source = ? and first_at > ? and first_at <= ?",
            (polled.name, before, now),
        )


def _write(db: sqlite3.Connection, polled: Polled, balance: Balance, now: int) -> None:
    """The newest row goes on while nothing of it changes and somebody looks: a gap is one even if both ends are equal.

    Rows ahead of the clock are left alone: nobody knows whether it was ahead then, or is behind now.
    """
    key = (polled.name, clean(balance.label, _MAX_TEXT), clean(balance.unit, _MAX_TEXT))
    where = "source = ? and label = ? and unit = ?"
    last = db.execute(
        "select first_at, amount, limit_amount, resets_at, per_hour, spendable, last_at from balance"  # noqa: S608
        f" where {where} and first_at <= ? order by first_at desc limit 1",
        (*key, now),
    ).fetchone()
    resets_at = to_us(balance.resets_at) if balance.resets_at is not None else None
    values = (
        _plain(balance.amount),
        _plain(balance.limit),
        resets_at,
        _plain(balance.per_hour),
        int(balance.spendable),
    )
    goes_on = (
        last is not None and last[1:6] == values and now - last[6] <= _FOLLOWING * polled.rhythm.every_us
    )
    if last is not None and (goes_on or last[0] == now):
        db.execute(
            "update balance set last_at = max(last_at, ?), amount = ?, limit_amount = ?, resets_at = ?,"  # noqa: S608
            f" per_hour = ?, spendable = ? where {where} and first_at = ?",
            (now, *values, *key, last[0]),
        )
        return
    db.execute(
        "insert into balance (source, label, unit, first_at, last_at, amount, limit_amount, resets_at, per_hour,"
        " spendable) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, now, now, *values),
    )


def _plain(value: Decimal | None) -> str | None:
    """All its digits without an exponent, and no zeros behind them: the same amount is the same text."""
    if value is None:
        return None
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
