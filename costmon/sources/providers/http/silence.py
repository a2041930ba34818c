"""Requests to providers leave no line in a log: httpcore writes the headers of answers there, which may repeat the key,
and botocore what it signs, a session token among it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "botocore.auth")
_asking: ContextVar[bool] = ContextVar("costmon_asking", default=False)


@contextmanager
def silence() -> Iterator[None]:
    """What this task does inside is not logged; other users of httpx in the process log as they like."""
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(lambda _record: not _asking.get())
