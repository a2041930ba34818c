"""Hooks into HTTP clients and SDKs, set when they are imported: nothing is imported early."""

from __future__ import annotations

import sys

from costmon.shim.faults import guarded
from costmon.shim.hooks import http, sdk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_HTTPX = ("httpx", "httpx2")
# Schedulers' modules, and the module of ours that knows each.
_SCHEDULERS = {
    **dict.fromkeys(
        ("apscheduler.executors.base", "apscheduler.executors.base_py3", "apscheduler.schedulers.base"),
        "apscheduler",
    ),
    "schedule": "schedule",
    **dict.fromkeys(("celery.beat", "celery.app.trace"), "celery"),
}
_NAMES = frozenset({*_HTTPX, "urllib3", "aiohttp", *sdk.MODULES, *_SCHEDULERS})


def install() -> None:
    """Hook what is imported already and whatever will be. Calling it again does nothing."""
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, Finder())
    for name in [name for name in list(sys.modules) if name in _NAMES or name.endswith(sdk.BASE_CLIENT)]:
        patch, module = patch_for(name), sys.modules.get(name)
        if patch is not None and module is not None:
            guarded(f"hook {name}", patch, module)


def patch_for(name: str) -> Callable[[ModuleType], None] | None:
    """What to do with a module of this name once it is loaded."""
    if name in _HTTPX:
        return http.patch
    if name == "urllib3":
        from costmon.shim.hooks.urllib3 import patch

        return patch
    if name == "aiohttp":
        from costmon.shim.hooks.aiohttp import patch

        return patch
    if name in _SCHEDULERS:
        from importlib import import_module

        found: Callable[[ModuleType], None] = import_module(f"costmon.shim.jobs.{_SCHEDULERS[name]}").patch
        return found
    return sdk.patch if sdk.known(name) else None


class Finder:
    """A meta path finder that lets the others find, and patches the module right after it has run.

    It derives from none of importlib's base classes: importing them would cost the host 10 ms.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patch = guarded("look for a hook", patch_for, fullname)
        if patch is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, patch)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """The real loader, followed by our patch; everything else is the real one's."""

    def __init__(self, inner: Any, patch: Callable[[ModuleType], None]) -> None:
        self._inner = inner
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._inner.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        module.__loader__ = self._inner
        self._inner.exec_module(module)
        guarded(f"hook {module.__name__}", self._patch, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
