"""Rules beyond the incident: who counts, what is mounted, what is restarted, what is retried."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.kit import APP, look, none, only, put, rules

HOURLY = "      SCHEDULER_ENABLED: 'true'\n      CRAWL_INTERVAL: 60m\n"


def services(**more: str) -> str:
    """Services by name, with what stands below each of them."""
    return "services:\n" + "".join(
        f"  {name}:\n" + "".join(f"    {line}\n" for line in text.split("\n")) for name, text in more.items()
    )


def spender(image: str = "t", **environment: str) -> str:
    lines = "".join(f'\n  {name}: "{value}"' for name, value in environment.items())
    return f'image: {image}\nenvironment:\n  OPENAI_API_KEY: "${{OPENAI_API_KEY:?}}"{lines}'


def test_a_short_interval_of_what_spends_nothing_is_no_warning(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", services(db="image: postgres\nenvironment: {BACKUP_INTERVAL: 5m}"))
    assert rules(look(tmp_path), "warning") == []


def test_services_of_other_code_may_have_other_intervals(tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yml",
        services(a=spender("a", CRAWL_INTERVAL="60m"), b=spender("b", CRAWL_INTERVAL="2h")),
    )
    assert none(look(tmp_path), "interval-differs")
    put(
        tmp_path,
        "compose.yml",
        services(a=spender("a:1", CRAWL_INTERVAL="60m"), b=spender("a:2", CRAWL_INTERVAL="2h")),
    )
    assert only(look(tmp_path), "interval-differs").severity == "warning"


def test_one_variable_with_two_defaults(tmp_path: Path) -> None:
    """Whatever runs there: one line in an .env would set both."""
    put(
        tmp_path,
        "compose.yml",
        services(
            a=spender("a", CRAWL_INTERVAL="${EVERY:-60m}"),
            b=spender("b", NEWS="x", CRAWL_INTERVAL="${EVERY:-2h}"),
        ),
    )
    assert only(look(tmp_path), "interval-differs").severity == "warning"
    put(tmp_path, ".env", "EVERY=3h\n")
    assert only(look(tmp_path), "interval-differs").severity == "note"  # it is the same now


@pytest.mark.parametrize(
    ("one", "other", "doubled"),
    [
        ({"SCHEDULER_ENABLED": "true"}, {"SCHEDULER_ENABLED": "true"}, True),
        ({"SCHEDULER_ENABLED": "yes"}, {"SCHEDULER_ENABLED": "1"}, True),
        ({"SCHEDULER_ENABLED": "true"}, {"SCHEDULER_ENABLED": "false"}, False),
        ({"DISABLE_SCHEDULER": "false"}, {"DISABLE_SCHEDULER": "false"}, True),
        ({"DISABLE_SCHEDULER": "false"}, {"DISABLE_SCHEDULER": "true"}, False),
        ({"SCHEDULER_ENABLED": "true"}, {}, False),
    ],
)
def test_one_scheduler_in_two_services(
    one: dict[str, str], other: dict[str, str], doubled: bool, tmp_path: Path
) -> None:
    put(tmp_path, "compose.yml", services(a=spender(**one), b=spender(**other)))
    assert none(look(tmp_path), "doubled-scheduler") != doubled


def test_what_is_not_started_is_not_doubled(tmp_path: Path) -> None:
    on = spender(SCHEDULER_ENABLED="true")
    put(tmp_path, "compose.yml", services(a=on, b=f"profiles: [debug]\n{on}"))
    assert none(look(tmp_path), "doubled-scheduler")
    assert not none(look(tmp_path, profiles=["debug"]), "doubled-scheduler")
    put(tmp_path, "compose.yml", services(a=on, b=f"scale: 0\n{on}"))
    assert none(look(tmp_path), "doubled-scheduler")


def test_two_containers_of_one_scheduler(tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yml",
        services(
            a="deploy: {replicas: 3}\n"
            + spender(SCHEDULER_ENABLED="true", CRAWL_INTERVAL="60m", OPENAI_MODEL="gpt-4o-mini")
        ),
    )
    found = only(look(tmp_path), "doubled-scheduler")
    assert "3 containers" in found.sentence
    assert found.weekly is not None
    assert found.weekly.nano == 2 * 201_600_000


def test_two_celery_beats(tmp_path: Path) -> None:
    beat = "command: celery -A app beat\n" + spender()
    put(tmp_path, "compose.yml", services(a=beat, b=beat))
    assert not none(look(tmp_path), "doubled-scheduler")


@pytest.mark.parametrize(
    ("policy", "noted"),
    [
        ("always", True),
        ("unless-stopped", True),
        ("on-failure", True),
        ("on-failure:5", False),
        ('"no"', False),
    ],
)
def test_restart_policies(policy: str, noted: bool, tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yml",
        services(a=f"restart: {policy}\n{spender()}", db="image: db\nrestart: always"),
    )
    report = look(tmp_path)
    assert none(report, "restart-policy") != noted
    if noted:
        assert (only(report, "restart-policy").severity, "db" in only(report, "restart-policy").sentence) == (
            "note",
            False,
        )


@pytest.mark.parametrize(
    ("mount", "rule"),
    [
        ("/srv/costmon/costmon:/costmon", ""),
        ("/srv/state:/run/costmon", ""),
        ("/srv/costmon/switch/all:/costmon/switch/all:ro", "switch-file-mounted"),
        ("/srv/x/switch/app=trader:/costmon/switch/app=trader", "switch-file-mounted"),
        ("/srv/costmon/ledger.db:/costmon/ledger.db", "switch-file-mounted"),
        ("/srv/data:/data", "switch-unmounted"),
    ],
)
def test_the_folder_of_the_switch(mount: str, rule: str, tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yml",
        services(
            a=f'volumes: ["{mount}"]\n{spender(COSTMON_HOME="/run/costmon" if "/run" in mount else "/costmon")}'
        ),
    )
    found = [one for one in rules(look(tmp_path)) if one.startswith("switch")]
    assert (rule in found) if rule else (found == [])
    if rule:
        assert only(look(tmp_path), rule).severity == ("warning" if "file" in rule else "note")


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({}, True),
        ({"app/requirements.txt": "openai\ncostmon==0.1\n"}, False),
        ({"app/pyproject.toml": '[project]\ndependencies = ["openai", "costmon>=0.1"]\n'}, False),
        ({"app/Dockerfile": 'FROM python\n# costmon\nCMD ["python", "a.py"]\n'}, True),
        ({"app/Dockerfile": 'FROM python\nCMD ["costmon", "run", "--", "python", "a.py"]\n'}, False),
        ({"app/main.py": "import costmon\nimport openai\n"}, False),
    ],
)
def test_a_service_without_the_shim(files: dict[str, str], missing: bool, tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", services(a="build: ./app\n" + spender().partition("\n")[2]))
    for name, text in files.items():
        put(tmp_path, name, text)
    assert none(look(tmp_path), "no-shim") != missing


def test_what_costmon_starts_has_the_shim(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", services(a="command: costmon run -- python a.py\n" + spender()))
    assert none(look(tmp_path), "no-shim")


def test_an_sdk_in_the_build_folder_tells_that_it_spends(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", services(a="build: ./app"))
    assert none(look(tmp_path), "no-shim")
    put(tmp_path, "app/requirements.txt", "anthropic>=1\n")
    assert not none(look(tmp_path), "no-shim")


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("MAX_RETRIES", "-1", "warning"),
        ("OPENAI_MAX_RETRIES", "unlimited", "warning"),
        ("RETRY_LIMIT", "inf", "warning"),
        ("RETRY_FOREVER", "true", "warning"),
        ("MAX_RETRIES", "0", "note"),
        ("MAX_RETRIES", "3", ""),
        ("RETRY_FOREVER", "false", ""),
        ("RETRY_DELAY", "-1", ""),
    ],
)
def test_retries_without_a_limit(name: str, value: str, severity: str, tmp_path: Path) -> None:
    put(tmp_path, ".env", f"{name}={value}\n")
    found = [one.severity for one in look(tmp_path).findings if one.rule == "retry-unlimited"]
    assert found == ([severity] if severity else [])


def test_units_are_services(tmp_path: Path) -> None:
    put(
        tmp_path,
        "trader.service",
        "[Unit]\n[Service]\nExecStart=python -m trader\nRestart=always\n"
        "Environment=OPENAI_MODEL=gpt-4o-mini CRAWL_INTERVAL=5m\n",
    )
    report = look(tmp_path)
    assert rules(report) == ["interval-floor", "no-shim", "restart-policy"]
    assert only(report, "interval-floor").place.line == 5


def test_a_file_that_only_ends_like_a_unit(tmp_path: Path) -> None:
    put(tmp_path, "user.service", "export class UserService { restart = always }\n")
    assert look(tmp_path).findings == ()


def test_a_cheaper_model_in_development_is_fine(tmp_path: Path) -> None:
    put(tmp_path, "compose.yml", APP)
    for model, found in (
        ("gpt-4o-mini", True),
        ("gpt-4.1-nano", True),
        ("no-such-model", True),
        ("gpt-4o", False),
    ):
        put(tmp_path, ".env.staging", f"OPENAI_MODEL={model}\n")
        assert none(look(tmp_path), "costly-model") == found


def test_production_may_be_an_env_file(tmp_path: Path) -> None:
    put(tmp_path, ".env.production", "LLM_MODEL=gpt-4o-mini\n")
    put(tmp_path, ".env.development", "LLM_MODEL=gpt-4o\n")
    found = only(look(tmp_path), "costly-model")
    assert [Path(place.path).name for place, _ in found.evidence] == [".env.development", ".env.production"]


def test_an_override_file_is_judged_over_its_base(tmp_path: Path) -> None:
    """docker-compose.prod.yml changes one service of the base, and only that is wrong."""
    put(tmp_path, "docker-compose.yml", APP + HOURLY)
    put(
        tmp_path, "docker-compose.prod.yml", "services:\n  app:\n    environment:\n      CRAWL_INTERVAL: 5m\n"
    )
    found = only(look(tmp_path), "interval-floor")
    assert (Path(found.place.path).name, found.place.line) == ("docker-compose.prod.yml", 4)


def test_what_is_said_twice_costs_once(tmp_path: Path) -> None:
    """Variants of one file are alternatives: only one of them runs."""
    text = APP + "      CRAWL_INTERVAL: 5m\n"
    put(tmp_path, "docker-compose.yml", text)
    once = look(tmp_path).weekly
    put(tmp_path, "docker-compose.blue.yml", text)
    assert len([one for one in look(tmp_path).findings if one.rule == "interval-floor"]) == 2
    assert look(tmp_path).weekly == once


def test_one_env_file_for_all_makes_no_run_of_each(tmp_path: Path) -> None:
    """Nothing says which of the three runs it: it is one finding, and costs once."""
    common = "build: .\nenv_file: [.env]"
    put(tmp_path, ".env", "OPENAI_API_KEY=x\nOPENAI_MODEL=gpt-4o-mini\nCRAWL_INTERVAL=5m\n")
    put(tmp_path, "compose.yml", services(web=common, worker=common, db="image: db"))
    found = only(look(tmp_path), "interval-floor")
    assert found.sentence.startswith("web or worker runs every 5m")
    assert found.weekly is not None
    assert found.weekly.nano == 2_217_600_000
    put(
        tmp_path,
        "compose.yml",
        services(web=common, worker=common, beat=f"{common}\ncommand: celery -A a beat"),
    )
    assert only(look(tmp_path), "interval-floor").sentence.startswith("beat runs every 5m")


def test_jobs_of_tests_are_none(tmp_path: Path) -> None:
    job = "import openai\ns.add_job(trade, 'interval', minutes=5)\n"
    for name in ("tests/a.py", "test_a.py", "conftest.py", "app/a_test.py", "app/tests/deep/b.py"):
        put(tmp_path, name, job)
    assert look(tmp_path).findings == ()
    assert not none(look(tmp_path / "test_a.py"), "interval-floor")  # but it was asked for
    put(tmp_path, "latest.py", job)
    assert len(look(tmp_path).findings) == 1
