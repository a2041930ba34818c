"""Schedulers in Python: APScheduler, schedule, Celery beat, costmon.job, and a few decorators."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fractions import Fraction

from costmon.audit.cadences import of_cron, of_interval, of_seconds
from costmon.audit.python.reach import Reach
from costmon.audit.python.source import Count, Source, keyword, last_name
from costmon.audit.secrets import shown
from costmon.audit.values import Cadence, Declared
from costmon.shim.jobs.intervals import interval_us
from costmon.sources.compose.values import Place

_BEAT = ("beat_schedule", "celery_beat_schedule", "celerybeat_schedule")
_CHAIN = {
    **dict.fromkeys(("second", "seconds"), 1),
    **dict.fromkeys(("minute", "minutes"), 60),
    **dict.fromkeys(("hour", "hours"), 3_600),
    **dict.fromkeys(("day", "days"), 86_400),
    **dict.fromkeys(("week", "weeks"), 604_800),
    **dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), 604_800),
}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CRON_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
Plan = tuple[Cadence | None, str]
"""A cadence, and the environment variable that may change it."""
_UNKNOWN: Plan = (None, "")


def declared(source: Source) -> Iterator[Declared]:
    """Every job that the file declares, in no order."""
    reach, models = Reach(source), source.models()
    for one, function in _found(source):
        name = function if isinstance(function, str) else last_name(function)
        ties = one.ties or (reach.of_name(name) if isinstance(function, str) else reach.of_call(function))
        yield one._replace(ties=ties, function=name, models=models)


Found = tuple[Declared, ast.expr | str | None]
"""A job and what it runs: a function, or the name of one that the file defines."""


def _found(source: Source) -> Iterator[Found]:
    for call in source.calls:
        name = source.dotted(call.func).rpartition(".")[2] or last_name(call.func)
        reader = _READERS.get(name)
        if reader is not None:
            yield from reader(source, call)
    yield from _beat_schedules(source)


def _made(
    source: Source, kind: str, job: str, node: ast.AST, plan: Plan, function: ast.expr | str | None
) -> Found:
    place = Place(source.path, getattr(node, "lineno", 1))
    cadence, variable = plan
    text = cadence.text if cadence is not None else "a plan that cannot be read"
    return Declared(shown(job) or "?", kind, place, text, cadence, variable), function


# --- APScheduler --------------------------------------------------------------------------------------------


def _add_job(source: Source, call: ast.Call) -> Iterator[Found]:
    decorates = last_name(call.func) == "scheduled_job"
    positional = 0 if decorates else 1
    trigger = keyword(call, "trigger") or (call.args[positional] if len(call.args) > positional else None)
    plan = _trigger(source, source.resolved(trigger), call)
    if plan is None:
        return
    function = keyword(call, "func") or (call.args[0] if call.args and not decorates else None)
    own = source.text(keyword(call, "id")) or source.text(keyword(call, "name"))
    job = own or source.decorated.get(id(call)) or last_name(function)
    yield _made(source, "apscheduler", job, call, plan, function or source.decorated.get(id(call)))


def _trigger(source: Source, trigger: ast.expr | None, call: ast.Call) -> Plan | None:
    """The plan of a trigger; None where it is none that repeats."""
    if isinstance(trigger, ast.Constant):
        if trigger.value == "interval":
            return _of_count(source.units(call))
        return _fields(source, call) if trigger.value == "cron" else None
    if not isinstance(trigger, ast.Call):
        return None
    name = source.dotted(trigger.func)
    if name.endswith("IntervalTrigger"):
        return _of_count(source.units(trigger, positional=("weeks", "days", "hours", "minutes", "seconds")))
    if name.endswith("CronTrigger.from_crontab"):
        expression = source.text(trigger.args[0]) if trigger.args else None
        return (of_cron(_from_monday(expression)), "") if expression else _UNKNOWN
    return _fields(source, trigger) if name.endswith("CronTrigger") else None


def _of_count(count: Count) -> Plan:
    return of_seconds(count.value), count.variable


def _fields(source: Source, call: ast.Call) -> Plan:
    """APScheduler's cron: fields left of the first that is given are '*', those right of it their least."""
    given: dict[str, str | None] = {
        one.arg: _field(source, one.value)
        for one in call.keywords
        if one.arg is not None and one.arg in (*_CRON_FIELDS, "second", "week", "year")
    }
    if None in given.values() or given.keys() & {"week", "year"}:
        return _UNKNOWN
    if given.get("second", "0") not in ("0", "*"):
        return _seconds(given)
    if given.get("second") == "*":
        return of_seconds(Fraction(1)), ""
    # The finest field that is given; everything coarser is free.
    finest = next(
        (at for at, name in enumerate(("minute", "hour", "day_of_week", "day", "month")) if name in given),
        None,
    )
    if finest is None:
        return _UNKNOWN
    minute = given.get("minute", "0")
    hour = given.get("hour", "*" if finest < 1 else "0")
    day = given.get("day", "1" if finest == 4 else "*")
    weekday = _from_monday(f"* * * * {given.get('day_of_week', '*')}").split()[4]
    return of_cron(f"{minute} {hour} {day} {given.get('month', '*')} {weekday}"), ""


