"""From a growing log to the ledger: its runs and its plan, each once, whatever happens to file, follower and ledger."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.config.values import Log
from costmon.shim.jobs.intervals import interval_us
from costmon.shim.timestamps import to_us
from costmon.sources.schedules.logs import LogFollower
from costmon.sources.schedules.logs.follow import Batch
from costmon.sources.schedules.logs.heard import Clock, heard
from costmon.sources.schedules.logs.patterns import Patterns
from costmon.sources.schedules.logs.split import Block
from costmon.sources.schedules.logs.told import Facts, Witness, advance
from costmon.sources.schedules.logs.zone import Zone
from costmon.store import Store, open_ledger

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SEOUL = "Asia/Seoul"


def at(text: str, zone: str = SEOUL) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


class Scene:
    """A log, a ledger and a follower of it; every look is at a time the test says."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.path = folder / "scheduler.log"
        self.store = store
        self.db = store.db
        self.follower = LogFollower(SEOUL)
        self.log = Log("trader", str(self.path), "trader", "trade", SEOUL)
        self.said: list[str] = []

    def look(self, now: str, text: str = "", *logs: Log, zone: str = SEOUL) -> None:
        """`text` is written, and somebody looks at once."""
        if text:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(text.strip("\n") + "\n")
            os.utime(self.path, ns=(at(now, zone) * 1000,) * 2)
        self.said = [one.sentence for one in self.follower.poll(self.db, logs or (self.log,), at(now, zone))]

    def restart(self) -> None:
        self.follower.close()
        self.follower = LogFollower(SEOUL)

    def runs(self) -> list[tuple[Any, ...]]:
        """(job, local start, seconds, outcome, plan)."""
        return [
            (job, _local(began), None if ended is None else (ended - began) / SECOND, outcome, plan)
            for job, began, ended, outcome, plan in self.db.execute(
                "select job, started_at, ended_at, outcome, plan from job_run order by started_at, job"
            )
        ]

    def plans(self) -> list[tuple[Any, ...]]:
        """(job, plan, local next run, whether it still holds)."""
        return [
            (job, plan, None if upcoming is None else _local(upcoming), ended is None)
            for job, plan, upcoming, ended in self.db.execute(
                "select job, plan, next_run_at, ended_at from announcement order by job"
            )
        ]


def _local(moment: int) -> str:
    return datetime.fromtimestamp(moment / SECOND, ZoneInfo(SEOUL)).strftime("%m-%d %H:%M:%S")


@pytest.fixture
def scene(tmp_path: Path, costmon_home: Path) -> Iterator[Scene]:
    costmon_home.mkdir(mode=0o700)
    store = open_ledger(str(costmon_home))
    made = Scene(tmp_path, store)
    yield made
    made.follower.close()
    store.close()


MORNING = """
2026-03-02 08:00:00 - 스케줄러 시작 (주기: 30분)
2026-03-02 08:30:00 - 거래 작업 시작
2026-03-02 08:30:41 - ✅ OpenAI API 호출 성공 (HTTP 200)
2026-03-02 08:30:41 - ✅ 거래 사이클 성공: sell
2026-03-02 08:30:41 - ✅ 작업 완료 (41.20초)
2026-03-02 08:30:41 - 다음 실행: 2026-03-02T09:00:00
"""


def test_a_morning_in_a_korean_log(scene: Scene) -> None:
    scene.look("2026-03-02 08:31", MORNING)
    assert scene.runs() == [("trade", "03-02 08:30:00", 41, "ok", "every 30m")]
    assert scene.plans() == [("trade", "every 30m", "03-02 09:00:00", True)]
    scene.look("2026-03-02 09:00:01", "2026-03-02 09:00:00 - 거래 작업 시작")
    assert scene.runs()[1] == ("trade", "03-02 09:00:00", None, "running", "every 30m")
    assert scene.db.execute("select planned_at from job_run order by 1 desc").fetchone()[0] == at(
        "2026-03-02 09:00"
    )


