"""APScheduler's triggers as plan texts. What crontab's five fields cannot say truly is told in APScheduler's own words."""

from __future__ import annotations

import re
from typing import Any

from costmon.shim.events import clean
from costmon.shim.jobs import crons
from costmon.shim.jobs.intervals import spell_interval
from costmon.shim.jobs.zones import at_text, zone_name

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART = re.compile(r"(?:(\*)|([a-z]+|\d+)(?:-([a-z]+|\d+))?)(?:/(\d+))?")
_FIELDS = {
    "minute": crons.MINUTES,
    "hour": crons.HOURS,
    "day": crons.DAYS,
    "month": crons.MONTHS,
    "day_of_week": crons.WEEKDAYS,
}


def plan_of(trigger: Any) -> tuple[str, str]:
    """(plan, zone) of a trigger. Whatever it is, its next time is announced beside it."""
    kind = type(trigger)
    zone = zone_name(getattr(trigger, "timezone", None))
    plan = ""
    if not getattr(trigger, "jitter", None):
        if kind.__module__ == "apscheduler.triggers.interval":
            from datetime import timedelta

            plan, zone = f"every {spell_interval(trigger.interval // timedelta(microseconds=1))}", ""
        elif kind.__module__ == "apscheduler.triggers.date":
            plan, zone = at_text(trigger.run_date), ""
        elif kind.__module__ == "apscheduler.triggers.cron" and zone:
            fields = _cron(trigger)
            plan = f"cron {fields}" if fields else ""
    return plan or clean(f"apscheduler {_own_words(trigger)}"), zone


def _own_words(trigger: Any) -> str:
    # The text of the app's own classes may hold anything.
    kind = type(trigger)
    if not kind.__module__.startswith("apscheduler."):
        return kind.__name__
    if hasattr(trigger, "triggers"):
        return f"{kind.__name__}[{', '.join(_own_words(inner) for inner in trigger.triggers)}]"
    jitter = getattr(trigger, "jitter", None)
    return f"{trigger}{f' jitter {jitter}s' if jitter else ''}"


def _cron(trigger: Any) -> str:
    """The five fields, '' where they would not be the truth."""
    from datetime import UTC, datetime

    if trigger.start_date is not None and trigger.start_date > datetime.now(UTC):
        return ""
    texts = {field.name: str(field) for field in trigger.fields}
    if texts.get("year") != "*" or texts.get("week") != "*" or texts.get("second") != "0":
        return ""
    values = {name: _values(texts[name], whole, name) for name, whole in _FIELDS.items()}
    if not all(values.values()):
        return ""
    # APScheduler counts weekdays from Monday.
    weekdays = {(day + 1) % 7 for day in values["day_of_week"]}
    return crons.spell(values["minute"], values["hour"], values["day"], values["month"], weekdays)


def _values(text: str, whole: range, name: str) -> set[int]:
    """What a field stands for; empty for what crontab does not know ('last', '2nd mon') or nobody can read."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip().lower())
        if match is None:
            return set()
        star, first, last, step = match.groups()
        low = whole[0] if star else _number(first, name)
        high = whole[-1] if star or (step and not last) else _number(last or first, name)
        if low is None or high is None or not whole[0] <= low <= high <= whole[-1]:
            return set()
        found.update(range(low, high + 1, int(step or 1)))
    return found


def _number(text: str, name: str) -> int | None:
    if text.isdecimal():
        return int(text)
    names: tuple[str, ...] = {"month": _MONTHS, "day_of_week": _DAYS}.get(name, ())
    return names.index(text) + (name == "month") if text in names else None
