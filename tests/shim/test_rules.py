"""The rules beside budgets: rate limits, breaker, guards against repeats and retry loops, dry run and bypass."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import costmon
from costmon.errors import LedgerBusy, SpendBlocked
from costmon.shim import context, switch
from costmon.shim.calls import Open, Outcome
from costmon.shim.events import Attempt, Settlement
from costmon.shim.recorder import Recorder
from costmon.shim.rules import Rules, after, check, repetition
from costmon.shim.rules.breaker import Breaker
from costmon.shim.timestamps import to_datetime
from tests.shim.battery import kit

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
NOON = 1_795_262_400_000_000  # 2026-11-21 12:00 UTC


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return at(Recorder(str(costmon_home)), NOON)


def at(recorder: Recorder, now: int) -> Recorder:
    """The same recorder at another time."""
    recorder.ledger.now = lambda: now
    return recorder


def limit(home: Path, calls: int, per: str = "minute", *, scope: str = "all", name: str = "r") -> None:
    """What `[rate_limit.NAME]` compiles to."""
    key, _, value = scope.partition("=")
    db = kit.connect(home)
    db.execute(
        "insert into rate_limit (name, scope_key, scope_value, calls, per) values (?, ?, ?, ?, ?)",
        (name, key, value, calls, per),
    )
    db.close()
    kit.set_setting(home, "renewed", name)


def guard(home: Path, **figures: dict[str, int]) -> None:
    """What `[breaker]`, `[repeat]` and `[retry_loop]` compile to; times in seconds."""
    for key, values in figures.items():
        compiled = {
            f"{name}_us" if name in ("within", "pause") else name: value
            * (SECOND if name in ("within", "pause") else 1)
            for name, value in values.items()
        }
        kit.set_setting(home, key, json.dumps(compiled))


def bypass(home: Path, scope: str, since: int, until: int) -> None:
    """What `costmon bypass` writes."""
    db = kit.connect(home)
    db.execute(
        "insert into override (kind, scope, by, reason, created_at, until_at) values ('bypass', ?, 'me', 'test', ?, ?)",
        (scope, since, until),
    )
    db.close()
    kit.set_setting(home, "renewed", f"{scope}{until}")


def go(recorder: Recorder, **more: Any) -> Open:
    held = recorder.admit(kit.priced(1, **more))
    assert held is not None
    return held


def refusal(recorder: Recorder, **more: Any) -> SpendBlocked:
    with pytest.raises(SpendBlocked) as caught:
        recorder.admit(kit.priced(1, **more))
    return caught.value


def worked(recorder: Recorder, held: Open) -> None:
    recorder.settle(held, Outcome("ok", cost=1, status_code=200))


def broke(recorder: Recorder, held: Open, status: int | None = 500, **more: Any) -> None:
    recorder.settle(held, Outcome(**{"outcome": "error", "cost": 0, "status_code": status, **more}))


def refused_rows(home: Path) -> list[tuple[Any, ...]]:
    return kit.rows(home, "select rule, scope, calls, dry_run from refusal order by first_at, rule")


# --- rate limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per", "length"), [("minute", MINUTE), ("hour", HOUR), ("day", DAY)])
@pytest.mark.parametrize("calls", [1, 3])
def test_exactly_so_many_calls_in_a_window(
    costmon_home: Path, recorder: Recorder, per: str, length: int, calls: int
) -> None:
    """The last call of the window goes out, the next is refused to the window's end, and then they go on."""
    limit(costmon_home, calls, per)
    start = NOON - NOON % length
    for number in range(calls):
        worked(at(recorder, start + number), go(at(recorder, start + number)))
    found = refusal(at(recorder, start + length - 1))
    assert (found.rule, found.scope, found.retry_after) == ("rate", "all", 1e-6)
    assert found.until == to_datetime(start + length)
    assert found.since == to_datetime(start)
    assert 'rate limit "r"' in found.reason
    assert f"{calls} call{'s' if calls > 1 else ''} per {per} for all" in found.reason
    assert "until 2026-11-2" in found.reason
    go(at(recorder, start + length))
    assert refused_rows(costmon_home) == [("rate", "all", 1, 0)]


