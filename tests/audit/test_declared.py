"""Schedules and retries that code, tables, timers and crontabs declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmon.audit.crontabs import declared as in_crontab
from costmon.audit.python import habits, schedules, source
from costmon.audit.tables import declared as in_table
from costmon.audit.units import read_lines, timers
from tests.audit.kit import APP, look, none, only, put, rules

APSCHEDULER = """
from apscheduler.triggers.interval import IntervalTrigger as Every
from apscheduler.triggers.cron import CronTrigger
import apscheduler.triggers.cron as cron
"""
CELERY = "from celery.schedules import crontab\nfrom datetime import timedelta\nimport datetime\n"


def found_in(text: str) -> list[tuple[str, str]]:
    tree = source.parse("x.py", text)
    assert tree is not None
    return sorted((one.job, one.text) for one in schedules.declared(tree))


@pytest.mark.parametrize(
    ("code", "job", "plan"),
    [
        ("s.add_job(trade, 'interval', minutes=5)", "trade", "every 5m"),
        ("s.add_job(func=bot.trade, trigger='interval', hours=1, minutes=30, id='t')", "t", "every 90m"),
        ("s.add_job(trade, Every(seconds=30))", "trade", "every 30s"),
        ("s.add_job(trade, Every(0, 0, 2))", "trade", "every 2h"),
        ("T = Every(minutes=5)\ns.add_job(trade, T)", "trade", "every 5m"),
        ("s.add_job(trade, CronTrigger.from_crontab('*/5 * * * *'))", "trade", "cron */5 * * * *"),
        ("s.add_job(trade, cron.CronTrigger(minute='*/5'))", "trade", "cron */5 * * * *"),
        ("s.add_job(trade, 'cron', hour=3)", "trade", "cron 0 3 * * *"),
        ("s.add_job(trade, 'cron', hour='9-17', minute=30)", "trade", "cron 30 9-17 * * *"),
        ("s.add_job(trade, 'cron', day_of_week='0-4', hour=9)", "trade", "cron 0 9 * * mon-fri"),
        ("s.add_job(trade, 'cron', day_of_week=6)", "trade", "cron 0 0 * * sun"),
        ("s.add_job(trade, 'cron', day=1)", "trade", "cron 0 0 1 * *"),
        ("s.add_job(trade, 'cron', month='1-6/3')", "trade", "cron 0 0 1 1-6/3 *"),
        ("s.add_job(trade, 'cron', second='*/10')", "trade", "every 10s"),
        ("s.add_job(trade, 'cron', week=3)", "trade", "a plan that cannot be read"),
        ("@s.scheduled_job('interval', minutes=15)\ndef trade(): ...", "trade", "every 15m"),
        ("MINUTES = 5\ns.add_job(trade, 'interval', minutes=MINUTES * 2)", "trade", "every 10m"),
        (
            "import os\ns.add_job(trade, 'interval', minutes=int(os.getenv('M_EVERY', '7')))",
            "trade",
            "every 7m",
        ),
        (
            "import os\ns.add_job(trade, 'interval', seconds=float(os.environ.get('X') or 90))",
            "trade",
            "every 90s",
        ),
        ("s.add_job(trade, 'interval', minutes=config('EVERY', default=20, cast=int))", "trade", "every 20m"),
        ("s.add_job(trade, 'interval', minutes=settings.every)", "trade", "a plan that cannot be read"),
    ],
)
def test_apscheduler(code: str, job: str, plan: str) -> None:
    assert found_in(APSCHEDULER + code) == [(job, plan)]


@pytest.mark.parametrize(
    ("code", "job", "plan"),
    [
        ("schedule.every(5).minutes.do(trade)", "trade", "every 5m"),
        ("schedule.every().hour.at(':05').do(bot.trade)", "trade", "every 60m"),
        ("schedule.every().monday.at('09:00').tag('x').do(trade)", "trade", "every 7d"),
        ("schedule.every(5).to(15).seconds.do(trade)", "trade", "every 5s"),
        ("from schedule import every\nevery(2).hours.do(trade)", "trade", "every 2h"),
    ],
)
def test_schedule(code: str, job: str, plan: str) -> None:
    assert found_in("import schedule\n" + code) == [(job, plan)]


@pytest.mark.parametrize(
    ("code", "job", "plan"),
    [
        ("app.conf.beat_schedule = {'t': {'task': 'x', 'schedule': 300.0}}", "t", "every 5m"),
        ("CELERY_BEAT_SCHEDULE = {'t': {'task': 'x', 'schedule': timedelta(minutes=2)}}", "t", "every 2m"),
        ("CELERY_BEAT_SCHEDULE: dict = {'t': {'schedule': datetime.timedelta(0, 90)}}", "t", "every 90s"),
        (
            "app.conf.update(beat_schedule={'t': {'schedule': crontab(minute='*/15')}})",
            "t",
            "cron */15 * * * *",
        ),
        ("app.conf.beat_schedule['t'] = {'schedule': crontab()}", "t", "cron * * * * *"),
        ("app.conf.beat_schedule['t'] = {'schedule': crontab(0, 3)}", "t", "cron 0 3 * * *"),
        ("app.add_periodic_task(10.0, trade.s('a'), name='t')", "t", "every 10s"),
        ("app.add_periodic_task(crontab(hour=7, minute=30), trade.s())", "trade", "cron 30 7 * * *"),
    ],
)
def test_celery(code: str, job: str, plan: str) -> None:
    assert found_in(CELERY + code) == [(job, plan)]


@pytest.mark.parametrize(
    ("code", "job", "plan"),
    [
        ("import costmon\n@costmon.job('t', every='5m')\ndef f(): ...", "t", "every 5m"),
        ("from costmon import job as j\nwith j('t', cron='*/3 * * * *'): ...", "t", "cron */3 * * * *"),
        ("import costmon\nwith costmon.job('t', every=90): ...", "t", "every 90s"),
        (
            "from fastapi_utils.tasks import repeat_every\n@repeat_every(seconds=60)\nasync def t(): ...",
            "t",
            "every 60s",
        ),
        ("import aiocron\n@aiocron.crontab('*/5 * * * *')\nasync def t(): ...", "t", "cron */5 * * * *"),
        ("@broker.task(schedule=[{'cron': '*/5 * * * *'}])\nasync def t(): ...", "t", "cron */5 * * * *"),
    ],
)
def test_others(code: str, job: str, plan: str) -> None:
    assert found_in(code) == [(job, plan if plan != "every 60s" else "every 1m")]


@pytest.mark.parametrize(
    "code",
    [
        "import costmon\n@costmon.job('t')\ndef f(): ...",
        "s.add_job(trade, 'date', run_date=x)",
        "s.add_job(trade)",
        "thing.do(it)",
        "other.job('t', every='5m')",
        "x.task(schedule=y)",
    ],
)
def test_what_declares_no_plan(code: str) -> None:
    assert found_in(code) == []


def test_no_file_is_run(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.py",
        f"import schedule\nopen({str(tmp_path / 'ran')!r}, 'w')\nschedule.every(5).minutes.do(x)\n",
    )
    look(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("@app.task(autoretry_for=(E,), max_retries=None)\ndef f(): ...", "retry-unlimited"),
        ("@app.task(autoretry_for=(E,), max_retries=3)\ndef f(): ...", ""),
        ("from tenacity import retry\n@retry\ndef f(): ...", "retry-unlimited"),
        ("import tenacity as t\n@t.retry(wait=w)\ndef f(): ...", "retry-unlimited"),
        ("import tenacity\nfor a in tenacity.Retrying(stop=tenacity.stop_after_delay(5)): ...", ""),
        ("from tenacity import retry\n@retry(**options)\ndef f(): ...", ""),
        ("import backoff\n@backoff.on_exception(backoff.expo, E)\ndef f(): ...", "retry-unlimited"),
        ("import backoff\n@backoff.on_exception(backoff.expo, E, max_tries=3)\ndef f(): ...", ""),
        (
            "import stamina\n@stamina.retry(on=E, attempts=None, timeout=None)\ndef f(): ...",
            "retry-unlimited",
        ),
        ("import stamina\n@stamina.retry(on=E)\ndef f(): ...", ""),
        ("import openai\nopenai.OpenAI(max_retries=1000)", "retry-unlimited"),
        ("import openai, math\nopenai.OpenAI(max_retries=math.inf)", "retry-unlimited"),
        ("import openai\nopenai.OpenAI(max_retries=5)", ""),
        ("B(job_defaults={'coalesce': False, 'misfire_grace_time': None})", "catch-up"),
        ("s.add_job(f, 'interval', hours=2, coalesce=False, misfire_grace_time=None)", "catch-up"),
        ("B(job_defaults={'coalesce': True, 'misfire_grace_time': None})", ""),
        ("import time\nwhile True:\n    work()\n    time.sleep(60)", "sleep-loop"),
        ("import time\nwhile True:\n    def f(): time.sleep(60)", ""),
        ("import time\nwhile busy():\n    time.sleep(60)", ""),
        ("import asyncio\nasync def f():\n  while True:\n    await asyncio.sleep(7200)", ""),
    ],
)
def test_habits(code: str, rule: str) -> None:
    tree = source.parse("x.py", code)
    assert tree is not None
    assert [one.rule for one in habits.habits(tree, spends=True)] == ([rule] if rule else [])


def test_tables() -> None:
    text = """
