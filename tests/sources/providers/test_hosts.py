"""Which base URLs may be asked, and which addresses a connection may lead to. R82."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.providers.hosts import Base, base, unwanted
from costmon.sources.providers.protocol import SourceError

GOOD = {
    "https://api.openai.com/v1": "https://api.openai.com/v1",
    "https://api.openai.com/v1/": "https://api.openai.com/v1",
    "https://api.openai.com": "https://api.openai.com",
    "HTTPS://API.OpenAI.com:443/V1": "https://api.openai.com/V1",
    "https://eu-1.gateway.internal:8443": "https://eu-1.gateway.internal:8443",
    "https://10.1.2.3/litellm": "https://10.1.2.3/litellm",
    "https://192.168.1.10:4000": "https://192.168.1.10:4000",
    "https://[2001:DB8::1]/v1": "https://[2001:db8::1]/v1",
    "https://[fd00::2]:444": "https://[fd00::2]:444",
    "https://gateway": "https://gateway",
    "https://3com.example": "https://3com.example",
}
LOCAL = {
    "http://127.0.0.1:4000": "http://127.0.0.1:4000",
    "http://127.0.0.1:80": "http://127.0.0.1",
    "http://127.255.255.254/v1": "http://127.255.255.254/v1",
    "http://localhost:11434/v1/": "http://localhost:11434/v1",
    "http://LOCALHOST": "http://localhost",
    "http://[::1]:4000": "http://[::1]:4000",
    "http://[0:0:0:0:0:0:0:1]": "http://[::1]",
    "https://localhost": "https://localhost",
    "https://127.0.0.1": "https://127.0.0.1",
}


@pytest.mark.parametrize("url", [*GOOD, *LOCAL])
def test_ordinary_addresses_are_fine_and_brought_into_one_spelling(url: str) -> None:
    found = base(url)
    assert found.url == (GOOD | LOCAL)[url]
    assert found.local is (url in LOCAL)
    assert base(found.url) == found
    assert found.url == found.origin + found.path


BAD = {
    "": "is missing",
    "api.openai.com": "must start with https://",
    "//api.openai.com": "must start with https://",
    "https:/api.openai.com": "must start with https://",
    "https://": "must start with https://",
    "ftp://api.openai.com": "must start with https://",
    "file:///etc/passwd": "must start with https://",
    "http://api.openai.com": "plain http would show the key",
    "http://10.0.0.1": "plain http",
    "http://localhost.evil.example": "plain http",
    "http://127.0.0.1.evil.example": "plain http",
    "http://foo.localhost": "plain http",
    "https://user:CANARY@api.openai.com": "holds a user name or password",
    "https://CANARY@api.openai.com": "holds a user name or password",
    "https://api.openai.com@evil.example": "holds a user name or password",
    "https://api.openai.com:CANARY@evil.example/": "holds a user name or password",
    "https://api.openai.com:CANARY": "is no address",
    "https://@api.openai.com": "holds a user name or password",
    "https://api.openai.com?key=CANARY": "has a ? or #",
    "https://api.openai.com/v1?": "has a ? or #",
    "https://api.openai.com#CANARY": "has a ? or #",
    "https://evil.example#@api.openai.com": "has a ? or #",
    "https://evil.example\\@api.openai.com": "no address has",
    "https://api.openai.com\t": "no address has",
    "https://api.openai.com\n": "no address has",
    " https://api.openai.com": "no address has",
    "https://api.ope\u0000nai.com": "no address has",
    "https://аpi.openai.com": "no address has",
    "https://api。openai。com": "no address has",
    "https://ⓛocalhost": "no address has",
    "https://xn--pi-7kc.openai.com": "international host name",
    "https://api.xn--p1ai": "international host name",
    "https://XN--pi-7kc.example": "international host name",
    "https://api_openai.com": "no valid host name",
    "https://-api.openai.com": "no valid host name",
    "https://api..openai.com": "no valid host name",
    "https://api.openai.com.": "no valid host name",
    "https://.": "no valid host name",
    "https://api%2eopenai.com": "no valid host name",
    "https://api,openai.com": "no valid host name",
    f"https://{'a' * 64}.com": "no valid host name",
    f"https://{'a.' * 127}com": "no valid host name",
    "https://" + "a" * 600: "no address has",
    "https://2130706433": "unusual way",
    "https://0x7f000001": "unusual way",
    "https://0X7F.0.0.1": "unusual way",
    "https://0177.0.0.1": "unusual way",
    "https://127.1": "unusual way",
    "https://127.0.0.1.": "unusual way",
    "https://127.0.0.256": "unusual way",
    "https://1.2.3.4.5": "unusual way",
    "https://0x": "unusual way",
    "https://evil.0x1": "unusual way",
    "http://127.0.0.01": "unusual way",
    "https://[::ffff:127.0.0.1]": "wraps an address",
    "https://[::ffff:a9fe:a9fe]": "wraps an address",
    "https://[64:ff9b::a9fe:a9fe]": "wraps an address",
    "https://[2002:a9fe:a9fe::]": "wraps an address",
    "https://[fe80::1%eth0]": "",
    "https://[fe80::1%25eth0]": "",
    "https://[::1": "is no address",
    "https://[v1.x]": "",
    "https://[127.0.0.1]": "",
    "https://[]": "",
    "https://a[::1]": "",
    "https://169.254.169.254": "link-local",
    "https://[fe80::1]": "link-local",
    "https://0.0.0.0": "no single machine",
    "https://[::]": "no single machine",
    "http://0.0.0.0:8080": "no single machine",
    "https://0.1.2.3": "no single machine",
    "https://224.0.0.1": "no single machine",
    "https://255.255.255.255": "no single machine",
    "https://240.0.0.1": "no single machine",
    "https://[ff02::1]": "no single machine",
    "https://168.63.129.16": "metadata",
    "https://100.100.100.200": "metadata",
    "https://[fd00:ec2::254]": "metadata",
    "https://[fd00:0ec2::0254]": "metadata",
    "https://metadata": "metadata",
    "https://metadata.google.internal/computeMetadata": "metadata",
    "https://METADATA.google.internal": "metadata",
    "https://instance-data": "metadata",
    "https://x.metadata.google.internal": "metadata",
    "https://api.openai.com:0": "no usable port",
    "https://api.openai.com:": "no usable port",
    "https://api.openai.com:65536": "is no address",
    "https://api.openai.com:-1": "is no address",
    "https://api.openai.com:x": "is no address",
    "https://api.openai.com/v1/..": "has a path",
    "https://api.openai.com/./v1": "has a path",
    "https://api.openai.com/%2e%2e": "has a path",
    "https://api.openai.com/v1;<b>": "has a path",
}


@pytest.mark.parametrize("url", BAD, ids=ascii)
def test_everything_else_gets_one_sentence_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        base(url, "[source.openai] base_url")
    message = str(caught.value)
    assert caught.value.state == "config"
    assert message.startswith("[source.openai] base_url ")
    assert BAD[url] in message
    assert caught.value.__context__ is None
    assert "CANARY" not in message
    assert message.isprintable()
    assert len(message) < 200


@given(st.text(max_size=60), st.sampled_from(("https://", "http://", "https://a.example:", "")))
def test_any_text_is_an_address_or_a_sentence(text: str, before: str) -> None:
    try:
        found = base(before + text)
    except SourceError:
        return
    assert found.local or found.scheme == "https"
    assert base(found.url) == found
    assert "@" not in found.origin
    assert not set(found.url) & set("?#\\ \n")


PUBLIC = base("https://api.openai.com")
HERE = base("http://localhost:4000")
numbers = st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address)


@given(numbers)
def test_a_source_on_this_machine_is_only_met_on_this_machine(number: IPv4Address | IPv6Address) -> None:
    assert (unwanted(HERE, str(number)) == "") is number.is_loopback


@given(st.integers(0, 2**16 - 1).map(lambda low: IPv4Address((169 << 24) + (254 << 16) + low)))
def test_link_local_is_found_however_it_is_wrapped(number: IPv4Address) -> None:
    for written in (
        f"{number}",
        f"::ffff:{number}",
        f"64:ff9b::{number}",
        str(IPv6Address((0x2002 << 112) | (int(number) << 80) | 1)),
        str(IPv6Address((0x20010000 << 96) | (int(number) ^ 0xFFFF_FFFF))),
    ):
        assert "link-local" in unwanted(PUBLIC, written)


@given(st.integers(0, 2**118 - 1))
def test_every_address_of_fe80_is_link_local(low: int) -> None:
    assert "link-local" in unwanted(PUBLIC, str(ip_address((0xFE80 << 112) | low)))
    assert "link-local" in unwanted(PUBLIC, f"{ip_address((0xFE80 << 112) | low)}%eth0")


@pytest.mark.parametrize(
    "address", ["104.18.7.192", "10.0.0.5", "192.168.1.9", "127.0.0.1", "2606:4700::6812:7c0", "fd12:3456::1"]
)
def test_public_and_private_networks_may_be_where_https_leads(address: str) -> None:
    assert unwanted(PUBLIC, address) == ""


def test_two_urls_lead_to_the_same_place_if_scheme_host_and_port_are_equal() -> None:
    places = [
        base(url).place for url in ("https://a.example/x", "https://A.example:443/y", "https://a.example:444")
    ]
    assert places[0] == places[1] != places[2]
    assert isinstance(base("https://a.example"), Base)
