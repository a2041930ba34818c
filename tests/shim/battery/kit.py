"""What the tests of the shim share: budgets put straight into a ledger, calls of an exact price, child processes."""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import costmon
from costmon.shim.ledger import open_ledger
from costmon.shim.recorder import Call, Outcome, Recorder

DAY_US = 86_400_000_000
PACKAGE = Path(costmon.__file__).resolve().parents[1]  # the checkout, or where a wheel was installed


def now_us() -> int:
    return time.time_ns() // 1000


def connect(home: Path | str) -> sqlite3.Connection:
    """A connection of the test's own, the ledger created if need be."""
    db, lock = open_ledger(str(home))
    if lock is not None:
        lock.close()
    db.execute("pragma busy_timeout = 10000")
    return db


def rows(home: Path | str, sql: str, *values: Any) -> list[Any]:
    db = connect(home)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def one(home: Path | str, sql: str, *values: Any) -> Any:
    """The first value of the first row."""
    return rows(home, sql, *values)[0][0]


def add_budget(
    home: Path | str,
    amount: int,
    *,
    name: str = "total",
    scope: str = "all",
    mode: str = "default",
    at_95: str = "block",
    at_100: str = "block",
    currency: str = "USD",
    spent: int = 0,
    start: int | None = None,
    end: int | None = None,
) -> int:
    """A budget of `amount` nano whose period is today; returns its id."""
    key, _, value = scope.partition("=")
    begins = now_us() // DAY_US * DAY_US if start is None else start
    db = connect(home)
    try:
        db.execute("begin immediate")
        budget_id = db.execute(
            """insert into budget (name, scope_key, scope_value, amount, currency, period, time_zone, mode, levels,
               at_95, at_100, definition) values (?, ?, ?, ?, ?, 'day', 'UTC', ?, '[]', ?, ?, '{}') returning id""",
            (name, key, value, amount, currency, mode, at_95, at_100),
        ).fetchone()[0]
        db.execute(
            "insert into budget_period (budget_id, start_at, end_at, spent) values (?, ?, ?, ?)",
            (budget_id, begins, begins + DAY_US if end is None else end, spent),
        )
        put_setting(db, "generation", str(time.monotonic_ns()))
        db.execute("commit")
    finally:
        db.close()
    return int(budget_id)


def put_setting(db: sqlite3.Connection, key: str, value: str) -> None:
    db.execute(
        "insert into setting values (?, ?) on conflict (key) do update set value = excluded.value",
        (key, value),
    )


def set_setting(home: Path | str, key: str, value: str) -> None:
    """One setting, and a new generation so that every process reads it."""
    db = connect(home)
    try:
        put_setting(db, key, value)
        put_setting(db, "generation", str(time.monotonic_ns()))
    finally:
        db.close()


def priced(cost: int | None, **more: Any) -> Call:
    """A call that reserves exactly `cost` nano USD; None = its price comes afterwards."""
    fields: dict[str, Any] = {
        "api": "call", "family": "p", "provider": "p", "model": "m", "endpoint": "", "has_output": False,
        "source": "track", "cost": cost,
    }  # fmt: skip
    return Call(**{**fields, **more})


def llm(
    model: str = "gpt-4o-mini", input_tokens: int = 100, max_output: int | None = 100, **more: Any
) -> Call:
    """A chat completion: gpt-4o-mini costs 150 nano for an input and 600 for an output token."""
    fields: dict[str, Any] = {
        "api": "chat", "family": "openai", "provider": "openai", "model": model, "endpoint": "api.openai.com",
        "input_tokens": input_tokens, "max_output": max_output,
    }  # fmt: skip
    return Call(**{**fields, **more})


def spend(recorder: Recorder, cost: int, **more: Any) -> None:
    """One call of `cost` nano from admission to settlement."""
    held = recorder.admit(priced(cost, **more))
    assert held is not None
    recorder.settle(held, Outcome("ok", cost=cost))


