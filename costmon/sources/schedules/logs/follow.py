"""One log, followed by polling over rotations: no line twice, and none lost that is still in a file that can be read.

Rotation by renaming: the file is held open, read to its end, and left when its successor has something to read. Rotation by
copying and truncating: what had not been read is taken from the copy; what was written between copying and truncating, and
had not been read, is in no file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple

from costmon.sources.schedules.logs.siblings import Sibling, newer, rotated
from costmon.sources.schedules.logs.split import MAX_LINE, Block, Splitter, wide

FIRST_SIGHT = 4 * 1024 * 1024
"""Of a log that is seen for the first time so much of its end is read, in bytes."""
_PIECE = 1024 * 1024
_HEAD = 1024
_MARK = 64
_MAX_STEPS = 200
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
LOST = "lost"
CUT = "cut"
ABSENT = "absent"


class Position(NamedTuple):
    """How far a log has been read: the file (`head` and `mark` are fingerprints of its first bytes and of those before
    `offset`, with their lengths), and where its next line begins. `skipping`: the rest of a long line comes first."""

    device: int
    inode: int
    head: str
    offset: int
    mark: str = ""
    mtime_ns: int = 0
    skipping: bool = False


class Batch(NamedTuple):
    """What one look brought. `more`: there is more to read at once. `live`: everything that there was had been read at the
    look before, so these lines are younger than that. `mtime_ns`: when the file was last written to, 0 = unknown."""

    blocks: tuple[Block, ...] = ()
    more: bool = False
    live: bool = False
    mtime_ns: int = 0


class _File:
    """An open regular file. Raises OSError, and ValueError for what is none: that is never opened."""

    def __init__(self, path: str, expected: Sibling | None = None) -> None:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("is no regular file")
        self.descriptor = os.open(path, _FLAGS)
        status = self.status()
        other = expected is not None and (status.st_dev, status.st_ino) != (expected.device, expected.inode)
        if other or not stat.S_ISREG(status.st_mode):
            self.close()
            raise ValueError("is another file by now" if other else "is no regular file")
        self.device, self.inode = status.st_dev, status.st_ino

    def status(self) -> os.stat_result:
        return os.fstat(self.descriptor)

    def at(self, offset: int, size: int) -> bytes:
        os.lseek(self.descriptor, offset, os.SEEK_SET)
        return os.read(self.descriptor, size)

    def head(self, size: int) -> str:
        return _print(self.at(0, size))

    def mark(self, offset: int) -> str:
        size = min(offset, _MARK)
        return _print(self.at(offset - size, size))

    def close(self) -> None:
        os.close(self.descriptor)


class Tail:
    """The log at `path`, from `position` on, or, None, from near its end. Not shared between threads.

    `problems` are sentences by kind: ABSENT as long as it holds, LOST and CUT once they happened; who says them removes
    them.
    """

    def __init__(self, path: str, position: Position | None = None) -> None:
        self.path = path
        self.problems: dict[str, str] = {}
        self._known = position
        self._file: _File | None = None
        self._split = Splitter()
        self._head = b""
        self._recent = b""  # the last bytes that were read, those of a line without its end among them
        self._blocks: list[Block] = []
        self._at_end = False

    def read(self, limit: int) -> Batch:
        """What was written since, `limit` bytes of it at most and no less if there are so many. Never raises OSError."""
        self._blocks = []
        live, self._at_end = self._at_end, False
        try:
            more = self._read(limit)
        except OSError as error:
            self._absent(error)
            more = False
        mtime = 0
        if self._file is not None:
            mtime = self._file.status().st_mtime_ns
        self._at_end = not more
        return Batch(tuple(self._blocks), more, live and not more, mtime)

    def position(self) -> Position | None:
        """Where reading goes on; None before the log was there."""
        if self._file is None:
            return self._known
        before = self._recent[: len(self._recent) - (self._split.read_to - self._split.offset)]
        return Position(
            self._file.device,
            self._file.inode,
            _print(self._head),
            self._split.offset,
            _print(before[-_MARK:]),
            self._file.status().st_mtime_ns,
            self._split.skipping,
        )

    def close(self) -> None:
        if self._file is not None:
            self._known = self.position()
            self._file.close()
            self._file = None

    def _read(self, limit: int) -> bool:
        """Whether there is more."""
        if self._file is None and not self._open():
            return False
        left = limit
        for _ in range(_MAX_STEPS):
            if left <= 0:
                return True
            taken = self._take(left)
            left -= taken
            if taken:
                continue
            following = self._following()
            if following is None:
                return False
            if taken := self._take(left):  # written before its writer went over to the next file
                left -= taken
                following.close()
                continue
            if self._is_copy(following):
                self._file, old = following, self._file
                if old is not None:
                    old.close()
                continue
            self._end_of_file()
            self._go(following, 0)
        return True

    def _take(self, most: int) -> int:
        """Read on in this file; the number of bytes read."""
        if self._file is None or not self._holds():
            return 0
        file, at = self._file, self._split.read_to
        if at == 0:
            head = file.at(0, 2)
            if len(head) < 2:
                return 0
            self._split = Splitter(0, wide(head))
        data = file.at(at, min(most, _PIECE))
        if not data:
            return 0
        if len(self._head) < _HEAD:
            self._head = file.at(0, min(_HEAD, at + len(data)))
        cut = self._split.cut
        block = self._split.feed(data)
        if block is not None:
            self._blocks.append(block)
        if self._split.cut != cut:
            self.problems[CUT] = (
                f"{self.path}: a line longer than {MAX_LINE // 1024} KB was read in part only"
            )
        self._recent = (self._recent + data)[-(_MARK + self._split.read_to - self._split.offset) :]
        return len(data)

    def _holds(self) -> bool:
        """Whether the file still has what was read; where it was truncated, reading goes on in its copy, or afresh."""
        assert self._file is not None
        at, mark = self._split.read_to, self._recent[-_MARK:]
        if self._file.at(at - len(mark), len(mark)) == mark:
            return True
        copy = self._copy(mark, at)
        self._file.close()
        if copy is not None:
            self._file = copy
            return True
        self._file = None
        self._lost("was truncated, and no copy of what was in it can be read")
        file = self._try(self.path)
        if file is None:
            return False
        self._go(file, 0)
        return True

    def _copy(self, mark: bytes, at: int) -> _File | None:
        """The youngest rotated file that has what was read last where it was read."""
        if not mark:
            return None
        for one in sorted(rotated(self.path)[0], key=lambda one: one.mtime_ns, reverse=True):
            if one.size < at or (file := self._try(one.path, one)) is None:
                continue
            if file.at(at - len(mark), len(mark)) == mark and file.at(0, len(self._head)) == self._head:
                return file
            file.close()
        return None

    def _is_copy(self, file: _File) -> bool:
        """Whether a file was put in the log's place that has all that was read (an editor does so)."""
        assert self._file is not None
        at, mark = self._split.read_to, self._recent[-_MARK:]
        return (
            bool(mark)
            and file.at(at - len(mark), len(mark)) == mark
            and file.at(0, len(self._head)) == self._head
            and not any(one.inode == self._file.inode for one in rotated(self.path)[0])
        )

    def _following(self) -> _File | None:
        """The file that comes after this one, once it has something in it."""
        assert self._file is not None
        try:
            status: os.stat_result | None = os.stat(self.path)
        except OSError as error:
            self._absent(error)
            status = None
        if status is not None and stat.S_ISREG(status.st_mode):
            self.problems.pop(ABSENT, None)
            if (status.st_dev, status.st_ino) == (self._file.device, self._file.inode):
                return None
        return self._after(self._file.inode, self._file.status().st_mtime_ns)

    def _after(self, inode: int, mtime_ns: int) -> _File | None:
        plain, packed = rotated(self.path)
        for one in newer(plain, inode, mtime_ns):
            if one.size and (file := self._try(one.path, one)) is not None:
                return file
        file = self._try(self.path)
        if file is None:
            return None
        if not file.status().st_size:
            file.close()
            return None
        if lost := [one for one in packed if one.mtime_ns > mtime_ns]:
            self._lost(f"was rotated into {os.path.basename(lost[-1].path)}, which is packed and not read")
        return file

    def _go(self, file: _File, offset: int, *, skipping: bool = False) -> None:
        if self._file is not None:
            self._file.close()
        self._file = file
        encoding = wide(file.at(0, 2))
        self._split = Splitter(offset, encoding, skipping=skipping)
        size = min(offset, _MARK)
        self._recent = file.at(offset - size, size)
        self._head = file.at(0, min(_HEAD, offset))

    def _end_of_file(self) -> None:
        block = self._split.finish()
        if block is not None:
            self._blocks.append(block)

    def _open(self) -> bool:
        if self._known is not None:
            return self._resume(self._known)
        file = self._try(self.path)
        if file is None:
            return False
        offset = max(0, file.status().st_size - FIRST_SIGHT) // 2 * 2
        self._go(file, offset, skipping=offset > 0)
        return True

    def _resume(self, known: Position) -> bool:
        """Go on where an earlier follower stopped, in whatever file that is now."""
        here = self._try(self.path)
        if here is not None and _is(here, known, same=True):
            self._go(here, known.offset, skipping=known.skipping)
            return True
        found: _File | None = None
        for same in (True, False):
            for one in reversed(rotated(self.path)[0]):
                file = self._try(one.path, one) if found is None else None
                if file is not None and _is(file, known, same=same):
                    found = file
                elif file is not None:
                    file.close()
        if found is None and here is not None and known.offset and _is(here, known, same=False):
            found, here = here, None  # copied back, or on another disk
        if here is not None:
            here.close()
        if found is not None:
            self._go(found, known.offset, skipping=known.skipping)
            return True
        return self._begin_after(known)

    def _begin_after(self, known: Position) -> bool:
        file = self._after(known.inode if known.offset else 0, known.mtime_ns)
        if file is None:
            return False
        if known.offset:
            self._lost("is not the file that was read last, and that one is gone")
        self._go(file, 0)
        return True

    def _try(self, path: str, expected: Sibling | None = None) -> _File | None:
        try:
            file = _File(path, expected)
        except (OSError, ValueError) as error:
            if path == self.path:
                self._absent(error)
            return None
        if path == self.path:
            self.problems.pop(ABSENT, None)
        return file

    def _absent(self, error: OSError | ValueError) -> None:
        if isinstance(error, FileNotFoundError):
            what = "is not there; it is followed as soon as it is"
        elif isinstance(error, PermissionError):
            what = "may not be read by this user; let its group read it, or take its [log] out of the config"
        elif isinstance(error, ValueError):
            what = f"{error}, so it is not opened"
        else:
            what = f"cannot be read ({error.strerror or 'an error of the system'})"
        self.problems[ABSENT] = f"{self.path}: the log {what}"

    def _lost(self, how: str) -> None:
        self.problems[LOST] = f"{self.path}: the log {how}; lines may be lost"


def _is(file: _File, known: Position, *, same: bool) -> bool:
    """Whether this is the file that was read; `same`: under its old inode, else by what is in it alone."""
    if same != (file.inode == known.inode):
        return False
    size = int(known.head.partition(":")[0] or 0)
    return (
        (same or size > 0)
        and file.status().st_size >= known.offset
        and file.head(size) == known.head
        and file.mark(known.offset) == known.mark
    )


def _print(data: bytes) -> str:
    """A fingerprint with the number of bytes it is of."""
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:24]}"
