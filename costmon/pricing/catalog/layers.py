"""The layers of the catalogue, compiled into rows of the ledger's table `catalog`: user, builtin, base; first
hit wins."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from costmon import paths
from costmon.errors import PriceError
from costmon.pricing.catalog.base import base_catalog_path, damaged
from costmon.pricing.files.read import PriceFile, load_price_file, precedence
from costmon.shim.cards import Entry, matches
from costmon.shim.catalogue import base_rows, models_json, models_of, read_catalog

if TYPE_CHECKING:
    from costmon.pricing.files.resources import ResourcePrice

USER, BUILTIN, BASE = 0, 1, 2
FOLDER = "prices.d"
Row = tuple[str, int, str, str, str]


class Layer(NamedTuple):
    """The files of one layer together. `models`: {provider: {"source", "version", "models"}}; `bad`: {name: sentence}
    of the files left out."""

    models: dict[str, dict[str, Any]]
    resources: dict[str, ResourcePrice]
    bad: dict[str, str]


@dataclass(frozen=True)
class Compiled:
    """All layers. An entry of the user's or ours says its `file`. `base`: catalog.json, {} without one. `problems`: one
    sentence for each file that was left out, `bad` its (layer, name). `checked`: the day of the base."""

    user: Layer
    builtin: Layer
    base: Mapping[str, Any]
    problems: tuple[str, ...]
    checked: date | None
    bad: frozenset[tuple[int, str]]

    @property
    def source(self) -> str:
        """The name of the base, '' without one."""
        return str(self.base.get("source", ""))

    @property
    def version(self) -> str:
        """The version of the base, '' without one."""
        return str(self.base.get("version", ""))

    @property
    def resources(self) -> dict[str, ResourcePrice]:
        """By name, the user's first."""
        return {**self.builtin.resources, **self.user.resources}

    @property
    def providers(self) -> list[str]:
        """Everyone who prices something, the user's first."""
        return list(dict.fromkeys((*self.user.models, *self.builtin.models, *self.base.get("providers", ()))))

    def layers(self, provider: str) -> list[tuple[int, str, str, list[Entry]]]:
        """A provider's layers as `cards.lookup` reads them, user first; none for an unknown one."""
        found = [
            (layer, str(part["source"]), str(part["version"]), part["models"])
            for layer, models in ((USER, self.user.models), (BUILTIN, self.builtin.models))
            if (part := models.get(provider)) is not None
        ]
        if provider in self.base.get("providers", ()):
            found.append((BASE, self.source, self.version, models_of(self.base, provider)))
        return found

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """(provider, layer, source, version, models as JSON), one per provider and layer. Takes 0.05 s once."""
        base = base_rows(self.base) if self.base else ()
        return (*_rows(USER, self.user), *_rows(BUILTIN, self.builtin), *base)


def compiled(user_file: str | None) -> Compiled:
    """All layers. A file that is wrong is left out and reported; a user file that does not exist is no
    problem. The folder prices.d beside it may hold more of them."""
    folder = paths.bundled("pricing")
    base, problems = _base(base_catalog_path())
    problems += filter(None, (damaged(),))
    builtin = builtin_layer(folder)
    user = user_layer(user_file)
    bad = {(USER, name) for name in user.bad} | {(BUILTIN, name) for name in builtin.bad}
    if not base:
        bad.add((BASE, "catalog.json"))
    problems += [*user.bad.values(), *builtin.bad.values()]
    checked = date.fromisoformat(base["checked"]) if base else None
    return Compiled(user, builtin, base, tuple(problems), checked, frozenset(bad))


def user_files(user_file: str) -> list[str]:
    """prices.toml if there is one, then prices.d/*.toml in the order of their names. Raises OSError if prices.d is there
    and cannot be listed."""
    first = [user_file] if os.path.lexists(user_file) else []
    folder = os.path.join(os.path.dirname(user_file), FOLDER)
    names = sorted(os.listdir(folder)) if os.path.lexists(folder) else []
    return first + [os.path.join(folder, name) for name in names if _is_price_file(name)]


def user_layer(user_file: str | None) -> Layer:
    """The user's prices. Of several files the first to price a model has it; a version is the file's digest."""
    if user_file is None:
        return Layer({}, {}, {})
    folder, unlisted = os.path.join(os.path.dirname(user_file), FOLDER), {}
    try:
        files = user_files(user_file)
    except OSError as error:
        files = [user_file] if os.path.lexists(user_file) else []
        fix = "check its permissions"
        if not os.path.isdir(folder):
            fix = "make it a folder of price files, or remove it"
        unlisted = {FOLDER: f"{folder}: cannot be listed ({error.strerror}); {fix}"}
    home = os.path.dirname(user_file)
    good, bad = _load({os.path.relpath(path, home).replace(os.sep, "/"): path for path in files}, dated=False)
    return Layer(
        _merged(good, "user", lambda _, parts: _joint([file.digest for file in parts])),
        _resources(good, "user"),
        {**bad, **unlisted},
    )


def builtin_layer(folder: str) -> Layer:
    """Our corrections. Files are read in the order of their names; the first to price a model has it. A version is the
    day of the newest check, like 2026.11.20."""
    names = sorted(filter(_is_price_file, os.listdir(folder))) if os.path.isdir(folder) else []
    good, bad = _load({name: os.path.join(folder, name) for name in names}, dated=True)
    return Layer(
        _merged(good, "builtin", lambda provider, parts: f"{_newest(provider, parts):%Y.%m.%d}"),
        _resources(good, "builtin"),
        bad,
    )