@pytest.mark.parametrize(
    ("scope", "counts"),
    [("all", True), ("provider=p", True), ("provider=q", False), ("app=a", True), ("app=b", False),
     ("route=/r", True), ("route=/s", False), ("model=m", True), ("job=j", True), ("job=k", False)],
)  # fmt: skip
def test_a_limit_binds_its_scope_alone(
    costmon_home: Path, recorder: Recorder, scope: str, counts: bool
) -> None:
    """A limit on one app, route or provider leaves the others alone."""
    limit(costmon_home, 1, scope=scope)
    with context.context(app="a", route="/r", job="j"):
        go(recorder)
        if counts:
            assert refusal(recorder).scope == scope
        else:
            go(recorder)


def test_the_operators_day_is_his_own(costmon_home: Path, recorder: Recorder) -> None:
    """A limit a day begins anew at the operator's midnight, not at UTC's."""
    limit(costmon_home, 1, "day")
    db = kit.connect(costmon_home)
    midnight = NOON + 3 * HOUR  # Seoul's, at 15:00 UTC
    for start in (midnight - DAY, midnight):
        db.execute("insert into local_day values (?, ?, ?)", (start, start + DAY, "day"))
    db.close()
    go(recorder)
    assert refusal(at(recorder, midnight - 1)).until == to_datetime(midnight)
    go(at(recorder, midnight))
    assert refusal(at(recorder, midnight + 12 * HOUR)).until == to_datetime(midnight + DAY)


def test_a_refused_call_does_not_count(costmon_home: Path, recorder: Recorder) -> None:
    """What another rule refuses uses up nothing: neither money nor the number of calls."""
    limit(costmon_home, 2, "hour", name="wide")
    limit(costmon_home, 1, "minute", name="narrow")
    number = kit.add_budget(costmon_home, 1000, start=NOON - NOON % DAY)
    go(recorder)
    for _ in range(5):
        assert '"narrow"' in refusal(recorder).reason
    assert kit.rows(costmon_home, "select limit_id, calls from rate_window") == [(1, 1), (2, 1)]
    assert kit.period(costmon_home, number)["reserved"] == 1
    go(at(recorder, NOON + MINUTE))
    assert '"wide"' in refusal(at(recorder, NOON + 2 * MINUTE)).reason


def test_processes_share_one_count(costmon_home: Path) -> None:
    """Four processes of 20 calls each on a limit of 30: 30 go out."""
    limit(costmon_home, 30, "day")

    def work() -> int:
        recorder = at(Recorder(str(costmon_home)), NOON)
        passed = 0
        for _ in range(20):
            try:
                worked(recorder, go(recorder))
                passed += 1
            except SpendBlocked:
                pass
        return passed

    results = [kit.forked(work) for _ in range(4)]
    assert sum(result() for result in results) == 30
    assert {row[0] for row in refused_rows(costmon_home)} == {"rate"}
    kit.assert_sums_agree(costmon_home)


@pytest.mark.parametrize("back", [1, 30 * SECOND, MINUTE])
def test_a_clock_set_back_gives_no_second_helping(costmon_home: Path, recorder: Recorder, back: int) -> None:
    """In the window before, the calls of the one that was reached stay counted, and the refusal says until when."""
    limit(costmon_home, 2)
    go(recorder)
    go(recorder)
    early = NOON - back
    found = refusal(at(recorder, early))
    assert found.until == to_datetime(NOON + MINUTE)
    assert found.retry_after == pytest.approx((MINUTE + back) / SECOND)
    go(at(recorder, NOON + MINUTE))


def test_a_clock_that_was_wrong_does_not_block_for_hours(costmon_home: Path, recorder: Recorder) -> None:
    """After a start in local time, corrected by NTP, the limit is a limit per minute and not per nine hours."""
    limit(costmon_home, 2)
    go(at(recorder, NOON + 9 * HOUR))
    for minute in range(3):
        for _ in range(2):
            go(at(recorder, NOON + minute * MINUTE))
        refusal(recorder)


def test_a_limit_of_everything_counts_local_models_too(costmon_home: Path, recorder: Recorder) -> None:
    """A call that costs nothing is a call."""
    limit(costmon_home, 1)
    assert recorder.admit(kit.llm(free=True)) is not None
    refusal(recorder)


