"""Work on files beside the event loop: a folder on a network that does not answer must hold up neither the others nor the
program's exit, as a thread pool would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from costmon.sources.providers.protocol import SourceError

_T = TypeVar("_T")
_busy: set[str] = set()
"""Folders being read by a thread that may have been given up."""


async def aside(folder: str, work: Callable[[], _T]) -> _T:
    """What `work` returns or raises. Raises SourceError while earlier work on the same folder has not ended."""
    if folder in _busy:
        raise SourceError(
            "network", f"{folder} does not answer, or is still being read; check the disk it is on"
        )
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def deliver(found: _T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(found)  # type: ignore[arg-type]

    def run() -> None:
        found, problem = None, None
        try:
            found = work()
        except Exception as error:
            problem = error
        finally:
            _busy.discard(folder)
        try:
            loop.call_soon_threadsafe(deliver, found, problem)
        except RuntimeError:
            pass  # The loop was closed in the meantime: nobody waits.

    _busy.add(folder)
    Thread(target=run, name="costmon-bills", daemon=True).start()
    return await done
