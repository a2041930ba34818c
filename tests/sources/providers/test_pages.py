"""Paging to the end or not at all: loops, endless pages, pages sent twice. R68."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from costmon.credentials import Secret
from costmon.sources.providers.http import Traffic, connect
from costmon.sources.providers.pages import MAX_PAGES, more, pages
from costmon.sources.providers.protocol import Settings, SourceError
from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.server import Server
from tests.sources.providers.http_kit import KEY, KIND, Acme


class Book(Acme):
    """Pages of three rows; `last` is how many there are, `following` what comes after page n."""

    def __init__(
        self, last: int, following: dict[int, Any] | None = None, same: tuple[int, ...] = ()
    ) -> None:
        self.last, self.following, self.same = last, following or {}, same

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        at = int(request.one("page") or 1)
        shown = self.same[0] if at in self.same else at
        rest = at < self.last
        rows = [{"id": shown * 3 + index} for index in range(3)]
        return Answer(
            {
                "data": rows,
                "has_more": rest,
                "next_page": self.following.get(at, str(at + 1)) if rest else None,
            }
        )


async def read(server: Server, traffic: Traffic | None = None) -> list[int]:
    async with connect(
        KIND, Settings("acme", "acme", server.url), Secret(KEY), traffic or Traffic()
    ) as client:

        async def ask(cursor: str) -> Any:
            return await client.get("/rows", [("page", cursor)] if cursor else [])

        return [row["id"] async for page in pages(ask, more) for row in page["data"]]


@pytest.mark.parametrize("last", [1, 2, 31, MAX_PAGES])
async def test_every_row_of_every_page_comes_once(last: int) -> None:
    with Server(Book(last)) as server:
        assert await read(server) == list(range(3, 3 * last + 3))
        assert len(server.journal) == last


@pytest.mark.parametrize(
    ("book", "words", "asked"),
    [
        (Book(9, {4: "4"}), "round in a circle", 4),
        (Book(9, {4: "2"}), "round in a circle", 4),
        (Book(10_000), "more than 200 pages", 200),
        (Book(201), "more than 200 pages", 200),
        (Book(9, same=(3, 6)), "the same page twice", 6),
        (Book(9, {2: None}), "next_page is missing, although there are more pages", 2),
        (Book(9, {2: ""}), "next_page is missing, although", 2),
        (Book(9, {2: 3}), "next_page is nothing that can be sent back", 2),
        (Book(9, {2: ["3"]}), "next_page is nothing that can be sent back", 2),
        (Book(9, {2: "x" * 2001}), "next_page is nothing that can be sent back", 2),
        (Book(9, {2: "3\n"}), "next_page is nothing that can be sent back", 2),
        (Book(9, {2: "\ud800"}), "next_page is nothing that can be sent back", 2),
    ],
)
async def test_pages_that_do_not_end_as_they_should_give_no_sum(book: Book, words: str, asked: int) -> None:
    traffic = Traffic()
    with Server(book) as server:
        with pytest.raises(SourceError) as caught:
            await read(server, traffic)
        assert len(server.journal) == traffic.requests == asked
    assert caught.value.state == "schema"
    assert words in str(caught.value)


async def test_cursors_that_go_round_over_changing_pages_are_noticed() -> None:
    asked = 0

    async def ask(cursor: str) -> Any:
        nonlocal asked
        asked += 1
        return {"data": [asked], "has_more": True, "next_page": "b" if cursor == "a" else "a"}

    with pytest.raises(SourceError, match="round in a circle"):
        [page async for page in pages(ask, more)]
    assert asked == 3


async def test_a_long_cursor_is_sent_back_whole() -> None:
    cursor, seen = "page_" + "Zm9v+/=" * 100, []

    async def ask(at: str) -> Any:
        seen.append(at)
        return {"data": [at], "has_more": not at, "next_page": cursor}

    assert len([page async for page in pages(ask, more)]) == 2
    assert seen == ["", cursor]


async def test_empty_pages_may_follow_each_other() -> None:
    async def ask(at: str) -> Any:
        return {"data": [], "has_more": at != "xxx", "next_page": at + "x"}

    assert len([page async for page in pages(ask, more)]) == 4


@pytest.mark.parametrize(
    "page", [[], None, "x", {"data": []}, {"has_more": None}, {"has_more": "false"}, {"has_more": 0}]
)
async def test_a_page_that_does_not_say_whether_there_are_more_is_no_page(page: Any) -> None:
    async def ask(at: str) -> Any:
        return page

    with pytest.raises(SourceError) as caught:
        [found async for found in pages(ask, more)]
    assert caught.value.state == "schema"
