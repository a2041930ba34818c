"""An app for `costmon run`: every client, sync and async, plain, streamed, left early, failing and retried.

    costmon run -- python driver.py BASE_URL

Prints as JSON what it saw of each cell. Each cell's calls bear its name as their route.
"""

import asyncio
import json
import os
import sys

import anthropic
import openai

import costmon  # in an app that `costmon run` started it is there, installed or not

CASES = ("plain", "stream", "early close", "error", "retry", "refused")
SWITCH = os.path.join(os.environ["COSTMON_HOME"], "switch", "all")


def said(case):
    return [{"role": "user", "content": case}]


def options(client, case):
    """Arguments of one call."""
    if client == "openai responses":
        found = {"model": "gpt-4o", "input": case, "max_output_tokens": 500}
    elif client == "openai embeddings":
        return {"model": "text-embedding-3-small", "input": case, "encoding_format": "float"}
    else:
        found = {"model": "gpt-4o", "messages": said(case), "max_tokens": 500}
        if client.startswith("anthropic"):
            found["model"] = "claude-haiku-4-5"
    if case in ("stream", "early close"):
        found["stream"] = True
        if client == "openai chat":
            found["stream_options"] = {"include_usage": True}
    return found


def method(client, sdk):
    return {
        "openai chat": lambda: sdk.chat.completions.create,
        "openai responses": lambda: sdk.responses.create,
        "openai embeddings": lambda: sdk.embeddings.create,
        "anthropic messages": lambda: sdk.messages.create,
    }[client]()


def make(client, base, case, asynchronous):
    retries = 2 if case in ("retry", "refused") else 0
    if client.startswith("anthropic"):
        kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        return kind(base_url=base, api_key="k", max_retries=retries)
    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return kind(base_url=base + "/v1", api_key="k", max_retries=retries)


def text(event):
    """The words in one event of any stream."""
    choices = getattr(event, "choices", None)
    if choices:
        return choices[0].delta.content or ""
    delta = getattr(event, "delta", None)
    return delta if isinstance(delta, str) else getattr(delta, "text", None) or ""


def blocking(client, base, case):
    with make(client, base, case, False) as sdk:
        found = method(client, sdk)(**options(client, case))
        if case == "early close":
            next(iter(found))
            found.close()
            return "closed"
        return "".join(map(text, found)) if case == "stream" else type(found).__name__


async def awaited(client, base, case):
    async with make(client, base, case, True) as sdk:
        found = await method(client, sdk)(**options(client, case))
        if case == "early close":
            await found.__anext__()
            await found.close()
            return "closed"
        return "".join([text(event) async for event in found]) if case == "stream" else type(found).__name__


def cell(client, mode, base, case):
    with costmon.context(route=f"{client}/{mode}/{case}"):
        try:
            if case == "refused":
                os.makedirs(os.path.dirname(SWITCH), exist_ok=True)
                open(SWITCH, "w").close()
            if mode == "sync":
                return blocking(client, base, case)
            return asyncio.run(awaited(client, base, case))
        except Exception as error:
            return f"{type(error).__name__} {getattr(error, 'status_code', '')}".strip()
        finally:
            if case == "refused":
                os.unlink(SWITCH)


def main(base):
    seen = {}
    for client in ("openai chat", "openai responses", "openai embeddings", "anthropic messages"):
        for mode in ("sync", "async"):
            for case in CASES:
                if client == "openai embeddings" and case in ("stream", "early close"):
                    continue
                seen[f"{client}/{mode}/{case}"] = cell(client, mode, base, case)
    versions = {"openai": openai.__version__, "anthropic": anthropic.__version__}
    clients = sorted({"httpx", "httpx2"} & set(sys.modules))
    json.dump({"seen": seen, "versions": versions, "clients": clients}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