def test_a_restart_of_the_scheduler_closes_what_was_open_and_announces_anew(scene: Scene) -> None:
    scene.look("2026-03-02 08:31", MORNING)
    scene.look(
        "2026-03-02 09:12:11",
        """
2026-03-02 09:00:00 - 거래 작업 시작
2026-03-02 09:12:10 - 스케줄러 시작 (주기: 60분)
2026-03-02 09:12:10 - 다음 실행: 2026-03-02T10:12:10
""",
    )
    assert scene.runs()[1] == ("trade", "03-02 09:00:00", 0, "unknown", "every 30m")
    assert scene.plans() == [("trade", "every 60m", "03-02 10:12:10", True)]


def test_a_run_whose_beginning_no_line_tells_is_dated_back(scene: Scene) -> None:
    scene.look("2026-03-02 09:01:11", "2026-03-02 09:01:10 job finished in 70s")
    assert scene.runs() == [("trade", "03-02 09:00:00", 70, "ok", "")]


def test_steps_of_a_run_are_no_runs(scene: Scene) -> None:
    scene.look(
        "2026-03-02 09:01:11",
        """
2026-03-02 09:00:00 Trading cycle started
2026-03-02 09:00:02 Starting data job
2026-03-02 09:00:07 Data job finished in 5.0s
2026-03-02 09:00:09 API call failed
2026-03-02 09:01:10 Trading cycle finished in 70.4s
""",
    )
    assert scene.runs() == [("trade", "03-02 09:00:00", 70, "error", "")]


def test_a_stopped_scheduler_plans_nothing_any_more(scene: Scene) -> None:
    scene.look("2026-03-02 08:31", MORNING)
    scene.look("2026-03-02 08:45", "2026-03-02 08:45:00 - 스케줄러 종료")
    assert scene.plans()[0][3] is False
    scene.look("2026-03-02 08:50", "2026-03-02 08:50:00 - 스케줄러 시작 (주기: 30분)")
    assert scene.plans() == [("trade", "every 30m", None, True)]


def test_a_log_nobody_follows_any_more_plans_nothing(scene: Scene) -> None:
    scene.look("2026-03-02 08:31", MORNING)
    scene.follower.poll(scene.db, (), at("2026-03-02 08:32"))
    assert scene.plans()[0][3] is False


def test_celery_beat_and_worker_in_one_log_tell_of_one_run(scene: Scene) -> None:
    scene.look(
        "2026-03-02 09:00:05",
        """
[2026-03-02 08:59:00,000: INFO/MainProcess] beat: Starting...
[2026-03-02 09:00:00,000: INFO/Beat] Scheduler: Sending due task hourly-trade (app.trade)
[2026-03-02 09:00:00,020: INFO/MainProcess] Task app.trade[0a1b-2c] received
[2026-03-02 09:00:02,100: INFO/ForkPoolWorker-1] Task app.trade[0a1b-2c] succeeded in 2.05s: None
""",
    )
    assert scene.runs() == [("hourly-trade", "03-02 09:00:00", 2.1, "ok", "")]
    assert scene.plans() == [("hourly-trade", "", None, True)]


def test_a_restart_of_the_follower_tells_nothing_twice_and_loses_nothing(scene: Scene) -> None:
    lines = MORNING.strip().splitlines()
    for number, line in enumerate(lines):
        scene.look(f"2026-03-02 08:31:{number:02d}", line)
        scene.restart()
    assert scene.runs() == [("trade", "03-02 08:30:00", 41, "ok", "every 30m")]
    assert scene.plans() == [("trade", "every 30m", "03-02 09:00:00", True)]


def test_a_busy_ledger_waits_for_the_next_look_and_loses_nothing(scene: Scene) -> None:
    scene.db.execute("pragma busy_timeout = 1")
    scene.look("2026-03-02 07:00", "2026-03-02 07:00:00 - hello")
    other = sqlite3.connect(scene.db.execute("pragma database_list").fetchone()[2])
    other.execute("begin immediate")
    scene.look("2026-03-02 08:31", MORNING)
    scene.look("2026-03-02 09:00:01", "2026-03-02 09:00:00 - 거래 작업 시작")
    assert scene.runs() == []
    other.rollback()
    other.close()
    scene.look("2026-03-02 09:00:02")
    assert [run[1] for run in scene.runs()] == ["03-02 08:30:00", "03-02 09:00:00"]


