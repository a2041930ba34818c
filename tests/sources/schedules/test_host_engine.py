"""A real crontab line and a real timer of `systemd --user`, as an engine that runs beside them tells of them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness.cli import environ
from tests.harness.cron import with_crontab
from tests.harness.usermanager import user_manager
from tests.harness.venvs import ROOT

_TABLE = (
    "SHELL=/bin/sh\n*/20 * * * * costmon run -- python3 /opt/news.py\n5 4 * * * python3 /opt/nobodys.py\n"
)
_UNITS = {
    "backup.service": "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 /opt/backup.py\n",
    "backup.timer": "[Timer]\nOnCalendar=02:00\n",
}
_CONFIG = (
    'time_zone = "UTC"\n\n[schedules]\ncrontab = true\nsystemd = true\n\n[jobs.backup]\ncron = "0 2 * * *"\n'
)
_DRIVER = """
import json, subprocess, time
run = dict(cwd={root!r}, env={env!r})
def jobs():
    done = subprocess.run([{python!r}, "-m", "costmon", "jobs", "--json"], capture_output=True, text=True, **run)
    return json.loads(done.stdout) if done.returncode == 0 else {{"jobs": []}}
def is_told(found):
    return {{"news", "backup"}} <= {{job["name"] for job in found["jobs"] if job["next_run"]}}
engine = subprocess.Popen([{python!r}, "-m", "costmon", "watch"], stdout=subprocess.DEVNULL, **run)
try:
    until = time.monotonic() + 40
    while not is_told(found := jobs()) and time.monotonic() < until:
        time.sleep(0.5)
finally:
    engine.terminate()
    engine.wait(20)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.system
def test_an_engine_tells_what_cron_and_systemd_run_next(costmon_home: Path, tmp_path: Path) -> None:
    """Of what runs costmon, and of the jobs the config names; what else the host runs is nobody's business here."""
    costmon_home.mkdir(mode=0o700)
    (costmon_home / "config.toml").write_text(_CONFIG)
    table = tmp_path / "table"
    table.write_text(_TABLE)
    with user_manager(_UNITS) as manager:
        manager.systemctl("start", "backup.timer")
        env = environ(costmon_home, HOME=str(tmp_path)) | {
            name: manager.env[name] for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
        }
        began = datetime.now(UTC)
        told = json.loads(with_crontab(table, _DRIVER.format(root=str(ROOT), env=env, python=sys.executable)))
    assert told["watching"] is True
    by_name = {job["name"]: job for job in told["jobs"]}
    assert sorted(by_name) == ["backup", "news"]
    news, backup = by_name["news"], by_name["backup"]
    assert (news["plan"], news["announced"][0]["source"]) == ("cron */20 * * * *", "crontab")
    assert (backup["plan"], backup["announced"][0]["plan"]) == ("cron 0 2 * * *", "timer *-*-* 02:00:00")
    assert backup["announced"][0]["source"] == "systemd"
    due = datetime.fromisoformat(news["next_run"])
    assert due.minute % 20 == 0
    assert timedelta(0) < due - began <= timedelta(minutes=21)
    at_night = datetime.fromisoformat(backup["next_run"]) - began
    assert timedelta(0) < at_night <= timedelta(hours=24, minutes=2)
