"""From a request's bytes to its row in the ledger: what it cost, and how sure that is."""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from costmon.shim.observer import Observer
from costmon.shim.recorder import Recorder
from costmon.shim.wire import Wire, call_of
from tests.harness.events import events
from tests.shim.battery import kit
from tests.shim.test_streams import chunk, sse
from tests.shim.test_usage_apis import BEDROCK_HOST, HI

JSON, SSE = "application/json", "text/event-stream"
OK = {"content-type": JSON}


@pytest.fixture
def recorder(costmon_home: Path) -> Recorder:
    return Recorder(str(costmon_home))


def begin(
    recorder: Recorder, host: str, path: str, body: Any, *, kind: str = JSON, method: str = "POST"
) -> Observer:
    """What a hook does before a request leaves."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    found = call_of(Wire(method, host, None, path, "", kind, data), {})
    assert found is not None
    api, call = found
    return Observer(recorder, recorder.admit(call) if api.admitted else None, api, call)


def last(home: Path) -> dict[str, Any]:
    return events(home)[-1]


def form(file: bytes, **fields: str) -> tuple[str, bytes]:
    """A multipart form as httpx makes it: (content type, body)."""
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="name=a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return "multipart/form-data; boundary=B", b"".join(parts) + head + file + b"\r\n--B--\r\n"


def wav(seconds: int) -> bytes:
    """So many seconds of silence, 8,000 bytes each."""
    data = bytes(8000 * seconds)
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + fmt
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


# --- audio, speech, images --------------------------------------------------------------------------------------


def test_whisper_is_billed_by_the_minute(recorder: Recorder, costmon_home: Path) -> None:
    """Nine seconds at $0.006 a minute are $0.0009, and as much was reserved before."""
    kind, body = form(wav(9), model="whisper-1", response_format="json")
    observer = begin(recorder, "api.openai.com", "/v1/audio/transcriptions", body, kind=kind)
    observer.responded(200, OK, b'{"text": "hi", "usage": {"type": "duration", "seconds": 9}}')
    row = last(costmon_home)
    assert (row["model"], row["cost"], row["cost_status"]) == ("whisper-1", 900_000, "priced")
    assert row["reserved"] == 1_000_000  # the header's 44 bytes begin a tenth second
    assert json.loads(row["units"]) == {"audio_seconds": 9}


@pytest.mark.parametrize(
    ("host", "answer", "nano"),
    [
        ("api.groq.com", {"text": "x", "duration": 89.2}, 1_000_000),
        ("api.openai.com", {"text": "x", "duration": "90.0"}, 9_000_000),
    ],
)
def test_a_duration_beside_the_text_counts(
    recorder: Recorder, costmon_home: Path, host: str, answer: Any, nano: int
) -> None:
    """`verbose_json` of a server that reports no usage: 90 begun seconds."""
    model = "whisper-large-v3-turbo" if "groq" in host else "whisper-1"
    kind, body = form(b"mp3", model=model)
    observer = begin(recorder, host, "/v1/audio/transcriptions", body, kind=kind)
    observer.responded(200, OK, json.dumps(answer).encode())
    assert (last(costmon_home)["cost"], last(costmon_home)["usage_status"]) == (nano, "reported")


def test_mistral_bills_the_seconds_and_not_the_tokens(recorder: Recorder, costmon_home: Path) -> None:
    """voxtral at $0.003 a minute; the form of a URL is no multipart one, and 60 s are reserved for it."""
    body = b"model=voxtral-mini-latest&stream=False&file_url=http%3A%2F%2Fx"
    kind = "application/x-www-form-urlencoded"
    observer = begin(recorder, "api.mistral.ai", "/v1/audio/transcriptions", body, kind=kind)
    usage = {"prompt_tokens": 4, "completion_tokens": 635, "total_tokens": 3264, "prompt_audio_seconds": 120}
    observer.responded(
        200, OK, json.dumps({"model": "voxtral-mini-2602", "text": "x", "usage": usage}).encode()
    )
    row = last(costmon_home)
    assert (row["cost"], row["cost_status"], row["reserved"]) == (6_000_000, "priced", 3_000_000)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--B"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=B", b""),
        ("multipart/form-data; boundary=B", b"--B" * 10_000),
        ("multipart/form-data; boundary=B", b"--B\r\nname=\r\n\r\n"),
        (
            "multipart/form-data; boundary=B",
            b'--B\r\nContent-Disposition: form-data; name="model"' + b"x" * 100_000,
        ),
        ("application/x-www-form-urlencoded", b"&" * 100_000),
        ("application/x-www-form-urlencoded", b"a=1&" * 10_000),
        ("application/x-www-form-urlencoded", b"\xff=%ff&model=\xed\xa0\x80"),
        ("\ud800", b"{}"),
    ],
    ids=range(10),
)
def test_an_odd_form_is_no_error(kind: str, body: bytes) -> None:
    """Whatever an app uploads as a form is looked at once and sent as it is."""
    for path in ("/v1/audio/transcriptions", "/v1/images/edits"):
        call_of(Wire("POST", "api.openai.com", None, path, "", kind, body), {})


def test_an_agent_is_metered_anywhere(recorder: Recorder, costmon_home: Path) -> None:
    """Mistral's agents name no model; their answer does."""
    observer = begin(recorder, "127.0.0.1", "/v1/agents/completions", {"agent_id": "ag", "messages": HI})
    observer.responded(
        200, OK, b'{"model": "mistral-small-latest", "usage": {"prompt_tokens": 10, "completion_tokens": 1}}'
    )
    row = last(costmon_home)
    assert (row["provider"], row["model"], row["cost_status"]) == (
        "mistral",
        "mistral-small-latest",
        "priced",
    )


