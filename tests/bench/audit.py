"""What an audit of 200 files takes: compose and env files, Python, TOML, crontabs and units of 40 apps."""

from __future__ import annotations

import ast
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from costmon.audit.costs import Pricing
from costmon.audit.judge import audit
from costmon.pricing.lookup.show import open_catalogue
from tests.bench.rows import Row, figure, median, row

APPS = 40
ROUNDS = 7
_HOUR = 3_600_000_000
_NOW = 1_795_176_000_000_000  # 2026-11-20, 12:00 UTC
_INCIDENT = Path(__file__).parent.parent / "data" / "incident"
_SCANNED = Path(__file__).parent.parent.parent / "costmon" / "audit" / "python" / "schedules.py"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(APPS):
            _app(Path(folder, f"app{number}"), number)
        count = sum(path.is_file() for path in Path(folder).rglob("*"))
        yield from _measured(f"audit of {count} files", folder, count)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(200):
            Path(folder, f"docker-compose.{number}.yml").write_text(_compose(number))
        yield from _measured("  of 200 compose files in one folder", folder, 200)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(200):
            Path(folder, f"m{number}.py").write_text(_SCANNED.read_text())
        yield from _measured("  of 200 Python files of 300 lines", folder, 200)


def _measured(name: str, folder: str, count: int) -> Iterator[Row]:
    """The clock's time, the processor's, and how often the files could be parsed by others in that time."""
    catalogue = open_catalogue(None)
    clock, processor, parsing = [], [], []
    for _ in range(ROUNDS):
        start, used = time.perf_counter(), time.process_time()
        report = audit([folder], Pricing(catalogue, _NOW, (4000, 1000), "gpt-4o-mini"), floor_us=_HOUR)
        clock.append((time.perf_counter() - start) * 1000)
        processor.append((time.process_time() - used) * 1000)
        assert report.files == count, report.files
        used = time.process_time()
        _parse(folder)
        parsing.append((time.process_time() - used) * 1000)
    yield row(name, clock, "ms", "≤ 2,000 ms")
    yield row("    processor time", processor, "ms", "")
    yield figure(
        "    over parsing alone (ast, ruamel.yaml, tomllib)", median(processor) / median(parsing), "x", ""
    )


def _parse(folder: str) -> None:
    for path in Path(folder).rglob("*"):
        if path.suffix == ".py":
            ast.parse(path.read_text())
        elif path.suffix == ".yml":
            YAML(typ="safe", pure=True).load(path.read_text())
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text())


def _app(folder: Path, number: int) -> None:
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(_compose(number))
    (folder / ".env.development").write_text((_INCIDENT / ".env.development").read_text())
    (folder / "jobs.py").write_text(_SCANNED.read_text() + "\nsched.add_job(trade, 'interval', minutes=5)\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["openai"]\n')
    (folder / "crontab").write_text("*/10 * * * * cd /srv/trader && python -m trader.report\n" * 3)


def _compose(number: int) -> str:
    return (_INCIDENT / "docker-compose.yml").read_text().replace("trading:", f"trading{number}:")
