"""Encryption and proxies: a certificate that is not trusted, or another's, hears no byte of a request. R66, R82."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from costmon.sources.providers.hosts import base
from costmon.sources.providers.http import Traffic, wire
from tests.sources.providers.http_kit import KEY, Ear, ask, refused, reply

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
ANSWER = reply(b'{"ok": true}')


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certify(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a certificate signed by itself, with its key in the same file."""

    def make(*names: str, valid: tuple[str, str] = ("20260101000000Z", "20991231000000Z")) -> Path:
        folder = tmp_path_factory.mktemp("certificate")
        (folder / "settings").write_text(SETTINGS.format(folder=folder, names=",".join(names)))
        (folder / "index").touch()
        (folder / "serial").write_text("01")
        new = (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key",
            "-out",
            "wish",
        )
        openssl(folder, "req", "-new", *new, "-subj", "/CN=costmon test", "-config", "settings")
        between = (
            "-startdate",
            valid[0],
            "-enddate",
            valid[1],
            "-extensions",
            "names",
            "-out",
            "made",
            "-notext",
        )
        openssl(
            folder,
            "ca",
            "-batch",
            "-selfsign",
            "-keyfile",
            "key",
            "-in",
            "wish",
            *between,
            "-config",
            "settings",
        )
        whole = folder / "certificate.pem"
        whole.write_bytes((folder / "made").read_bytes() + (folder / "key").read_bytes())
        return whole

    return make


SETTINGS = """
[req]
distinguished_name = nothing
[nothing]
[ca]
default_ca = own
[own]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = policy
[policy]
commonName = supplied
[names]
subjectAltName = {names}
"""


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=30)


class Sealed(Ear):
    """An Ear that speaks TLS: `heard` is what was decrypted, `handshakes` what came of each connection."""

    def __init__(self, certificate: Path) -> None:
        super().__init__(ANSWER)
        self.handshakes: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)

    def _serve(self, connection: socket.socket, index: int) -> None:
        try:
            sealed = self._context.wrap_socket(connection, server_side=True)
            self.handshakes.append("done")
        except OSError as error:
            self.handshakes.append(type(error).__name__)
            connection.close()
            return
        super()._serve(sealed, index)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


async def test_a_certificate_of_nobody_trusted_hears_nothing(
    certify: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify("DNS:localhost", "IP:127.0.0.1")
    with Sealed(certificate) as server:
        for url in (server.url, f"https://127.0.0.1:{server.port}"):
            error = await refused(url)
            assert (error.state, "nobody this computer trusts" in str(error)) == ("network", True)
        assert server.heard == [b"", b""]
        # The same server, once its authority is named: the fault was the trust, and nothing else.
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert await ask(server.url) == {"ok": True}
        assert KEY.encode() in server.heard[2]


async def test_the_certificate_of_another_host_hears_nothing(
    certify: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify("DNS:api.other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Sealed(certificate) as server:
        error = await refused(server.url)
        assert (error.state, "certificate is another host's" in str(error)) == ("network", True)
        assert server.heard == [b""]


async def test_an_expired_certificate_hears_nothing_and_the_clock_is_mentioned(
    certify: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify("DNS:localhost", valid=("20200101000000Z", "20200201000000Z"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Sealed(certificate) as server:
        error = await refused(server.url)
        assert "not valid at this time; check this computer's clock" in str(error)
        assert server.heard == [b""]


async def test_a_server_that_does_not_encrypt_hears_no_key() -> None:
    with Ear() as ear:
        asking = asyncio.create_task(refused(f"https://localhost:{ear.port}"))
        await asyncio.to_thread(ear.asked.wait, 5)
        ear.hang_up()
        error = await asking
        assert (error.state, KEY.encode() in ear.heard[0]) == ("network", False)
        assert ear.heard[0][:1] == b"\x16"


async def test_a_certificate_file_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    error = await refused("https://localhost:1")
    assert (error.state, "SSL_CERT_FILE" in str(error)) == ("config", True)


class Proxy(Ear):
    """A proxy that connects every CONNECT to `target`, or answers with `refusal`."""

    def __init__(self, target: int, refusal: bytes = b"") -> None:
        super().__init__(self._tunnel)
        self._target, self._refusal = target, refusal

    def _tunnel(self, near: socket.socket) -> None:
        if self._refusal:
            near.sendall(self._refusal)
            return
        with socket.create_connection(("127.0.0.1", self._target)) as far:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._spawn(self._pipe, far, near, False)
            self._pipe(near, far, True)

    def _pipe(self, one: socket.socket, other: socket.socket, keep: bool) -> None:
        try:
            while piece := one.recv(65536):
                if keep:
                    self.heard[0] += piece
                other.sendall(piece)
        except OSError:
            pass


async def test_the_environments_proxy_tunnels_and_sees_no_key(
    certify: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify("DNS:api.acme.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
    with Sealed(certificate) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://someone:p%40ss@127.0.0.1:{proxy.port}")
        traffic = Traffic()
        assert await ask("https://api.acme.example/v1", traffic=traffic) == {"ok": True}
        assert traffic == Traffic(1, len(b'{"ok": true}'))
        assert KEY.encode() in server.heard[0]
        assert proxy.heard[0].startswith(b"CONNECT api.acme.example:443 HTTP/1.1\r\n")
        assert b"c29tZW9uZTpwQHNz" in proxy.heard[0]
        assert KEY.encode() not in proxy.heard[0]


_getaddrinfo = socket.getaddrinfo


def only_numbers(host: Any, *rest: Any, **more: Any) -> Any:
    if str(host).replace(".", "").isdigit():
        return _getaddrinfo(host, *rest, **more)
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


async def test_a_proxy_is_never_asked_about_this_machine_nor_about_exceptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Ear(ANSWER) as server, Proxy(server.port) as proxy:
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert await ask(server.url) == {"ok": True}
        assert await ask(f"http://localhost:{server.port}") == {"ok": True}
        assert proxy.heard == []
        monkeypatch.setenv("NO_PROXY", "acme.example")
        monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
        assert "host name is not known" in str(await refused("https://api.acme.example"))
        assert proxy.heard == []


@pytest.mark.parametrize(
    "status", [b"403 Forbidden", b"407 Proxy Authentication Required", b"502 Bad Gateway"]
)
async def test_a_proxy_that_refuses_is_named(status: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(0, b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        error = await refused("https://api.acme.example")
        assert (error.state, "check HTTPS_PROXY" in str(error)) == ("network", True)
        assert len(proxy.heard) == 1


@pytest.mark.parametrize(
    "url", ["socks5://127.0.0.1:1", "http://", "http://[::", "http://host:0", "ftp://host", "bad proxy"]
)
async def test_a_proxy_that_cannot_be_used_is_said_before_anything_is_sent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    error = await refused("https://api.acme.example")
    assert (error.state, "HTTPS_PROXY or ALL_PROXY" in str(error)) == ("config", True)


def test_a_proxy_without_a_scheme_is_an_http_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    found = wire.proxy_for(base("https://api.acme.example"))
    assert found is not None
    assert (found.url.scheme, found.url.host, found.url.port) == (b"http", b"proxy.example", 3128)
