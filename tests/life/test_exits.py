"""However a program ends: what was settled is there, it ends in time, in silence, and without a thread of ours."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.harness.mock_server import mock_server
from tests.harness.venvs import other_pythons
from tests.life.kit import TRACK, locked, run, settled, start
from tests.shim.battery import kit

EXITS = {
    "return": "",
    "exception": "raise KeyError('x')",
    "sys.exit": "sys.exit(3)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SIGINT": "os.kill(os.getpid(), signal.SIGINT)",
    "os._exit": "os._exit(0)",
    "os.abort": "os.abort()",
    "kill -9": "os.kill(os.getpid(), signal.SIGKILL)",
}
CLIENT = """
import os, resource, signal, sys, costmon
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
costmon.instrument(app="bot")
import httpx
BODY = {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
URL = sys.argv[1] + "/v1/chat/completions"
client = httpx.Client(trust_env=False)
"""


@pytest.mark.parametrize("how", EXITS)
def test_calls_and_streams_are_there_whatever_comes_next(costmon_home: Path, how: str) -> None:
    """A call is written before its response is handed over, a stream before its last bytes are."""
    code = (
        CLIENT
        + """
for _ in range(5): assert client.post(URL, json=BODY).status_code == 200
with client.stream("POST", URL, json=STREAM) as response:
    for chunk in response.iter_raw():
        if b"[DONE]" in chunk: break
"""
        + EXITS[how]
    )
    with mock_server() as server:
        status, _, err = run(costmon_home, code, server.base)
    assert (status == 0) is (how in ("return", "os._exit"))
    assert "costmon" not in err
    usage = "select usage_status, outcome, count(*) from event where state = 'settled' group by 1, 2"
    assert kit.rows(costmon_home, usage) == [("reported", "ok", 6)]
    assert kit.one(costmon_home, "select count(*) from reservation") == 0
    kit.assert_sums_agree(costmon_home)


def test_many_open_streams_beside_a_locked_ledger_cost_two_seconds(costmon_home: Path) -> None:
    """An app that ends with 5 streams unread while the ledger is locked waits for 2 s in all, not for each."""
    code = (
        CLIENT
        + """
streams = [client.send(client.build_request("POST", URL, json=STREAM), stream=True) for _ in range(5)]
print("open", flush=True)
sys.stdin.readline()
"""
    )
    with mock_server() as server:
        child = start(costmon_home, code, server.base)
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "open\n"
        with locked(costmon_home):
            began = time.monotonic()
            child.stdin.write("\n")
            child.stdin.flush()
            child.wait(30)
            took = time.monotonic() - began
        _, err = child.communicate()
    assert child.returncode == 0
    assert 1.0 <= took <= 3.5  # the fault was there; the rest is the interpreter's own end
    assert err.count("costmon could not write 5 settlements") == 1
    assert (
        kit.one(costmon_home, "select count(*) from reservation") == 5
    )  # held until their owner is found gone


THREADS = """
import threading, sys
before = threading.enumerate()
import costmon
costmon.instrument(app="bot")
@costmon.track("x", cost_per_call="0.000000003")
def call(): return threading.enumerate()
for _ in range(20): assert call() == before
import atexit, os
def tasks(): return len(os.listdir("/proc/self/task"))
class Last:
    def __del__(self):
        assert tasks() == 1
last = Last()
atexit.register(call)  # a metered call while the interpreter is ending
sys.modules["keep"] = last
"""


@pytest.mark.system
def test_no_thread_and_no_word_on_any_python(costmon_home: Path) -> None:
    """On each Python from 3.11 on no thread is started, not even at shutdown, and standard error stays empty."""
    for number, python in enumerate([sys.executable, *other_pythons()]):
        home = costmon_home / str(number)
        status, _, err = run(home, THREADS, python=python)
        assert (status, err) == (0, ""), python
        settled(home, 21, 63)


def test_an_exit_in_the_middle_of_a_call(costmon_home: Path) -> None:
    """A daemon thread that is inside a call when the program ends leaves its reservation to be settled at the estimate."""
    code = (
        TRACK
        + """
import threading
inside = threading.Event()
@costmon.track("x", cost_per_call="0.000000005")
def long():
    inside.set()
    threading.Event().wait(60)
threading.Thread(target=long, daemon=True).start()
assert inside.wait(10)
call()
"""
    )
    status, _, err = run(costmon_home, code)
    assert (status, err) == (0, "")
    assert kit.rows(costmon_home, "select reserved from reservation") == [(5,)]
    from costmon.shim import booking
    from costmon.shim.recorder import Recorder

    recorder = Recorder(str(costmon_home))
    assert recorder.ledger.write(lambda db: booking.settle_orphans(db, kit.now_us()), 2) == 1
    recorder.ledger.close()
    settled(costmon_home, 2, 8)
