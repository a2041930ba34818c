"""A real keyring (gnome-keyring-daemon on a bus of its own): open, locked, hung and absent. The real command line each time.

It answers, or says what is wrong, within 5 s of asking the keyring; and it always exits.
"""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from costmon.credentials.patience import LIMIT_S
from tests.harness.cli import COSTMON
from tests.harness.secretservice import hung_keyring, keyring, no_keyring
from tests.harness.venvs import ROOT
from tests.sources.providers.fake.openai import FAKE
from tests.sources.providers.fake.server import Server

pytestmark = pytest.mark.system

_START_S = 10
"""What an interpreter may need to start on a busy machine, beside the keyring's own limit."""


@pytest.fixture
def provider() -> Iterator[Server]:
    with Server(FAKE) as server:
        yield server


def keys(env: dict[str, str], *arguments: str, key: str = FAKE.key) -> subprocess.CompletedProcess[str]:
    """`costmon keys ARGUMENTS` as a user with `env`; it must be done in time, without a traceback, and hide the key."""
    began = time.monotonic()
    done = subprocess.run(
        [*COSTMON, "keys", *arguments],
        cwd=ROOT,
        env={**env, "COSTMON_HOME": str(Path(env["HOME"], "costmon"))},
        input=key,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - began < LIMIT_S + _START_S
    assert "Traceback" not in done.stderr
    assert key not in done.stdout + done.stderr
    # Without the line breaks of 80 columns.
    done.stdout, done.stderr = " ".join(done.stdout.split()), " ".join(done.stderr.split())
    return done


def at_once(env: dict[str, str], *commands: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Several of them side by side: each waits by itself."""
    with ThreadPoolExecutor(len(commands)) as threads:
        return list(threads.map(lambda arguments: keys(env, *arguments), commands))


def test_a_key_is_kept_between_sessions(tmp_path: Path, provider: Server) -> None:
    """Stored, used after the next login, replaced, removed."""
    with keyring(tmp_path / "user") as env:
        done = keys(env, "set", "openai", "--base-url", provider.url)
        assert "is stored in the keyring (Secret Service)" in done.stdout, done.stderr
    with keyring(tmp_path / "user") as env:
        assert keys(env, "test").stdout == "openai ok OpenAI answers"
        assert keys(env, "set", "openai", "--no-verify", key="sk-admin-other").returncode == 0
        assert "OpenAI does not know the key" in keys(env, "test").stdout
        assert keys(env, "rm", "openai").returncode == 0
        assert "there is no key of openai" in keys(env, "test").stdout


def test_a_chain_stands_for_its_member_that_counts(tmp_path: Path) -> None:
    """Chosen by the user, it does not bring its other members along."""
    with keyring(tmp_path / "user") as env:
        chained = {**env, "PYTHON_KEYRING_BACKEND": "keyring.backends.chainer.ChainerBackend"}
        assert (
            "is stored in the keyring (Secret Service)"
            in keys(chained, "set", "openai", "--no-verify").stdout
        )
        assert "there is no key of that name" not in keys(env, "rm", "openai").stderr


@pytest.mark.parametrize("display", [False, True], ids=["no display", "with a display"])
@pytest.mark.slow
def test_a_locked_keyring_is_said(tmp_path: Path, provider: Server, display: bool) -> None:
    """Without a screen at once; with one, on which nobody answers its window, within the limit."""
    with keyring(tmp_path / "user") as env:
        assert keys(env, "set", "openai", "--base-url", provider.url).returncode == 0
    before = len(provider.journal)
    with keyring(tmp_path / "user", locked=True, display=display) as env:
        says = "the keyring has not answered for 5 s" if display else "the keyring is locked"
        for done in at_once(env, ["test"], ["set", "openai"], ["rm", "openai"]):
            assert done.returncode != 0
            assert f"{says}; unlock it and try again" in done.stdout + done.stderr
        began = time.monotonic()
        shown = keys(env, "list").stdout  # asks nobody to unlock anything
        assert "the keyring is locked" in shown
        assert display is False or time.monotonic() - began < LIMIT_S
    assert len(provider.journal) == before


def test_a_keyring_that_was_never_opened(tmp_path: Path) -> None:
    """A new user without a screen: nothing is there, and nothing can be stored."""
    with keyring(tmp_path / "user", locked=True) as env:
        done = keys(env, "set", "openai", "--no-verify")
        assert "the keyring could not be opened" in done.stderr
        assert "--where file" in done.stderr
        assert "No key and no source yet" in keys(env, "list").stdout


@pytest.mark.slow
def test_a_hung_keyring_is_given_up(tmp_path: Path) -> None:
    """Every command; a list of all kinds waits once, not once a kind."""
    with hung_keyring(tmp_path / "user") as env:
        *refused, listed, stored = at_once(
            env,
            ["set", "openai", "--no-verify"],
            ["rm", "openai"],
            ["list"],
            ["set", "xai", "--no-verify", "--where", "file", "--option", "team=1"],
        )
        for done in refused:
            assert "the keyring has not answered for 5 s" in done.stdout + done.stderr
            assert done.returncode != 0
        assert listed.returncode == 0, listed.stderr
        assert stored.returncode == 0, stored.stderr


@pytest.mark.slow
def test_an_engine_lives_with_a_hung_keyring(tmp_path: Path) -> None:
    """`costmon watch` says why it cannot poll, asks the keyring one question only, and ends when it is told to."""
    with hung_keyring(tmp_path / "user") as env:
        home = Path(env["HOME"], "costmon")
        home.mkdir()
        (home / "config.toml").write_text("[source.openai]\n\n[source.deepseek]\n")
        engine = subprocess.Popen(
            [*COSTMON, "watch"],
            cwd=ROOT,
            env={**env, "COSTMON_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            reasons: dict[str, str] = {}
            until = time.monotonic() + LIMIT_S + 3 * _START_S
            while len(reasons) < 2 and time.monotonic() < until:
                time.sleep(0.1)
                reasons = _reasons(home)
            assert sorted(reasons) == ["deepseek", "openai"]
            assert all("the keyring has not answered for 5 s" in reason for reason in reasons.values())
            names = [thread.name for thread in Path(f"/proc/{engine.pid}/task").iterdir()]
            assert len(names) < 12
            began = time.monotonic()
            engine.terminate()
            engine.wait(20)
            assert time.monotonic() - began < LIMIT_S
        finally:
            engine.kill()
            engine.wait()


def _reasons(home: Path) -> dict[str, str]:
    """Why sources could not be read, by name."""
    ledger = home / "ledger.db"
    if not ledger.exists():
        return {}
    with closing(sqlite3.connect(ledger, timeout=5)) as db:
        try:
            return dict(db.execute("select name, reason from source where reason != ''").fetchall())
        except sqlite3.OperationalError:  # it is being made
            return {}


def test_no_keyring_on_the_bus(tmp_path: Path) -> None:
    """Said at once, with what else there is."""
    with no_keyring(tmp_path / "user") as env:
        done = keys(env, "set", "openai", "--no-verify")
        assert "there is no keyring on this machine" in done.stderr
        assert "--where file" in done.stderr
        assert keys(env, "set", "openai", "--no-verify", "--where", "file").returncode == 0
