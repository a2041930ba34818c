"""Desktop notifications through real parts: dunst, a bus without a daemon, hung and failing ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path

import pytest

from costmon.act.channels import Delivery
from costmon.act.channels.desktop import DesktopNotifier
from costmon.act.channels.none import NullNotifier
from costmon.act.channels.text import clean_body, clean_title
from tests.act import hung_daemon
from tests.harness import need
from tests.harness.desk import Desk, desktop, owned, start, start_bus, wait_for

HOSTILE = [
    "-x",
    "--help",
    "<b>bold</b> & <i>",
    "\"double\" 'single' \\ `touch x`",
    "$(touch x); touch x | touch x",
    "%s %n {0}",
    "₩15,000 — 日本語 👩‍💻",
]


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """A session bus on which no notification daemon runs, as this test's own; yields what ends with it."""
    with ExitStack() as parts:
        address = start_bus(parts, tmp_path, dict(os.environ))
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield parts


@pytest.fixture
def no_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def fake_notify_send(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "notify-send"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def timed(notifier: DesktopNotifier) -> tuple[Delivery, float]:
    before = time.monotonic()
    return notifier.send("title", "body", "normal"), time.monotonic() - before


@pytest.mark.system
@pytest.mark.parametrize("backend", ["dbus", "plyer"])
def test_hostile_text_is_shown_literally(
    desk: Desk, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names with dashes, markup, quotes or shell code appear as they are written; nothing is executed."""
    need("notify-send")
    monkeypatch.chdir(tmp_path)
    notifier = DesktopNotifier(backends=(backend,))
    for text in HOSTILE:
        delivery = notifier.send(text, text, "critical")
        assert (delivery.ok, delivery.channel) == (True, backend), delivery
    shown = desk.history()
    assert [one.title for one in shown] == HOSTILE
    assert [unescape(one.body) for one in shown] == HOSTILE
    assert {one.urgency for one in shown} == {"critical"}
    assert {one.app for one in shown} == {"costmon"}
    assert not (tmp_path / "x").exists()


@pytest.mark.system
@pytest.mark.parametrize("backend", ["dbus", "plyer"])
def test_control_characters_and_10_mb_are_cut(desk: Desk, backend: str) -> None:
    """NUL, escape sequences, bidi overrides, half characters and 10 MB of text give a short, clean pop-up."""
    need("notify-send")
    notifier = DesktopNotifier(backends=(backend,))
    assert notifier.send("a\0b\x1b]52;c;x\x07\ud800", "x" * 10_000_000, "low").ok
    assert notifier.send("", "\u202eabc\nsecond\x9b2J", "nonsense").ok
    first, second = desk.history()
    assert (first.title, len(first.body), first.urgency) == ("ab]52;c;x", 1000, "low")
    assert (second.title, second.body, second.urgency) == ("costmon", "abc\nsecond2J", "normal")


@pytest.mark.system
def test_a_daemon_without_markup_gets_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the daemon shows plain text only, an ampersand is an ampersand and not its escape."""
    with desktop(tmp_path, markup="no") as desk:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", desk.env["DBUS_SESSION_BUS_ADDRESS"])
        assert DesktopNotifier().send("R&D", "<R&D>", "low").ok
        assert [(one.title, one.body) for one in desk.history()] == [("R&D", "<R&D>")]


@pytest.mark.system
def test_the_pop_up_is_on_the_screen(desk: Desk, tmp_path: Path) -> None:
    """A notification is on the screen (COSTMON_TEST_PICTURES=FOLDER keeps the picture)."""
    need("import")
    desk.screenshot(tmp_path / "before.png")
    body = "Spent $0.10 of $0.10 today (100 %). All calls of app=<i>R&D</i> are refused until 00:00."
    assert DesktopNotifier().send('costmon: budget "a<b>&c" reached 100 %', body, "critical").ok
    desk.screenshot(tmp_path / "after.png")
    assert (tmp_path / "after.png").read_bytes() != (tmp_path / "before.png").read_bytes()
    keep = os.environ.get("COSTMON_TEST_PICTURES")
    if keep:
        (Path(keep) / "popup.png").write_bytes((tmp_path / "after.png").read_bytes())


@pytest.mark.system
@pytest.mark.parametrize("new_process", [False, True])
def test_the_same_tag_replaces(desk: Desk, new_process: bool) -> None:
    """A repeated alert replaces its pop-up, also when another process repeats it."""
    notifier = DesktopNotifier()
    assert notifier.send("first", "", "critical", "budget:total/90").ok
    again = DesktopNotifier() if new_process else notifier
    assert again.send("second", "", "critical", "budget:total/90").ok
    assert again.send("other", "", "critical", "budget:total/95").ok
    assert [one.title for one in desk.history()] == ["second", "other"]
    assert desk.calls() == 3


@pytest.mark.system
def test_doctor_names_the_daemon_without_a_pop_up(desk: Desk) -> None:
    """`doctor` says which daemon would show notifications, and shows none."""
    sentence = DesktopNotifier().describe()
    assert sentence.startswith("Notifications are shown by dunst 1.")
    assert sentence.endswith(", through dbus.")
    assert (desk.calls(), desk.history()) == (0, [])


@pytest.mark.system
def test_a_bus_without_a_daemon_is_a_clear_failure(bus: ExitStack) -> None:
    """Where no notification daemon runs the result says so, within 5 s, and doctor says what to do."""
    delivery, seconds = timed(DesktopNotifier())
    assert not delivery.ok
    assert delivery.detail.startswith("no notification daemon runs on the session bus; notify-send ")
    assert seconds < 5
    assert "no notification daemon runs" in DesktopNotifier(backends=("dbus",)).describe()
    assert "[notify]" in DesktopNotifier(backends=("dbus",)).describe()


@pytest.mark.system
@pytest.mark.slow
def test_a_hung_daemon_costs_at_most_5_s(bus: ExitStack) -> None:
    """A daemon that owns its name and never answers ends in a clear failure within 5 s."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    start(bus, env, [sys.executable, hung_daemon.__file__])
    wait_for(lambda: owned(dict(os.environ)), "the hung daemon")
    delivery, seconds = timed(DesktopNotifier())
    assert delivery == Delivery(False, "desktop", "the notification daemon did not answer within 2 s")
    assert seconds < 5
    by_plyer, seconds = timed(DesktopNotifier(backends=("plyer",)))
    assert not by_plyer.ok
    assert seconds < 5


@pytest.mark.system
def test_a_stopped_bus_costs_at_most_5_s(
    no_bus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session bus that accepts and never answers ends in a clear failure within 5 s."""
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "bus"))
        listening.listen()
        delivery, seconds = timed(DesktopNotifier())
    assert delivery == Delivery(False, "desktop", "the session bus did not answer within 1 s")
    assert seconds < 5


