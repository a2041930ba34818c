"""An app for `costmon run`: every client that is installed, sync and async, in every case.

    costmon run -- python driver.py BASE_URL [CLIENT ...]

Prints as JSON what it saw of each cell, "client/mode/case". Each cell's calls bear its name as their route, and its number
in what they say, so that the server's journal can be laid beside the ledger. Cells run a few at a time, in threads.
"""

import asyncio
import importlib.metadata
import json
import os
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import costmon  # in an app that `costmon run` started it is there, installed or not

CASES = ("plain", "stream", "early close", "error", "retry", "refused")
PATIENT = ("retry", "refused")
CLIENTS = {}
EVERY_CLIENT = []  # installed or not
OPENAI_PATH = "/v1/chat/completions"


def client(name, modes=("sync", "async"), cases=CASES, needs=()):
    """Register a function (base, words, case, asynchronous) → coroutine or value under `name`."""

    EVERY_CLIENT.append(name)

    def register(function):
        if all(installed(package) for package in needs):
            CLIENTS[name] = (function, modes, cases)
        return function

    return register


def installed(package):
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def major(package):
    return int(importlib.metadata.version(package).split(".")[0])


def words(cell):
    """What the cell's calls say: what the server shall do, and whose call it is."""
    case = cell.rpartition("/")[2]
    ask = case if case in ("error", "retry") else "hi"
    return f"{ask} cell{zlib.crc32(cell.encode()):08x}"


def said(text):
    return [{"role": "user", "content": text}]


def streaming(case):
    return case in ("stream", "early close")


def taken(items, case, close=None):
    """What an app makes of a stream: all of it, or the first item."""
    if case == "stream":
        return [plain(item) for item in items]
    first = plain(next(iter(items)))
    if close is not None:
        close()
    return [first]


async def taken_async(items, case, close=None):
    if case == "stream":
        return [plain(item) async for item in items]
    iterator = items.__aiter__()
    first = plain(await iterator.__anext__())
    if close is not None:
        await close()
    return [first]


def plain(item):
    """An SDK's object as JSON."""
    if isinstance(item, dict) and isinstance(item.get("chunk"), dict):  # one of Bedrock's
        return json.loads(item["chunk"]["bytes"])
    for name in ("model_dump", "to_dict", "dict"):
        if hasattr(item, name):
            try:
                return getattr(item, name)(mode="json")
            except TypeError:
                return json.loads(json.dumps(getattr(item, name)(), default=str))
    return json.loads(json.dumps(item, default=str))


# --- SDKs ---


def openai_family(method, options, sdk, asynchronous, case):
    if not asynchronous:
        with sdk:
            found = method(sdk)(**options)
            return taken(found, case, found.close) if streaming(case) else plain(found)

    async def call():
        async with sdk:
            found = await method(sdk)(**options)
            return await taken_async(found, case, found.close) if streaming(case) else plain(found)

    return call()


def openai_client(base, case, asynchronous):
    import openai

    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return kind(base_url=base + "/v1", api_key="k", max_retries=2 if case in PATIENT else 0)


@client("openai chat", needs=["openai"])
def openai_chat(base, text, case, asynchronous):
    options = {"model": "gpt-4o", "messages": said(text), "max_tokens": 500}
    if streaming(case):
        options |= {"stream": True, "stream_options": {"include_usage": True}}
    sdk = openai_client(base, case, asynchronous)
    return openai_family(lambda s: s.chat.completions.create, options, sdk, asynchronous, case)


@client("openai responses", needs=["openai"])
def openai_responses(base, text, case, asynchronous):
    options = {"model": "gpt-4o", "input": text, "max_output_tokens": 500}
    if streaming(case):
        options["stream"] = True
    sdk = openai_client(base, case, asynchronous)
    return openai_family(lambda s: s.responses.create, options, sdk, asynchronous, case)


@client("openai embeddings", cases=("plain", "error", "retry", "refused"), needs=["openai"])
def openai_embeddings(base, text, case, asynchronous):
    options = {"model": "text-embedding-3-small", "input": text, "encoding_format": "float"}
    sdk = openai_client(base, case, asynchronous)
    return openai_family(lambda s: s.embeddings.create, options, sdk, asynchronous, case)


