"""What the shim noted reaches the operator: a pop-up once a day, and a line wherever the state is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costmon.act.alerts import Notice, notice_alert
from costmon.monitor.view import build_snapshot
from costmon.monitor.warner import due_alerts
from costmon.shim import notices
from costmon.shim.recorder import Recorder
from costmon.store import open_ledger
from tests.harness.cli import costmon
from tests.harness.desk import Desk, wait_for
from tests.monitor.test_warnings import engine
from tests.shim.battery import kit

SENTENCE = "trader reached api.openai.com by a path costmon does not see"


def note(home: Path, kind: str = "unseen", subject: str = "api.openai.com", app: str = "trader") -> None:
    """What a watched app does when it notices something."""
    recorder = Recorder(str(home))
    recorder.ledger.write(lambda db: None, 5.0)
    notices.forget()  # every call is a process of its own
    assert notices.note(recorder.ledger, kind, subject, app, "process 7")
    recorder.ledger.close()


@pytest.mark.system
@pytest.mark.timeout(60)
def test_unseen_traffic_pops_up_once_a_day(costmon_home: Path, desk: Desk) -> None:
    """However often it happens and the monitor restarts, the operator is told once per app, host and day."""
    note(costmon_home)
    with engine(costmon_home, desk.env):
        wait_for(lambda: desk.calls() >= 1, "the pop-up")
        note(costmon_home)
    with engine(costmon_home, desk.env):
        note(costmon_home, app="crawler")
        wait_for(lambda: desk.calls() >= 2, "the pop-up of another app")
    shown = sorted((one.title, one.body) for one in desk.history())
    assert [title for title, _ in shown] == [
        f"costmon: {SENTENCE.replace('trader', 'crawler')}",
        f"costmon: {SENTENCE}",
    ]
    assert all("neither counted nor stopped" in body and "process 7" in body for _, body in shown)
    assert desk.calls() == 2


def test_status_says_it(costmon_home: Path) -> None:
    """`costmon status` has a line for it, and `--json` its figures."""
    note(costmon_home)
    note(costmon_home)
    assert f"problem: {SENTENCE}\n" in costmon(costmon_home, "status").stdout
    (found,) = json.loads(costmon(costmon_home, "status", "--json").stdout)["notices"]
    assert (found["kind"], found["subject"], found["app"]) == ("unseen", "api.openai.com", "trader")
    assert (found["text"], found["detail"], found["times"]) == (SENTENCE, "process 7", 2)
    assert found["first_at"] <= found["last_at"]
    assert found["first_at"].endswith("Z")


def test_the_screen_says_it(costmon_home: Path) -> None:
    """The snapshot that every front end draws carries it among the problems; an unpriced model is there already."""
    note(costmon_home)
    note(costmon_home, "unpriced", "mystery-1")
    store = open_ledger(str(costmon_home))
    snapshot = build_snapshot(store, mine=False)
    assert [notice.kind for notice in snapshot.notices] == ["unpriced", "unseen"]
    assert SENTENCE in snapshot.problems
    assert not any("mystery-1" in problem for problem in snapshot.problems)
    store.close()


def test_yesterdays_news_is_no_alert(costmon_home: Path) -> None:
    """A monitor started after a week does not tell of last Monday."""
    note(costmon_home)
    old = 25 * 3600 * 1_000_000
    for ago, wanted in ((0, 1), (old, 0)):
        db = kit.connect(costmon_home)
        db.execute("update notice set last_at = last_at - ?", (ago,))
        db.close()
        store = open_ledger(str(costmon_home))
        assert len(due_alerts(store)) == wanted
        store.close()


@pytest.mark.parametrize("kind", ["unseen", "prompt", "unpriced", "breaker", "a kind of a newer shim"])
def test_every_kind_has_its_sentence(kind: str) -> None:
    """The title names the app and what it is about, whatever characters they hold."""
    alert = notice_alert(Notice(kind, "gpt-{4o}", "bot {0}", 5, "3 times"))
    assert "gpt-{4o}" in alert.title
    assert "bot {0}" in alert.title
    assert alert.body.endswith("3 times")
    assert (alert.kind, alert.subject, alert.period_at, alert.level) == (kind, "bot {0}: gpt-{4o}", 5, 0)
