"""The kinds of sources there are: ours, and what other packages register under the entry point group `costmon.sources`."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from costmon.sources.providers.protocol import Kind, SourceError

GROUP = "costmon.sources"
_OURS = {
    name: f"costmon.sources.providers.kinds.{name}"
    for name in (
        *("openai", "anthropic", "openrouter", "deepseek", "moonshot", "xai", "elevenlabs", "runpod", "vast"),
        *("deepgram", "fireworks", "deepinfra", "litellm", "aws", "azure", "file"),
    )
}
"""Ours come first: no other package can take the name, and with it the key, of one of them."""


def names() -> list[str]:
    """Every kind's name, ours first."""
    return [*_OURS, *sorted(set(_others()) - set(_OURS))]


@cache
def kind(name: str) -> Kind:
    """The kind called `name`. Raises SourceError ('config') when there is none, or when it cannot be loaded."""
    if name in _OURS:
        found = import_module(_OURS[name]).KIND
    elif name in _others():
        try:
            found = _others()[name].load()
        except Exception as error:
            problem = f'the source kind "{name}" of another package cannot be loaded ({type(error).__name__})'
            raise SourceError("config", f"{problem}; update or remove that package") from None
    else:
        from costmon.sources.providers import absent

        if nobody_to_ask := absent.why(name):
            raise SourceError("config", nobody_to_ask + absent.stub_text(name))
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(names())}"
        raise SourceError("config", f'there is no source of kind "{name}"; {hint}')
    if not isinstance(found, Kind):
        raise SourceError(
            "config", f'the source kind "{name}" is no costmon source; update or remove its package'
        )
    return found


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
