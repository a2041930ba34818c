"""ElevenLabs: the credits of the running period. Credits are counted, they are no money.

Source: ElevenLabs' Python SDK, `GET /v1/user/subscription`: `character_count` of `character_limit` credits are used. The
unit of `current_overage.amount` is not documented, so it is told in a note and never as money.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from costmon.sources.providers.protocol import (
    Balance,
    Client,
    Kind,
    Reading,
    Settings,
    SourceError,
    Window,
    header,
)
from costmon.sources.providers.reading import count, decimal, fail, need, table, text, unix

_UNPAID = {
    "past_due": "the subscription is past due: ElevenLabs may refuse calls until it is paid",
    "incomplete": "the subscription's first payment is open: ElevenLabs may refuse calls until it is paid",
    "free_disabled": "ElevenLabs has disabled this free account: calls are refused",
}


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """The credits left, of how many, and when they are filled up."""
    answer = table(await client.get("/v1/user/subscription"), "answer")
    used, limit = (_credits(answer, name) for name in ("character_count", "character_limit"))
    resets = answer.get("next_character_count_reset_unix")
    balance = Balance(
        Decimal(limit - used),
        "credits",
        limit=Decimal(limit),
        resets_at=None if resets in (None, 0) else unix(resets, "next_character_count_reset_unix"),
    )
    return Reading(balances=[balance], notes=_notes(answer, used, limit))


def _credits(answer: dict[str, Any], name: str) -> int:
    found = count(answer.get(name), name)
    return fail(name, "is missing") if found is None else found


def _notes(answer: dict[str, Any], used: int, limit: int) -> list[str]:
    notes = [_UNPAID[status] for status in (answer.get("status"),) if status in tuple(_UNPAID)]
    if used > limit:
        notes.append(f"{used - limit} credits are over the limit; ElevenLabs bills them as overage")
    overage = answer.get("current_overage")
    if overage is not None:
        amount = decimal(
            need(table(overage, "current_overage"), "amount", "current_overage"), "current_overage.amount"
        )
        if amount:
            unit = text(overage.get("currency"), "current_overage.currency") or "of no currency"
            notes.append(
                f"ElevenLabs tells an overage of {amount:f} ({unit}) without documenting its unit; it is in no sum"
            )
    return notes


def _explain(status: int, body: Any) -> SourceError | None:
    """`detail` may be an object, a list or a text."""
    detail = body.get("detail") if isinstance(body, dict) else None
    code = detail.get("status") if isinstance(detail, dict) else None
    if status in (401, 403) and code == "missing_permissions":
        return SourceError(
            "forbidden",
            "ElevenLabs refuses: the key lacks the permission to read the user (User: Read); edit it under Developers → "
            "API Keys",
            status=status,
        )
    return None


KIND = Kind(
    name="elevenlabs",
    provider="elevenlabs",
    title="ElevenLabs",
    base_url="https://api.elevenlabs.io",
    fetch=fetch,
    key="an API key that may read the user (User: Read)",
    key_from="Developers → API Keys on elevenlabs.io",
    env=("ELEVENLABS_API_KEY",),
    authorize=header("xi-api-key"),
    explain=_explain,
    every_s=300,
    at_least_s=60,
    series="",
    lacks=("credits are no money: what they cost is the price of the plan", "no spend by day"),
)