[tool.celery.beat_schedule.trade]
schedule = 300
[[tool.scheduler.jobs]]
id = "crawl"
cron = "*/10 * * * *"
[[jobs]]
name = "a"
every = "15m"
[[jobs]]
name = "b"
minutes = 5
seconds = 30
[cron.c]
interval_minutes = 20
[tool.other]
minutes = 5
"""
    found = [(one.job, one.text, one.place.line) for one in in_table("x.toml", text)]
    assert found == [
        ("trade", "every 5m", 2),
        ("crawl", "cron */10 * * * *", 4),
        ("a", "every 15m", 7),
        ("b", "every 330s", 7),
        ("c", "every 20m", 14),
    ]


def test_units() -> None:
    text = (
        "[Unit]\n[Timer]\nOnUnitActiveSec=1h \\\n  30min\nOnCalendar=*:0/5\nOnBootSec=5\nOnCalendar=hourly\n"
    )
    found = [
        (one.text, one.place.line, one.cadence.text if one.cadence else "")
        for one in timers("a/trade.timer", read_lines(text))
    ]
    assert found == [
        ("OnUnitActiveSec=1h 30min", 3, "every 90m"),
        ("OnCalendar=*:0/5", 5, "timer *:0/5"),
        ("OnCalendar=hourly", 7, "timer hourly"),
    ]


def test_crontabs() -> None:
    text = "# a\nMAILTO=x\n*/5 * * * * cd /srv/trader && python -m trader.run\n@hourly /srv/crawl/crawl.py\nno such line\n"
    jobs, unread = in_crontab("crontab", text)
    assert [(one.place.line, one.text) for one in jobs] == [(3, "cron */5 * * * *"), (4, "cron 0 * * * *")]
    assert [(one.place.line, one.sentence) for one in unread] == [
        (5, "crontab line 5 is no schedule of a crontab.")
    ]


# --- what is made of them -------------------------------------------------------------------------------------


def test_a_job_below_the_floor_is_a_warning_where_something_spends(tmp_path: Path) -> None:
    put(tmp_path, "jobs.py", "s.add_job(trade, 'interval', minutes=5)\n")
    assert none(look(tmp_path), "interval-floor")  # nothing here makes calls
    assert (
        only(look(tmp_path / "jobs.py"), "interval-floor").severity == "note"
    )  # who knows what is around it
    put(tmp_path, "requirements.txt", "openai>=1\n")
    found = only(look(tmp_path, model="gpt-4o-mini"), "interval-floor")
    assert found.severity == "warning"
    assert found.weekly is not None
    assert found.weekly.nano == 2_217_600_000


def test_the_same_job_with_two_plans(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "openai>=1\n")
    put(tmp_path, "a.py", "s.add_job(trade, 'interval', hours=1)\n")
    put(tmp_path, "trade.timer", "[Timer]\nOnUnitActiveSec=2h\n")
    found = only(look(tmp_path), "interval-differs")
    assert found.severity == "warning"
    assert "every 60m against every 2h" in found.sentence
    assert {Path(place.path).name for place, _ in found.evidence} == {"a.py", "trade.timer"}


def test_a_service_and_a_crontab_with_two_plans(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", APP + "      TRADE_INTERVAL_MINUTES: 120\n")
    put(tmp_path, "a.py", "s.add_job(f, 'interval', hours=1, id='trade')\n")
    assert "every 60m against every 2h" in only(look(tmp_path), "interval-differs").sentence


def test_two_jobs_of_no_name_are_not_one(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "import openai\ns.add_job(run, 'interval', hours=1)\n")
    put(tmp_path, "b.py", "s.add_job(run, 'interval', hours=2)\n")
    assert none(look(tmp_path), "interval-differs")


def test_apps_in_folders_of_their_own_are_not_mixed(tmp_path: Path) -> None:
    """Two apps with a compose file each may have a job of one name, and one variable with two defaults."""
    for app, minutes in (("one", 60), ("two", 120)):
        put(tmp_path, f"{app}/compose.yml", APP + f"      TRADE_INTERVAL_MINUTES: {minutes}\n")
        put(tmp_path, f"{app}/main.py", f"s.add_job(trade, 'interval', minutes={minutes})\n")
    assert none(look(tmp_path), "interval-differs")


def test_what_a_service_sets_counts_before_the_codes_default(tmp_path: Path) -> None:
    code = "import os, openai\ns.add_job(trade, 'interval', minutes=int(os.getenv('TRADE_INTERVAL_MINUTES', '5')))\n"
    put(tmp_path, "main.py", code)
    assert "unless TRADE_INTERVAL_MINUTES says otherwise" in only(look(tmp_path), "interval-floor").sentence
    put(tmp_path, "compose.yml", APP + "      TRADE_INTERVAL_MINUTES: 60\n")
    assert rules(look(tmp_path), "warning") == []
    assert only(look(tmp_path), "interval-differs").severity == "note"
