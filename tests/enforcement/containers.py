"""Containers as far as one machine has them: own process and mount namespaces, own users, one shared state folder.

`unshare` makes what a container runtime makes. The program inside sees the folder at /mnt/state/costmon, has the user and
group of compose's `user:`, and no privileges.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.shim.battery.kit import PACKAGE

GROUP = 2000
ROOT = Path(__file__).resolve().parents[2]  # where the tests are; the package may be installed elsewhere
INSIDE = "/mnt/state/costmon"


def make_home(folder: Path, mode: int = 0o2770) -> Path:
    """`install -d -m 2770 -g 2000 FOLDER`, as the operator does once."""
    folder.mkdir()
    os.chown(folder, 1500, GROUP)
    folder.chmod(mode)
    config = _config(folder)
    config.mkdir()
    config.chmod(0o777)
    return folder


def _config(home: Path) -> Path:
    """Where the operator's own files are: beside the state, in no container's mount in real life."""
    return home.with_name(home.name + "-config")


def start(
    home: Path, user: int, *arguments: str, own_processes: bool = True, before: str = "", **env: str
) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` as `user` and the shared group. `own_processes`: in a process namespace of its own."""
    namespaces = ["unshare", "--mount", "--propagation", "private"]
    if own_processes:
        namespaces += ["--pid", "--fork", "--mount-proc", "--kill-child"]
    command = shlex.join(
        ["setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", "--inh-caps=-all", "--no-new-privs",
         sys.executable, "-W", "error", *arguments]
    )  # fmt: skip
    script = "\n".join(["set -e", "umask 022", *_mounts(home), before, f"exec {command}"])
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COSTMON_", "XDG_", "PYTHON"))
    }
    return subprocess.Popen(
        [*namespaces, "sh", "-c", script],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **kept,
            "PYTHONPATH": f"{PACKAGE}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/mnt/home",
            "XDG_STATE_HOME": "/mnt/state",
            "XDG_CONFIG_HOME": "/mnt/home",
            **env,
        },
    )


def _mounts(home: Path) -> list[str]:
    """The state folder at its place, a home to write to, and a Python that every user can reach."""
    lines = ["mount -t tmpfs -o mode=755 tmpfs /mnt", "mkdir -p /mnt/state/costmon /mnt/home /mnt/kept"]
    lines += [f"mount --bind {shlex.quote(str(_config(home)))} /mnt/home"]
    lines += [f"mount --bind {shlex.quote(str(home))} {INSIDE}"]
    needed = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, PACKAGE, ROOT)}
    closed = sorted({folder for folder in map(_closed_above, needed) if folder})
    inside = [path for path in sorted(needed) if _closed_above(path)]
    for number, path in enumerate(inside):
        lines += [f"mkdir /mnt/kept/{number}", f"mount --bind {shlex.quote(path)} /mnt/kept/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(folder)}" for folder in closed]
    for number, path in enumerate(inside):
        lines += [f"mkdir -p {shlex.quote(path)}", f"mount --bind /mnt/kept/{number} {shlex.quote(path)}"]
    return lines


def _closed_above(path: str) -> str:
    """The first folder on the way to `path` that not everybody may enter, '' if there is none."""
    parts = Path(path).parts
    for length in range(2, len(parts) + 1):
        folder = os.path.join(*parts[:length])
        if not os.stat(folder).st_mode & 0o001:
            return folder
    return ""
