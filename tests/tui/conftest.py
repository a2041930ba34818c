from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty home, so that the developer's own themes stay out of the tests."""
    monkeypatch.setenv("COSTMON_HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return str(tmp_path)
