"""Which sources there are and where their keys are: for `costmon keys list` and `costmon doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from costmon.cli.keys_config import bare, sources

if TYPE_CHECKING:
    from costmon.config.values import Source
    from costmon.credentials import Place


class Row(NamedTuple):
    """`polled`: 'yes', 'off' (enabled = false) or 'no' (not in config.toml)."""

    name: str
    kind: str
    polled: str
    places: Sequence[Place]
    problem: str


def all_rows() -> list[Row]:
    """Every source of config.toml, then what else has a key."""
    from costmon.credentials import files
    from costmon.sources.providers import registry

    known = sources()
    rows = [_row(source, "yes" if source.enabled else "off") for source in known.values()]
    others = dict.fromkeys([*files.own_names(), *registry.names()])
    for name in others:
        if name not in known:
            row = _row(bare(name), "no")
            rows += [row] if any(_tells(place) for place in row.places) else []
    return rows


def _tells(place: Place) -> bool:
    """Whether there is a key; a keyring out of reach tells nothing of a source nobody asked for."""
    return not (place.where == "keyring" and place.problem and not place.hosts)


def _row(source: Source, polled: str) -> Row:
    from costmon.credentials import Wanted, places
    from costmon.sources.providers import access
    from costmon.sources.providers.protocol import SourceError

    try:
        kind, settings = access.settings_of(source)
    except SourceError as error:
        if polled != "no":
            return Row(source.name, source.kind, polled, [], str(error))
        return Row(source.name, "?", polled, places(Wanted(source.name)), "")
    if not kind.key:
        return Row(source.name, kind.name, polled, [], "")
    wanted = access.wanted(kind, settings, source.key)
    found = places(wanted if polled != "no" else replace(wanted, hosts=()))  # nobody would send it anywhere
    problem = ""
    if not any(not place.problem for place in found):
        problem = (
            found[0].problem if found else f"there is no key; store one with: costmon keys set {source.name}"
        )
    return Row(source.name, kind.name, polled, found, problem)


def print_rows(rows: list[Row]) -> None:
    from costmon.cli.budget import table
    from costmon.cli.values import wrapped

    cells: list[tuple[str, ...]] = [("NAME", "KIND", "KEY", "GOES TO", "POLLED")]
    cells += [(row.name, row.kind, *_key(row), row.polled) for row in rows]
    click.echo(table(cells))
    for row in rows:
        for line in _remarks(row):
            click.echo(wrapped(line if line.startswith("[source.") else f"{row.name}: {line}"))


def _key(row: Row) -> tuple[str, str]:
    """Where the key is, and to which hosts it may go."""
    used = _used(row)
    if used is not None:
        return _place(used), ", ".join(used.hosts) or "-"
    if not row.problem:
        return "none needed", "-"
    kept = next((place for place in row.places if place.hosts), None)
    if kept is not None:
        return f"{_place(kept)}: refused", ", ".join(kept.hosts)
    return ("missing" if row.places or row.problem.startswith("there is no key") else "?"), "-"


def _used(row: Row) -> Place | None:
    return next((place for place in row.places if not place.problem), None)


def _remarks(row: Row) -> list[str]:
    used = _used(row)
    lines = [row.problem] if row.problem else []
    lines += [
        f"{_place(place)}: {place.problem}"
        for place in row.places
        if place.problem and place.problem != row.problem
    ]
    lines += [
        f"there is one in {_place(place)} too, which is not used"
        for place in row.places
        if not place.problem and place is not used
    ]
    if row.polled == "no" and used is not None:
        lines.append(
            f"not polled: there is no [source.{row.name}] in config.toml; costmon keys set {row.name} adds it"
        )
    return lines


def _place(place: Place) -> str:
    if place.where == "keyring":
        return "keyring"
    if place.where == "environment":
        return place.detail
    from costmon import paths

    return "file" if place.detail.startswith(paths.keys_dir()) else f"file {place.detail}"


def row_json(row: Row) -> dict[str, object]:
    used = _used(row)
    return {
        "name": row.name,
        "kind": row.kind,
        "configured": row.polled != "no",
        "enabled": row.polled == "yes",
        "where": used.where if used else None,
        "hosts": list(used.hosts) if used else [],
        "problem": row.problem,
        "places": [
            {
                "where": place.where,
                "detail": place.detail,
                "hosts": list(place.hosts),
                "problem": place.problem,
            }
            for place in row.places
        ],
    }


def check() -> tuple[str, str]:
    """'ok', 'note' or 'wrong', and a sentence: which sources lack their key, and what keeps keys."""
    from costmon.credentials import keyring

    with keyring.together():
        rows = [_row(source, "yes") for source in sources().values() if source.enabled]
        ring, state = _ring()
    problem = next((f"{row.name}: {row.problem}" for row in rows if row.problem), "")
    if problem:
        missing = sum(bool(row.problem) for row in rows)
        # Another process's environment is not ours: a variable may well be set where costmon runs.
        elsewhere = all(row.places and row.places[0].where == "environment" for row in rows if row.problem)
        return (
            "note" if elsewhere else "wrong",
            f"{missing} of {len(rows)} sources cannot be polled; {problem}",
        )
    count = "no source is polled" if not rows else f"{len(rows)} of {len(rows)} sources have what they need"
    return state, f"{ring}; {count}"


def _ring() -> tuple[str, str]:
    """A sentence on the keyring, and 'ok' or 'note'."""
    from costmon.credentials import keyring
    from costmon.credentials.keyring import NoKeyringError
    from costmon.errors import CredentialError

    try:
        found = f"the keyring ({keyring.name()}) answers"
        keyring.read("doctor")
    except NoKeyringError as error:
        return f"{error}: keys are kept in files (--where file) or the environment", "ok"
    except CredentialError as error:
        return str(error), "note"
    return found, "ok"
