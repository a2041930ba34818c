"""The layers of the catalogue, compiled into rows of the ledger's table `catalog`: user, builtin, base; first
hit wins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from costmon import paths
from costmon.errors import PriceError
from costmon.pricing.files import PriceFile, load_price_file
from costmon.shim.cards import Entry, matches
from costmon.shim.catalogue import base_rows, compact_json, read_catalog

USER, BUILTIN, BASE = 0, 1, 2
Row = tuple[str, int, str, str, str]


class Compiled(NamedTuple):
    """`rows`: (provider, layer, source, version, models as JSON), one per provider and layer. `problems`: one
    sentence for each file that was left out. `source`, `version`, `checked`: of the base ('' and None without
    one)."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    source: str
    version: str
    checked: date | None


def compiled(user_file: str | None) -> Compiled:
    """All layers. A file that is wrong is left out and reported; a user file that does not exist is no
    problem."""
    folder = paths.bundled("pricing")
    base, problems = _base(os.path.join(folder, "catalog.json"))
    builtin, faults = builtin_layer(folder)
    problems += faults
    rows: list[Row] = []
    if user_file is not None and os.path.lexists(user_file):
        try:
            rows += user_rows(load_price_file(user_file))
        except PriceError as error:
            problems.append(str(error))
    for name, part in builtin.items():
        rows.append((name, BUILTIN, part["source"], part["version"], compact_json(part["models"])))
    rows += base_rows(base) if base else []
    checked = date.fromisoformat(base["checked"]) if base else None
    return Compiled(tuple(rows), tuple(problems), base.get("source", ""), base.get("version", ""), checked)


def builtin_layer(folder: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Our corrections, {provider: {"source", "version", "models"}}, and a sentence for each file that is
    wrong.

    Files are read in the order of their names; the first to price a model has it. A version is the day of the
    newest check, like 2026.11.20.
    """
    models: dict[str, list[Entry]] = {}
    checked: dict[str, date] = {}
    problems: list[str] = []
    for name in sorted(os.listdir(folder) if os.path.isdir(folder) else ()):
        if not name.endswith(".toml"):
            continue
        try:
            file = load_price_file(os.path.join(folder, name), dated=True)
        except PriceError as error:
            problems.append(str(error))
            continue
        for provider, entries in file.models.items():
            models.setdefault(provider, []).extend(entries)
            checked[provider] = max(file.checked[provider], checked.get(provider, date.min))
    layer = {
        provider: {"source": "builtin", "version": f"{checked[provider]:%Y.%m.%d}", "models": entries}
        for provider, entries in sorted(models.items())
    }
    return layer, problems


def user_rows(file: PriceFile) -> list[Row]:
    """The user's file as rows."""
    return [(name, USER, "user", file.digest, compact_json(entries)) for name, entries in file.models.items()]


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
