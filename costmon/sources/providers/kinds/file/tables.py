"""The rows of a file, CSV or JSON, as named columns of texts; nothing of what they mean."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from costmon.sources.providers.kinds.file.amounts import Cell
from costmon.sources.providers.kinds.file.columns import Columns, find, number_in
from costmon.sources.providers.kinds.file.problems import BillError, refuse, spell

_DELIMITERS = (",", ";", "\t", "|")
_HEADER_WITHIN = 60
_KNOWN = 20_000
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
_MARKS_OF_ORDER = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """`before` and `number` are where it is, "nov.csv:" 12 or "nov.json, entry " 3; `plain` are the columns that hold JSON
    numbers."""

    before: str
    number: int
    cells: Sequence[str]
    plain: frozenset[int] = frozenset()

    @property
    def where(self) -> str:
        return f"{self.before}{self.number}"

    def text(self, place: int | None) -> str:
        """What stands in a column; '' if the row or the file has none."""
        return "" if place is None or place >= len(self.cells) else self.cells[place]

    def cell(self, place: int | None) -> Cell:
        return Cell(self.where, self.text(place), place in self.plain)


@dataclass(frozen=True, slots=True)
class Table:
    """`covered` are stretches the file accounts for with or without rows. `api`: it is a provider's answer, whose decimals
    have a dot; `cents`: its amounts are hundredths; `cut`: it says itself that more pages follow;
    `number`: the invoice's, where it stands above the header."""

    columns: Columns
    rows: Sequence[Row]
    covered: Sequence[tuple[Cell, Cell]] = ()
    api: bool = False
    cents: bool = False
    cut: bool = False
    number: str = ""


def read_table(name: str, content: bytes, encoding: str, wanted: Mapping[str, str]) -> Table:
    """Raises BillError. `encoding` is the config's, or ''; `wanted` the columns it names, by role."""
    text = _decode(name, content, encoding)
    if not text.strip():
        refuse(name, "is empty")
    return _json(name, text, wanted) if name.lower().endswith(".json") else _csv(name, text, wanted)


def _decode(name: str, content: bytes, encoding: str) -> str:
    marked = next((found for mark, found in _MARKS_OF_ORDER if content.startswith(mark)), "")
    try:
        text = content.decode(marked or encoding or "utf-8")
    except (UnicodeError, LookupError):
        text = "\0"
        if not encoding and b"\0" not in content:
            refuse(
                name,
                'is not in UTF-8; save it as "CSV UTF-8", or write encoding = "cp949" (Korean Windows), "cp932" (Japanese) '
                'or "cp1252" (western)',
            )
    if _NO_TEXT.search(text):
        refuse(name, "is no text; only CSV and JSON files can be read")
    return text


def _csv(name: str, text: str, wanted: Mapping[str, str]) -> Table:
    problem = None
    for delimiter in _DELIMITERS:
        number = ""
        for at, row in enumerate(itertools.islice(_records(name, text, delimiter, False), _HEADER_WITHIN)):
            columns = find(row.cells, wanted, row.where)
            if columns is not None:
                after = itertools.islice(_records(name, text, delimiter, True), at + 1, None)
                return Table(
                    columns,
                    [_whole(found, row, columns) for found in after if any(map(str.strip, found.cells))],
                    number=number,
                )
            number = number or number_in(row.cells)
            if problem is None and len(row.cells) > 1:
                problem = row
    raise _no_header(name, problem.cells if problem else (), wanted)


def _records(name: str, text: str, delimiter: str, strict: bool) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    before, line = f"{name}:", 1
    known: dict[str, str] = {}
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            refuse(
                f"{name}:{line}",
                "has a quotation mark that does not end, or a cell without end; download the file again",
            )
        # The same few days, models and projects are in every row: kept once, a large file fits into memory.
        yield Row(
            before,
            line,
            [known.setdefault(cell, cell) if len(known) < _KNOWN else cell for cell in map(str.strip, cells)],
        )
        line = reader.line_num + 1


