"""The rules beside budgets: rate limits, a circuit breaker, guards against repeats and retry loops, and what excuses.

`check` runs in the transaction that reserves, `after` in the one that settles, so every process sees one count. A rule
that is not configured costs nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from costmon.shim.rules import breaker, override, rate, repetition
from costmon.shim.rules.breaker import Breaker
from costmon.shim.rules.override import Override
from costmon.shim.rules.rate import RateLimit
from costmon.shim.rules.repetition import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from sqlite3 import Connection

    from costmon.errors import SpendBlocked
    from costmon.shim.events import Attempt, Settlement

    Verdict = Callable[[SpendBlocked], None]

_T = TypeVar("_T", Breaker, Guard)
# The app itself gave up, or we refused a call inside a tracked one: that says nothing about the provider.
_OWN_DOING = frozenset(
    {"CancelledError", "Cancelled", "KeyboardInterrupt", "GeneratorExit", "SystemExit", "SpendBlocked"}
)


class Rules(NamedTuple):
    """The rules in force. `warn_prompt_tokens` 0 = never; `dry_run`: decide and record, refuse nothing."""

    limits: tuple[RateLimit, ...] = ()
    breaker: Breaker | None = None
    repeat: Guard | None = None
    retry_loop: Guard | None = None
    overrides: tuple[Override, ...] = ()
    dry_run: bool = False
    warn_prompt_tokens: int = 0

    def excuses(self, labels: Mapping[str, str], now: int) -> bool:
        """Whether what costmon decides by itself does not refuse a call with these labels at `now`."""
        return self.dry_run or override.bypass(self.overrides, labels, now) is not None


def load(db: Connection, settings: Mapping[str, str]) -> Rules:
    """The rules as compiled into the ledger."""
    return Rules(
        limits=rate.load(db),
        breaker=_of(Breaker, settings.get("breaker"), "failures", "within_us", "pause_us"),
        repeat=_of(Guard, settings.get("repeat"), "calls", "within_us"),
        retry_loop=_of(Guard, settings.get("retry_loop"), "failures", "within_us"),
        overrides=override.load(db),
        dry_run=settings.get("dry_run") == "1",
        warn_prompt_tokens=int(settings.get("warn_prompt_tokens") or 0),
    )


def check(db: Connection, rules: Rules, attempt: Attempt, labels: Mapping[str, str], refuse: Verdict) -> None:
    """Count `attempt` against the rules and hand every refusal to `refuse`, which raises it unless it is excused."""
    if rules.limits:
        rate.check(db, rules.limits, attempt, labels, refuse)
    if rules.breaker is not None:
        breaker.check(db, rules.breaker, attempt, refuse)
    if attempt.fingerprint and (rules.repeat is not None or rules.retry_loop is not None):
        repetition.check(db, rules.repeat, rules.retry_loop, attempt, refuse)


def after(db: Connection, rules: Rules, attempt: Attempt, settlement: Settlement) -> None:
    """Learn from what became of `attempt`."""
    if rules.breaker is None and rules.retry_loop is None:
        return
    own_doing = settlement.outcome == "dropped" or settlement.error in _OWN_DOING
    failed = settlement.outcome != "ok" and not own_doing
    if rules.breaker is not None:
        status = settlement.status_code
        broken = failed and (status is None or status >= 500 or status == 429)
        breaker.after(db, rules.breaker, attempt, settlement.settled_at, None if own_doing else broken)
    if rules.retry_loop is not None and attempt.fingerprint and not own_doing:
        repetition.after(db, rules.repeat, rules.retry_loop, attempt, settlement.settled_at, failed=failed)


def _of(kind: type[_T], text: str | None, *keys: str) -> _T | None:
    if not text:
        return None
    values = json.loads(text)
    return kind(*(int(values[key]) for key in keys))
