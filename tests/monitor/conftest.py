"""Fixtures of the engine's tests."""

from __future__ import annotations

from tests.harness.desk import desk

__all__ = ["desk"]
