"""An app that makes every kind of call with the installed SDKs and prints, as JSON, what it saw of each.

    python sdk_calls.py BASE_URL [NAME ...]

It knows nothing of costmon unless APP_INSTRUMENT is set; then it does what the README says. Only the SDKs are needed.
"""

import asyncio
import json
import os
import sys

HI = [{"role": "user", "content": "hi"}]


def clients(base, *, asynchronous=False):
    import anthropic
    import openai

    one = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    two = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
    return one(base_url=base + "/v1", api_key="k"), two(base_url=base, api_key="k")


def dumped(item):
    return item.model_dump(mode="json")


# --- plain ---


def chat(o, a):
    raw = o.chat.completions.with_raw_response.create(model="gpt-4o", messages=HI, max_tokens=500)
    return [raw.status_code, raw.text, dumped(raw.parse())]


def responses(o, a):
    return dumped(o.responses.create(model="gpt-4o-mini", input="hi", max_output_tokens=500))


def embeddings(o, a):
    return dumped(
        o.embeddings.create(model="text-embedding-3-small", input="embed me", encoding_format="float")
    )


def messages(o, a):
    return dumped(a.messages.create(model="claude-haiku-4-5", max_tokens=500, messages=HI))


async def chat_async(o, a):
    return dumped(await o.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=500))


async def responses_async(o, a):
    return dumped(await o.responses.create(model="gpt-4o-mini", input="hi", max_output_tokens=500))


async def embeddings_async(o, a):
    found = await o.embeddings.create(
        model="text-embedding-3-small", input="embed me", encoding_format="float"
    )
    return dumped(found)


async def messages_async(o, a):
    return dumped(await a.messages.create(model="claude-haiku-4-5", max_tokens=500, messages=HI))


# --- streams ---


def chat_stream(o, a):
    return [
        dumped(e) for e in o.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=500, stream=True)
    ]


def chat_stream_usage(o, a):
    options = {"include_usage": True}
    stream = o.chat.completions.create(
        model="gpt-4o", messages=HI, max_tokens=500, stream=True, stream_options=options
    )
    return [dumped(event) for event in stream]


def responses_stream(o, a):
    return [dumped(e) for e in o.responses.create(model="gpt-4o-mini", input="hi", stream=True)]


def messages_raw_stream(o, a):
    stream = a.messages.create(model="claude-haiku-4-5", max_tokens=500, messages=HI, stream=True)
    return [dumped(event) for event in stream]


def messages_stream(o, a):
    with a.messages.stream(model="claude-haiku-4-5", max_tokens=500, messages=HI) as stream:
        return [list(stream.text_stream), dumped(stream.get_final_message())]


async def chat_stream_async(o, a):
    stream = await o.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=500, stream=True)
    return [dumped(event) async for event in stream]


async def chat_stream_usage_async(o, a):
    options = {"include_usage": True}
    stream = await o.chat.completions.create(
        model="gpt-4o", messages=HI, max_tokens=500, stream=True, stream_options=options
    )
    return [dumped(event) async for event in stream]


async def responses_stream_async(o, a):
    stream = await o.responses.create(model="gpt-4o-mini", input="hi", stream=True)
    return [dumped(event) async for event in stream]


async def messages_stream_async(o, a):
    async with a.messages.stream(model="claude-haiku-4-5", max_tokens=500, messages=HI) as stream:
        texts = [text async for text in stream.text_stream]
        return [texts, dumped(await stream.get_final_message())]


def names():
    own = {name: found for name, found in globals().items() if callable(found)}
    return [name for name in own if name.split("_")[0] in ("chat", "responses", "embeddings", "messages")]


def main(base, wanted):
    if os.environ.get("APP_INSTRUMENT"):
        import costmon

        costmon.instrument(app="calls")
    seen = {}
    blocking = clients(base)
    for name in wanted:
        if not name.endswith("_async"):
            seen[name] = globals()[name](*blocking)

    async def rest():
        both = clients(base, asynchronous=True)
        for name in wanted:
            if name.endswith("_async"):
                seen[name] = await globals()[name](*both)
        for client in both:
            await client.close()

    asyncio.run(rest())
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or names())
