"""The short-lived process that talks to the desktop, so that a hung D-Bus or notify-send freezes nobody else.

Run by path, by `desktop.py`. It imports nothing of costmon, so it starts the same in a wheel, a checkout and
an editable install. One JSON object on stdin:

    {"do": "dbus" | "plyer" | "probe-dbus" | "probe-plyer",
     "title": str, "body": str, "urgency": "low" | "normal" | "critical", "tag": str, "id": int, "owner": str}

and one on stdout: {"ok": bool, "detail": str, "hung": bool, "id": int, "owner": str}. `id` and `owner` (the
daemon's unique bus name) say which notification to replace; an id means nothing to another daemon.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from html import escape
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

NAME = "org.freedesktop.Notifications"
APP = "costmon"
DAEMON_S = 2.0
_LINUX = sys.platform.startswith("linux")
_URGENCY = {"low": 0, "normal": 1, "critical": 2}
# A critical notice stays until it is read (0 = never expires), the others go after 10 s.
_EXPIRE_MS = {"low": 10_000, "normal": 10_000, "critical": 0}
_ICON = {"low": "dialog-information", "normal": "dialog-warning", "critical": "dialog-error"}
_NO_DAEMON = frozenset(
    {
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
    }
)

Answer = dict[str, Any]


class NotShownError(Exception):
    """Nothing was shown; the text says why. `hung` means that trying another way would hang as well."""

    def __init__(self, detail: str, *, hung: bool = False) -> None:
        super().__init__(detail)
        self.hung = hung


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    answer_to = _swallow_output()
    try:
        answer = {"ok": True, **_DO[job["do"]](job)}
    except NotShownError as failure:
        answer = {"ok": False, "detail": str(failure), "hung": failure.hung}
    except Exception as error:  # whatever plyer, jeepney or the system come up with
        answer = {"ok": False, "detail": f"{type(error).__name__}: {str(error)[:200]}"}
    os.write(answer_to, json.dumps(answer).encode())


def _swallow_output() -> int:
    """Point stdout and stderr at nothing (plyer and notify-send write there); return the real stdout."""
    real = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    return real


def session_bus() -> str:
    """The session bus's address. Raises NotShownError when there is none."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "")
    if address:
        return address
    # Cron, ssh and containers often lack the variable although the user's bus runs in its usual place.
    path = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "bus")
    if os.path.exists(path):
        return f"unix:path={path}"
    raise NotShownError(
        f"there is no session bus (DBUS_SESSION_BUS_ADDRESS is not set and {path} does not exist)"
    )


class Daemon:
    """The notification daemon over D-Bus: one connection, one deadline for everything."""

    def __init__(self) -> None:
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = address = session_bus()
        try:
            from jeepney import DBusAddress
            from jeepney.io.blocking import open_dbus_connection
        except ImportError as error:
            raise NotShownError("the package jeepney is not installed") from error
        self._deadline = time.monotonic() + DAEMON_S
        self._address = DBusAddress("/org/freedesktop/Notifications", bus_name=NAME, interface=NAME)
        self.owner = ""
        try:
            self._connection = open_dbus_connection("SESSION", auth_timeout=1.0)
        except TimeoutError as error:
            raise NotShownError("the session bus did not answer within 1 s", hung=True) from error
        except Exception as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise NotShownError(f"the session bus at {address[:120]} cannot be used: {reason}") from error

    def call(self, method: str, signature: str | None = None, arguments: tuple[object, ...] = ()) -> Any:
        """The reply's body. Raises NotShownError."""
        from jeepney import HeaderFields, MessageType, new_method_call

        message = new_method_call(self._address, method, signature, arguments)
        remaining = max(0.0, self._deadline - time.monotonic())
        try:
            reply = self._connection.send_and_get_reply(message, timeout=remaining)
        except TimeoutError as error:
            raise NotShownError(
                f"the notification daemon did not answer within {DAEMON_S:g} s", hung=True
            ) from error
        if reply.header.message_type is MessageType.error:
            raise _refusal(str(reply.header.fields.get(HeaderFields.error_name, "")), reply.body)
        self.owner = str(reply.header.fields.get(HeaderFields.sender, ""))
        return reply.body

    def describe(self) -> str:
        """The daemon's name and version, such as 'dunst 1.9.0'."""
        name, _vendor, version, _spec = self.call("GetServerInformation")
        return f"{name} {version}"[:80]


