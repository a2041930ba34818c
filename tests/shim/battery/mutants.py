"""Break one function of the shim at a time and make the same calls: run as `python -m tests.shim.battery.mutants`.

Arguments: a prepared home, a server's base URL, a port where nobody listens, and which share of the functions (`2/5`).
Prints one JSON line for each function that the calls reach: its name, how often the fault fired, and what the app saw
otherwise than unbroken.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import json
import os
import pickle
import pkgutil
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import httpx
import openai

import costmon
import costmon.shim

ROOT = str(Path(costmon.__file__).resolve().parent)
CHAT: dict[str, Any] = {
    "model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50
}  # fmt: skip
STREAM = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}


class Broken(Exception):
    """A fault of ours."""


def fire() -> None:
    _fired.append(1)
    raise Broken


_fired: list[int] = []
builtins.costmon_breaks = fire  # type: ignore[attr-defined]


def breaks(*args: Any, **kwargs: Any) -> None:
    costmon_breaks()  # type: ignore[name-defined]  # noqa: F821


# --- the functions ---


def modules() -> Iterator[Any]:
    yield costmon
    for found in pkgutil.walk_packages(costmon.shim.__path__, "costmon.shim."):
        if "inject" not in found.name:
            yield importlib.import_module(found.name)


def functions() -> dict[str, FunctionType]:
    """Every function and method of the shim by its full name; not those inside others."""
    found: dict[str, FunctionType] = {}
    for module in modules():
        for value in list(vars(module).values()):
            for function in _functions_of(value):
                code = function.__code__
                if code.co_filename.startswith(ROOT) and not code.co_freevars:
                    found[f"{function.__module__}.{function.__qualname__}"] = function
    return found


def _functions_of(value: object) -> Iterator[FunctionType]:
    if isinstance(value, type):
        for member in list(vars(value).values()):
            yield from _functions_of(getattr(member, "__func__", getattr(member, "fget", member)))
    else:
        inner = getattr(value, "__wrapped__", value)  # behind a cache
        if isinstance(inner, FunctionType):
            yield inner


def clear_caches() -> None:
    for module in modules():
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


# --- the calls ---


def seen(call: Callable[[], Any]) -> str:
    """What the app got: a value, or an exception."""
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def text(answer: Any) -> Any:
    return answer.choices[0].message.content, answer.usage.total_tokens


def parts(chunks: Any) -> list[str]:
    return [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]


def sdk(base: str) -> openai.OpenAI:
    http = httpx.Client(trust_env=False, verify=False)
    return openai.OpenAI(base_url=base, api_key="k", max_retries=0, http_client=http)


def everything(base: str, nobody: str) -> list[str]:
    """An app's day: calls of every kind, good ones and bad ones."""
    found = [seen(lambda: costmon.instrument(app="mutant"))]
    with sdk(base + "/v1") as client:
        create = client.chat.completions.create

        def left() -> str:
            with create(**STREAM) as stream:
                return str(next(iter(stream)).choices[0].delta.content)

        def forgotten() -> str:
            first = str(next(iter(create(**STREAM))).choices[0].delta.content)
            gc.collect()
            return first

        found += [
            seen(lambda: text(create(**CHAT))), seen(lambda: parts(create(**STREAM))), seen(left), seen(forgotten),
            seen(lambda: create(**{**CHAT, "model": "fails"})),
        ]  # fmt: skip
    with sdk(nobody) as client:
        found.append(seen(lambda: client.chat.completions.create(**CHAT)))
    found.append(seen(lambda: asyncio.run(asynchronous(base))))
    return [*found, *tracked(), seen(costmon.guard)]


async def asynchronous(base: str) -> Any:
    http = httpx.AsyncClient(trust_env=False, verify=False)
    async with openai.AsyncOpenAI(
        base_url=base + "/v1", api_key="k", max_retries=0, http_client=http
    ) as client:
        answer = text(await client.chat.completions.create(**CHAT))
        chunks = [chunk async for chunk in await client.chat.completions.create(**STREAM)]
        async with httpx.AsyncClient(trust_env=False, verify=False) as other:
            plain = (await other.post(base + "/v1/chat/completions", json=CHAT)).status_code
        return answer, parts(chunks), plain


def tracked() -> list[str]:
    def call(value: int) -> int:
        return 10 // value

    def items() -> Iterator[int]:
        yield from (1, 2, 3)

    async def later() -> int:
        return 7

    def watched(function: Any) -> Any:
        return costmon.track("coupang", cost_per_call="0.01")(function)

    return [
        seen(lambda: watched(call)(2)), seen(lambda: watched(call)(0)), seen(lambda: list(watched(items)())),
        seen(lambda: asyncio.run(watched(later)())),
    ]  # fmt: skip


# --- one child for each ---


def lived(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked child."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitpid(pid, 0)[1]
    return pickle.loads(data) if data else (0, [f"the process died with status {status}"])


def live(template: Path, base: str, nobody: str, function: FunctionType | None) -> tuple[int, list[str]]:
    """The app's day in a home of its own, with `function` broken; how often it was called, and what the app saw."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        shutil.copytree(template, home)
        os.environ["COSTMON_HOME"] = str(home)
        clear_caches()
        if function is not None:
            function.__code__ = breaks.__code__.replace(co_name=function.__code__.co_name)
        found = everything(base, nobody)
        from costmon.shim import runtime

        found.append(seen(runtime.at_exit))
        return len(_fired), found


def reached(template: Path, base: str, nobody: str) -> set[tuple[str, int, str]]:
    """The functions that the calls run, unbroken."""
    codes: set[CodeType] = set()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    def work() -> set[tuple[str, int, str]]:
        sys.setprofile(profile)
        live(template, base, nobody, None)
        sys.setprofile(None)
        return {_name(code) for code in codes if code.co_filename.startswith(ROOT)}

    found: set[tuple[str, int, str]] = lived(work)
    return found


def _name(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name


def main() -> None:
    template, base, nobody, share = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    number, _, of = share.partition("/")
    warnings.simplefilter("ignore")
    everywhere = functions()
    os.environ["COSTMON_ENABLED"] = "0"
    everything(base, nobody)  # loads what the SDK loads late, once for all children
    del os.environ["COSTMON_ENABLED"]
    expected = lived(lambda: live(template, base, nobody, None))[1]
    again = lived(lambda: live(template, base, nobody, None))[1]
    assert expected == again, (expected, again)
    called = reached(template, base, nobody)
    names = sorted(name for name, function in everywhere.items() if _name(function.__code__) in called)
    for name in names[int(number) :: int(of)]:
        function = everywhere[name]
        fired, found = lived(lambda function=function: live(template, base, nobody, function))  # type: ignore[misc]
        wrong = [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]]
        print(json.dumps({"name": name, "fired": fired, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main()
