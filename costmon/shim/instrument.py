"""The two things an app calls first: `instrument()` to be watched, `guard()` to ask before something expensive."""

from __future__ import annotations

from costmon.shim import context, runtime
from costmon.shim.faults import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from costmon.errors import SpendBlocked


def instrument(
    app: str | None = None, *, route: str | None = None, job: str | None = None, essential: bool | None = None
) -> None:
    """Watch this process's calls to LLM APIs, and refuse them when a budget or the switch says so.

    Args:
        app: the name this app spends under; default `COSTMON_APP`, else the script's name.
        route, job: default labels of its calls; default `COSTMON_ROUTE`, `COSTMON_JOB`.
        essential: True keeps it going from 95 % of a budget to 100 %; default `COSTMON_ESSENTIAL`, else False.

    Never raises and may be called again (later names win). Does nothing with `COSTMON_ENABLED=0`.
    """
    guarded("begin", _instrument, app, route, job, essential)


def _instrument(app: str | None, route: str | None, job: str | None, essential: bool | None) -> None:
    if not runtime.enabled():
        return
    guarded("name this app", _name, app, route, job, essential)
    from costmon.shim import audit, hooks

    guarded("install its hooks", hooks.install)
    guarded("watch connections", audit.install)


def _name(app: str | None, route: str | None, job: str | None, essential: bool | None) -> None:
    context.set_process_labels(context.Labels(app, route, job, essential))


def guard(provider: str = "", model: str = "") -> None:
    """Raise `SpendBlocked` if the switch blocks this app (and provider and model, if named) now; else return.

    For calls costmon does not see, and to stop before the work that leads to a call.
    """
    blocked = guarded("check the switch", _block_on, provider, model)
    if blocked is not None:
        raise blocked


def _block_on(provider: str, model: str) -> SpendBlocked | None:
    from costmon.errors import SpendBlocked

    if runtime.enabled():
        try:
            runtime.recorder().check_switch(provider, model, context.labels())
        except SpendBlocked as blocked:
            return blocked
    return None
