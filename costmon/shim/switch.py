"""The kill switch: a folder of plain files, one per scope. Presence is the block.

`all`, `nonessential`, `provider=openai`, `model=gpt-4o`, `app=trader`, `route=…`, `job=…`. A shell script needs only
`[ -e FOLDER/all ]`. The JSON inside says why, who, since and until when; only a valid document can narrow a block (to
nonessential apps, to a period), and anything odd (empty, garbage, symlink, FIFO, foreign owner, over 64 KB) blocks.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from costmon.paths import is_shared, make_private, open_private
from costmon.shim.events import clean
from costmon.shim.timestamps import from_iso, to_iso

MAX_BYTES = 65536
READERS = "readers"
SCOPE_KEYS = ("provider", "model", "app", "route", "job")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_READ = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)
_TOUCH = (
    os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
)  # a FIFO there must not make the app wait
_TOUCH_EVERY_S = 60.0
_MAX_TOUCHED = 1000
_touched: dict[tuple[int, str, str], float] = {}


class Block(NamedTuple):
    """One file of the switch. Times are µs since 1970 UTC; `until` None = until a person lifts it."""

    scope: str
    reason: str
    by: str = ""
    since: int | None = None
    until: int | None = None
    period: str = ""
    automatic: bool = False
    exempts_essential: bool = False
    intact: bool = True


@functools.lru_cache(maxsize=512)
def scope_file(scope: str) -> str:
    """The file name of a scope: values outside [a-z0-9._-] percent-encoded, over 120 bytes hashed.

    Raises ValueError for a scope that is neither `all`, `nonessential` nor `key=value` with a known key.
    """
    if scope in ("all", "nonessential"):
        return scope
    key, separator, value = scope.partition("=")
    if not separator or key not in SCOPE_KEYS or not value:
        raise ValueError(
            f"{scope!r} is not a scope: use all, nonessential, or one of {', '.join(SCOPE_KEYS)} as key=value"
        )
    return f"{key}={encode(value)}"


def encode(value: str) -> str:
    """`value` as a file name part that any shell can spell."""
    raw = value.encode("utf-8", "surrogatepass")
    if all(byte in _PLAIN for byte in raw):
        encoded = value
    else:
        encoded = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    if len(encoded) <= 120:
        return encoded
    import hashlib

    return "~" + hashlib.sha256(raw).hexdigest()


@functools.lru_cache(maxsize=512)
def scopes_of(provider: str, model: str, app: str, route: str, job: str) -> tuple[str, ...]:
    """Every scope that can block such a call, broadest first."""
    values = (("provider", provider), ("model", model), ("app", app), ("route", route), ("job", job))
    return ("all", "nonessential", *(f"{key}={value}" for key, value in values if value))


def check(
    folder: str,
    scopes: Iterable[str],
    now: int,
    *,
    essential: bool = False,
    explicit: bool = False,
    by_hand: bool = False,
) -> Block | None:
    """The first block that holds for these scopes at `now` (µs), or None.

    `explicit` says that the user named the folder: then its absence blocks. `by_hand`: leave out automatic blocks.
    """
    try:
        present = os.listdir(folder)
    except FileNotFoundError:
        return Block("all", f"the switch folder {folder} is missing", intact=False) if explicit else None
    except OSError as error:
        # The home itself is no folder, or its name is too long. One we may not look into is another matter.
        nowhere = error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG) and not os.path.lexists(folder)
        if nowhere and not explicit:
            return None
        return Block("all", f"the switch folder {folder} cannot be read ({_why(error)})", intact=False)
    if not present:
        return None
    for scope in scopes:
        if scope_file(scope) not in present or (essential and scope == "nonessential"):
            continue
        block = read(folder, scope)
        if block is None or (essential and block.exempts_essential) or (by_hand and block.automatic):
            continue
        if not _lapsed(block, now):
            return block
        remove_lapsed(folder, scope, now)
    return None


def read(folder: str, scope: str) -> Block | None:
    """The block of one scope, lapsed or not, or None when its file does not exist. Never follows or waits."""
    try:
        descriptor = os.open(os.path.join(folder, scope_file(scope)), _READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _odd(scope, _why(error))
    return _read_open(descriptor, scope, folder)


def blocks(folder: str) -> list[Block]:
    """Every block in the folder, lapsed ones too; names that are no scope are left alone."""
    found = (read(folder, scope) for scope in _present(folder))
    return [block for block in found if block is not None]


def standing(folder: str, now: int) -> list[Block]:
    """Every block that holds at `now` (µs)."""
    return [block for block in blocks(folder) if not _lapsed(block, now)]


def write(folder: str, block: Block) -> None:
    """Put a block in place: temp file, fsync, rename, fsync of the folder. Raises OSError."""
    make_private(folder)
    target = os.path.join(folder, scope_file(block.scope))
    temporary = os.path.join(folder, f".new-{os.getpid()}-{os.urandom(6).hex()}")
    descriptor = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0))
    try:
        try:
            document = _document(block)
            if os.write(descriptor, document) < len(document):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _replace(temporary, target)
    except BaseException:
        _unlink(temporary)
        raise
    _sync_folder(folder)


def lift(folder: str, scope: str) -> bool:
    """Remove one scope's file, whatever it is (a folder too, if empty). True if it was there. Raises OSError."""
    path = os.path.join(folder, scope_file(scope))
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return False
    _sync_folder(folder)
    return True


