"""costmon in a wrapped app: `import costmon; costmon.instrument()`.

Everything is loaded on first use; nothing but the standard library ever is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from costmon.errors import SpendBlocked
    from costmon.pricing.tokens.count import count_tokens
    from costmon.shim.context import context
    from costmon.shim.instrument import guard, instrument
    from costmon.shim.jobs.job import job
    from costmon.shim.track import track

__version__ = "0.1.0"
__all__ = ["SpendBlocked", "__version__", "context", "count_tokens", "guard", "instrument", "job", "track"]

_HOMES = {
    "SpendBlocked": "costmon.errors",
    "context": "costmon.shim.context",
    "count_tokens": "costmon.pricing.tokens.count",
    "guard": "costmon.shim.instrument",
    "instrument": "costmon.shim.instrument",
    "job": "costmon.shim.jobs.job",
    "track": "costmon.shim.track",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'costmon' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
