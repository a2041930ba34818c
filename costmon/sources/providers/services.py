"""Clouds bill many services; only those count that call models. Which ones is told by words in their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from costmon.sources.providers.protocol import Figure

_SHOWN = 5


def split(figures: Iterable[Figure], words: str) -> tuple[list[Figure], Sequence[str]]:
    """The figures whose label has one of `words` ("OpenAI, Foundry") in it, and a note if none has: a filter that fits
    nothing is more often a slip of the pen than a month without spend."""
    wanted = [word.strip().casefold() for word in words.split(",") if word.strip()]
    every = list(figures)
    kept = [figure for figure in every if any(word in figure.label.casefold() for word in wanted)]
    names = sorted({figure.label for figure in every})
    if kept or not names:
        return kept, ()
    shown = ", ".join(f'"{name[:40]}"' for name in names[:_SHOWN]) + (
        " and more" if len(names) > _SHOWN else ""
    )
    return kept, (f'no billed service has one of "{words[:60]}" in its name; billed were {shown}',)
