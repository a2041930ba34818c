"""A file's text, or one sentence on why it has none: only regular files of a bounded size, in UTF-8 or marked UTF-16."""

from __future__ import annotations

import codecs
import os
import stat

from costmon.shim.events import clean

LARGEST = 2_000_000
"""Bytes. A compose or env file of a person is a hundredth of that."""


class UnreadableError(Exception):
    """The file cannot be read as text; the text is a whole sentence that names it."""


def shown(text: str, limit: int = 120) -> str:
    """A path or name in a sentence: one line without control characters, cut at `limit`."""
    return clean(text, limit) or "(a name nobody can read)"


def real(path: str) -> str:
    """The path without links; as it is where the system cannot take it (a null character in a name)."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return path


def text_of(path: str) -> str:
    """The text of a file. Raises UnreadableError."""
    return decoded(bytes_of(path), path)


def bytes_of(path: str) -> bytes:
    """The bytes of a regular file of at most `LARGEST`. Raises UnreadableError."""
    name = shown(path)
    try:
        # Without O_NONBLOCK a named pipe would keep us waiting for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise UnreadableError(f"{name} does not exist.") from None
    except PermissionError:
        raise UnreadableError(f"{name} may not be read by this user.") from None
    except (OSError, ValueError):
        raise UnreadableError(f"{name} cannot be opened.") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnreadableError(f"{name} is not a regular file.")
    with os.fdopen(handle, "rb") as file:
        try:
            content = file.read(LARGEST + 1)
        except OSError:
            raise UnreadableError(f"{name} cannot be read.") from None
    if len(content) > LARGEST:
        raise UnreadableError(f"{name} is larger than 2 MB, so it is not read.")
    return content


def decoded(content: bytes, path: str) -> str:
    """The text of a file's bytes, without a byte order mark. Raises UnreadableError."""
    name = shown(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = "UTF-16" if wide else "UTF-8"
        raise UnreadableError(f"{name} line {line} is not {what} text: save the file as UTF-8.") from None
    if "\0" in text:
        raise UnreadableError(f"{name} is a binary file, not text.")
    return text
