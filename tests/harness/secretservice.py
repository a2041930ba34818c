"""A private Secret Service: gnome-keyring-daemon on a session bus of its own, open or locked, and one that never answers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.harness import need
from tests.harness.desk import owned, private_environment, screen, start, start_bus, wait_for

_TREE = Path(__file__).parents[2]  # where `tests` lies, which is not where an installed costmon does
NAME = "org.freedesktop.secrets"
_PASSWORD = "opensesame"
_DAEMON = ("gnome-keyring-daemon", "--components=secrets", "--foreground")


@contextmanager
def keyring(folder: Path, *, locked: bool = False, display: bool = False) -> Iterator[dict[str, str]]:
    """The environment of a user with a keyring below `folder`; what is in it is still there the next time.

    Args:
        locked: nobody has given its password since the user came.
        display: there is a screen, on which the keyring may ask; nobody answers.
    """
    need("gnome-keyring-daemon", "dbus-daemon", "dbus-send")
    with _bus(folder, services=display, display=display) as (parts, env):
        if locked:
            start(parts, env, list(_DAEMON))
        else:
            with tempfile.TemporaryFile() as password:
                password.write(_PASSWORD.encode())
                password.seek(0)
                start(parts, env, [*_DAEMON, "--unlock"], stdin=password)
        wait_for(lambda: owned(env, NAME), "the keyring to take its name")
        if not locked:
            wait_for(lambda: _login_is_open(env), "the keyring to open")
        yield env


@contextmanager
def hung_keyring(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a user whose keyring takes its name on the bus and never answers."""
    need("dbus-daemon", "dbus-send")
    with _bus(folder) as (parts, env):
        start(parts, env, [sys.executable, "-m", "tests.harness.secretservice"], cwd=_TREE)
        wait_for(lambda: owned(env, NAME), "the hung keyring to take its name")
        yield env


@contextmanager
def no_keyring(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a user with a session bus on which nobody keeps secrets."""
    with _bus(folder) as (_, env):
        yield env


@contextmanager
def _bus(
    folder: Path, *, services: bool = False, display: bool = False
) -> Iterator[tuple[ExitStack, dict[str, str]]]:
    folder.mkdir(exist_ok=True)
    with ExitStack() as parts:
        env = private_environment(folder)
        if display:
            env["DISPLAY"] = screen(parts, env)
        env["DBUS_SESSION_BUS_ADDRESS"] = start_bus(parts, folder, env, services=services)
        yield parts, env


def _login_is_open(env: dict[str, str]) -> bool:
    question = [
        *("dbus-send", "--session", "--print-reply=literal", f"--dest={NAME}"),
        *("/org/freedesktop/secrets/aliases/default", "org.freedesktop.DBus.Properties.Get"),
        *("string:org.freedesktop.Secret.Collection", "string:Locked"),
    ]
    done = subprocess.run(question, env=env, capture_output=True, timeout=15, check=False)
    return b"boolean false" in done.stdout


def _hang() -> None:
    from jeepney import DBusAddress, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    bus = DBusAddress(
        "/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus"
    )
    connection = open_dbus_connection("SESSION")
    connection.send_and_get_reply(new_method_call(bus, "RequestName", "su", (NAME, 0)), timeout=5)
    time.sleep(300)


if __name__ == "__main__":
    _hang()
