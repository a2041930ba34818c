"""A project: its `.env`, env files, profiles, scale, `extends` and `include`."""

from __future__ import annotations

import time

import pytest

from costmon.sources.compose.finding import projects
from costmon.sources.compose.reading import read
from tests.sources.compose.kit import incident, project, sentences, service, values, write


def test_the_incident_as_it_ran(tmp_path):
    found = read([str(incident(tmp_path))])
    assert found.problems == ()
    assert [entry.name for entry in found.services] == ["postgres", "api", "worker", "dashboard"]
    api, worker = service(found, "api"), service(found, "worker")
    for entry, minutes, line in ((api, "5", 20), (worker, "60", 34)):
        setting = entry.environment["SCHEDULER_INTERVAL_MINUTES"]
        assert (setting.value, setting.default, setting.place.line) == (minutes, minutes, line)
        assert setting.asks == ("SCHEDULER_INTERVAL_MINUTES",)
        assert entry.environment["SCHEDULER_ENABLED"].value == "true"
        assert (entry.restart, entry.depends_on) == ("unless-stopped", ("postgres",))
    key = api.environment["OPENAI_API_KEY"]
    assert (key.value, key.unset) == (None, ("OPENAI_API_KEY",))
    assert worker.command == "python -m trading.worker"


def test_the_fixed_file_and_what_its_env_does_to_it(tmp_path):
    found = read([str(incident(tmp_path, fixed=True))])
    assert [values(found, name)["SCHEDULER_ENABLED"] for name in ("api", "worker")] == ["false", "true"]
    found = read([str(incident(tmp_path, fixed=True, doubled=True))])
    settings = [service(found, name).environment["SCHEDULER_ENABLED"] for name in ("api", "worker")]
    assert [setting.value for setting in settings] == ["true", "true"]
    assert {setting.from_file for setting in settings} == {(str(tmp_path / ".env"), 2)}
    assert found.env_file == str(tmp_path / ".env")


def test_the_shell_is_asked_only_if_it_is_given_and_then_first(tmp_path, monkeypatch):
    monkeypatch.setenv("MINUTES", "1")
    files = {
        "compose.yml": "services: {a: {image: a, environment: {M: '${MINUTES:-9}', MINUTES: }}}",
        ".env": "MINUTES=5\n",
    }
    assert values(project(tmp_path, files), "a") == {"M": "5", "MINUTES": "5"}
    assert values(read([str(tmp_path)], environ={"MINUTES": "7"}), "a") == {"M": "7", "MINUTES": "7"}
    (tmp_path / ".env").unlink()
    assert values(read([str(tmp_path)]), "a") == {"M": "9", "MINUTES": None}


def test_env_files_come_under_the_environment_and_later_over_earlier(tmp_path):
    text = """
        services:
          a:
            image: a
            env_file:
              - one.env
              - path: two.env
                required: false
              - path: none.env
                required: false
              - {path: raw.env, format: raw}
              - none-either.env
            environment:
              C: own
              D: "${FROM_DOTENV}"
          b: {image: b, env_file: one.env}
    """
    files = {
        "compose.yml": text,
        ".env": "FROM_DOTENV=dot\n",
        "one.env": "A=1\nB=1\nC=1\nE=${FROM_DOTENV}-${C}-${A}\n",
        "two.env": "export B='2' # two\n",
        "raw.env": 'Q="q"\n',
    }
    found = project(tmp_path, files)
    assert values(found, "a") == {"A": "1", "B": "2", "C": "own", "E": "dot-own-1", "Q": '"q"', "D": "dot"}
    settings = service(found, "a").environment
    assert (settings["B"].origin, settings["B"].place) == ("env_file", (str(tmp_path / "two.env"), 1))
    assert settings["C"].origin == "environment"
    assert [(problem.place.line, "none-either.env" in problem.sentence) for problem in found.problems] == [
        (12, True)
    ]


