"""Whether anything ties what runs to paid calls: a line's command, a variable's name."""

from __future__ import annotations

import re

_COSTMON = re.compile(r"\bcostmon\s+(?:-\S+\s+)*run\b")
_CODE = re.compile(
    r"\b(python[0-9.]*|pypy[0-9.]*|uvx?|poetry|pipenv|pdm|hatch|rye|node|npx|npm|bun|deno|ruby|php|java|celery|llm|claude|codex|"
    r"gemini|aider|ollama)(\s|$)|\.(py|pyz|js|mjs|ts|rb)\b|\b(docker|podman)(-compose)?\b.*\b(run|exec|start|up)\b"
)
_SCHEDULERS = frozenset(
    {"SCHEDULER", "SCHEDULE", "SCHEDULED", "SCHEDULES", "CRON", "CRONTAB", "JOB", "JOBS", "BEAT"}
)
_OTHERS = frozenset(
    {
        *("POLL", "POLLS", "POLLING", "POLLER", "TICK", "TICKS", "TICKER", "HEALTH", "REFRESH", "SYNC"),
        *("TIMEOUT", "PRICE", "PRICES", "QUOTE", "QUOTES", "CACHE"),
    }
)
"""What is polled or refreshed often, and mostly free: prices, a queue, another service."""
_PAID = frozenset(
    {"LLM", "AI", "GPT", "AGENT", "AGENTS", "PROMPT", "MODEL", "OPENAI", "ANTHROPIC", "CLAUDE", "GEMINI"}
)


def of_command(command: str) -> bool | None:
    """True for what costmon starts, False for a program that is no project's code (certbot, pg_dump), None for other
    code."""
    if _COSTMON.search(command):
        return True
    return None if _CODE.search(command) else False


def of_variable(name: str) -> bool:
    """False for the interval of something else than a job's runs, as POLL_INTERVAL_SECONDS or PRICE_TICK_EVERY."""
    words = _words(name)
    return bool(words & (_SCHEDULERS | _PAID)) or not words & _OTHERS


def _words(name: str) -> set[str]:
    return set(re.split("[^A-Z0-9]+", name[:200].upper()))
