"""The shim's own faults: logged at most once a minute each, then dropped. The host never sees them as exceptions."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _T = TypeVar("_T")
_QUIET_S = 60.0
_said: dict[str, float] = {}


def report(kind: str, message: str) -> None:
    """Log `message` as a warning unless the same `kind` was logged within the last minute."""
    now = time.monotonic()
    last = _said.get(kind)
    if last is not None and now - last < _QUIET_S:
        return
    _said[kind] = now
    try:
        import logging

        logging.getLogger("costmon").warning("%s", message)
    except Exception:
        pass


def guarded(kind: str, function: Callable[..., _T], *args: Any) -> _T | None:
    """`function(*args)`, or None after a fault that was logged. Only `Exception` is caught."""
    try:
        return function(*args)
    except Exception as error:
        # The text of an exception may quote the app's data; its class and our own frame may not.
        report(kind, f"costmon could not {kind}: {type(error).__name__}")
        return None
