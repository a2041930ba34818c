"""Which variables of an environment hold a schedule, and what they say: one recogniser for compose files and audits."""

from __future__ import annotations

import re
from typing import NamedTuple

from costmon.insight.schedule import plans
from costmon.shim.jobs.intervals import interval_us, spell_interval

_UNITS = {
    "MS": 1_000, "MSEC": 1_000, "MSECS": 1_000, "MILLIS": 1_000, "MILLISECOND": 1_000, "MILLISECONDS": 1_000,
    "S": 1_000_000, "SEC": 1_000_000, "SECS": 1_000_000, "SECOND": 1_000_000, "SECONDS": 1_000_000,
    "M": 60_000_000, "MIN": 60_000_000, "MINS": 60_000_000, "MINUTE": 60_000_000, "MINUTES": 60_000_000,
    "H": 3_600_000_000, "HR": 3_600_000_000, "HRS": 3_600_000_000, "HOUR": 3_600_000_000, "HOURS": 3_600_000_000,
    "D": 86_400_000_000, "DAY": 86_400_000_000, "DAYS": 86_400_000_000,
}  # fmt: skip
_SPOKEN_UNITS = _UNITS.keys() - {"M", "H", "D"}
"""Units a name can end in; EVERY_M could be anything, so single letters other than S count only in a value."""
_STRONG = frozenset({"INTERVAL", "EVERY", "CADENCE", "CRON", "CRONTAB"})
_WEAK = frozenset({"PERIOD", "FREQUENCY", "POLL", "POLLING", "SCHEDULE"})
"""RSI_PERIOD=14 is no schedule: these count with a unit, in the name or in the value, or with a cron expression."""
_NOISE = frozenset({"EXPR", "EXPRESSION", "TIME", "SPEC", "STRING", "DELAY", "RATE", "IN", "N"})
_OTHERS = frozenset({
    "TIMEOUT", "HEALTHCHECK", "HEALTH", "HEARTBEAT", "RETENTION", "GRACE", "TTL", "RETRY", "RETRIES", "BACKOFF", "KEEPALIVE",
    "PING", "METRICS", "SCRAPE", "FLUSH", "LOG", "LOGS", "RELOAD", "LIVENESS", "READINESS", "TRIAL", "BILLING", "LEASE",
    "LOOKBACK", "WINDOW", "CHECKPOINT", "AUTOSAVE", "CANDLE", "CANDLES", "KLINE", "KLINES", "BAR", "BARS", "CHART", "OHLCV",
    "ENABLE", "ENABLED", "DISABLE", "DISABLED",
})  # fmt: skip
"""Words that tell of another kind of interval than a job's: HEALTHCHECK_INTERVAL, METRICS_FLUSH_PERIOD_SECONDS."""
_BEFORE = frozenset({"ENABLE", "RUN", "START", "USE", "WITH", "DISABLE"})
_BEHIND = frozenset({"ENABLED", "ENABLE", "ACTIVE", "ON", "DISABLED", "DISABLE"})
_SCHEDULERS = frozenset(
    {"SCHEDULER", "SCHEDULERS", "SCHEDULING", "SCHEDULE", "CRON", "BEAT", "JOBS", "POLLER", "POLLING"}
)
_TRUE = frozenset({"true", "1", "yes", "on", "y", "t", "enable", "enabled"})
_FALSE = frozenset({"false", "0", "no", "off", "n", "f", "disable", "disabled", "none", ""})
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,6})?")
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|msecs?|millis(?:econds?)?)", re.IGNORECASE)
_LONGEST_US = 400 * 86_400_000_000


class Cadence(NamedTuple):
    """What an interval variable says. `plan` as in the ledger's announcements, '' = not to be known, then `why` tells in
    one sentence (without the value). `job` is the name its prefix gives the job, '' = it has none."""

    plan: str
    job: str
    why: str = ""


def cadence(name: str, value: str | None) -> Cadence | None:
    """What the variable says about a schedule, None if it is not one of a schedule's."""
    if not schedules(name):
        return None
    job, text = job_of(name), (value or "").strip()
    if not text:
        return Cadence("", job, f"{name} has no value")
    if (plan := _cron(text)) is not None:
        return Cadence(plan, job)
    if _NUMBER.fullmatch(text):
        unit = _unit(name)
        if unit is None:
            weak = _cores(name)[-1] in _WEAK
            return (
                None
                if weak
                else Cadence("", job, f"{name} is a number without a unit, so its plan is unknown")
            )
        us = round(float(text) * unit)
    else:
        us = _spoken(text)
    if not 0 < us <= _LONGEST_US:
        return Cadence("", job, f"what {name} is set to is neither an interval nor a cron expression")
    return Cadence(f"every {spell_interval(us)}", job)


def schedules(name: str) -> bool:
    """Whether the name is one of a schedule: SCHEDULER_INTERVAL_MINUTES, CRAWL_EVERY, REPORT_CRON, POLL_SECONDS …"""
    cores = _cores(name)
    return bool(cores) and cores[-1] in _STRONG | _WEAK and not _OTHERS.intersection(cores)


def job_of(name: str) -> str:
    """What stands before the schedule's own words, for a job's name: 'scheduler', 'daily-report'; '' if nothing does."""
    words = _cores(name)
    while words and words[-1] in _STRONG | _WEAK:
        words.pop()
    return "-".join(word.lower() for word in words)


def enables(name: str) -> bool:
    """Whether the variable switches a scheduler on or off: SCHEDULER_ENABLED, ENABLE_SCHEDULER, RUN_SCHEDULER …"""
    words = _words(name)
    if len(words) < 2:
        return words == ["SCHEDULER"]
    before = words[0] in _BEFORE and words[-1] in _SCHEDULERS
    return before or (words[-1] in _BEHIND and words[-2] in _SCHEDULERS)


def disables(name: str) -> bool:
    """Whether true means off: DISABLE_SCHEDULER, SCHEDULER_DISABLED."""
    words = _words(name)
    return enables(name) and (words[0] == "DISABLE" or words[-1] in ("DISABLE", "DISABLED"))


def truth(value: str | None) -> bool | None:
    """What a switch is set to; None if that is neither yes nor no."""
    if value is None:
        return None
    text = value.strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.upper()) if word]


def _cores(name: str) -> list[str]:
    """The name's words without units and filling words."""
    return [word for word in _words(name) if word not in _SPOKEN_UNITS and word not in _NOISE]


def _unit(name: str) -> int | None:
    return next((_UNITS[word] for word in reversed(_words(name)) if word in _SPOKEN_UNITS), None)


def _spoken(text: str) -> int:
    """'5m', '1h30m', '500ms' in µs; 0 if it is none of that."""
    if len(text) > 64:
        return 0
    if small := _QUANTITY.fullmatch(text):
        return round(float(small[1]) * 1_000)
    try:
        return interval_us(text)
    except ValueError:
        return 0


def _cron(text: str) -> str | None:
    """The plan a cron expression means, None if it is none."""
    if len(text) > 200 or not (text.startswith("@") or len(text.split()) in (5, 6)):
        return None
    plan = f"cron {' '.join(text.split())}"
    return plan if plans.parse(plan) is not None else None