def test_what_is_older_than_a_day_is_a_plan_and_no_run(scene: Scene) -> None:
    scene.look("2026-03-04 08:31", MORNING)
    assert scene.runs() == []
    assert scene.plans()[0][1] == "every 30m"


def test_a_changed_config_reads_the_end_of_the_log_anew(scene: Scene) -> None:
    scene.look("2026-03-02 08:31", MORNING)
    other = Log("trader", scene.log.path, "trader", "trade", "Asia/Tokyo")
    patterns = Log(
        "trader", scene.log.path, "trader", "trade", SEOUL, MappingProxyType({"run": "사이클 성공"})
    )
    scene.look("2026-03-02 08:32", "", patterns)
    assert [run[1] for run in scene.runs()] == ["03-02 08:30:41"]
    scene.look("2026-03-02 08:33", "", other)
    assert [run[1] for run in scene.runs()] == ["03-02 08:30:00"]


def test_two_jobs_in_one_file_are_told_apart_by_own_patterns(scene: Scene) -> None:
    logs = tuple(
        Log(
            job,
            str(scene.path),
            "app",
            job,
            SEOUL,
            MappingProxyType({"run": f"{job} 작업 시작", "done": f"{job} 작업 완료"}),
        )
        for job in ("거래", "보고")
    )
    scene.look("2026-03-02 08:59", "2026-03-02 08:59:00 시작", *logs)
    scene.look(
        "2026-03-02 09:00:09",
        """
2026-03-02 09:00:00 거래 작업 시작
2026-03-02 09:00:01 보고 작업 시작
2026-03-02 09:00:05 거래 작업 완료
2026-03-02 09:00:08 보고 작업 완료
""",
        *logs,
    )
    assert [run[:4] for run in scene.runs()] == [
        ("거래", "03-02 09:00:00", 5, "ok"),
        ("보고", "03-02 09:00:01", 7, "ok"),
    ]


def test_the_zone_is_inferred_and_said(scene: Scene) -> None:
    free = Log("trader", str(scene.path), "trader", "trade")
    scene.look("2026-03-02 09:00:01", "2026-03-02 00:00:00 Trading job started", free)  # its writer is in UTC
    assert [run[1] for run in scene.runs()] == ["03-02 09:00:00"]
    assert scene.said == []
    scene.look("2026-03-02 09:00:05", "2026-03-02 00:00:05 Next run: 2026-03-02 00:30:00", free)
    assert scene.plans()[0][2] == "03-02 09:30:00"
    note = scene.db.execute("select note from announcement").fetchone()[0]
    assert note == "times read as UTC, inferred from its newest line and the clock"


def test_a_zone_that_nothing_tells_is_the_operators_and_said(scene: Scene) -> None:
    free = Log("trader", str(scene.path), "trader", "trade")
    scene.look("2026-03-02 12:07:33", "2026-03-02 09:00:00 Trading job started", free)
    assert [run[1] for run in scene.runs()] == ["03-02 09:00:00"]
    assert scene.said == [
        f"{scene.path}: the log's times carry no zone and are read as Asia/Seoul; set zone in [log.trader]"
    ]


def test_lines_of_the_future_are_no_runs_and_said(scene: Scene) -> None:
    scene.look("2026-03-02 09:00", "2026-03-02 18:00:00 Trading job started")
    assert scene.runs() == []
    assert "540 minutes ahead of this machine's clock" in scene.said[0]


def test_lines_of_the_future_tell_their_plan_all_the_same(scene: Scene) -> None:
    """An hourly run is one in every zone."""
    scene.follower = LogFollower("UTC")
    free = Log("trader", str(scene.path), "trader", "trade")
    scene.look("2026-03-01 23:52", MORNING, free, zone="UTC")
    assert scene.runs() == []
    assert scene.plans() == [("trade", "every 30m", None, True)]


