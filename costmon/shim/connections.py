"""Connections to known providers that no hook saw: calls by such a path are neither counted nor stopped.

A name looked up (`socket.getaddrinfo`) and then connected to (`socket.connect`) is judged half a minute later, at the
next such event, the next metered call or at exit: if no hooked client asked for that host around the lookup and no
tracked call was running at that moment, the operator is told, at most once an hour and host. Never by a thread, never by
an exception, which would abort the host's own call.

What it cannot see: resolvers and sockets that are not Python's (uvloop, c-ares, gRPC, libcurl, Rust clients), a provider
behind a proxy, and hosts of the config before this process's first metered call has read it.
"""

from __future__ import annotations

import os
import sys
import time

from costmon.shim import runtime
from costmon.shim.faults import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

BEFORE_S = 10.0  # a hooked client was at work at most so long before the lookup
GRACE_S = 30.0  # … or is, until this long after it
AGAIN_S = 3600.0
MAX_WAITING = 32
# Providers' hosts that serve much else: what reaches them need not be a metered call.
_MIXED = ("api.cloudflare.com", ".azure-api.net", ".cloud.databricks.com", ".azuredatabricks.net")
_OURS = tuple(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    for name in ("track.py", os.path.join("hooks", ""))
)

_told: dict[str, float] = {}
_turn = [True]  # taken by whoever judges; a list's pop is atomic
_pid = os.getpid()


class Lookup:
    """A provider's name that was asked for: when (monotonic s), for which port, by which app, and what came of it."""

    __slots__ = ("app", "at", "connected", "judge_at", "port")

    def __init__(self, at: float, port: int | None, app: str, *, connected: bool) -> None:
        self.at = at
        self.judge_at = at + GRACE_S
        self.port = port
        self.app = app
        self.connected = connected


def judge(*, ending: bool = False) -> None:
    """Tell of every connection whose time is up and that nothing explains. Never raises; one thread at a time."""
    if _pid != os.getpid():
        _own_process()
    try:
        _turn.pop()
    except IndexError:
        return
    try:
        guarded("look at a connection", _judge, ending)
    finally:
        _turn.append(True)


def see(event: str, args: tuple[Any, ...]) -> None:
    """A socket event of the interpreter, with its arguments (Python's audit events table)."""
    if _pid != os.getpid():
        _own_process()
    if event == "socket.connect":
        address = args[1]
        if isinstance(address, tuple) and len(address) >= 2:
            _connected(address[0], address[1])
    else:
        _asked(args[0], args[1] if event == "socket.getaddrinfo" else None, connected=False)
    if runtime.unexplained:
        judge()


def _connected(host: object, port: object) -> None:
    """A connection by address belongs to every name that was asked for with its port."""
    if isinstance(host, (str, bytes)) and not _is_address(host):
        _asked(host, port, connected=True)
    for lookup in list(runtime.unexplained.values()):
        if lookup.port is None or lookup.port == port:
            lookup.connected = True


def _is_address(host: str | bytes) -> bool:
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    return ":" in text or text[-1:].isdigit()


def _asked(asked: object, port: object, *, connected: bool) -> None:
    if isinstance(asked, bytes):
        asked = asked.decode("ascii", "replace")
    if not isinstance(asked, str) or not asked:
        return
    host = asked.lower().rstrip(".")
    known = runtime.unexplained.get(host)
    if known is not None:
        known.connected |= connected
        return
    number = _port(port)
    if len(runtime.unexplained) >= MAX_WAITING or not _is_metered(host, number) or _accounted_for():
        return
    now = time.monotonic()
    if now - _told.get(host, -AGAIN_S) < AGAIN_S:
        return
    from costmon.shim.context import labels

    runtime.settle_at_exit()
    runtime.unexplained[host] = Lookup(now, number, labels()[0], connected=connected)


def _port(port: object) -> int | None:
    if isinstance(port, (str, bytes)):
        text = port.decode("ascii", "replace") if isinstance(port, bytes) else port
        return int(text) if text.isdecimal() else {"https": 443, "http": 80}.get(text)
    return port if isinstance(port, int) else None


def _is_metered(host: str, port: int | None) -> bool:
    """Whether calls to `host` cost money: one the config names and does not call free, or a known provider's."""
    named = runtime.configured_hosts()
    plain = "." not in host or _is_address(host) or host.endswith(_MIXED)
    if plain and host not in named and f"{host}:{port}" not in named:
        return False
    from costmon.shim.usage import CHAT, provider_of

    found = provider_of(CHAT, host, port, named)
    return found.known and not found.free


def _accounted_for() -> bool:
    """Whether a tracked call of this process is running on any thread, or our code on this one."""
    pid = os.getpid()
    return any(owner == pid for owner, _ in tuple(runtime.tracking)) or _inside_ours()


def _inside_ours() -> bool:
    """Whether a hooked client or a tracked function is running on this thread: then the connection is accounted for."""
    frame: FrameType | None = sys._getframe(4)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_OURS) and not name.endswith("__init__.py"):
            return True
        frame = frame.f_back
    return False


def _judge(ending: bool) -> None:
    now = time.monotonic()
    for host, lookup in list(runtime.unexplained.items()):
        if now < lookup.judge_at and not ending:
            continue
        if not lookup.connected or _explained(host, lookup):
            runtime.unexplained.pop(host, None)
        elif _tell(host, lookup, ending=ending):
            _told[host] = now
            runtime.unexplained.pop(host, None)
        else:
            lookup.judge_at = now + GRACE_S


def _explained(host: str, lookup: Lookup) -> bool:
    """Whether a hooked client asked for this host around the lookup."""
    from costmon.shim.hooks import seen

    since = lookup.at - BEFORE_S
    return seen.hosts.get(host, since - 1) >= since


def _tell(host: str, lookup: Lookup, *, ending: bool) -> bool:
    """Write the notice; a ledger nobody has made yet is made at exit, not in the middle of a host's lookup."""
    from costmon import paths

    home = paths.state_home()
    if not ending and not os.path.exists(paths.ledger_file(home)):
        return False
    from costmon.shim import notices
    from costmon.shim.ledger import Ledger

    ledger = runtime.open_ledger_of(home) or Ledger(home)
    port = "" if lookup.port in (None, 443) else f", port {lookup.port}"
    written = notices.note(ledger, "unseen", host, lookup.app, f"process {os.getpid()}{port}")
    if runtime.open_ledger_of(home) is None:
        ledger.close()
    return written


def _own_process() -> None:
    """A forked child starts with nothing: what its parent waits for is its parent's to tell."""
    global _pid
    _pid = os.getpid()
    runtime.unexplained.clear()
    _told.clear()
    _turn[:] = [True]