def period(home: Path | str, budget: int) -> dict[str, int]:
    """The sums of a budget's only period."""
    names = ("spent", "assumed", "reserved", "calls", "unpriced")
    found = rows(home, f"select {', '.join(names)} from budget_period where budget_id = ?", budget)
    assert len(found) == 1
    return dict(zip(names, found[0], strict=True))


def assert_sums_agree(home: Path | str) -> None:
    """Rollups equal the events, each budget's period equals the charges on them, and SQLite finds the file sound."""
    db = connect(home)
    try:
        assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
        sums = "coalesce(sum(cost), 0), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0)"
        events = db.execute(
            f"""select coalesce(sum(source <> 'meter'), 0), {sums}, coalesce(sum(outcome <> 'ok'), 0),
                coalesce(sum(cost is null), 0), coalesce(sum(cost_status = 'estimated'), 0),
                coalesce(sum(cost_status = 'partial'), 0),
                coalesce(sum(iif(cost_status = 'estimated', coalesce(cost, 0), 0)), 0),
                coalesce(sum(iif(cost is null, coalesce(charge, 0), 0)), 0)
                from event where state = 'settled'"""
        ).fetchone()
        for table in ("rollup_quarter", "rollup_day"):
            rolled = db.execute(
                f"""select coalesce(sum(calls), 0), {sums}, coalesce(sum(errors), 0), coalesce(sum(unpriced), 0),
                    coalesce(sum(estimated), 0), coalesce(sum(partial), 0), coalesce(sum(estimated_cost), 0),
                    coalesce(sum(assumed), 0) from {table}"""
            ).fetchone()
            assert rolled == events, table
        assert_charges_agree(db)
    finally:
        db.close()


def assert_charges_agree(db: sqlite3.Connection) -> None:
    """spent + assumed = Σ settled charges, reserved = Σ open charges, calls = settled events; nothing is negative."""
    settled = """select coalesce(sum(json_extract(c.value, '$[3]')), 0), coalesce(sum(source <> 'meter'), 0)
                 from event, json_each(charges) as c
                 where state = 'settled' and json_extract(c.value, '$[0]') = ? and json_extract(c.value, '$[1]') = ?"""
    held = """select coalesce(sum(json_extract(c.value, '$[2]')), 0) from reservation, json_each(charges) as c
              where json_extract(c.value, '$[0]') = ? and json_extract(c.value, '$[1]') = ?"""
    for budget, start, spent, assumed, reserved, calls in db.execute(
        "select budget_id, start_at, spent, assumed, reserved, calls from budget_period"
    ).fetchall():
        assert min(spent, assumed, reserved, calls) >= 0
        assert (spent + assumed, calls) == db.execute(settled, (budget, start)).fetchone()
        assert reserved == db.execute(held, (budget, start)).fetchone()[0]


def forked(work: Callable[[], Any]) -> Callable[[], Any]:
    """Run `work` in a forked child; the returned function waits for its result (or raises what it raised)."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests may be alive
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer = (True, work())
        except BaseException:
            answer = (False, traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)

    def result() -> Any:
        try:
            with os.fdopen(reading, "rb") as pipe:
                try:  # one object, not to the end: a grandchild may hold the pipe open
                    good, value = pickle.load(pipe)
                except EOFError:
                    good, value = False, f"the child died with status {os.waitpid(pid, 0)[1]}"
                else:
                    os.waitpid(pid, 0)
        except BaseException:  # the test's time is up: a child that hangs must not outlive it
            os.kill(pid, signal.SIGKILL)
            raise
        assert good, value
        return value

    return result


def python(code: str, *arguments: str, wait_s: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that finds the costmon under test, and return what it said."""
    child = start_python(code, *arguments, **env)
    out, err = child.communicate(timeout=wait_s)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def start_python(code: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    path = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
    )


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
