"""`costmon prices update`: newer base prices from the table genai-prices publishes, without a change to the past.

A catalogue is dated, the published table often is not: a price that was simply edited there would also change what
calls of last month cost. So the rates that held until the day of the update are kept for the time before it, unless
the operator takes the new ones over for the past as a correction.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from costmon.errors import PriceError
from costmon.pricing.catalog.base import base_catalog_path as base_catalog_path
from costmon.pricing.catalog.base import sealed, updated_file
from costmon.pricing.catalog.published import Published, patterns_in, read_published
from costmon.pricing.fetch import FetchError, fetch, read_file, shown, size_text
from costmon.pricing.kept import replace_text
from costmon.shim.cards import Entry, Moment, rates_at
from costmon.shim.catalogue import compact_json, models_json, read_catalog
from costmon.shim.matching import find

URL = "https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/new_data/v2/data.json"
SOURCE = "genai-prices"
MAX_BYTES = 20_000_000
MAX_EXPANDED = 20_000_000
TIMEOUT_S = 30.0
_BEGINNING = "0000"
Row = dict[str, Any]


class UpdateError(PriceError):
    """No newer prices can be had; nothing was changed."""


class RateChange(NamedTuple):
    """One rate before and after; None = it had or has none. A rate is as in the catalogue: '2.5', or [base, [above,
    price], …]."""

    unit: str
    old: Any
    new: Any


class Change(NamedTuple):
    """A model whose rates differ from `since` (a UTC date) on; without `rates` the difference is in hours or tiers of
    service."""

    provider: str
    model: str
    since: str
    rates: tuple[RateChange, ...]


class Past(NamedTuple):
    """A model that the new table prices otherwise before `until`: `rates` are (unit, kept, published). `corrected`: the
    published ones were taken over on demand."""

    provider: str
    model: str
    until: str
    rates: tuple[RateChange, ...]
    corrected: bool


class Diff(NamedTuple):
    """What an update does. `renamed`: (provider, name, the model it meant, the model it means); `skipped`: (provider,
    model, why it stays as it was)."""

    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    changed: tuple[Change, ...] = ()
    past: tuple[Past, ...] = ()
    renamed: tuple[tuple[str, str, str, str], ...] = ()
    skipped: tuple[tuple[str, str, str], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether no price and no name changes."""
        corrected = any(past.corrected for past in self.past)
        return not (self.added or self.removed or self.changed or self.renamed or corrected)


class Update(NamedTuple):
    """A catalogue ready to be kept, and what it would change."""

    catalog: dict[str, Any]
    diff: Diff
    source: str
    sha256: str
    size: int


def prepare(source: str, today: date, *, from_file: bool = False, correct: Iterable[str] = ()) -> Update:
    """Read the published table at `source` (a URL, or a file) and work out the update. Changes nothing.

    Args:
        today: the UTC day from which rates hold that replace others.
        correct: models ("gpt-4o", "openai:gpt-4o") whose published rates shall hold in the past too, or "all".

    Raises:
        PriceError: it cannot be had, or is no price table.
    """
    try:
        limit = MAX_BYTES
        data = (
            read_file(source, limit=limit) if from_file else fetch(source, limit=limit, timeout_s=TIMEOUT_S)
        )
    except FetchError as error:
        raise UpdateError(f"{error}; nothing was changed") from None
    name = source if from_file else shown(source)
    base = _current()
    published = read_published(data, name, patterns_in(base))
    _refuse_fragment(published, base, name)
    providers, diff = merge(base["providers"], published, today.isoformat(), frozenset(correct))
    _refuse_unknown(correct, providers)
    _refuse_too_much(providers, name)
    digest = hashlib.sha256(data).hexdigest()
    catalog = {
        "schema": 1,
        "source": SOURCE,
        "version": f"{today.isoformat()}-{digest[:8]}",
        "checked": today.isoformat(),
        "from": name,
        "sha256": digest,
        "providers": providers,
        "builtin": {},
    }
    return Update(catalog, diff, name, digest, len(data))


def keep(update: Update) -> str:
    """Replace the kept catalogue in one step; returns its path. Raises PriceError."""
    from costmon.pricing.catalog.build import to_text

    path = updated_file()
    try:
        replace_text(path, to_text(sealed(update.catalog)))
    except OSError as error:
        raise UpdateError(f"{path} cannot be written ({error.strerror}); nothing was changed") from None
    return path


def undo() -> bool:
    """Go back to the prices that came with costmon; whether there was anything to undo. Raises PriceError."""
    path = updated_file()
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UpdateError(f"{path} cannot be removed ({error.strerror})") from None
    return True


def _current() -> dict[str, Any]:
    path = base_catalog_path()
    try:
        return read_catalog(path)
    except (OSError, ValueError) as error:
        raise UpdateError(f"{path} cannot be used ({type(error).__name__}); reinstall costmon") from None