def test_profiles_say_who_is_active(tmp_path):
    files = {
        "compose.yml": "services: {a: {image: a}, b: {image: b, profiles: [x, y]}, c: {image: c, profiles: [z]}}"
    }

    def active(**asked):
        return [entry.name for entry in read([str(tmp_path)], **asked).services if entry.active]

    write(tmp_path, files)
    assert (active(), active(profiles=["y"]), active(profiles=["*"])) == (["a"], ["a", "b"], ["a", "b", "c"])
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=z,q\n")
    assert (active(), active(profiles=["x"])) == (["a", "c"], ["a", "b"])


def test_scale_and_replicas(tmp_path):
    text = """
        services:
          one: {image: a}
          three: {image: a, deploy: {replicas: 3}}
          two: {image: a, scale: "${N:-2}", deploy: {replicas: 5}}
          none: {image: a, scale: 0}
    """
    assert [entry.scale for entry in project(tmp_path, {"compose.yml": text}).services] == [1, 3, 2, 0]


def test_extends_within_and_across_files(tmp_path):
    files = {
        "compose.yml": """
            services:
              base: {image: base, environment: [A=1, B=1], restart: always}
              mid: {extends: base, environment: {B: 2}}
              top:
                extends: {service: mid}
                command: go
              far:
                extends: {file: parts/common.yml, service: worker}
                environment: {K: own}
        """,
        "parts/common.yml": """
            services:
              worker:
                extends: {service: root}
                build: .
                env_file: w.env
                environment: {K: 1, L: "${L:-l}"}
                volumes: ["./d:/d"]
              root: {restart: on-failure}
        """,
        "parts/w.env": "W=1\n",
    }
    found = project(tmp_path, files)
    assert found.problems == ()
    top, far = service(found, "top"), service(found, "far")
    assert (top.image, top.command, top.restart, values(found, "top")) == (
        "base",
        "go",
        "always",
        {"A": "1", "B": "2"},
    )
    assert (far.restart, values(found, "far")) == ("on-failure", {"W": "1", "K": "own", "L": "l"})
    assert (far.build, far.mounts[0].source) == (str(tmp_path / "parts"), str(tmp_path / "parts" / "d"))
    assert far.environment["L"].place.path == str(tmp_path / "parts" / "common.yml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("services: {a: {extends: a, image: x}}", "in a circle (a → a)"),
        ("services: {a: {extends: b, image: x}, b: {extends: a}}", "in a circle"),
        ("services: {a: {extends: nobody, image: x}}", "extends nobody, which"),
        (
            "services: {a: {extends: {file: none.yml, service: x}, image: x}}",
            "none.yml, which does not exist",
        ),
        ("services: {a: {extends: {file: compose.yml, service: a}, image: x}}", "in a circle"),
        ("services: {a: {extends: {file: y.yml}, image: x}}", "names no service"),
    ],
)
def test_an_extends_that_leads_nowhere_is_named_and_the_service_stays(tmp_path, text, what):
    found = project(tmp_path, {"compose.yml": text})
    assert service(found, "a").image == "x"
    assert any(what in sentence for sentence in sentences(found))


def test_a_long_row_of_extends_ends(tmp_path):
    names = "".join(f"  s{n}: {{extends: s{n + 1}}}\n" for n in range(60))
    found = project(tmp_path, {"compose.yml": f"services:\n{names}  s500: {{image: x}}\n"})
    assert any("more than 20 services in a row" in sentence for sentence in sentences(found))


