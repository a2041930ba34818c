"""What is a job of paid calls, what only polls, and what a job costs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from costmon.audit.values import Finding
from costmon.shim.money import Money
from tests.audit.kit import APP, CANARY, look, none, only, put, rules, texts

MINI = "gpt-4o-mini"
EVERY_5M = Money(2_217_600_000, "USD")
EVERY_10M = Money(1_008_000_000, "USD")


def floors(*paths: Path, **more: object) -> list[Finding]:
    report = look(*paths, model=MINI, **more)  # type: ignore[arg-type]
    return [one for one in report.findings if one.rule == "interval-floor"]


# --- crontabs -------------------------------------------------------------------------------------------------


def test_costmon_run_in_a_crontab_line_proves_that_it_spends(tmp_path: Path) -> None:
    put(tmp_path, "crontab", "*/5 * * * * cd /srv && costmon run -- python crawl.py\n")
    (found,) = floors(tmp_path)
    assert (found.severity, found.weekly) == ("warning", EVERY_5M)


def test_two_lines_of_one_script_are_judged_each(tmp_path: Path) -> None:
    put(
        tmp_path,
        "crontab",
        "*/5 * * * * cd /srv && costmon run -- python crawl.py\nX=1\n*/10 * * * * python /srv/crawl.py\n",
    )
    assert [(one.place.line, one.weekly) for one in floors(tmp_path)] == [(1, EVERY_5M), (3, EVERY_10M)]
    assert look(tmp_path, model=MINI).weekly == (Money(3_225_600_000, "USD"),)


def test_a_line_that_nothing_ties_to_calls_has_no_price(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "openai\n")
    put(tmp_path, "crontab", "*/1 * * * * /usr/bin/certbot renew\n")
    (found,) = floors(tmp_path)
    assert (found.severity, found.weekly) == ("note", None)
    assert look(tmp_path, model=MINI).weekly == ()


@pytest.mark.parametrize(
    "line",
    [
        f"OPENAI_API_KEY={CANARY}",
        f"0 9 * * * python /srv/a.py --key {CANARY}",
        f"0 9 * * * OPENAI_API_KEY='{CANARY}' python /srv/a.py",
    ],
)
def test_a_key_in_a_crontab(line: str, tmp_path: Path) -> None:
    put(tmp_path, "crontab", f"# {CANARY}\n{line}\n")
    report = look(tmp_path)
    assert only(report, "key-shape").place.line == 2
    assert "CANARY" not in texts(report)


# --- variables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "paid"),
    [
        ("POLL_INTERVAL_SECONDS", False),
        ("PRICE_TICK_INTERVAL_SECONDS", False),
        ("REFRESH_INTERVAL_SECONDS", False),
        ("SYNC_EVERY_SECONDS", False),
        ("SCHEDULER_POLL_INTERVAL_SECONDS", True),
        ("SCHEDULER_INTERVAL_SECONDS", True),
        ("TRADE_EVERY_SECONDS", True),
        ("AI_REFRESH_INTERVAL_SECONDS", True),
    ],
)
def test_what_only_polls_is_neither_priced_nor_changed(name: str, paid: bool, tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", APP + f"      {name}: 5\n")
    (found,) = floors(tmp_path)
    assert found.severity == ("warning" if paid else "note")
    assert (found.weekly is not None, found.fix is not None) == (paid, paid)


def test_a_variable_of_what_spends_nothing_is_not_changed(tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yml",
        "services:\n  a:\n    image: x\n    environment:\n      BACKUP_INTERVAL_MINUTES: 5\n",
    )
    (found,) = floors(tmp_path)
    assert (found.severity, found.weekly, found.fix) == ("note", None, None)


def test_two_plans_of_one_service_are_summed(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", APP + "      TRADE_INTERVAL_MINUTES: 5\n      REPORT_INTERVAL_MINUTES: 10\n")
    assert look(tmp_path).weekly == (Money(3_225_600_000, "USD"),)


def test_a_script_that_its_variable_is_named_after_runs_by_itself(tmp_path: Path) -> None:
    """Beside a scheduler of the same code; what its default costs more is known."""
    put(
        tmp_path,
        "compose.yml",
        """\
services:
  crawler:
    build: .
    command: python crawl.py
    environment: {CRAWL_INTERVAL_MINUTES: "${CRAWL_MINUTES:-10}", OPENAI_MODEL: gpt-4o-mini}
  beat:
    build: .
    command: celery -A app beat
    environment: {CRAWL_INTERVAL_MINUTES: "${CRAWL_MINUTES:-60}", OPENAI_MODEL: gpt-4o-mini}
""",
    )
    assert only(look(tmp_path), "interval-differs").weekly == EVERY_10M


# --- code -----------------------------------------------------------------------------------------------------

CODE = """\
import time
import requests
import costmon
from openai import OpenAI
from elsewhere import other
client = OpenAI()
class Bot:
    def ask(self): return client.responses.create(model="gpt-4o-mini", input="x")
    def look(self): return requests.get("https://api.upbit.com/v1/ticker").json()