def _refuse_fragment(published: Published, base: Mapping[str, Any], name: str) -> None:
    known = sum(
        not entry.get("deprecated") for part in base["providers"].values() for entry in part["models"]
    )
    found = sum(len(part["models"]) for part in published.providers.values())
    if 2 * found < known:
        raise UpdateError(
            f"{name} holds {found:,} models where {known:,} are known: it is not the whole table; nothing was changed"
        )


def _refuse_too_much(providers: Mapping[str, Any], name: str) -> None:
    """The ledger holds each provider's models and again those of the providers it falls back to."""
    own = {provider: len(models_json(part["models"])) for provider, part in providers.items()}
    size = sum(own.values())
    for part in providers.values():
        size += sum(own.get(other, 0) for other in part.get("fallback", ()))
    if size > MAX_EXPANDED:
        raise UpdateError(
            f"{name} would make the ledger's price list larger than {size_text(MAX_EXPANDED)} (its providers fall back to"
            " one another too often); nothing was changed"
        )


def _refuse_unknown(correct: Iterable[str], providers: Mapping[str, Any]) -> None:
    names = {entry["id"] for part in providers.values() for entry in part["models"]}
    names |= {f"{provider}:{entry['id']}" for provider, part in providers.items() for entry in part["models"]}
    for wanted in correct:
        if wanted != "all" and wanted not in names:
            raise UpdateError(
                f"--correct {wanted}: no model has that id; costmon prices update --dry-run lists the past prices that "
                f"differ"
            )


# --- merge ---------------------------------------------------------------------------------------------------


class _Sums:
    """Collects a Diff."""

    def __init__(self) -> None:
        self.added: list[tuple[str, str]] = []
        self.removed: list[tuple[str, str]] = []
        self.changed: list[Change] = []
        self.past: list[Past] = []
        self.renamed: list[tuple[str, str, str, str]] = []
        self.skipped: list[tuple[str, str, str]] = []

    def diff(self) -> Diff:
        return Diff(*(tuple(found) for found in vars(self).values()))


def merge(
    old: Mapping[str, Any], published: Published, today: str, correct: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], Diff]:
    """The providers of the new catalogue, and what differs from `old`. Models that are gone stay, deprecated."""
    sums = _Sums()
    providers = {}
    for provider in [*published.providers, *(name for name in old if name not in published.providers)]:
        before = old.get(provider, {"models": []})
        part = published.providers.get(provider)
        head = {key: value for key, value in (part or before).items() if key != "models"}
        fresh = part["models"] if part else []
        models = list(_models(provider, before["models"], fresh, published, today, correct, sums))
        providers[provider] = {**head, "models": models}
        sums.renamed += _renamed(provider, before["models"], models, today)
    return providers, sums.diff()


def _models(
    provider: str,
    old: list[Entry],
    fresh: list[Entry],
    published: Published,
    today: str,
    correct: frozenset[str],
    sums: _Sums,
) -> Iterator[Entry]:
    by_id = {entry["id"]: entry for entry in old}
    kept = {entry["id"] for entry in fresh}
    for entry in fresh:
        model = entry["id"]
        before = by_id.get(model)
        why = published.skipped.get((provider, model))
        if why is not None:
            sums.skipped.append((provider, model, why))
            if before is not None:
                yield before
            continue
        if before is None:
            sums.added.append((provider, model))
            before = _renamed_from(entry, old, kept)
        if before is None:
            yield entry
            continue
        corrected = bool(correct & {"all", model, f"{provider}:{model}"})
        yield _joined(provider, before, entry, today, corrected, sums)
    for entry in old:
        if entry["id"] not in kept:
            if not entry.get("deprecated"):
                sums.removed.append((provider, entry["id"]))
            yield {**entry, "deprecated": True}


def _renamed_from(entry: Entry, old: list[Entry], kept: set[str]) -> Entry | None:
    """The entry that an added one takes the names of, where that one is gone: its past is this one's past."""
    meant = {id(found): found for name in _names(entry["match"]) if (found := find(old, name)) is not None}
    gone = [found for found in meant.values() if found["id"] not in kept]
    return gone[0] if len(gone) == 1 and len(meant) == 1 else None


def _joined(provider: str, old: Entry, new: Entry, today: str, corrected: bool, sums: _Sums) -> Entry:
    """`new`, with the rates of `old` for as long as they held and `new` says otherwise."""
    if all(old.get(key) == new.get(key) for key in ("prices", "variants", "currency")):
        return new
    differs = [
        (start, end) for start, end in _spans(old, new, today) if _facts(old, start) != _facts(new, start)
    ]
    joined = new
    if differs:
        start, until = differs[-1]
        rates = _rate_changes(old, new, start)
        sums.past.append(Past(provider, new["id"], until, rates, corrected))
        if not corrected:
            joined = _split(old, new, until)
    since = _first_difference(old, joined, today)
    if since is not None:
        sums.changed.append(Change(provider, new["id"], since, _rate_changes(old, joined, since)))
    return joined


