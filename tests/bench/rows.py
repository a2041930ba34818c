"""One line of the table, and how figures are made of samples."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    name: str
    median: str
    p99: str
    target: str


def row(name: str, samples: Sequence[float], unit: str, target: str) -> Row:
    """Median and 99th percentile of `samples`, which are in `unit`."""
    ordered = sorted(samples)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return Row(name, f"{statistics.median(ordered):,.1f} {unit}", f"{p99:,.1f} {unit}", target)
