"""The process-wide parts the host forces on us: one Recorder, the exit hook, and the on/off switch."""

from __future__ import annotations

import os
from collections import deque

from costmon import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from costmon.shim.recorder import Recorder

_recorders: dict[str, Recorder] = {}
# Finalizers may run anywhere, even inside our own SQLite call: they only append here.
abandoned: deque[Callable[[], None]] = deque()
# Streams the app still holds: what settles each, by the id of its observer.
streaming: dict[int, Callable[[], None]] = {}
_exit_hook_set = False


def enabled() -> bool:
    """False when `COSTMON_ENABLED` is 0, false, no or off: then the shim does nothing at all."""
    return os.environ.get("COSTMON_ENABLED", "1").strip().lower() not in ("0", "false", "no", "off")


def recorder() -> Recorder:
    """The recorder of this process's home."""
    global _exit_hook_set
    home = paths.state_home()
    found = _recorders.get(home)
    if found is None:
        from costmon.shim.recorder import Recorder

        found = _recorders.setdefault(home, Recorder(home))
    if not _exit_hook_set:
        import atexit

        atexit.register(at_exit)
        _exit_hook_set = True
    if abandoned:
        settle_abandoned()
    return found


def dropped(stream: int) -> None:
    """Finalizer of a stream: the next call, or the exit hook, settles it if nothing else has."""
    closed = streaming.pop(stream, None)
    if closed is not None:
        abandoned.append(closed)


def settle_abandoned() -> None:
    """Settle streams that were dropped without being closed."""
    while abandoned:
        try:
            abandoned.popleft()()
        except IndexError:
            return


def at_exit() -> None:
    """Settle what is left, for at most 2 s."""
    from costmon.shim.faults import guarded, report
    from costmon.shim.ledger import SETTLE_WAIT_S

    abandoned.extend(list(streaming.values()))
    guarded("settle at exit", settle_abandoned)
    for found in _recorders.values():
        left = guarded("settle at exit", found.drain_at_exit, SETTLE_WAIT_S)
        if left:
            report(
                "exit", f"costmon could not write {left} settlements; they will be settled at their estimates"
            )
