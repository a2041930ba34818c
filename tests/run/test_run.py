"""`costmon run -- python app.py`: an app in an environment of its own, watched without a change to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cli import COSTMON, costmon, environ
from tests.harness.events import events
from tests.harness.mock_server import MockServer
from tests.harness.venvs import ROOT, old_python
from tests.run.conftest import Start, followers, wait_until

Write = Callable[[str], str]
Run = Callable[..., Any]
COST = 7_260_000  # 1000 x 2.5 + 200 cached x 1.25 + 451 x 10 = 7260 millionths of a dollar
CALL = """
import httpx, sys
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 500}
def call(base=sys.argv[1]):
    return httpx.post(base + "/v1/chat/completions", json=BODY, trust_env=False)
"""
LOOK = (
    CALL
    + """
import importlib.util, json, os
answer = call()
foreign = ["textual", "click", "rich", "sqlite_utils", "tomlkit", "keyring", "plyer", "genai_prices", "openai"]
third_party = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
json.dump({
    "status": answer.status_code,
    "text": answer.json()["choices"][0]["message"]["content"],
    "importable": [name for name in foreign if importlib.util.find_spec(name)],
    "path": sys.path,
    "pythonpath": os.environ["PYTHONPATH"],
    "python": sys.executable,
    "version": sys.version_info[:2],
    "costmon": sorted(name for name in third_party if "costmon" in name),
}, sys.stdout)
"""
)


@pytest.mark.parametrize("whose", ["other", pytest.param("foreign", marks=pytest.mark.slow)])
def test_an_app_of_another_environment_is_watched(
    whose: str, request: pytest.FixtureRequest, app: Write, run: Run, server: MockServer, home: Path
) -> None:
    """No import, no install: an app of another environment, or of another Python, is on record with its exact cost."""
    python = request.getfixturevalue(whose)
    script = app(LOOK)
    done = run(python, script, server.base)
    assert (done.returncode, done.stderr) == (0, "")
    saw = json.loads(done.stdout)
    assert (saw["status"], saw["text"]) == (200, "Grüße, 세계 💸 and good night")
    assert saw["python"] == python
    assert (tuple(saw["version"]) == sys.version_info[:2]) == (whose == "foreign")
    (event,) = events(home)
    assert (event["app"], event["cost"], event["cost_status"]) == ("agent", COST, "priced")


def test_nothing_of_costmons_own_environment_is_importable(
    app: Write, run: Run, server: MockServer, foreign: str, home: Path
) -> None:
    """The app finds its own packages and no others; its import path is what it would be without costmon."""
    script = app(LOOK)
    plain = json.loads(run(foreign, script, server.base, PYTHONPATH="/nowhere", COSTMON_ENABLED="0").stdout)
    saw = json.loads(run(foreign, script, server.base, PYTHONPATH="/nowhere").stdout)
    assert saw["importable"] == []
    assert saw["costmon"] == ["costmon"]
    assert saw["path"] == plain["path"]
    assert [entry for entry in saw["path"] if "inject" in entry] == []
    assert saw["path"][:2] == [os.path.dirname(script), "/nowhere"]
    # Children of the app are watched as well: they inherit the variable as it was given, after our folder.
    assert saw["pythonpath"].split(os.pathsep)[1:] == ["/nowhere"]
    assert os.listdir(saw["pythonpath"].split(os.pathsep)[0]) in (
        ["sitecustomize.py"],
        ["sitecustomize.py", "__pycache__"],
        ["__pycache__", "sitecustomize.py"],
    )


def test_children_of_the_app_are_watched(
    app: Write, run: Run, server: MockServer, foreign: str, home: Path
) -> None:
    """A Python process the app starts is on record too, under its own name."""
    child = app(CALL + "call()", "helper.py")
    parent = app(
        f"import subprocess, sys\nsubprocess.run([sys.executable, {child!r}, sys.argv[1]], check=True)"
    )
    assert run(foreign, parent, server.base).returncode == 0
    assert [(event["app"], event["cost"]) for event in events(home)] == [("helper", COST)]


def test_a_sitecustomize_of_the_app_still_runs_once(
    app: Write, run: Run, server: MockServer, foreign: str, home: Path, tmp_path: Path
) -> None:
    """The sitecustomize that ours would shadow runs, once, under its own name and file."""
    folder = tmp_path / "site"
    folder.mkdir()
    # costmon's own process starts with that variable as well; only what the app's Python does counts here.
    code = f"import sys\nMARK = 7\nif sys.executable == {foreign!r}: print('custom', __name__, __file__)\n"
    (folder / "sitecustomize.py").write_text(code)
    (folder / "extra.py").write_text("VALUE = 1\n")
    script = app(
        CALL
        + "import sitecustomize, extra\nprint(sitecustomize.MARK, extra.VALUE, sitecustomize.__file__)\ncall()"
    )
    done = run(foreign, script, server.base, PYTHONPATH=str(folder))
    theirs = str(folder / "sitecustomize.py")
    assert done.stdout.splitlines() == [f"custom sitecustomize {theirs}", f"7 1 {theirs}"]
    assert done.stderr == ""
    assert [event["cost"] for event in events(home)] == [COST]


def test_a_sitecustomize_that_fails_fails_as_before(
    app: Write, run: Run, foreign: str, tmp_path: Path
) -> None:
    """An error in the app's own sitecustomize looks as it does without costmon, and the app runs."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("raise RuntimeError('theirs')\n")
    done = run(foreign, app("print('ran')"), PYTHONPATH=str(folder))
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "Error in sitecustomize" in done.stderr
    assert "RuntimeError: theirs" in done.stderr


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_brotli_and_zstandard_are_read_by_the_apps_own_decoders(
    coding: str, app: Write, run: Run, foreign: str, home: Path
) -> None:
    """Codings the standard library lacks are decoded with what the app itself decodes them with, streamed or not."""
    script = app(
        f"""
import httpx, json, sys
text = ("data: " + json.dumps({{"id": "s", "choices": [], "usage": {{"prompt_tokens": 1000, "completion_tokens": 100}}}})
        + "\\n\\ndata: [DONE]\\n\\n").encode()
plain = json.dumps({{"id": "p", "usage": {{"prompt_tokens": 1000, "completion_tokens": 100}}}}).encode()
if {coding!r} == "br":
    import brotli
    pack = brotli.compress
else:
    import zstandard
    pack = zstandard.ZstdCompressor().compress
def answer(request):
    streams = b'"stream": true' in request.content or b'"stream":true' in request.content
    kind = "text/event-stream" if streams else "application/json"
    packed = pack(text if streams else plain)
    parts = iter([packed[at:at + 9] for at in range(0, len(packed), 9)])
    return httpx.Response(200, headers={{"content-type": kind, "content-encoding": {coding!r}}}, content=parts)
body = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": "hi"}}]}}
with httpx.Client(transport=httpx.MockTransport(answer)) as client:
    assert client.post("https://example.invalid/v1/chat/completions", json=body).content == plain
    with client.stream("POST", "https://example.invalid/v1/chat/completions", json={{**body, "stream": True}}) as r:
        assert b"".join(r.iter_bytes()) == text
"""
    )
    done = run(foreign, script)
    assert (done.returncode, done.stderr) == (0, "")
    # 1000 x 2.5 + 100 x 10 = 3500 millionths
    assert [event["cost"] for event in events(home)] == [3_500_000, 3_500_000]


