"""Which keyring counts (R75): each as the real command line in a process of its own, with backends that must not be used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.cli import COSTMON, environ
from tests.harness.venvs import ROOT

KEY = "sk-admin-canary-31c7"
_SLOW_START_S = 3
"""What an interpreter may need beyond its usual second on a busy machine."""
_MOST_S = 5 + 10
"""The keyring's limit, and what an interpreter may need to start on a busy machine."""

_FAKES = '''
"""Backends of other packages, as keyring finds them; the most eager of all."""
import os
from keyring import backend

class PlaintextKeyring(backend.KeyringBackend):
    priority = 99

    def __init__(self):
        open(os.environ["TOUCHED"], "a").write("made ")

    def get_password(self, service, user):
        open(os.environ["TOUCHED"], "a").write("read ")

    def set_password(self, service, user, password):
        open(os.environ["TOUCHED"], "a").write(password)

    def delete_password(self, service, user):
        pass

class Asking(PlaintextKeyring):
    """Asks on the terminal, as those over an encrypted file do."""
    def get_password(self, service, user):
        import getpass
        return getpass.getpass()
'''


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A user without a session bus, with a package of backends installed, which keyring by itself would choose."""
    packages = tmp_path / "packages"
    about = packages / "fakes-1.0.dist-info"
    about.mkdir(parents=True)
    (packages / "fakes.py").write_text(_FAKES)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fakes\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[keyring.backends]\nfakes = fakes\n")
    config = tmp_path / "config"
    config.mkdir()
    return environ(
        tmp_path / "home",
        PYTHONPATH=os.pathsep.join([str(packages), str(ROOT)]),
        TOUCHED=str(tmp_path / "touched"),
        HOME=str(tmp_path),
        XDG_CONFIG_HOME=str(config),
    )


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, with the key on standard input; it must be done in time."""
    began = time.monotonic()
    done = subprocess.run(
        [*COSTMON, "keys", *arguments],
        cwd=ROOT,
        env=env,
        input=KEY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - began < _MOST_S
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("", "there is no keyring on this machine"),
        ("keyring.backends.fail.Keyring", "(keyring.backends.fail.Keyring) is none that costmon trusts"),
        ("keyring.backends.null.Keyring", "(keyring.backends.null.Keyring) is none that costmon trusts"),
        ("keyring.backends.chainer.ChainerBackend", "there is no keyring on this machine"),
        ("fakes.PlaintextKeyring", "(fakes.PlaintextKeyring) is none that costmon trusts"),
        ("fakes.Asking", "(fakes.Asking) is none that costmon trusts"),
        ("keyring.backends.macOS.Keyring", "(keyring.backends.macOS.Keyring) is not on this machine"),
        ("garbage", "(garbage) is none that costmon trusts"),
    ],
)
def test_only_what_keeps_secrets_counts(machine: dict[str, str], backend: str, says: str) -> None:
    """One sentence with what to do instead; nothing is stored, and no such backend is even made."""
    env = {**machine, "PYTHON_KEYRING_BACKEND": backend} if backend else machine
    done = run(env, "set", "openai", "--no-verify")
    assert done.returncode == 2
    assert says in done.stderr
    assert "costmon keys set openai --where file" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path(env["TOUCHED"]).exists()
    assert not Path(env["COSTMON_HOME"], "config.toml").exists()


def test_a_choice_in_keyrings_own_file_is_refused_too(machine: dict[str, str]) -> None:
    """keyringrc.cfg may name a backend and a folder to load it from."""
    folder = Path(machine["XDG_CONFIG_HOME"], "python_keyring")
    folder.mkdir()
    (folder / "keyringrc.cfg").write_text("[backend]\ndefault-keyring=fakes.PlaintextKeyring\n")
    done = run(machine, "set", "openai", "--no-verify")
    assert done.returncode == 2
    assert "is none that costmon trusts" in done.stderr


def test_the_backends_are_those_keyring_would_choose(machine: dict[str, str]) -> None:
    """The control: by itself the library takes the most eager one."""
    ask = "import keyring; print(type(keyring.get_keyring()).__module__)"
    done = subprocess.run(
        [sys.executable, "-c", ask], env=machine, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() in ("fakes", "keyring.backends.chainer")
    assert Path(machine["TOUCHED"]).exists()


def test_a_bus_that_never_answers(machine: dict[str, str], tmp_path: Path) -> None:
    """It takes the connection and says nothing: given up in time, and the file works all the same."""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        bus.listen(20)
        env = {**machine, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'bus'}"}
        done = run(env, "set", "openai", "--no-verify")
        assert done.returncode == 2
        assert (
            "the session bus does not answer; log in anew and try again. Or: costmon keys set" in done.stderr
        )
        assert run(env, "set", "openai", "--no-verify", "--where", "file").returncode == 0


@pytest.mark.parametrize("sources", [0, 8])
@pytest.mark.parametrize("command", ["keys list", "doctor"])
def test_many_sources_wait_for_a_silent_bus_once(
    machine: dict[str, str], tmp_path: Path, command: str, sources: int
) -> None:
    """Up to 6 s in all, whatever the number of sources."""
    home = Path(machine["COSTMON_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text("".join(f'[source.s{at}]\nkind = "openai"\n' for at in range(sources)))
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        bus.listen(50)
        env = {**machine, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'bus'}"}
        began = time.monotonic()
        done = subprocess.run(
            [*COSTMON, *command.split()],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        took = time.monotonic() - began
    assert "out of reach" in done.stdout
    assert took < 6 + _SLOW_START_S


def test_the_file_is_there_for_those(machine: dict[str, str]) -> None:
    """What the sentence says works on the same machine."""
    env = {**machine, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    assert run(env, "set", "openai", "--no-verify", "--where", "file").returncode == 0
    assert "openai" in run(env, "list").stdout
    assert run(env, "rm", "openai").returncode == 0
