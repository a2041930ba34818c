"""Crontab files: the jobs their lines declare."""

from __future__ import annotations

import os
import re

from costmon.audit.cadences import of_plan
from costmon.audit.secrets import shown
from costmon.audit.values import Declared, Unread
from costmon.sources.compose.texts import shown as named
from costmon.sources.compose.values import Place
from costmon.sources.schedules.crontab import Table, read_table

_LINE = re.compile(r"lines? ([0-9]+)")


def declared(path: str, text: str) -> tuple[list[Declared], list[Unread]]:
    """(jobs of apps, lines that nobody can read)."""
    system = os.path.basename(os.path.dirname(path)) == "cron.d" or path == "/etc/crontab"
    found = read_table(Table(path, "", named(path), text.encode(), system), 0, "UTC")
    jobs = []
    for one in found.planned:
        cadence = of_plan(one.plan) if one.plan else None
        said = cadence.text if cadence is not None else shown(one.note) or "a plan that cannot be read"
        name = one.job or one.app
        jobs.append(
            Declared(shown(name), "crontab", Place(path, _line(one.who)), said, cadence, command=one.command)
        )
    # What such a line says is not repeated: it may hold a secret.
    unread = [
        Unread(
            Place(path, one.line or 1),
            _said(path, one.line) or f"{one.sentence.rstrip('.')}.",
            one.line is None,
        )
        for one in found.problems
    ]
    return jobs, unread


def _said(path: str, line: int | None) -> str:
    return "" if line is None else f"{named(path)} line {line} is no schedule of a crontab."


def _line(who: str) -> int:
    match = _LINE.search(who)
    return int(match[1]) if match is not None else 1
