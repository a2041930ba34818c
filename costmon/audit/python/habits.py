"""What Python files do that may cost without end: retries without a limit, missed runs that are all caught up with, loops
that sleep."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from costmon.audit.cadences import of_seconds
from costmon.audit.python.reach import Reach
from costmon.audit.python.source import Source, keyword, last_name
from costmon.audit.values import NOTE, WARNING, Cadence
from costmon.sources.compose.values import Place

_MOST_RETRIES = 20


class Habit(NamedTuple):
    """`rule`, `severity`, what stands there (`text`), what is wrong and what to do, one sentence each."""

    rule: str
    severity: str
    place: Place
    text: str
    sentence: str
    advice: str
    cadence: Cadence | None = None
    """Of a loop that sleeps: how often it goes round, at most; `ties` whether it makes paid calls, with one of `models`."""
    ties: bool | None = None
    job: str = ""
    models: tuple[str, ...] = ()


def habits(source: Source, *, spends: bool) -> Iterator[Habit]:
    """What the file declares; loops that sleep only where it `spends`."""
    for call in source.calls:
        yield from _retry(source, call)
        yield from _catch_up(source, call)
    yield from _bare_retries(source)
    if spends:
        yield from _loops(source)


def _unlimited(source: Source, node: ast.AST, text: str, limit: str) -> Habit:
    place = Place(source.path, getattr(node, "lineno", 1))
    return Habit(
        "retry-unlimited",
        WARNING,
        place,
        text,
        "It retries without a limit, and each retry may be a paid call.",
        f"Set a limit: {limit}.",
    )


def _retry(source: Source, call: ast.Call) -> Iterator[Habit]:
    name = source.dotted(call.func)
    last = name.rpartition(".")[2]
    given = {one.arg for one in call.keywords}
    if name.startswith("tenacity.") and last in ("retry", "Retrying", "AsyncRetrying"):
        if "stop" not in given and None not in given:
            yield _unlimited(source, call, f"tenacity {last} without stop=", "stop=stop_after_attempt(5)")
    elif name.startswith("backoff.on_"):
        if not given & {"max_tries", "max_time", None}:
            yield _unlimited(source, call, f"{name} without max_tries= or max_time=", "max_tries=5")
    elif name.startswith("stamina."):
        if source.is_none(keyword(call, "attempts")) and source.is_none(keyword(call, "timeout")):
            yield _unlimited(source, call, f"{name} with attempts=None and timeout=None", "attempts=5")
    elif "max_retries" in given:
        yield from _max_retries(source, call)


def _max_retries(source: Source, call: ast.Call) -> Iterator[Habit]:
    """Celery's max_retries=None, and clients that try again and again."""
    node = keyword(call, "max_retries")
    assert node is not None
    if isinstance(node, ast.Constant) and node.value is None:
        if last_name(call.func) in ("task", "shared_task", "retry", "periodic_task"):
            yield _unlimited(source, call, "max_retries=None", "max_retries=5")
        return
    count = source.count(node).value
    if source.dotted(node) == "math.inf":
        yield _unlimited(source, call, "max_retries=math.inf", "max_retries=2")
    elif count is not None and count > _MOST_RETRIES:
        yield Habit(
            "retry-unlimited",
            NOTE,
            Place(source.path, call.lineno),
            f"max_retries={count}",
            f"It retries up to {round(count):,} times, and each retry may be a paid call.",
            "Set a lower limit: max_retries=2.",
        )


def _bare_retries(source: Source) -> Iterator[Habit]:
    """`@retry` of tenacity without arguments tries for ever."""
    for node in source.functions:
        for one in node.decorator_list:
            if source.dotted(one) == "tenacity.retry":
                yield _unlimited(source, one, "@retry without stop=", "@retry(stop=stop_after_attempt(5))")


