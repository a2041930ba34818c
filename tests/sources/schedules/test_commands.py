"""Whose job a command line is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.schedules.commands import name_command


@pytest.mark.parametrize(
    ("command", "app", "job"),
    [
        ("python /opt/trader/trade.py --fast", "trade", "trade"),
        ("cd /srv && .venv/bin/python3.12 -m trader.run >> /var/log/x 2>&1", "trader.run", "trader.run"),
        ("COSTMON_APP=trader COSTMON_JOB='the trade' python x.py", "trader", "the trade"),
        ("costmon run --app trader --job=trade -- python app.py", "trader", "trade"),
        ("costmon run --essential python -u crawl.py", "crawl", "crawl"),
        ("/usr/bin/python3 -m costmon run --app=t -- python -m foo.__main__", "t", "foo"),
        ("flock -n /tmp/lock timeout 600 python /a/b/crawl.py", "crawl", "crawl"),
        ("flock /tmp/lock -c 'python crawl.py'", "crawl", "crawl"),
        ('bash -lc "source .venv/bin/activate; python z.py"', "z", "z"),
        ("uv run --project /srv/a python sync.py", "sync", "sync"),
        ("export COSTMON_APP=abc; python x.py", "abc", "x"),
        ("nice -n 10 sudo -u bot python -W ignore b.py", "b", "b"),
        ("if [ -x /usr/bin/foo ]; then python c.py; fi", "c", "c"),
        ("KEY=$(cat /run/key) python h.py", "h", "h"),
        ("docker compose exec -T backend python job.py", "job", "job"),
        ("docker run --rm -e KEY=x trader", "trader", "trader"),
        ("/opt/bin/report.sh daily", "report.sh", "report.sh"),
        ("python -c 'print(1)'", "python", "python"),
        ("echo 'never closed", "", ""),
        ("", "", ""),
    ],
)
def test_a_job_is_named_as_the_app_names_itself(command: str, app: str, job: str) -> None:
    assert name_command(command) == (app, job)


def test_labels_in_the_table_hold_unless_the_line_says_otherwise() -> None:
    environment = {"COSTMON_APP": "trader", "COSTMON_JOB": "trade", "KEY": "sk-1"}
    assert name_command("python a.py", environment) == ("trader", "trade")
    assert name_command("costmon run --job other python a.py", environment) == ("trader", "other")


@given(st.text(max_size=300))
def test_no_text_is_too_odd(command: str) -> None:
    for name in name_command(command):
        assert name == name.strip()
        assert "\n" not in name
        assert "\x1b" not in name
