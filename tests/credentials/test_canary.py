"""R74: a canary key through every path, then searched everywhere: 0 hits but in the one file, or keyring, that keeps it."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pytest
from rich.console import Console
from rich.traceback import Traceback

from costmon.config.values import Source
from costmon.credentials import Entry, Secret, files
from costmon.credentials.patience import Patience
from costmon.errors import CostmonError
from costmon.sources.providers import access
from costmon.sources.providers.protocol import Client, Kind, Reading, Settings, Window
from tests.credentials.canary import KEY, files_with_hits, forms, hits, processes
from tests.harness.cli import COSTMON, environ
from tests.harness.desk import desktop
from tests.harness.secretservice import keyring
from tests.harness.terminal import terminal
from tests.harness.venvs import ROOT
from tests.sources.providers.fake import Answer, Request
from tests.sources.providers.fake.bill import Bill
from tests.sources.providers.fake.openai import FAKE, OpenAI
from tests.sources.providers.fake.server import Server


class Echo:
    """A provider that repeats the key wherever it can: body, headers, the address it sends on to."""

    kind, key, wrong_key, options, days = "openai", KEY, "", {}, True

    def __init__(self) -> None:
        self.status = 401
        self.form = "json"

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        given = request.headers.get("authorization", "")
        assert given == f"Bearer {KEY}"
        message = f"Incorrect API key provided: {KEY}. {given} Missing scopes: api.usage.read"
        bodies: dict[str, Any] = {
            "json": {
                "error": {"message": message, "code": KEY, "type": KEY, "param": KEY},
                KEY: KEY,
                "data": KEY,
            },
            "html": f"<html>{message}</html>".encode(),
            "text": message.encode(),
            "wrong": {
                "data": [{"start_time": KEY, "end_time": KEY, "results": [{"amount": KEY}]}],
                "has_more": KEY,
            },
            "cursor": {"data": [], "has_more": True, "next_page": KEY},
        }
        headers = {
            "x-request-id": KEY, "retry-after": KEY, "location": f"/v1/{KEY}?key={KEY}", "set-cookie": f"key={KEY}",
            "www-authenticate": f'Bearer realm="{KEY}"',
        }  # fmt: skip
        return Answer(bodies[self.form], self.status, headers)


@pytest.fixture
def echo() -> Iterator[tuple[Echo, Server]]:
    fake = Echo()
    with Server(fake) as server:
        yield fake, server


class Room:
    """A user's machine below one folder: runs the real command line and keeps all that was said."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.said = folder, ""
        self.env = {
            **env,
            "COSTMON_HOME": str(folder / "costmon"),
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir(parents=True)

    def run(self, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
        """`costmon ARGUMENTS` with the key on standard input."""
        process = subprocess.Popen(
            [*COSTMON, *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            seen = b"".join(data for _, data in processes(process.pid))
            out, err = process.communicate(key + "\n", timeout=90)
        self.said += out + err
        assert hits(seen) == []
        assert hits(out + err) == [], (arguments, out, err)
        assert "Traceback" not in err, (arguments, err)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def check(self, *, kept_in: Path | None = None) -> None:
        """The key is in no file but that one."""
        expected = {str(kept_in): hits(kept_in.read_bytes())} if kept_in else {}
        assert files_with_hits(self.folder) == expected


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "user", environ("", PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring"))


def test_the_search_finds_what_leaks(tmp_path: Path) -> None:
    """The control: a planted leak in every form is found, in files, in ledgers' journals, in names, in processes."""
    for name, form in forms().items():
        assert name in hits(b"x" + form + b"y")
    for before in (b"", b"a", b"ab", b"abc"):
        assert any(
            name.startswith("base64") for name in hits(base64.b64encode(before + KEY.encode() + b"tail"))
        )
    (tmp_path / "ledger.db-wal").write_bytes(b"\0" + KEY[-8:].encode())
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "log").write_text("https://x/?k=" + quote(KEY, safe=""))
    assert len(files_with_hits(tmp_path)) == 2
    child = subprocess.Popen([sys.executable, "-c", "input()", KEY], stdin=subprocess.PIPE, env={"K": KEY})
    with child:
        seen = dict(processes(child.pid))
        child.communicate(b"\n", timeout=30)
    assert [hits(data) != [] for data in seen.values()] == [True, True]


@pytest.mark.slow
def test_through_the_commands(room: Room, echo: tuple[Echo, Server]) -> None:
    """Set (refused and stored untried), list, test, poll, status, reconcile, doctor, rm, while the server echoes the key."""
    fake, server = echo
    kept = room.folder / "costmon" / "keys" / "openai"
    assert room.run("keys", "set", "openai", "--where", "file", "--base-url", server.url).returncode == 2
    room.check()
    room.run("keys", "set", "openai", "--where", "file", "--base-url", server.url, "--no-verify")
    fake.status, fake.form = 302, "html"
    assert room.run("keys", "test").returncode == 1
    for status, form in ((401, "json"), (200, "wrong")):
        fake.status, fake.form = status, form
        assert room.run("poll", "--once", "--json").returncode == 1
    for command in ("keys list --json", "status --json", "reconcile --json", "doctor"):
        room.run(*command.split())
    assert len(server.journal) >= 4
    room.check(kept_in=kept)
    assert room.run("keys", "rm", "openai").returncode == 0
    room.check()


class Billing(OpenAI):
    """A provider that takes the key, has billed what no app logged, and repeats the key in every header it can."""

    key = KEY

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        body, status, _ = super().answer(request, bill, now)
        assert status == 200
        return Answer(body, 200, Echo().answer(request, bill, now).headers)


SPOKEN = {
    "as it is": KEY,
    "upper case": KEY.upper(),
    "lower case": KEY.lower(),
    "- for _ and back": KEY.replace("-", "_"),
    "url-encoded": quote(KEY, safe=""),
    "url-encoded, small": quote(KEY, safe="").lower(),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of more": base64.urlsafe_b64encode(f"ab:{KEY}".encode()).decode(),
    "hex": KEY.encode().hex(),
    "last 8": KEY[-8:],
}


class Naming(OpenAI):
    """A provider that takes the key and names projects, keys, models and line items after it, each in another form."""

    key = KEY

    def answer(self, request: Request, bill: Bill, now: datetime) -> Answer:
        body, status, _ = super().answer(request, bill, now)
        assert status == 200
        rows = [row for bucket in body["data"] for row in bucket["results"]]
        for at, row in enumerate(rows):
            spoken = list(SPOKEN.values())[at % len(SPOKEN)]
            row |= {"project_id": f"proj_{spoken}", "api_key_id": spoken, "line_item": f"{spoken}, input"}
            row |= {"model": spoken} if "model" in row else {}
            row[spoken] = spoken
        return Answer(body)


def stored(room: Room) -> str:
    """Every row of the ledger as text."""
    with closing(sqlite3.connect(room.folder / "costmon" / "ledger.db")) as db:
        return "\n".join(db.iterdump())


@pytest.fixture
def asked(room: Room) -> Iterator[tuple[Room, Server]]:
    """A machine with the key stored, and a provider that takes it; afterwards it is nowhere else, in no form."""
    bill = Bill()
    for at in range(len(SPOKEN)):
        bill.spend(datetime.now(UTC).date(), "0.5", f"model-{at}")
    with Server(Naming(), bill) as server:
        room.run("keys", "set", "openai", "--where", "file", "--base-url", server.url, "--no-verify")
        yield room, server
    said = f"{room.said}\n{stored(room)}"
    assert [name for name, spoken in SPOKEN.items() if spoken.casefold() in said.casefold()] == []
    room.check(kept_in=room.folder / "costmon" / "keys" / "openai")


@pytest.mark.slow
def test_a_provider_that_names_things_after_the_key(asked: tuple[Room, Server]) -> None:
    """The amounts are kept to the cent, the names are not: neither in the ledger nor in what is printed."""
    room, _ = asked
    assert room.run("poll", "--once", "--json").returncode == 0
    for command in ("status --json", "reconcile --json", "reconcile", "doctor"):
        said = room.run(*command.split()).stdout
        assert "5" in said
    with closing(sqlite3.connect(room.folder / "costmon" / "ledger.db")) as db:
        assert db.execute("select sum(amount) from figure").fetchone() == (5 * 10**9,)
    assert "•••" in stored(room)


@pytest.mark.slow
def test_a_field_twice_or_a_redirect_that_is_the_key(asked: tuple[Room, Server]) -> None:
    """Neither is named, as JSON escapes it or in part, while one that has nothing of it is (the control)."""
    room, server = asked
    twice = ("sk_admin_Canary_9f_3_Qz_tR7_wXyK", KEY, KEY[-8:], "\\u0073k" + KEY[2:])
    server.faults += [Answer(f'{{"{name}": 1, "{name}": 2}}'.encode()) for name in twice]
    for _ in twice:
        assert "has a field twice" in room.run("keys", "test", "--json").stdout
    server.faults.append(Answer(b'{"results": 1, "results": 2}'))
    assert 'has the field \\"results\\" twice' in room.run("keys", "test", "--json").stdout
    hosts = (
        "sk-admin-canary9f3qztr7wxyk",
        "a.tr7wxyk",
        "SK_ADMIN_Canary_9f_3_Qz_tR7_wXyK",
        f"{'x' * 93}.tr7wxyk",
    )
    server.faults += [Answer(b"", 302, {"location": f"https://{host}.evil.example/"}) for host in hosts]
    for _ in hosts:
        assert "sends costmon on to another place" in room.run("keys", "test", "--json").stdout
    server.faults.append(Answer(b"", 302, {"location": "https://login.example/"}))
    assert "sends costmon on to login.example" in room.run("poll", "--once", "--json").stdout
    assert not server.faults


@pytest.mark.system
@pytest.mark.slow
def test_through_an_engine(tmp_path: Path) -> None:
    """`costmon watch` polls with the key and pops up an alert: its command line, environment and children, its words, the
    ledger and its journal, and what went over the desktop's bus."""
    bill = Bill()
    bill.spend(datetime.now(UTC).date(), "5", "gpt-5-mini")
    with Server(Billing(), bill) as server, desktop(tmp_path) as desk:
        room = Room(
            tmp_path / "user", {**desk.env, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
        )
        kept = room.folder / "costmon" / "keys" / "openai"
        set_up = room.run("keys", "set", "openai", "--where", "file", "--base-url", server.url)
        assert set_up.returncode == 0, set_up.stderr
        seen, out = b"", b""
        with subprocess.Popen(
            [*COSTMON, "watch"],
            cwd=ROOT,
            env=room.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as engine:
            until = time.monotonic() + 30
            while not desk.calls() and time.monotonic() < until:
                seen += b"".join(data for _, data in processes(engine.pid))
                time.sleep(0.02)
            assert (room.folder / "costmon" / "ledger.db-wal").exists()
            assert files_with_hits(tmp_path) == {str(kept): hits(kept.read_bytes())}
            engine.terminate()
            out, _ = engine.communicate(timeout=30)
        assert "openai billed $5.00" in desk.history()[0].title, out
        assert seen
        assert hits(seen) == []
        assert hits(out) == []
        assert files_with_hits(tmp_path) == {str(kept): hits(kept.read_bytes())}


@pytest.mark.system
def test_typed_into_a_terminal(room: Room) -> None:
    """The prompt shows nothing of it, nor does the screen afterwards."""
    with Server(FAKE) as server:
        command = [
            *COSTMON,
            "keys",
            "set",
            "openai",
            "--where",
            "file",
            "--no-verify",
            "--base-url",
            server.url,
        ]
        script = [sys.executable, "-c", f"import subprocess; subprocess.run({command!r}); input('done ')"]
        with terminal(script, room.env, str(ROOT)) as shown:
            shown.wait_for("Key (it is not shown)")
            shown.press(KEY, "Enter")
            shown.wait_for("done")
            screen = shown.text()
    assert "is stored in" in screen
    assert hits(screen.replace("\n", "")) == []
    room.check(kept_in=room.folder / "costmon" / "keys" / "openai")


@pytest.mark.system
@pytest.mark.slow
def test_in_a_real_keyring(tmp_path: Path) -> None:
    """Nothing in clear anywhere below the user's home, the keyring's own files included."""
    with Server(FAKE) as server, keyring(tmp_path / "user") as env:
        room = Room(tmp_path / "user" / "space", env)
        room.run("keys", "set", "openai", "--no-verify", "--base-url", server.url)
        assert "the key: it is mistyped" not in room.run("keys", "list").stdout
        room.run("keys", "test")
        assert len(server.journal) == 1  # with the key
        assert files_with_hits(tmp_path) == {}


# --- exceptions whose traceback shows locals, as Textual's crash report does ---


def shown(error: BaseException) -> str:
    """The error as Rich shows it with every local variable, and as Python does, with what it was raised from."""
    assert error.__traceback__ is not None
    error.with_traceback(error.__traceback__.tb_next)  # without the test's own frame, which may know the key
    page, chain = io.StringIO(), error
    while chain is not None:  # even what `from None` hides
        trace = Traceback.from_exception(
            type(chain), chain, chain.__traceback__, show_locals=True, locals_max_string=None
        )
        Console(file=page, width=500).print(trace)
        page.write("".join(traceback.format_exception(chain)) + repr(chain.args))
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    return page.getvalue()


def broken_at(place: str) -> Kind:
    """OpenAI's kind with a fault at one place."""
    kind, _ = access.settings_of(Source("openai", "openai"))

    async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
        await client.get("/organization/costs")
        raise RuntimeError("the kind itself")

    def authorize(request: object, key: str) -> dict[str, str]:
        raise RuntimeError(f"cannot sign with {key}")

    def authorize_badly(request: object, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}\r\nX: y"}

    def explain(status: int, body: object) -> None:
        raise RuntimeError(f"cannot explain {body}")

    kind = replace(kind, fetch=fetch, verify=None)
    changes: dict[str, Any] = {
        "authorize": {"authorize": authorize}, "line break": {"authorize": authorize_badly}, "explain": {"explain": explain},
    }.get(place, {})  # fmt: skip
    return replace(kind, **changes)


@pytest.mark.parametrize(
    "place", ["authorize", "line break", "explain", "fetch", "status", "refused", "wrong key"]
)
@pytest.mark.parametrize("status", [200, 401, 302])
def test_no_traceback_shows_it(
    place: str, status: int, echo: tuple[Echo, Server], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong on the way of a key, no frame of the error, nor of one behind it, holds it; nor does a log."""
    fake, server = echo
    fake.status = status
    caplog.set_level(logging.DEBUG)
    url = server.url if place != "refused" else f"http://127.0.0.1:{_closed_port()}"
    kind = broken_at(place)
    settings = Settings("openai", "openai", url, MappingProxyType({}))
    files.write_own("openai", Entry(Secret(KEY), (access.host_of(url),)))
    if place == "wrong key":
        kind = replace(kind, wrong_keys={"sk-admin-": "a key of another kind"})

    async def whole() -> None:
        secret = await access.key_of(kind, settings, Source("openai", "openai", base_url=url))
        await access.prove(kind, settings, secret, datetime.now(UTC))

    with pytest.raises(CostmonError) as caught:
        asyncio.run(whole())
    page = shown(caught.value)
    assert "Secret(•••)" in page or place == "wrong key"
    assert hits(page) == []
    assert hits(caplog.text) == []


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_traceback_test_sees_locals() -> None:
    """The control: a frame that does hold the key is found."""

    def careless(secret: Secret) -> None:
        text = secret.reveal()
        raise RuntimeError(len(text))

    with pytest.raises(RuntimeError) as caught:
        careless(Secret(KEY))
    assert "raw" in hits(shown(caught.value))


@pytest.mark.parametrize(
    "bad",
    [
        f"{KEY}\n{KEY}",
        f"{KEY}\x00",
        f'"{KEY}"',
        f"Bearer {KEY}",
        f"{KEY}é",
        f"{KEY} x",
        '{"v":1,"secret":"' + KEY,
    ],
    ids=["lines", "nul", "quotes", "bearer", "accent", "space", "json"],
)
def test_a_bad_key_is_in_no_traceback(bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file, in a variable, on standard input."""
    path = tmp_path / "key"
    path.write_text(bad, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(CostmonError) as caught:
        files.read_named(str(path))
    assert hits(shown(caught.value)) == []
    if "\0" in bad:
        return
    monkeypatch.setenv("OPENAI_ADMIN_KEY", bad)
    kind, settings = access.settings_of(Source("openai", "openai"))
    with pytest.raises(CostmonError) as caught:
        asyncio.run(access.key_of(kind, settings, Source("openai", "openai", key="env:OPENAI_ADMIN_KEY")))
    assert hits(shown(caught.value)) == []


def test_a_keyring_that_fails_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a backend that quotes what it was given ends in its thread."""
    caplog.set_level(logging.DEBUG)

    def fail() -> None:
        text = KEY
        raise ValueError(f"cannot store {text}")

    with pytest.raises(CostmonError) as caught:
        Patience("the keyring", "unlock it and try again").call(fail)
    assert "ValueError" in str(caught.value)
    assert hits(shown(caught.value)) == []
    assert hits(caplog.text) == []
    assert threading.active_count() < 50
    assert os.environ.get("OPENAI_ADMIN_KEY") is None
