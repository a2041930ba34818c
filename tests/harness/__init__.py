"""Real parts of a system for tests, and what to do where one is missing."""

from __future__ import annotations

import os
import shutil

import pytest


def need(*programs: str) -> None:
    """Skip the test unless all `programs` are on PATH; with COSTMON_TEST_NO_SKIP=1 fail it instead."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    message = f"needs {', '.join(missing)}"
    if os.environ.get("COSTMON_TEST_NO_SKIP") == "1":
        pytest.fail(message)
    pytest.skip(message)
