"""A request as any HTTP client is about to send it, and the metered call it makes, if it makes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from costmon.shim import usage
from costmon.shim.calls import Call
from costmon.shim.metered import maybe as worth_a_look

__all__ = ["UNKNOWN_MODEL", "Wire", "call_of", "worth_a_look"]
UNKNOWN_MODEL = "unknown"
"""What a call's model is called while only its answer can tell."""


class Wire(NamedTuple):
    """`path` has no query; `body` None = a stream that only the client may read.

    `length`: the bytes of the whole body by its header, 0 when the client does not say.
    """

    method: str
    host: str
    port: int | None
    path: str
    query: str
    content_type: str
    body: bytes | None
    length: int = 0


def call_of(
    wire: Wire, hosts: Mapping[str, Mapping[str, object]], fingerprint: str = ""
) -> tuple[usage.Api, Call] | None:
    """The API and the call of a metered request, None for any other. `hosts` is the config's host map."""
    apis = usage.apis_of(wire.method, wire.path)
    for api in apis:
        found = usage.recognise(api, wire.path, wire.body, wire.content_type, wire.length)
        if found is not None:
            host = usage.provider_of(api, wire.host.lower(), wire.port, hosts, wire.path)
            sure = _is_sure(found, host, read=wire.body is not None)
            return _call(wire, found, host, fingerprint) if sure else None
    if apis and wire.body and usage.unreadable(wire.body):
        return _unread(apis[0], wire, wire.body, hosts, fingerprint)
    if wire.method == "GET":
        from costmon.shim.batches import fetched

        return fetched(wire, hosts)
    return None


def _unread(
    api: usage.Api,
    wire: Wire,
    body: bytes,
    hosts: Mapping[str, Mapping[str, object]],
    fingerprint: str,
) -> tuple[usage.Api, Call] | None:
    """The call a body makes that is compressed or otherwise no JSON: believed only to a host that is known."""
    host = usage.provider_of(api, wire.host.lower(), wire.port, hosts, wire.path)
    found = usage.recognise(api, wire.path, None, wire.content_type, len(body)) if host.known else None
    return _call(wire, found, host, fingerprint) if found is not None else None


def _is_sure(found: usage.Request, host: usage.Host, *, read: bool) -> bool:
    """Whether this is a call of that API, and not another service with a similar path.

    A body that nobody may read, or that names no model, is believed only to a host that is known, or where the path
    itself names the model. Mistral's agents and conversations name an agent in the model's place.
    """
    if found.api.name == "invoke" and not host.known:
        return "." in found.model or found.model.startswith("arn:")
    return bool(found.model) or host.known or (read and found.api.name in ("agents", "conversations"))


def _call(wire: Wire, found: usage.Request, host: usage.Host, fingerprint: str) -> tuple[usage.Api, Call]:
    provider, model, units = host.provider, found.model or UNKNOWN_MODEL, found.units
    if units and "web_searches" in units and provider not in ("openai", "azure"):
        units = None
    api = (
        usage.VARIANTS.get((found.api.name, provider), found.api)
        if found.api.family == "openai"
        else found.api
    )
    return api, Call(
        api=api.name,
        family=api.family,
        provider=provider,
        model=model,
        endpoint=wire.host if wire.port is None else f"{wire.host}:{wire.port}",
        input_tokens=usage.estimate_tokens(found.input_bytes, found.attachments),
        max_output=found.max_output,
        has_output=api.has_output and not (api.bare or api.name == "speech"),
        free=host.free or (provider == "openrouter" and model.endswith(":free")),
        anywhere=host.anywhere,
        fingerprint=fingerprint,
        units=units,
    )
