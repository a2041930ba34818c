"""Crontab files: the jobs their lines declare."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from costmon.audit.cadences import of_plan
from costmon.audit.secrets import has_key_shape, shown
from costmon.audit.ties import of_command
from costmon.audit.values import Declared, Unread
from costmon.sources.compose.texts import shown as named
from costmon.sources.compose.values import Place
from costmon.sources.schedules.crontab import Table, read_table
from costmon.sources.schedules.values import Found, Planned

_LINE = re.compile(r"lines? ([0-9]+)")
_SET = re.compile(r"\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?\s*=\s*(.*)")
_WORDS = re.compile(r"[\s=\"';,&|()<>]+")
_MOST_SETTINGS, _MOST_LINES = 50, 400


class Key(NamedTuple):
    """What has the shape of a real key; `name` is the variable that holds it, '' = it stands in a command."""

    name: str
    place: Place


def declared(path: str, text: str) -> tuple[list[Declared], list[Unread]]:
    """(jobs of apps, lines that nobody can read)."""
    found = _read(path, text)
    jobs = []
    for one in chain.from_iterable(_each(path, text, one) for one in found.planned):
        cadence = of_plan(one.plan) if one.plan else None
        said = cadence.text if cadence is not None else shown(one.note) or "a plan that cannot be read"
        name = one.job or one.app
        jobs.append(
            Declared(
                shown(name),
                "crontab",
                Place(path, _line(one.who)),
                said,
                cadence,
                command=one.command,
                ties=of_command(one.command),
            )
        )
    # A script that one line starts with costmon is the same script in the others.
    paid = {one.job for one in jobs if one.ties}
    jobs = [one._replace(ties=True) if one.job in paid else one for one in jobs]
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


def _read(path: str, text: str) -> Found:
    system = os.path.basename(os.path.dirname(path)) == "cron.d" or path == "/etc/crontab"
    return read_table(Table(path, "", named(path), text.encode(), system), 0, "UTC")


def _each(path: str, text: str, planned: Planned) -> Iterator[Planned]:
    """Its lines one by one where they make no single schedule: each of them starts the job."""
    numbers = [int(number) for number in re.findall("[0-9]+", planned.who.rpartition("lines ")[2])]
    if planned.plan or len(numbers) < 2:
        yield planned
        return
    lines = text.split("\n")
    settings = [(number, line) for number, line in enumerate(lines, 1) if _SET.fullmatch(line)][
        :_MOST_SETTINGS
    ]
    all_of_it = range(1, min(len(lines), _MOST_LINES) + 1)
    for number in all_of_it if planned.who.endswith("…") else numbers:
        before = [line for at, line in settings if at < number]
        for one in _read(path, "\n".join([*before, lines[number - 1]])).planned:
            if (one.job, one.app) == (planned.job, planned.app):
                yield one._replace(who=f"line {number}")


def keys(path: str, text: str) -> Iterator[Key]:
    """Real keys that stand in variables and commands."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("#"):
            continue
        setting = _SET.fullmatch(line)
        if setting is not None:
            if has_key_shape(setting[1], setting[2]):
                yield Key(setting[1], Place(path, number))
        elif any(has_key_shape("", word) for word in _WORDS.split(line) if len(word) >= 12):
            yield Key("", Place(path, number))


def _said(path: str, line: int | None) -> str:
    return "" if line is None else f"{named(path)} line {line} is no schedule of a crontab."


def _line(who: str) -> int:
    match = _LINE.search(who)
    return int(match[1]) if match is not None else 1
