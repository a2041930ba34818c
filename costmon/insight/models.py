"""One name for one model: what a provider's bill calls it and what an app called it, by the price list's id.

    >>> names = Names(lambda provider, model: {"gpt-5-mini-2025-08-07": "gpt-5-mini"}.get(model))
    >>> names.of("openai", "gpt-5-mini-2025-08-07, input"), names.of("openai", "web search tool calls")
    ('gpt-5-mini', 'web search tool calls')

Pure: whoever knows the price list hands in how a name is resolved.
"""

from __future__ import annotations

from collections.abc import Callable

Resolve = Callable[[str, str], str | None]
"""From a provider and a name as written to the price list's id of that model, None when nobody knows it."""


class Names:
    """Resolves each name once."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._known: dict[tuple[str, str], str] = {}

    def of(self, provider: str, name: str) -> str:
        """The id of `name`; a name nobody knows stays as it is, in lower case. '' stays ''."""
        key = (provider, name)
        if key not in self._known:
            self._known[key] = self._find(provider, name.strip())
        return self._known[key]

    def _find(self, provider: str, name: str) -> str:
        if not name:
            return ""
        for spelling in _spellings(name):
            found = self._resolve(provider, spelling)
            if found:
                return found
        return _spellings(name)[-1].lower()


def _spellings(name: str) -> list[str]:
    """As written, and without what a bill writes behind a comma ("…, cached input")."""
    head = name.partition(", ")[0]
    return [name] if head == name or " " in head else [name, head]
