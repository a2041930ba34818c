"""Ids that sort by time and texts that no provider can turn into a weapon."""

from __future__ import annotations

import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.shim.events import MAX_TEXT, clean, id_floor, new_id

AT = 1_795_132_900_123_456


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Any UUID library reads the ids of an export."""
    found = uuid.UUID(new_id(AT))
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert found.int >> 80 == AT // 1000


def test_ids_are_unique_and_sort_by_time() -> None:
    """The feed shows the newest call first, and no two calls share a row."""
    ids = [new_id(AT + step) for step in range(5000)]
    assert ids == sorted(ids)
    assert len({new_id(AT) for _ in range(20_000)}) == 20_000


@given(st.integers(0, 2**47 * 1000), st.integers(0, 10**12))
def test_no_later_id_is_below_the_floor(at: int, later: int) -> None:
    """A budget set today counts every event of today."""
    assert new_id(at + later) >= id_floor(at)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("gpt-4o", "gpt-4o"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\nb\rc\x00d", "abcd"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\ud800x", "x"),
        ("  padded \t", "padded"),
        ("\x9b31m", "31m"),
        ("모델", "모델"),
        (None, ""),
        (7, ""),
    ],
)
def test_clean_takes_the_sting_out(raw: object, text: str) -> None:
    """A model name cannot move the cursor, turn the line round or break a row."""
    assert clean(raw) == text


@given(st.text(st.characters(), max_size=1000))
def test_clean_is_bounded_printable_and_stable(raw: str) -> None:
    """Whatever a server sends, the screen gets one short line that encodes."""
    text = clean(raw)
    assert len(text) <= MAX_TEXT
    assert clean(text) == text
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    text.encode()


def test_clean_of_a_megabyte_is_quick() -> None:
    """A 1 MB model name costs the host no noticeable time."""
    assert len(clean("x\x1b" * 500_000)) == MAX_TEXT
