"""A fix is a patch that applies, makes its finding vanish, and shows no secret."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.audit.fixes import fix
from costmon.audit.secrets import is_plain, is_printable
from tests.audit.kit import APP, CANARY, INCIDENT, look, none, put
from tests.harness import need

TWO = """\
services:
  api:
    image: trading:1
    environment:
      OPENAI_API_KEY: ${{OPENAI_API_KEY:?}}
      SCHEDULER_ENABLED: {on}
      SCHEDULER_INTERVAL_MINUTES: {every}
  scheduler:
    image: trading:1
    environment:
      OPENAI_API_KEY: ${{OPENAI_API_KEY:?}}
      SCHEDULER_ENABLED: "true"
      SCHEDULER_INTERVAL_MINUTES: 60
"""
CASES = {
    "incident": (INCIDENT / "docker-compose.yml").read_text(),
    "literals": TWO.format(on="true", every="5"),
    "quoted": TWO.format(on='"on"', every='"5"'),
    "a number and a comment": APP + "      CRAWL_EVERY_SECONDS: 90  # often\n",
    "a text": APP + "      CRAWL_INTERVAL: 5m\n",
    "a nested default": APP + "      CRAWL_INTERVAL: ${CRAWL_INTERVAL:-15m}\n",
    "retries": APP + "      MAX_RETRIES: -1\n",
}


def apply(folder: Path, diff: str, tool: str) -> None:
    command = ["patch", "-p1", "-s"] if tool == "patch" else ["git", "apply", "--unidiff-zero", "-"]
    done = subprocess.run(command, cwd=folder, input=diff, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["patch", "git"])
@pytest.mark.parametrize("case", CASES)
def test_each_fix_makes_its_finding_vanish(
    case: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(tool)
    monkeypatch.chdir(tmp_path)
    path = put(tmp_path, "docker-compose.yml", CASES[case])
    before = path.read_text()
    fixable = [one for one in look(Path()).findings if one.fix is not None]
    assert fixable
    for one in fixable:
        assert one.fix is not None
        apply(tmp_path, one.fix.diff, tool)
        assert path.read_text() != before
        after = look(Path())
        same = [other for other in after.findings if (other.rule, other.place) == (one.rule, one.place)]
        assert not same, one.rule
        path.write_text(before)


def test_all_fixes_are_one_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two findings want one line changed; the patch changes it once, and a second look finds nothing to patch."""
    need("patch")
    monkeypatch.chdir(tmp_path)
    for name in ("docker-compose.yml", ".env.development"):
        put(tmp_path, name, (INCIDENT / name).read_bytes())
    report = look(Path())
    assert len(report.patch) == 2
    apply(tmp_path, "".join(one.diff for one in report.patch), "patch")
    after = look(Path())
    assert [one.rule for one in after.findings if one.severity != "note"] == ["key-shape"]
    assert after.patch == ()


def test_an_env_file_that_turns_it_on_is_overruled_in_one_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is both services'; only one of them gets a plain `false`."""
    need("patch")
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "compose.yaml", (INCIDENT / "docker-compose.fixed.yml").read_bytes())
    put(tmp_path, ".env", "SCHEDULER_ENABLED=true\n")
    apply(tmp_path, "".join(one.diff for one in look(Path()).patch), "patch")
    assert none(look(Path()), "doubled-scheduler")
    assert (tmp_path / ".env").read_text() == "SCHEDULER_ENABLED=true\n"


def test_what_an_anchor_shares_has_no_sure_fix(tmp_path: Path) -> None:
    """One line says it for both services: to change it would turn the scheduler off everywhere."""
    put(
        tmp_path,
        "compose.yaml",
        "x-env: &env\n  SCHEDULER_ENABLED: 'true'\n  OPENAI_API_KEY: ${OPENAI_API_KEY:?}\n"
        "services:\n  a: {image: t, environment: {<<: *env}}\n  b: {image: t, environment: {<<: *env}}\n",
    )
    (found,) = (one for one in look(tmp_path).findings if one.rule == "doubled-scheduler")
    assert found.fix is None


def test_lines_beside_a_change_show_no_secret(tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yaml",
        APP
        + f"      DATABASE_URL: postgres://u:{CANARY}@db/x\n      NOTE: hunter2\n"
        + "      CRAWL_INTERVAL: 5m\n      hunter3: hunter4\n",
    )
    (diff,) = {one.fix.diff for one in look(tmp_path).findings if one.fix is not None}
    assert "CRAWL_INTERVAL: 60m" in diff
    assert CANARY not in diff
    assert "hunter" not in diff


def test_a_line_that_holds_a_secret_is_never_in_a_patch(tmp_path: Path) -> None:
    put(
        tmp_path,
        "compose.yaml",
        f"services:\n  a:\n    image: t\n    environment: {{OPENAI_API_KEY: {CANARY}, CRAWL_INTERVAL: 5m}}\n",
    )
    report = look(tmp_path)
    assert not none(report, "interval-floor")
    assert report.patch == ()
    assert CANARY not in repr(report)


@pytest.mark.parametrize("name", ["a b.yml", 'a".yml', "a\nb.yml"])
def test_an_odd_file_name_has_no_patch(name: str) -> None:
    assert fix(name, "A=1\n", {1: "A=2"}) is None


LINES = st.lists(
    st.sampled_from(["", "a:", "A: 5", "- B=true", "PASSWORD=x", "c: ${D:-5}", "# note", "\u00fc: 1"]),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25)
@given(LINES, st.data(), st.booleans())
def test_a_patch_gives_exactly_the_changed_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], data: st.DataObject, ends: bool
) -> None:
    need("patch")
    folder = tmp_path_factory.mktemp("law")
    free = [number for number, line in enumerate(lines, 1) if is_printable(line) and line]
    chosen = data.draw(st.sets(st.sampled_from(free), min_size=1)) if free else set()
    text = "\n".join(lines) + ("\n" if ends else "")
    changes = {number: f"changed {number}" for number in chosen}
    found = fix("f.env", text, changes)
    assert (found is None) == (not changes)
    if found is None:
        return
    path = put(folder, "f.env", text)
    apply(folder, found.diff, "patch")
    want = [changes.get(number, line) for number, line in enumerate(lines, 1)]
    assert path.read_text() == "\n".join(want) + ("\n" if ends else "")
    shown = [line[1:] for line in found.diff.split("\n")[2:] if line[:1] == " "]
    assert all(is_plain(line) for line in shown)
