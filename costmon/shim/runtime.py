"""The process-wide parts the host forces on us: one Recorder, the exit hook, and the on/off switch."""

from __future__ import annotations

import os
import sys
from collections import deque

from costmon import paths
from costmon.shim.faults import guarded
from costmon.shim.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from costmon.shim.connections import Lookup
    from costmon.shim.ledger import Ledger
    from costmon.shim.recorder import Recorder

_recorders: dict[str, Recorder] = {}
# Finalizers may run anywhere, even inside our own SQLite call: they only append here.
abandoned: deque[Callable[[], None]] = deque()
# Streams the app still holds: what settles each, by the id of its observer.
streaming: dict[int, Callable[[], None]] = {}
# Names of providers that were looked up, until it is clear who asked; see `connections`.
unexplained: dict[str, Lookup] = {}
# Tracked calls that run now, by process id (a forked child's are its own) and `id`: what is looked up meanwhile, on
# whatever thread, may be theirs.
tracking: set[tuple[int, int]] = set()
_exit_hooks_of = -1


def enabled() -> bool:
    """False when `COSTMON_ENABLED` is 0, false, no or off: then the shim does nothing at all."""
    return os.environ.get("COSTMON_ENABLED", "1").strip().lower() not in ("0", "false", "no", "off")


def recorder() -> Recorder:
    """The recorder of this process's home."""
    home = paths.state_home()
    found = _recorders.get(home)
    if found is None:
        from costmon.shim.recorder import Recorder

        found = _recorders.setdefault(home, Recorder(home))
        _say_if_unproven()
    if _exit_hooks_of != os.getpid():
        settle_at_exit()
    if abandoned:
        settle_abandoned()
    if unexplained:
        from costmon.shim import connections

        connections.judge()
    return found


def _say_if_unproven() -> None:
    """Without the global lock nothing of this was tested: say so, rather than let the operator trust it."""
    if not getattr(sys, "_is_gil_enabled", _always)():
        from costmon.shim.faults import report

        report(
            "free-threaded",
            "costmon is not tested on a free-threaded Python: run this app with PYTHON_GIL=1 to rely on its figures",
        )


def _always() -> bool:
    return True


def open_ledger_of(home: str) -> Ledger | None:
    """The ledger this process has in use for `home`, if it has."""
    found = _recorders.get(home)
    return found.ledger if found is not None else None


def configured_hosts() -> Mapping[str, Mapping[str, object]]:
    """The config's host map as far as this process has read it, without a look into the ledger."""
    found = _recorders.get(paths.state_home())
    policy = found.policy if found is not None else None
    return policy.hosts if policy is not None else {}


def settle_at_exit() -> None:
    """Have `at_exit` run when this process ends. Safe to call again, and in a forked child.

    Workers of multiprocessing (and billiard, Celery's fork of it) end by os._exit after running finalizers of their own
    and never get to atexit's.
    """
    global _exit_hooks_of
    pid = os.getpid()
    if _exit_hooks_of == pid:
        return
    if _exit_hooks_of == -1:
        import atexit

        atexit.register(at_exit)
    _exit_hooks_of = pid
    for name in ("multiprocessing", "billiard"):
        process, util = sys.modules.get(f"{name}.process"), sys.modules.get(f"{name}.util")
        if process is not None and util is not None:
            guarded("set its exit hook", _finish_with, process, util)


def _finish_with(process: Any, util: Any) -> None:
    if type(process.current_process()).__name__ != "_MainProcess":
        util.Finalize(None, at_exit, exitpriority=-100)


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
    """Settle what is left. However much that is, a ledger that is locked holds up the exit by at most 2 s in all."""
    from costmon.shim.faults import report
    from costmon.shim.ledger import SETTLE_WAIT_S

    for found in list(_recorders.values()):
        guarded("hurry", found.ledger.hurry, SETTLE_WAIT_S)
    abandoned.extend(list(streaming.values()))
    guarded("settle at exit", settle_abandoned)
    if unexplained:
        from costmon.shim import connections

        connections.judge(ending=True)
    for found in list(_recorders.values()):
        left = guarded("settle at exit", found.drain_at_exit, SETTLE_WAIT_S)
        if left:
            report(
                "exit", f"costmon could not write {left} settlements; they will be settled at their estimates"
            )
    if process.known:
        from costmon.shim.jobs import books

        for found in list(_recorders.values()):
            guarded("say that this process ends", books.leave, found.ledger)