def test_what_was_read_in_the_wrong_zone_is_read_again_once_it_is_known(scene: Scene) -> None:
    """A log that was there before, with nothing to tell its zone by: its next line does."""
    scene.follower = LogFollower("UTC")
    free = Log("trader", str(scene.path), "trader", "trade")
    scene.look("2026-03-02 01:05", MORNING.replace("2026-03-02 08", "2026-03-01 22"), free, zone="UTC")
    wrong = [run[1] for run in scene.runs()]
    assert wrong == ["03-02 07:30:00"]
    scene.look("2026-03-02 01:06", "2026-03-02 10:06:00 - 거래 작업 시작", free, zone="UTC")
    scene.look("2026-03-02 01:06:01", "", free, zone="UTC")
    assert [run[1:4] for run in scene.runs()] == [
        ("03-01 22:30:00", 41, "ok"),
        ("03-02 10:06:00", None, "running"),
    ]
    assert scene.plans()[0][1] == "every 30m"
    assert scene.said == []
    scene.restart()
    scene.look("2026-03-02 01:06:02", "", free, zone="UTC")
    assert len(scene.runs()) == 2


@pytest.mark.parametrize("rate", [1, 240])
def test_a_log_that_is_there_already_tells_at_once_by_the_clock_of_a_simulation(
    scene: Scene, rate: int
) -> None:
    """Whatever the machine's clock says of the file."""
    scene.path.write_text(MORNING, encoding="utf-8")
    for second in range(3):
        scene.follower.poll(scene.db, (scene.log,), at("2026-03-02 08:55") + second * rate * SECOND)
    assert [run[1] for run in scene.runs()] == ["03-02 08:30:00"]
    assert scene.plans() == [("trade", "every 30m", "03-02 09:00:00", True)]


def test_a_log_without_times_is_dated_by_when_it_is_read(scene: Scene) -> None:
    scene.look("2026-03-02 08:59", "Trading job started")
    assert scene.runs() == []  # nobody knows when that was
    scene.look("2026-03-02 09:00", "Trading job started")
    scene.look("2026-03-02 09:01", "Trading job finished")
    assert [run[1:4] for run in scene.runs()] == [("03-02 09:00:00", 60, "ok")]


