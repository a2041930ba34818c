"""Fields of crontab(5) out of the sets of values they stand for."""

from __future__ import annotations

from collections.abc import Collection

MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS = range(60), range(24), range(1, 32), range(1, 13), range(7)


def spell_field(values: Collection[int], whole: range) -> str:
    """The shortest field that stands for `values`, which lie in `whole`: '*', '*/15', '1-5', '9,12,18'.

    Raises ValueError for none, or for one outside of `whole`.
    """
    found = sorted(set(values))
    if not found or found[0] < whole[0] or found[-1] > whole[-1]:
        raise ValueError("no such field")
    if len(found) == len(whole):
        return "*"
    step = found[1] - found[0] if len(found) > 2 else 0
    if step > 1 and found == list(whole[::step]):
        return f"*/{step}"
    return ",".join(_runs(found))


def spell(
    minutes: Collection[int],
    hours: Collection[int],
    days: Collection[int],
    months: Collection[int],
    weekdays: Collection[int],
) -> str:
    """Five fields for times at which all of them hold; weekdays count from Sunday, 0. '' where cron has none.

    crontab(5) runs a job when the day of the month *or* the day of the week fits, if both are restricted.
    """
    try:
        day, weekday = spell_field(days, DAYS), spell_field(weekdays, WEEKDAYS)
        if day != "*" and weekday != "*":
            return ""
        if weekday.startswith("*/"):  # a star to some crons, whatever follows
            weekday = ",".join(str(number) for number in sorted(set(weekdays)))
        fields = (
            spell_field(minutes, MINUTES),
            spell_field(hours, HOURS),
            day,
            spell_field(months, MONTHS),
            weekday,
        )
    except ValueError:
        return ""
    return " ".join(fields)


def _runs(found: list[int]) -> list[str]:
    spelled: list[str] = []
    start = previous = found[0]
    for value in [*found[1:], -2]:
        if value == previous + 1:
            previous = value
            continue
        if previous - start >= 2:
            spelled.append(f"{start}-{previous}")
        else:
            spelled.extend(str(number) for number in range(start, previous + 1))
        start = previous = value
    return spelled
