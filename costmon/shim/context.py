"""Whose call it is: app, route, job and whether it is essential. The innermost setting wins.

`instrument()` and the environment (`COSTMON_APP`, `COSTMON_ROUTE`, `COSTMON_JOB`, `COSTMON_ESSENTIAL`) give the
process's defaults; `costmon.context(...)` overrides them for a block or a function.
"""

from __future__ import annotations

import functools
import os
import sys
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _F = TypeVar("_F", bound=Callable[..., Any])


class Labels:
    """What a call is labelled with; None means "as outside". (A named tuple would cost the host its typing import.)"""

    __slots__ = ("app", "essential", "job", "route", "run")

    def __init__(
        self,
        app: str | None = None,
        route: str | None = None,
        job: str | None = None,
        essential: bool | None = None,
        run: str | None = None,
    ) -> None:
        self.app = app
        self.route = route
        self.job = job
        self.essential = essential
        self.run = run


class _Block(Labels):
    """The labels that hold in a block of `owner`."""

    __slots__ = ("owner",)
    owner: context


_process = Labels()
_NONE = Labels()
# The labels of every block we are in, innermost last. No Token: one context object may serve many tasks at once.
_current: ContextVar[tuple[Labels, ...]] = ContextVar("costmon_labels", default=())


def set_process_labels(labels: Labels) -> None:
    """The defaults of this process, as `instrument()` was told; what it leaves open, the environment says once."""
    global _process
    told = _over(labels, _process, Labels())
    _process = Labels(
        told.app if told.app is not None else os.environ.get("COSTMON_APP") or None,
        told.route if told.route is not None else os.environ.get("COSTMON_ROUTE", ""),
        told.job if told.job is not None else os.environ.get("COSTMON_JOB", ""),
        told.essential if told.essential is not None else _essential(None, None),
    )


def labels() -> tuple[str, str, str, bool]:
    """(app, route, job, essential) that hold here and now."""
    inner = _innermost()
    return (
        _pick(inner.app, _process.app, "COSTMON_APP") or program_name(),
        _pick(inner.route, _process.route, "COSTMON_ROUTE"),
        _pick(inner.job, _process.job, "COSTMON_JOB"),
        _essential(inner.essential, _process.essential),
    )


def run() -> str:
    """The id of the run of a job we are in, '' outside of one."""
    return _innermost().run or ""


class context:  # noqa: N801 - reads as a keyword where it is used
    """Label the calls of a block or a function: `with costmon.context(route="/chat", essential=True): …`.

    Works as a context manager and as a decorator of sync and async functions; every argument is optional. (`run` is
    for schedulers: the id of the run the calls belong to.)
    """

    def __init__(
        self,
        *,
        app: str | None = None,
        route: str | None = None,
        job: str | None = None,
        essential: bool | None = None,
        run: str | None = None,
    ) -> None:
        self._labels = Labels(app, route, job, essential, run)

    def __enter__(self) -> context:
        block = _Block()
        block.owner = self
        _over(self._labels, _innermost(), block)
        _current.set((*_current.get(), block))
        return self

    def __exit__(self, *_: object) -> None:
        blocks = _current.get()
        for at in reversed(
            range(len(blocks))
        ):  # a generator may be left while others are in blocks of their own
            if getattr(blocks[at], "owner", None) is self:
                _current.set(blocks[:at] + blocks[at + 1 :])
                return

    def _again(self) -> context:
        labels = self._labels
        return context(
            app=labels.app, route=labels.route, job=labels.job, essential=labels.essential, run=labels.run
        )

    def __call__(self, function: _F) -> _F:
        if kind_of(function, "context") == "async":

            @functools.wraps(function)
            async def labelled_async(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return labelled_async  # type: ignore[return-value]

        @functools.wraps(function)
        def labelled(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return labelled  # type: ignore[return-value]


def program_name() -> str:
    """The script's name without '.py', or the module's for `python -m`."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    name = os.path.basename(sys.argv[0] if sys.argv else "")
    return name.removesuffix(".py") or "python"


def _innermost() -> Labels:
    blocks = _current.get()
    return blocks[-1] if blocks else _NONE


def kind_of(function: Any, what: str) -> str:
    """'async' or 'sync': what a call of `function` is. Raises TypeError for what costmon.`what` cannot decorate."""
    import inspect

    if isinstance(function, (classmethod, staticmethod)):
        name = type(function).__name__
        raise TypeError(f"costmon.{what} cannot label a {name}: write @costmon.{what}(...) below @{name}")
    called = [function, getattr(type(function), "__call__", None)]  # noqa: B004 - an object may have an async one
    if any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in called):
        raise TypeError(
            f"costmon.{what} cannot label a generator from outside: use `with costmon.{what}(...):` inside it"
        )
    return "async" if any(map(inspect.iscoroutinefunction, called)) else "sync"


def _over(inner: Labels, outer: Labels, found: Labels) -> Labels:
    """`inner`, with what it leaves open taken from `outer`, in `found`."""
    found.app = outer.app if inner.app is None else inner.app
    found.route = outer.route if inner.route is None else inner.route
    found.job = outer.job if inner.job is None else inner.job
    found.essential = outer.essential if inner.essential is None else inner.essential
    found.run = outer.run if inner.run is None else inner.run
    return found


def _pick(inner: str | None, process: str | None, variable: str) -> str:
    if inner is not None:
        return inner
    return process if process is not None else os.environ.get(variable, "")


def _essential(inner: bool | None, process: bool | None) -> bool:
    if inner is not None:
        return inner
    if process is not None:
        return process
    return os.environ.get("COSTMON_ESSENTIAL", "").lower() in ("1", "true", "yes", "on")
