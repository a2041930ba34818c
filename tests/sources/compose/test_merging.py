"""Files over files: what the merge chapter of the Compose Specification says of each kind of key."""

from __future__ import annotations

import pytest

from tests.sources.compose.kit import project, sentences, service, values

BASE = """
    name: shop
    services:
      web:
        image: shop:1
        command: ["run", "--all day"]
        environment:
          - A=1
          - B=2
        labels: {one: "1", two: "2"}
        volumes:
          - ./data:/data
          - cache:/cache:ro
        env_file: one.env
        profiles: [night]
        depends_on: [db]
        restart: always
      db:
        image: postgres
"""


def over(tmp_path, text):
    env = {"one.env": "X=1\nY=1\n", "two.env": "Y=2\n"}
    return project(tmp_path, {"compose.yml": BASE, "over.yml": text, **env}, "compose.yml", "over.yml")


def test_environments_are_merged_by_name_whatever_their_form(tmp_path):
    found = over(tmp_path, "services: {web: {environment: {B: two, C: '3'}}}")
    assert values(found, "web") == {"X": "1", "Y": "1", "A": "1", "B": "two", "C": "3"}
    places = {
        name: setting.place.path.rpartition("/")[2]
        for name, setting in service(found, "web").environment.items()
    }
    assert places == {"X": "one.env", "Y": "one.env", "A": "compose.yml", "B": "over.yml", "C": "over.yml"}


def test_single_values_and_commands_are_replaced(tmp_path):
    web = service(over(tmp_path, "services: {web: {image: 'shop:2', command: other, restart: 'no'}}"), "web")
    assert (web.image, web.command, web.restart) == ("shop:2", "other", "no")
    assert web.restart_place.path.endswith("over.yml")


def test_a_command_as_a_list_is_told_as_a_shell_would_take_it(tmp_path):
    assert service(over(tmp_path, "services: {}"), "web").command == "run '--all day'"


def test_volumes_are_merged_by_their_target(tmp_path):
    text = """
        services:
          web:
            volumes:
              - /elsewhere:/data/
              - {type: bind, source: more, target: /more, read_only: true}
              - type: tmpfs
                target: /tmp
    """
    mounts = service(over(tmp_path, text), "web").mounts
    assert [(mount.source, mount.target, mount.read_only) for mount in mounts] == [
        ("/elsewhere", "/data", False),
        ("cache", "/cache", True),
        (str(tmp_path / "more"), "/more", True),
        ("", "/tmp", False),
    ]


def test_lists_of_names_and_env_files_are_added_to(tmp_path):
    found = over(
        tmp_path,
        "services: {web: {profiles: [day], depends_on: {queue: {}}, env_file: [two.env], labels: ['two=II']}}",
    )
    web = service(found, "web")
    assert (web.profiles, web.depends_on, dict(web.labels)) == (
        ("night", "day"),
        ("db", "queue"),
        {"one": "1", "two": "II"},
    )
    assert values(found, "web")["Y"] == "2"


def test_reset_takes_away_and_override_replaces(tmp_path):
    text = """
        services:
          web:
            environment:
              A: !reset null
            volumes: !override
              - only:/only
            profiles: !reset []
            restart: !reset null
            labels: !reset
            env_file: !override two.env
    """
    found = over(tmp_path, text)
    web = service(found, "web")
    assert values(found, "web") == {"Y": "2", "B": "2"}
    assert [mount.target for mount in web.mounts] == ["/only"]
    assert (web.profiles, web.active, web.restart, web.restart_place, dict(web.labels)) == (
        (),
        True,
        "",
        None,
        {},
    )


def test_a_build_keeps_its_context_unless_another_is_given(tmp_path):
    base = "services: {a: {build: ./app}, b: {build: {context: ./b}}, c: {build: {dockerfile: D}}}"
    more = "services: {a: {build: {args: {X: 1}}}, b: {build: ./other}}"
    found = project(tmp_path, {"compose.yml": base, "more.yml": more}, "compose.yml", "more.yml")
    assert [entry.build for entry in found.services] == [
        str(tmp_path / "app"),
        str(tmp_path / "other"),
        str(tmp_path),
    ]


def test_interpolation_comes_before_the_merge_and_services_may_be_added(tmp_path):
    found = over(tmp_path, "services: {web: {environment: ['B=${NONE:-x}']}, extra: {image: e}}")
    assert [entry.name for entry in found.services] == ["web", "db", "extra"]
    assert values(found, "web")["B"] == "x"
    assert found.name == "shop"


def test_documents_of_one_file_are_merged_in_turn(tmp_path):
    text = "services: {a: {image: a, environment: {X: 1}}}\n---\nservices: {a: {environment: {X: 2}}}\n"
    assert values(project(tmp_path, {"compose.yml": text}), "a") == {"X": "2"}


@pytest.mark.parametrize("name", ["compose.override.yaml", "docker-compose.override.yml"])
@pytest.mark.parametrize("asked", [[], ["compose.yaml"]])
def test_the_override_file_is_taken_up_by_itself_and_said(tmp_path, name, asked):
    files = {
        "compose.yaml": "services: {a: {image: a, restart: always}}",
        name: "services: {a: {restart: 'no'}}",
    }
    found = project(tmp_path, files, *asked)
    assert service(found, "a").restart == "no"
    assert found.files == (str(tmp_path / "compose.yaml"), str(tmp_path / name))


def test_a_named_file_that_compose_does_not_look_for_stands_alone(tmp_path):
    files = {
        "docker-compose.prod.yml": "services: {a: {image: a}}",
        "compose.override.yml": "services: {b: {image: b}}",
    }
    assert [entry.name for entry in project(tmp_path, files, "docker-compose.prod.yml").services] == ["a"]


def test_forms_that_do_not_fit_are_named_and_left_out(tmp_path):
    text = """
        services:
          a: {image: a, environment: 5, volumes: x, labels: [[1]]}
          b: 7
          c: {image: [x], scale: many, environment: {K: [1]}}
          d: {image: d}
    """
    found = project(tmp_path, {"compose.yml": text})
    assert [entry.name for entry in found.services] == ["a", "c", "d"]
    said = sentences(found)
    assert len(said) == 7
    assert all(
        sentence.startswith(str(tmp_path / "compose.yml")) and sentence.endswith(".") for sentence in said
    )
    assert sorted(problem.place.line for problem in found.problems) == [3, 3, 3, 4, 5, 5, 5]
