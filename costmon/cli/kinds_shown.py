"""`costmon poll --kinds`: every kind of source, what it gives, and what it needs."""

from __future__ import annotations

from typing import Any

from costmon.cli.values import wrapped
from costmon.errors import CostmonError
from costmon.sources.providers import registry
from costmon.sources.providers.protocol import Kind


def kinds_text() -> str:
    """A paragraph for each kind."""
    return "\n\n".join("\n".join(_lines(name)) for name in registry.names())


def kinds_json() -> list[dict[str, Any]]:
    """The same for programs; `problem` of a kind that another package offers and that cannot be loaded."""
    return [_json(name) for name in registry.names()]


def _lines(name: str) -> list[str]:
    try:
        kind = registry.kind(name)
    except CostmonError as error:
        return [name, wrapped(str(error), "  ")]
    lines = [f"{name} ({kind.title})"]
    lines.append(wrapped(f"gives {_gives(kind)}, every {_span(kind.every_s)}", "  "))
    lines.append(wrapped(f"key: {kind.key}{_from(kind)}" if kind.key else "needs no key", "  "))
    if kind.env:
        lines.append(wrapped(f"usual variable: {', '.join(kind.env)}", "  "))
    for option in kind.options:
        needed = "needed" if option.default is None else "optional"
        lines.append(wrapped(f"{option.name} ({needed}): {option.help}", "  "))
    return lines


def _json(name: str) -> dict[str, Any]:
    try:
        kind = registry.kind(name)
    except CostmonError as error:
        return {"kind": name, "problem": str(error)}
    return {
        "kind": name,
        "title": kind.title,
        "provider": kind.provider,
        "gives": kind.series or "balance",
        "base_url": kind.base_url or None,
        "key": kind.key or None,
        "key_from": kind.key_from or None,
        "variables": list(kind.env),
        "every_seconds": kind.every_s,
        "at_least_seconds": kind.at_least_s,
        "options": {
            option.name: {"needed": option.default is None, "help": option.help} for option in kind.options
        },
        "lacks": list(kind.lacks),
        "overlaps": kind.overlaps,
        "fee": {"amount": str(kind.fee[0]), "currency": kind.fee[1]} if kind.fee is not None else None,
    }


def _gives(kind: Kind) -> str:
    what = {"day": "figures by day", "month": "figures by month"}.get(kind.series, "a balance")
    return f"{what}; passes on what other providers bill" if kind.overlaps else what


def _from(kind: Kind) -> str:
    return f"; made at: {kind.key_from}" if kind.key_from else ""


def _span(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{-(-seconds // 60)} min"
