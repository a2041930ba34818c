"""What `pip install` puts on a machine: the package, its prices and themes, and nothing else."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

import costmon
from costmon import paths


def installed() -> list[str]:
    """The files of the installed distribution; skipped in a checkout that is not installed, or only linked."""
    try:
        names = [str(name) for name in files("costmon") or []]
    except PackageNotFoundError:
        names = []
    if not any(name.endswith("costmon/__init__.py") for name in names):
        pytest.skip("costmon runs from a checkout here; .ci/run checks the wheel")
    return names


def test_prices_and_themes_come_along() -> None:
    """An installed costmon knows prices and themes without the checkout."""
    prices, themes = os.listdir(paths.bundled("pricing")), os.listdir(paths.bundled("themes"))
    assert "catalog.json" in prices
    assert "costmon-dark.toml" in themes
    assert {Path(name).suffix for name in prices + themes} <= {".toml", ".json"}


def test_nothing_reaches_the_top_level() -> None:
    """`import pricing` and `import tests` stay the user's own names."""
    tops = {name.split("/")[0] for name in installed() if not name.startswith("..")}
    assert {top for top in tops if not top.endswith(".dist-info")} <= {"costmon", "__pycache__"}


def test_no_file_runs_by_itself() -> None:
    """Installing costmon changes no interpreter: no .pth, and the sitecustomize lies where only `costmon run` finds it."""
    names = installed()
    assert not [name for name in names if name.endswith(".pth")]
    assert [name for name in names if name.endswith("sitecustomize.py")] == [
        "costmon/shim/inject/sitecustomize.py"
    ]


def test_version_is_one() -> None:
    """`costmon --version` and the package's metadata agree."""
    from importlib.metadata import version

    try:
        known = version("costmon")
    except PackageNotFoundError:
        pytest.skip("costmon runs from a checkout here; .ci/run checks the wheel")
    assert known == costmon.__version__


def test_the_package_is_typed() -> None:
    """An app's type checker sees costmon's annotations."""
    assert (Path(costmon.__file__).parent / "py.typed").exists()
    assert sys.version_info >= (3, 11)