def with_last_good(found: Compiled, before: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of `found`, and what the rows of the last compile had from files that are bad now: a typo does not take
    back a price."""
    rows = {row[:2]: row for row in found.rows}
    for row in before:
        provider, layer, *_, models = row
        if layer == BASE:
            if (BASE, "catalog.json") in found.bad:
                rows[provider, layer] = row
            continue
        kept = [entry for entry in json.loads(models) if _was_in_bad_file(found, layer, provider, entry)]
        if kept:
            rows[provider, layer] = _with(rows.get((provider, layer)), row, kept)
    return tuple(rows[key] for key in sorted(rows, key=lambda key: (key[1], key[0])))


def resources_with_last_good(
    found: Compiled, before: Mapping[str, ResourcePrice]
) -> dict[str, ResourcePrice]:
    """The resources of `found`, and those the last compile had from files that are bad now. A kept one comes where its
    file would: the user's before ours, prices.toml before prices.d."""
    resources = found.resources
    for name, price in before.items():
        if not _is_bad(found, *_origin(price)):
            continue
        now = resources.get(name)
        if now is None or _rank(price) <= _rank(now):
            resources[name] = price
    return resources


def _rank(price: ResourcePrice) -> tuple[int, bool, str]:
    layer, file = _origin(price)
    return layer, file.startswith(f"{FOLDER}/"), file


def _origin(price: ResourcePrice) -> tuple[int, str]:
    """(layer, file) of a resource; a ledger of an earlier version does not say the file."""
    if price.source == "builtin":
        return BUILTIN, price.file or "resources.toml"
    return USER, price.file or "prices.toml"


def _was_in_bad_file(found: Compiled, layer: int, provider: str, entry: Entry) -> bool:
    # Ledgers of the first versions do not say the file; there was one a provider.
    return _is_bad(found, layer, entry.get("file", "prices.toml" if layer == USER else f"{provider}.toml"))


def _is_bad(found: Compiled, layer: int, name: str) -> bool:
    folder_is_gone = (layer, FOLDER) in found.bad and name.startswith(f"{FOLDER}/")
    return (layer, name) in found.bad or folder_is_gone


def _with(row: Row | None, old: Row, kept: list[Entry]) -> Row:
    """`row` with the entries `kept` from the last compile's row `old`."""
    if row is None:
        return (*old[:4], models_json(kept))
    text = models_json(sorted([*json.loads(row[4]), *kept], key=_place))
    version = row[3] if row[1] == BUILTIN else hashlib.sha256(text.encode()).hexdigest()[:8]
    return (*row[:3], version, text)


def _place(entry: Entry) -> tuple[int, bool, str]:
    name = entry.get("file", "")
    return precedence(entry), name.startswith(f"{FOLDER}/"), name


def _is_price_file(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith(".")


def _load(files: Mapping[str, str], *, dated: bool) -> tuple[dict[str, PriceFile], dict[str, str]]:
    """(good files, sentences about the others), by name."""
    good: dict[str, PriceFile] = {}
    bad: dict[str, str] = {}
    for name, path in files.items():
        try:
            good[name] = load_price_file(path, dated=dated)
        except PriceError as error:
            bad[name] = str(error)
    return good, bad


def _merged(
    files: Mapping[str, PriceFile], source: str, version: Callable[[str, list[PriceFile]], str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for provider in sorted({name for file in files.values() for name in file.models}):
        parts = {name: file for name, file in files.items() if provider in file.models}
        entries = [{**entry, "file": name} for name, file in parts.items() for entry in file.models[provider]]
        found[provider] = {
            "source": source,
            "version": version(provider, list(parts.values())),
            "models": sorted(entries, key=precedence),
        }
    return found


def _resources(files: Mapping[str, PriceFile], source: str) -> dict[str, ResourcePrice]:
    """By name; the first file to price one has it."""
    found: dict[str, ResourcePrice] = {}
    for file_name, file in files.items():
        for name, price in file.resources.items():
            version = file.digest if source == "user" else price.checked.replace("-", ".")
            found.setdefault(name, price._replace(source=source, version=version, file=file_name))
    return found


def _newest(provider: str, files: Iterable[PriceFile]) -> date:
    """The day of a provider's newest check; aliases alone have none, and take their file's."""
    days = [
        day
        for file in files
        for day in ([file.checked[provider]] if provider in file.checked else file.checked.values())
    ]
    return max(days, default=date(1970, 1, 1))


def _joint(digests: list[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("+".join(digests).encode()).hexdigest()[:8]


def _rows(layer: int, found: Layer) -> list[Row]:
    return [
        (name, layer, part["source"], part["version"], models_json(part["models"]))
        for name, part in found.models.items()
    ]


def provider_for(catalog: Mapping[str, Any], model: str) -> str | None:
    """The maker whose naming rule `model` follows ('claude…' is anthropic's), None if no rule fits."""
    text = model.lower()
    for provider, part in catalog["providers"].items():
        if "match" in part and matches(part["match"], text):
            return str(provider)
    return None


def _base(path: str) -> tuple[dict[str, Any], list[str]]:
    try:
        catalog = read_catalog(path)
        date.fromisoformat(catalog["checked"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "reinstall costmon, or run `costmon prices build` in a checkout"
        return {}, [f"{path}: cannot be used ({error}); {fix}"]
    return catalog, []
