"""Every exception costmon raises.

CostmonError
 ├ SpendBlocked        a call was refused before any byte left the machine (the only one a host app meets)
 ├ ConfigError         config.toml or a theme is wrong: file, line or key, and what to do
 ├ PriceError          a price file is wrong: file, key, and what to do
 ├ CredentialError     a key is missing, refused or out of reach: where, and what to do
 └ LedgerError         the ledger cannot be used
    ├ LedgerBusy       another process holds the write lock longer than we may wait
    └ LedgerUnusable   it cannot be opened, read or written (full disk, read-only, corrupt, foreign file)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime


class CostmonError(Exception):
    """Base of everything costmon raises on purpose."""


class SpendBlocked(CostmonError):
    """A metered call was refused before it left the machine.

    Args:
        reason: one sentence a person can act on.
        scope: what is blocked: `all`, `nonessential`, or `provider=…`, `model=…`, `app=…`, `route=…`, `job=…`.
        rule: which rule refused: `switch`, `budget`, `budget95`, `price`, `ledger`, `rate`, `breaker`, `repeat`,
            or `retry_loop`.
        since: when the block began, aware UTC, or None when it began with this call.
        until: when it lapses by itself, aware UTC, or None when only a person lifts it.
        retry_after: seconds after which a retry makes sense, or None.
        budget: the name of the budget that refused, if one did.
        spent, reserved, limit: integer 1e-9 units of `currency`; None when the rule is not a budget.
    """

    def __init__(
        self,
        reason: str,
        *,
        scope: str = "all",
        rule: str = "switch",
        since: datetime | None = None,
        until: datetime | None = None,
        retry_after: float | None = None,
        budget: str | None = None,
        spent: int | None = None,
        reserved: int | None = None,
        limit: int | None = None,
        currency: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.scope = scope
        self.rule = rule
        self.since = since
        self.until = until
        self.retry_after = retry_after
        self.budget = budget
        self.spent = spent
        self.reserved = reserved
        self.limit = limit
        self.currency = currency

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_blocked, (self.reason, {k: v for k, v in self.__dict__.items() if k != "reason"}))


def _rebuild_blocked(reason: str, fields: dict[str, object]) -> SpendBlocked:
    return SpendBlocked(reason, **fields)  # type: ignore[arg-type]


class ConfigError(CostmonError):
    """A file the user edits is wrong. The message names the file, the line or key, and the fix."""


class PriceError(CostmonError):
    """A price file is wrong. The message names the file, the key, and the fix."""


class CredentialError(CostmonError):
    """A key is missing, refused or out of reach. The message says where it was looked for and what to do, never the key."""


class LedgerError(CostmonError):
    """The ledger cannot be used."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger's write lock longer than this caller may wait."""


class LedgerUnusable(LedgerError):
    """The ledger cannot be opened, read or written; the message says why."""
