"""What cannot be read is named once, and the rest is judged."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from costmon.cli import audited
from tests.audit.kit import CANARY, INCIDENT, look, only, put, rules

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound project that must be judged whatever lies beside it."""
    put(tmp_path, "sound/docker-compose.yml", (INCIDENT / "docker-compose.yml").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "severity"),
    [
        ("docker-compose.yml", BOMB + "services: {a: {image: *a11}}\n", "note"),
        ("docker-compose.yml", b"\x00\x01\x02" * 100, "warning"),
        ("docker-compose.yml", "services: [\n", "warning"),
        (".env", b"\xff\xfe\x00\xd8A", "warning"),
        (".env", "K=\u00e9\n".encode("latin-1"), "warning"),
        ("a.py", b"import \xff openai\n", "note"),
        ("a.py", "import openai\nx = (" * 3000, "note"),
        ("a.py", "import openai\nx = " + "-" * 200_000 + "1", "note"),
        ("pyproject.toml", "x = [[[[", "note"),
        ("pyproject.toml", ".".join("a" * 20_000) + " = 1\n", "note"),
        ("crontab", "* * * * * * *\n\x07\x1b[31m no\n", "note"),
    ],
)
def test_one_sentence_and_the_rest_is_judged(
    name: str, content: str | bytes, severity: str, folder: Path
) -> None:
    bad = put(folder, name, content)
    begun = time.perf_counter()
    report = look(folder)
    assert time.perf_counter() - begun < 5
    unread = [one for one in report.findings if one.rule == "not-read"]
    assert unread
    assert {one.place.path for one in unread} == {str(bad)}
    assert unread[0].severity == severity
    assert str(bad) in unread[0].sentence
    assert "doubled-scheduler" in rules(report)


def test_a_file_of_100_mb_is_not_read(folder: Path) -> None:
    with open(folder / ".env", "wb") as file:
        file.truncate(100_000_000)
    report = look(folder)
    assert "larger than 2 MB" in only(report, "not-read").sentence


def test_pipes_and_links_hold_nothing_up(folder: Path) -> None:
    os.mkfifo(folder / ".env")
    os.symlink("nowhere.yml", folder / "compose.yml")
    os.symlink(folder, folder / "again")
    os.symlink("/nowhere", folder / "gone.py")
    report = look(folder)
    assert len([one for one in report.findings if one.rule == "doubled-scheduler"]) == 1
    assert {Path(one.place.path).name for one in report.findings if one.rule == "not-read"} >= {
        ".env",
        "gone.py",
    }


def test_nothing_raw_reaches_the_terminal(folder: Path) -> None:
    """A service, a job and a file whose names would move the cursor."""
    put(folder, "b\x1b[2J.env", "APP_ENV=dev\nSCHEDULER_ENABLED=true\n\x1b[31mX=1\n")
    put(
        folder,
        "x/compose.yml",
        'services:\n  "a\\e[2Jb":\n    image: t\n    environment: {OPENAI_API_KEY: x, "POLL\\e_INTERVAL": 5m}\n',
    )
    put(folder, "j.py", "import openai\ns.add_job(f, 'interval', minutes=5, id='\\x1b[2J\\u202eevil')\n")
    text = "\n".join(audited.lines(look(folder)))
    assert "evil" in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("where", [".git", "node_modules", ".venv", "lib/site-packages", "__pycache__"])
def test_what_tools_put_there_is_left_out(where: str, tmp_path: Path) -> None:
    put(tmp_path, f"{where}/pyvenv.cfg", "")
    put(tmp_path, f"{where}/.env.development", f"OPENAI_API_KEY={CANARY}\n")
    put(tmp_path, f"{where}/docker-compose.yml", (INCIDENT / "docker-compose.yml").read_bytes())
    report = look(tmp_path)
    assert report.findings == ()
    assert report.files == 0


def test_a_line_can_be_left_alone(tmp_path: Path) -> None:
    text = (INCIDENT / "docker-compose.yml").read_text()
    put(tmp_path, "docker-compose.yml", text.replace(":-5}", ":-5}  # costmon: ignore interval-floor"))
    assert "interval-floor" not in rules(look(tmp_path))
    assert "interval-differs" in rules(look(tmp_path))
    put(tmp_path, "docker-compose.yml", text.replace(":-5}", ":-5}  # costmon: ignore"))
    assert rules(look(tmp_path), "warning") == ["doubled-scheduler"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env.dev", "".join(f"X{n}_MAX_RETRIES=-1\n" for n in range(60_000))),
        (".env.dev", "A" * 1_900_000 + "_API_KEY=" + "b" * 50_000),
        (".env.dev", "sk-\n" * 400_000),
        (
            "compose.yml",
            "services:\n"
            + "".join(
                f"  s{n}: {{image: t, environment: {{SCHEDULER_ENABLED: 'true', CRAWL_INTERVAL: {n}}}}}\n"
                for n in range(20_000)
            ),
        ),
        ("a.timer", "[Timer]\n" + "OnCalendar=\\\n" * 140_000),
        ("crontab", "* * * * * python a.py\n" * 80_000),
        ("crontab", "*/5 * * * * " + "a" * 1_900_000),
        ("a.py", "import openai\n" + "s.add_job(f, 'interval', minutes=5)\n" * 20_000),
        (
            "a.toml",
            "[tool.scheduler]\n" + "".join(f"[tool.scheduler.j{n}]\nminutes=1\n" for n in range(20_000)),
        ),
    ],
)
def test_a_hostile_file_takes_no_minute(name: str, content: str, folder: Path) -> None:
    put(folder, name, content)
    begun = time.process_time()
    report = look(folder)
    list(audited.lines(report))
    assert time.process_time() - begun < 8
    assert "doubled-scheduler" in rules(report)
