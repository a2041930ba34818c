"""Whatever happens, a month's events come to one price of the month's amount, and tile the time that was paid for."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.budget.periods import periods_until
from costmon.shim import cards
from costmon.sources.resources import Collector, Tariffs, rows
from tests.shim.battery import kit
from tests.sources.kit import HOUR, MINUTE, SECOND, World, assert_tiled

ODD = (
    'price = "0.000001234 USD"\nper = "hour"\nfree = 3\ntiers = [{ above = 7, price = "0.000000457 USD" }]\n'
)
HAND = '[resource.box]\nkind = "time"\n' + ODD
ALWAYS = HAND + "always_on = true\n"
_numbers = itertools.count()

spans = st.one_of(
    st.integers(1, 40).map(lambda n: n * SECOND),
    st.integers(1, 90).map(lambda n: n * MINUTE),
    st.integers(1, 26).map(lambda n: n * HOUR),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "tick", "tick", "twice", "crash", "restart", "other", "back"]),
        spans,
    ),
    min_size=1,
    max_size=25,
)


class _Crash(Exception):
    pass


def _crash(w: World, count: int) -> None:
    """The engine dies after `count` events of a transaction."""
    real, left = rows.put_used, [count]

    def dying(*args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise _Crash
        real(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "put_used", dying)
        try:
            w.tick()
        except _Crash:
            w.restart()


def _play(w: World, moves: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """Do them; the spans of time the server ran by what was told."""
    ran: list[tuple[int, int]] = []
    began: int | None = None
    latest = w.now
    for move, span in moves:
        w.now += span
        if move == "back":
            w.now -= span + min(span, 2 * MINUTE)
            w.tick()
            w.now = max(w.now, latest)
        elif move == "start" and began is None:
            began = w.now
            assert w.start("box").changed
        elif move == "stop" and began is not None:
            ago = min(span // SECOND * 7 % 5000 * SECOND, w.now - began)  # some forget to tell in time
            assert w.stop("box", ago=ago).changed
            ran.append((began, w.now - ago))
            began = None
        elif move == "twice":
            w.tick(times=2)
        elif move == "crash":
            _crash(w, span // SECOND % 5)
        elif move == "restart":
            w.restart()
        elif move == "other":
            Collector(w.host).collect(w.store.db, w.now)
        else:
            w.tick()
        latest = max(latest, w.now)
    if began is not None:
        w.stop("box")
        ran.append((began, w.now))
    return ran


def _assert_bill(w: World, name: str = "box") -> None:
    """Every month's events cost what one price of their sum costs, and go on from one another."""
    events = w.events(name)
    if not events:
        return
    for month in periods_until("month", w.zone, events[0]["created_at"], events[-1]["created_at"] + 1):
        inside = [e for e in events if month.start_us <= e["created_at"] < month.end_us]
        total = sum(e["amount"] for e in inside)
        card = Tariffs(w.store.db).card(name, month.start_us)
        assert card is not None
        assert sum(e["cost"] for e in inside) == cards.price(card, {events[0]["unit"]: total}).nano
    kit.assert_sums_agree(w.home)


@given(moves=steps)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_runs_started_and_stopped_in_any_order(tmp_path: Path, moves):
    w = World(
        tmp_path / str(next(_numbers)),
        '[budget.total]\namount = "1 USD"\n' + HAND,
        "2026-11-28 23:50",
        "Asia/Seoul",
    )
    try:
        ran = _play(w, moves)
        assert_tiled([e for e in w.events() if e["duration_us"]], ran)
        assert w.amount("box") == sum(end - start for start, end in ran) // SECOND
        _assert_bill(w)
    finally:
        w.close()


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["tick", "crash", "restart", "other", "back"]), spans), max_size=15
    )
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_server_that_is_always_on(tmp_path: Path, moves):
    w = World(tmp_path / str(next(_numbers)), ALWAYS, "2026-11-28 23:50:07", "Asia/Seoul")
    try:
        w.tick()
        begun = w.now
        _play(w, moves)
        w.tick()
        w.tick(after=MINUTE)  # one that begins more than a day after all it knows looks so long
        w.catch_up()
        end = w.events()[-1]["created_at"] + w.events()[-1]["duration_us"] if w.events() else begun
        assert_tiled(w.events(), [(begun, end)])
        assert end > w.now - 15 * MINUTE
        _assert_bill(w)
    finally:
        w.close()


@given(
    readings=st.lists(
        st.tuples(st.integers(1, 3000).map(lambda s: s * SECOND), st.integers(0, 10**12), st.booleans()),
        max_size=20,
    )
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_traffic_and_disks_read_at_any_time(tmp_path: Path, readings):
    """No byte is lost or counted twice, whenever costmon looks and however often it is started."""
    text = '[resource.net]\nkind = "transfer"\nmeasure = "network"\nper = "GB"\nprice = "0.001234567 USD"\nfree = 9\n'
    text += '[resource.disk]\nkind = "storage"\nmeasure = "disk:/"\nper = "GB-month"\nprice = "0.01 USD"\n'
    w = World(tmp_path / str(next(_numbers)), text, "2026-11-30 22:11:07")
    try:
        sent, held, stored = 0, 0, 0
        w.host.nic("net", sent)
        w.host.values["disk"] = {"bytes": held}
        w.tick()
        for span, size, restarted in readings:
            if restarted:
                w.restart()
                w.collector._host = w.host
            stored += held * (span // SECOND)
            sent, held = sent + size, size
            w.host.nic("net", sent)
            w.host.values["disk"] = {"bytes": held}
            w.tick(after=span)
        stored += held * 900
        w.tick(after=900 * SECOND)
        w.catch_up()
        waiting = {row[0]: int(row[1]) for row in w.rows("select resource, pending from meter")}
        assert w.amount("net") + waiting["net"] == sent
        assert w.amount("disk") + waiting["disk"] == stored
        _assert_bill(w, "net")
        _assert_bill(w, "disk")
    finally:
        w.close()