@client("openai on aiohttp", modes=("async",), needs=["openai", "httpx-aiohttp"])
def openai_aiohttp(base, text, case, asynchronous):
    import openai

    options = {"model": "gpt-4o", "messages": said(text), "max_tokens": 500}
    if streaming(case):
        options |= {"stream": True, "stream_options": {"include_usage": True}}
    sdk = openai.AsyncOpenAI(
        base_url=base + "/v1",
        api_key="k",
        max_retries=2 if case in PATIENT else 0,
        http_client=openai.DefaultAioHttpClient(),
    )
    return openai_family(lambda s: s.chat.completions.create, options, sdk, asynchronous, case)


@client("anthropic", needs=["anthropic"])
def anthropic_messages(base, text, case, asynchronous):
    import anthropic

    kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
    sdk = kind(base_url=base, api_key="k", max_retries=2 if case in PATIENT else 0)
    options = {"model": "claude-haiku-4-5", "messages": said(text), "max_tokens": 500}
    if streaming(case):
        options["stream"] = True
    return openai_family(lambda s: s.messages.create, options, sdk, asynchronous, case)


@client("groq", needs=["groq"])
def groq_chat(base, text, case, asynchronous):
    import groq

    kind = groq.AsyncGroq if asynchronous else groq.Groq
    sdk = kind(base_url=base, api_key="k", max_retries=2 if case in PATIENT else 0)
    options = {"model": "llama-3.3-70b-versatile", "messages": said(text), "max_tokens": 500}
    if streaming(case):
        options["stream"] = True
    return openai_family(lambda s: s.chat.completions.create, options, sdk, asynchronous, case)


@client("google-genai", needs=["google-genai"])
def google(base, text, case, asynchronous):
    from google import genai
    from google.genai import types

    http = {"base_url": base, "api_version": "v1beta"}
    if case in PATIENT:
        http["retry_options"] = types.HttpRetryOptions(attempts=2, initial_delay=0.1)
    sdk = genai.Client(api_key="k", http_options=types.HttpOptions(**http))
    options = {
        "model": "gemini-2.5-flash",
        "contents": text,
        "config": types.GenerateContentConfig(max_output_tokens=500),
    }
    if not asynchronous:
        if not streaming(case):
            return plain(sdk.models.generate_content(**options))
        found = sdk.models.generate_content_stream(**options)
        return taken(found, case, found.close)

    async def call():
        try:
            if not streaming(case):
                return plain(await sdk.aio.models.generate_content(**options))
            found = await sdk.aio.models.generate_content_stream(**options)
            return await taken_async(found, case, found.aclose)
        finally:
            if hasattr(sdk.aio, "aclose"):
                await sdk.aio.aclose()

    return call()


@client("mistral", needs=["mistralai"])
def mistral(base, text, case, asynchronous):
    if major("mistralai") >= 2:
        from mistralai.client import Mistral
        from mistralai.client.utils import BackoffStrategy, RetryConfig
    else:
        from mistralai import Mistral
        from mistralai.utils import BackoffStrategy, RetryConfig
    more = {}
    if case in PATIENT:
        more["retry_config"] = RetryConfig("backoff", BackoffStrategy(100, 200, 1.5, 2000), True)
    sdk = Mistral(api_key="k", server_url=base, **more)
    options = {"model": "mistral-small-latest", "messages": said(text), "max_tokens": 500}
    if not asynchronous:
        with sdk:
            if not streaming(case):
                return plain(sdk.chat.complete(**options))
            with sdk.chat.stream(**options) as found:
                return taken(found, case)

    async def call():
        async with sdk:
            if not streaming(case):
                return plain(await sdk.chat.complete_async(**options))
            async with await sdk.chat.stream_async(**options) as found:
                return await taken_async(found, case)

    return call()


@client("cohere", needs=["cohere"])
def cohere_chat(base, text, case, asynchronous):
    import cohere

    kind = cohere.AsyncClientV2 if asynchronous else cohere.ClientV2
    sdk = kind(api_key="k", base_url=base)
    retries = {"request_options": {"max_retries": 2 if case in PATIENT else 0}}
    options = {"model": "command-a-03-2025", "messages": said(text), "max_tokens": 500, **retries}
    if not asynchronous:
        if not streaming(case):
            return plain(sdk.chat(**options))
        found = sdk.chat_stream(**options)
        return taken(found, case, getattr(found, "close", None))

    async def call():
        if not streaming(case):
            return plain(await sdk.chat(**options))
        found = sdk.chat_stream(**options)
        return await taken_async(found, case, getattr(found, "aclose", None))

    return call()


