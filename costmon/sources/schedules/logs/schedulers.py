"""What the loggers of APScheduler 3, Celery (beat and worker) and `schedule` say, in their own words."""

from __future__ import annotations

import re

from costmon.sources.schedules.logs.spans import CLOCK, every, of_unit, span_us
from costmon.sources.schedules.logs.tell import ADDED, DONE, FAILURE, RUN, SKIPPED, START, STOP, Tell

_NAMED = r'"(?P<job>[^"]{1,300}?)(?: \(trigger: (?P<trigger>.{1,400}?)(?:, next run at: (?P<next>[^)]{1,60}))?\))?"'
_RUNNING = re.compile(rf"Running job {_NAMED}(?: \(scheduled at (?P<planned>[^)]{{1,60}})\))?")
_EXECUTED = re.compile(rf"Job {_NAMED} executed successfully")
_RAISED = re.compile(rf"Job {_NAMED} raised an exception")
_MISSED = re.compile(rf"Run time of job {_NAMED} was missed by (?P<late>{CLOCK})")
_SKIPPED = re.compile(rf"Execution of job {_NAMED} skipped: maximum number of running instances reached")
_ADDED = re.compile(r'Added job "(?P<job>[^"]{1,300})" to job store')
_STARTED = re.compile(r"(?:^|[\s:-])Scheduler (?:(?P<on>started)|has been shut down)$")
_INTERVAL = re.compile(rf"interval\[({CLOCK})\]")
_CRON = re.compile(r"cron\[(.+)\]")
_FIELD = re.compile(r"(\w+)='([^']{1,60})'")
_DUE = re.compile(r"Scheduler: Sending due task (?P<entry>\S{1,300}) \((?P<task>[^)\s]{1,300})\)")
_TASK = re.compile(
    r"Task (?P<task>[\w.:-]{1,300})\[[\w-]{1,80}\] (?:(?P<received>received)|succeeded in (?P<took>[\d.e-]{1,30})s"
    r"|(?P<failed>raised unexpected))"
)
_SCHEDULE = re.compile(
    r"Running job Job\(interval=(?P<number>\d{1,9}), unit=(?P<unit>seconds|minutes|hours|days|weeks), "
    r"do=(?P<job>[\w.<>-]{1,200})"
)
_BEAT = re.compile(r"beat: Starting\.\.\.")
_ORDER = ("month", "day", "day_of_week", "hour", "minute")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def tells(text: str) -> tuple[Tell, ...]:
    """What a message tells if it is one of theirs, nothing otherwise."""
    if '"' in text and (found := _apscheduler(text)):
        return found
    if state := _STARTED.search(text):
        return (Tell(START if state["on"] else STOP),)
    if own := _SCHEDULE.search(text):
        return (Tell(RUN, own["job"], plan=every(of_unit(own["number"], own["unit"])), shape="run"),)
    if due := _DUE.search(text):
        return (Tell(RUN, due["entry"], shape="due", task=due["task"]),)
    if task := _TASK.search(text):
        return (_of_task(task),)
    return (Tell(START),) if _BEAT.search(text) else ()


def plan_of(trigger: str) -> str:
    """The plan of a trigger as APScheduler spells it; '' for one that has no plan of ours."""
    if interval := _INTERVAL.fullmatch(trigger):
        return every(span_us(interval.group(1)))
    cron = _CRON.fullmatch(trigger)
    return _cron(dict(_FIELD.findall(cron.group(1)))) if cron else ""


def _apscheduler(text: str) -> tuple[Tell, ...]:
    if match := _RUNNING.search(text):
        return (_named(RUN, match)._replace(planned_text=match["planned"] or "", shape="run"),)
    if match := _EXECUTED.search(text):
        return (_named(DONE, match)._replace(ok=True),)
    if match := _RAISED.search(text):
        return (_named(FAILURE, match)._replace(ok=False, ends=True),)
    if match := _MISSED.search(text):
        return (_named(SKIPPED, match)._replace(took_us=span_us(match["late"])),)
    if match := _SKIPPED.search(text):
        return (_named(SKIPPED, match),)
    if match := _ADDED.search(text):
        return (Tell(ADDED, match["job"]),)
    return ()


def _named(what: str, match: re.Match[str]) -> Tell:
    return Tell(what, match["job"], plan=plan_of(match["trigger"] or ""), next_text=match["next"] or "")


def _of_task(match: re.Match[str]) -> Tell:
    if match["received"]:
        return Tell(RUN, match["task"], shape="received")
    if match["failed"]:
        return Tell(FAILURE, match["task"], ok=False, ends=True)
    try:
        took = round(float(match["took"]) * 1_000_000)
    except (ValueError, OverflowError):
        took = 0
    return Tell(DONE, match["task"], took_us=took or None, ok=True)


def _cron(fields: dict[str, str]) -> str:
    """APScheduler's fields as the five of cron, if they mean the same there."""
    if not fields or set(fields) - {*_ORDER, "second"} or fields.get("second", "0") != "0":
        return ""
    if fields.keys() == {"second"}:
        return "cron * * * * *"
    if "day" in fields and "day_of_week" in fields and "*" not in (fields["day"], fields["day_of_week"]):
        return ""  # it asks for both, cron for either
    least = max(_ORDER.index(name) for name in fields if name in _ORDER)
    usual = {"month": "1", "day": "1", "day_of_week": "*", "hour": "0", "minute": "0"}
    whole = {name: fields.get(name, "*" if at < least else usual[name]) for at, name in enumerate(_ORDER)}
    days = _days(whole["day_of_week"])
    if not days or any(re.search(r"[^\d*,/-]", whole[name]) for name in _ORDER if name != "day_of_week"):
        return ""
    return f"cron {whole['minute']} {whole['hour']} {whole['day']} {whole['month']} {days}"


def _days(text: str) -> str:
    """Days of the week: APScheduler counts from Monday = 0, cron from Sunday = 0."""
    if text == "*":
        return "*"
    parts = []
    for part in text.split(","):
        ends = [_DAYS[int(end)] if end.isdigit() and int(end) < 7 else end for end in part.split("-")]
        if not 1 <= len(ends) <= 2 or any(end not in _DAYS for end in ends):
            return ""
        parts.append("-".join(str((_DAYS.index(end) + 1) % 8) for end in ends))
    return ",".join(parts)
