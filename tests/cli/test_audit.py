"""`costmon audit` as a user types it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from costmon.audit.sarif import RULES
from costmon.cli import main
from costmon.shim.money import Money
from tests.audit.kit import CANARY, INCIDENT, put
from tests.harness import cli, need

TOKENS = ("--tokens", "4000/1000")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The incident, in the folder one is in."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("docker-compose.yml", ".env.development"):
        shutil.copy(INCIDENT / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def document(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


def refused(*arguments: str) -> str:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_for_people() -> None:
    """The worst first, each with its place, what it costs and what to do; nothing is wider than a terminal."""
    done = run(*TOKENS)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["error", "doubled-scheduler", "$2.42", "a", "week"]
    assert "    docker-compose.yml:19  api: SCHEDULER_ENABLED = true" in lines
    assert max(map(len, lines)) <= 80
    heads = [line.split()[0] for line in lines if line.startswith(("error", "warning", "note"))]
    assert heads == ["error"] * 2 + ["warning"] * 4 + ["note"] * 3
    assert "2 errors, 4 warnings, 3 notes in 2 files; leaving this costs $2.42 a week." in done.stdout


def test_the_line_it_names_is_the_line(project: Path) -> None:
    text = (project / "docker-compose.yml").read_text().splitlines()
    (found,) = (one for one in document()["findings"] if one["rule"] == "interval-floor")
    assert "SCHEDULER_INTERVAL_MINUTES:-5" in text[found["line"] - 1]


def test_json(project: Path) -> None:
    found = document(*TOKENS)
    assert found["counts"] == {"error": 2, "warning": 4, "note": 3}
    assert found["weekly"] == [{"amount": "2.4192", "currency": "USD"}]
    first = found["findings"][0]
    assert first.keys() == {
        "rule",
        "severity",
        "path",
        "line",
        "sentence",
        "advice",
        "evidence",
        "weekly",
        "diff",
    }
    assert (first["rule"], first["path"]) == ("doubled-scheduler", "docker-compose.yml")
    assert first["diff"].startswith("--- a/docker-compose.yml\n+++ b/docker-compose.yml\n@@ ")
    assert document()["weekly"] == []
    assert document()["unpriced"] == 3


def test_sarif() -> None:
    """What the standard requires: version, runs, a driver with rules, results with a message, a level and a place."""
    found = json.loads(run("--sarif", *TOKENS).stdout)
    assert found["version"] == "2.1.0"
    assert found["$schema"].endswith("sarif-2.1.0.json")
    (one,) = found["runs"]
    driver = one["tool"]["driver"]
    assert driver["name"] == "costmon"
    ids = [rule["id"] for rule in driver["rules"]]
    assert ids == list(RULES)
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    assert len(one["results"]) == 9
    for result in one["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        for place in (*result["locations"], *result.get("relatedLocations", [])):
            physical = place["physicalLocation"]
            assert physical["artifactLocation"]["uri"] in ("docker-compose.yml", ".env.development")
            assert physical["region"]["startLine"] >= 1
        for fix in result.get("fixes", []):
            (change,) = fix["artifactChanges"]
            assert change["artifactLocation"]["uri"]
            assert all(
                part["deletedRegion"]["startLine"] and part["insertedContent"]["text"]
                for part in change["replacements"]
            )
    assert sum("fixes" in result for result in one["results"]) == 5


def test_diff_is_a_patch(project: Path) -> None:
    need("patch")
    done = run("--diff")
    assert "2 files to patch" in done.stderr
    subprocess.run(["patch", "-p1", "-s"], input=done.stdout, text=True, check=True, cwd=project)
    assert {one["rule"] for one in document()["findings"] if one["severity"] != "note"} == {"key-shape"}
    assert run("--diff").stdout == ""


@pytest.mark.parametrize(
    ("fail_on", "broken", "fixed"), [("error", 1, 0), ("warning", 1, 0), ("note", 1, 1), ("never", 0, 0)]
)
def test_exit_codes(fail_on: str, broken: int, fixed: int, project: Path) -> None:
    assert run("--fail-on", fail_on).exit_code == broken
    (project / ".env.development").unlink()
    shutil.copy(INCIDENT / "docker-compose.fixed.yml", project / "docker-compose.yml")
    assert run("--fail-on", fail_on).exit_code == fixed
    shutil.copy(INCIDENT / "doubled" / ".env", project / ".env")
    assert run("--fail-on", fail_on).exit_code == broken
    assert run("--fail-on", fail_on, "--no-env").exit_code == fixed


def test_nothing_to_audit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(str(tmp_path / "empty"))
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing to audit")
    put(tmp_path, "empty/compose.yml", "services: {a: {image: x}}\n")
    assert run(str(tmp_path / "empty")).stdout == "Nothing found in 1 file.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "there is no nowhere"),
        (("--tokens", "4000"), "write it like 4000/1000"),
        (("--floor", "often"), "write it like 60m"),
        (("--model", "gpt-4oo"), "names like it: gpt-4o"),
        (("--json", "--sarif"), "give one of them"),
        (("notes.md",), "cannot be told from its name"),
    ],
)
def test_bad_use_is_one_sentence(arguments: tuple[str, ...], said: str, project: Path) -> None:
    put(project, "notes.md", "x")
    assert said in refused(*arguments)


def test_the_config_has_the_floor_and_plans_of_record(project: Path, costmon_home: Path) -> None:
    costmon_home.mkdir(mode=0o700)
    (costmon_home / "config.toml").write_text('[schedules]\nfloor = "5m"\n')
    assert "interval-floor" not in {one["rule"] for one in document()["findings"]}
    assert "interval-floor" in {one["rule"] for one in document("--floor", "10m")["findings"]}
    (costmon_home / "config.toml").write_text('[jobs.scheduler]\nevery = "5m"\n')
    assert "interval-floor" not in {one["rule"] for one in document()["findings"]}
    (costmon_home / "config.toml").write_text('[jobs."api/scheduler"]\nevery = "5m"\n')
    assert "interval-floor" not in {one["rule"] for one in document()["findings"]}
    (costmon_home / "config.toml").write_text('[jobs."other/scheduler"]\nevery = "5m"\n')
    assert "interval-floor" in {one["rule"] for one in document()["findings"]}
    (costmon_home / "config.toml").write_text("[schedules]\nfloor = 5\nx = 1\n")
    assert "config.toml" in refused()


def test_what_runs_took_is_known_from_the_ledger(project: Path, costmon_home: Path) -> None:
    """Two runs of one job, of one and of three calls: on average a run is two calls."""
    from costmon.store import open_ledger

    costmon_home.mkdir(mode=0o700)
    store = open_ledger(str(costmon_home))
    with store.db as db:
        for run_id, calls in (("1", 1), ("2", 3)):
            db.execute(
                "insert into job_run (id, app, job, source, started_at, ended_at, outcome)"
                " values (?, 'api', 'scheduler', 'app', 1, 2, 'ok')",
                (run_id,),
            )
            db.execute(
                "insert into rollup_run (run_id, currency, calls, input_tokens, output_tokens) values (?, 'USD', ?, ?, ?)",
                (run_id, calls, calls * 4000, calls * 1000),
            )
    store.close()
    (found,) = (one for one in document()["findings"] if one["rule"] == "interval-floor")
    assert found["weekly"] == Money(2 * 2_217_600_000, "USD").to_json()
    (found,) = (one for one in document(*TOKENS)["findings"] if one["rule"] == "interval-floor")
    assert found["weekly"]["amount"] == "2.2176"  # what one says counts before it


def test_it_leaves_nothing_behind(project: Path, costmon_home: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    run(*TOKENS)
    assert not costmon_home.exists()
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_no_form_shows_a_secret(project: Path) -> None:
    put(project, ".env.staging", f"OPENAI_API_KEY={CANARY}\nSCHEDULER_ENABLED=true\n")
    put(
        project,
        "other/compose.yml",
        f"services:\n  a:\n    image: x\n    environment:\n      OPENAI_API_KEY: {CANARY}\n      CRAWL_INTERVAL: 5m\n",
    )
    for form in ((), ("--json",), ("--sarif",), ("--diff",)):
        done = run(*form)
        assert done.output
        assert "CANARY" not in done.output
        assert CANARY[-5:] not in done.output


def test_from_a_shell(project: Path, costmon_home: Path) -> None:
    done = cli.costmon(costmon_home, "audit", str(project), *TOKENS, "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["weekly"] == [{"amount": "2.4192", "currency": "USD"}]
