"""An engine that has weeks of a server to account for judges its budgets once it is done."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costmon import paths
from costmon.monitor.engine import Engine
from costmon.shim import switch
from costmon.store import open_ledger

DAYS = 25


def config(since: datetime) -> str:
    # The small budget is used up after seven hours of its day: one whose day has long begun.
    zone = "UTC" if datetime.now(UTC).hour >= 7 else "Pacific/Port_Moresby"
    return (
        'time_zone = "UTC"\n[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2026-01-01\n'
        '[notify]\ndesktop = false\n[budget.server]\namount = "1000000000 KRW"\n'
        f'[resource.gpu]\nkind = "time"\nprice = "2400 KRW"\nper = "hour"\nalways_on = true\nsince = {since:%Y-%m-%d}\n'
        f'[budget.small]\namount = "15000 KRW"\nperiod = "day"\ntime_zone = "{zone}"\n'
    )


def run(engine: Engine, home: Path, until_s: float) -> list[int]:
    """Tick until a block stands; how many events there were at each tick before that."""
    seen: list[int] = []
    deadline = time.monotonic() + until_s
    while not switch.blocks(paths.switch_dir(str(home))):
        assert time.monotonic() < deadline
        engine.tick()
        store = open_ledger(str(home))
        seen.append(store.db.execute("select count(*) from event").fetchone()[0])
        store.close()
    return seen


@pytest.fixture
def prepared(costmon_home: Path) -> Path:
    costmon_home.mkdir(mode=0o700)
    path = Path(paths.config_file())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config(datetime.now(UTC) - timedelta(days=DAYS)))
    return costmon_home


@pytest.mark.slow
def test_a_block_states_the_whole_sum(prepared: Path) -> None:
    """The pop-ups and the block come when all is accounted for, and name what the budget has used then."""
    engine = Engine(str(prepared))
    try:
        seen = run(engine, prepared, 60)
        (block,) = switch.blocks(paths.switch_dir(str(prepared)))
        budget = next(b for b in engine.next_snapshot(5).budgets if b.name == "small")  # type: ignore[union-attr]
    finally:
        engine.close()
    assert len(set(seen)) >= 3  # it took several rounds
    assert seen[-1] >= DAYS * 96
    assert f"has used ₩{budget.used.nano // 10**9:,}" in block.reason
