"""Which addresses a source may be asked at: https anywhere, plain http only on this machine itself.

Nothing here opens a connection. `base` judges what somebody wrote; `unwanted` judges where a connection would really lead,
because a name can be pointed elsewhere between the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from costmon.sources.providers.protocol import SourceError

_MOST = 500
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*")
_METADATA_NAMES = (
    *("metadata", "metadata.google.internal", "metadata.goog", "metadata.tencentyun.com"),
    *(
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.platformequinix.com",
        "metadata.oraclecloud.com",
    ),
)
"""What clouds call the service that hands credentials to a machine, beside its link-local addresses."""
_METADATA = frozenset(
    map(ip_address, ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_REFUSED: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("0.0.0.0/8"), IPv4Network("240.0.0.0/4"))
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Base:
    """A base URL that may be asked: `url` without a slash at its end; `local` = on this machine."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    local: bool

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a URL writes them."""
        return self.url.removesuffix(self.path) if self.path else self.url

    @property
    def place(self) -> tuple[str, str, int]:
        """What has to be equal for two URLs to lead to the same server."""
        return self.scheme, self.host, self.port


def base(url: str, what: str = "base_url") -> Base:
    """`url` checked. Raises SourceError ('config') with a sentence that starts with `what`; it never repeats the URL,
    which may hold a password."""
    if not url:
        _refuse(what, "is missing; write an address such as https://api.example.com/v1")
    if len(url) > _MOST or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        _refuse(what, "has characters that no address has; write it in plain ASCII letters, without spaces")
    if "?" in url or "#" in url:
        _refuse(what, "has a ? or #; write only the host and the path before the request's own")
    found = _split(url)
    if found is None:
        _refuse(what, "is no address; write one such as https://api.example.com/v1")
    parts, port = found
    if parts.scheme not in ("http", "https") or not parts.netloc:
        _refuse(what, "must start with https:// (or http:// for this machine's own addresses)")
    if "@" in parts.netloc:
        _refuse(what, "holds a user name or password; keys belong into the keyring: costmon keys set")
    if port == 0 or parts.netloc.endswith(":"):
        _refuse(what, "has no usable port; use 1 to 65535, or leave the colon out")
    host, local = _host(parts.netloc.rpartition("@")[2], parts.hostname or "", what)
    if parts.scheme == "http" and not local:
        _refuse(what, "must start with https://; plain http would show the key to everybody on the way")
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        _refuse(what, "has a path with characters or dots that do not belong there")
    standard = 443 if parts.scheme == "https" else 80
    shown = (f"[{host}]" if ":" in host else host) + ("" if port in (None, standard) else f":{port}")
    return Base(f"{parts.scheme}://{shown}{path}", parts.scheme, host, port or standard, path, local)


def unwanted(at: Base, address: str) -> str:
    """Why a connection for `at` must not go to the IP `address`, as the rest of a sentence; '' when it may."""
    number = _plain(ip_address(address.partition("%")[0]))
    if at.local:
        return "" if number.is_loopback else "leads away from this machine"
    return _odd(number)


def _host(netloc: str, host: str, what: str) -> tuple[str, bool]:
    """The host in one spelling, and whether it is this machine."""
    if netloc.startswith("["):
        return _six(host, what)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]) or (
        not labels[-1] and len(labels) > 1 and _NUMBER.fullmatch(labels[-2])
    ):
        return _four(host, what)
    if host == "localhost":
        return host, True
    if not all(map(_LABEL.fullmatch, labels)) or len(host) > 253:
        _refuse(what, "has no valid host name; use letters, digits, dots and hyphens")
    if any(label.startswith("xn--") for label in labels):
        _refuse(what, "has an international host name, which can look like another one; use the plain one")
    if any(host == name or host.endswith(f".{name}") for name in _METADATA_NAMES):
        _refuse(what, "is a cloud's metadata service, which hands out credentials; it is never asked")
    return host, False


def _split(url: str) -> tuple[SplitResult, int | None] | None:
    """The parts and the port; None when there are none. No exception leaves: its text would repeat the URL."""
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        return None


def _number(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _four(host: str, what: str) -> tuple[str, bool]:
    number = _number(host)
    if not isinstance(number, IPv4Address):
        _refuse(what, "spells an IP address in an unusual way; write four numbers of 0 to 255 with dots")
    return _checked(number, what)


def _six(host: str, what: str) -> tuple[str, bool]:
    number = _number(host)
    if not isinstance(number, IPv6Address):
        _refuse(what, "is no valid IPv6 address")
    if number.scope_id or _plain(number) != number:
        _refuse(what, "wraps an address or names a zone; write the plain IP address")
    return _checked(number, what)


def _checked(number: IPv4Address | IPv6Address, what: str) -> tuple[str, bool]:
    if reason := _odd(number):
        _refuse(what, f"{reason}; it is never asked")
    return str(number), number.is_loopback


def _plain(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(number, IPv4Address):
        return number
    if number in _NAT64:
        return IPv4Address(int(number) & 0xFFFF_FFFF)
    return number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else number)


def _odd(number: IPv4Address | IPv6Address) -> str:
    if number.is_link_local:
        return "leads to a link-local address, where clouds hand out credentials"
    if number in _METADATA:
        return "leads to a cloud's metadata service, which hands out credentials"
    if number.is_unspecified or number.is_multicast or any(number in net for net in _REFUSED):
        return "leads to an address that belongs to no single machine"
    return ""


def _refuse(what: str, problem: str) -> NoReturn:
    raise SourceError("config", f"{what} {problem}")
