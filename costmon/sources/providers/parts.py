"""What several kinds need to put a reading together: days, figures by their sign, and parts a key may not see."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from costmon.sources.providers.daily import DAY
from costmon.sources.providers.protocol import (
    CREDIT,
    USAGE,
    Bucket,
    Figure,
    Settings,
    SourceError,
    Window,
)
from costmon.sources.providers.reading import fail

T = TypeVar("T")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NOT_FOR_THIS_KEY = ("auth", "forbidden", "not_found")
_GROUP = tuple(field.name for field in fields(Figure) if field.name != "amount")


def days(window: Window) -> list[Bucket]:
    """Every UTC day of the window that has begun, the oldest first; the last one is today."""
    last = min(window.end, window.now)
    count = -((window.start - last) // DAY)
    return [Bucket(window.start + at * DAY, window.start + (at + 1) * DAY) for at in range(max(0, count))]


def figure(bucket: Bucket, amount: Decimal, currency: str = "USD", **group: str) -> Figure:
    """A figure of a bucket; a negative one is a credit, since usage costs something or nothing."""
    line = CREDIT if amount < 0 else USAGE
    return Figure(bucket.start, bucket.end, amount, currency, line=line, **group)


def summed(figures: Iterable[Figure]) -> list[Figure]:
    """One figure a group: a provider may give several rows of the same one."""
    groups: dict[tuple[Any, ...], Figure] = {}
    for found in figures:
        group = tuple(getattr(found, name) for name in _GROUP)
        known = groups.get(group)
        groups[group] = replace(found, amount=known.amount + found.amount) if known else found
    return list(groups.values())


def or_zero(data: dict[str, Any], name: str) -> Any:
    """A field that is left out when it is zero, as protocol buffers written as JSON do. Only null counts as left out."""
    value = data.get(name)
    return 0 if value is None else value


async def unless_refused(asked: Awaitable[T], lacking: str) -> tuple[T | None, Sequence[str]]:
    """What a key that was already accepted may still not see: the answer, or None and a note.

    `lacking` says what is missing then, as the beginning of a sentence. Only a refusal becomes a note; whatever may pass
    by itself (no network, a busy provider) or needs an update is raised.
    """
    try:
        return await asked, ()
    except SourceError as error:
        if error.state not in _NOT_FOR_THIS_KEY:
            raise
        return None, (f"{lacking}: {error}",)


def id_of(value: Any, where: str) -> str:
    """An id out of an answer that may become part of a path."""
    if not isinstance(value, str) or not _SEGMENT.fullmatch(value) or ".." in value:
        fail(where, "is no id")
    return value


def id_option(settings: Settings, name: str, example: str) -> str:
    """An id the operator set, which becomes part of a path; '' when it is not set."""
    value = settings.options.get(name, "")
    if value and (not _SEGMENT.fullmatch(value) or ".." in value):
        raise SourceError("config", f'[source.{settings.name}] {name} is no id; write it like "{example}"')
    return value
