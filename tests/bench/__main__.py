"""`python -m tests.bench`: every published figure, in one table.

Absolute times move with the machine; the shim's cost is paired (the same SDK call with and without it, in turn).
"""

from __future__ import annotations

import logging
import sys

from tests.bench import capture, imports, screen, switch_check


def main() -> None:
    logging.disable(logging.WARNING)  # that nobody would warn is no news here
    print(f"{'figure':<58}{'median':>12}{'p99':>12}{'target':>14}")
    for part in (capture, imports, switch_check, screen):
        for row in part.rows():
            print(f"{row.name:<58}{row.median:>12}{row.p99:>12}{row.target:>14}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
