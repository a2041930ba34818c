"""Asking a fake provider the way costmon asks a real one: the kind's own code over `http.connect`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from costmon.credentials import Secret
from costmon.sources.providers import http, registry
from costmon.sources.providers.protocol import STATES, Kind, Reading, Settings, SourceError, Window
from tests.sources.providers.fake import Answer, Fake, Request
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
"""A Friday afternoon; the fixed present of these tests."""


def days_until(now: datetime, days: int) -> Window:
    """`days` whole UTC days, the last of them today."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    end = midnight + timedelta(days=1)
    return Window(end - timedelta(days=days), end, now)


def settings_for(kind: Kind, server: Server, **options: str) -> Settings:
    """Every option of the kind: its default, else the fake's, else as given here."""
    given = {option.name: option.default or "" for option in kind.options}
    given |= server.fake.options | options
    return Settings(kind.name, kind.provider, server.url, MappingProxyType(given))


async def read(
    kind: Kind,
    server: Server,
    window: Window | None = None,
    *,
    key: str | None = None,
    traffic: http.Traffic | None = None,
    **options: str,
) -> Reading:
    """One round with the fake's key, or with `key` ('' = none). The window is three days up to the server's now."""
    written = server.fake.key if key is None else key
    secret = Secret(written) if written else None
    settings = settings_for(kind, server, **options)
    async with http.connect(kind, settings, secret, traffic or http.Traffic()) as client:
        return await kind.fetch(client, settings, window or days_until(server.now, 3))


async def refusal(server: Server, key: str | None = None, days: int = 3) -> SourceError:
    """Why the fake is not read: one sentence, without the key or its end."""
    kind = registry.kind(server.fake.kind)
    with pytest.raises(SourceError) as caught:
        await read(kind, server, days_until(server.now, days), key=key)
    assert caught.value.state in STATES
    sentence = str(caught.value)
    assert 30 <= len(sentence) <= 400
    assert "\n" not in sentence
    for held in (server.fake.key, server.fake.wrong_key, key or ""):
        assert not held or (held not in sentence and held[-10:] not in sentence)
    return caught.value


def changed(fake: Fake, **attributes: Any) -> Fake:
    """The fake with other attributes; the original stays as it is."""
    other = copy.copy(fake)
    for name, value in attributes.items():
        setattr(other, name, value)
    return other


class Rewritten:
    """A fake whose good answers pass through `rewrite`."""

    def __init__(self, fake: Fake, rewrite: Callable[[Any], Any]) -> None:
        self._fake, self._rewrite = fake, rewrite
        self.fired = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        found = self._fake.answer(request, bill, now)
        if found.status >= 400 or isinstance(found.body, bytes):
            return found
        body = self._rewrite(found.body)
        self.fired += body != found.body
        return found._replace(body=body)
