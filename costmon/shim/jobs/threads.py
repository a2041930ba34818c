"""A run's calls in threads: what a run starts, or hands to a pool of threads, belongs to it for as long as it goes on.

Tasks of an event loop take their labels along by themselves; a thread begins with none (before Python 3.14).
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any

from costmon.shim import context
from costmon.shim.context import Labels
from costmon.shim.faults import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_installed = False


class Carried(Labels):
    """Labels of a run in a thread of its own: none any more once the run is over."""

    __slots__ = ("_going", "_key", "_labels")

    def __init__(self, labels: Labels, going: Container[tuple[int, str]]) -> None:
        self._labels = labels
        self._going = going
        self._key = (os.getpid(), labels.run or "")

    def __getattribute__(self, name: str) -> Any:
        if name in Labels.__slots__:
            read = super().__getattribute__
            return getattr(read("_labels"), name) if read("_key") in read("_going") else None
        return super().__getattribute__(name)


def install(going: Container[tuple[int, str]]) -> None:
    """Have threads carry the labels of the runs `going` on. Calling it again does nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    from concurrent.futures import thread as pools

    start, worker = threading.Thread.start, pools._worker
    submit: Any = pools.ThreadPoolExecutor.submit

    @functools.wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        labels = guarded("label a thread", _labels, going)
        # A pool's threads outlive what was handed to it first.
        if labels is not None and getattr(self, "_target", None) is not worker:
            guarded("label a thread", _carry, self, labels)
        start(self)

    @functools.wraps(submit)
    def submit_carrying(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        labels = guarded("label a thread", _labels, going)
        if labels is None:
            return submit(self, fn, *args, **kwargs)
        return submit(self, functools.partial(_within, labels, fn), *args, **kwargs)

    threading.Thread.start = start_carrying  # type: ignore[method-assign]
    pools.ThreadPoolExecutor.submit = submit_carrying  # type: ignore[method-assign]


def _labels(going: Container[tuple[int, str]]) -> Carried | None:
    """The labels we are under, if they are those of a run that goes on."""
    labels = context._innermost()
    run = labels.run
    return Carried(labels, going) if run and (os.getpid(), run) in going else None


def _carry(thread: threading.Thread, labels: Carried) -> None:
    """Have the thread run under the labels."""
    run = thread.run

    def run_within() -> None:
        thread.__dict__.pop("run", None)  # it refers to the thread
        _within(labels, run)

    thread.run = run_within  # type: ignore[method-assign]


def _within(labels: Carried, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = context._current.set((labels,))
    try:
        return function(*args, **kwargs)
    finally:
        context._current.reset(token)