def remove_lapsed(folder: str, scope: str, now: int) -> None:
    """Remove an automatic block whose period is over; a file that changed meanwhile stays."""
    path = os.path.join(folder, scope_file(scope))
    aside = os.path.join(folder, f".old-{os.getpid()}-{os.urandom(6).hex()}")
    try:
        os.rename(path, aside)
    except OSError:
        return
    if not _lapsed(_read_path(aside, scope, folder), now):
        _put_back(aside, path)  # somebody blocked in between
    _unlink(aside)


def touch_reader(folder: str, app: str, *, create: bool = True) -> None:
    """Leave the trace that `app` looked, at most once a minute for each process.

    `create` False: a folder that is missing stays missing, because its absence blocks.
    """
    now = time.monotonic()
    key = (os.getpid(), folder, app)
    if now - _touched.get(key, -_TOUCH_EVERY_S) < _TOUCH_EVERY_S:
        return
    if len(_touched) >= _MAX_TOUCHED:
        _touched.clear()
    _touched[key] = now
    path = os.path.join(folder, READERS, encode(app))
    try:
        if create or os.path.isdir(folder):
            make_private(os.path.dirname(path))
        os.close(open_private(path, _TOUCH))
        os.utime(path)
    except OSError:
        pass  # a read-only mount can still be obeyed; the screen will say that nobody looked


def readers(folder: str) -> list[tuple[str, int]]:
    """(app, µs UTC it last looked), newest first."""
    from urllib.parse import unquote

    found = []
    try:
        for entry in os.scandir(os.path.join(folder, READERS)):
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".new-"):
                found.append((unquote(entry.name), entry.stat(follow_symlinks=False).st_mtime_ns // 1000))
    except OSError:
        pass
    return sorted(found, key=lambda reader: -reader[1])


def _present(folder: str) -> Iterator[str]:
    from urllib.parse import unquote

    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        key, separator, value = name.partition("=")
        if name in ("all", "nonessential"):
            yield name
        elif separator and key in SCOPE_KEYS and value:
            scope = _hashed_scope(folder, name) if value[0] == "~" else f"{key}={unquote(value)}"
            if scope_file(scope) == name:
                yield scope


def _hashed_scope(folder: str, name: str) -> str:
    """The scope a file with a hashed name states inside; 'all', which it cannot be, when it states none."""
    try:
        descriptor = os.open(os.path.join(folder, name), _READ)
    except OSError:
        return "all"
    try:
        stated = json.loads(os.read(descriptor, MAX_BYTES))["scope"]
        scope_file(stated)
        return str(stated)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "all"
    finally:
        os.close(descriptor)


def _read_path(path: str, scope: str, folder: str) -> Block:
    """The block at `path`; whatever cannot be read is one."""
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        return _odd(scope, _why(error))
    return _read_open(descriptor, scope, folder)


def _read_open(descriptor: int, scope: str, folder: str) -> Block:
    try:
        return _parse(scope, descriptor, folder)
    except OSError as error:
        return _odd(scope, _why(error))
    finally:
        os.close(descriptor)


def _put_back(aside: str, path: str) -> None:
    """Undo a rename, unless a newer file is there; where the file system has no hard links, even then."""
    try:
        os.link(aside, path, follow_symlinks=False)
    except FileExistsError:
        pass
    except (OSError, NotImplementedError):
        try:
            os.rename(aside, path)
        except OSError:
            pass


def _parse(scope: str, descriptor: int, folder: str) -> Block:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return _odd(scope, "not a plain file")
    if status.st_size > MAX_BYTES:
        return _odd(scope, "larger than 64 KB")
    if not _may_write(status, folder):
        return _odd(scope, "written by another user")
    try:
        document = json.loads(os.read(descriptor, MAX_BYTES))
        if document["state"] != "blocked":
            return _odd(scope, "its state is not 'blocked'")
        return _from_document(scope, document)
    except (ValueError, TypeError, KeyError, RecursionError):
        return _odd(scope, "its content cannot be read")


def _may_write(status: os.stat_result, folder: str) -> bool:
    """Whether the file's owner is the folder's or root, or in the group the folder is shared with."""
    home = os.stat(folder)
    return status.st_uid in (0, home.st_uid) or (status.st_gid == home.st_gid and is_shared(folder))


def _from_document(scope: str, document: dict[str, object]) -> Block:
    until = document.get("until")
    return Block(
        scope=scope,
        reason=clean(document.get("reason"), 500),
        by=clean(document.get("by")),
        since=from_iso(document.get("since")),
        # A block that a person set never lapses by itself, whatever its file says.
        until=from_iso(until) if document.get("automatic") is True else None,
        period=clean(document.get("period"), 100),
        automatic=document.get("automatic") is True,
        exempts_essential=document.get("exempts") == "essential",
    )


def _document(block: Block) -> bytes:
    document = {
        "state": "blocked",
        "scope": block.scope,
        "reason": block.reason,
        "by": block.by,
        "since": to_iso(block.since) if block.since is not None else None,
        "until": to_iso(block.until) if block.until is not None else None,
        "period": block.period,
        "automatic": block.automatic,
        **({"exempts": "essential"} if block.exempts_essential else {}),
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _odd(scope: str, why: str) -> Block:
    return Block(scope, f"the switch file {scope} blocks ({why})", intact=False)


def _why(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link"
    return os.strerror(error.errno) if error.errno else "unreadable"


def _lapsed(block: Block, now: int) -> bool:
    return block.automatic and block.until is not None and block.until <= now


def _replace(source: str, target: str) -> None:
    try:
        os.replace(source, target)
    except IsADirectoryError:
        os.rmdir(target)
        os.replace(source, target)


def _sync_folder(folder: str) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