def test_no_bus_at_all_is_a_clear_failure(
    no_bus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without a desktop the result names the missing variable."""
    fake_notify_send(tmp_path, monkeypatch, "echo 'Cannot autolaunch D-Bus' >&2; exit 1")
    delivery, seconds = timed(DesktopNotifier())
    assert not delivery.ok
    assert "there is no session bus (DBUS_SESSION_BUS_ADDRESS is not set" in delivery.detail
    assert "notify-send failed with 1: Cannot autolaunch D-Bus" in delivery.detail
    assert seconds < 5


def test_a_hung_notify_send_is_killed_with_its_children(
    no_bus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notify-send that never ends is stopped within 5 s and leaves no process behind."""
    fake_notify_send(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 300")
    delivery, seconds = timed(DesktopNotifier())
    assert not delivery.ok
    assert "did not answer within" in delivery.detail
    assert seconds < 5
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not _alive(pid), "notify-send to die")


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_text_reaches_notify_send_after_its_options(
    no_bus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Title and body come last, after `--`, so that no text is ever taken for an option."""
    fake_notify_send(tmp_path, monkeypatch, f'printf "%s\\n" "$@" > {tmp_path}/argv')
    delivery = DesktopNotifier().send("-u", "--hint=x", "critical", "tag")
    assert (delivery.ok, delivery.channel) == (True, "plyer")
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv[-3:] == ["--", "-u", "--hint=x"]
    assert argv[argv.index("-u") + 1] == "critical"


def test_keys_in_the_environment_stay_here(
    no_bus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that show notifications never see an API key of the monitor's environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    fake_notify_send(tmp_path, monkeypatch, f"env > {tmp_path}/env")
    assert DesktopNotifier().send("title", "body", "normal").ok
    assert "canary" not in (tmp_path / "env").read_text()


def test_a_module_in_the_current_folder_is_not_run(
    no_bus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file jeepney.py or json.py in the folder where costmon was started is not executed."""
    (tmp_path / "jeepney.py").write_text("open('ran', 'w')")
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    DesktopNotifier().send("title", "body", "normal")
    assert not (tmp_path / "ran").exists()


def test_an_interpreter_that_is_gone_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the environment was deleted under a running monitor, sending fails in one sentence."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    delivery = DesktopNotifier().send("title", "body", "normal")
    assert delivery == Delivery(
        False, "desktop", "/nonexistent/python cannot be started: No such file or directory"
    )


def test_the_bell_rings_only_when_allowed(tmp_path: Path) -> None:
    """With `bell` a terminal without a desktop rings; without it, or without a terminal, nothing does."""
    code = (
        "from costmon.act.channels.desktop import DesktopNotifier as N;"
        "print(N(bell=True).send('t','b','low')[:2], N().send('t','b','low')[:2])"
    )
    env = {
        "PATH": "",
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    assert _in_terminal(code, env) == b"\a(True, 'bell') (False, 'desktop')\r\n"
    silent = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, start_new_session=True, check=True
    )
    assert silent.stdout == b"(False, 'desktop') (False, 'desktop')\n"


def _in_terminal(code: str, env: dict[str, str]) -> bytes:
    """What the program writes to a terminal of its own."""
    # In a process of its own: a fork of this one, which may have threads, would warn.
    spawn = "import pty, sys; pty.spawn(sys.argv[1:])"
    command = [sys.executable, "-c", spawn, sys.executable, "-c", code]
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


def test_turned_off_is_a_success_that_shows_nothing() -> None:
    """With desktop = false an alert is done without a pop-up, and is not retried."""
    delivery = NullNotifier().send("title", "body", "critical")
    assert (delivery.ok, delivery.channel) == (True, "none")


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        ("a\x00b\x1b[31mc\x9f", "ab[31mc", "ab[31mc"),
        ("one\ntwo\u2028three\tfour", "one two three four", "one\ntwo\nthree four"),
        ("\u202e\u2066evil\ufeff\U000e0041", "evil", "evil"),
        ("👩\u200d💻 \ud83d", "👩\u200d💻", "👩\u200d💻"),
        (" \x00 ", "costmon", ""),
        ("x" * 5000, "x" * 199 + "…", "x" * 999 + "…"),
    ],
)
def test_text_is_cleaned(text: str, title: str, body: str) -> None:
    """Only visible text remains: one bounded line as title, bounded lines as body."""
    assert clean_title(text) == title
    assert clean_body(text) == body
