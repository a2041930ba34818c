"""Price past events anew: usage is the fact, cost the judgement."""

from __future__ import annotations

from costmon.monitor.reprice.runs import RepriceError, Run
from costmon.monitor.reprice.scope import Scope
from costmon.monitor.reprice.work import preview, reprice, resume, revert

__all__ = ["RepriceError", "Run", "Scope", "preview", "reprice", "resume", "revert"]