def _refusal(name: str, body: object) -> NotShownError:
    if name in _NO_DAEMON:
        return NotShownError("no notification daemon runs on the session bus")
    text = str(body[0])[:200] if isinstance(body, tuple) and body else ""
    return NotShownError(
        f"the notification daemon refused: {name} {text}".rstrip(), hung=name.endswith(".NoReply")
    )


def by_dbus(job: Answer) -> Answer:
    """Show the notification through the daemon itself, and report its id."""
    daemon = Daemon()
    server = daemon.describe()
    (capabilities,) = daemon.call("GetCapabilities")
    body = escape(job["body"], quote=False) if "body-markup" in capabilities else job["body"]
    urgency = job["urgency"]
    hints = {"urgency": ("y", _URGENCY[urgency])}
    if job["tag"]:
        # Replaces by name what an engine that crashed had shown; the id is known only to the living one.
        hints["x-dunst-stack-tag"] = ("s", job["tag"])
    replaced = job["id"] if job["owner"] == daemon.owner else 0
    arguments: tuple[object, ...] = (
        APP,
        replaced,
        _ICON[urgency],
        job["title"],
        body,
        [],
        hints,
        _EXPIRE_MS[urgency],
    )
    (shown,) = daemon.call("Notify", "susssasa{sv}i", arguments)
    return {"detail": f"shown by {server}", "id": shown, "owner": daemon.owner}


def probe_dbus(_job: Answer) -> Answer:
    return {"detail": Daemon().describe()}


def by_plyer(job: Answer) -> Answer:
    """Show the notification through plyer, its traps on Linux avoided."""
    if _LINUX:
        return _plyer_on_linux(job)
    from plyer import notification

    notification.notify(title=job["title"], message=job["body"], app_name=APP, timeout=2)
    return {"detail": f"handed to the system by plyer ({sys.platform})"}


def _plyer_on_linux(job: Answer) -> Answer:
    # plyer's own choice takes any machine with a folder /app for a flatpak and splices the text into a gdbus
    # command there; so we choose. It ignores notify-send's exit status; so we look at it.
    from plyer.platforms.linux import notification as linux

    _forbid_bus_launch()
    if _has_dbus_python():
        linux.NotifyDbus()._notify(**_dbus_python_arguments(job))
        return {"detail": "shown through plyer (dbus-python)"}
    if not shutil.which("notify-send"):
        raise NotShownError("notify-send is not installed")
    linux.subprocess = SimpleNamespace(call=_notify_send)
    linux.NotifySendNotification()._notify(
        title=job["title"],
        # notify-send reads backslash escapes in the body, and only there.
        message=escape(job["body"], quote=False).replace("\\", "\\\\"),
        icon=_ICON[job["urgency"]],
        urgency=job["urgency"],
        app_name=APP,
        expire_time=str(_EXPIRE_MS[job["urgency"]]),
        hint=f"string:x-dunst-stack-tag:{job['tag']}",
    )
    return {"detail": "shown through plyer (notify-send)"}


def _dbus_python_arguments(job: Answer) -> Answer:
    dbus = import_module("dbus")
    hints = {"urgency": dbus.Byte(_URGENCY[job["urgency"]]), "x-dunst-stack-tag": job["tag"]}
    seconds = _EXPIRE_MS[job["urgency"]] // 1000
    body = escape(job["body"], quote=False)
    return {"title": job["title"], "message": body, "app_name": APP, "hints": hints, "timeout": seconds}


def _notify_send(arguments: list[str]) -> None:
    """Run plyer's command line with its options first, so that text beginning with '-' stays text."""
    program, title, message, *options = arguments
    command = [program, *options, "--", title, message]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotShownError(
            f"notify-send failed with {done.returncode}: {said[-1][:200] if said else 'no message'}"
        )


def _forbid_bus_launch() -> None:
    """Without a bus, libnotify would start a stray one for itself (dbus-launch); forbid that."""
    try:
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = session_bus()
    except NotShownError:
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = "disabled:"


def _has_dbus_python() -> bool:
    return find_spec("dbus") is not None


def probe_plyer(_job: Answer) -> Answer:
    if not find_spec("plyer"):
        raise NotShownError("the package plyer is not installed")
    if not _LINUX:
        return {"detail": f"plyer ({sys.platform})"}
    session_bus()
    if _has_dbus_python():
        return {"detail": "plyer (dbus-python)"}
    if not shutil.which("notify-send"):
        raise NotShownError("notify-send is not installed")
    return {"detail": "plyer (notify-send)"}


_DO = {"dbus": by_dbus, "plyer": by_plyer, "probe-dbus": probe_dbus, "probe-plyer": probe_plyer}

if __name__ == "__main__":
    main()
