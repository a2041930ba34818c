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


def row(name: str, samples: Sequence[float], unit: str, target: str, *, digits: int = 1) -> Row:
    """Median and 99th percentile of `samples`, which are in `unit`; of fewer than 20 the largest stands for p99."""
    return Row(
        name, f"{median(samples):,.{digits}f} {unit}", f"{percentile(samples, 99):,.{digits}f} {unit}", target
    )


def figure(name: str, value: float, unit: str, target: str) -> Row:
    """A figure that is no sample, such as a ratio of medians."""
    return Row(name, f"{value:,.2f} {unit}", "", target)


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def percentile(samples: Sequence[float], share: int) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]