def test_a_transcript_as_plain_text_is_estimated(recorder: Recorder, costmon_home: Path) -> None:
    """`response_format=text` says nothing of its length: the file's own header does."""
    kind, body = form(wav(60), model="whisper-1", response_format="text")
    observer = begin(recorder, "api.openai.com", "/v1/audio/transcriptions", body, kind=kind)
    observer.responded(200, {"content-type": "text/plain"}, b"hello there")
    row = last(costmon_home)
    assert (row["usage_status"], row["cost_status"], row["cost"]) == ("estimated", "estimated", 6_100_000)


def test_a_transcription_by_tokens(recorder: Recorder, costmon_home: Path) -> None:
    """Audio tokens have a price of their own: 2 x $2.50 + 20 x $6 + 31 x $10 per million."""
    kind, body = form(wav(2), model="gpt-4o-transcribe", stream="true")
    observer = begin(recorder, "api.openai.com", "/v1/audio/transcriptions", body, kind=kind)
    observer.streams(200, {"content-type": SSE})
    usage = {"type": "tokens", "input_tokens": 22, "input_token_details": {"text_tokens": 2, "audio_tokens": 20},
             "output_tokens": 31, "total_tokens": 53}  # fmt: skip
    observer.feed(sse({"type": "transcript.text.delta", "delta": "hi"}))
    assert not events(costmon_home)
    observer.feed(sse({"type": "transcript.text.done", "text": "hi", "usage": usage}))
    row = last(costmon_home)
    assert (row["cost"], row["cost_status"], row["input_tokens"]) == (5000 + 120_000 + 310_000, "priced", 22)


def test_speech_is_billed_by_its_characters(recorder: Recorder, costmon_home: Path) -> None:
    """tts-1 costs $15 per million characters; its sound says nothing."""
    body = {"model": "tts-1", "input": "안녕" * 50, "voice": "alloy"}
    observer = begin(recorder, "api.openai.com", "/v1/audio/speech", body)
    observer.streams(200, {"content-type": "audio/mpeg"})
    for _ in range(50):
        observer.feed(bytes(65536))
    observer.end()
    row = last(costmon_home)
    assert (row["cost"], row["cost_status"], row["reserved"]) == (100 * 15_000, "priced", 100 * 15_000)


def test_speech_of_unknown_length_stays_unknown(recorder: Recorder, costmon_home: Path) -> None:
    """A model billed by the tokens of its sound, without events: unknown, and the budget holds the reservation."""
    observer = begin(
        recorder, "api.openai.com", "/v1/audio/speech", {"model": "gpt-4o-mini-tts", "input": "hi"}
    )
    observer.responded(200, {"content-type": "audio/mpeg"}, b"\xff\xfb" * 100)
    row = last(costmon_home)
    assert (row["cost"], row["cost_status"]) == (None, "unknown")


