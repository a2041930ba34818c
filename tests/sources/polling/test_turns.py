"""Whole turns against a provider on loopback: exact through revisions, and of a failure nothing but its reason stays."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from decimal import Decimal

import pytest

from costmon.sources.providers.polling import breaker
from costmon.sources.providers.polling.turns import KEYS_CHANGED, Turner
from tests.harness.venvs import ROOT
from tests.sources.polling.kit import DAY, HOUR, MINUTE, NOW, Home
from tests.sources.providers.fake import Answer

TODAY = NOW.date()


def ago(days: int):
    return TODAY - timedelta(days=days)


def month(server, now) -> Decimal:
    return server.bill.total(now.date().replace(day=1) - timedelta(days=1), now.date())


def test_three_days_of_revised_buckets_end_in_the_exact_bill(home, server):
    """Each hour something is billed, today or on one of the days before; in the end the ledger says what the bill says."""
    server.bill.spend(ago(18), "0.10", "m1")
    for hour in range(72):
        server.now = NOW + timedelta(hours=hour)
        server.bill.spend((server.now - timedelta(days=hour % 4)).date(), f"0.{hour + 1:04d}", f"m{hour % 3}")
        if hour % 9 == 5:
            server.bill.charges.pop(-2)  # taken back
        home.now = int(server.now.timestamp()) * 10**6
        turn = home.turn(by_hand=True)
        assert turn.booked, turn
        assert home.total() == server.bill.total(ago(60), server.now.date())
    assert home.value("select sum(revisions) from figure_bucket") > 10
    assert home.value("select count(*) from figure_bucket") == len(
        set(home.rows("select start_at from figure_bucket"))
    )


def test_a_month_is_read_to_its_first_day_with_the_default_pages(make, server):
    server.now = NOW.replace(day=30)
    for day in range(30):
        server.bill.spend(server.now.date() - timedelta(days=day), "0.0312", "m")
    home = make(f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n', now=server.now)
    home.turn()
    assert home.total() == Decimal("0.0312") * 30


FAILURES = [
    (Answer({"error": {}}, 401), "auth"),
    (Answer({"error": {}}, 403), "forbidden"),
    (Answer({"error": {}}, 404), "not_found"),
    (Answer({"error": {}}, 429, {"retry-after": "120"}), "rate_limited"),
    (Answer({"error": {}}, 500), "upstream"),
    (Answer(b"<html>hello</html>"), "schema"),
    (Answer(b'{"data": [{'), "schema"),
    (Answer({"data": [], "has_more": True, "next_page": None}), "schema"),
    (Answer({"data": [], "has_more": False}), "schema"),
    (Answer({"data": [{"start_time": 1, "end_time": 86401, "results": []}], "has_more": False}), "schema"),
    (Answer(b""), "schema"),
]


@pytest.mark.parametrize(("fault", "state"), FAILURES)
def test_a_failure_keeps_every_figure_and_says_why(home, server, fault, state):
    server.bill.spend(ago(0), "1.25", "m")
    server.bill.spend(ago(9), "3", "m")
    home.turn()
    good = home.dump()
    server.faults.append(fault)
    home.due()
    turn = home.turn()
    assert not server.faults, "the fault did not fire"
    assert turn.error is not None
    assert turn.error.state == state
    row = home.source()
    assert (row["state"], row["reason"]) == (state, str(turn.error))
    assert row["ok_at"] < row["polled_at"] == home.now
    assert home.dump() == good
    assert home.value("select sum(failures) from poll_hour") == 1


def test_a_failure_in_the_middle_of_a_round_leaves_the_whole_round_out(home, server):
    """Costs are read, then the usage report is refused: not even the costs are booked."""
    server.bill.spend(ago(0), "1", "m")
    home.turn()
    server.bill.spend(ago(0), "1", "m")
    good = home.dump()
    seen = []
    answer = server.fake.answer

    def refuse_usage(request, bill, now):
        seen.append(request.path)
        return Answer({}, 500) if "usage" in request.path else answer(request, bill, now)

    server.fake = type("Moody", (), {"answer": staticmethod(refuse_usage)})
    home.due()
    assert home.turn().error is not None
    assert any("usage" in path for path in seen)
    assert any("costs" in path for path in seen)
    assert home.dump() == good


def test_an_answer_after_failures_closes_the_breaker(home, server):
    for _ in range(6):
        server.faults.append(Answer({}, 500))
        home.due() if home.source()["next_at"] else None
        assert home.turn().error is not None
    assert home.source()["opened_at"] is not None
    assert home.turn(after=MINUTE).refused.why == "not due"
    home.due()
    assert home.turn().booked
    row = home.source()
    assert (row["state"], row["failures"], row["opened_at"]) == ("ok", 0, None)


def test_a_wrong_key_is_not_asked_again_until_the_key_or_the_settings_change(home, server, monkeypatch):
    monkeypatch.setenv("POLL_KEY", "sk-admin-wrong")
    assert home.turn().error.state == "auth"
    asked = len(server.journal)
    for _ in range(5):
        assert home.turn(after=10 * DAY).refused is not None
    assert len(server.journal) == asked
    monkeypatch.setenv("POLL_KEY", server.fake.key)
    home.write(lambda: home.store.db.execute("insert into setting values (?, '1')", (KEYS_CHANGED,)))
    assert home.turn().booked


def test_a_changed_setting_is_asked_at_once_and_reads_the_month_anew(home, server):
    home.turn()
    assert home.turn(after=MINUTE).refused is not None
    home.configure(
        f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\ntax_included = "10%"\nevery = "20m"\n'
    )
    before = len(server.journal)
    assert home.turn().booked
    assert server.journal[before].one("start_time") == str(
        int(NOW.replace(day=1, hour=0, minute=0).timestamp()) - 86_400
    )


def test_requests_and_bytes_are_counted_by_the_hour(home, server):
    home.turn()
    sizes = home.rows("select polls, requests, bytes > 500, failures from poll_hour")
    assert sizes == [(1, len(server.journal), 1, 0)]
    home.turn(after=HOUR)
    assert home.value("select count(*) from poll_hour") == 2


def test_a_round_that_hangs_is_given_up_and_the_source_is_free_again(home, server):
    def hang(handler):
        time.sleep(1.0)

    server.faults.append(hang)
    began = time.monotonic()
    turn = home.turn(limit_s=0.2)
    assert time.monotonic() - began < 5
    assert turn.error.state == "network"
    assert home.source()["probe"] is None


def test_a_cancelled_round_frees_itself_at_once(home, server):
    import threading

    asked, leave = threading.Event(), threading.Event()

    def hang(handler):
        asked.set()
        leave.wait(10)

    server.faults.append(hang)

    async def cancel() -> None:
        task = asyncio.create_task(home.turner().take(home.polled["openai"]))
        assert await asyncio.to_thread(asked.wait, 10)
        assert breaker.standing(home.store.db, "openai").probe is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    leave.set()
    row = home.source()
    assert (row["probe"], row["state"]) == (None, "")
    assert home.turn().booked


def test_a_lease_is_renewed_while_answers_come_in_and_only_then(home, server):
    """A round of many pages outlives its first minute; one that hangs does not."""

    async def hold(progress: bool) -> bool:
        turner = home.turner(renew_s=0.02)
        one = home.polled["openai"]
        from costmon.sources.providers.http import Traffic

        traffic = Traffic()
        home.write_now(
            lambda: breaker.take(home.store.db, one.name, one.rhythm, home.now, "me", by_hand=True)
        )
        async with turner._holding(one.name, "me", traffic):
            for _ in range(6):
                home.now += 20_000_000
                traffic.requests += progress
                await asyncio.sleep(0.04)
        held = breaker.standing(home.store.db, one.name)
        return held.probe_until > home.now

    assert asyncio.run(hold(True))
    home.write(lambda: breaker.free(home.store.db, "openai", "me"))
    assert not asyncio.run(hold(False))


_POLL = """
import asyncio, sys
from costmon import config
from costmon.sources.providers.polling import books
from costmon.sources.providers.polling.byhand import poll
from costmon.sources.providers.polling.rounds import resolve
from costmon.store import open_ledger