bot = Bot()
def trade(): return helper()
def helper(): return client.responses.create(model="gpt-4o-mini", input="x")
def price_tick(): return requests.get("https://api.upbit.com/v1/ticker").json()
def raw(): return requests.post("https://api.openai.com/v1/responses", json={})
def given(what): return what()
"""


@pytest.mark.parametrize(
    ("function", "paid"),
    [
        ("trade", True),
        ("price_tick", False),
        ("raw", True),
        ("other", True),
        ("given", True),
        ("bot.ask", True),
        ("lambda: trade()", True),
        ("lambda: price_tick()", False),
    ],
)
def test_a_job_that_makes_no_paid_call_is_a_note_without_a_price(
    function: str, paid: bool, tmp_path: Path
) -> None:
    put(tmp_path, "a.py", CODE + f"s.add_job({function}, 'interval', seconds=5, id='x')\n")
    (found,) = floors(tmp_path)
    assert (found.severity, found.weekly is not None) == (("warning", True) if paid else ("note", False))
    assert '[jobs.x] every = "5s"' in found.advice


def test_a_plan_that_is_named_and_scheduled_is_one_run(tmp_path: Path) -> None:
    named = CODE.replace("def trade", '@costmon.job("trade", every="5m")\ndef trade')
    put(tmp_path, "a.py", named + "s.add_job(trade, 'interval', minutes=5)\n")
    assert look(tmp_path).weekly == (EVERY_5M,)
    put(tmp_path, "a.py", named)
    assert look(tmp_path).weekly == (EVERY_5M,)


def test_a_sleeping_loop_of_paid_calls_has_its_cadence_and_cost(tmp_path: Path) -> None:
    put(tmp_path, "a.py", CODE + "while True:\n    trade()\n    time.sleep(300)\n")
    found = only(look(tmp_path), "sleep-loop")
    assert (found.severity, found.weekly) == ("warning", EVERY_5M)
    assert "2,016 runs a week" in found.sentence
    assert none(look(tmp_path, floor_us=300_000_000), "sleep-loop")


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        ("    price_tick()\n    time.sleep(5)\n", "note"),
        ("    time.sleep(5)\n", ""),
        ("    schedule.run_pending()\n    time.sleep(1)\n", ""),
        ("    if not bot: time.sleep(1)\n    trade()\n    time.sleep(3600)\n", ""),
    ],
)
def test_loops_that_only_wait_or_poll(body: str, severity: str, tmp_path: Path) -> None:
    put(tmp_path, "a.py", CODE + "while True:\n" + body)
    found = [one for one in look(tmp_path).findings if one.rule == "sleep-loop"]
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(one.weekly is None for one in found)


@pytest.mark.parametrize(
    ("handler", "unlimited"),
    [
        ("time.sleep(1)", True),
        ("continue", True),
        ("raise", False),
        ("n += 1\n            if n > 5: raise", False),
        ("return None", False),
    ],
)
def test_a_loop_that_tries_again_after_every_error(handler: str, unlimited: bool, tmp_path: Path) -> None:
    tried = "    while True:\n        try:\n            return trade()\n        except Exception:\n"
    loop = f"def f(n=0):\n{tried}            {handler}\n"
    put(tmp_path, "a.py", CODE + loop)
    report = look(tmp_path)
    assert none(report, "retry-unlimited") != unlimited
    assert not unlimited or none(report, "sleep-loop")


def test_many_retries_are_not_called_unlimited(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "from openai import OpenAI\nOpenAI(max_retries=50)\n")
    assert "up to 50 times" in only(look(tmp_path), "retry-unlimited").sentence


def test_an_interval_in_a_tools_table(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\ndependencies = ["openai"]\n[tool.trader]\ninterval_minutes = 5\n[tool.x]\nminutes = 5\n'
    put(tmp_path, "pyproject.toml", text)
    (found,) = floors(tmp_path)
    assert (found.severity, found.place.line) == ("warning", 4)


# --- schedulers, units, hints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "doubled"),
    [
        ("celery -A app worker -B", "celery -A app beat", True),
        ("celery -A app beat -l info", "celery --app=app beat --pidfile=", True),
        ("celery -A app worker -l info", "celery -A app beat", False),
        ("celery -A app beat", "celery -A other beat", False),
        (
            "celery -A app beat -S redbeat.RedBeatScheduler",
            "celery -A app beat -S redbeat.RedBeatScheduler",
            False,
        ),
    ],
)
def test_two_beats_of_one_app(one: str, other: str, doubled: bool, tmp_path: Path) -> None:
    services = "".join(
        f"  {name}:\n    build: .\n    command: {command}\n    environment: {{OPENAI_MODEL: gpt-4o-mini}}\n"
        for name, command in (("worker", one), ("beat", other))
    )
    put(tmp_path, "compose.yml", f"services:\n{services}")
    report = look(tmp_path)
    assert none(report, "doubled-scheduler") != doubled
    assert not doubled or "Leave it on in" in only(report, "doubled-scheduler").advice


def test_a_unit_is_told_in_systemds_words(tmp_path: Path) -> None:
    unit = "[Service]\nExecStart=python -m trader\nEnvironment=OPENAI_MODEL=gpt-4o-mini\n"
    put(tmp_path, "trader.service", unit + "Restart=always\n")
    advice = only(look(tmp_path), "restart-policy").advice
    assert "Restart=on-failure with StartLimitBurst=5" in advice
    assert "on-failure:5" not in advice
    put(tmp_path, "trader.service", f"[Unit]\nStartLimitBurst=5\n{unit}Restart=on-failure\n")
    assert none(look(tmp_path), "restart-policy")


def test_a_timer_of_what_spends_nothing_is_a_note(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "openai\n")
    put(tmp_path, "renew.timer", "[Timer]\nOnCalendar=*:0/5\n")
    put(tmp_path, "renew.service", "[Service]\nExecStart=/usr/bin/certbot renew\n")
    (found,) = floors(tmp_path)
    assert (found.severity, found.weekly) == ("note", None)


def test_the_model_without_a_price_is_named(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", APP.replace(MINI, "no-such-model") + "      TRADE_INTERVAL_MINUTES: 5\n")
    report = look(tmp_path)
    assert rules(report, "warning") == ["interval-floor"]
    assert report.hints == (
        "No price is known for no-such-model: costmon prices show no-such-model says what to do.",
    )
