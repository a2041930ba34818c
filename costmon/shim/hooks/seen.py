"""The hosts this process reached through a hooked client: whatever else connects to a provider went past us."""

from __future__ import annotations

import time

_MOST = 512

hosts: dict[str, float] = {}
"""Host name to the monotonic time (seconds) of the last request to it, metered or not; the oldest are forgotten."""


def saw(host: str) -> None:
    """A hooked client is about to send a request to `host`."""
    hosts[host] = time.monotonic()
    if len(hosts) > _MOST:
        for name in list(hosts)[: _MOST // 2]:
            hosts.pop(name, None)