def _catch_up(source: Source, call: ast.Call) -> Iterator[Habit]:
    """APScheduler runs everything it missed when grace has no end and runs are not put together."""
    defaults = source.resolved(keyword(call, "job_defaults"))
    given: dict[str | None, ast.expr] = {one.arg: one.value for one in call.keywords}
    if isinstance(defaults, ast.Dict):
        given = {source.text(key): value for key, value in zip(defaults.keys, defaults.values, strict=True)}
    coalesce = source.resolved(given.get("coalesce"))
    if (
        not isinstance(coalesce, ast.Constant)
        or coalesce.value is not False
        or "misfire_grace_time" not in given
    ):
        return
    if source.is_none(given["misfire_grace_time"]):
        yield Habit(
            "catch-up",
            NOTE,
            Place(source.path, call.lineno),
            "misfire_grace_time=None, coalesce=False",
            "After a pause every run that was missed is made up for at once, each with its calls.",
            "Set coalesce=True, or a misfire_grace_time in seconds.",
        )


def _loops(source: Source) -> Iterator[Habit]:
    endless = [node for node in source.loops if isinstance(node.test, ast.Constant) and node.test.value]
    if not endless:
        return
    reach, models = Reach(source), source.models()
    for node in endless:
        ties = reach.of(node.body)
        if ties is not False and (tried := _tries_again(node)) is not None:
            text = "a loop that tries again after every error"
            yield _unlimited(source, tried, text, "for _ in range(5), and raise the last error")
        else:
            yield from _sleeping(source, node, ties, models)


def _tries_again(loop: ast.While) -> ast.Try | None:
    """The try of a loop that ends only by success: nothing behind an error raises, returns or breaks."""
    found = [node for node in loop.body if isinstance(node, ast.Try) and node.handlers]
    if len(found) != 1:
        return None
    (tried,) = found
    inside = list(_within([*tried.body, *tried.orelse]))
    around = [node for node in loop.body if node is not tried]
    behind = _within([*around, *tried.handlers, *tried.finalbody])
    ends = (ast.Return, ast.Break)
    if not any(isinstance(node, ends) for node in inside):
        return None
    return None if any(isinstance(node, (*ends, ast.Raise)) or _exits(node) for node in behind) else tried


def _exits(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in ("exit", "_exit", "quit")


def _sleeping(source: Source, loop: ast.While, ties: bool | None, models: tuple[str, ...]) -> Iterator[Habit]:
    """How long a loop sleeps: of several sleeps the longest, of those after an error only where there is no other."""
    inside = list(_within(loop.body))
    calls = [node for node in inside if isinstance(node, ast.Call)]
    sleeps = [node for node in calls if source.dotted(node.func) in _SLEEPS and node.args]
    # A loop that only waits, or runs what a scheduler says is due, has no plan of its own.
    if len(calls) == len(sleeps) or any(last_name(node.func) == "run_pending" for node in calls):
        return
    handled = {id(node) for one in inside if isinstance(one, ast.ExceptHandler) for node in ast.walk(one)}
    usual = [node for node in sleeps if id(node) not in handled] or sleeps
    known = [(one, of_seconds(source.count(one.args[0]).value)) for one in usual]
    slept = [(cadence.shortest_us, one.lineno, cadence) for one, cadence in known if cadence is not None]
    # Who knows how long the others are.
    if not slept or len(slept) < len(known):
        return
    _, line, cadence = max(slept)
    around = [one for one in source.functions if one.lineno <= loop.lineno <= (one.end_lineno or 0)]
    job = max(around, key=lambda one: one.lineno).name if around else ""
    yield Habit(
        "sleep-loop",
        NOTE,
        Place(source.path, line),
        f"a loop that sleeps {cadence.text.removeprefix('every ')}",
        "A loop without an end sleeps instead of having a plan, so nobody can see when it runs next.",
        'If it makes calls, name it: with costmon.job("NAME", every="60m").',
        cadence,
        ties,
        job,
        models,
    )


_SLEEPS = ("time.sleep", "asyncio.sleep")


def _within(nodes: list[ast.stmt] | list[ast.AST]) -> Iterator[ast.AST]:
    """What some statements do, without functions defined in them."""
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))
