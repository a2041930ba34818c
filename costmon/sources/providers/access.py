"""From a `[source.NAME]` to what its kind needs: checked settings, and the key, if it may go where it would be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from costmon import credentials
from costmon.credentials import OutOfReachError, Secret, Wanted
from costmon.errors import CredentialError
from costmon.sources.providers import registry
from costmon.sources.providers.hosts import base
from costmon.sources.providers.protocol import Kind, Settings, SourceError, Window

if TYPE_CHECKING:
    from costmon.config.values import Source

_GENERAL = ("kind", "provider", "base_url", "key", "every", "enabled", "tax_included")
_PROOF_S = 30
_LATER_S = 300
"""When to look again at a keyring that is locked or silent."""


def settings_of(source: Source) -> tuple[Kind, Settings]:
    """The kind of a source and its settings, checked. Raises SourceError ('config')."""
    try:
        kind = registry.kind(source.kind)
    except SourceError as error:
        raise _wrong(source, str(error), ": ") from None
    if source.every_us and source.every_us < kind.at_least_s * 1_000_000:
        raise _wrong(source, f"every must be {span(kind.at_least_s)} or more for {kind.title}")
    if not (source.provider or kind.provider):
        raise _wrong(source, 'needs provider = "…" (whose bill it is, such as "openai")')
    return kind, Settings(
        name=source.name,
        provider=source.provider or kind.provider,
        base_url=_base_url(kind, source),
        options=MappingProxyType(_options(kind, source)),
        tax_included=source.tax_included,
    )


async def key_of(kind: Kind, settings: Settings, source: Source) -> Secret | None:
    """The key of a source, None for a kind that needs none; within 5 s, without a window. Raises SourceError ('key';
    with `retry_after` if asking again may help by itself)."""
    if not kind.key:
        return None
    try:
        found = await credentials.find_async(wanted(kind, settings, source.key))
    except CredentialError as error:
        later = _LATER_S if isinstance(error, OutOfReachError) else None
        raise SourceError("key", str(error), retry_after=later) from None
    check_key(kind, found.secret)
    return found.secret


def wanted(kind: Kind, settings: Settings, spec: str = "") -> Wanted:
    """What to look for: the key of these settings, where `spec` (the section's `key`) says it is."""
    own = [host_of(url) for url in (kind.base_url, *kind.hosts) if url]
    if kind.local and settings.base_url and base(settings.base_url).local:
        own.append(host_of(settings.base_url))
    # A second source of a kind is a second account: it must not take the first one's key, and its spend count twice.
    usual = kind.env if settings.name == kind.name else ()
    return Wanted(settings.name, spec, key_hosts(kind, settings), usual, tuple(dict.fromkeys(own)))


def key_hosts(kind: Kind, settings: Settings) -> tuple[str, ...]:
    """Every host the key of these settings is sent to; what stands for a provider on this machine stands for all of it."""
    if not settings.base_url:
        return ()
    further = () if base(settings.base_url).local else kind.hosts
    return tuple(dict.fromkeys(map(host_of, (settings.base_url, *further))))


def check_key(kind: Kind, secret: Secret) -> None:
    """Raises SourceError ('key') for a key whose beginning says that it cannot work."""
    for prefix, what in kind.wrong_keys.items():
        if secret.begins_with(prefix):
            made = f" ({kind.key_from})" if kind.key_from else ""
            raise SourceError("key", f"this is {what}; {kind.title} needs {kind.key}{made}")


def host_of(url: str) -> str:
    """What keys are bound to: 'api.openai.com', or 'http://localhost:4000' where it is no https. Raises SourceError."""
    return base(url if "://" in url else f"https://{url}").origin.removeprefix("https://")


def _base_url(kind: Kind, source: Source) -> str:
    if not source.base_url and not kind.base_url:
        if kind.key:
            raise _wrong(source, f'needs base_url = "https://…" (where {kind.title} is asked)')
        return ""
    return base(source.base_url or kind.base_url, f"[source.{source.name}] base_url").url


def _options(kind: Kind, source: Source) -> dict[str, str]:
    from costmon.config.source import meant

    known = {option.name: option for option in kind.options}
    for name in source.options:
        if name not in known:
            raise _wrong(source, f"{name} is not a setting; {meant(name, (*known, *_GENERAL))}")
    missing = [
        name for name, option in known.items() if option.default is None and not source.options.get(name)
    ]
    if missing:
        raise _wrong(
            source, "needs " + " and ".join(f'{name} = "…" ({known[name].help})' for name in missing)
        )
    return {name: source.options.get(name, option.default or "") for name, option in known.items()}


def _wrong(source: Source, problem: str, link: str = " ") -> SourceError:
    return SourceError("config", f"[source.{source.name}]{link}{problem}")


def span(seconds: int) -> str:
    """'10 min', '6 h', '90 s'."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def option_problems(kind: Kind, options: Mapping[str, str]) -> list[str]:
    """What a source must be told on the command line: mandatory options that are not among `options`, with their help."""
    return [
        f"--option {option.name}=… ({option.help})"
        for option in kind.options
        if option.default is None and not options.get(option.name)
    ]


async def prove(kind: Kind, settings: Settings, secret: Secret | None, now: datetime) -> None:
    """Ask the provider for as little as proves the key: today's figures, or less. Raises SourceError."""
    from costmon.sources.providers.http import Traffic, connect

    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    window = Window(day, day + timedelta(days=1), now)
    try:
        async with asyncio.timeout(_PROOF_S), connect(kind, settings, secret, Traffic()) as client:
            await (kind.verify or kind.fetch)(client, settings, window)
        return
    except SourceError:
        raise
    except TimeoutError:
        failed = SourceError("network", f"{kind.title} did not answer within {_PROOF_S} s; try again later")
    except Exception as error:
        what = f'the source kind "{kind.name}" failed at the answer ({type(error).__name__})'
        failed = SourceError("schema", f"{what}; update costmon, or the package it comes from")
    raise failed