def _seconds(given: Mapping[str, str | None]) -> Plan:
    """Several times a minute: '*/10' alone is an interval."""
    step = (given.get("second") or "").partition("*/")[2]
    if given.keys() == {"second"} and step.isdecimal() and len(step) < 3 and int(step):
        return of_seconds(Fraction(int(step))), ""
    return _UNKNOWN


def _field(source: Source, node: ast.expr) -> str | None:
    found = source.resolved(node)
    if (
        isinstance(found, ast.Constant)
        and isinstance(found.value, (int, str))
        and not isinstance(found.value, bool)
    ):
        return str(found.value).replace(" ", "")
    return None


def _from_monday(expression: str) -> str:
    """APScheduler counts weekdays from Monday = 0, cron from Sunday = 0."""
    fields = expression.split()
    if len(fields) != 5 or "/" in fields[4]:
        return expression
    days = [
        "-".join(_WEEKDAYS[int(one)] if one.isdecimal() and int(one) < 7 else one for one in part.split("-"))
        for part in fields[4].split(",")
    ]
    return " ".join([*fields[:4], ",".join(days)])


# --- schedule -----------------------------------------------------------------------------------------------


def _do(source: Source, call: ast.Call) -> Iterator[Found]:
    """`schedule.every(5).minutes.do(job)`."""
    node: ast.AST = call.func.value if isinstance(call.func, ast.Attribute) else call
    unit = 0
    to: ast.expr | None = None
    for _ in range(12):
        if isinstance(node, ast.Attribute):
            unit = _CHAIN.get(node.attr, unit)
            node = node.value
        elif isinstance(node, ast.Call) and last_name(node.func) == "every":
            break
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            to = node.args[0] if node.func.attr == "to" and node.args else to
            node = node.func.value
        else:
            return
    if not isinstance(node, ast.Call) or last_name(node.func) != "every" or not unit:
        return
    first = source.count(node.args[0]) if node.args else Count(Fraction(1))
    job = last_name(call.args[0]) if call.args else ""
    function = call.args[0] if call.args else None
    yield _made(source, "schedule", job, call, _between(source, first, to, unit), function)


def _between(source: Source, first: Count, to: ast.expr | None, unit: int) -> Plan:
    if first.value is None:
        return None, first.variable
    plan = of_seconds(first.value * unit)
    last = source.count(to).value if to is not None else None
    if plan is not None and last is not None and last > first.value:
        mean = of_seconds((first.value + last) / 2 * unit)
        plan = plan._replace(weekly=mean.weekly) if mean is not None else plan
    return plan, first.variable


# --- Celery -------------------------------------------------------------------------------------------------


def _beat_schedules(source: Source) -> Iterator[Found]:
    for node in source.assignments:
        if node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from _assigned(source, target, node.value)
    for keyed in source.keywords:
        if (keyed.arg or "").lower() in _BEAT:
            yield from _beat(source, keyed.value)


def _assigned(source: Source, target: ast.expr, value: ast.expr) -> Iterator[Found]:
    if last_name(target).lower() in _BEAT:
        yield from _beat(source, value)
    elif isinstance(target, ast.Subscript) and last_name(target.value).lower() in _BEAT:
        yield from _entry(source, source.text(target.slice), value)


def _beat(source: Source, node: ast.expr) -> Iterator[Found]:
    found = source.resolved(node) if not isinstance(node, ast.Dict) else node
    if isinstance(found, ast.Dict):
        for key, value in zip(found.keys, found.values, strict=True):
            yield from _entry(source, source.text(key), value)