@client("ollama", cases=("plain", "stream", "early close", "error", "refused"), needs=["ollama"])
def ollama_chat(base, text, case, asynchronous):
    import ollama

    sdk = (ollama.AsyncClient if asynchronous else ollama.Client)(host=base)
    options = {"model": "llama3.2", "messages": said(text), "options": {"num_predict": 500}}
    if not asynchronous:
        found = sdk.chat(**options, stream=streaming(case))
        return taken(found, case, found.close) if streaming(case) else plain(found)

    async def call():
        found = await sdk.chat(**options, stream=streaming(case))
        return await taken_async(found, case, found.aclose) if streaming(case) else plain(found)

    return call()


def bedrock_client(base, case):
    import boto3
    from botocore.config import Config

    attempts = 2 if case in PATIENT else 1
    base = os.environ.get("APP_STREAMS_OF_BEDROCK", base) if streaming(case) else base
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=base,
        aws_access_key_id="k",
        aws_secret_access_key="k",
        config=Config(retries={"total_max_attempts": attempts, "mode": "legacy"}),
    )


def without_metadata(found):
    return {
        name: value for name, value in found.items() if name not in ("ResponseMetadata", "stream", "body")
    }


@client("bedrock converse", modes=("sync",), needs=["boto3"])
def converse(base, text, case, asynchronous):
    sdk = bedrock_client(base, case)
    options = {
        "modelId": "anthropic.claude-3-haiku-20240307-v1:0",
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "inferenceConfig": {"maxTokens": 500},
    }
    if not streaming(case):
        return plain(without_metadata(sdk.converse(**options)))
    found = sdk.converse_stream(**options)["stream"]
    return taken(found, case, found.close)


@client("bedrock invoke", modes=("sync",), needs=["boto3"])
def invoke(base, text, case, asynchronous):
    sdk = bedrock_client(base, case)
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 500, "messages": said(text)}
    options = {"modelId": "anthropic.claude-3-haiku-20240307-v1:0", "body": json.dumps(body)}
    if not streaming(case):
        return json.loads(sdk.invoke_model(**options)["body"].read())
    found = sdk.invoke_model_with_response_stream(**options)["body"]
    return taken(found, case, found.close)


def litellm_call(model, base, text, case, asynchronous):
    import litellm

    litellm.suppress_debug_info = True
    options = {
        "model": model,
        "messages": said(text),
        "max_tokens": 500,
        "api_base": base,
        "api_key": "k",
        "num_retries": 2 if case in PATIENT else 0,
        "max_retries": 0,  # those of the SDK below
    }
    if streaming(case):
        options |= {"stream": True, "stream_options": {"include_usage": True}}
    if not asynchronous:
        found = litellm.completion(**options)
        return taken(found, case) if streaming(case) else plain(found)

    async def call():
        found = await litellm.acompletion(**options)
        return await taken_async(found, case) if streaming(case) else plain(found)

    return call()


@client("litellm to openai", needs=["litellm"])
def litellm_openai(base, text, case, asynchronous):
    return litellm_call("openai/gpt-4o", base + "/v1", text, case, asynchronous)


# litellm does not try again what Anthropic limits.
@client(
    "litellm to anthropic", cases=("plain", "stream", "early close", "error", "refused"), needs=["litellm"]
)
def litellm_anthropic(base, text, case, asynchronous):
    return litellm_call("anthropic/claude-haiku-4-5", base, text, case, asynchronous)


# --- HTTP clients by themselves ---


def chat_body(text, case):
    body = {"model": "gpt-4o", "messages": said(text), "max_tokens": 500}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if streaming(case) else body


def httpx_calls(library, base, text, case, asynchronous):
    post = ("POST", base + OPENAI_PATH)
    body = chat_body(text, case)
    if not asynchronous:
        with library.Client(trust_env=False) as http, http.stream(*post, json=body) as response:
            if case == "early close":
                return next(response.iter_text())
            return [response.status_code, response.read().decode()]

    async def call():
        async with library.AsyncClient(trust_env=False) as http, http.stream(*post, json=body) as response:
            if case == "early close":
                return await response.aiter_text().__anext__()
            return [response.status_code, (await response.aread()).decode()]

    return call()


WITHOUT_RETRY = ("plain", "stream", "early close", "error", "refused")


@client("httpx", cases=WITHOUT_RETRY, needs=["httpx"])
def httpx_alone(base, text, case, asynchronous):
    import httpx

    return httpx_calls(httpx, base, text, case, asynchronous)


@client("httpx2", cases=WITHOUT_RETRY, needs=["httpx2"])
def httpx2_alone(base, text, case, asynchronous):
    import httpx2

    return httpx_calls(httpx2, base, text, case, asynchronous)