def test_an_image_is_reserved_for(recorder: Recorder, costmon_home: Path) -> None:
    """Two images of high quality reserve 2 x 6,240 image tokens at $32 per million."""
    body = {"model": "gpt-image-1.5", "prompt": "a cat", "n": 2, "quality": "high"}
    observer = begin(recorder, "api.openai.com", "/v1/images/generations", body)
    observer.responded(200, OK, b'{"data": [{}, {}], "usage": {"input_tokens": 4, "output_tokens": 8320}}')
    row = last(costmon_home)
    assert row["reserved"] >= 2 * 6240 * 32_000
    assert row["cost"] == 4 * 5000 + 8320 * 32_000


def test_an_image_without_a_price_fills_the_budget(recorder: Recorder, costmon_home: Path) -> None:
    """dall-e has no price in the catalogue: unknown, never $0."""
    budget = kit.add_budget(costmon_home, 10**12)
    observer = begin(
        recorder, "api.openai.com", "/v1/images/generations", {"model": "dall-e-3", "prompt": "a cat"}
    )
    observer.responded(200, OK, b'{"data": [{"url": "u"}]}')
    row = last(costmon_home)
    assert (row["cost"], row["cost_status"], json.loads(row["units"])) == (
        None,
        "unknown",
        {"generated_images": 1},
    )
    assert kit.period(costmon_home, budget)["assumed"] >= row["reserved"] > 0


# --- fees and reported costs ------------------------------------------------------------------------------------


def test_a_search_model_pays_for_every_call(recorder: Recorder, costmon_home: Path) -> None:
    """gpt-4o-mini-search-preview: tokens and $0.01 for its search, reserved and settled."""
    body = {"model": "gpt-4o-mini-search-preview", "messages": HI, "max_tokens": 100}
    observer = begin(recorder, "api.openai.com", "/v1/chat/completions", body)
    observer.responded(200, OK, b'{"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}')
    row = last(costmon_home)
    assert row["reserved"] > 10_000_000
    assert row["cost"] == 1000 * 150 + 100 * 600 + 10_000_000


