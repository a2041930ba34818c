"""What Python files do that may cost without end: retries without a limit, missed runs that are all caught up with, loops
that sleep."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from costmon.audit.python.source import Source, keyword, last_name
from costmon.audit.values import NOTE, WARNING
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
    if source.dotted(node) == "math.inf" or (count is not None and count > _MOST_RETRIES):
        yield _unlimited(
            source, call, f"max_retries={'math.inf' if count is None else count}", "max_retries=2"
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
    for node in source.loops:
        if isinstance(node.test, ast.Constant) and node.test.value:
            yield from _sleeping(source, node)


def _sleeping(source: Source, loop: ast.While) -> Iterator[Habit]:
    from costmon.audit.cadences import of_seconds

    for node in _inside(loop):
        if (
            isinstance(node, ast.Call)
            and source.dotted(node.func) in ("time.sleep", "asyncio.sleep")
            and node.args
        ):
            cadence = of_seconds(source.count(node.args[0]).value)
            if cadence is not None and Fraction(cadence.shortest_us) < 3_600_000_000:
                yield Habit(
                    "sleep-loop",
                    NOTE,
                    Place(source.path, node.lineno),
                    f"a loop that sleeps {cadence.text.removeprefix('every ')}",
                    "A loop without an end sleeps instead of having a plan, so nobody can see when it runs next.",
                    'If it makes calls, name it: with costmon.job("NAME", every="60m").',
                )
                return


def _inside(loop: ast.While) -> Iterator[ast.AST]:
    """What the loop itself does, without functions defined in it."""
    waiting: list[ast.AST] = list(loop.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))
