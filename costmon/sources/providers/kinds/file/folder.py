"""A folder of bills: which files are in it, what each says, and what they say together."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from costmon.shim.events import clean
from costmon.sources.providers.kinds.file.bills import Bill, Rules, read_bill
from costmon.sources.providers.kinds.file.dates import Span, from_name, span
from costmon.sources.providers.kinds.file.problems import BillError, spell
from costmon.sources.providers.protocol import Bucket, Figure, Reading, SourceError

MAX_BYTES = 16_000_000
MAX_FILES = 1000
ENDINGS = (".csv", ".json", ".tsv")
_MAY_GROW = timedelta(days=3)
_NOTES = 20


@dataclass(frozen=True, slots=True)
class Paper:
    """A bill that could be read; `saved_at` is when its file was last written, `digest` of its content."""

    bill: Bill
    saved_at: datetime
    digest: str


_remembered: OrderedDict[object, Paper | str] = OrderedDict()
"""What files said that have not changed since: a round is every few minutes, a new bill every few weeks."""
_days_of: OrderedDict[str, tuple[datetime, datetime]] = OrderedDict()
"""The days each file had when it could be read last."""


def read_folder(source: str, folder: str, rules: Rules, now: datetime) -> Reading:
    """Every bill of `folder` as one reading. A file that cannot be read makes it partial, and a note names the file.

    Raises SourceError: no such folder, nothing in it that can be read, or two files for the same days.
    """
    papers: list[Paper] = []
    problems: list[str] = []
    missing: list[str] = []
    for name in _names(source, folder):
        path = os.path.join(folder, name)
        found = _read(path, clean(name, 100), rules, now)
        if isinstance(found, Paper):
            papers.append(found)
            _remember_days(path, found.bill.spans)
        else:
            problems.append(found)
            missing.append(_days(path, name, rules))
    if problems and not papers:
        more = f" ({len(problems) - 1} more files cannot be read either)" if len(problems) > 1 else ""
        raise SourceError("schema", f"{problems[0]}{more}")
    _refuse_tax_twice(source, papers, rules)
    single, twins = _once(papers)
    kept, contained = _apart(source, single)
    notes = [*twins, *contained]
    begun = {paper.bill.spans[0].start for paper in kept}
    kept = [replace(paper, bill=replace(paper.bill, cut=_goes_on(paper.bill, begun))) for paper in kept]
    cut = [
        f"{paper.bill.name} says that more pages follow; put them beside it"
        for paper in kept
        if paper.bill.cut
    ]
    early = [note for note in (_saved_early(paper, now) for paper in kept) if note]
    aside = [_aside(paper.bill) for paper in kept if paper.bill.aside]
    left_out = [f"left out: {problem}; {days}" for problem, days in zip(problems, missing, strict=True)]
    said = [*left_out, *cut, *notes, *early, *aside]
    if len(said) > _NOTES:
        said = [*said[: _NOTES - 1], f"and {len(said) - _NOTES + 1} more like these"]
    return Reading(
        [bucket for paper in kept for bucket in _buckets(paper)],
        [figure for paper in kept for figure in _figures(paper.bill)],
        notes=said,
        partial=bool(problems or cut),
        whole=not problems and not cut,
    )


def _refuse_tax_twice(source: str, papers: Sequence[Paper], rules: Rules) -> None:
    taxed = next((paper.bill.name for paper in papers if paper.bill.taxed), "")
    if taxed and rules.tax_included:
        raise SourceError(
            "config",
            f"{taxed} has tax in a line of its own, and tax_included in [source.{source}] would take it out of the other "
            "lines once more; remove tax_included",
        )


def _aside(bill: Bill) -> str:
    named = ", ".join(map(spell, bill.aside[:3])) + (" …" if len(bill.aside) > 3 else "")
    return f"{bill.name} has payments or balances, which are no cost and do not count: {named}"


def _remember_days(path: str, spans: Sequence[Span]) -> None:
    _days_of[path] = (spans[0].start, spans[-1].end)
    _days_of.move_to_end(path)
    while len(_days_of) > MAX_FILES:
        _days_of.popitem(last=False)


def _days(path: str, name: str, rules: Rules) -> str:
    """Which days a file that cannot be read is missing from: those it had before it broke, or those in its name."""
    known = _days_of.get(path)
    if known is None:
        period = from_name(name, rules.zone)
        if period is None:
            return "its days are not known, so any day may be incomplete"
        known = span(*period, True, rules.zone)
    first = known[0].astimezone(rules.zone)
    last = (known[1] - timedelta(microseconds=1)).astimezone(rules.zone)
    if first.date() == last.date():
        return f"{first:%Y-%m-%d} may be incomplete"
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d} may be incomplete"


def _goes_on(bill: Bill, begun: set[datetime]) -> bool:
    """Whether its next page is not there."""
    return bill.cut and bill.spans[-1].end not in begun


def _names(source: str, folder: str) -> list[str]:
    try:
        names = sorted(
            name
            for name in os.listdir(folder)
            if name.lower().endswith(ENDINGS) and not name.startswith((".", "~$"))
        )
    except FileNotFoundError:
        problem = "there is no folder"
    except NotADirectoryError:
        problem = "this is no folder:"
    except OSError:
        problem = "costmon may not read the folder"
    else:
        if not names:
            raise SourceError(
                "not_found", f"there is no .csv or .json file in {folder} yet; put the provider's bills there"
            )
        if len(names) > MAX_FILES:
            raise SourceError(
                "config", f"there are over {MAX_FILES} files in {folder}; keep bills there and nothing else"
            )
        return names
    raise SourceError("not_found", f"{problem} {folder}; make it, or correct folder in [source.{source}]")


def _read(path: str, name: str, rules: Rules, now: datetime) -> Paper | str:
    """The file's bill, or a sentence on what is wrong with it."""
    try:
        # Before it is opened: opening a device may do something, and a pipe without a writer waits.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return f"{name}: is no ordinary file; take it out of the folder"
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:
            before = os.fstat(opened.fileno())
            if not stat.S_ISREG(before.st_mode):
                return f"{name}: is no ordinary file; take it out of the folder"
            if before.st_size > MAX_BYTES:
                return f"{name}: has over {MAX_BYTES // 1_000_000} MB; download a shorter period"
            mark = (path, _print(before), repr(rules), now.date())
            if mark in _remembered:
                _remembered.move_to_end(mark)
                return _remembered[mark]
            content = opened.read(MAX_BYTES + 1)
            if _print(os.fstat(opened.fileno())) != _print(before) or len(content) != before.st_size:
                return f"{name}: is being written just now; it is read again in the next round"
    except OSError:
        return f"{name}: cannot be read; check that it is a file and who may read it"
    try:
        found: Paper | str = Paper(
            read_bill(name, content, rules, now),
            datetime.fromtimestamp(before.st_mtime, UTC),
            hashlib.sha256(content).hexdigest(),
        )
    except BillError as error:
        found = str(error)
    _remembered[mark] = found
    while len(_remembered) > MAX_FILES:
        _remembered.popitem(last=False)
    return found


