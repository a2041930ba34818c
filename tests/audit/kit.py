"""An audit of files that a test writes."""

from __future__ import annotations

import functools
from pathlib import Path

from costmon.audit.costs import Pricing
from costmon.audit.judge import audit
from costmon.audit.values import Finding, Report
from costmon.pricing.lookup.show import Catalogue, open_catalogue

INCIDENT = Path(__file__).parent.parent / "data" / "incident"
HOUR = 3_600_000_000
AT = 1_795_176_000_000_000  # 2026-11-20, 12:00 UTC
TOKENS = (4000, 1000)
CANARY = "sk-proj-CANARYq7Zk2mVx9Tb4Lr8Ns3Wd6"

APP = """\
services:
  app:
    image: trading:1
    environment:
      OPENAI_API_KEY: ${OPENAI_API_KEY:?}
      OPENAI_MODEL: gpt-4o-mini
"""
"""A service that makes calls; lines below go on in its environment."""


@functools.cache
def catalogue() -> Catalogue:
    return open_catalogue(None)


def write(folder: Path, **files: str | bytes) -> Path:
    """Files by their names, in which '__' stands for '/', and a leading 'dot' for '.'."""
    for name, content in files.items():
        put(folder, name.replace("__", "/"), content)
    return folder


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def look(*paths: Path, tokens: tuple[int, int] | None = TOKENS, model: str = "", **more: object) -> Report:
    pricing = Pricing(catalogue(), AT, tokens, model)
    options: dict[str, object] = {"floor_us": HOUR, **more}
    return audit([str(path) for path in paths], pricing, **options)  # type: ignore[arg-type]


def rules(report: Report, least: str = "note") -> list[str]:
    """The rules of findings of at least that severity, sorted."""
    wanted = {"note": {"note", "warning", "error"}, "warning": {"warning", "error"}, "error": {"error"}}[
        least
    ]
    return sorted(one.rule for one in report.findings if one.severity in wanted)


def only(report: Report, rule: str) -> Finding:
    """The one finding of a rule."""
    (found,) = (one for one in report.findings if one.rule == rule)
    return found


def none(report: Report, rule: str) -> bool:
    return all(one.rule != rule for one in report.findings)


def texts(report: Report) -> str:
    """Everything that the report could ever show."""
    return repr(report)
