"""Results of a provider's batch API, recorded when the app fetches them: one event for each answer, at the batch price.

The request that fetches them costs nothing and is not admitted. Each line of the file carries the answer's own id, and
an answer is written only if the ledger does not have that id yet: fetching a file again, in parts, or from two processes
at once counts nothing twice (`seen` runs inside the transaction that writes).

    OpenAI, Azure, Groq, Mistral: GET …/files/ID/content
        {"id": "batch_req_…", "response": {"status_code": 200, "body": {"id": "chatcmpl-…", "model": …, "usage": {…}}}}
    Anthropic: GET …/messages/batches/ID/results
        {"custom_id": …, "result": {"type": "succeeded", "message": {"id": "msg_…", "model": …, "usage": {…}}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from costmon.shim.calls import Call, Open, Outcome
from costmon.shim.events import Attempt, clean, new_id
from costmon.shim.faults import guarded
from costmon.shim.streams import MAX_LINE, Body
from costmon.shim.usage import CHAT, MESSAGES, RESPONSES, Api, parse, provider_of, read_usage

if TYPE_CHECKING:
    from sqlite3 import Connection

    from costmon.shim.recorder import Recorder
    from costmon.shim.wire import Wire

OPENAI = CHAT._replace(name="batch", path="/content", within="/files/", body_keys=(), admitted=False)
ANTHROPIC = MESSAGES._replace(
    name="batch", path="/results", within="/messages/batches/", body_keys=(), admitted=False
)
_TOKEN = 1  # nano: a placeholder estimate, so that the budgets an answer counts against are looked up


def fetched(wire: Wire, hosts: Mapping[str, Mapping[str, object]]) -> tuple[Api, Call] | None:
    """The API and a call without cost when a request fetches a file that may hold batch results."""
    for api in (OPENAI, ANTHROPIC):
        if wire.path.endswith(api.path) and api.within in wire.path:
            host = provider_of(api, wire.host.lower(), wire.port, hosts, wire.path)
            endpoint = wire.host if wire.port is None else f"{wire.host}:{wire.port}"
            return api, Call(
                "batch", api.family, host.provider, "", endpoint, free=host.free, anywhere=host.anywhere
            )
    return None


def seen(db: Connection, provider: str, response_id: str) -> bool:
    """Whether the ledger already has this answer, whose id it keeps as one bounded line."""
    found = db.execute(
        "select 1 from event where provider = ? and response_id = ?", (provider, clean(response_id))
    ).fetchone()
    return found is not None


class Results(Body):
    """Follows a file of results, line by line, and records each answer as it passes."""

    def __init__(self, api: Api, encoding: str, recorder: Recorder, call: Call | None) -> None:
        super().__init__(api, "application/jsonl", encoding)
        self._recorder = recorder
        self._call = call

    def whole(self, content: bytes) -> None:
        """The file came in one piece."""
        self.feed(content)
        self.end()

    def _line(self, line: bytes) -> None:
        self._head = b""
        if b'"usage"' in line and len(line) <= MAX_LINE and self._call is not None:
            document = parse(line)
            answer = _answer(document) if document is not None else None
            if answer is not None:
                guarded("record a batch result", self._record, *answer)

    def _record(self, body: dict[str, Any], line_id: str) -> None:
        api = _shape(body)
        model, response_id, _ = api.dialect.identity(body)
        usage, response_id = read_usage(api, body), response_id or line_id
        if not response_id or self._call is None:
            return
        call = self._call._replace(model=model)
        held = Open(_attempt(call, usage or {}, self._recorder.ledger.now()), [], call, False)
        outcome = Outcome(
            "ok",
            usage,
            model=model,
            status_code=200,
            service_tier="batch",
            response_id=response_id,
            once=True,
        )
        self._recorder.settle(held, outcome, wait_s=0.0)


def _answer(document: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """The answer in one line, and the line's own id; None for an error, and for a file that is no results."""
    response, result = document.get("response"), document.get("result")
    if isinstance(response, dict) and "custom_id" in document and response.get("status_code") == 200:
        body = response.get("body")
    elif isinstance(result, dict) and "custom_id" in document and result.get("type") == "succeeded":
        body = result.get("message")
    else:
        return None
    return (body, clean(document.get("id"))) if isinstance(body, dict) else None


def _shape(body: dict[str, Any]) -> Api:
    if body.get("type") == "message":
        return MESSAGES
    if body.get("object") == "response":
        return RESPONSES
    return CHAT if "choices" in body else CHAT._replace(has_output=False)


def _attempt(call: Call, usage: Mapping[str, int], now: int) -> Attempt:
    from costmon.shim import context

    app, route, job, essential = context.labels()
    return Attempt(
        new_id(now), now, call.source, clean(app) or "python", clean(route), clean(job), essential, call.api,
        clean(call.provider), clean(call.model), clean(call.endpoint), usage.get("input_tokens", 0),
        usage.get("output_tokens", 0), _TOKEN, "USD", False,
    )  # fmt: skip
