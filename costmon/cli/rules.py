"""The part of `costmon status` that tells of rules: what is not enforced now, rate limits, breakers, refusals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from costmon.monitor.snapshot import BreakerStatus, RateLimitStatus, RefusedStatus, RulesStatus
from costmon.shim.events import clean


def exceptions(rules: RulesStatus) -> list[str]:
    """Why nothing, or not everything, is refused at present."""
    lines = []
    if rules.dry_run:
        lines.append(
            "DRY RUN: everything is decided and recorded, nothing is refused but what a person has blocked"
        )
    for bypass in rules.bypasses:
        scope = "everything" if bypass.scope == "all" else clean(bypass.scope)
        lines.append(
            f"BYPASS of {scope} until {bypass.until:%Y-%m-%d %H:%M} UTC, by {clean(bypass.by)}: "
            f"{clean(bypass.reason, 300)} · costmon bypass end"
        )
    return lines


def rule_lines(rules: RulesStatus) -> list[str]:
    """Rate limits with their windows, open breakers, and today's refusals by rule."""
    return [
        *(_rate_limit(limit) for limit in rules.rate_limits),
        *(_breaker(breaker) for breaker in rules.breakers),
        *(_refused(refused) for refused in rules.refused),
    ]


def rules_json(rules: RulesStatus) -> dict[str, Any]:
    """The part of the document of `costmon status --json`."""
    return {
        "dry_run": rules.dry_run,
        "bypasses": [
            {
                "scope": bypass.scope,
                "by": bypass.by,
                "reason": bypass.reason,
                "since": _time(bypass.since),
                "until": _time(bypass.until),
            }
            for bypass in rules.bypasses
        ],
        "rate_limits": [
            {
                "name": limit.name,
                "scope": limit.scope,
                "per": limit.per,
                "calls": limit.calls,
                "limit": limit.limit,
                "until": _time(limit.until),
            }
            for limit in rules.rate_limits
        ],
        "breakers": [
            {
                "provider": breaker.provider,
                "failures": breaker.failures,
                "since": _time(breaker.since),
                "until": _time(breaker.until),
            }
            for breaker in rules.breakers
        ],
        "refusals": [
            {
                "rule": refused.rule,
                "scope": refused.scope,
                "calls": refused.calls,
                "would_be": refused.excused,
                "last_at": _time(refused.last_at),
                "reason": refused.reason,
            }
            for refused in rules.refused
        ],
    }


def _rate_limit(limit: RateLimitStatus) -> str:
    full = " · FULL" if limit.calls >= limit.limit else ""
    return (
        f"rate limit {clean(limit.name)} ({clean(limit.scope)}): {limit.calls} of {limit.limit} calls this {limit.per}, "
        f"until {limit.until:%Y-%m-%d %H:%M} UTC{full}"
    )


def _breaker(breaker: BreakerStatus) -> str:
    return (
        f"breaker {clean(breaker.provider)}: open since {breaker.since:%Y-%m-%d %H:%M:%S} UTC after "
        f"{breaker.failures} failures; from {breaker.until:%H:%M:%S} UTC one call tries it"
    )


def _refused(refused: RefusedStatus) -> str:
    verb = "would be refused" if refused.excused else "refused"
    return (
        f"{verb} {refused.calls}× by rule {clean(refused.rule)} ({clean(refused.scope)}), "
        f"last {refused.last_at:%H:%M} UTC: {clean(refused.reason, 300)}"
    )


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
