"""Bills from files: for providers without an endpoint, and for accounts that cannot have the key an endpoint asks for.

Every .csv, .tsv and .json file in a folder is read; nothing is sent anywhere, and there is no key.

amounts  "1.234,56 €" as a number           dates   "3 Nov 2026" as a day, two of them as a period
columns  which column says what             tables  CSV and JSON as rows
words    what a line calls itself           costs   lines without sums, payments and balances
bills    one file: its lines, summed        folder  all of them: copies, overlaps, what cannot be read
aside    off the event loop
"""

from __future__ import annotations

import codecs
import os
from datetime import timedelta
from typing import NoReturn, TypeVar
from zoneinfo import ZoneInfo

from costmon.sources.providers.kinds.file.aside import aside
from costmon.sources.providers.kinds.file.bills import Rules
from costmon.sources.providers.kinds.file.folder import read_folder
from costmon.sources.providers.protocol import Client, Kind, Option, Reading, Settings, SourceError, Window
from costmon.sources.providers.reading import currency

_T = TypeVar("_T")
_COLUMNS = ("date", "start", "end", "amount", "currency", "model", "label", "project", "line")


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """All bills of the folder, whatever the window: what is in a file costs nothing to ask for, and may be of last year."""
    if not settings.provider:
        _fail(settings, "provider", 'is missing; say whose bills these are, such as provider = "google"')
    rules, folder = _rules(settings), _folder(settings)
    return await aside(folder, lambda: read_folder(settings.name, folder, rules, window.now))


def _rules(settings: Settings) -> Rules:
    given = settings.options
    return Rules(
        zone=_zone(settings),
        currency=_currency(settings),
        decimal=_one_of(settings, "decimal", {"": "", ".": ".", ",": ","}, '"." or ","'),
        date_format=_date_format(settings),
        inclusive=_one_of(
            settings, "end", {"": None, "inclusive": True, "exclusive": False}, '"inclusive" or "exclusive"'
        ),
        encoding=_encoding(settings),
        columns={role: given[f"{role}_column"] for role in _COLUMNS if given.get(f"{role}_column")},
        tax_included=bool(settings.tax_included),
    )


def _folder(settings: Settings) -> str:
    folder = os.path.expanduser(settings.options["folder"])
    if not os.path.isabs(folder):
        _fail(settings, "folder", 'must begin with / or ~/, such as "~/invoices/google"')
    return folder


def _zone(settings: Settings) -> ZoneInfo:
    name = settings.options.get("time_zone") or "UTC"
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        _fail(settings, "time_zone", 'must be a time zone\'s name, such as "America/Los_Angeles"')


def _currency(settings: Settings) -> str:
    given = settings.options.get("currency", "")
    try:
        return currency(given, "currency") if given else ""
    except SourceError:
        _fail(settings, "currency", 'must be three letters, such as "KRW"')


def _date_format(settings: Settings) -> str:
    given = settings.options.get("date_format", "")
    upper = given.upper()
    if given and not ("%Y" in given or "%y" in given or "%s" in given or "YY" in upper):
        _fail(settings, "date_format", 'must have a year in it, such as "DD/MM/YYYY" or "%d/%m/%Y"')
    return given


def _encoding(settings: Settings) -> str:
    given = settings.options.get("encoding", "")
    try:
        return codecs.lookup(given).name if given else ""
    except LookupError:
        _fail(settings, "encoding", 'must be an encoding\'s name, such as "cp949"')


def _one_of(settings: Settings, key: str, allowed: dict[str, _T], spelled: str) -> _T:
    given = settings.options.get(key, "")
    if given not in allowed:
        _fail(settings, key, f"must be {spelled}")
    return allowed[given]


def _fail(settings: Settings, key: str, problem: str) -> NoReturn:
    raise SourceError("config", f"{key} in [source.{settings.name}] {problem}")


KIND = Kind(
    name="file",
    provider="",
    title="folder of bills",
    base_url="",
    fetch=fetch,
    key="",
    options=(
        Option("folder", "the folder with the provider's bills as .csv or .json files", None),
        Option("time_zone", "the zone of the bill's days", "UTC"),
        Option("currency", "the currency of amounts that name none"),
        Option("decimal", 'the sign before the decimals, "." or ","'),
        Option("date_format", 'how dates are written, such as "DD/MM/YYYY"'),
        Option(
            "end", 'whether a period\'s end is its last day ("inclusive") or the day after it ("exclusive")'
        ),
        Option("encoding", 'how the files are encoded if not in UTF-8, such as "cp949"'),
        *(Option(f"{role}_column", f"the name of the column with the {role}") for role in _COLUMNS),
    ),
    every_s=600,
    at_least_s=60,
    settles_after=timedelta(0),
    lacks=(
        "figures are as old as the newest file in the folder",
        "days without a line in any file are unknown, not nothing",
    ),
)
