"""What schedulers write is understood, Korean and English, whoever wrote it; and what only looks like it is not."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.shim.timestamps import to_us
from costmon.sources.schedules.logs import zone
from costmon.sources.schedules.logs.lines import telling
from costmon.sources.schedules.logs.patterns import Patterns
from costmon.sources.schedules.logs.spans import span_us
from costmon.sources.schedules.logs.split import Block
from costmon.sources.schedules.logs.tell import Tell
from costmon.sources.schedules.logs.times import Stamp, resolve_year, time_in, written

SECOND = 1_000_000
MINUTE = 60 * SECOND
BUILT_IN = Patterns()


def local(text: str) -> datetime:
    """A time as a log without zones has it."""
    return datetime.fromisoformat(text)


def told(line: str) -> tuple[Tell, ...]:
    """What a line tells, if anybody would look at it in a file."""
    block = Block(0, f"noise\n{line}\nnoise\n".encode())
    found = [one.text for one in telling(block)]
    return tuple(tell for text in found for tell in BUILT_IN.tells(text, written(text).message))


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        ("스케줄러 시작 (주기: 30분)", "every 30m"),
        ("2026-03-01 09:00:00 - 🚀 뉴스 스케줄러 가동, 간격 2시간", "every 2h"),
        ("45분마다 스케줄러 실행 시작", "every 45m"),
        ("스케줄러를 시작합니다 (매시간)", "every 60m"),
        ("Scheduler started (interval: 60 minutes)", "every 60m"),
        ("starting scheduler, every 5 min", "every 5m"),
        ("Crawl scheduler is running with interval_minutes=15", "every 15m"),
        ("INFO scheduler started, runs every hour", "every 60m"),
        ("scheduler started: daily", "every 24h"),
        ("[2026-03-01 09:00:00] Scheduler launched with period 1h30m", "every 90m"),
        ("Scheduler started (every 1 day, 0:00:00)", "every 24h"),
        ('{"msg": "scheduler started", "interval": "5m"}', "every 5m"),
        ("Scheduler started", ""),
        ("스케줄러 시작", ""),
        ("Scheduler started with 60 workers", ""),
    ],
)
def test_a_scheduler_starts_and_says_how_often(line: str, plan: str) -> None:
    (tell,) = told(line)
    assert (tell.what, tell.plan) == ("start", plan)


@pytest.mark.parametrize(
    ("line", "what", "seconds"),
    [
        ("거래 작업 시작", "run", None),
        ("🔄 수집 사이클 시작...", "run", None),
        ("Starting trading cycle #42", "run", None),
        ("Nightly job started", "run", None),
        ("✅ 작업 완료 (41.5초)", "done", 41.5),
        ("요약 작업이 완료되었습니다. 소요 시간: 1분 5초", "done", 65),
        ("job finished in 70.23s", "done", 70.23),
        ("Cycle completed, took 0:01:10.5", "done", 70.5),
        ("Crawl job done after 350 ms", "done", 0.35),
        ("작업 종료", "done", None),
        ("✅ OpenAI API 호출 성공 (HTTP 200)", "success", None),
        ("❌ OpenAI API 호출 실패 (HTTP 429)", "failure", None),
        ('HTTP Request: POST https://api.openai.com/v1/chat/completions "HTTP/1.1 200 OK"', "success", None),
        (
            'HTTP Request: POST https://api.anthropic.com/v1/messages "HTTP/1.1 529 Overloaded"',
            "failure",
            None,
        ),
        ("✅ 분석 사이클 성공: sell", "success", None),
        ("Trading cycle failed: timeout", "failure", None),
        ("스케줄러 재시작", "restart", None),
        ("Restarting the scheduler", "restart", None),
        ("스케줄러 종료", "stop", None),
        ("다음 실행: 2026-03-01T10:00:00", "next", None),
        ("⏰ 다음 실행 예정 시각: 10:00", "next", None),
        ("Next run: 2026-03-01 10:00:00", "next", None),
        ("next run at 2026-03-01 10:00:00 KST", "next", None),
        ("Next execution in 60 minutes", "next", None),
        ("[2026-03-01 09:00:00: INFO/Worker] Task app.trade[ab-12] succeeded in 1.2s: None", "done", 1.2),
        ('{"level":"info","msg":"job finished in 3s","ts":1772352000.5}', "done", 3),
        ('{"message":"\\uc791\\uc5c5 \\uc644\\ub8cc (3\\ucd08)"}', "done", 3),
    ],
)
def test_a_run_begins_goes_well_or_not_and_ends(line: str, what: str, seconds: float | None) -> None:
    (tell,) = told(line)
    assert tell.what == what
    assert tell.took_us == (None if seconds is None else round(seconds * SECOND))


@pytest.mark.parametrize(
    "line",
    [
        "스케줄러 시작 실패: 포트가 사용 중입니다",
        "could not start scheduler",
        "Adding job tentatively -- it will be properly scheduled when the scheduler starts",
        'HTTP Request: GET https://api.exchange.example/v1/ticker "HTTP/1.1 200 OK"',
        "jobs in queue: 12",
        "recycle bin emptied",
        "price of the cycle shop 143250000",
        "작업 대기 중",
    ],
)
def test_what_only_looks_like_it_tells_nothing(line: str) -> None:
    assert told(line) == ()


def test_apscheduler_says_all_in_one_line() -> None:
    line = (
        '2026-03-01 09:00:00,012 INFO apscheduler.executors.default: Running job "trade (fast) (trigger: '
        'interval[1:00:00], next run at: 2026-03-01 10:00:00 KST)" (scheduled at 2026-03-01 09:00:00.000123+09:00)'
    )
    (tell,) = told(line)
    assert (tell.what, tell.job, tell.plan) == ("run", "trade (fast)", "every 60m")
    assert (tell.next_text, tell.planned_text) == (
        "2026-03-01 10:00:00 KST",
        "2026-03-01 09:00:00.000123+09:00",
    )


@pytest.mark.parametrize(
    ("trigger", "plan"),
    [
        ("hour='2', minute='30'", "cron 30 2 * * *"),
        ("minute='*/5'", "cron */5 * * * *"),
        ("day_of_week='0-4', hour='9'", "cron 0 9 * * 1-5"),
        ("day_of_week='sun', hour='9'", "cron 0 9 * * 7"),
        ("day='1'", "cron 0 0 1 * *"),
        ("month='*/3', day='1', hour='6'", "cron 0 6 1 */3 *"),
        ("second='*/10'", ""),
        ("day='1', day_of_week='mon'", ""),
        ("day='last'", ""),
        ("week='2'", ""),
    ],
)
def test_a_cron_trigger_of_apscheduler_becomes_a_cron_plan_where_it_can(trigger: str, plan: str) -> None:
    (tell,) = told(f'Running job "nightly (trigger: cron[{trigger}], next run at: 2026-03-02 02:30:00 UTC)"')
    assert tell.plan == plan


def test_the_schedule_library_says_its_plan_with_each_run() -> None:
    (tell,) = told("DEBUG schedule: Running job Job(interval=5, unit=minutes, do=trade, args=(), kwargs={})")
    assert (tell.what, tell.job, tell.plan) == ("run", "trade", "every 5m")


def test_an_own_pattern_takes_the_place_of_the_built_in_ones_for_what_it_tells() -> None:
    own = Patterns(
        {"run": "^tick (?P<job>\\w+)", "next": "wieder um (?P<time>\\S+)", "start": "alle (?P<minutes>\\d+)'"}
    )
    assert own.tells("tick trade", "tick trade")[0][:2] == ("run", "trade")
    assert own.tells("Trading job started", "Trading job started") == ()
    assert own.tells("wieder um 10:30", "")[0].next_text == "10:30"
    assert own.tells("läuft alle 30'", "")[0].plan == "every 30m"
    assert own.tells("job finished in 3s", "job finished in 3s")[0].took_us == 3 * SECOND


@pytest.mark.parametrize(
    ("line", "at", "message"),
    [
        ("2026-03-01 09:00:00,123 - hello", None, "hello"),
        ("2026-03-01T09:00:00.123+09:00 hello", "2026-03-01T00:00:00.123+00:00", "hello"),
        (
            "2026-03-01T00:00:00.123456789Z 2026-03-01 09:00:00 - hello",
            "2026-03-01T00:00:00.123456+00:00",
            "hello",
        ),
        ("backend-1  | 2026-03-01 09:00:00 hello", None, "hello"),
        ("[2026/03/01 09:00:00] hello", None, "hello"),
        ("Mar  1 09:00:00 host trader[12]: hello", None, "hello"),
        ("[01/Mar/2026:09:00:00 +0900] hello", "2026-03-01T00:00:00+00:00", "hello"),
        ("1772323200.5 hello", "2026-03-01T00:00:00.5+00:00", "hello"),
        ("1772323200500 hello", "2026-03-01T00:00:00.5+00:00", "hello"),
        ('{"ts": 1772323200.5, "msg": "hello"}', "2026-03-01T00:00:00.5+00:00", "hello"),
        (
            '{"log":"2026-03-01 09:00:00 hello\\n","time":"2026-03-01T00:00:00Z"}',
            "2026-03-01T00:00:00+00:00",
            "hello",
        ),
        ('{"timestamp": "2026-03-01T09:00:00", "message": "hello"}', None, "hello"),
        ("2026년 3월 1일 09시 00분 00초 hello", None, "hello"),
        ("INFO 2026-03-01 09:00:00 hello", None, "hello"),
    ],
)
def test_the_time_in_front_of_a_line_is_read_however_it_is_spelled(
    line: str, at: str | None, message: str
) -> None:
    said = written(line)
    assert said.message == message
    assert said.stamp is not None
    if at is not None:
        assert said.stamp.at == to_us(datetime.fromisoformat(at))
    else:
        assert said.stamp.naive is not None
        naive = (
            resolve_year(said.stamp.naive, local("2026-11-01")) if said.stamp.yearless else said.stamp.naive
        )
        assert naive.replace(microsecond=0) == local("2026-03-01 09:00")


def test_a_time_inside_the_message_is_not_when_it_was_written() -> None:
    assert written("다음 실행: 2026-03-01T10:00:00").stamp is None
    assert written("2026-13-45 99:00:00 nonsense").stamp is None


def test_abbreviations_of_zones_count_where_they_mean_one_zone() -> None:
    assert time_in("2026-03-01 10:00:00 KST") == Stamp(at=to_us(datetime(2026, 3, 1, 1, tzinfo=UTC)))
    assert time_in("2026-03-01 10:00:00 IST") == Stamp(naive=local("2026-03-01 10:00"))


@pytest.mark.parametrize("text", ["", "60", "forever", "0분", "99999999 weeks"])
def test_no_length_of_time_is_none(text: str) -> None:
    assert span_us(text) is None


@given(st.text(max_size=200))
def test_no_line_is_an_error(text: str) -> None:
    for line in (
        text,
        f"job {text}",
        f"2026-03-01 09:00:00 {text}",
        f'{{"msg": {text}',
        f"스케줄러 시작 {text}",
    ):
        BUILT_IN.tells(line, written(line).message)


_ZONES = ["Asia/Seoul", "Europe/Paris", "America/New_York", "Asia/Kolkata", "UTC", "Australia/Adelaide"]


@given(
    st.sampled_from(_ZONES),
    st.sampled_from(_ZONES),
    st.datetimes(local("2026-01-01"), local("2027-01-01")),
    st.integers(0, 4_000_000),
)
def test_the_zone_is_inferred_from_a_fresh_line(own: str, operator: str, moment: datetime, lag: int) -> None:
    at = to_us(moment.replace(tzinfo=UTC))
    found = zone.infer(zone.local(at, own), at + lag, operator)
    assert found is not None
    offset = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(own)).utcoffset()
    assert moment.replace(tzinfo=UTC).astimezone(zone.tz(found.name)).utcoffset() == offset
    if own == operator:
        assert found.name == operator


def test_a_line_that_fits_no_zone_tells_none() -> None:
    at = to_us(datetime(2026, 3, 1, 9, tzinfo=UTC))
    assert zone.infer(local("2026-03-01 08:52"), at, "Asia/Seoul") is None
    assert zone.infer(local("2026-02-01 09:00"), at, "Asia/Seoul") is None


def test_times_the_clocks_pass_twice_go_on_in_order() -> None:
    first = zone.at_us(local("2026-10-25 02:30"), "Europe/Paris", 0)
    again = zone.at_us(local("2026-10-25 02:10"), "Europe/Paris", first - MINUTE)
    assert again - first == 40 * MINUTE
    assert zone.at_us(local("2026-03-29 02:30"), "Europe/Paris", 0) == to_us(
        datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2)))
    )


@pytest.mark.parametrize("filler", ["-", ":", " ", "\t", "a ", "1 ", "- ", '"', "job ", "다음 "])
@pytest.mark.parametrize("said", ["", " Scheduler started", "next run ", " scheduler ", "Running job "])
def test_no_line_takes_long(filler: str, said: str) -> None:
    """One line of a log must not stop the engine: not even 600 of anything, before or after words we look for."""
    began = time.process_time()
    for line in (filler * 600 + said, said + filler * 600, f"2026-11-21 23:00:00 x {filler * 80}{said}"):
        BUILT_IN.tells(line, line)
    assert time.process_time() - began < 0.3
