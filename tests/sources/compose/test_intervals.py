"""Which variables are schedules and switches, and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.compose.intervals import cadence, disables, enables, truth


def interval_of(name: str, value: str) -> str | None:
    """The plan a variable means, None where it means none or nobody can tell which."""
    said = cadence(name, value)
    return said.plan or None if said else None


@pytest.mark.parametrize(
    ("name", "value", "plan", "job"),
    [
        ("SCHEDULER_INTERVAL_MINUTES", "5", "every 5m", "scheduler"),
        ("SCHEDULER_INTERVAL_MINUTES", "60", "every 60m", "scheduler"),
        ("TRADE_INTERVAL_SECONDS", "90", "every 90s", "trade"),
        ("POLL_INTERVAL_MS", "500", "every 0.5s", ""),
        ("SYNC_EVERY_HOURS", "24", "every 24h", "sync"),
        ("INTERVAL_MINUTES", "0.5", "every 30s", ""),
        ("DAILY_REPORT_CRON", "0 9 * * 1-5", "cron 0 9 * * 1-5", "daily-report"),
        ("BACKUP_SCHEDULE", "@daily", "cron @daily", "backup"),
        ("CRAWL_EVERY", "1h30m", "every 90m", "crawl"),
        ("CRAWL_EVERY", "250ms", "every 0.25s", "crawl"),
        ("POLL_PERIOD_SEC", " 30 ", "every 30s", ""),
        ("pollIntervalSeconds", "30", "every 30s", ""),
        ("NEWS_POLL", "15m", "every 15m", "news"),
        ("SCHEDULER_INTERVAL_MINUTES", "10m", "every 10m", "scheduler"),
        ("RUN_EVERY_N_MINUTES", "2", "every 2m", "run"),
    ],
)
def test_a_schedule_is_recognised(name, value, plan, job):
    said = cadence(name, value)
    assert (said.plan, said.job, said.why) == (plan, job, "")
    assert interval_of(name, value) == plan


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INTERVAL", "5"),
        ("CRAWL_EVERY", "soon"),
        ("CRAWL_EVERY_MINUTES", "0"),
        ("CRAWL_EVERY_MINUTES", "-5"),
        ("CRAWL_EVERY_MINUTES", ""),
        ("CRAWL_EVERY_MINUTES", None),
        ("CRAWL_CRON", "99 * * * *"),
        ("CRAWL_EVERY_DAYS", "99999999"),
        ("CRAWL_EVERY", "1" * 400),
    ],
)
def test_a_schedule_whose_plan_cannot_be_known_says_why_without_the_value(name, value):
    said = cadence(name, value)
    assert said.plan == ""
    assert said.why.startswith(name) or f"what {name}" in said.why
    assert "soon" not in said.why
    assert interval_of(name, value or "") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEALTHCHECK_INTERVAL", "30s"),
        ("REQUEST_TIMEOUT_SECONDS", "30"),
        ("RETRY_INTERVAL_SECONDS", "5"),
        ("RSI_PERIOD", "14"),
        ("KLINE_INTERVAL", "5m"),
        ("TRIAL_PERIOD_DAYS", "14"),
        ("SCHEDULE_URL", "http://x"),
        ("SCHEDULER_ENABLED", "true"),
        ("OPENAI_API_KEY", "5m"),
        ("CELERY_BEAT_SCHEDULE_FILENAME", "x"),
        ("", "5"),
    ],
)
def test_other_variables_are_no_schedules(name, value):
    assert cadence(name, value) is None
    assert interval_of(name, value) is None


@pytest.mark.parametrize(
    ("name", "switch", "off"),
    [
        ("SCHEDULER_ENABLED", True, False),
        ("ENABLE_SCHEDULER", True, False),
        ("RUN_SCHEDULER", True, False),
        ("TRADING_SCHEDULER_ENABLED", True, False),
        ("SCHEDULER", True, False),
        ("CRON_ENABLED", True, False),
        ("DISABLE_SCHEDULER", True, True),
        ("SCHEDULER_DISABLED", True, True),
        ("SCHEDULER_RUN_ON_START", False, False),
        ("ENABLE_SCHEDULER_METRICS", False, False),
        ("DEBUG", False, False),
        ("", False, False),
    ],
)
def test_switches_are_recognised(name, switch, off):
    assert (enables(name), disables(name)) == (switch, off)


def test_what_a_switch_is_set_to():
    assert [truth(value) for value in ("true", "1", "YES", " on ", "True")] == [True] * 5
    assert [truth(value) for value in ("false", "0", "No", "off", "")] == [False] * 5
    assert [truth(value) for value in ("maybe", "2", "${X}", None)] == [None] * 4


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_name_or_value_is_an_error(name, value):
    cadence(name, value)
    cadence("CRAWL_EVERY", value)
    enables(name), disables(name), truth(value)