def _whole(row: Row, header: Row, columns: Columns) -> Row:
    """A row that stops before its amount may be half a row; one longer than the header has a stray delimiter in it."""
    filled = len(row.cells)
    while filled > len(header.cells) and not row.cells[filled - 1].strip():
        filled -= 1
    if filled > len(header.cells) or len(row.cells) <= columns.at["amount"]:
        refuse(
            row.where, f"has {filled} cells, but the header has {len(header.cells)}; download the file again"
        )
    return row


def _no_header(name: str, seen: Sequence[str], wanted: Mapping[str, str]) -> BillError:
    named = ", ".join(spell(given) for given in wanted.values() if given)
    if named:
        return BillError(
            f"{name}: has no row of column names with {named}, which the config names, and an amount"
        )
    shown = f"; its first columns are {', '.join(map(spell, seen[:6]))}" if seen else ""
    return BillError(
        f'{name}: has no column with a usual name for the amount{shown}; write amount_column = "…" and date_column = "…"'
    )


def _json(name: str, text: str, wanted: Mapping[str, str]) -> Table:
    try:
        data = json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_no_twice)
    except (ValueError, RecursionError, ArithmeticError):
        refuse(name, "is no JSON that can be read; download it again")
    pages = _pages(data)
    if pages:
        return _from_pages(name, pages, wanted)
    lines = data.get("lines") if isinstance(data, dict) else data
    if not isinstance(lines, list) or not lines or not all(isinstance(line, dict) for line in lines):
        refuse(
            name,
            'must be a list of objects, {"lines": […]}, or a page of costs as OpenAI or Anthropic answer it',
        )
    return _from_objects(name, [_flat(line) for line in lines], wanted)


def _pages(data: Any) -> list[dict[str, Any]]:
    """OpenAI's and Anthropic's answers: pages of buckets of results."""
    pages = data if isinstance(data, list) else [data]
    return (
        pages if all(isinstance(page, dict) and isinstance(page.get("data"), list) for page in pages) else []
    )


def _from_pages(name: str, pages: list[dict[str, Any]], wanted: Mapping[str, str]) -> Table:
    buckets = [bucket for page in pages for bucket in page["data"]]
    objects: list[dict[str, Any]] = []
    covered = []
    dated = {"starting_at" in bucket for bucket in buckets if isinstance(bucket, dict)}
    if len(dated) > 1:
        refuse(name, "holds answers of two providers; put them into a file each")
    cents = True in dated
    start, end = ("starting_at", "ending_at") if cents else ("start_time", "end_time")
    for at, bucket in enumerate(buckets, 1):
        results = bucket.get("results") if isinstance(bucket, dict) else None
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            refuse(name, f"bucket {at} has no list of results; download it again")
        times = [str(bucket.get(key, "")) for key in (start, end)]
        covered.append((Cell(f"{name}, bucket {at}", times[0]), Cell(f"{name}, bucket {at}", times[1])))
        objects += [{start: times[0], end: times[1], **_flat(result)} for result in results]
    table = _from_objects(name, objects or [{start: "", end: "", "amount": ""}], wanted)
    cut = any(page.get("has_more") not in (None, False) for page in pages[-1:])
    return Table(table.columns, table.rows if objects else (), covered, True, cents, cut)


def _from_objects(name: str, objects: list[dict[str, Any]], wanted: Mapping[str, str]) -> Table:
    keys = list(dict.fromkeys(key for found in objects for key in found))
    columns = find(keys, wanted, name)
    if columns is None:
        raise _no_header(name, keys, wanted)
    rows = []
    for at, found in enumerate(objects, 1):
        values = [found.get(key) for key in keys]
        plain = frozenset(place for place, value in enumerate(values) if _is_number(value))
        rows.append(
            Row(
                f"{name}, entry ",
                at,
                ["" if value is None else str(value).strip() for value in values],
                plain,
            )
        )
    return Table(columns, rows)


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    """{"amount": {"value": 1}} as {"amount.value": 1}: amounts often stand beside their currency."""
    flat = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": found for inner, found in value.items()})
        else:
            flat[key] = value
    return flat


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found
