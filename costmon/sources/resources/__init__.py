"""Servers, storage, traffic and subscriptions: measured or announced, and accounted as events in the ledger.

Collector       what the engine calls: one event per resource and quarter hour, charged to the budgets
start, stop     `costmon meter`: a resource runs, or no longer does
tell            … it ran from then to then
resource_uses   where every resource stands this month, for the screens
tariffs         the rate card of a resource at an instant, for whoever prices an event of source 'meter' anew
"""

from __future__ import annotations

from costmon.sources.resources.announce import start, stop, tell
from costmon.sources.resources.books import TAKEN_BACK
from costmon.sources.resources.collect import Collector
from costmon.sources.resources.status import ResourceUse, resource_uses
from costmon.sources.resources.tariffs import Tariffs

__all__ = ["TAKEN_BACK", "Collector", "ResourceUse", "Tariffs", "resource_uses", "start", "stop", "tell"]