def test_an_essential_app_is_limited_too(costmon_home: Path, recorder: Recorder) -> None:
    """Essential says which app money is kept for; it is no way round a rule."""
    limit(costmon_home, 1)
    go(recorder, essential=True)
    assert refusal(recorder, essential=True).rule == "rate"


async def test_awaiting_callers_are_counted_alike(costmon_home: Path, recorder: Recorder) -> None:
    """50 tasks at once on a limit of seven: seven go out."""
    limit(costmon_home, 7)
    answers = await asyncio.gather(
        *(recorder.admit_async(kit.priced(1)) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(answer, Open) for answer in answers) == 7
    assert {answer.rule for answer in answers if isinstance(answer, SpendBlocked)} == {"rate"}


def test_without_the_ledger_a_process_counts_by_itself(costmon_home: Path, recorder: Recorder) -> None:
    """An outage is no licence: each process keeps to the limit until the ledger answers."""
    limit(costmon_home, 3)
    limit(costmon_home, 100, "day", name="day", scope="provider=p")
    recorder.provider_hosts()
    labels = ("a", "", "", False)

    def blind(now: int) -> None:
        at(recorder, now)._without_ledger(LedgerBusy("test"), kit.priced(1), labels)

    for _ in range(3):
        blind(NOON)
    with pytest.raises(SpendBlocked) as caught:
        blind(NOON + 1)
    assert (caught.value.rule, caught.value.until) == ("rate", to_datetime(NOON + MINUTE))
    blind(NOON + MINUTE)
    assert recorder._memory._calls[2] == (NOON - NOON % DAY, 4)
    assert refused_rows(costmon_home) == [("rate", "all", 1, 0)]


# --- the breaker ------------------------------------------------------------------------------------------------

FIVE = {"failures": 5, "within": 60, "pause": 30}


def fail(recorder: Recorder, times: int, **more: Any) -> None:
    for _ in range(times):
        broke(recorder, go(recorder, **more))


def state(home: Path, provider: str = "p") -> tuple[Any, ...] | None:
    found = kit.rows(
        home, "select failures, opened_at, probe, probe_until from breaker where provider = ?", provider
    )
    return found[0] if found else None


def test_five_failures_open_it_and_a_probe_closes_it(costmon_home: Path, recorder: Recorder) -> None:
    """Open for the pause, then one call tries; while it does nobody else goes, and its success lets everybody go."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 4)
    worked(recorder, go(recorder))  # failures in a row
    fail(recorder, 4)
    still = go(recorder)
    broke(recorder, still)
    found = refusal(recorder)
    assert (found.rule, found.scope, found.retry_after) == ("breaker", "provider=p", 30.0)
    assert found.until == to_datetime(NOON + 30 * SECOND)
    assert found.reason == (
        "circuit breaker of p: 5 failures in a row, calls to it are paused until 2026-11-21 12:00:30 UTC"
    )
    refusal(at(recorder, NOON + 30 * SECOND - 1))
    later = at(recorder, NOON + 30 * SECOND)
    probe = go(later)
    trying = refusal(later)
    assert "one call is trying it" in trying.reason
    assert trying.retry_after == 60.0
    worked(later, probe)
    assert state(costmon_home) is None
    worked(later, go(later))


def test_a_failed_probe_opens_it_again(costmon_home: Path, recorder: Recorder) -> None:
    """The pause begins anew when the probe fails."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 5)
    later = at(recorder, NOON + 31 * SECOND)
    broke(later, go(later), status=None, outcome="unknown", error="ReadTimeout")
    assert refusal(later).until == to_datetime(NOON + 61 * SECOND)
    worked(at(recorder, NOON + 61 * SECOND), go(at(recorder, NOON + 61 * SECOND)))
    assert state(costmon_home) is None


@pytest.mark.parametrize(
    ("outcome", "opens"),
    [
        (Outcome("error", cost=0, status_code=500), True),
        (Outcome("error", cost=0, status_code=503), True),
        (Outcome("error", cost=0, status_code=429), True),
        (Outcome("unknown", cost=0, error="ReadTimeout"), True),
        (Outcome("error", cost=0, error="ConnectError"), True),
        (Outcome("error", cost=0, status_code=400), False),
        (Outcome("error", cost=0, status_code=401), False),
        (Outcome("error", cost=0, status_code=404), False),
        (Outcome("ok", cost=1, status_code=200), False),
        (Outcome("dropped", cost=1, status_code=200), False),
        (Outcome("error", cost=0, error="CancelledError"), False),
        (Outcome("error", cost=0, error="KeyboardInterrupt"), False),
        (Outcome("error", cost=0, error="SpendBlocked"), False),
    ],
)
def test_what_counts_as_a_failure_of_the_provider(
    costmon_home: Path, recorder: Recorder, outcome: Outcome, opens: bool
) -> None:
    """Overload, faults and silence do; a bad request, an app that gave up and a refusal of ours do not."""
    guard(costmon_home, breaker={"failures": 2, "within": 60, "pause": 30})
    for _ in range(2):
        recorder.settle(go(recorder), outcome)
    found = state(costmon_home)
    assert (found is not None and found[1] is not None) == opens
    if opens:
        refusal(recorder)
    else:
        go(recorder)


def test_one_provider_does_not_stop_another(costmon_home: Path, recorder: Recorder) -> None:
    """Each provider has a breaker of its own."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 5)
    assert refusal(recorder).scope == "provider=p"
    go(recorder, provider="q")


def test_failures_far_apart_do_not_open_it(costmon_home: Path, recorder: Recorder) -> None:
    """Five failures must come within the window; an older one begins a new count."""
    guard(costmon_home, breaker=FIVE)
    for number in range(20):
        broke(at(recorder, NOON + number * 16 * SECOND), go(at(recorder, NOON + number * 16 * SECOND)))
    found = state(costmon_home)
    assert found is not None
    assert found[1] is None


def test_an_older_call_does_not_close_it(costmon_home: Path, recorder: Recorder) -> None:
    """A success of a call that began before the trouble says nothing about now, in the pause or beside a probe."""
    guard(costmon_home, breaker=FIVE)
    old = [go(recorder) for _ in range(3)]
    fail(recorder, 5)
    worked(recorder, old[0])
    refusal(recorder)
    later = at(recorder, NOON + 31 * SECOND)
    probe = go(later)
    worked(later, old[1])
    broke(later, old[2])
    refusal(later)
    worked(later, probe)
    go(later)


def test_a_probe_the_app_gave_up_frees_its_place(costmon_home: Path, recorder: Recorder) -> None:
    """The next call tries at once."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 5)
    later = at(recorder, NOON + 31 * SECOND)
    for outcome in (Outcome("error", cost=0, error="CancelledError"), Outcome("dropped", cost=0)):
        probe = go(later)
        refusal(later)
        later.settle(probe, outcome)
    worked(later, go(later))
    assert state(costmon_home) is None


def test_a_hanging_probe_is_replaced_after_a_minute(costmon_home: Path, recorder: Recorder) -> None:
    """It holds its place for 60 s; what it says after that no longer counts."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 5)
    start = NOON + 31 * SECOND
    hanging = go(at(recorder, start))
    assert refusal(at(recorder, start + MINUTE - 1)).until == to_datetime(start + MINUTE)
    second = go(at(recorder, start + MINUTE))
    broke(recorder, hanging)
    found = state(costmon_home)
    assert found is not None
    assert found[2] == second.attempt.id
    worked(recorder, hanging)  # twice, even
    refusal(recorder)
    worked(recorder, second)
    go(recorder)


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_set_back_does_not_keep_it_open(costmon_home: Path, recorder: Recorder, hours: int) -> None:
    """An opening in the future is over: a call may try."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 5)
    earlier = at(recorder, NOON - hours * HOUR)
    probe = go(earlier)
    refusal(earlier)
    worked(earlier, probe)
    go(earlier)


PROBERS = """
import sys, threading, time
from costmon.errors import SpendBlocked
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit
home, now = sys.argv[1], int(sys.argv[2])
recorder = Recorder(home)
recorder.ledger.now = lambda: now
recorder.provider_hosts()
print("ready", flush=True)
sys.stdin.readline()
through, gate = [], threading.Barrier(5)
def call():
    gate.wait(30)
    try:
        through.append(recorder.admit(kit.priced(1)))
    except SpendBlocked as blocked:
        assert blocked.rule == "breaker", blocked.rule
threads = [threading.Thread(target=call) for _ in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
print(len(through), all(held.written for held in through), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_ten_callers_in_two_processes_send_one_probe(
    costmon_home: Path, recorder: Recorder, killed: bool
) -> None:
    """Half open, one call of ten goes out; killed with its process, it is replaced when its minute is over."""
    guard(costmon_home, breaker=FIVE)
    fail(recorder, 5)
    now = NOON + 31 * SECOND
    children = [kit.start_python(PROBERS, str(costmon_home), str(now)) for _ in range(2)]
    try:
        answers = []
        for child in children:
            assert child.stdout.readline() == "ready\n", child.stderr.read()  # type: ignore[union-attr]
        for child in children:
            child.stdin.write("go\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
        for child in children:
            count, written = child.stdout.readline().split()  # type: ignore[union-attr]
            answers.append(int(count))
            assert written == "True"
        assert sorted(answers) == [0, 1]
        if killed:
            for child in children:
                child.send_signal(signal.SIGKILL)
    finally:
        for child in children:
            child.communicate(timeout=30)
    refusal(at(recorder, now + MINUTE - 1))
    worked(recorder, go(at(recorder, now + MINUTE)))
    assert state(costmon_home) is None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["call", "ok", "fail", "drop", "wait"]), st.integers(0, 40)), max_size=60
    )
)
def test_however_calls_end_there_is_one_probe(steps: list[tuple[str, int]]) -> None:
    """Beside an independent breaker of a few lines: who goes out is the same after any history."""
    import sqlite3

    from costmon.shim import schema

    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(next(sql for sql in schema._RULES if "table if not exists breaker" in sql))
    rules = Rules(breaker=Breaker(3, 60 * SECOND, 30 * SECOND))
    now, number = NOON, 0
    flying: list[Attempt] = []
    fails: list[int] = []  # since the last success, while it is closed
    opened: int | None = None
    probe: tuple[str, int] | None = None
    for step, figure in steps:
        if step == "wait":
            now += figure * SECOND
        elif step == "call":
            number += 1
            attempt = attempt_of(f"{number:032x}", now)
            free = opened is None or (now >= opened + 30 * SECOND and (probe is None or now >= probe[1]))
            try:
                check(db, rules, attempt, {}, _raise)
                went = True
            except SpendBlocked:
                went = False
            assert went == free
            if went:
                flying.append(attempt)
                if opened is not None:
                    probe = (attempt.id, now + MINUTE)
        elif flying:
            attempt = flying.pop(figure % len(flying))
            after(db, rules, attempt, settlement({"ok": "ok", "fail": "error", "drop": "dropped"}[step], now))
            mine = probe is not None and probe[0] == attempt.id
            if step == "drop":
                probe = None if mine else probe
            elif step == "ok":
                if opened is None or mine:
                    fails, opened, probe = [], None, None
            elif opened is None:
                fails = [*fails, now] if fails and fails[0] >= now - MINUTE else [now]
                opened = now if len(fails) >= 3 else None
            elif mine:
                opened, probe = now, None
    db.close()


def _raise(blocked: SpendBlocked) -> None:
    raise blocked


def attempt_of(number: str, now: int, fingerprint: str = "") -> Attempt:
    return Attempt(
        number, now, "shim", "a", "", "", False, "chat", "p", "m", "", 1, 1, 1, "USD", False, fingerprint
    )


def settlement(outcome: str, now: int, status: int | None = None) -> Settlement:
    return Settlement(now, outcome, "none", {}, 0, "USD", "priced", 0, status_code=status)


# --- repeats and retry loops ------------------------------------------------------------------------------------


def test_the_same_request_over_and_over_is_stopped(costmon_home: Path, recorder: Recorder) -> None:
    """Three identical requests in ten minutes are enough; another request goes on, and so does the first one later."""
    guard(costmon_home, repeat={"calls": 3, "within": 600})
    for number in range(3):
        go(at(recorder, NOON + number * MINUTE), fingerprint="f1")
    found = refusal(at(recorder, NOON + 10 * MINUTE - 1), fingerprint="f1")
    assert (found.rule, found.scope) == ("repeat", f"app={context.program_name()}")
    assert found.until == to_datetime(NOON + 10 * MINUTE)
    assert found.reason == (
        "the same request was made 3 times since 2026-11-21 12:00 UTC (rule repeat); it is refused until "
        "2026-11-21 12:10 UTC"
    )
    go(recorder, fingerprint="f2")
    go(recorder)  # what cannot be read is no repeat
    go(at(recorder, NOON + 10 * MINUTE), fingerprint="f1")
    assert refused_rows(costmon_home)[0][0] == "repeat"


def test_two_apps_with_the_same_request_count_together(costmon_home: Path, recorder: Recorder) -> None:
    """Two services that run the same scheduler are exactly what the guard is for."""
    guard(costmon_home, repeat={"calls": 2, "within": 600})
    for app in ("one", "two"):
        with context.context(app=app):
            go(recorder, fingerprint="f")
    other = at(Recorder(str(costmon_home)), NOON)
    with context.context(app="three"):
        assert refusal(other, fingerprint="f").scope == "app=three"


def test_a_loop_of_failing_retries_is_stopped(costmon_home: Path, recorder: Recorder) -> None:
    """Three failures of one request stop it; one success ends the loop; what the app gave up itself is no failure."""
    guard(costmon_home, retry_loop={"failures": 3, "within": 300})
    for status in (400, 500):
        broke(recorder, go(recorder, fingerprint="f"), status=status)
    recorder.settle(go(recorder, fingerprint="f"), Outcome("error", cost=0, error="CancelledError"))
    worked(recorder, go(recorder, fingerprint="f"))
    for _ in range(3):
        broke(recorder, go(recorder, fingerprint="f"), status=None, outcome="unknown")
    found = refusal(at(recorder, NOON + 299 * SECOND), fingerprint="f")
    assert (found.rule, found.retry_after) == ("retry_loop", 1.0)
    assert "the same request failed 3 times since 2026-11-21 12:00 UTC" in found.reason
    go(recorder, fingerprint="g")
    broke(at(recorder, NOON + 300 * SECOND), go(at(recorder, NOON + 300 * SECOND), fingerprint="f"))
    go(recorder, fingerprint="f")


def test_a_short_guard_does_not_forget_for_a_long_one(
    costmon_home: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows are thrown away only when they are over for both guards; then they are."""
    monkeypatch.setattr(repetition, "_PRUNE_ONE_IN", 1)
    guard(costmon_home, repeat={"calls": 2, "within": 3600}, retry_loop={"failures": 9, "within": 60})
    for number in range(2):
        worked(at(recorder, NOON + number), go(at(recorder, NOON + number), fingerprint="slow"))
    later = at(recorder, NOON + 10 * MINUTE)
    broke(later, go(later, fingerprint="other"))
    assert refusal(later, fingerprint="slow").rule == "repeat"
    broke(at(recorder, NOON + 2 * HOUR), go(at(recorder, NOON + 2 * HOUR), fingerprint="other"))
    assert kit.rows(costmon_home, "select fingerprint from repetition") == [("other",)]


def test_a_clock_set_back_ends_a_guards_window(costmon_home: Path, recorder: Recorder) -> None:
    """A window that began in the future would refuse for as long as the clock was wrong."""
    guard(costmon_home, repeat={"calls": 1, "within": 600}, retry_loop={"failures": 1, "within": 600})
    broke(recorder, go(recorder, fingerprint="f"))
    assert refusal(recorder, fingerprint="f").rule == "retry_loop"
    go(at(recorder, NOON - DAY), fingerprint="f")


# --- through the front door -------------------------------------------------------------------------------------


def test_a_tracked_function_meets_every_rule(costmon_home: Path) -> None:
    """`@track` is refused by a rate limit and by the breaker of its provider, sync, async and as a generator."""
    limit(costmon_home, 2, "day", scope="provider=coupang")
    guard(costmon_home, breaker={"failures": 1, "within": 60, "pause": 3000})
    ran = []

    @costmon.track("coupang", cost_per_call="0.01")
    def search() -> None:
        ran.append(1)

    @costmon.track("naver")
    def broken() -> None:
        raise ConnectionError

    @costmon.track("outer")
    def nested() -> None:
        search()

    @costmon.track("naver")
    async def later() -> None:
        ran.append(2)

    @costmon.track("naver")
    def pages() -> Any:
        yield ran.append(3)

    search()
    search()
    for blocked in (search, nested, nested):  # a refusal inside is no failure of the outer one
        with pytest.raises(SpendBlocked) as caught:
            blocked()
        assert caught.value.rule == "rate"
    with pytest.raises(ConnectionError):
        broken()
    for call in (broken, lambda: asyncio.run(later()), lambda: list(pages())):
        with pytest.raises(SpendBlocked) as caught:
            call()
        assert caught.value.rule == "breaker"
    assert ran == [1, 1]


def test_large_prompts_and_unknown_models_are_told_once(costmon_home: Path, recorder: Recorder) -> None:
    """A notice a day for each, whatever the number of calls; the calls go out."""
    kit.set_setting(costmon_home, "warn_prompt_tokens", "1000")
    for _ in range(3):
        for tokens in (999, 1000, 5000):
            assert recorder.admit(kit.llm(input_tokens=tokens)) is not None
        assert recorder.admit(kit.llm("model-of-tomorrow", input_tokens=1)) is not None
    recorder.drain_at_exit(1)
    found = kit.rows(costmon_home, "select kind, subject, app, calls, detail from notice order by kind")
    app = context.program_name()
    assert found == [
        ("prompt", "gpt-4o-mini", app, 6, "about 5,000 tokens"),
        ("unpriced", "model-of-tomorrow", app, 3, "provider openai"),
    ]


# --- dry run ----------------------------------------------------------------------------------------------------


def every_rule(home: Path) -> int:
    """A home where each rule refuses the second call of `("f", provider p)`; returns the budget's id."""
    limit(home, 1, "day")
    guard(
        home,
        breaker={"failures": 1, "within": 60, "pause": 3000},
        repeat={"calls": 1, "within": 600},
        retry_loop={"failures": 1, "within": 600},
    )
    return kit.add_budget(home, 1, start=NOON - NOON % DAY)


def test_a_dry_run_decides_everything_and_refuses_nothing(costmon_home: Path, recorder: Recorder) -> None:
    """What each rule would have refused is on record, marked; the money is reserved and spent as ever."""
    budget = every_rule(costmon_home)
    kit.set_setting(costmon_home, "dry_run", "1")
    kit.set_setting(costmon_home, "unknown_price", "refuse")
    broke(recorder, go(recorder, fingerprint="f"), cost=1)
    held = go(recorder, fingerprint="f")
    worked(recorder, held)
    assert recorder.admit(kit.llm("model-of-tomorrow", fingerprint="f")) is not None
    found = refused_rows(costmon_home)
    assert {(row[0], row[3]) for row in found} == {
        (rule, 1) for rule in ("budget95", "rate", "breaker", "repeat", "retry_loop", "price")
    }
    assert kit.period(costmon_home, budget)["spent"] == 2
    kit.assert_sums_agree(costmon_home)
    kit.set_setting(costmon_home, "dry_run", "0")
    assert refusal(recorder, fingerprint="f").rule in ("budget", "budget95")


def test_a_dry_run_writes_no_switch_and_clears_its_own(costmon_home: Path, recorder: Recorder) -> None:
    """Automatic files would stop programs that read the folder alone; a person's stay, and stop the calls."""
    kit.add_budget(costmon_home, 10, start=NOON - NOON % DAY)
    kit.spend(recorder, 10)
    assert os.listdir(recorder.folder) != ["readers"]
    kit.set_setting(costmon_home, "dry_run", "1")
    kit.spend(recorder, 10)  # excused from the file that still stands
    assert sorted(set(os.listdir(recorder.folder)) - {"readers"}) == []
    kit.spend(recorder, 10)
    switch.write(recorder.folder, switch.Block("provider=p", "stop", by="me"))
    assert refusal(recorder).rule == "switch"


@pytest.mark.parametrize("how", ["dry run", "bypass"])
def test_a_persons_block_beside_an_automatic_one_still_blocks(
    costmon_home: Path, recorder: Recorder, how: str
) -> None:
    """Excusing what costmon set by itself does not excuse what a person set on a narrower scope."""
    kit.set_setting(costmon_home, "dry_run", "1" if how == "dry run" else "0")
    if how == "bypass":
        bypass(costmon_home, "provider=p", NOON - 1, NOON + HOUR)
    automatic = switch.Block(
        "all", "used up", by="budget x", since=NOON - 1, until=NOON + DAY, automatic=True
    )
    switch.write(recorder.folder, automatic)
    go(recorder)
    switch.write(recorder.folder, switch.Block("provider=p", "stop", by="me"))
    found = refusal(recorder)
    assert (found.rule, found.scope) == ("switch", "provider=p")
    if how == "bypass":
        assert refusal(recorder, provider="q").scope == "all"


# --- bypass -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["all", "app=a", "provider=p", "model=m", "route=/r", "job=j"])
def test_a_bypass_lifts_every_rule_in_its_scope_until_it_ends(
    costmon_home: Path, recorder: Recorder, scope: str
) -> None:
    """In the emergency nothing costmon decides by itself stands in the way; to the microsecond of its end."""
    budget = every_rule(costmon_home)
    with context.context(app="a", route="/r", job="j"):
        broke(recorder, go(recorder, fingerprint="f"), cost=1)
        refusal(recorder, fingerprint="f")
        bypass(costmon_home, scope, NOON, NOON + HOUR)
        for now in (NOON, NOON + HOUR - 1):
            broke(at(recorder, now), go(at(recorder, now), fingerprint="f"), cost=1)
        refusal(at(recorder, NOON + HOUR), fingerprint="f")
        refusal(at(recorder, NOON - 1), fingerprint="f")  # a clock set back before it began gains nothing
    assert kit.period(costmon_home, budget)["spent"] == 3
    with context.context(app="b", route="/x", job="k"):
        if scope == "all":
            go(at(recorder, NOON), provider="q", model="n", fingerprint="f")
        else:
            refusal(at(recorder, NOON), provider="q", model="n", fingerprint="f")


def test_a_bypass_does_not_lift_a_persons_block(costmon_home: Path, recorder: Recorder) -> None:
    """What a person stopped stays stopped."""
    bypass(costmon_home, "all", NOON, NOON + HOUR)
    switch.write(recorder.folder, switch.Block("all", "stop", by="me"))
    assert refusal(recorder).rule == "switch"


def test_a_lifted_bypass_is_over(costmon_home: Path, recorder: Recorder) -> None:
    """Ended early, it binds the next call."""
    limit(costmon_home, 1)
    bypass(costmon_home, "all", NOON, NOON + HOUR)
    go(recorder)
    go(recorder)
    db = kit.connect(costmon_home)
    db.execute("update override set lifted_at = ?, lifted_by = 'me'", (NOON,))
    db.close()
    kit.set_setting(costmon_home, "renewed", "lifted")
    assert refusal(recorder).rule == "rate"


def test_a_bypass_holds_without_the_ledger(costmon_home: Path, recorder: Recorder) -> None:
    """In an outage with strict = true the emergency door opens all the same."""
    kit.set_setting(costmon_home, "strict", "true")
    bypass(costmon_home, "all", NOON, NOON + HOUR)
    recorder.provider_hosts()
    labels = ("a", "", "", False)
    assert recorder._without_ledger(LedgerBusy("test"), kit.priced(1), labels) is not None
    with pytest.raises(SpendBlocked):
        at(recorder, NOON + HOUR)._without_ledger(LedgerBusy("test"), kit.priced(1), labels)


def test_rules_that_are_off_touch_nothing(costmon_home: Path, recorder: Recorder) -> None:
    """Without a rule in the file a call reads and writes none of its tables."""
    worked(recorder, go(recorder, fingerprint="f"))
    broke(recorder, go(recorder, fingerprint="f"))
    for table in ("rate_window", "breaker", "repetition"):
        assert kit.one(costmon_home, f"select count(*) from {table}") == 0


def test_threads_share_the_rules(costmon_home: Path, recorder: Recorder) -> None:
    """40 threads on a limit of 10 and a guard of 6 for each of two requests: 6 and 4, or less of one than of its guard."""
    limit(costmon_home, 10)
    guard(costmon_home, repeat={"calls": 6, "within": 600})
    through: list[str] = []
    barrier = threading.Barrier(40)

    def call(fingerprint: str) -> None:
        barrier.wait(30)
        for _ in range(20):  # a thread may find the ledger busy with 39 others
            try:
                held = recorder.admit(kit.priced(1, fingerprint=fingerprint))
            except SpendBlocked:
                return
            if held is not None and held.written:
                through.append(fingerprint)
                return
            time.sleep(0.01)

    threads = [threading.Thread(target=call, args=(f"f{number % 2}",)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(through) == 10
    assert max(through.count("f0"), through.count("f1")) <= 6
