"""Labels: the innermost one wins, and no way of using them reaches the app as an exception."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

import costmon
from costmon.shim import context
from costmon.shim.context import labels


def test_the_innermost_label_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's route beats instrument()'s, which beats the environment's."""
    monkeypatch.setenv("COSTMON_APP", "env-app")
    monkeypatch.setenv("COSTMON_ROUTE", "/env")
    monkeypatch.setenv("COSTMON_ESSENTIAL", "yes")
    assert labels() == ("env-app", "/env", "", True)
    context.set_process_labels(context.Labels(app="told", essential=False))
    assert labels() == ("told", "/env", "", False)
    with costmon.context(route="/outer", job="nightly", essential=True):
        with costmon.context(route="/inner"):
            assert labels() == ("told", "/inner", "nightly", True)
        assert labels() == ("told", "/outer", "nightly", True)
    assert labels() == ("told", "/env", "", False)


def test_an_app_has_a_name_without_being_told() -> None:
    """An app that names itself nowhere is called by its program."""
    assert labels()[0]


def test_labels_end_with_an_exception() -> None:
    """A failed request does not leave its route on the next one."""
    with pytest.raises(ZeroDivisionError), costmon.context(route="/x"):
        raise ZeroDivisionError
    assert labels()[1] == ""


async def test_one_context_object_serves_many_tasks() -> None:
    """A module-level context used by concurrent requests neither mixes them up nor raises."""
    shared = costmon.context(route="/shared")
    seen = []

    async def request(delay: float) -> None:
        with shared:
            await asyncio.sleep(delay)
            seen.append(labels()[1])
        assert labels()[1] == ""

    await asyncio.gather(request(0.03), request(0.01), request(0.02))
    assert seen == ["/shared"] * 3


def test_one_context_object_serves_many_threads() -> None:
    """The same across threads."""
    shared = costmon.context(app="one")
    barrier = threading.Barrier(8)
    seen: list[str] = []

    def work() -> None:
        with shared:
            barrier.wait(5)
            seen.append(labels()[0])
            barrier.wait(5)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == ["one"] * 8


def test_leaving_in_another_context_is_no_error() -> None:
    """A generator closed by another task than the one that began it does not blow up in the app."""
    block = costmon.context(route="/a")
    contextvars.copy_context().run(block.__enter__)
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert labels()[1] == ""


def test_the_same_object_can_be_nested() -> None:
    """Recursion through a labelled block is fine."""
    block = costmon.context(route="/r")
    with block, block:
        assert labels()[1] == "/r"
    assert labels()[1] == ""


def test_as_a_decorator() -> None:
    """A labelled function keeps its name, its result and its exceptions."""

    @costmon.context(route="/f")
    def function(x: int) -> tuple[int, str]:
        """Says."""
        return 10 // x, labels()[1]

    assert function(2) == (5, "/f")
    assert (function.__name__, function.__doc__) == ("function", "Says.")
    with pytest.raises(ZeroDivisionError):
        function(0)
    assert labels()[1] == ""


async def test_as_a_decorator_of_a_coroutine() -> None:
    """A labelled coroutine function still is one."""

    @costmon.context(job="j")
    async def function() -> str:
        await asyncio.sleep(0)
        return labels()[2]

    assert asyncio.iscoroutinefunction(function)
    assert await function() == "j"