@pytest.mark.parametrize(
    ("usage", "cost", "status"),
    [
        ({"cost": 0.00123}, 1_230_000, "reported"),
        ({"cost": 1e-7}, 100, "reported"),
        ({"cost": 0.00123, "is_byok": True}, None, "priced"),
        ({"cost": None}, None, "priced"),
        ({"cost": 0}, None, "priced"),
        ({"cost": -1}, None, "priced"),
        ({"cost": True}, None, "priced"),
        ({"cost": "1"}, None, "priced"),
        ({"cost": 1e308}, None, "priced"),
        ({"cost": float("nan")}, None, "priced"),
        ({"cost": float("inf")}, None, "priced"),
        ({"cost": 2**70}, None, "priced"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_openrouter_charges_is_believed(
    recorder: Recorder, costmon_home: Path, usage: dict[str, Any], cost: int | None, status: str, stream: bool
) -> None:
    """The cost in the answer is the bill; nonsense there, or another's bill, leaves the price list in force."""
    observer = begin(
        recorder, "openrouter.ai", "/api/v1/chat/completions", {"model": "openai/gpt-4o", "messages": HI}
    )
    full = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, **usage}
    if stream:
        observer.streams(200, {"content-type": SSE})
        observer.feed(
            sse(chunk("x"), chunk(finish="stop"), {**chunk(), "choices": [], "usage": full}, b"[DONE]")
        )
    else:
        observer.responded(200, OK, json.dumps({"id": "gen-1", "usage": full}).encode())
    row = last(costmon_home)
    assert (row["cost"], row["cost_status"]) == (3_500_000 if cost is None else cost, status)
    assert row["output_tokens"] == 100


def test_only_its_own_host_reports_its_costs(recorder: Recorder, costmon_home: Path) -> None:
    """A `cost` in the answer of anybody else is not believed."""
    observer = begin(recorder, "api.openai.com", "/v1/chat/completions", {"model": "gpt-4o", "messages": HI})
    observer.responded(
        200, OK, b'{"usage": {"prompt_tokens": 1000, "completion_tokens": 100, "cost": 0.0000001}}'
    )
    assert last(costmon_home)["cost"] == 3_500_000


def test_an_ollama_of_ones_own_is_free(recorder: Recorder, costmon_home: Path) -> None:
    """A local model costs nothing and says so."""
    body = json.dumps({"model": "llama3", "messages": HI}).encode()
    found = call_of(Wire("POST", "localhost", 11434, "/api/chat", "", JSON, body), {})
    assert found is not None
    observer = Observer(recorder, recorder.admit(found[1]), found[0])
    observer.responded(
        200, OK, b'{"model": "llama3", "done": true, "prompt_eval_count": 26, "eval_count": 298}'
    )
    row = last(costmon_home)
    assert (row["provider"], row["cost"], row["cost_status"], row["input_tokens"]) == (
        "ollama",
        0,
        "free",
        26,
    )


def test_bedrocks_headers_count_where_the_body_does_not(recorder: Recorder, costmon_home: Path) -> None:
    """Mistral's bodies on Bedrock have no usage; the response headers do."""
    path = "/model/mistral.mistral-large-2402-v1%3A0/invoke"
    observer = begin(recorder, BEDROCK_HOST, path, {"prompt": "hi", "max_tokens": 10})
    headers = {
        **OK,
        "x-amzn-bedrock-input-token-count": "12",
        "x-amzn-bedrock-output-token-count": "34",
        "x-amzn-requestid": "r",
    }
    observer.responded(200, headers, b'{"outputs": [{"text": "x", "stop_reason": "stop"}]}')
    row = last(costmon_home)
    assert (row["provider"], row["input_tokens"], row["output_tokens"], row["request_id"]) == (
        "aws",
        12,
        34,
        "r",
    )
    observer = begin(recorder, BEDROCK_HOST, path, {"prompt": "hi"})
    observer.responded(200, {**headers, "x-amzn-bedrock-input-token-count": "-1"}, b"{}")
    assert last(costmon_home)["cost"] is None


def test_an_embedding_that_reports_nothing_is_estimated(recorder: Recorder, costmon_home: Path) -> None:
    """Gemini's embedContent has no usage on Google's own endpoint: counted from the request, and marked."""
    path = "/v1beta/models/gemini-embedding-001:embedContent"
    observer = begin(
        recorder, "generativelanguage.googleapis.com", path, {"content": {"parts": [{"text": "x" * 4000}]}}
    )
    observer.responded(200, OK, b'{"embedding": {"values": [0.1]}}')
    row = last(costmon_home)
    assert (row["input_tokens"], row["cost"], row["cost_status"]) == (1000, 150_000, "estimated")


# --- streams without usage --------------------------------------------------------------------------------------


def ask(
    recorder: Recorder, text: str, tokens: int | None, *, stream: bool = True, close: bool = False
) -> None:
    """One chat call whose answer is `text`; `tokens` None = it reports no usage."""
    body = {"model": "gpt-4o", "messages": HI, "max_tokens": 50}
    observer = begin(recorder, "api.openai.com", "/v1/chat/completions", body)
    usage = {"prompt_tokens": 10, "completion_tokens": tokens}
    if not stream:
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        observer.responded(
            200, OK, json.dumps({"model": "gpt-4o", "choices": [choice], "usage": usage}).encode()
        )
        return
    observer.streams(200, {"content-type": SSE})
    observer.feed(sse(chunk(text, model="gpt-4o")))
    if close:
        observer.closed()
        return
    end = [] if tokens is None else [{"choices": [], "usage": usage}]
    observer.feed(sse(chunk(finish="stop", model="gpt-4o"), *end, b"[DONE]"))


@pytest.mark.parametrize("stream", [True, False])
def test_tokens_per_byte_are_learned(recorder: Recorder, costmon_home: Path, stream: bool) -> None:
    """A reasoning model's 400 bytes of text stood for 300 tokens: so do the next stream's, exactly."""
    ask(recorder, "a" * 1000, None)
    assert (last(costmon_home)["output_tokens"], last(costmon_home)["cost_status"]) == (250, "estimated")
    for _ in range(3):
        ask(recorder, "a" * 400, 300, stream=stream)
    ask(recorder, "a" * 1000, None)
    row = last(costmon_home)
    assert (row["output_tokens"], row["usage_status"], row["cost_status"]) == (750, "estimated", "estimated")
    assert row["total_tokens"] == row["input_tokens"] + 750


def test_what_was_learned_outlives_the_process(recorder: Recorder, costmon_home: Path) -> None:
    """A cron job that starts anew each hour still knows its model."""
    for _ in range(3):
        ask(recorder, "가" * 100, 200)
    later = Recorder(str(costmon_home))
    ask(later, "가" * 10, None)
    assert last(costmon_home)["output_tokens"] == 20
    later.ledger.close()


def test_a_dropped_stream_is_counted_by_what_was_learned(recorder: Recorder, costmon_home: Path) -> None:
    """Dropped after 400 bytes of text: the larger of what that stands for and the reservation."""
    for _ in range(5):
        ask(recorder, "a" * 400, 300)
    ask(recorder, "a" * 400, None, close=True)
    row = last(costmon_home)
    assert (row["outcome"], row["output_tokens"]) == ("dropped", 300)
    assert row["cost"] == max(row["reserved"], 300 * 10_000 + row["input_tokens"] * 2500)


def test_a_failed_answer_teaches_nothing(recorder: Recorder, costmon_home: Path) -> None:
    """Only reported counts teach; estimates would confirm themselves."""
    for _ in range(10):
        ask(recorder, "a" * 1000, None)
    assert last(costmon_home)["output_tokens"] == 250


# --- batches ----------------------------------------------------------------------------------------------------


def batch_line(number: int, status: int = 200) -> bytes:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": usage,
    }
    line = {
        "id": f"batch_req_{number}",
        "custom_id": f"c{number}",
        "error": None,
        "response": {
            "status_code": status,
            "request_id": "r",
            "body": body if status == 200 else {"error": {}},
        },
    }
    return json.dumps(line).encode() + b"\n"


def fetch(recorder: Recorder, host: str, path: str, content: bytes, *, step: int = 0) -> None:
    observer = begin(recorder, host, path, b"", method="GET")
    if not step:
        observer.responded(200, {"content-type": "application/octet-stream"}, content)
        return
    observer.streams(200, {"content-type": "application/octet-stream"})
    for start in range(0, len(content), step):
        observer.feed(content[start : start + step])
    observer.end()


FILE = "/v1/files/file-1/content"


@pytest.mark.parametrize("step", [0, 7, 10_000])
def test_batch_results_are_recorded_when_they_are_fetched(
    recorder: Recorder, costmon_home: Path, step: int
) -> None:
    """Each answer in the file is one event at half price, counted in the budget."""
    budget = kit.add_budget(costmon_home, 10**12)
    fetch(
        recorder,
        "api.openai.com",
        FILE,
        batch_line(1) + batch_line(2, 429) + batch_line(3).rstrip(),
        step=step,
    )
    rows = events(costmon_home)
    assert [(row["response_id"], row["cost"], row["service_tier"], row["api"]) for row in rows] == [
        (name, 1000 * 1250 + 100 * 5000, "batch", "batch") for name in ("chatcmpl-1", "chatcmpl-3")
    ]
    assert kit.period(costmon_home, budget)["spent"] == 2 * 1_750_000
    kit.assert_sums_agree(costmon_home)


def test_batch_results_are_recorded_once(recorder: Recorder, costmon_home: Path) -> None:
    """Fetched again, by two processes at once, or after the file has grown: no answer counts twice."""
    content = b"".join(batch_line(number) for number in range(20))
    others = [Recorder(str(costmon_home)) for _ in range(2)]
    threads = [
        threading.Thread(target=fetch, args=(other, "api.openai.com", FILE, content)) for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fetch(recorder, "api.openai.com", FILE, content + batch_line(20))
    for one in (*others, recorder):
        one.drain(2.0)
    assert sorted(row["response_id"] for row in events(costmon_home)) == sorted(
        f"chatcmpl-{n}" for n in range(21)
    )
    for other in others:
        other.ledger.close()


def test_anthropics_batch_results(recorder: Recorder, costmon_home: Path) -> None:
    """JSON lines of results; what was canceled or failed costs nothing."""
    message = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "content": [],
               "usage": {"input_tokens": 1000, "output_tokens": 100, "service_tier": "batch"}}  # fmt: skip
    lines = [{"custom_id": "a", "result": {"type": "succeeded", "message": message}},
             {"custom_id": "b", "result": {"type": "errored", "error": {"type": "error"}}},
             {"custom_id": "c", "result": {"type": "canceled"}}]  # fmt: skip
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    fetch(recorder, "api.anthropic.com", "/v1/messages/batches/msgbatch_1/results", content)
    (row,) = events(costmon_home)
    assert (row["response_id"], row["cost"], row["cost_status"]) == (
        "msg_1",
        1000 * 1500 + 100 * 7500,
        "priced",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n" * 1000,
        b'{"usage": 1}\n' * 10,
        b'{"custom_id": "a", "response": {"status_code": 200, "body": 7}, "usage"',
        b'{"custom_id":"a","response":{"status_code":200,"body":{"usage":{"prompt_tokens":NaN}}}}\n',
        b'"usage"\n' * 100,
        b'{"messages": [{"role": "user", "content": "\\"usage\\""}]}\n',
    ],
)
def test_any_other_file_is_no_result(recorder: Recorder, costmon_home: Path, content: bytes) -> None:
    """Downloading a picture, or one's own training file, records nothing."""
    fetch(recorder, "api.openai.com", FILE, content)
    fetch(recorder, "api.openai.com", FILE, content, step=100)
    assert events(costmon_home) == []