store = open_ledger(sys.argv[1])
every = [resolve(source) for source in config.load(sys.argv[1] + "/config.toml").sources]
if sys.argv[2] == "half":  # die with the figures written and the transaction open
    books._write_usage = lambda *_: (print("half", flush=True), __import__("os").kill(__import__("os").getpid(), 9))
done = asyncio.run(poll(store, every, every))
print("booked" if done[0].turn.booked else "elsewhere" if done[0].elsewhere else "failed")
"""


def process(home: Home, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _POLL, str(home.folder), how],
        cwd=ROOT,
        env={**os.environ},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_in_the_middle_of_writing_nothing_is_half_written(make, server, monkeypatch):
    from datetime import UTC, datetime

    monkeypatch.setenv("POLL_KEY", server.fake.key)
    server.now = datetime.now(UTC)
    server.bill.spend(server.now.date(), "1", "m")
    home = make(f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n', now=server.now)
    home.store.now = lambda: time.time_ns() // 1000
    assert home.turn(by_hand=True).booked
    good = home.dump()
    server.bill.spend(server.now.date(), "1", "m")
    killed = process(home, "half")
    assert killed.communicate(timeout=30)[0] == "half\n"
    assert killed.returncode == -signal.SIGKILL
    assert home.dump() == good
    assert home.value("pragma integrity_check") == "ok"
    assert home.source()["probe"] is not None  # its lease is left, but its owner is gone
    assert home.turn(by_hand=True).booked
    assert home.total() == 2


def test_of_many_processes_one_asks_and_the_others_wait_for_it(make, server, monkeypatch):
    from datetime import UTC, datetime

    monkeypatch.setenv("POLL_KEY", server.fake.key)
    server.now = datetime.now(UTC)
    server.bill.spend(server.now.date(), "1", "m")
    home = make(f'[source.openai]\nbase_url = "{server.url}"\nkey = "env:POLL_KEY"\n', now=server.now)

    def slowly(handler):
        time.sleep(2.5)
        handler.send(server.fake.answer(server.journal[-1], server.bill, server.now))

    server.faults.append(slowly)
    children = [process(home, "whole") for _ in range(3)]
    said = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert said.count("booked") == 1 or len(server.journal) > 3, said
    assert set(said) <= {"booked", "elsewhere"}
    starts = [request for request in server.journal if request.path.endswith("/costs")]
    assert len(starts) == said.count("booked")
    assert home.total() == 1


def test_a_busy_ledger_is_awaited_and_holds_up_no_other_source(home):
    import sqlite3

    home.store.db.execute("pragma busy_timeout = 20")
    other = sqlite3.connect(home.folder / "ledger.db", isolation_level=None)
    other.execute("begin immediate")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1
            if ticks == 10:
                other.execute("rollback")

    async def both() -> bool:
        ticking = asyncio.create_task(tick())
        turn = await home.turner().take(home.polled["openai"])
        ticking.cancel()
        return turn.booked

    assert asyncio.run(both())
    assert ticks >= 10
    other.close()


def test_of_ten_callers_of_an_open_breaker_one_is_the_probe(home, server):
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from costmon.store import open_ledger

    for _ in range(5):
        server.faults.append(Answer({}, 500))
        if home.source()["next_at"]:
            home.due()
        home.turn()
    assert home.source()["opened_at"] is not None
    home.due()
    asked, gate, at = len(server.journal), Barrier(10), home.now

    def slowly(handler):
        time.sleep(0.5)
        handler.send(Answer({}, 500))

    server.faults.append(slowly)

    def call(number: int) -> str:
        store = open_ledger(str(home.folder))
        store.now = lambda: at
        try:
            gate.wait(10)
            turn = asyncio.run(Turner(store).take(home.polled["openai"], by_hand=number % 2 == 0))
            return turn.refused.why if turn.refused is not None else "asked"
        finally:
            store.close()

    with ThreadPoolExecutor(10) as pool:
        said = sorted(pool.map(call, range(10)))
    assert said == ["asked", *["busy"] * 9]
    assert len(server.journal) == asked + 1
    assert home.source()["failures"] == 6
