"""What a metered call looks like on the wire: which API a request is, and what its answer says it used.

Each API is a row of data (`shapes.Api`) in the module of its family; `requests` recognises a call, `read` reads a usage
object, `hosts` names the provider. Shapes are from the providers' own specifications and SDKs. Counts come out inclusive
(see `events.Usage`).
"""

from __future__ import annotations

from costmon.shim.usage.anthropic import MESSAGES
from costmon.shim.usage.hosts import KNOWN_HOSTS, Host, known_provider, provider_of
from costmon.shim.usage.openai import CHAT, EMBEDDINGS, RESPONSES, VARIANTS
from costmon.shim.usage.read import (
    delivered_bytes,
    dig,
    estimate_tokens,
    fields_of,
    identity,
    normalise,
    parse,
    raw_usage,
    read_usage,
    tool_units,
    usage_fields,
)
from costmon.shim.usage.requests import APIS, api_of, apis_of, recognise, unreadable
from costmon.shim.usage.shapes import MAX_COUNT, Api, Dialect, Identity, Request

__all__ = [
    "APIS",
    "CHAT",
    "EMBEDDINGS",
    "KNOWN_HOSTS",
    "MAX_COUNT",
    "MESSAGES",
    "RESPONSES",
    "VARIANTS",
    "Api",
    "Dialect",
    "Host",
    "Identity",
    "Request",
    "api_of",
    "apis_of",
    "delivered_bytes",
    "dig",
    "estimate_tokens",
    "fields_of",
    "identity",
    "known_provider",
    "normalise",
    "parse",
    "provider_of",
    "raw_usage",
    "read_usage",
    "recognise",
    "tool_units",
    "unreadable",
    "usage_fields",
]