def test_include_brings_services_of_other_projects_with_their_own_env(tmp_path):
    files = {
        "compose.yml": """
            include:
              - sub/compose.yml
              - path: [other/a.yml, other/b.yml]
                project_directory: .
                env_file: extra.env
            services:
              main: {image: "m:${TAG:-none}"}
              taken: {image: mine}
        """,
        ".env": "COMMON=above\n",
        "extra.env": "TAG=extra\n",
        "sub/compose.yml": """
            services: {inner: {image: 'i:${TAG}-${COMMON}', build: ., env_file: i.env}, taken: {image: theirs}}
        """,
        "sub/.env": "TAG=sub\nCOMMON=below\n",
        "sub/i.env": "T=$TAG\n",
        "other/a.yml": "services: {two: {image: 'a:${TAG}', build: ./x}}",
        "other/b.yml": "services: {two: {restart: always}}",
    }
    found = project(tmp_path, files)
    images = {entry.name: entry.image for entry in found.services}
    assert images == {"main": "m:none", "taken": "mine", "inner": "i:sub-above", "two": "a:extra"}
    assert (service(found, "two").restart, service(found, "two").build) == ("always", str(tmp_path / "x"))
    assert service(found, "inner").build == str(tmp_path / "sub")
    assert values(found, "inner") == {"T": "sub"}
    assert [("second service taken" in sentence) for sentence in sentences(found)] == [True]


def test_includes_in_a_circle_and_of_other_machines_are_named(tmp_path):
    files = {
        "compose.yml": "include: [b.yml, 'oci://example.org/x', 'none.yml']\nservices: {a: {image: a}}",
        "b.yml": "include: compose.yml\nservices: {b: {image: b}}",
    }
    found = project(tmp_path, files)
    assert [entry.name for entry in found.services] == ["a", "b"]
    said = " ".join(sentences(found))
    assert all(words in said for words in ("in a circle", "not fetched", "none.yml, which does not exist"))


def test_a_folder_is_read_as_compose_would(tmp_path):
    files = {"compose.yml": "services: {a: {image: a}}", "docker-compose.yml": "services: {b: {image: b}}"}
    assert [entry.name for entry in project(tmp_path, files).services] == ["a"]
    (tmp_path / ".env").write_text("COMPOSE_FILE=docker-compose.yml:more.yml\nCOMPOSE_PROJECT_NAME=Named-1\n")
    (tmp_path / "more.yml").write_text("services: {c: {image: c}}")
    found = read([str(tmp_path)])
    assert ([entry.name for entry in found.services], found.name) == (["b", "c"], "named-1")


def test_a_folder_without_a_compose_file_says_so(tmp_path):
    found = read([str(tmp_path)])
    assert (found.services, len(found.problems)) == ((), 1)
    assert "holds no compose file" in found.problems[0].sentence


def test_values_and_reprs_of_secrets_stay_inside(tmp_path):
    text = "services: {a: {image: a, environment: {KEY: 'sk-s3cret', B: '${s3cret!}', C: ['s3cret']}, env_file: k.env}}"
    found = project(
        tmp_path, {"compose.yml": text, "k.env": "TOKEN=sk-s3cret\n=s3cret\n", ".env": "X='s3cret\n"}
    )
    assert values(found, "a")["KEY"] == values(found, "a")["TOKEN"] == "sk-s3cret"
    assert len(found.problems) == 4
    assert "s3cret" not in " ".join(sentences(found)) + repr(found)


def test_yaml_values_become_what_a_container_gets(tmp_path):
    text = "services: {a: {image: a, environment: {T: True, F: off, N: 010, S: 12:30, Q: 'true', E: '', Z: 1.50}}}"
    assert values(project(tmp_path, {"compose.yml": text}), "a") == {
        "T": "true", "F": "off", "N": "010", "S": "12:30", "Q": "true", "E": "", "Z": "1.50",
    }  # fmt: skip


@pytest.mark.slow
def test_two_hundred_projects_are_found_and_read_in_time(tmp_path):
    for n in range(200):
        folder = tmp_path / f"p{n}"
        folder.mkdir()
        incident(folder, doubled=True)
    began = time.thread_time()
    read_in = [read(files) for files in projects(str(tmp_path))]
    assert time.thread_time() - began < 1.5  # 0.8 s on the machine it was written on
    assert sum(len(found.services) for found in read_in) == 800
    assert not any(found.problems for found in read_in)