def _split(old: Entry, new: Entry, day: str) -> Entry:
    """The rates of `old` before `day`, those of `new` from it on."""
    joined = {**new, "prices": _before(old["prices"], day) + _from(new["prices"], day, last_wins=True)}
    variants = _before(old.get("variants", []), day) + _from(new.get("variants", []), day, last_wins=False)
    if variants:
        joined["variants"] = variants
    return joined


def _before(rows: list[Row], day: str) -> list[Row]:
    found = []
    for row in rows:
        if row.get("from", _BEGINNING) < day:
            until = min(row.get("until", day), day)
            found.append(_dated(row, row.get("from"), until))
    return found


def _from(rows: list[Row], day: str, *, last_wins: bool) -> list[Row]:
    """`rows` as they hold from `day` on, in their order; with `last_wins` without those that can never hold again."""
    found = [row for row in rows if "until" not in row or row["until"] > day]
    if last_wins:
        endless = [
            i for i, row in enumerate(found) if _always(row) and "until" not in row and _covers(row, day)
        ]
        found = found[endless[-1] :] if endless else found
    return [_dated(row, max(day, row.get("from", day)), row.get("until")) for row in found]


def _dated(row: Row, start: str | None, until: str | None) -> Row:
    dates = {"from": start, "until": until}
    rest = {key: value for key, value in row.items() if key not in ("from", "until", "rates")}
    return {**{key: day for key, day in dates.items() if day is not None}, **rest, "rates": row["rates"]}


def _covers(row: Row, day: str) -> bool:
    return bool(row.get("from", _BEGINNING) <= day and ("until" not in row or day < row["until"]))


def _effective(rows: list[Row]) -> list[Row]:
    """What a list of rows says when they are tried last to first: nothing before the last that always holds."""
    return rows[max((i for i, row in enumerate(rows) if _always(row)), default=0) :]


def _always(row: Row) -> bool:
    return "time" not in row and "week" not in row


def _facts(entry: Entry, day: str) -> str:
    """Everything `entry` says of prices at `day`, so that equal facts are equal texts."""
    rows = _effective([row for row in entry.get("prices", ()) if _covers(row, day)])
    variants = [row for row in entry.get("variants", ()) if _covers(row, day)]
    said = [
        {key: row[key] for key in sorted(row) if key not in ("from", "until")} for row in (*rows, *variants)
    ]
    return compact_json([entry.get("currency", "USD"), len(rows), said])


def _dates(*entries: Entry) -> list[str]:
    """Every day on which something begins or ends, ascending."""
    rows = [row for entry in entries for row in (*entry.get("prices", ()), *entry.get("variants", ()))]
    return sorted({row[key] for row in rows for key in ("from", "until") if key in row})


def _spans(old: Entry, new: Entry, today: str) -> Iterator[tuple[str, str]]:
    """(start, end) of the stretches before `today` in which neither entry changes."""
    starts = [_BEGINNING, *(day for day in _dates(old, new) if day < today)]
    yield from zip(starts, [*starts[1:], today], strict=True)


def _first_difference(old: Entry, new: Entry, today: str) -> str | None:
    """The first day on which they say otherwise: the beginning of a past stretch, today, or a later day."""
    past = [start for start, _ in _spans(old, new, today)]
    later = [today, *(day for day in _dates(old, new) if day > today)]
    return next((day for day in (*past, *later) if _facts(old, day) != _facts(new, day)), None)


def _rate_changes(old: Entry, new: Entry, day: str) -> tuple[RateChange, ...]:
    """The standard rates that differ at noon of `day`."""
    moment = Moment(f"{day}T12:00:00", 12 * 60)
    before, after = rates_at(old, moment), rates_at(new, moment)
    units = [*before, *(unit for unit in after if unit not in before)]
    return tuple(
        RateChange(unit, before.get(unit), after.get(unit))
        for unit in units
        if before.get(unit) != after.get(unit)
    )


def _renamed(
    provider: str, old: list[Entry], new: list[Entry], today: str
) -> Iterator[tuple[str, str, str, str]]:
    """Names that meant one model and now mean another, at another price: rules of matching have no dates."""
    if [(entry["id"], entry["match"]) for entry in old] == [(entry["id"], entry["match"]) for entry in new]:
        return
    for entry in old:
        for name in _names(entry["match"]):
            before, after = find(old, name), find(new, name)
            if before is None or after is None or before["id"] == after["id"]:
                continue
            days = [*(start for start, _ in _spans(before, after, today)), today]
            if any(_facts(before, day) != _facts(after, day) for day in days):
                yield provider, name, before["id"], after["id"]


def _names(clause: Mapping[str, Any]) -> Iterator[str]:
    """The names a matching rule spells out."""
    for kind, value in clause.items():
        if kind in ("equals", "starts_with"):
            yield value
        elif kind == "in":
            yield from value
        elif kind in ("or", "and"):
            for part in value:
                yield from _names(part)
