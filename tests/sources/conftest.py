"""Fixtures of the resources' tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.sources.kit import World


@pytest.fixture
def world(tmp_path) -> Iterator[Callable[..., World]]:
    """`world(config, now)`: a fresh ledger each time."""
    made: list[World] = []
    numbers = itertools.count()

    def make(text: str, now: str = "2026-11-01 00:00", zone: str = "UTC") -> World:
        made.append(World(tmp_path / f"world{next(numbers)}", text, now, zone))
        return made[-1]

    yield make
    for one in made:
        one.close()
