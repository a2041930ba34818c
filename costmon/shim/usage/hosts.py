"""Whose bill a call to a host goes on: the config's host map, the known hosts, else the family of the API it speaks.

A provider's name is the catalogue's. Ollama is the operator's own machine and free by nature: on its port or on a host
called ollama, where that is a machine of the operator's network, and wherever its own API is spoken; only ollama.com is
somebody else's. A public name is no sign of that: a paid gateway may have the port or the name too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from costmon.shim.usage.shapes import Api

OLLAMA_PORT = 11434
KNOWN_HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "openrouter.ai": "openrouter",
    "api.openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "codestral.mistral.ai": "mistral",
    "api.x.ai": "x-ai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.perplexity.ai": "perplexity",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.novita.ai": "novita",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
    "api.voyageai.com": "voyageai",
    "api.arcee.ai": "arcee",
    "api.avian.io": "avian",
    "inference.baseten.co": "baseten",
    "api.doubleword.ai": "doubleword",
    "api.githubcopilot.com": "github-copilot",
    "api.meta.ai": "meta",
    "oai.endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "api.quicksilverpro.io": "quicksilverpro",
    "api.typesafe.ai": "typesafe",
    "api.cloudflare.com": "cloudflare",
    "ollama.com": "ollama",
    "api.ollama.com": "ollama",
}
_KNOWN_SUFFIXES = (
    (".openai.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".azure-api.net", "azure"),
    (".api.openai.com", "openai"),
    ("aiplatform.googleapis.com", "google"),
    ("aiplatform.us.rep.googleapis.com", "google"),
    ("aiplatform.eu.rep.googleapis.com", "google"),
    (".cloud.databricks.com", "databricks"),
    (".azuredatabricks.net", "databricks"),
)
_OWN_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_BEDROCK = ("bedrock-runtime", "bedrock-mantle")
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class Host(NamedTuple):
    """`provider` by the catalogue's name; `free`: nobody bills it; `known`: by the config or by the lists here.

    `anywhere`: nothing but the shape of the call names its provider, so a model may be any maker's.
    """

    provider: str
    free: bool
    known: bool
    anywhere: bool = False


def provider_of(
    api: Api, host: str, port: int | None, hosts: Mapping[str, Mapping[str, object]], path: str = ""
) -> Host:
    """Who bills a call of `api` to `host`. `hosts` is the config's map of host or host:port."""
    entry = (hosts.get(f"{host}:{port}") or hosts.get(host)) if hosts else None
    if entry is not None:
        provider = str(entry.get("provider", api.family))
        return Host(provider, entry.get("free") is True, True, provider == api.family)
    name = known_provider(host, path)
    if name is not None:
        return Host(name, False, True)
    looks_own = port == OLLAMA_PORT or host.partition(".")[0] == "ollama"
    if api.family == "ollama" or (looks_own and _is_private(host)):
        return Host("ollama", True, looks_own or _is_private(host))
    return Host(api.family, False, False, True)


def _is_private(host: str) -> bool:
    """Whether a host is this machine or one of its own network: by its address, or by a name nobody can register."""
    from ipaddress import ip_address

    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return "." not in host.rstrip(".") or host.rstrip(".").endswith(_OWN_SUFFIXES)


def known_provider(host: str, path: str = "") -> str | None:
    """Whose host this is, by the lists here; None for any other."""
    name = KNOWN_HOSTS.get(host)
    if name is not None:
        return name
    for suffix, provider in _KNOWN_SUFFIXES:
        if host.endswith(suffix):
            return provider
    if host.endswith(_AMAZON) and any(name in host for name in _BEDROCK):
        return "aws"
    if host == "router.huggingface.co":  # one host for many: /groq/openai/v1/chat/completions
        first = path.lstrip("/").partition("/")[0]
        return f"huggingface_{first}" if first != "v1" else "huggingface"
    return None
