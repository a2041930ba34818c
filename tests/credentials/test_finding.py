"""Where a key is looked for, in which order, and to which hosts it may go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from costmon.credentials import (
    Entry,
    OutOfReachError,
    Secret,
    Wanted,
    files,
    find,
    find_async,
    keyring,
    places,
)
from costmon.credentials.keyring import NoKeyringError
from costmon.errors import CredentialError

HOST = "api.openai.com"
WANTED = Wanted("openai", "", (HOST,), ("OPENAI_ADMIN_KEY",), (HOST,))
Ring = Callable[[Entry | CredentialError | None], None]


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    """What the keyring says; the real ones have tests of their own."""

    def say(answer: Entry | CredentialError | None) -> None:
        def read(user: str, *, ask: bool = False) -> Entry | None:
            if isinstance(answer, CredentialError):
                raise answer
            return answer

        async def read_async(user: str) -> Entry | None:
            return read(user)

        monkeypatch.setattr(keyring, "read", read)
        monkeypatch.setattr(keyring, "read_async", read_async)
        monkeypatch.setattr(keyring, "name", lambda: "Secret Service")

    say(NoKeyringError("there is no keyring on this machine"))
    return say


def test_keyring_then_variable_then_file(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is used only where the ones before it have none; all of them are listed."""
    with pytest.raises(
        CredentialError, match="no key of openai; store one with: costmon keys set openai --where file"
    ):
        find(WANTED)
    files.write_own("openai", Entry(Secret("of-file"), (HOST,)))
    assert find(WANTED).secret == Secret("of-file")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", " of-variable ")
    assert find(WANTED).secret == Secret("of-variable")
    ring(Entry(Secret("of-ring"), (HOST,)))
    assert find(WANTED).secret == Secret("of-ring")
    assert [place.where for place in places(WANTED)] == ["keyring", "environment", "file"]
    assert all(place.hosts == (HOST,) and not place.problem for place in places(WANTED))


async def test_the_same_from_an_event_loop(ring: Ring) -> None:
    ring(Entry(Secret("of-ring"), (HOST,)))
    assert (await find_async(WANTED)).secret == Secret("of-ring")


@pytest.mark.parametrize("where", ["keyring", "environment", "file"])
def test_a_key_goes_to_no_other_host(where: str, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence: what it is bound to, and how the new host is allowed."""
    entry = Entry(Secret("sk-canary-1"), (HOST,))
    if where == "keyring":
        ring(entry)
    elif where == "file":
        files.write_own("openai", entry)
    else:
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-canary-1")
    elsewhere = Wanted("openai", "", ("gw.example",), WANTED.usual, WANTED.home_hosts)
    with pytest.raises(CredentialError) as caught:
        find(elsewhere)
    assert "bound to api.openai.com and does not go to gw.example" in str(caught.value)
    assert "costmon keys set openai allows the new host" in str(caught.value)
    assert find(WANTED).place.where == where
    (place,) = places(elsewhere)
    assert "gw.example" in place.problem


def test_a_key_for_some_of_the_hosts_is_not_enough(ring: Ring) -> None:
    ring(Entry(Secret("x"), (HOST,)))
    with pytest.raises(CredentialError, match=r"does not go to login.example;"):
        find(Wanted("openai", "", (HOST, "login.example")))


def test_a_named_variable_goes_where_its_section_says(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that one is looked at; it is named when it is not set."""
    ring(Entry(Secret("of-ring"), (HOST,)))
    named = Wanted("openai", "env:MY_KEY", ("gw.example",), WANTED.usual, WANTED.home_hosts)
    with pytest.raises(CredentialError, match=r"MY_KEY, where .source.openai. says the key is, is not set"):
        find(named)
    assert places(named)[0].problem
    monkeypatch.setenv("MY_KEY", "of-mine")
    found = find(named)
    assert (found.secret, found.place.hosts) == (Secret("of-mine"), ("gw.example",))
    monkeypatch.setenv("MY_KEY", "two\nlines")
    with pytest.raises(CredentialError, match="the key in MY_KEY has several lines"):
        find(named)


def test_a_named_file(ring: Ring, tmp_path: Path) -> None:
    """A bare key goes to the section's host; an entry of ours keeps its own binding."""
    path = tmp_path / "key"
    path.write_text("sk-bare\n")
    path.chmod(0o600)
    named = Wanted("openai", f"file:{path}", ("gw.example",))
    assert find(named).secret == Secret("sk-bare")
    assert places(named)[0].hosts == ("gw.example",)
    path.write_text(Entry(Secret("x"), (HOST,)).document().reveal())
    with pytest.raises(CredentialError, match=r"bound to api.openai.com"):
        find(named)
    os.chmod(path, 0o644)
    with pytest.raises(CredentialError, match="chmod 600"):
        find(named)


def test_only_the_keyring_when_it_is_named(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other place is looked at."""
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "of-variable")
    files.write_own("openai", Entry(Secret("of-file"), (HOST,)))
    named = Wanted("openai", "keyring", (HOST,), WANTED.usual, WANTED.home_hosts)
    with pytest.raises(CredentialError, match='says key = "keyring", but there is no keyring'):
        find(named)
    ring(None)
    with pytest.raises(
        CredentialError, match=r"there is no key of openai; store one with: costmon keys set openai$"
    ):
        find(named)


async def test_a_locked_keyring_is_told_apart_from_a_missing_key(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whoever polls asks again by itself; a key elsewhere is used meanwhile."""
    ring(OutOfReachError("the keyring is locked; unlock it and try again"))
    with pytest.raises(OutOfReachError, match="out of reach: the keyring is locked"):
        await find_async(WANTED)
    assert "locked" in places(WANTED)[0].problem
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "of-variable")
    assert (await find_async(WANTED)).secret == Secret("of-variable")
