"""Faults put between our code and the kernel: `strace -e inject`, on the interpreter itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.harness import need
from tests.shim.battery import kit

FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal")


class Traced(NamedTuple):
    """One run under strace. `calls`: how often each watched system call was made; `fired`: whether the fault was put in."""

    code: int
    out: list[str]
    err: str
    calls: Counter[str]
    fired: bool


def run(
    code: str, home: Path, calls: str, fault: str = "", *, only_ledger: bool = True, wait_s: float = 60
) -> Traced:
    """Run `code` in an interpreter of its own while strace watches the system calls `calls` (a comma-separated list).

    Args:
        fault: what to inject, as in `pwrite64:signal=KILL:when=3` or `fdatasync:error=EIO:when=2+`.
        only_ledger: watch (and break) only calls on the ledger's files in `home`.
    """
    need("strace")
    log = home.parent / "strace.log"
    only = [part for name in FILES for part in ("-P", str(home / name))] if only_ledger else []
    inject = ["-e", f"inject={fault}"] if fault else []
    command = ["strace", "-qq", "-o", str(log), "-e", f"trace={calls}", *inject, *only]
    path = os.pathsep.join(filter(None, [str(kit.PACKAGE), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [*command, sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COSTMON_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=wait_s,
        check=False,
    )
    text = log.read_text(errors="replace")
    made = Counter(re.findall(r"^(?:\d+ +)?(\w+)\(", text, re.MULTILINE))
    fired = "(INJECTED)" in text or "killed by SIGKILL" in text
    return Traced(done.returncode, done.stdout.split("\n")[:-1], done.stderr, made, fired)
