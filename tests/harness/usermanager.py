"""A real `systemd --user` where systemd is not the machine's first process; needs root.

It lives in a mount namespace of its own, where cgroup2 lies on /sys/fs/cgroup and /run/systemd/system exists (that is how
systemd tells whether a machine runs it), and in a cgroup of its own. Its socket is reached from outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import need

_SYSTEMD = "/lib/systemd/systemd"
_WAIT_S = 20.0
_INSIDE = """
set -u
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup 2>/dev/null
    mount -t cgroup2 none /sys/fs/cgroup || exit 9
fi
if [ ! -d /run/systemd/system ]; then
    mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/system || exit 9
fi
group=/sys/fs/cgroup/costmon-test.$$
home=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir "$group" || exit 9
echo $$ >"$group/cgroup.procs" || exit 9
"$SYSTEMD" --user --log-target=console --log-level=warning &
manager=$!
trap 'kill -TERM $manager 2>/dev/null' TERM
while kill -0 $manager 2>/dev/null; do wait $manager; done
echo $$ >"$home/cgroup.procs"
for _ in 1 2 3 4 5; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    cat $(find "$group" -name cgroup.procs) 2>/dev/null | xargs -r kill -KILL 2>/dev/null
    sleep 0.1
done
"""


@dataclass(frozen=True, slots=True)
class Manager:
    """A running user manager; `env` is the environment of programs that shall reach it."""

    folder: Path
    env: dict[str, str]

    def systemctl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["systemctl", "--user", *arguments],
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_for(self, *arguments: str, shows: str) -> str:
        """Wait until systemctl's answer holds `shows`."""
        began = time.monotonic()
        while shows not in (answer := self.systemctl(*arguments)):
            if time.monotonic() - began > _WAIT_S:
                pytest.fail(f"waited {_WAIT_S:g} s for {shows!r}; systemctl says:\n{answer}")
            time.sleep(0.05)
        return answer


@contextmanager
def user_manager(units: Mapping[str, str]) -> Iterator[Manager]:
    """A manager that knows `units` (file name → content); skips where it cannot be had."""
    need("systemctl", "unshare", _SYSTEMD)
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    folder = Path(tempfile.mkdtemp(prefix="manager-", dir="/tmp"))  # a socket's path must be short
    runtime, config = folder / "run", folder / "config"
    runtime.mkdir(mode=0o700)
    unit_folder = config / "systemd" / "user"
    unit_folder.mkdir(parents=True)
    for name, content in units.items():
        (unit_folder / name).write_text(content)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    env = {**kept, "HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(config)}
    log = folder / "log"
    with log.open("wb") as output:
        inside = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", _INSIDE],
            env={**env, "SYSTEMD": _SYSTEMD},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await_socket(runtime / "systemd" / "private", inside, log)
        yield Manager(folder, env)
    finally:
        inside.terminate()
        try:
            inside.wait(_WAIT_S)
        finally:
            inside.kill()
            shutil.rmtree(folder, ignore_errors=True)


def _await_socket(socket: Path, inside: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    while not socket.exists():
        if inside.poll() is not None or time.monotonic() - began > _WAIT_S:
            message = f"needs a user manager of systemd: {log.read_text(errors='replace')[-500:]}"
            if os.environ.get("COSTMON_TEST_NO_SKIP") == "1":
                pytest.fail(message)
            pytest.skip(message)
        time.sleep(0.02)
