"""A real call with a key, for `costmon keys set` and `costmon keys test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costmon.config.values import Source
    from costmon.credentials import Secret
    from costmon.sources.providers.protocol import Kind, Settings


async def try_key(kind: Kind, settings: Settings, secret: Secret | None) -> tuple[str, str]:
    """'ok' or the state of why a real call failed, and a sentence without its full stop."""
    from costmon.cli.values import now
    from costmon.shim.timestamps import to_datetime
    from costmon.sources.providers import access
    from costmon.sources.providers.protocol import SourceError

    try:
        await access.prove(kind, settings, secret, to_datetime(now()))
    except SourceError as error:
        return error.state, str(error).rstrip(".")
    return "ok", f"{kind.title} answers"


def test_all(sources: list[Source], *, named: bool) -> list[tuple[str, str, str]]:
    """Name, 'ok' or 'skipped' or a SourceError's state, and a sentence. Keys one after another, then all calls at once."""
    import asyncio

    ready = {source.name: _prepared(source, named=named) for source in sources}

    async def ask() -> list[tuple[str, str]]:
        return await asyncio.gather(*(try_key(*found) for found in ready.values() if len(found) == 3))

    answers = iter(asyncio.run(ask()))
    return [(name, *(found if len(found) == 2 else next(answers))) for name, found in ready.items()]


def _prepared(source: Source, *, named: bool) -> tuple[str, str] | tuple[Kind, Settings, Secret | None]:
    """What a call needs, or why there is none."""
    from costmon import credentials
    from costmon.errors import CredentialError
    from costmon.sources.providers import access
    from costmon.sources.providers.protocol import SourceError

    if not named and not source.enabled:
        return "skipped", f"enabled = false; costmon keys test {source.name} asks all the same"
    try:
        kind, settings = access.settings_of(source)
        if kind.fee and not named:
            amount, currency = kind.fee
            return (
                "skipped",
                f"each request costs {amount} {currency}; costmon keys test {source.name} makes one",
            )
        secret = None
        if kind.key:
            secret = credentials.find(access.wanted(kind, settings, source.key), ask=True).secret
            access.check_key(kind, secret)
    except CredentialError as error:
        return "key", str(error)
    except SourceError as error:
        return error.state, str(error)
    return kind, settings, secret
