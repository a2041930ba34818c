"""The switch: whether anything is stopped, why, until when, and who looked at it last."""

from __future__ import annotations

from datetime import datetime, timedelta

from rich.cells import cell_len

from costmon.monitor.snapshot import BlockStatus, ReaderStatus, Snapshot, SwitchStatus
from costmon.tui.format import age, coarse, cut, fit, moment, safe
from costmon.tui.lines import Line, apart, line, wrapped
from costmon.tui.widgets.panel import Panel

STALE = timedelta(minutes=10)
"""An app that has not looked for longer may not be running, or may not obey."""
_MOST_READERS = 6


class SwitchStrip(Panel):
    """The state in one line, for terminals without room for the panel."""

    DEFAULT_CSS = "SwitchStrip { height: 1; padding: 0 2; scrollbar-size: 0 0; }"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        return [strip(snapshot.switch, now, width)]


class SwitchPanel(Panel):
    BORDER_TITLE = "Switch"

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        switch = snapshot.switch
        return [
            state(switch, width),
            *(entry for block in switch.blocks for entry in _block(block, now, width, snapshot.time_zone)),
            *_readers(switch.readers, now, width),
            *wrapped("A bare [ -e ] in a shell script leaves no trace here.", width, "dim"),
        ]


def strip(switch: SwitchStatus, now: datetime, width: int) -> Line:
    if not switch.blocks:
        return apart(
            line(("SWITCH ", "dim"), (" OPEN ", "open"), ("  no block is set", "")),
            line((_last_look(switch.readers, now), "dim")),
            width,
        )
    first = min(switch.blocks, key=lambda block: block.scope != "all")
    more = f" and {len(switch.blocks) - 1} more" if len(switch.blocks) > 1 else ""
    since = f" for {coarse(now - first.since)}" if first.since else ""
    reason = safe(first.reason) or "no reason given"
    return line((fit(f" BLOCKED  {scope_words(first.scope)}{more}{since} · {reason}", width), "stopped"))


def _last_look(readers: tuple[ReaderStatus, ...], now: datetime) -> str:
    last = max(readers, key=lambda reader: reader.checked_at, default=None)
    return (
        f"{cut(safe(last.app), 20)} looked {age(last.checked_at, now)}" if last else "no app has looked yet"
    )


def scope_words(scope: str) -> str:
    """'everything' for the scope `all`, 'apps not essential' for `nonessential`, else the scope itself."""
    return {"all": "everything", "nonessential": "apps not essential"}.get(scope, safe(scope))


def state(switch: SwitchStatus, width: int) -> Line:
    """A green badge when open; when anything is blocked the whole line is red."""
    if not switch.blocks:
        return line((" OPEN ", "open"), "  no block is set")
    number = len(switch.blocks)
    return line((fit(" BLOCKED" + (f"  {number} blocks" if number > 1 else ""), width), "stopped"))


def _block(block: BlockStatus, now: datetime, width: int, zone_name: str) -> list[Line]:
    by = line((f"by {cut(safe(block.by), 24)}" if block.by else "", "dim"))
    lines = [apart(line((scope_words(block.scope), "bad")), by, width)]
    lines += [line("  ", *one) for one in wrapped(safe(block.reason) or "no reason given", width - 2, most=2)]
    if not block.intact:
        lines.append((("  odd file; it blocks all the same", "warn"),))
    times = _times(block, now, zone_name)
    together = "  " + " · ".join(times)
    shown = [together] if len(together) <= width else [f"  {text}" for text in times]
    return [*lines, *(((text, "dim"),) for text in shown)]


def _times(block: BlockStatus, now: datetime, zone_name: str) -> list[str]:
    since = (
        f"since {moment(block.since, now, zone_name)} ({age(block.since, now)})"
        if block.since
        else "since unknown"
    )
    if block.until:
        return [since, f"until {moment(block.until, now, zone_name)}"]
    return [since] if block.automatic else [since, "until lifted by hand"]


def _readers(readers: tuple[ReaderStatus, ...], now: datetime, width: int) -> list[Line]:
    if not readers:
        return [(("No app has looked at the switch yet.", "dim"),)]
    ordered = sorted(readers, key=lambda reader: reader.checked_at, reverse=True)
    shown = ordered[:_MOST_READERS]
    name = min(max(cell_len(safe(reader.app)) for reader in shown), max(8, width // 2))
    lines = [(("last looked at by", "dim"),), *(_reader(reader, now, name) for reader in shown)]
    if len(ordered) > len(shown):
        stale = sum(now - reader.checked_at > STALE for reader in ordered[_MOST_READERS:])
        note = f"  and {len(ordered) - len(shown):,} more" + (
            f", {stale:,} not for over 10m" if stale else ""
        )
        lines.append(((note, "dim"),))
    return lines


def _reader(reader: ReaderStatus, now: datetime, name: int) -> Line:
    stale = now - reader.checked_at > STALE
    return line(
        "  ",
        fit(safe(reader.app), name),
        (f"  {age(reader.checked_at, now):>8}", "warn" if stale else ""),
        ("  may not obey" if stale else "", "warn"),
    )
