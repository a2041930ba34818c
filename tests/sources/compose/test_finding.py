"""Which compose projects a folder holds."""

from __future__ import annotations

from costmon.sources.compose.finding import projects
from tests.sources.compose.kit import write

ALONE = "services: {a: {image: a}}"
CHANGES = "services: {a: {environment: {X: 1}}, mail: {image: m}}"


def found(folder, **asked):
    return [[path[len(str(folder)) + 1 :] for path in files] for files in projects(str(folder), **asked)]


def test_a_base_and_its_override_are_one_project(tmp_path):
    write(tmp_path, {"compose.yaml": ALONE, "compose.override.yaml": CHANGES})
    assert found(tmp_path) == [["compose.yaml", "compose.override.yaml"]]


def test_a_variant_that_only_changes_joins_the_base_and_one_that_stands_alone_does_not(tmp_path):
    files = {
        "docker-compose.yml": ALONE,
        "docker-compose.override.yml": CHANGES,
        "docker-compose.prod.yml": CHANGES,
        "docker-compose.fixed.yml": ALONE,
        "docker-compose.extra.yml": "services: {b: {build: .}}",
        "docker-compose.broken.yml": "services: [",
        "notes.yml": ALONE,
    }
    write(tmp_path, files)
    assert found(tmp_path) == [
        ["docker-compose.yml", "docker-compose.override.yml"],
        ["docker-compose.broken.yml"],
        ["docker-compose.extra.yml"],
        ["docker-compose.fixed.yml"],
        ["docker-compose.yml", "docker-compose.prod.yml"],
    ]
    assert found(tmp_path, variants=False) == [["docker-compose.yml", "docker-compose.override.yml"]]


def test_without_a_base_every_file_is_a_project(tmp_path):
    write(
        tmp_path,
        {"compose.dev.yml": CHANGES, "docker-compose-prod.yaml": ALONE, "compose.override.yml": CHANGES},
    )
    assert found(tmp_path) == [["compose.dev.yml"], ["compose.override.yml"], ["docker-compose-prod.yaml"]]


def test_of_two_bases_the_one_compose_takes(tmp_path):
    write(tmp_path, {"docker-compose.yml": ALONE, "compose.yaml": ALONE})
    assert found(tmp_path) == [["compose.yaml"]]


def test_folders_that_hold_no_projects_of_ones_own_are_left_out(tmp_path):
    skipped = [".git", ".hidden", "node_modules", "venv", ".venv", "mine", "site-packages"]
    write(tmp_path, {f"{folder}/x/compose.yml": ALONE for folder in skipped} | {"mine/pyvenv.cfg": ""})
    write(tmp_path, {"b/compose.yml": ALONE, "a/deep/er/compose.yml": ALONE})
    assert found(tmp_path) == [["a/deep/er/compose.yml"], ["b/compose.yml"]]


def test_links_in_a_circle_and_great_depth_end(tmp_path):
    write(tmp_path, {"a/compose.yml": ALONE, "/".join("d" * 30) + "/compose.yml": ALONE})
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "compose.dead.yml").symlink_to(tmp_path / "nowhere")
    assert found(tmp_path) == [["a/compose.yml"]]


def test_a_file_is_a_project_with_its_override(tmp_path):
    write(tmp_path, {"compose.yml": ALONE, "compose.override.yml": CHANGES, "other.yml": ALONE})
    base, other = tmp_path / "compose.yml", tmp_path / "compose.override.yml"
    assert projects(str(base)) == [[str(base), str(other)]]
    assert projects(str(tmp_path / "other.yml")) == [[str(tmp_path / "other.yml")]]


def test_a_folder_that_is_not_there_holds_nothing_that_raises(tmp_path):
    assert projects(str(tmp_path / "none")) == [[str(tmp_path / "none")]]
