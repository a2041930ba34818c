"""Keys in files that only their owner can read: our own in the config home's `keys/`, and those the user names."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
import tempfile

from costmon import paths
from costmon.credentials.entry import Entry, cleaned, is_document, parse_entry
from costmon.credentials.secret import Secret
from costmon.errors import CredentialError

_MAX_BYTES = 32_768
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


def own_file(name: str) -> str:
    """Where the key of a source is kept. Raises CredentialError for what is no name of a source (it could be a path)."""
    if not _NAME.fullmatch(name):
        raise CredentialError("that is no name of a source; it has 1 to 60 of a-z 0-9, dot, - and _")
    return os.path.join(paths.keys_dir(), name)


def own_names() -> list[str]:
    """The sources that have a file of their own."""
    try:
        found = os.listdir(paths.keys_dir())
    except OSError:
        return []
    return sorted(filter(_NAME.fullmatch, found))


def read_own(name: str) -> Entry | None:
    """The entry in a source's own file, None if there is no such file. Raises CredentialError."""
    path = own_file(name)
    if not os.path.lexists(path):
        return None
    _check_folder()
    return parse_entry(_read(path), path)


def write_own(name: str, entry: Entry) -> str:
    """Store an entry, all or nothing; the file's path. Raises CredentialError."""
    path = own_file(name)
    try:
        _make_folder()
        temporary = _write_temporary(entry)
        try:
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        _sync(paths.keys_dir())
    except OSError as error:
        problem = f"{path} cannot be written ({error.strerror}); check its folder and the disk's space"
    else:
        problem = "" if read_own(name) == entry else f"{path} did not keep the key; check the disk"
    if problem:
        raise CredentialError(problem)
    return path


def delete_own(name: str) -> bool:
    """Remove a source's own file; whether there was one. Raises CredentialError."""
    path = own_file(name)
    try:
        os.unlink(path)
        _sync(paths.keys_dir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CredentialError(f"{path} cannot be removed ({error.strerror}); remove it by hand") from None
    return True


def read_named(path: str) -> Entry | Secret:
    """What is in a file that the user names: an entry of ours, or a bare key in one line. Raises CredentialError."""
    whole = os.path.expanduser(path)
    text = _read(whole)
    return parse_entry(text, whole) if is_document(text) else cleaned(text, whole)


def _read(path: str) -> Secret:
    """The file's text, once it is sure that nobody else can read or has made it. Raises CredentialError."""
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise CredentialError(
            f"{path}, where the key should be, does not exist; write the key into it"
        ) from None
    except OSError as error:
        raise CredentialError(
            f"{path} cannot be read ({_said(path, error)}); mend it or name another"
        ) from None
    try:
        problem = _exposed(path, os.fstat(descriptor))
        text, broken = ("", "") if problem else _content(descriptor)
    finally:
        os.close(descriptor)
    if problem or broken:
        raise CredentialError(problem or f"{path} {broken}")
    return Secret(text)


def _content(descriptor: int) -> tuple[str, str]:
    """The text, or what is wrong with it."""
    data = os.read(descriptor, _MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        return "", f"has more than {_MAX_BYTES:,} bytes; it holds no key"
    try:
        return data.decode(), ""
    except UnicodeDecodeError:
        return "", "is no text; it holds no key"


def _exposed(path: str, found: os.stat_result) -> str:
    """Why a file is no place for a key, as a sentence; '' if it is one."""
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a regular file; put the key into one"
    if sys.platform == "win32":
        return ""
    if found.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to somebody else; write the key into a file of your own"
    if found.st_mode & 0o077:
        return f"{path} may be read by others (mode {stat.S_IMODE(found.st_mode):o}); chmod 600 {shlex.quote(path)}"
    return ""


def _said(path: str, error: OSError) -> str:
    return "it is a symbolic link" if os.path.islink(path) else str(error.strerror)


def _make_folder() -> None:
    folder = paths.keys_dir()
    paths.make_private(os.path.dirname(folder))
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    _check_folder()


def _check_folder() -> None:
    """Raises CredentialError when others could put files of theirs into the folder, or read ours."""
    folder = paths.keys_dir()
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise CredentialError(f"{folder} is no folder; move it away")
    if sys.platform == "win32":
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise CredentialError(f"{folder} belongs to somebody else; move it away")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise CredentialError(f"{folder} is open to others (mode {mode:o}); chmod 700 {shlex.quote(folder)}")


def _write_temporary(entry: Entry) -> str:
    descriptor, path = tempfile.mkstemp(prefix=".new-", dir=paths.keys_dir())  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(entry.document().reveal().encode())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path)
        raise
    return path


def _sync(folder: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
