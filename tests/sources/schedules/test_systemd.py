"""systemd's timers: a real user manager, and what else may answer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from costmon.insight.schedule.plans import next_after, parse
from costmon.sources.schedules import systemd
from costmon.sources.schedules.values import Found
from tests.harness.usermanager import user_manager

UNITS = {
    "trade.service": "[Service]\nType=oneshot\nEnvironment=COSTMON_APP=trader 'COSTMON_JOB=the trade' KEY=sk-1\n"
    "ExecStart=/usr/bin/python3 /opt/trade.py --key sk-2\n",
    "trade.timer": "[Timer]\nOnCalendar=02:00\nPersistent=true\nRandomizedDelaySec=90\n",
    "crawl.service": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'cd /; exec python3 -m news.crawl'\n",
    "crawl.timer": "[Timer]\nOnActiveSec=1h\nOnUnitActiveSec=5min 30s\n",
    "boot.timer": "[Timer]\nOnActiveSec=10min\nUnit=crawl.service\n",
    "twice.timer": "[Timer]\nOnCalendar=Mon 09:00\nOnCalendar=Fri 17:30\nUnit=plain.service\n",
    "plain.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "off.timer": "[Timer]\nOnCalendar=daily\nUnit=plain.service\n",
}


@pytest.mark.system
def test_the_timers_of_a_real_user_manager() -> None:
    with user_manager(UNITS) as manager:
        manager.systemctl("start", "trade.timer", "crawl.timer", "boot.timer", "twice.timer")
        now = time.time_ns() // 1000
        found = systemd.read(now, "UTC", scopes=("user",), env=manager.env)
    assert not found.problems
    by_owner = {one.owner: one for one in found.planned}
    assert {owner: (one.app, one.job, one.plan) for owner, one in by_owner.items()} == {
        "user:trade.timer": ("trader", "the trade", "timer *-*-* 02:00:00"),
        "user:crawl.timer": ("news.crawl", "news.crawl", "after 330s"),
        "user:boot.timer": ("news.crawl", "news.crawl", ""),
        "user:twice.timer": ("plain", "plain", ""),
    }
    trade = by_owner["user:trade.timer"]
    plan = parse(trade.plan, trade.zone)
    assert plan is not None
    told = trade.next_run_at
    assert told is not None
    # systemd puts a timer off by up to its accuracy of a minute, and by its random delay.
    assert 0 <= told - (next_after(plan, now) or 0) <= 150_000_000
    for owner, seconds in (("user:crawl.timer", 3600), ("user:boot.timer", 600)):
        due = by_owner[owner].next_run_at
        assert due is not None
        assert due - now == pytest.approx(seconds * 1_000_000, abs=5_000_000)
    assert by_owner["user:twice.timer"].note == "2 times in one timer; only the next run is known"
    assert by_owner["user:trade.timer"].note == (
        "a run missed while off is caught up with; up to 1min 30s later, at random"
    )


def _fake(folder: Path, script: str) -> dict[str, str]:
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": str(folder)}


def test_a_manager_that_hangs_is_one_problem_each(tmp_path: Path) -> None:
    began = time.monotonic()
    found = systemd.read(0, "UTC", env=_fake(tmp_path, "exec /bin/sleep 60"), timeout_s=0.2)
    assert time.monotonic() - began < 5
    assert [one.sentence for one in found.problems] == [
        f"timers of systemd's {scope} manager are not known: it did not answer in 0.2 s"
        for scope in ("user", "system")
    ]


@pytest.mark.parametrize("answer", ["no json", "[1]", '{"a": 1}', '[{"next": 1}]', "[" * 100_000])
def test_an_answer_nobody_can_read_is_one_problem(tmp_path: Path, answer: str) -> None:
    (tmp_path / "answer").write_text(answer)
    env = _fake(tmp_path, f"exec /bin/cat {tmp_path}/answer")
    (problem,) = systemd.read(0, "UTC", scopes=("user",), env=env).problems
    assert (
        problem.sentence
        == "timers of systemd's user manager are not known: systemctl's answer cannot be read"
    )


def test_without_systemctl_and_without_a_bus_there_is_nothing_and_no_problem(tmp_path: Path) -> None:
    assert systemd.read(0, "UTC", env={"PATH": str(tmp_path)}) == Found()
    env = _fake(tmp_path, "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    assert systemd.read(0, "UTC", env=env) == Found()
    assert systemd.read(0, "UTC", env=_fake(tmp_path, "echo '[]'")) == Found()


def test_a_timer_whose_next_run_only_the_monotonic_clock_tells(tmp_path: Path) -> None:
    """Some versions list no next run for a monotonic timer, and name its time on the machine's own clock."""
    at = time.clock_gettime(time.CLOCK_MONOTONIC) + 90
    (tmp_path / "list").write_text(
        '[{"next": null, "unit": "a.timer", "activates": "a.service"}, {"next": 7, "unit": "shipped.timer"}]'
    )
    (tmp_path / "show").write_text(
        "Unit=a.service\nTimersMonotonic={ OnUnitActiveUSec=1h 30min ; next_elapse=0 }\n"
        f"NextElapseUSecMonotonic={int(at // 60)}min {at % 60:.6f}s\nId=a.timer\nActiveState=active\n\n"
        "Id=shipped.timer\nFragmentPath=/usr/lib/systemd/system/shipped.timer\nActiveState=active\n"
    )
    script = (
        f'case "$*" in *list-timers*) /bin/cat {tmp_path}/list;; *a.timer*) /bin/cat {tmp_path}/show;; esac'
    )
    now = 1_800_000_000_000_000
    (planned,) = systemd.read(now, "UTC", scopes=("system",), env=_fake(tmp_path, script)).planned
    assert (planned.app, planned.plan, planned.who) == ("a", "after 90m", "a.timer of the machine")
    assert planned.next_run_at == pytest.approx(now + 90_000_000, abs=5_000_000)


def test_the_keys_in_a_units_environment_are_not_taken_along() -> None:
    service = {
        "Environment": ["KEY=sk-secret COSTMON_APP=x"],
        "ExecStart": ["{ path=/bin/x ; argv[]=/bin/x ; ignore_errors=no ; }"],
    }
    named, command = systemd._named("a.service", service)
    assert (named.app, named.job) == ("x", "x")
    assert "sk-secret" not in repr((named, command))
    assert os.environ.get("KEY") != "sk-secret"
