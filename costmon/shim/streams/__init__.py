"""Follow response bodies as they pass: whole documents, event streams, lines of JSON, and AWS's binary frames."""

from __future__ import annotations

from costmon.shim.streams.body import MAX_BODY, MAX_LINE, Body

__all__ = ["MAX_BODY", "MAX_LINE", "Body"]
