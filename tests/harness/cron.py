"""A real crontab, installed with `crontab`, where it disturbs no real one; needs root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import costmon
from tests.harness import need

_INSIDE = """
set -e
mount -t tmpfs -o mode=1730,gid=crontab none /var/spool/cron/crontabs
crontab "$1"
exec "$2" -c "$3"
"""


def with_crontab(table: Path, code: str) -> str:
    """What Python prints for `code` where `table` is this user's crontab and there was none before."""
    need("crontab", "unshare")
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            _INSIDE,
            "sh",
            str(table),
            sys.executable,
            code,
        ],
        env={**os.environ, "PYTHONPATH": str(Path(costmon.__file__).parent.parent)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
