"""Keys are told from placeholders, and no secret is ever shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costmon.audit import sarif
from costmon.audit.secrets import MASK, has_key_shape, is_placeholder, is_secret_text, shown
from costmon.cli import audited
from tests.audit.kit import CANARY, look, none, only, put

REAL = [
    "sk-EXAMPLE0000000000000000",
    "sk-proj-" + "a1B2" * 10,
    "sk-ant-api03-" + "Zx9_" * 12,
    "AIza" + "Sy3kQ9" * 6,
    "AKIA" + "IOSFODNN7Q2ZXB4M",
    "gsk_" + "a9Kd" * 9,
    "hf_" + "a9Kd" * 9,
    "xai-" + "a9Kd" * 9,
    "0f3c" * 8,
]
PLACEHOLDERS = [
    *(
        "",
        "changeme",
        "your-key-here",
        "sk-your-key-here",
        "<your api key>",
        "sk-...",
        "xxxxxxxxxxxxxxxxxxxxxxxx",
        "REPLACE_ME",
    ),
    *(
        "${OPENAI_API_KEY}",
        "sk-your-openai-api-key-goes-here",
        "insert-openai-key",
        "dummy",
        "none",
        "sk-xxxxxxxxxxxxxxxxxxxx",
        "test",
    ),
    *("put_your_anthropic_api_key_here", "sk-ant-your-key", "{{ openai_key }}", "TODO"),
]


@pytest.mark.parametrize("value", REAL)
def test_what_has_the_shape_of_a_key(value: str) -> None:
    assert has_key_shape("OPENAI_API_KEY", value)
    assert has_key_shape("OPENAI_API_KEY", f'"{value}"')
    assert shown(value) == MASK
    assert is_secret_text(f"  - SOMETHING={value}  # x")


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_what_asks_for_a_key(value: str) -> None:
    assert not has_key_shape("OPENAI_API_KEY", value), is_placeholder(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_COMMIT", "3f2a" * 10),
        ("APP_NAME", "a-trading-bot-with-a-long-name"),
        ("IMAGE", "ghcr.io/x/y@sha256:" + "ab12" * 16),
    ],
)
def test_what_is_random_for_other_reasons(name: str, value: str) -> None:
    assert not has_key_shape(name, value)


@pytest.mark.parametrize("name", [".env.development", ".env.staging", ".env.example", "local.env", "dev.env"])
def test_a_key_in_development_or_a_template(name: str, tmp_path: Path) -> None:
    put(tmp_path, name, f"X=1\nOPENAI_API_KEY={CANARY}\n")
    report = look(tmp_path)
    assert only(report, "key-shape").place.line == 2
    assert only(report, "key-shape").fix is None  # it would have to show the key


@pytest.mark.parametrize("name", [".env", ".env.production", "prod.env"])
def test_a_key_in_production_belongs_there(name: str, tmp_path: Path) -> None:
    put(tmp_path, name, f"OPENAI_API_KEY={CANARY}\n")
    assert none(look(tmp_path), "key-shape")


def test_an_env_file_may_say_that_it_is_for_development(tmp_path: Path) -> None:
    put(tmp_path, ".env", f"APP_ENV=staging\nOPENAI_API_KEY={CANARY}\n")
    assert "development file" in only(look(tmp_path), "key-shape").sentence


@pytest.mark.parametrize("written", ["{}", "${{OPENAI_API_KEY:-{}}}"])
def test_a_key_in_a_compose_file_itself(written: str, tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yml",
        f"services:\n  a:\n    image: t\n    environment:\n      OPENAI_API_KEY: {written.format(CANARY)}\n",
    )
    assert only(look(tmp_path), "key-shape").place.line == 5


COMPOSE = f"""\
services:
  app:
    image: t
    command: run --key {CANARY}
    restart: {CANARY}
    volumes: ["/x/{CANARY}:/costmon/switch/all"]
    environment:
      OPENAI_API_KEY: {CANARY}
      OPENAI_MODEL: {CANARY}
      CRAWL_INTERVAL: {CANARY}
      SCHEDULER_ENABLED: {CANARY}
      MAX_RETRIES: {CANARY}
      DATABASE_URL: postgres://u:{CANARY}@db
  b-{CANARY}:
    image: t
    scale: 2
    environment:
      OPENAI_API_KEY: ${{KEY:-{CANARY}}}
      SCHEDULER_ENABLED: "true"
      CRAWL_INTERVAL: 5m
      CRAWL_INTERVAL: {CANARY}
"""
FILES = {
    "compose.yml": COMPOSE,
    "broken/compose.yml": f"{COMPOSE}  broken: [{CANARY}\n",
    "odd/compose.yml": f"services:\n  {CANARY}: 5\n  b: {{extends: {CANARY}}}\n{CANARY}: x\n",
    ".env.dev": f"OPENAI_API_KEY={CANARY}\nOPENAI_MODEL={CANARY}\nRUN_SCHEDULER=1\n={CANARY}\n{CANARY}\nX='{CANARY}\n",
    "crontab": f"{CANARY}\n*/5 * * * * OPENAI_API_KEY={CANARY} python -m trade {CANARY}\n* * {CANARY} * * x\n",
    "t.timer": f"[Timer]\nOnCalendar={CANARY}\nOnUnitActiveSec={CANARY}\n",
    "t.service": f"[Service]\nExecStart=x {CANARY}\nRestart=always\nEnvironment=OPENAI_API_KEY={CANARY}\n",
    "a.py": f"import openai\nx.add_job(f, 'interval', minutes=5, id='{CANARY}', args=['{CANARY}'])\n",
    "b.py": f"import openai\ndef x(:\n '{CANARY}'\n",
    "pyproject.toml": f"[tool.scheduler.jobs.x]\nid='{CANARY}'\nevery='5m'\n",
    "bad.toml": f"{CANARY}\n",
}


def test_a_canary_in_every_place_is_shown_nowhere(tmp_path: Path) -> None:
    """Also where no key belongs: in a model, an interval, a job's name, a command, a broken line."""
    for name, content in FILES.items():
        put(tmp_path, name, content)
    report = look(tmp_path)
    found = {Path(place.path).name for one in report.findings for place, _ in one.evidence}
    assert found == {Path(name).name for name in FILES}
    forms = [
        json.dumps(audited.document(report)),
        json.dumps(sarif.document(report)),
        "\n".join(audited.lines(report)),
        "".join(one.diff for one in report.patch),
        repr(report),
    ]
    for form in forms:
        assert form
        assert "CANARY" not in form
        assert CANARY[-6:] not in form
