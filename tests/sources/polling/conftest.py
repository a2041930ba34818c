"""Fixtures of the polling tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.sources.polling.kit import NOW, Home
from tests.sources.providers.fake import openai
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """OpenAI on loopback; the key is in the environment."""
    monkeypatch.setenv("POLL_KEY", openai.FAKE.key)
    with Server(openai.FAKE, Bill(), NOW) as one:
        yield one


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Home]]:
    made: list[Home] = []

    def build(text: str, **how: object) -> Home:
        made.append(Home(tmp_path / f"ledger{len(made)}", text, **how))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def home(make, server) -> Home:
    """One source: openai, on loopback."""
    return make(f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n')