# --- the app's life is its own ---


def test_exit_code_and_streams_are_the_apps(app: Write, run: Run, foreign: str) -> None:
    """Standard input reaches the app, its output and exit code reach the shell."""
    script = app("import sys\nprint(sys.stdin.read().upper())\nsys.stderr.write('oh\\n')\nsys.exit(7)")
    done = run(foreign, script, given="hello")
    assert (done.returncode, done.stdout, done.stderr) == (7, "HELLO\n", "oh\n")


def test_arguments_reach_the_app_untouched(app: Write, run: Run, foreign: str) -> None:
    """Options behind the command belong to the app, whatever they are called."""
    script = app("import sys\nprint(sys.argv[1:])")
    arguments = ["--app", "x", "-h", "--", "--no-watch", "a b"]
    assert run(foreign, script, *arguments).stdout == f"{arguments}\n"


def test_labels_of_the_command_line(
    app: Write, run: Run, server: MockServer, foreign: str, home: Path
) -> None:
    """--app, --route, --job and --essential name whose calls they are."""
    labels = ("--no-watch", "--app", "trader", "--route", "/buy", "--job", "hourly", "--essential")
    run(foreign, app(CALL + "call()"), server.base, options=labels)
    (event,) = events(home)
    assert [event[name] for name in ("app", "route", "job", "essential")] == ["trader", "/buy", "hourly", 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_app(number: signal.Signals, app: Write, start: Start, foreign: str) -> None:
    """The process the shell knows is the app itself: a signal ends it as it would without costmon."""
    script = app(
        f"import signal, time\nsignal.signal({int(number)}, signal.SIG_DFL)\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    process = start(foreign, script)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(5) == -number


def test_the_app_has_no_child_it_did_not_start(app: Write, run: Run, foreign: str, home: Path) -> None:
    """With the background engine started, waiting for any child still says that there is none."""
    script = app("import os\ntry:\n    os.wait()\nexcept ChildProcessError:\n    print('none')")
    assert run(foreign, script, options=()).stdout == "none\n"


def test_a_missing_command_is_one_sentence(run: Run) -> None:
    """A command that does not exist is named; exit code 2."""
    done = run("no-such-command")
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "costmon: no-such-command: no such command\n",
    )


# --- off, or kept out ---


def test_switched_off(app: Write, run: Run, server: MockServer, foreign: str, home: Path) -> None:
    """COSTMON_ENABLED=0 turns all of it off: no shim in the app, no ledger, no engine."""
    script = app(CALL + "call()\nprint('costmon' in sys.modules)")
    assert run(foreign, script, server.base, options=(), COSTMON_ENABLED="0").stdout == "False\n"
    assert not home.exists()
    assert followers(home) == []


@pytest.mark.parametrize("option", ["-I", "-E", "-S", "-sE"])
def test_an_isolated_python_is_pointed_out(option: str, app: Write, run: Run, foreign: str) -> None:
    """`python -I` keeps costmon out; the app runs, and the shell is told that it is not watched."""
    done = run(foreign, option, app("print('ran')"))
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert f"python {option} keeps costmon out, so this app is not watched" in done.stderr


def test_an_old_python_is_pointed_out(app: Write, run: Run) -> None:
    """An app on a Python too old for the shim runs, unwatched, and says so once."""
    old = old_python()
    done = run(old, app("print('ran')"))
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr == "costmon: this app runs on a Python older than 3.11 and is not watched\n"


def test_an_unusable_home_does_not_keep_the_app_from_running(
    app: Write, run: Run, server: MockServer, foreign: str
) -> None:
    """A state home that cannot be made costs the app nothing but a few sentences."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs a folder in which nobody, root included, can make one")
    script = app(CALL + "print(call().status_code)")
    done = run(foreign, script, server.base, COSTMON_HOME="/proc/nowhere/home")
    assert (done.returncode, done.stdout) == (0, "200\n")
    assert done.stderr
    assert {line.partition(" ")[0].rstrip(":") for line in done.stderr.splitlines()} == {"costmon"}


# --- the engine behind it ---


def test_one_engine_warns_while_apps_run_and_then_ends(
    app: Write, start: Start, server: MockServer, foreign: str, home: Path
) -> None:
    """The first app brings an engine along, a second one shares it, and both are gone soon after the apps."""
    script = app("import sys\nprint('ready', flush=True)\nsys.stdin.read()")
    first = start(foreign, script, options=())
    assert first.stdout is not None
    first.stdout.readline()
    wait_until(lambda: len(followers(home)) == 1)
    wait_until(lambda: (home / "engine.json").exists())
    assert json.loads((home / "engine.json").read_text())["pid"] == followers(home)[0]
    assert os.getsid(followers(home)[0]) != os.getsid(
        first.pid
    )  # Ctrl-C in the app's terminal is not for the engine
    second = start(foreign, script, options=())
    assert second.stdout is not None
    second.stdout.readline()
    time.sleep(0.5)
    assert len(followers(home)) == 1
    for process in (first, second):
        process.communicate("")
        assert process.returncode == 0
    assert wait_until(lambda: not followers(home)) < 5


def test_an_engine_that_runs_is_enough(app: Write, run: Run, start: Start, foreign: str, home: Path) -> None:
    """Where `costmon watch` runs already, `costmon run` starts nothing."""
    watch = subprocess.Popen([*COSTMON, "watch", "-q"], cwd=ROOT, env=environ(home))
    try:
        wait_until(lambda: (home / "engine.json").exists())
        run(foreign, app("pass"), options=())
        assert followers(home) == []
    finally:
        watch.terminate()
        assert watch.wait(10) == 0


def test_a_refused_app_stops_and_goes_on(
    app: Write, start: Start, server: MockServer, foreign: str, home: Path
) -> None:
    """An app that never heard of costmon is refused while `kill` holds, and goes on after `allow`."""
    script = app(
        CALL
        + """
for line in sys.stdin:
    try:
        print(call().status_code, flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""
    )
    process = start(foreign, script, server.base)
    assert process.stdin is not None
    assert process.stdout is not None

    def ask() -> str:
        process.stdin.write("go\n")
        process.stdin.flush()
        return process.stdout.readline()

    assert ask() == "200\n"
    costmon(home, "kill", "app=agent", "--why", "enough")
    answer = ask()
    assert answer.startswith("SpendBlocked blocked by ")
    assert answer.endswith("(switch: app=agent): enough\n")
    costmon(home, "allow", "app=agent")
    assert ask() == "200\n"
    assert len(server.received) == 2
