"""Deepgram: what a project was billed each day by line item, and its prepaid balances.

Source: Deepgram's API reference and Python SDK: `GET /projects`, `/projects/{id}/billing/breakdown` (dollars) and
`/projects/{id}/balances`. Whether the range includes its last day is not documented: today counts from when it is named.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from costmon.sources.providers.daily import DAY, day_of
from costmon.sources.providers.parts import days, figure, id_of, id_option, summed, unless_refused
from costmon.sources.providers.protocol import (
    Balance,
    Bucket,
    Client,
    Figure,
    Kind,
    Option,
    Reading,
    Settings,
    SourceError,
    Window,
    header,
)
from costmon.sources.providers.reading import decimal, fail, instant, money, need, rows, table, text

_UNIT = re.compile(r"[A-Za-z][A-Za-z _-]{1,29}")


async def fetch(client: Client, settings: Settings, window: Window) -> Reading:
    """Dollars by day and line item of one project; its balances if the key may read them."""
    project, notes = await _project(client, settings)
    asked = days(window)
    query = [
        ("start", f"{window.start:%Y-%m-%d}"),
        ("end", f"{window.end - DAY:%Y-%m-%d}"),
        ("grouping", "line_item"),
    ]
    answer = table(await client.get(f"/projects/{project}/billing/breakdown", query), "answer")
    figures = _figures(answer, project)
    told = {(found.start, found.end) for found in figures}
    today = asked[-1:]
    covered = [bucket for bucket in asked if bucket not in today or (bucket.start, bucket.end) in told]
    inside = [found for found in figures if found.amount and Bucket(found.start, found.end) in covered]
    balances, refusal = await unless_refused(_balances(client, project), "no balance")
    return Reading(covered, summed(inside), balances=balances or (), notes=(*notes, *refusal))


async def _project(client: Client, settings: Settings) -> tuple[str, list[str]]:
    told = id_option(settings, "project", "12345678-90ab-4cde-8f01-234567890abc")
    if told:
        return told, []
    answer = table(await client.get("/projects"), "answer")
    found = rows(answer.get("projects"), "projects")
    if not found:
        raise SourceError("config", "the key sees no Deepgram project; make one of a project that spends")
    notes = []
    if len(found) > 1:
        name = f"[source.{settings.name}] project"
        notes.append(
            f"{len(found) - 1} more projects of this key are not in it; add a source with {name} for each"
        )
    return id_of(found[0].get("project_id"), "projects.project_id"), notes


def _figures(answer: dict[str, Any], project: str) -> list[Figure]:
    resolution = table(need(answer, "resolution"), "resolution")
    unit = text(need(resolution, "units", "resolution"), "resolution.units")
    if (
        unit not in ("day", "days")
        or decimal(need(resolution, "amount", "resolution"), "resolution.amount") != 1
    ):
        fail("resolution", "is not one day")
    return [_figure(row, project) for row in rows(answer.get("results"), "results")]


def _figure(row: dict[str, Any], project: str) -> Figure:
    grouping = table(need(row, "grouping", "results"), "results.grouping")
    start = instant(need(grouping, "start", "results.grouping"), "results.grouping.start")
    end = instant(need(grouping, "end", "results.grouping"), "results.grouping.end")
    # A day may end on its own date or at the next midnight.
    bucket = day_of(start, "results.grouping.start", end if end > start else None)
    if "line_item" not in grouping:
        fail("results.grouping.line_item", "is missing")
    label = text(grouping["line_item"], "results.grouping.line_item")
    dollars = money(need(row, "dollars", "results"), "results.dollars")
    return figure(bucket, dollars, model=_model(label), label=label, project=project)


def _model(line_item: str) -> str:
    """'streaming::nova-3' names its model last."""
    head, colons, last = line_item.rpartition("::")
    return last if head and colons and " " not in last else ""


async def _balances(client: Client, project: str) -> list[Balance]:
    """One a unit: several purchases of the same unit are one amount to spend."""
    answer = table(await client.get(f"/projects/{project}/balances"), "answer")
    left: dict[str, Decimal] = {}
    for row in rows(answer.get("balances"), "balances"):
        unit = text(need(row, "units", "balances"), "balances.units")
        if not _UNIT.fullmatch(unit):
            fail("balances.units", "is no unit")
        unit = unit.upper() if len(unit) == 3 else unit.lower()
        left[unit] = left.get(unit, Decimal(0)) + money(need(row, "amount", "balances"), "balances.amount")
    return [Balance(amount, unit) for unit, amount in left.items()]


def _explain(status: int, body: Any) -> SourceError | None:
    code = body.get("err_code") if isinstance(body, dict) else None
    if status in (401, 403) and code == "INSUFFICIENT_PERMISSIONS":
        return SourceError(
            "forbidden",
            "Deepgram refuses: the key may not read billing; make one with the role Owner or Admin, or with the scope "
            "billing:read",
            status=status,
        )
    return None


KIND = Kind(
    name="deepgram",
    provider="deepgram",
    title="Deepgram",
    base_url="https://api.deepgram.com/v1",
    fetch=fetch,
    key="an API key that may read billing (role Owner or Admin, or the scope billing:read)",
    key_from="API Keys of the project on console.deepgram.com",
    env=("DEEPGRAM_API_KEY",),
    authorize=header("Authorization", "Token "),
    explain=_explain,
    options=(Option("project", "the project's id; the first one of the key when it is left out"),),
    every_s=900,
    at_least_s=300,
    lacks=("one project a source", "a day appears once Deepgram has billed something of it"),
)
