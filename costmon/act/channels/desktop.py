"""Native desktop notifications: D-Bus on Linux, else plyer, else (when allowed) the terminal's bell.

Every attempt runs in a process of its own (`child.py`) with a hard time limit: neither a hung daemon nor
notify-send can hold the caller longer than `LIMIT_S`. The text goes there through a pipe, never through
arguments.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from typing import Any

from costmon.act.channels import Delivery
from costmon.act.channels.text import clean_body, clean_title

LIMIT_S = 4.8
# Interpreter start plus the child's own 2 s with the daemon; what is left of LIMIT_S is the next backend's.
_ATTEMPT_S = 3.2
_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")
_URGENCIES = ("low", "normal", "critical")
_LINUX = sys.platform.startswith("linux")
# The child needs a session and an interpreter, and none of the API keys that lie in the engine's environment.
_PASSED = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TMPDIR", "TEMP", "TMP"),
        *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"),
        *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "LD_LIBRARY_PATH"),
        *("SYSTEMROOT", "WINDIR", "APPDATA", "LOCALAPPDATA", "USERPROFILE"),
    )
)
_PASSED_PREFIXES = ("XDG_", "LC_")


class DesktopNotifier:
    """Shows notifications on this user's desktop. Not for use by several threads at once.

    Args:
        bell: whether the terminal's bell may ring when no notification can be shown.
        backends: what to try, in order; default: D-Bus then plyer on Linux, plyer elsewhere.
    """

    def __init__(self, *, bell: bool = False, backends: tuple[str, ...] = ()) -> None:
        self._bell = bell
        self._backends = backends or (("dbus", "plyer") if _LINUX else ("plyer",))
        self._shown: dict[str, tuple[int, str]] = {}

    def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:
        """See `Notifier.send`; an unknown urgency counts as 'normal'."""
        try:
            job = self._job(title, body, urgency, replaces)
            delivery = self._try_backends(job)
        except Exception as error:
            delivery = Delivery(False, "desktop", f"no notification could be sent: {type(error).__name__}")
        return delivery if delivery.ok or not self._bell else _ring(delivery)

    def available(self) -> Delivery:
        """Which backend would be used now, found out without showing anything."""
        return self._try_backends({}, "probe-")

    def describe(self) -> str:
        """One sentence for `costmon doctor`."""
        found = self.available()
        if found.ok:
            return f"Notifications are shown by {found.detail}, through {found.channel}."
        return (
            f"No notification can be shown: {found.detail}. Run costmon inside a desktop session with a "
            "notification daemon (dunst, mako …), or set desktop = false under [notify] in the config."
        )

    def _job(self, title: str, body: str, urgency: str, replaces: str) -> dict[str, Any]:
        # Hashed: notify-send splits hints at ':', and a tag may hold a budget's name.
        tag = sha256(replaces.encode(errors="replace")).hexdigest()[:32] if replaces else ""
        shown, owner = self._shown.get(tag, (0, ""))
        return {
            "title": clean_title(title),
            "body": clean_body(body),
            "urgency": urgency if urgency in _URGENCIES else "normal",
            "tag": tag,
            "id": shown,
            "owner": owner,
        }

    def _try_backends(self, job: dict[str, Any], prefix: str = "") -> Delivery:
        until = time.monotonic() + LIMIT_S
        failures = []
        for backend in self._backends:
            remaining = until - time.monotonic()
            answer = _ask({**job, "do": prefix + backend}, min(_ATTEMPT_S, remaining))
            detail = str(answer["detail"])
            if answer["ok"]:
                if job.get("tag") and answer.get("id"):
                    self._shown[job["tag"]] = (answer["id"], answer["owner"])
                return Delivery(True, backend, detail)
            failures.append(detail)
            if answer.get("hung"):
                break
        return Delivery(False, "desktop", "; ".join(dict.fromkeys(failures)))


def _ask(job: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The child's answer to `job`, or a failure; the child's whole process group is gone afterwards."""
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            # -P: a jeepney.py in the current folder must not be imported.
            [sys.executable, "-P", "-X", "utf8", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        return {"ok": False, "detail": f"{sys.executable} cannot be started: {error.strerror}"}
    with process:
        try:
            answer, _ = process.communicate(json.dumps(job).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"ok": False, "detail": f"the desktop did not answer within {seconds:.1f} s", "hung": True}
        finally:
            _kill_group(process)
    return _parsed(answer)


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if isinstance(found, dict) and "ok" in found and "detail" in found:
        return found
    return {"ok": False, "detail": "the notification helper ended without an answer"}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        process.kill()


def _environment() -> dict[str, str]:
    passed = {k: v for k, v in os.environ.items() if k in _PASSED or k.startswith(_PASSED_PREFIXES)}
    return {**passed, "COSTMON_ENABLED": "0"}


def _ring(failure: Delivery) -> Delivery:
    """Ring the bell of the terminal we were started from, if there is one that takes it at once."""
    if sys.platform == "win32":
        return failure
    try:
        terminal = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return failure
    try:
        os.write(terminal, b"\a")
    except OSError:
        return failure
    finally:
        os.close(terminal)
    return Delivery(True, "bell", f"the terminal's bell rang, because {failure.detail}")
