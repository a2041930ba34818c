"""Everything known of one job: what is wrong, its plan and who says so, what ran, what it costs. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import zip_longest

from rich.cells import cell_len

from costmon.insight.schedule.values import UNEXPECTED, Count
from costmon.monitor.schedule.values import AnnouncedPlan, RunStatus, ScheduledJob
from costmon.tui import lines as picture
from costmon.tui.format import age, cut, every, fit, latency, moment, safe, zone
from costmon.tui.lines import EMPTY, Line, Span, line, wrapped
from costmon.tui.widgets.jobstrip import SIGNS, sign_of
from costmon.tui.widgets.jobtext import (
    WORDS,
    is_planned,
    last_text,
    mark_of,
    money_text,
    name_of,
    outcome_word,
    said_by,
    trend_text,
    when,
)

_MOST = 8
_MOST_RUNS = 100
_LABEL = 9
_TWO_COLUMNS, _BETWEEN = 120, 4


def details(job: ScheduledJob, now: datetime, width: int, zone_name: str) -> list[Line]:
    if width <= 0:
        return []
    half = (width - _BETWEEN) // 2 if width >= _TWO_COLUMNS else width
    about = [
        *_plan(job, now, half, zone_name),
        EMPTY,
        *_counts(job, half),
        EMPTY,
        *_money(job, half),
        EMPTY,
        *_announced(job.announced, now, half, zone_name),
    ]
    ran = _runs(job, now, half, zone_name)
    rest = [*about, EMPTY, *ran] if half == width else _side_by_side(about, ran, half)
    return [picture.crop(one, width) for one in (*_head(job, width), EMPTY, *rest)]


def _side_by_side(left: list[Line], right: list[Line], half: int) -> list[Line]:
    rows = []
    for one, two in zip_longest((picture.crop(each, half) for each in left), right, fillvalue=EMPTY):
        rows.append(line(*one, " " * (half + _BETWEEN - picture.width_of(one)), *two) if two else one)
    return rows


def _head(job: ScheduledJob, width: int) -> list[Line]:
    word = WORDS.get(job.level, WORDS["warn"])
    lines = [line(mark_of(job), " ", (name_of(job), "name"), "  ", word)]
    style = {"bad": "bad", "warn": "warn"}.get(job.level, "")
    for at, text in enumerate(job.findings):
        lines += _hung("· ", text, width, style if not at else "")
    if job.level == "unconfirmed" and job.rhythm is not None:
        lines += _hung(
            "· ",
            f"It seems to run {every(job.rhythm)}; nobody said so, and it is held to nothing.",
            width,
            "dim",
        )
    return lines


def _hung(mark: str, text: str, width: int, style: str = "") -> list[Line]:
    """A paragraph whose later lines stand below its first word."""
    found = wrapped(safe(text), max(1, width - len(mark)), style, _MOST)
    return [line((mark if not at else " " * len(mark), "dim"), *one) for at, one in enumerate(found)]


def _fact(label: str, parts: Iterable[Span | str], width: int) -> list[Line]:
    """A label, and beside it what fits on the line; what does not, below."""
    room = max(1, width - _LABEL)
    rows: list[list[Span]] = [[]]
    used = 0
    for part in parts:
        span = (part, "") if isinstance(part, str) else part
        if not span[0]:
            continue
        need = cell_len(span[0]) + (3 if rows[-1] else 0)
        if rows[-1] and used + need > room:
            rows.append([])
            used, need = 0, cell_len(span[0])
        rows[-1] += [(" · ", "dim"), span] if rows[-1] else [span]
        used += need
    return [line((fit(label if not at else "", _LABEL), "dim"), *row) for at, row in enumerate(rows)]


def _plan(job: ScheduledJob, now: datetime, width: int, zone_name: str) -> list[Line]:
    plan: Span = (safe(job.plan), "strong") if job.plan else ("none", "warn")
    in_zone = f"in {safe(job.zone)}" if job.zone and job.zone != zone_name else ""
    lines = _fact("plan", (plan, in_zone, (said_by(job), "dim")), width)
    due: list[Span | str] = [when(job, now)]
    if job.next_run is not None:
        due.append(_clock(job.next_run, now, zone_name))
        due += [(f"says {safe(job.next_who)}", "dim")] if job.next_who else []
    lines += _fact("next", due, width)
    took = _took(job.last_started, job.last_ended) if job.outcome != "running" else ""
    lines += _fact("last", (last_text(job, now), took), width)
    return lines + _fact("apps", [safe(app) for app in job.apps[:_MOST]], width)


def _took(start: datetime | None, end: datetime | None) -> str:
    return f"took {latency(end - start)}" if start is not None and end is not None and end >= start else ""


def _clock(at: datetime, now: datetime, zone_name: str) -> str:
    """'14:00:05' today, '27 Nov 14:00' otherwise."""
    local, today = at.astimezone(zone(zone_name)), now.astimezone(zone(zone_name))
    return f"{local:%H:%M:%S}" if local.date() == today.date() else moment(at, now, zone_name)


def _counts(job: ScheduledJob, width: int) -> list[Line]:
    heads = ("planned", "ran", "unexpected", "missed")
    if width < _LABEL + sum(len(head) + 2 for head in heads):
        heads = ("plan", "ran", "extra", "miss")
    spans = (("hour", job.hour), ("day", job.day), ("week", job.week))
    rows = [(name, _numbers(found, planned=is_planned(job))) for name, found in spans]
    widths = [max(len(head), *(len(row[at][0]) for _, row in rows)) for at, head in enumerate(heads)]
    shown = [(f"  {head:>{each}}", "head") for head, each in zip(heads, widths, strict=True)]
    lines: list[Line] = [line((fit("last", _LABEL), "dim"), *shown)]
    for name, row in rows:
        figures = [(f"  {text:>{each}}", style) for (text, style), each in zip(row, widths, strict=True)]
        lines.append(line((fit(name, _LABEL), "dim"), *figures))
    return lines


def _numbers(found: Count, *, planned: bool) -> tuple[Span, ...]:
    return (
        (f"{found.planned:,}" if planned else "–", ""),
        (f"{found.actual:,}", "strong"),
        (f"{found.unexpected:,}", "bad" if found.unexpected else "dim"),
        (f"{found.missed:,}", "warn" if found.missed else "dim"),
    )


def _money(job: ScheduledJob, width: int) -> list[Line]:
    spread = f"95 % up to {money_text(job.p95)}"
    arrow, style = trend_text(job.trend)
    trend: Span = (f"{arrow} on the week before", style) if arrow else ("", "")
    ahead = (("until midnight", job.tonight), ("this week", job.this_week), ("this month", job.this_month))
    return [
        *_fact("a run", ((money_text(job.median), "strong"), spread, trend), width),
        *_fact("today", ((money_text(job.today), "strong"),), width),
        *_fact("ahead", [f"{name} {money_text(value)}" for name, value in ahead], width),
    ]


def _announced(found: tuple[AnnouncedPlan, ...], now: datetime, width: int, zone_name: str) -> list[Line]:
    if not found:
        return [line(("Nobody announces a plan.", "dim"))]
    lines: list[Line] = [line(("Who says what", "head"))]
    for one in found:
        word: Span = (
            ("gone", "dim") if one.gone else ("agrees", "word-ok") if one.agrees else ("DIFFERS", "bad")
        )
        if not one.plan and not one.gone:
            word = ("no plan", "dim")
        mark = {"agrees": "= ", "DIFFERS": "≠ "}.get(word[0], "  ")
        plan = (safe(one.plan) or "no plan", "" if one.agrees else "dim" if one.gone else "strong")
        lines.append(line((mark, word[1]), plan, "  ", word))
        about = [safe(one.source), safe(one.who), f"app {safe(one.app)}" if one.app else ""]
        about += [
            f"in {safe(one.zone)}" if one.zone and one.zone != zone_name else "",
            f"seen {age(one.seen, now)}",
        ]
        if one.next_run is not None and not one.gone:
            about.append(f"next {_clock(one.next_run, now, zone_name)}")
        lines += _hung("    ", " · ".join(part for part in about if part), width, "dim")
        lines += _hung("    ", one.note, width, "dim") if one.note else []
    return lines


def _runs(job: ScheduledJob, now: datetime, width: int, zone_name: str) -> list[Line]:
    if not job.recent and not job.missed:
        return [line(("It did not run in the last 24 hours.", "dim"))]
    lines: list[Line] = [line(("The last 24 hours, the latest first", "head"))]
    rows: list[tuple[datetime, RunStatus | None]] = [(run.at, run) for run in job.recent]
    rows += [(at, None) for at in job.missed]
    rows.sort(key=lambda row: row[0], reverse=True)
    verdicts = [_verdict(run) for _, run in rows[:_MOST_RUNS]]
    times = [_clock(at, now, zone_name) for at, _ in rows[:_MOST_RUNS]]
    room = (max(map(cell_len, times)), max(cell_len(text) for text, _ in verdicts))
    costs = [money_text(run.cost) if run else "" for _, run in rows[:_MOST_RUNS]]
    money = max(map(cell_len, costs))
    for (_, run), time, verdict, cost in zip(rows, times, verdicts, costs, strict=False):
        lines.append(_run(run, time, verdict, cost, (*room, money), width))
    if len(rows) > _MOST_RUNS:
        lines.append(line((f"and {len(rows) - _MOST_RUNS:,} more", "dim")))
    return lines


def _verdict(run: RunStatus | None) -> Span:
    if run is None:
        return ("missed", "warn")
    return (
        cut(safe(run.verdict), 16),
        "bad" if run.verdict in UNEXPECTED else "warn" if run.verdict == "late" else "",
    )


def _run(
    run: RunStatus | None, time: str, verdict: Span, cost: str, room: tuple[int, int, int], width: int
) -> Line:
    sign = SIGNS["missed"] if run is None else SIGNS[sign_of(run)]
    head = line(sign, f" {fit(time, room[0])}  ", (fit(verdict[0], room[1]), verdict[1]))
    if run is None:
        return head
    outcome = outcome_of(run)
    calls = "1 call" if run.calls == 1 else f"{run.calls:,} calls"
    head = line(*head, f"  {fit(cost, room[2], right=True)}", "  ", outcome, (f"  {calls}", "dim"))
    left = width - picture.width_of(head) - 2
    return line(*head, (f"  {cut(safe(run.who), left)}" if left >= 6 and run.who else "", "dim"))


def outcome_of(run: RunStatus) -> Span:
    """'ok 8.1s', 'FAILED 8.1s', 'running'."""
    took = f" {latency(run.ended - run.at)}" if run.ended is not None and run.ended >= run.at else ""
    word, style = outcome_word(run.outcome)
    return (word + took, style)
