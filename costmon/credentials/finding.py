"""Where a source's key is, and whether it may go where it would be sent."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from costmon.credentials import files, keyring
from costmon.credentials.entry import Entry, cleaned
from costmon.credentials.keyring import NoKeyringError
from costmon.credentials.patience import OutOfReachError
from costmon.credentials.secret import Secret
from costmon.errors import CredentialError

_ENV, _FILE = "env:", "file:"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that is looked for.

    Args:
        name: the source's.
        spec: '' (keyring, then the usual variables, then our own file), "keyring", "env:NAME" or "file:/path".
        hosts: where it would go.
        usual: the variables it is usual in, which give it to `home_hosts` only.
    """

    name: str
    spec: str = ""
    hosts: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    home_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is: `where` is "keyring", "environment" or "file"; `detail` the keyring's name, the variable or the path.

    `hosts` it may go to. `problem`: why it cannot be used, '' if it can.
    """

    where: str
    detail: str
    hosts: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    secret: Secret
    place: Place


def find(wanted: Wanted, *, ask: bool = False) -> Found:
    """The key and where it is; `ask`: the keyring may open a window to be unlocked. Raises CredentialError."""
    if wanted.spec not in ("", "keyring"):
        return _named(wanted)
    try:
        ring: Entry | CredentialError | None = keyring.read(wanted.name, ask=ask)
    except CredentialError as error:
        ring = error
    return _usual(wanted, ring)


async def find_async(wanted: Wanted) -> Found:
    """The same for an event loop: it waits for the keyring alone, 5 s at most, and never opens a window."""
    if wanted.spec not in ("", "keyring"):
        return _named(wanted)
    try:
        ring: Entry | CredentialError | None = await keyring.read_async(wanted.name)
    except CredentialError as error:
        ring = error
    return _usual(wanted, ring)


def places(wanted: Wanted) -> list[Place]:
    """Every place that has a key of this source, in the order they are looked at. The first without a problem is used."""
    if wanted.spec.startswith(_ENV):
        return [_variable(wanted.spec.removeprefix(_ENV), wanted.hosts, wanted)]
    if wanted.spec.startswith(_FILE):
        return [_place_of_file(wanted)]
    found = [_place_of_keyring(wanted)]
    if not wanted.spec:
        found += [_variable(name, wanted.home_hosts, wanted) for name in wanted.usual if os.environ.get(name)]
        found.append(_place_of_own(wanted))
    return [place for place in found if place is not None]


# --- what the section names ---


def _named(wanted: Wanted) -> Found:
    if wanted.spec.startswith(_ENV):
        name = wanted.spec.removeprefix(_ENV)
        if not os.environ.get(name):
            raise CredentialError(
                f"{name}, where [source.{wanted.name}] says the key is, is not set where costmon runs; set it there"
            )
        return Found(_from_variable(name), Place("environment", name, wanted.hosts))
    path = wanted.spec.removeprefix(_FILE)
    content = files.read_named(path)
    if isinstance(content, Secret):
        return Found(content, Place("file", path, wanted.hosts))
    if not content.allows(wanted.hosts):
        raise CredentialError(_bound(f"the key in {path}", content.hosts, wanted))
    return Found(content.secret, Place("file", path, content.hosts))


# --- wherever it is usual ---


def _usual(wanted: Wanted, ring: Entry | CredentialError | None) -> Found:
    """The first key that may go to the hosts; a place that cannot be used is told of only when no other has one."""
    refused: list[str] = []
    if isinstance(ring, Entry):
        if ring.allows(wanted.hosts):
            return Found(ring.secret, Place("keyring", "", ring.hosts))
        refused.append(_bound("the key in the keyring", ring.hosts, wanted))
    if wanted.spec:
        raise CredentialError(refused[0]) if refused else _missing(wanted, ring)
    for name in filter(os.environ.get, wanted.usual):
        if set(wanted.hosts) <= set(wanted.home_hosts):
            return Found(_from_variable(name), Place("environment", name, wanted.home_hosts))
        named = f', and so does key = "env:{name}" in [source.{wanted.name}]'
        refused.append(_bound(f"the key in {name}", wanted.home_hosts, wanted) + named)
    entry = files.read_own(wanted.name)
    if entry is not None:
        path = files.own_file(wanted.name)
        if entry.allows(wanted.hosts):
            return Found(entry.secret, Place("file", path, entry.hosts))
        refused.append(_bound(f"the key in {path}", entry.hosts, wanted))
    raise CredentialError(refused[0]) if refused else _missing(wanted, ring)


def _from_variable(name: str) -> Secret:
    return cleaned(Secret(os.environ.get(name, "")), f"the key in {name}")


def _missing(wanted: Wanted, ring: Entry | CredentialError | None) -> CredentialError:
    section, command = f"[source.{wanted.name}]", f"costmon keys set {wanted.name}"
    if isinstance(ring, OutOfReachError):
        return OutOfReachError(f"the key of {wanted.name} is out of reach: {ring}, or {command} --where file")
    if isinstance(ring, CredentialError) and not isinstance(ring, NoKeyringError):
        return CredentialError(str(ring))
    if wanted.spec and ring is not None:
        return CredentialError(
            f'{section} says key = "keyring", but {ring}; remove that, then {command} --where file'
        )
    where = " --where file" if ring is not None else ""
    usual = f", or set {wanted.usual[0]} where costmon runs" if wanted.usual and not wanted.spec else ""
    return CredentialError(f"there is no key of {wanted.name}; store one with: {command}{where}{usual}")


def _bound(what: str, hosts: Iterable[str], wanted: Wanted) -> str:
    new = ", ".join(host for host in wanted.hosts if host not in hosts)
    return (
        f"{what} is bound to {', '.join(hosts) or 'no host'} and does not go to {new}; "
        f"costmon keys set {wanted.name} allows the new host"
    )


# --- for showing ---


def _place_of_keyring(wanted: Wanted) -> Place | None:
    title = ""
    try:
        title = keyring.name()
        entry = keyring.read(wanted.name)
    except CredentialError as error:
        silent = isinstance(error, NoKeyringError) and not wanted.spec  # then it is no place at all
        return None if silent else Place("keyring", title, problem=str(error))
    return None if entry is None else _judged(Place("keyring", title, entry.hosts), "the key", wanted)


def _place_of_own(wanted: Wanted) -> Place | None:
    path = files.own_file(wanted.name)
    try:
        entry = files.read_own(wanted.name)
    except CredentialError as error:
        return Place("file", path, problem=str(error))
    return None if entry is None else _judged(Place("file", path, entry.hosts), "the key", wanted)


def _variable(name: str, hosts: tuple[str, ...], wanted: Wanted) -> Place:
    place = Place("environment", name, hosts)
    try:
        if not os.environ.get(name):
            raise CredentialError(f"{name} is not set here")
        _from_variable(name)
    except CredentialError as error:
        return Place("environment", name, hosts, str(error))
    return _judged(place, "the key", wanted)


def _place_of_file(wanted: Wanted) -> Place:
    try:
        return _named(wanted).place
    except CredentialError as error:
        return Place("file", wanted.spec.removeprefix(_FILE), problem=str(error))


def _judged(place: Place, what: str, wanted: Wanted) -> Place:
    """The place, with the problem that its key may not go where it would."""
    if set(wanted.hosts) <= set(place.hosts):
        return place
    return Place(place.where, place.detail, place.hosts, _bound(what, place.hosts, wanted))
