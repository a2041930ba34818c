"""How `costmon audit` shows what it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from costmon.audit.cadences import of_cron
from costmon.audit.values import SEVERITIES, Finding, Report
from costmon.cli.values import wrapped
from costmon.config.values import Job
from costmon.shim.events import clean
from costmon.shim.money import Money, format_money
from costmon.sources.compose.values import Place

_MOST_EVIDENCE = 6


def held(jobs: Iterable[Job]) -> dict[str, int]:
    """The plans of record that config.toml has, in µs, by the job's name, or 'APP/NAME'."""
    found: dict[str, int] = {}
    for job in jobs:
        cadence = of_cron(job.cron) if job.cron else None
        every = job.every_us or (cadence.shortest_us if cadence is not None else 0)
        if every:
            found[job.name] = every
    return found


def document(report: Report) -> dict[str, Any]:
    """For `--json`."""
    return {
        "findings": [_finding(one) for one in report.findings],
        "files": report.files,
        "counts": {severity: report.count(severity) for severity in reversed(SEVERITIES)},
        "weekly": [money.to_json() for money in report.weekly],
        "unpriced": report.unpriced,
        "hints": list(report.hints),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "severity": one.severity,
        "path": _path(one.place),
        "line": one.place.line,
        "sentence": one.sentence,
        "advice": one.advice,
        "evidence": [
            {"path": _path(place), "line": place.line, "text": text} for place, text in one.evidence
        ],
        "weekly": one.weekly.to_json() if one.weekly is not None else None,
        "diff": one.fix.diff if one.fix is not None else None,
    }


def lines(report: Report) -> Iterator[str]:
    """For people: the worst first."""
    width = max((len(one.rule) for one in report.findings), default=0)
    for one in report.findings:
        cost = f"  {_money(one.weekly)} a week" if one.weekly is not None and one.weekly.nano else ""
        yield f"{one.severity:<7}  {one.rule:<{width}}{cost or ' '}".rstrip()
        yield wrapped(one.sentence)
        yield wrapped(f"→ {one.advice}")
        for place, text in one.evidence[:_MOST_EVIDENCE]:
            yield from _shown(_at(place), text)
        if len(one.evidence) > _MOST_EVIDENCE:
            yield f"    and {len(one.evidence) - _MOST_EVIDENCE} more"
        yield ""
    yield wrapped(_summary(report), "")
    for hint in report.hints:
        yield wrapped(hint, "")
    fixes = sum(one.fix is not None for one in report.findings)
    if fixes:
        yield wrapped(
            f"{_counted(fixes, 'of them has', 'of them have')} a sure fix: costmon audit --diff", ""
        )


def _shown(at: str, text: str) -> tuple[str, ...]:
    """A place and what stands there, on two lines where one is too long."""
    whole = f"    {at}  {text}"
    return (whole,) if len(whole) <= 80 else (f"    {at}", wrapped(text, "      "))


def said_of_patch(report: Report) -> str:
    """Beside the patch."""
    without = sum(one.fix is None for one in report.findings)
    files = _counted(len(report.patch), "file", "files")
    return f"{files} to patch; {_counted(without, 'finding has', 'findings have')} no sure fix"


def _summary(report: Report) -> str:
    if not report.findings:
        if not report.files:
            return "Nothing to audit: there is no compose, env, crontab, unit, Python or TOML file here."
        return f"Nothing found in {_counted(report.files, 'file', 'files')}."
    counts = [
        _counted(report.count(one), one, f"{one}s") for one in reversed(SEVERITIES) if report.count(one)
    ]
    said = f"{', '.join(counts)} in {_counted(report.files, 'file', 'files')}"
    if report.weekly:
        least = "at least " if report.unpriced else ""
        said += f"; leaving this costs {least}{' and '.join(map(_money, report.weekly))} a week"
    elif report.unpriced:
        said += "; what leaving this costs a week is not known"
    return f"{said}."


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _money(money: Money) -> str:
    return format_money(*money)


def _path(place: Place) -> str:
    return clean(place.path, 4000) or "?"


def _at(place: Place) -> str:
    return f"{_path(place)}:{place.line}"
