"""The incident that costmon is for: found before the first call, gone after the fix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from costmon.shim.money import Money
from tests.audit.kit import INCIDENT, look, none, only, rules


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The file that burned money, and the development environment beside it."""
    for name in ("docker-compose.yml", ".env.development"):
        shutil.copy(INCIDENT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    shutil.copy(INCIDENT / "docker-compose.fixed.yml", tmp_path / "docker-compose.yml")
    return tmp_path


SIX = ["costly-model", "doubled-scheduler", "interval-differs", "interval-floor", "key-shape", "scheduler-on"]


def test_the_six_findings(broken: Path) -> None:
    """Exactly these at warning or above; restart policy, switch and shim are notes."""
    report = look(broken)
    assert rules(report, "warning") == SIX
    assert rules(report) == sorted([*SIX, "no-shim", "restart-policy", "switch-unmounted"])


def test_each_finding_names_its_line(broken: Path) -> None:
    report = look(broken)
    compose = (broken / "docker-compose.yml").read_text().split("\n")
    shown = {one.rule: one.place for one in report.findings}
    assert ":-5}" in compose[shown["interval-differs"].line - 1]
    assert ":-5}" in compose[shown["interval-floor"].line - 1]
    assert "SCHEDULER_ENABLED" in compose[shown["doubled-scheduler"].line - 1]
    env = (broken / ".env.development").read_text().split("\n")
    assert env[shown["key-shape"].line - 1].startswith("OPENAI_API_KEY=")
    assert env[shown["scheduler-on"].line - 1].startswith("SCHEDULER_ENABLED=")
    assert env[shown["costly-model"].line - 1].startswith("OPENAI_MODEL=")


def test_what_leaving_it_costs(broken: Path) -> None:
    """2,016 runs of $0.0012 are $2.4192, 168 are $0.2016; with one scheduler off the rest is what was meant."""
    report = look(broken)
    assert only(report, "interval-floor").weekly == Money(2_217_600_000, "USD")
    assert only(report, "interval-differs").weekly == Money(2_217_600_000, "USD")
    assert only(report, "doubled-scheduler").weekly == Money(2_419_200_000, "USD")
    assert report.weekly == (Money(2_419_200_000, "USD"),)  # the three speak of one service: it counts once
    assert "2,016 runs a week" in only(report, "interval-floor").sentence
    assert (
        "5m in api against 60m in worker (2,016 against 168 runs" in only(report, "interval-differs").sentence
    )


def test_the_models_are_compared(broken: Path) -> None:
    sentence = only(look(broken), "costly-model").sentence
    assert "gpt-4o, 16.7 times as dear as production's gpt-4o-mini ($0.02 against $0.0012 a run)" in sentence
    assert "16.7 times" in only(look(broken, tokens=None), "costly-model").sentence


def test_without_tokens_no_cost_is_made_up(broken: Path) -> None:
    report = look(broken, tokens=None)
    assert rules(report, "warning") == SIX
    assert all(one.weekly is None for one in report.findings)
    assert (report.weekly, report.unpriced) == ((), 3)
    assert "--tokens" in report.hints[0]


def test_the_fixed_file_is_quiet(fixed: Path) -> None:
    report = look(fixed)
    assert rules(report, "warning") == []
    assert rules(report) == ["no-shim", "restart-policy", "switch-unmounted"]
    assert report.weekly == ()


def test_an_env_file_that_both_services_read_doubles_it_again(fixed: Path) -> None:
    shutil.copy(INCIDENT / "doubled" / ".env", fixed / ".env")
    report = look(fixed)
    assert rules(report, "warning") == ["doubled-scheduler"]
    found = only(report, "doubled-scheduler")
    assert Path(found.place.path).name == ".env"
    assert "api and worker" in found.sentence
    assert found.weekly == Money(201_600_000, "USD")  # 168 more runs


def test_without_env_files_it_is_not_doubled(fixed: Path) -> None:
    shutil.copy(INCIDENT / "doubled" / ".env", fixed / ".env")
    assert rules(look(fixed, env=False), "warning") == []


def test_one_file_is_judged_in_its_context(fixed: Path) -> None:
    """A compose file with its `.env`, but without what else lies about; an env file beside production's model."""
    shutil.copy(INCIDENT / ".env.development", fixed / ".env.development")
    assert rules(look(fixed / "docker-compose.yml"), "warning") == []
    shutil.copy(INCIDENT / "doubled" / ".env", fixed / ".env")
    assert rules(look(fixed / "docker-compose.yml"), "warning") == ["doubled-scheduler"]
    assert rules(look(fixed / ".env.development")) == ["costly-model", "key-shape", "scheduler-on"]


def test_the_whole_folder_of_test_data(tmp_path: Path) -> None:
    """Both compose files beside each other: each is a project, and only one is wrong."""
    shutil.copytree(INCIDENT, tmp_path / "incident")
    report = look(tmp_path / "incident")
    assert rules(report, "warning") == SIX
    assert all("fixed" not in one.place.path for one in report.findings if one.severity != "note")


def test_a_floor_of_ones_own(broken: Path) -> None:
    assert none(look(broken, floor_us=5 * 60_000_000), "interval-floor")
    found = [one for one in look(broken, floor_us=2 * 3_600_000_000).findings if one.rule == "interval-floor"]
    assert len(found) == 2  # 60 minutes are too often, too


def test_a_plan_of_record_is_no_finding(broken: Path) -> None:
    assert none(look(broken, held={"scheduler": 5 * 60_000_000}), "interval-floor")
    assert "the plan of every 4h" in next(
        one.sentence
        for one in look(broken, held={"scheduler": 4 * 3_600_000_000}).findings
        if one.rule == "interval-floor"
    )
