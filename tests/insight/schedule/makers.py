"""Runs and announcements made by hand, for tests of the judge."""

from __future__ import annotations

from costmon.insight.schedule.values import Announcement, Run

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_795_219_200_000_000  # 2026-11-21T00:00:00Z


def run(
    at: int,
    owner: str = "boot:1:100:100",
    plan: str = "every 60m",
    *,
    lasts: int | None = SECOND,
    outcome: str = "ok",
    planned_at: int | None = None,
    manual: bool = False,
    elapsed_at: int | None = None,
    cost: int | None = 1_200_000,
    source: str = "app",
    id: str = "",
) -> Run:
    return Run(
        id=id or f"{at:020}{owner}{elapsed_at or ''}{'m' if manual else ''}",
        app="trader",
        job="trade",
        source=source,
        owner=owner,
        who=f"pid {owner.split(':')[-2]} of trader" if owner.count(":") > 1 else "",
        plan=plan,
        planned_at=planned_at,
        started_at=at,
        ended_at=None if lasts is None else at + lasts,
        outcome="running" if lasts is None else outcome,
        elapsed_at=elapsed_at,
        manual=manual,
        calls=1,
        errors=int(outcome == "error"),
        cost=cost,
    )


def announcement(
    plan: str = "every 60m",
    owner: str = "boot:1:100:100",
    first_at: int = START,
    *,
    seen_at: int | None = None,
    ended_at: int | None = None,
    source: str = "app",
    next_run_at: int | None = None,
    zone: str = "",
) -> Announcement:
    return Announcement(
        job="trade",
        app="trader",
        source=source,
        owner=owner,
        who=f"pid {owner.split(':')[-2]} of trader" if owner.count(":") > 1 else owner,
        plan=plan,
        zone=zone,
        next_run_at=next_run_at,
        first_at=first_at,
        seen_at=first_at if seen_at is None else seen_at,
        ended_at=ended_at,
    )
