"""An audit as SARIF 2.1.0, which code scanners read (OASIS standard, March 2020)."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from costmon import __version__
from costmon.audit.values import NOTE, WARNING, Finding, Report
from costmon.shim.events import clean
from costmon.sources.compose.values import Place

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RULES = {
    "doubled-scheduler": ("error", "One scheduler is on in several services or containers."),
    "key-shape": (
        "error",
        "What has the shape of a real key stands in a development file, a template, a crontab or a compose file.",
    ),
    "interval-differs": (WARNING, "One job or interval variable has several plans."),
    "interval-floor": (WARNING, "A job runs more often than the floor allows."),
    "scheduler-on": (WARNING, "A scheduler is on in development."),
    "costly-model": (WARNING, "Development asks a dearer model than production."),
    "retry-unlimited": (WARNING, "Calls are retried without a limit."),
    "switch-file-mounted": (WARNING, "A container mounts a single file of costmon's folder."),
    "not-read": (WARNING, "A file or line could not be read."),
    "restart-policy": (NOTE, "A restart policy would start again what was stopped."),
    "switch-unmounted": (NOTE, "A container cannot see the kill switch."),
    "no-shim": (NOTE, "A service makes calls that costmon does not record."),
    "catch-up": (NOTE, "Runs that were missed are all made up for."),
    "sleep-loop": (WARNING, "A loop that sleeps stands for a schedule."),
}
"""Every rule with its usual severity and one sentence."""


def document(report: Report) -> dict[str, Any]:
    """The whole file, ready for JSON."""
    index = {rule: at for at, rule in enumerate(RULES)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "costmon",
                        "version": __version__,
                        "rules": [_rule(one) for one in RULES],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, index) for one in report.findings],
            }
        ],
    }


def _rule(rule: str) -> dict[str, Any]:
    level, text = RULES[rule]
    return {"id": rule, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}


def _result(one: Finding, index: dict[str, int]) -> dict[str, Any]:
    related = [
        {"id": at, **_location(place), "message": {"text": text}}
        for at, (place, text) in enumerate(one.evidence[1:], 1)
    ]
    found: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": index[one.rule],
        "level": one.severity,
        "message": {"text": f"{one.sentence} {one.advice}"},
        "locations": [_location(one.place)],
    }
    if related:
        found["relatedLocations"] = related
    if one.weekly is not None:
        found["properties"] = {"weekly": one.weekly.to_json()}
    if one.fix is not None:
        found["fixes"] = [
            {
                "description": {"text": one.advice},
                "artifactChanges": [
                    {
                        "artifactLocation": {"uri": uri(one.fix.path)},
                        "replacements": [
                            {
                                "deletedRegion": {"startLine": number},
                                "insertedContent": {
                                    "text": clean(new, 1000) if not new.isprintable() else new
                                },
                            }
                            for number, new in one.fix.changes
                        ],
                    }
                ],
            }
        ]
    return found


def _location(place: Place) -> dict[str, Any]:
    region = {"region": {"startLine": max(1, place.line)}}
    return {"physicalLocation": {"artifactLocation": {"uri": uri(place.path)}, **region}}


def uri(path: str) -> str:
    """Relative to here where the file lies below, else whole."""
    here = os.path.relpath(path)
    if here.startswith(".."):
        return "file://" + quote(os.fsencode(os.path.abspath(path)))
    return quote(os.fsencode(here))
