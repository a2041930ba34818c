"""`python -m tests.bench [PART ...]`: every published figure, in one table. PARTs are capture, imports, switch,
pricing, screen, audit; reprice, polling and log (minutes) only by their names.

Absolute times move with the machine; the shim's cost is paired (the same SDK call with and without it, in turn), and a
bare insert and commit takes its turns beside it. `python -m tests.bench.peers` puts other tools beside costmon.
"""

from __future__ import annotations

import logging
import sys

from tests.bench import audit, capture, imports, log, polling, pricing, reprice, screen, switch_check

PARTS = {
    "capture": capture,
    "imports": imports,
    "switch": switch_check,
    "pricing": pricing,
    "screen": screen,
    "audit": audit,
}
SLOW = {"reprice": reprice, "polling": polling, "log": log}


def main(names: list[str]) -> None:
    logging.disable(logging.WARNING)  # that nobody would warn is no news here
    print(f"{'figure':<70}{'median':>12}{'p99':>14}{'target':>14}")
    for name in names or PARTS:
        for row in {**PARTS, **SLOW}[name].rows():
            print(f"{row.name:<70}{row.median:>12}{row.p99:>14}{row.target:>14}")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
