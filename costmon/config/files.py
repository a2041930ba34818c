"""The file itself: bounded reads of a regular file, and writes nobody can see half of."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from costmon import paths
from costmon.errors import ConfigError

MAX_BYTES = 1_000_000


def read(path: str) -> bytes:
    """The file's bytes, none if there is no such file. Raises ConfigError: not plain, too big, unreadable."""
    try:
        # A FIFO would hang an ordinary open.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); make it readable for you") from error
    try:
        _check_regular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_BYTES)


def _check_regular(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{path} is not a regular file; move it away and costmon writes a new one")
    if found.st_size > MAX_BYTES:
        raise ConfigError(f"{path} has {found.st_size:,} bytes, {MAX_BYTES:,} at most are read; shorten it")


def write_new(path: str, text: str) -> bool:
    """Write `text` to `path` unless something is there already; whether it did. Raises ConfigError."""
    try:
        temporary = _write_temporary(path, text, 0o600)
        try:
            return _link_new(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
    except OSError as error:
        raise _cannot_write(path, error) from error


def replace(path: str, text: str) -> None:
    """Put `text` in the file's place, all or nothing; links are followed, modes kept. Raises ConfigError."""
    target = os.path.realpath(path)
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o600
        os.replace(_write_temporary(target, text, mode), target)
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def locked(path: str) -> Iterator[None]:
    """One editor at a time: two `costmon budget set` in a row both count. Raises ConfigError."""
    folder = paths.make_private(os.path.dirname(os.path.realpath(path)))
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_temporary(path: str, text: str, mode: int) -> str:
    folder = paths.make_private(os.path.dirname(os.path.abspath(path)))
    descriptor, temporary = tempfile.mkstemp(prefix=".config-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _link_new(temporary: str, path: str) -> bool:
    """Give the file its name; unlike a rename, a link never replaces what another process just put there."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            return False
        os.rename(temporary, path)
    return True


def _sync_folder(folder: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written ({error.strerror}); check the folder's permissions and the disk's space"
    )
