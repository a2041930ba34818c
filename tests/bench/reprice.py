"""How long it takes to price a million events anew, and how long an app may have to wait for the ledger meanwhile."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from costmon.monitor.prices import compile_prices
from costmon.monitor.reprice import Scope, reprice, revert, work
from costmon.shim import schema
from costmon.shim.events import new_id
from costmon.store import Store, open_ledger
from tests.bench.rows import Row, figure, row

EVENTS = 1_000_000
DAYS = 90
_DAY_US = 86_400_000_000
_MODELS = {  # nano USD of an input and an output token
    "gpt-4o": (2500, 10000),
    "gpt-4o-mini": (150, 600),
    "gpt-4.1": (2000, 8000),
    "gpt-5-mini": (250, 2000),
}
_RATE = (138520, 100)
_PRICES = "schema = 1\n" + "".join(
    f'[[price]]\nprovider = "openai"\nmodel = "{model}"\ncurrency = "USD"\n[[price.rate]]\ninput = 1.5\noutput = 7\n'
    for model in _MODELS
)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        store = open_ledger(home)
        fill(store, EVENTS)
        _price(store, home)
        held = _watch()
        began, cpu = time.perf_counter(), time.process_time()
        run = reprice(store, "correction", Scope(), reason="bench", by="bench")
        took = time.perf_counter() - began
        assert run.events == EVENTS, run.report
        yield figure(f"reprice {EVENTS:,} events, all of which change", took, "s", "≤ 15 s")
        yield figure("  processor time", time.process_time() - cpu, "s", "")
        yield row("  a transaction of it", held, "ms", "≤ 50 ms")
        yield figure("  the longest transaction", max(held), "ms", "≤ 50 ms")
        held.clear()
        began = time.perf_counter()
        revert(store, run.id, reason="bench", by="bench")
        yield figure("revert it", time.perf_counter() - began, "s", "")
        yield figure("  the longest transaction", max(held), "ms", "≤ 50 ms")
        store.close()


def fill(store: Store, count: int) -> None:
    """So many settled calls of the last 90 days, each charged to a budget in dollars and one in won."""
    db, chance = store.db, random.Random(4)
    first = store.now() - DAYS * _DAY_US
    first -= first % _DAY_US
    db.execute("begin immediate")
    for number, currency in ((1, "USD"), (2, "KRW")):
        db.execute(
            "insert into budget (id, name, scope_key, scope_value, amount, currency, period, time_zone, mode, levels,"
            " at_95, at_100, definition) values (?, ?, 'all', '', 1, ?, 'day', 'UTC', 'default', '[]', 'warn', 'warn', '')",
            (number, f"b{number}", currency),
        )
        db.executemany(
            "insert into budget_period (budget_id, start_at, end_at) values (?, ?, ?)",
            [(number, first + day * _DAY_US, first + (day + 1) * _DAY_US) for day in range(DAYS + 1)],
        )
    triggers = db.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"drop trigger {name}")
    db.executemany(
        "insert into event (id, created_at, settled_at, local_day_at, machine, source, app, route, api, provider, model,"
        " endpoint, state, outcome, usage_status, input_tokens, output_tokens, total_tokens, cache_read_tokens, reserved,"
        " charge, cost, currency, cost_status, price_version, duration_us, request_id, response_id, charges)"
        " values (?, ?, ?, ?, 'machine', 'shim', ?, ?, 'chat', 'openai', ?, 'api.openai.com', 'settled', 'ok', 'reported',"
        " ?, ?, ?, ?, ?, ?, ?, 'USD', 'priced', 'genai-prices@0.2.3:000000000000', 812000, ?, ?, ?)",
        (_event(chance, first + number * DAYS * _DAY_US // count, number) for number in range(count)),
    )
    for table, slot, value in (
        ("rollup_quarter", "slot_at", "created_at - created_at % 900000000"),
        ("rollup_day", "day_at", "local_day_at"),
    ):
        sums = "count(*), 0, sum(input_tokens), sum(output_tokens), sum(cost), 0, 0, 0, 0, 0"
        db.execute(
            f"insert into {table} ({slot}, {schema.DIMENSIONS}, {', '.join(schema.SUMS)})"
            f" select {value}, {schema.DIMENSIONS}, {sums} from event group by {value}, {schema.DIMENSIONS}"
        )
    for _, sql in triggers:
        db.execute(sql)
    db.execute("commit")
    store.checkpoint()


def _event(chance: random.Random, at: int, number: int) -> tuple[object, ...]:
    model = chance.choice(list(_MODELS))
    tokens, output = chance.randrange(50, 8000), chance.randrange(1, 900)
    cost = tokens * _MODELS[model][0] + output * _MODELS[model][1]
    day = at - at % _DAY_US
    won = cost * _RATE[0] // _RATE[1]
    charges = [[1, day, cost, cost, 1, 1], [2, day, won, won, *_RATE]]
    return (
        *(new_id(at), at, at + 812_000, day, chance.choice(("trader", "crawler", "chat")), "/ask", model),
        *(tokens, output, tokens + output, chance.choice((None, tokens // 2)), cost, cost, cost),
        *(f"req_{number:024}", f"chatcmpl-{number:024}", json.dumps(charges)),
    )


def _price(store: Store, home: str) -> None:
    """A price file that gives every model another price."""
    import os

    os.environ["COSTMON_HOME"] = home
    Path(home, "prices.toml").write_text(_PRICES)
    assert compile_prices(store)


def _watch() -> list[float]:
    """Milliseconds each transaction of a repricing held the ledger, from now on."""
    held: list[float] = []
    plain = work.transaction

    def timed(db: object, inside: object) -> object:
        def work_inside() -> object:
            nonlocal began
            began = time.perf_counter()
            return inside()  # type: ignore[operator]

        began = 0.0
        done = plain(db, work_inside)  # type: ignore[arg-type]
        held.append((time.perf_counter() - began) * 1000)
        return done

    work.transaction = timed  # type: ignore[assignment]
    return held
