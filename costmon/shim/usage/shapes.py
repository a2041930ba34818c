"""What a row of an API says: where it lives, which body makes it that API, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from costmon.shim.events import Usage

MAX_COUNT = 10**8  # a hundred million tokens in one call is a broken server, not a call
ENDED, FINISHED, FAILED = 1, 2, 4
HEADERS = ("content-type", "content-encoding", "x-request-id", "request-id", "apim-request-id")
"""Response headers (lower case) that every API's Observer reads; Api.headers may name more."""
Fields = tuple[tuple[str, str], ...]
Document = dict[str, Any]


class Identity(NamedTuple):
    """What a response says of itself; '' where it says nothing."""

    model: str
    response_id: str
    service_tier: str


class Dialect(NamedTuple):
    """How one family speaks, as functions of one JSON document (a whole answer, or one event of a stream).

    `text`: bytes of generated text that are new in it. `judge`: any of ENDED (the protocol's last event), FINISHED (the
    answer has ended, and usage seen is final) and FAILED. `extra`: counts that are not in the usage object.
    `provisional`: the first event of a stream carries usage already, which is not the whole of it. `flat`: `identity`
    reads nothing but model, id, service_tier, usage, response and message.
    """

    text: Callable[[Document], int]
    judge: Callable[[Document], int]
    identity: Callable[[Document], Identity]
    extra: Callable[[Document], Usage] | None = None
    provisional: bool = False
    flat: bool = False


class Api(NamedTuple):
    """One kind of endpoint.

    `path`: how its path ends, and `within` what must stand before that. `body_keys`: one of them must be in the request.
    `output_keys`: where the request bounds its output; `answer_keys`: how many answers it asks for (dotted).
    `usage_at`: where its usage object may be, '' for the document itself; `fields`: path in it → unit.
    `beside`: cache counts come beside the input count, not inside. `adds`: (count, main count it is billed on top of).
    `bare`: its usage may have no tokens at all (seconds, pages, searches); `no_output_is_none`: a missing output count
    means that there was none. `model_in`: the path's part before the model; `streams`: it always streams.
    `form`: the body is a multipart form. `silent`: its answers never carry usage; what the request tells is counted.
    `cost_at`: (key in the usage object, decimal places) of a cost in USD that the provider itself reports.
    `replaces`: later counts of a stream replace earlier ones, where else the larger wins.
    `admitted` False: the request costs nothing itself, it fetches answers that were paid for (batch results).
    `headers`: the response headers its Observer reads.
    """

    name: str
    family: str
    path: str
    body_keys: tuple[str, ...]
    output_keys: tuple[str, ...]
    usage_at: tuple[str, ...]
    fields: Fields
    dialect: Dialect
    has_output: bool = True
    within: str = ""
    answer_keys: tuple[str, ...] = ("n",)
    beside: bool = False
    adds: Fields = ()
    bare: bool = False
    no_output_is_none: bool = False
    model_in: str = ""
    streams: bool = False
    form: bool = False
    silent: bool = False
    replaces: bool = False
    cost_at: tuple[str, int] | None = None
    admitted: bool = True
    headers: tuple[str, ...] = HEADERS


class Request(NamedTuple):
    """A recognised call. `model` '' when the request does not tell; `max_output` None when unbounded.

    `input_bytes` is the UTF-8 size of its text; `units` what else it asks for, None when nothing else is billed.
    """

    api: Api
    model: str
    stream: bool
    max_output: int | None
    input_bytes: int
    attachments: int
    units: Usage | None = None