# --- hostile answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/html", b"<html>busy</html>"),
        (JSON, b'{"usage": {"prompt_tokens": 1'),
        (JSON, b"[" * 200_000),
        (JSON, b""),
        (JSON, b'{"usage": {"prompt_tokens": "7", "completion_tokens": null}}'),
        (JSON, b"null"),
        ("image/png", b"\x89PNG"),
        (
            JSON,
            b'{"usage": {"prompt_tokens": 1e308, "completion_tokens": Infinity}, "id": "\\ud800", "model": 7}',
        ),
        ("\ud800/x", b"{}"),
        (SSE, b"{}"),
        (SSE, b"data: " + b"[" * 100_000),
        ("application/x-ndjson", b"{\n}\n[]\n7\n"),
        ("application/vnd.amazon.eventstream", b"\x00\x00\x00\x10" * 100),
        (JSON, b"x" * 20_000_000),
        (JSON, b'{"x": "' + b"a" * 20_000_000 + b'"}'),
    ],
    ids=range(15),
)
@pytest.mark.parametrize(
    ("host", "path", "body"),
    [
        ("api.openai.com", "/v1/chat/completions", {"model": "gpt-4o", "messages": HI}),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            {"contents": HI},
        ),
        (BEDROCK_HOST, "/model/amazon.nova-lite-v1:0/invoke-with-response-stream", {"messages": HI}),
        ("api.openai.com", "/v1/images/generations", {"model": "gpt-image-1", "prompt": "x"}),
        ("api.cohere.com", "/v2/rerank", {"model": "rerank-v3.5", "documents": ["x"]}),
    ],
    ids=["chat", "gemini", "bedrock", "images", "rerank"],
)
def test_a_hostile_answer_keeps_its_row(
    recorder: Recorder, costmon_home: Path, host: str, path: str, body: Any, kind: str, content: bytes
) -> None:
    """Whatever comes back: one row, no exception, and a cost that is unknown or estimated, never a free call."""
    for streamed in (False, True):
        observer = begin(recorder, host, path, body)
        if streamed:
            observer.streams(200, {"content-type": kind})
            for start in range(0, len(content), 65536):
                observer.feed(content[start : start + 65536])
            observer.end()
            observer.closed()
        else:
            observer.responded(200, {"content-type": kind}, content)
    rows = events(costmon_home)
    assert len(rows) == 2
    assert all(row["cost"] is None or row["cost"] > 0 for row in rows)
