"""The files a log is rotated into, as logrotate, Python's handlers and loguru name them, and in which order."""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

MAX_SIBLINGS = 64
_NUMBER = re.compile(r"[._-](\d{1,4})")
_DATE = re.compile(r"[._-](\d{4}[\d._T:-]{3,30})")
_PACKED = (".gz", ".xz", ".bz2", ".zst", ".lz4")


class Sibling(NamedTuple):
    """A rotated file. `age` sorts the files of one naming: the largest is the oldest; `naming` is 'number' or 'date'."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    naming: str
    age: tuple[int, ...]


def rotated(path: str) -> tuple[list[Sibling], list[Sibling]]:
    """The rotated files of the log at `path` that can be read, and the packed ones, the oldest first. Never raises."""
    folder, base = os.path.split(path)
    plain: list[Sibling] = []
    packed: list[Sibling] = []
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in entries if entry.name != base]
    except OSError:
        return [], []
    for name in names:
        ending = next((end for end in _PACKED if name.endswith(end)), "")
        named = _naming(base, name.removesuffix(ending))
        one = _look(os.path.join(folder, name), *named) if named is not None else None
        if one is not None:
            (packed if ending else plain).append(one)
    return _oldest_first(plain), _oldest_first(packed)


def newer(siblings: list[Sibling], inode: int, mtime_ns: int) -> list[Sibling]:
    """What was rotated after the file with this inode, the oldest first; by its name if it is among them, else by when it
    was last written to."""
    own = next((one for one in siblings if one.inode == inode), None)
    if own is None:
        return [one for one in siblings if one.mtime_ns >= mtime_ns]
    return [
        one
        for one in siblings
        if one.inode != inode
        and (one.age < own.age if one.naming == own.naming else one.mtime_ns > own.mtime_ns)
    ]


def _oldest_first(found: list[Sibling]) -> list[Sibling]:
    found.sort(key=lambda one: (one.mtime_ns, tuple(-part for part in one.age)))
    if len({one.naming for one in found}) == 1:
        found.sort(key=lambda one: one.age, reverse=True)
    return found[-MAX_SIBLINGS:]


def _naming(base: str, name: str) -> tuple[str, tuple[int, ...]] | None:
    stem, ending = os.path.splitext(base)
    if name == f"{base}.old":
        return "number", (1,)
    for front, back in ((base, ""), (stem, ending)):
        if not (front and name.startswith(front) and name.endswith(back)):
            continue
        middle = name[len(front) : len(name) - len(back)]
        if number := _NUMBER.fullmatch(middle):
            return "number", (int(number.group(1)),)
        if date := _DATE.fullmatch(middle):
            return "date", tuple(-int(part) for part in re.findall(r"\d+", date.group(1)))
    return None


def _look(path: str, naming: str, age: tuple[int, ...]) -> Sibling | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Sibling(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, naming, age)