def _entry(source: Source, name: str | None, value: ast.expr) -> Iterator[Found]:
    entry = source.resolved(value)
    if not isinstance(entry, ast.Dict):
        return
    fields = {source.text(key): one for key, one in zip(entry.keys, entry.values, strict=True)}
    if "schedule" in fields:
        job = name or source.text(fields.get("task")) or ""
        node = fields["schedule"]
        task = (source.text(fields.get("task")) or "").rpartition(".")[2]
        yield _made(source, "celery", job, node, _celery_plan(source, node), task)


def _celery_plan(source: Source, node: ast.expr) -> Plan:
    found = source.resolved(node)
    if isinstance(found, ast.Call):
        name = last_name(found.func)
        if name == "crontab":
            return _celery_crontab(source, found)
        if name == "schedule" and (keyword(found, "run_every") or found.args):
            return _of_count(source.seconds(keyword(found, "run_every") or found.args[0]))
    return _of_count(source.seconds(found))


def _celery_crontab(source: Source, call: ast.Call) -> Plan:
    """Celery's crontab(): every field that is not given is '*'."""
    names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    given = dict(zip(names, call.args, strict=False))
    given.update({one.arg: one.value for one in call.keywords if one.arg in names})
    fields = {name: _field(source, node) for name, node in given.items()}
    if None in fields.values():
        return _UNKNOWN
    order = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return of_cron(" ".join(fields.get(name) or "*" for name in order)), ""


def _periodic(source: Source, call: ast.Call) -> Iterator[Found]:
    """`app.add_periodic_task(300.0, trade.s(), name="trade")`."""
    if not call.args:
        return
    task = call.args[1] if len(call.args) > 1 else None
    if isinstance(task, ast.Call) and isinstance(task.func, ast.Attribute):
        task = task.func.value
    job = source.text(keyword(call, "name")) or last_name(task)
    yield _made(source, "celery", job, call, _celery_plan(source, call.args[0]), task)


# --- others -------------------------------------------------------------------------------------------------


def _costmon_job(source: Source, call: ast.Call) -> Iterator[Found]:
    if source.dotted(call.func) != "costmon.job" or not call.args:
        return
    every, cron = keyword(call, "every"), keyword(call, "cron")
    plan: Plan | None = None
    if cron is not None:
        expression = source.text(cron)
        plan = (of_cron(expression) if expression else None), ""
    elif every is not None:
        text = source.text(every)
        plan = (_of_text(text), "") if text is not None else _of_count(source.count(every))
    if plan is not None:
        job = source.text(call.args[0]) or ""
        one, function = _made(source, "costmon.job", job, call, plan, source.decorated.get(id(call)))
        yield one._replace(ties=True), function


def _of_text(text: str) -> Cadence | None:
    try:
        return of_interval(interval_us(text))
    except ValueError:
        return None


def _repeat_every(source: Source, call: ast.Call) -> Iterator[Found]:
    """`@repeat_every(seconds=300)` of FastAPI's utilities."""
    if id(call) in source.decorated:
        name = source.decorated[id(call)]
        yield _made(source, "repeat_every", name, call, _of_count(source.units(call)), name)


def _cron_decorator(source: Source, call: ast.Call) -> Iterator[Found]:
    """`@aiocron.crontab("*/5 * * * *")`."""
    expression = source.text(call.args[0]) if call.args else None
    if id(call) in source.decorated and expression is not None:
        name = source.decorated[id(call)]
        yield _made(source, "aiocron", name, call, (of_cron(expression), ""), name)


def _labelled(source: Source, call: ast.Call) -> Iterator[Found]:
    """`@broker.task(schedule=[{"cron": "*/5 * * * *"}])` of taskiq."""
    entries = source.resolved(keyword(call, "schedule"))
    if id(call) not in source.decorated or not isinstance(entries, ast.List):
        return
    for entry in entries.elts:
        if isinstance(entry, ast.Dict):
            fields = {source.text(key): one for key, one in zip(entry.keys, entry.values, strict=True)}
            expression = source.text(fields.get("cron"))
            if expression is not None:
                name = source.decorated[id(call)]
                yield _made(source, "taskiq", name, entry, (of_cron(expression), ""), name)


_READERS = {
    "add_job": _add_job,
    "add_schedule": _add_job,
    "scheduled_job": _add_job,
    "do": _do,
    "add_periodic_task": _periodic,
    "job": _costmon_job,
    "repeat_every": _repeat_every,
    "crontab": _cron_decorator,
    "task": _labelled,
}