def patience(case):
    from urllib3.util import Retry

    methods = "allowed_methods" if hasattr(Retry, "DEFAULT_ALLOWED_METHODS") else "method_whitelist"
    return Retry(
        2 if case in PATIENT else 0, status_forcelist=[429], raise_on_status=False, **{methods: None}
    )


@client("requests", modes=("sync",), needs=["requests"])
def requests_alone(base, text, case, asynchronous):
    import requests
    from requests.adapters import HTTPAdapter

    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(max_retries=patience(case)))
        response = session.post(base + OPENAI_PATH, json=chat_body(text, case), stream=streaming(case))
        if case == "early close":
            found = next(response.iter_lines(chunk_size=1))
            response.close()
            return found.decode()
        return [response.status_code, response.text]


@client("urllib3", modes=("sync",), needs=["urllib3"])
def urllib3_alone(base, text, case, asynchronous):
    import urllib3

    body, head = json.dumps(chat_body(text, case)).encode(), {"Content-Type": "application/json"}
    with urllib3.PoolManager(retries=patience(case)) as pool:
        response = pool.request(
            "POST", base + OPENAI_PATH, body=body, headers=head, preload_content=not streaming(case)
        )
        if case == "early close":
            found = next(response.stream(1))
            response.close()
            return found.decode()
        return [response.status, (response.read() if streaming(case) else response.data).decode()]


@client("aiohttp", modes=("async",), cases=WITHOUT_RETRY, needs=["aiohttp"])
def aiohttp_alone(base, text, case, asynchronous):
    async def call():
        import aiohttp

        body = chat_body(text, case)
        async with aiohttp.ClientSession() as http, http.post(base + OPENAI_PATH, json=body) as response:
            if case == "early close":
                return (await response.content.readline()).decode()
            return [response.status, await response.text()]

    return call()


# --- the table ---


def run(cell, base):
    name, _, case = cell.split("/")
    with costmon.context(route=cell):
        try:
            return CLIENTS[name][0](base, words(cell), case, False)
        except Exception as error:
            return told(error)


async def run_async(cell, base, turn):
    name, _, case = cell.split("/")
    async with turn:
        with costmon.context(route=cell):
            try:
                return await CLIENTS[name][0](base, words(cell), case, True)
            except Exception as error:
                return told(error)


def told(error):
    return {"raised": type(error).__name__, "status": status_of(error), "caused": causes(error)}


def status_of(error):
    """The HTTP status an SDK's exception carries, wherever it keeps it."""
    for name in ("status_code", "code"):
        if isinstance(getattr(error, name, None), int):
            return getattr(error, name)
    answer = getattr(error, "response", None)
    return answer["ResponseMetadata"]["HTTPStatusCode"] if isinstance(answer, dict) else None


def causes(error):
    found = []
    while error is not None and len(found) < 9:
        error = error.__cause__ or error.__context__
        found.append(type(error).__name__)
    return found[:-1]


def cells(wanted):
    for name, (_, modes, cases) in CLIENTS.items():
        if not wanted or name in wanted:
            yield from (f"{name}/{mode}/{case}" for mode in modes for case in cases)


def block():
    """What `costmon kill` does, in one line."""
    folder = os.path.join(os.environ["COSTMON_HOME"], "switch")
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, "all"), "w").close()


def main(base, wanted):
    every = list(cells(wanted))
    refused = [cell for cell in every if cell.endswith("/refused")]
    others = [cell for cell in every if cell not in refused]
    seen = {}

    def blocking(some):
        some = [cell for cell in some if "/sync/" in cell]
        with ThreadPoolExecutor(6) as pool:
            seen.update(zip(some, pool.map(lambda cell: run(cell, base), some), strict=True))

    async def awaited(some):
        some, turn = [cell for cell in some if "/async/" in cell], asyncio.Semaphore(6)
        found = await asyncio.gather(*(run_async(cell, base, turn) for cell in some))
        seen.update(zip(some, found, strict=True))

    async def every_async():
        await awaited(others)
        block()
        await awaited(refused)

    blocking(others)
    asyncio.run(every_async())
    blocking(refused)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES if installed(package)}
    json.dump(
        {"seen": seen, "words": {cell: words(cell) for cell in every}, "versions": versions}, sys.stdout
    )


PACKAGES = (
    "openai", "anthropic", "groq", "google-genai", "mistralai", "cohere", "ollama", "boto3", "litellm",
    "httpx", "httpx2", "requests", "urllib3", "aiohttp", "httpx-aiohttp",
)  # fmt: skip

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
