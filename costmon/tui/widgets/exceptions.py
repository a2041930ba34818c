"""The banner of what is not enforced now: a dry run, a bypass. All enforced: no banner."""

from __future__ import annotations

from datetime import datetime

from costmon.monitor.snapshot import BypassStatus, RulesStatus, Snapshot
from costmon.tui.format import coarse, cut, moment, safe
from costmon.tui.lines import Line, apart, line
from costmon.tui.widgets.panel import Panel

_MOST = 2


class Exceptions(Panel):
    """One line for a dry run, and one for each of the two longest bypasses."""

    DEFAULT_CSS = "Exceptions { height: auto; padding: 0 1; scrollbar-size: 0 0; }"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return exceptions(snapshot.rules, now, width, snapshot.time_zone)


def exceptions(rules: RulesStatus, now: datetime, width: int, zone_name: str) -> list[Line]:
    lines = []
    if rules.dry_run:
        text = " all is decided and recorded, nothing refused but what you block"
        lines.append(line((" DRY RUN ", "badge"), (cut(text, width - 9), "warn")))
    lines += [_bypass(bypass, now, width, zone_name) for bypass in rules.bypasses[:_MOST]]
    if len(rules.bypasses) > _MOST:
        more = line((f" {len(rules.bypasses) - _MOST} more: costmon bypass", "dim"))
        lines[-1] = apart(lines[-1], more, width)
    return lines


def _bypass(bypass: BypassStatus, now: datetime, width: int, zone_name: str) -> Line:
    scope = "everything" if bypass.scope == "all" else cut(safe(bypass.scope), 30)
    until = f" {scope} until {moment(bypass.until, now, zone_name)}"
    left = f" ({coarse(bypass.until - now)} left)"
    rest = f" · {cut(safe(bypass.by), 24)} · {safe(bypass.reason)}"
    return line((" BYPASS ", "badge"), (until, "warn"), (cut(left + rest, width - 8 - len(until)), ""))