def test_a_log_over_the_end_of_daylight_saving(scene: Scene) -> None:
    paris = Log("trader", str(scene.path), "trader", "trade", "Europe/Paris")
    for utc in ("2026-10-24 23:30", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"):
        moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
        local = moment.astimezone(ZoneInfo("Europe/Paris")).strftime("%Y-%m-%d %H:%M:%S")
        scene.look(utc, "", paris, zone="UTC")  # as it looks every second
        scene.look(utc, f"{local} Trading job started\n{local} Trading job finished", paris, zone="UTC")
    began = [
        row[0] for row in scene.db.execute("select started_at from job_run where source = 'log' order by 1")
    ]
    assert [(later - before) // MINUTE for before, later in pairwise(began)] == [60, 60, 60]


def test_more_jobs_than_anybody_has_are_passed_over_and_said(scene: Scene) -> None:
    lines = [f'2026-03-02 09:00:00 Running job "job {n} (trigger: interval[0:05:00])"' for n in range(80)]
    scene.look("2026-03-02 09:00:01", "\n".join(lines))
    assert len(scene.runs()) == 50
    assert scene.said == [f"{scene.path}: the log names more than 50 jobs; the others are passed over"]


def test_a_name_with_control_characters_is_cleaned(scene: Scene) -> None:
    scene.look("2026-03-02 09:00:01", '2026-03-02 09:00:00 Running job "a\u202eb\x07c (trigger: date[x])"')
    assert [run[0] for run in scene.runs()] == ["abc"]


def test_a_real_apscheduler_is_understood(scene: Scene) -> None:
    scheduling = pytest.importorskip("apscheduler.schedulers.background")
    logger = logging.getLogger("apscheduler")
    handler = logging.FileHandler(scene.path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    scheduler = scheduling.BackgroundScheduler(timezone=ZoneInfo(SEOUL))
    free = (Log("trader", str(scene.path), "trader", "trade"),)
    ran: list[float] = []
    scheduler.add_job(lambda: ran.append(time.time()), "interval", seconds=0.2, name="trade (fast)")
    try:
        scheduler.start()
        deadline = time.monotonic() + 10
        while len(ran) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        scene.follower.poll(scene.db, free, to_us(datetime.now(UTC)))
        planned = scene.plans()
        scheduler.shutdown()
    finally:
        logger.removeHandler(handler)
        handler.close()
    scene.follower.poll(scene.db, free, to_us(datetime.now(UTC)))
    began = [
        row[0] / SECOND
        for row in scene.db.execute("select started_at from job_run where source = 'log' order by 1")
    ]
    assert len(began) == len(ran) >= 3
    assert all(abs(one - other) < 0.15 for one, other in zip(began, ran, strict=True))
    assert {run[3] for run in scene.runs()} == {"ok"}
    assert planned[0][0] == "trade (fast)"
    assert interval_us(planned[0][1].removeprefix("every ")) == SECOND // 5
    assert scene.plans()[0][3] is False


_EVENTS = st.lists(
    st.sampled_from(
        [
            "스케줄러 시작 (주기: 30분)",
            "거래 작업 시작",
            "작업 완료 (41.20초)",
            "작업 완료",
            "API 호출 성공",
            "API call failed",
            "다음 실행: 2026-03-02T09:30:00",
            "Scheduler stopped",
            'Running job "a (trigger: interval[0:05:00])"',
            'Job "a (trigger: interval[0:05:00])" executed successfully',
            "Starting trading job",
            "noise",
        ]
    ),
    max_size=20,
)


@given(_EVENTS, st.lists(st.integers(1, 5), max_size=20))
def test_lines_tell_the_same_in_whatever_pieces_they_come(events: list[str], sizes: list[int]) -> None:
    lines = [
        f"2026-03-02 {8 + n // 4:02d}:{n % 4 * 15:02d}:00 {event}\n".encode()
        for n, event in enumerate(events)
    ]

    def tell(groups: list[list[bytes]]) -> tuple[Any, ...]:
        clock, state, facts, offset = Clock(Zone(SEOUL, "config")), dict[str, Any](), Facts(), 0
        for group in groups:
            block = Block(offset, b"".join(group))
            offset += len(block.data)
            clock.look(Batch((block,)), at("2026-03-03 08:00"), SEOUL)
            told = heard([block], Patterns(), clock, at("2026-03-03 08:00"), live=False)
            state, new = advance(state, told, Witness("app", "trade", "/a.log"))
            facts.join(new)
        return state, facts.runs, facts.planned, facts.withdrawn

    groups, at_line = [], 0
    for size in [*sizes, len(lines)]:
        groups.append(lines[at_line : at_line + size])
        at_line += size
    whole, pieces = tell([lines]), tell(groups)
    assert pieces == whole
    ended = [run for run in whole[1].values() if run.ended_at is not None]
    assert all(run.ended_at >= run.started_at for run in ended)


@pytest.mark.parametrize("name", ["sk-proj-abcdefgh12345678", "https://bob:secret@host/job"])
def test_a_name_that_holds_a_secret_is_kept_nowhere(scene: Scene, name: str) -> None:
    """The run is told all the same, under the job of the config."""
    trigger = "(trigger: interval[1:00:00], next run at: 2026-03-02 10:00:00 KST)"
    scene.look("2026-03-02 08:59", "2026-03-02 08:59:00 시작")
    scene.look("2026-03-02 09:01", f'2026-03-02 09:00:00 INFO apscheduler: Running job "{name} {trigger}"\n')
    assert len(scene.runs()) == 1
    said = repr(scene.runs() + scene.plans() + scene.db.execute("select state from log_position").fetchall())
    assert name not in said
    assert "secret" not in said
