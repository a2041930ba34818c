"""Providers that nobody can be asked about, and accounts that cannot have the key: which figures are missing, and why.

An endpoint counts as absent when no public documentation of it was found; tools that use undocumented ones break, or show
numbers nobody vouches for. What helps instead is a bill, downloaded by hand: the kind `file` reads it.
"""

from __future__ import annotations

import re

_NOTHING = "publishes no way to ask for usage, costs or a balance"
_WHY = {
    "groq": "Groq publishes usage and costs only in its console; its metrics are for enterprise accounts",
    "together": f"Together {_NOTHING} outside its dashboard",
    "google": (
        "Google tells a Gemini key neither usage nor costs; the bill is in the Cloud console (and in BigQuery, which "
        "costmon does not read)"
    ),
    "cohere": f"Cohere {_NOTHING}",
    "perplexity": f"Perplexity {_NOTHING}",
    "replicate": f"Replicate {_NOTHING}",
    "lambda": f"Lambda {_NOTHING}",
    "huggingface": f"Hugging Face {_NOTHING}",
    "cerebras": f"Cerebras {_NOTHING}",
    "mistral": "Mistral documents that a month's usage can be asked for, but not what the answer's figures mean",
    "openai": (
        "OpenAI tells costs only to an Admin key, which an owner of the organization makes; whoever cannot have one gets "
        "neither costs nor tokens by day"
    ),
    "anthropic": (
        "Anthropic tells costs only to an Admin key, which individual accounts cannot have; without one there are neither "
        "costs nor tokens by day"
    ),
}
_FROM = {
    "google": "the cost table of Cloud Billing (Billing → Cost table → Download CSV)",
    "openai": "the export of the usage page (platform.openai.com → Usage → Export)",
    "anthropic": "the export of the cost page (Claude Console → Cost → Export)",
}
_ALIASES = {
    "google_ai_studio": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "together_ai": "together",
    "hugging_face": "huggingface",
    "lambda_labs": "lambda",
}


def why(provider: str) -> str | None:
    """Which figures of `provider` are missing, why, and what to do, as sentences; None where there is nothing to say.

    For OpenAI and Anthropic it is for those who have no source of that provider.
    """
    name = _known(provider)
    if name is None:
        return None
    bill = _FROM.get(name, "its invoices")
    return (
        f"{_WHY[name]}. To compare its bill with what apps logged, put {bill}, as CSV or JSON, into a folder and add "
        f"the lines of [source.{_label(provider)}-bill] to the config."
    )


def stub(provider: str) -> str | None:
    """The lines for the config that read `provider`'s bills from a folder; None where `why` says nothing."""
    if _known(provider) is None:
        return None
    name = _label(provider)
    return f'[source.{name}-bill]\nkind = "file"\nprovider = "{name}"\nfolder = "~/invoices/{name}"\n'


def stub_text(provider: str) -> str:
    """The same in one line, to stand behind `why`."""
    lines = (stub(provider) or "").splitlines()
    return f" The lines are: {' · '.join(lines)}" if lines else ""


def _known(provider: str) -> str | None:
    name = _label(provider).replace("-", "_")
    name = "huggingface" if name.startswith("huggingface_") else _ALIASES.get(name, name)
    return name if name in _WHY else None


def _label(provider: str) -> str:
    """As config names are written."""
    return re.sub(r"[^a-z0-9._-]+", "-", provider.strip().casefold())[:50]
