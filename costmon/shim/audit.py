"""The audit hook (PEP 578) through which `connections` learns of traffic that no client hook saw.

It is asked about every event of the interpreter, so its first line turns nearly all of them away.
"""

from __future__ import annotations

import os
import sys

from costmon.shim import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A sleep is where an app that keeps one connection open for hours can be asked again.
_WATCHED = frozenset(("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "time.sleep"))
_installed = False


def install() -> None:
    """Watch this interpreter's connections. An audit hook cannot be removed, so it is set once; `COSTMON_AUDIT=0`: never."""
    global _installed
    if _installed or os.environ.get("COSTMON_AUDIT", "1").strip().lower() in ("0", "false", "no", "off"):
        return
    _installed = True
    sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event not in _WATCHED:
        return
    if event == "time.sleep" and not runtime.unexplained:
        return
    try:
        from costmon.shim import connections

        connections.judge() if event == "time.sleep" else connections.see(event, args)
    except Exception:
        pass  # whatever it was, the host's lookup goes on
