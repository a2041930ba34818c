"""`costmon watch` as text: each change once, at its own time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from costmon.cli.story import Story
from costmon.monitor.snapshot import BlockStatus, EngineStatus, FeedRow, Snapshot, SwitchStatus

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
QUIET = Snapshot(AT, "UTC", "/home", "USD", EngineStatus(True, True, 1, AT))


def refused(key: str) -> FeedRow:
    return FeedRow(
        AT, "trader", "openai", "gpt-4o", "", "", "refused", None, "", None, None, None, "no more", 1, key
    )


def block(scope: str) -> SwitchStatus:
    return SwitchStatus("", (BlockStatus(scope, "why", "me", AT, None, False, True),), ())


def test_a_restart_does_not_tell_old_refusals_again() -> None:
    """What was refused before `watch` began is history; what is refused now is told once."""
    lines: list[str] = []
    story = Story(lines.append)
    story.tell(replace(QUIET, feed=(refused("a"),)))
    assert lines == []
    later = replace(QUIET, feed=(refused("b"), refused("a")))
    story.tell(later)
    story.tell(later)
    assert [line.split()[2:4] for line in lines] == [["refused", "trader"]]
    assert lines[0].startswith("2026-11-21 09:00:00Z")


def test_a_wider_block_is_no_release() -> None:
    """When `all` replaces `nonessential`, nobody reads that something was allowed."""
    lines: list[str] = []
    story = Story(lines.append)
    story.tell(replace(QUIET, switch=block("nonessential")))
    story.tell(replace(QUIET, switch=block("all")))
    story.tell(QUIET)
    assert [line.split()[2:4] for line in lines] == [
        ["blocked", "nonessential:"],
        ["blocked", "all:"],
        ["allowed", "all"],
    ]
