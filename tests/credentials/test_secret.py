"""A key that shows itself to nobody, what counts as one, and the form in which it is stored."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.credentials import Entry, Secret
from costmon.credentials.entry import MAX_LENGTH, cleaned, parse_entry
from costmon.errors import CredentialError

KEY = "sk-admin-canary-7f3a9c"
HOSTS = st.lists(st.from_regex(r"[a-z0-9.-]{1,30}(:[0-9]{1,5})?", fullmatch=True), max_size=5).map(tuple)


def test_nothing_but_reveal_gives_it_away(caplog: pytest.LogCaptureFixture) -> None:
    """Not text, format, logs, copies or a container's repr; pickling is refused."""
    secret = Secret(KEY)
    logging.getLogger("t").error("%s %r", secret, [secret])
    shown = [repr(secret), str(secret), f"{secret:>40}", repr(Entry(secret, ("a",))), caplog.text]
    assert all(KEY not in text and KEY[-6:] not in text for text in shown)
    assert copy.deepcopy(secret) is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"), ("  \n", "empty"), ("a\nb", "several lines"), ("a\x00b", "control"), ("a\tb", "control"),
        ("clé", "not ASCII"), ("a\xa0b", "not ASCII"), ("a b", "space"), ("x" * (MAX_LENGTH + 1), "4,096"),
        ('"sk-x"', "quotes"), ("Bearer sk-x", "Bearer"), ('{"k": "x"}', "JSON"), ("a\x1bb", "control"),
        ("a\u2028b", "several lines"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_key_is_refused_by_one_sentence(text: str, says: str) -> None:
    """The sentence names the place and never repeats what was there."""
    with pytest.raises(CredentialError) as caught:
        cleaned(Secret(text), "the key in X")
    assert str(caught.value).startswith("the key in X ")
    assert says in str(caught.value)


def test_what_a_paste_brings_along_is_taken_off() -> None:
    """Spaces and the end of the line around a key are none of it."""
    assert cleaned(Secret(f"  {KEY}\r\n"), "it").reveal() == KEY


@given(key=st.from_regex(r"[!#-&(-z|-~][!#-&(-~]{0,200}", fullmatch=True), hosts=HOSTS)
def test_an_entry_comes_back_as_it_was(key: str, hosts: tuple[str, ...]) -> None:
    """Stored and read again: the same key for the same hosts."""
    entry = Entry(Secret(key), hosts)
    assert parse_entry(entry.document(), "here") == entry


@given(st.one_of(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["v", "hosts", "secret", "x"]), inner),
).map(json.dumps)))  # fmt: skip
def test_a_broken_entry_is_one_sentence(text: str) -> None:
    """Whatever is in the keyring under our name: an entry, or a CredentialError that does not quote it."""
    if isinstance(error := _refusal(text), CredentialError):
        assert str(error).startswith("the keyring's entry ")
        assert error.__context__ is None  # a parser's exception would carry the text


def _refusal(text: str) -> CredentialError | None:
    try:
        parse_entry(Secret(text), "the keyring's entry")
    except CredentialError as error:
        return error
    return None


def test_an_entry_is_for_its_hosts_only() -> None:
    """All of them, exactly as written: another port is another server."""
    entry = Entry(Secret(KEY), ("api.openai.com", "gw.example:8443"))
    assert entry.allows(["api.openai.com"])
    assert entry.allows([])
    assert not entry.allows(["gw.example"])
    assert not entry.allows(["api.openai.com", "evil.example"])
    assert not entry.allows(["api.openai.com.evil.example"])


KEYS = st.text("abcdefghijABCDEFGHIJ0123456789-_/+=.~", min_size=16, max_size=200).filter(
    lambda key: sum(map(str.isalnum, key)) >= 12
)


@given(KEYS, st.binary(max_size=9), st.text(max_size=9), st.text(max_size=9))
def test_it_is_found_in_a_text_however_it_is_written(key: str, before: bytes, left: str, right: str) -> None:
    """Case, signs between, percent-encoding, base64 at any place, hex."""
    encoded = base64.b64encode(before + key.encode() + b"tail")
    for form in (
        *(key, key.upper(), key.lower(), key.replace("-", "_"), key.replace("_", "-")),
        *(quote(key), quote(key, safe=""), quote(key, safe="").lower(), key.encode().hex()),
        *(encoded.decode(), base64.urlsafe_b64encode(before + key.encode() + b"tail").decode()),
    ):
        assert Secret(key).shows_in(f"{left} {form} {right}")


@pytest.mark.parametrize(
    ("key", "text", "shown"),
    [
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPx", "x wJalrXUtnFEMI/K7MDENG/bPx", True),
        ("sk-admin-canary-7f3a9cd2", "…7f3a9cd2", True),
        ("sk-admin-canary-7f3a9cd2", "sk-admin-canary", False),
        ("sk-admin-canary-production", "production", False),
        ("sk-admin-canary-key-20261103", "2026-11-03", False),
        ("ollama", "ollama/llama3", False),
        ("none", "none", False),
        ("", "", False),
        ("----", "----", False),
        ("sk-1234", "sk-1234", True),
    ],
)
def test_what_is_part_of_a_key_and_what_only_a_word(key: str, text: str, shown: bool) -> None:
    assert Secret(key).shows_in(text) is shown
