"""Money told by UTC day: whole days, each of them once. A day told twice, or cut otherwise, would be a wrong number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any

from costmon.sources.providers.pages import more, pages
from costmon.sources.providers.protocol import Bucket, SourceError, Usage, Window
from costmon.sources.providers.reading import fail, need, rows

DAY = timedelta(days=1)
_YOUNG = timedelta(hours=1)


def day_of(at: datetime, where: str, end: datetime | None = None) -> Bucket:
    """The UTC day that begins at `at`. Its `end` may be earlier, as today's sometimes is. Raises SourceError when `at` is
    no midnight, or the stretch is longer than a day."""
    if at.time() != time(0):
        fail(where, "is no UTC midnight, although days were asked for")
    if end is not None and not at < end <= at + DAY:
        fail(where, "begins something else than one day")
    return Bucket(at, at + DAY)


def parts(window: Window, most: int) -> Iterator[Window]:
    """The window in pieces of at most `most` days, oldest first."""
    start = window.start
    while start < window.end:
        end = min(start + most * DAY, window.end)
        yield Window(start, end, window.now)
        start = end


async def enveloped(
    ask: Callable[[Window, str], Awaitable[Any]],
    windows: Iterable[Window],
    ends: tuple[str, str],
    instant: Callable[[Any, str], datetime],
    *,
    every_day: bool = False,
) -> AsyncIterator[tuple[Bucket, list[dict[str, Any]]]]:
    """Days and their rows, out of pages of `data`, `has_more` and `next_page`.

    `ask(window, cursor)` brings a page; `ends` are the fields of a day's start and end, which `instant` reads.
    every_day: the provider tells of every day, also of one on which nothing was spent; one that is not told is an error.
    """
    seen: set[datetime] = set()
    for window in windows:
        async for page in pages(partial(ask, window), more):
            for row in rows(need(page, "data"), "data"):
                start, end = (instant(need(row, name), name) for name in ends)
                bucket = day_of(start, ends[0], end)
                if start in seen:
                    raise SourceError(
                        "schema", f"the answer tells {start:%Y-%m-%d} twice; the last good figures are kept"
                    )
                seen.add(start)
                # Older copies of OpenAI's specification call the list `result`.
                yield bucket, rows(need(row, "result" if "result" in row else "results"), "results")
        if every_day:
            _all_told(window, seen)


def _all_told(window: Window, seen: set[datetime]) -> None:
    """Today may be missing while it is young: a provider begins its day when its books do."""
    day = window.start
    while day < window.end and day + _YOUNG <= window.now:
        if day not in seen:
            raise SourceError(
                "schema",
                f"the answer leaves out {day:%Y-%m-%d}, although every day was asked for; the last good figures are kept",
            )
        day += DAY


async def counted(usage: AsyncIterator[Usage]) -> tuple[list[Usage], tuple[str, ...]]:
    """The token counts, or a note on why there are none: they are less than the money, and must not cost it."""
    try:
        return [found async for found in usage], ()
    except SourceError as error:
        if error.state not in ("schema", "forbidden", "not_found"):
            raise
        return [], (f"the token counts are missing: {error}",)


def present(data: dict[str, Any], key: str) -> Any:
    """`data[key]`, which may be null; a key that is not there at all was renamed."""
    if key not in data:
        fail(key, "is missing")
    return data[key]
