"""The key goes to the hosts it belongs to, and nowhere else: redirects, further hosts, names that move. R67, R82."""

from __future__ import annotations

import dataclasses
import socket
import sys
from typing import Any

import pytest

from costmon.credentials import Secret
from costmon.sources.providers.hosts import Base, unwanted
from costmon.sources.providers.http import Traffic, connect, wire
from costmon.sources.providers.protocol import Settings, SourceError
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.server import Server
from tests.sources.providers.http_kit import FAKE, KEY, KIND, Ear, ask, refused, reply

PLACES = {
    "another port of this host": "{other}/costs",
    "another name of this host": "{other_name}/costs",
    "itself": "{self}/costs",
    "a path of itself": "/v2/costs",
    "a path beside it": "costs2",
    "another host, without a scheme": "//127.0.0.1:{port}/costs",
    "https": "https://127.0.0.1:{port}/costs",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "another host": "https://evil.example/?q=",
    "a login": "http://user:pw@127.0.0.1:{port}/",
    "a file": "file:///etc/passwd",
    "no address": "http://[::",
    "a bad port": "http://127.0.0.1:99999/",
    "escape codes": "http://\x1b[31mevil/",
    "nothing": "",
}
HOSTS = {
    "another port of this host": "127.0.0.1",
    "metadata": "169.254.169.254",
    "another host": "evil.example",
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 304, 305, 399])
async def test_no_redirect_is_followed_and_no_other_server_hears_of_the_key(status: int) -> None:
    with Server(FAKE) as server, Ear() as other:
        for name, place in PLACES.items():
            location = place.format(
                other=other.url, other_name=f"http://localhost:{other.port}", self=server.url, port=other.port
            )
            for method in ("get", "post"):
                seen = len(server.journal)
                server.faults.append(Answer(b"", status, {"Location": location}))
                error = await refused(server.url) if method == "get" else await refused_post(server.url)
                assert len(server.journal) == seen + 1, name
                assert (error.state, error.status) == ("schema", status)
                assert "does not follow" in str(error)
                assert f"on to {HOSTS.get(name, '')}" in str(error)
                assert "\x1b" not in str(error)
                assert "pw" not in str(error)
        assert not server.faults
        assert other.heard == []


async def refused_post(url: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        async with connect(KIND, Settings("acme", "acme", url), Secret(KEY), Traffic()) as client:
            await client.post("/costs", {})
    return caught.value


async def test_the_host_of_a_redirect_is_named_but_not_what_follows_it() -> None:
    with Server(FAKE) as server:
        server.faults.append(Answer(b"", 302, {"Location": f"https://portal.example/login?key={KEY}"}))
        error = await refused(server.url)
    assert "Acme sends costmon on to portal.example (status 302)" in str(error)


FURTHER = dataclasses.replace(KIND, hosts=("https://manage.acme.example/v2", "https://[fd00::1]:8443"))


async def test_a_source_on_this_machine_is_asked_there_about_everything() -> None:
    with Server(FAKE) as server:
        await ask(f"{server.url}/v1", "/costs", FURTHER, base="https://manage.acme.example/v2")
        await ask(f"{server.url}/v1", "/costs", FURTHER)
        assert [request.path for request in server.journal] == ["/v2/costs", "/v1/costs"]


@pytest.mark.parametrize(
    "base",
    [
        *(
            "https://evil.example",
            "https://manage.acme.example.evil.example",
            "https://manage.acme.example:444",
        ),
        *("http://manage.acme.example/v2", "https://manage.acme.example@evil.example", "http://127.0.0.1:1"),
        *("//evil.example", "manage.acme.example", "https://169.254.169.254"),
    ],
)
async def test_no_other_host_is_asked_than_those_the_kind_names(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolver(monkeypatch)
    error = await refused("https://api.acme.example/v1", kind=FURTHER, base=base)
    assert error.state == "config"
    assert asked == []


async def test_the_hosts_it_names_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolver(monkeypatch)
    url = "https://api.acme.example/v1"
    for base, host in (
        ("", "api.acme.example"),
        ("https://manage.acme.example/v2", "manage.acme.example"),
        ("https://MANAGE.acme.example:443/other", "manage.acme.example"),
        ("https://api.acme.example", "api.acme.example"),
    ):
        await refused(url, kind=FURTHER, base=base)
        assert asked.pop() == host
        assert asked == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "costs",
            "//evil.example/x?",
            "/a?b=c",
            "/a#b",
            "/../admin",
            "/a/..",
            "/a/./b",
            "/%2e%2e/admin",
            "/a%2Fb",
        ),
        *(
            "/a%5cb",
            "\\evil",
            "/\\evil",
            "/a\nX: y",
            "/a b",
            "/é",
            "/a%00",
            "@evil.example/",
            ".evil.example/",
            ":1/",
        ),
    ],
)
async def test_an_id_in_a_path_leads_to_no_other_place(path: str) -> None:
    with Server(FAKE) as server:
        if path == "//evil.example/x?":
            path = "//evil.example/x"
            await ask(server.url, path)
            assert server.journal.pop().path.endswith("/x")
            return
        error = await refused(server.url, path)
        assert (error.state, 'check the ids of source "acme"' in str(error)) == ("config", True)
        assert server.journal == []


