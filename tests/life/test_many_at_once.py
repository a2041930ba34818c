"""Many threads, tasks and greenlets of one app at once: exact sums, no error, an event loop that runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.mock_server import mock_server
from tests.life.kit import TRACK, run, settled
from tests.shim.battery import kit

THREADS = (
    TRACK
    + """
import sys, threading
faults = []
def work():
    try:
        for _ in range(int(sys.argv[1])): assert call(7) == 7
    except BaseException as error:
        faults.append(error)
threads = [threading.Thread(target=work) for _ in range(64)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert faults == [], faults
"""
)


def threads(home: Path, calls: int) -> None:
    status, _, err = run(home, THREADS, str(calls), wait_s=170)
    assert status == 0, err
    settled(home, 64 * calls, 3 * 64 * calls)


@pytest.mark.timeout(120)
def test_sixty_four_threads(costmon_home: Path) -> None:
    """64 threads of 25 calls each, the first of which find no ledger yet."""
    threads(costmon_home, 25)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_sixty_four_threads_of_two_hundred_calls(costmon_home: Path) -> None:
    """12,800 calls of 64 threads."""
    threads(costmon_home, 200)


def test_a_hundred_tasks(costmon_home: Path) -> None:
    """100 concurrent httpx calls of an asyncio app reach the server and are recorded once each, while its loop runs on."""
    code = """
import asyncio, sys, time, costmon
costmon.instrument(app="bot")
import httpx
BODY = {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": "hi"}]}
async def main():
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=httpx.Limits(max_connections=100)) as client:
        async def one():
            response = await client.post(sys.argv[1] + "/v1/chat/completions", json=BODY)
            assert response.status_code == 200
        await one()
        await asyncio.gather(*[one() for _ in range(100)])
asyncio.run(main())
"""
    with mock_server() as server:
        status, _, err = run(costmon_home, code, server.base)
        assert len(server.received) == 101
    assert status == 0, err
    assert kit.rows(costmon_home, "select usage_status, outcome, count(*) from event group by 1, 2") == [
        ("reported", "ok", 101)
    ]
    cost = kit.one(costmon_home, "select max(cost) from event")
    settled(costmon_home, 101, 101 * cost)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("beside", [0, 40], ids=["", "threads"])
def test_a_hundred_greenlets(costmon_home: Path, beside: int) -> None:
    """A monkey-patched gevent app: 100 greenlets of 5 calls that sleep in between, and real threads beside them."""
    pytest.importorskip("gevent")
    code = """
from gevent import monkey
monkey.patch_all()
import gevent, sys, time, threading
from gevent.threadpool import ThreadPool
import costmon
costmon.instrument(app="crawler")
@costmon.track("x", cost_per_call="0.000000003")
def call(wait):
    time.sleep(wait)
    return threading.get_ident()
def work(number):
    return [call(0.001 * (number % 7)) for _ in range(5)]
jobs = [gevent.spawn(work, number) for number in range(100)]
gevent.joinall(jobs, timeout=50, raise_error=True)
assert all(len(job.value) == 5 for job in jobs)
pool = ThreadPool(4)
assert len(pool.map(lambda number: call(0), range(int(sys.argv[1])))) == int(sys.argv[1])
"""
    status, _, err = run(costmon_home, code, str(beside))
    assert status == 0, err
    # A lock between gevent's threads is slow: a call may find the ledger busy and be written a moment later.
    assert err == "" or beside
    settled(costmon_home, 500 + beside, (500 + beside) * 3)


def test_a_gevent_server_process(costmon_home: Path) -> None:
    """gevent's own fork, as its servers do it: parent and child each record their calls."""
    pytest.importorskip("gevent")
    code = """
from gevent import monkey
monkey.patch_all()
import gevent, os, costmon
@costmon.track("x", cost_per_call="0.000000003")
def call(): gevent.sleep(0.001)
gevent.joinall([gevent.spawn(call) for _ in range(20)], raise_error=True)
pid = os.fork()
gevent.joinall([gevent.spawn(call) for _ in range(20)], raise_error=True)
if pid: assert os.waitpid(pid, 0)[1] == 0
"""
    status, _, err = run(costmon_home, code, PYTHONWARNINGS="ignore")
    assert (status, err) == (0, "")
    settled(costmon_home, 60, 180)
