"""The way to one provider over HTTP: bounded in time and size, bound to its hosts, without redirects.

connect, Traffic  all that the rest of costmon uses
client   a request from path to parsed answer       wire      connections: resolved, judged, then opened
body     at most 16 MB, decompressed or not          strict    JSON without surprises
answers  what a status means, as a sentence          failures  what a broken connection means, as a sentence
silence  nothing of it in anybody's log
"""

from __future__ import annotations

from costmon.sources.providers.http.client import Traffic, connect

__all__ = ["Traffic", "connect"]