def resolver(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to `addresses`; returned is what was asked for."""
    asked: list[str] = []

    def answer(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize(
    "address",
    [
        *(
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1%eth0",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ),
        *(
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ),
        *("2002:a9fe:a9fe::1", "0.1.2.3", "::ffff:0:0"),
    ],
)
async def test_a_name_that_leads_to_a_forbidden_address_is_not_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = connections(monkeypatch)
    for addresses in ((address,), ("203.0.113.7", address)):
        asked = resolver(monkeypatch, *addresses)
        error = await refused("https://api.acme.example/v1")
        assert (error.state, "was not asked: its host name leads to" in str(error)) == ("network", True)
        assert asked == ["api.acme.example"]
    assert opened == []


async def test_localhost_that_leads_elsewhere_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = connections(monkeypatch)
    for address in ("203.0.113.7", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "0.0.0.0"):
        asked = resolver(monkeypatch, address)
        assert "leads away from this machine" in str(await refused("http://localhost:8080"))
        assert asked == ["localhost"]
    assert opened == []


def connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []

    async def note(_: wire.Backend, addresses: list[str], port: int) -> None:
        opened.append(f"{addresses} {port}")
        raise OSError

    monkeypatch.setattr(wire.Backend, "_first", note)
    return opened


async def test_a_peer_that_is_not_where_the_name_led_hears_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the name and the connection something changed, such as a route: the peer is judged again."""
    judged: list[str] = []

    def changed(base: Base, address: str) -> str:
        judged.append(address)
        return unwanted(base, address if len(judged) == 1 else "192.0.2.9")

    monkeypatch.setattr(wire, "unwanted", changed)
    with Ear() as ear:
        error = await refused(ear.url)
        assert ear.met.wait(5)
    assert "leads away from this machine" in str(error)
    assert judged == ["127.0.0.1", "127.0.0.1"]
    assert ear.heard == [b""]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only 127.0.0.1")
async def test_a_further_address_of_this_machine_itself_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ear(reply(b'{"ok": true}'), host="127.0.0.3") as ear:
        assert await ask(ear.url) == {"ok": True}
        resolver(monkeypatch, "127.0.0.3")
        assert await ask(f"http://localhost:{ear.port}") == {"ok": True}
        assert len(ear.heard) == 2


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://api.acme.example",
            "https://user:pw@api.acme.example",
            "https://169.254.169.254",
            "https://[::]",
        ),
        *(
            "https://2130706433",
            "https://0x7f.1",
            "https://api.acme.example?x=1",
            "ftp://api.acme.example",
            "",
        ),
    ],
)
async def test_a_base_url_that_may_not_be_asked_is_refused_before_anything_happens(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolver(monkeypatch)
    error = await refused(url)
    assert error.state == "config"
    assert str(error).startswith("[source.acme] base_url ")
    assert asked == []