def _print(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _once(papers: Sequence[Paper]) -> tuple[list[Paper], list[str]]:
    """One paper for each content: the first by name, saved when the last of its copies was."""
    kept: dict[str, Paper] = {}
    notes = []
    for paper in papers:
        twin = kept.get(paper.digest)
        if twin is not None and _are_two(twin, paper):
            kept[paper.digest + paper.bill.name] = paper
            continue
        if twin is None:
            kept[paper.digest] = paper
            continue
        notes.append(f"{paper.bill.name} is the same as {twin.bill.name} and counts once")
        kept[paper.digest] = replace(twin, saved_at=max(twin.saved_at, paper.saved_at))
    return list(kept.values()), notes


def _apart(source: str, papers: Sequence[Paper]) -> tuple[list[Paper], list[str]]:
    """The papers that no other one replaces. Raises SourceError where two are for the same days and neither does: adding
    them up may count the same money twice, and leaving one out may lose some."""
    kept = list(papers)
    notes: list[str] = []
    while (pair := _first_overlap(kept)) is not None:
        older = next((at for at in (0, 1) if _replaces(pair[1 - at], pair[at])), None)
        if older is None:
            raise SourceError("schema", _both(source, *sorted(pair, key=lambda paper: paper.bill.name)))
        kept.remove(pair[older])
        notes.append(
            f"{pair[older].bill.name} is contained in {pair[1 - older].bill.name} and does not count again"
        )
    return kept, notes


def _both(source: str, one: Paper, other: Paper) -> str:
    """Why two files for the same days are refused, and what to do about it."""
    names, day = f"{one.bill.name} and {other.bill.name}", f"{_shared(one, other):%Y-%m-%d}"
    if _are_two(one, other):
        numbers = f"{spell(one.bill.number)} and {spell(other.bill.number)}"
        return (
            f"{names} are two invoices ({numbers}) for {day}; if both are to be paid, move one into a folder of its own and "
            f"add a source for it beside [source.{source}], with the same provider: costmon adds such sources up"
        )
    return (
        f"{names} are both for {day}, and are never added up within one folder; take the older one out, or, if they are the "
        f"bills of two accounts, give each a folder and a source of its own beside [source.{source}]"
    )


def _are_two(one: Paper, other: Paper) -> bool:
    """Whether they say that they are different invoices."""
    return bool(one.bill.number and other.bill.number) and one.bill.number != other.bill.number


def _first_overlap(papers: Sequence[Paper]) -> tuple[Paper, Paper] | None:
    spans = sorted(
        ((one, at) for at, paper in enumerate(papers) for one in paper.bill.spans), key=lambda found: found
    )
    reach, owner = None, 0
    for one, at in spans:
        if reach is not None and one.start < reach and at != owner:
            return papers[owner], papers[at]
        if reach is None or one.end > reach:
            reach, owner = one.end, at
    return None


def _replaces(newer: Paper, older: Paper) -> bool:
    """Whether `newer` is `older` downloaded again later: it has all of its buckets, with the same totals except in its last
    three days, which may have grown."""
    mine = newer.bill.spans_set
    if _are_two(newer, older):
        return False
    if not older.bill.spans_set <= mine:
        return False
    settled = older.bill.spans[-1].end - _MAY_GROW
    compared = [one for one in older.bill.spans if one.end <= settled]
    if older.bill.spans_set == mine:
        compared = list(older.bill.spans)
    totals = [(older.bill.totals(one), newer.bill.totals(one)) for one in compared]
    return all(before == after for before, after in totals) and any(
        any(before.values()) for before, _ in totals
    )


def _shared(one: Paper, other: Paper) -> datetime:
    return next(
        max(mine.start, theirs.start)
        for mine in one.bill.spans
        for theirs in other.bill.spans
        if mine.start < theirs.end and theirs.start < mine.end
    )


def _buckets(paper: Paper) -> list[Bucket]:
    """A file cannot know what came after it was saved."""
    whole = not paper.bill.cut
    return [Bucket(one.start, one.end, whole and paper.saved_at >= one.end) for one in paper.bill.spans]


def _figures(bill: Bill) -> list[Figure]:
    return [
        Figure(*group.span, amount, group.currency, group.model, group.label, group.project, line=group.line)
        for group, amount in bill.sums.items()
    ]


def _saved_early(paper: Paper, now: datetime) -> str:
    early = [one for one in paper.bill.spans if paper.saved_at < one.end <= now]
    if not early:
        return ""
    return f"{paper.bill.name} was saved on {paper.saved_at:%Y-%m-%d}, before its last day was over; download it again"
