"""Paging to the end, or not at all: a sum over half of the pages would be a wrong number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any, NoReturn

from costmon.sources.providers.protocol import SourceError
from costmon.sources.providers.reading import cursor as to_send
from costmon.sources.providers.reading import fail, table

MAX_PAGES = 200


async def pages(
    ask: Callable[[str], Awaitable[Any]], cursor: Callable[[dict[str, Any]], str]
) -> AsyncIterator[dict[str, Any]]:
    """Every page: `ask('')` is the first, `cursor(page)` names the next one, '' after the last.

    Raises SourceError when a cursor repeats, a page comes twice, or there are more than 200 pages.
    """
    cursors, contents = {""}, {b""}
    at = ""
    while True:
        page = table(await ask(at), "page")
        content = _content(page)
        if content and content in contents:
            _stop("the provider sent the same page twice")
        contents.add(content)
        yield page
        at = cursor(page)
        if not at:
            return
        if at in cursors:
            _stop("the provider's pages go round in a circle")
        cursors.add(at)
        if len(cursors) > MAX_PAGES:
            _stop(f"the answer has more than {MAX_PAGES} pages")


def more(page: dict[str, Any], cursor: str = "next_page", flag: str = "has_more") -> str:
    """The next cursor of an envelope with `has_more`. Raises SourceError when it says "more" and names nothing."""
    if not isinstance(page.get(flag), bool):
        fail(flag, "is missing")
    if not page[flag]:
        return ""
    found = to_send(page.get(cursor), cursor)
    if not found:
        fail(cursor, "is missing, although there are more pages")
    return found


def _content(page: dict[str, Any]) -> bytes:
    """What tells one page from another: its lists, whatever its cursors are; b"" when they are empty."""
    lists = [value for value in page.values() if isinstance(value, list) and value]
    return sha256(repr(lists).encode("utf-8", "surrogatepass")).digest() if lists else b""


def _stop(problem: str) -> NoReturn:
    raise SourceError("schema", f"{problem}; the last good figures are kept")
