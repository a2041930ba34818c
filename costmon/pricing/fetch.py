"""Fetch one small public file, for the commands and settings that ask for it: bounded in time and size, and never
from another host than the one that was named."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from costmon.errors import PriceError
from costmon.shim.events import clean

if TYPE_CHECKING:
    import httpx

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 3
_CONNECT_S = 5.0


class FetchError(PriceError):
    """A file could not be had; the message names it and says why, in half a sentence that others end."""


def fetch(url: str, *, limit: int, timeout_s: float) -> bytes:
    """The body at `url`: at most `limit` bytes, within `timeout_s` seconds in all.

    TLS is verified; plain http is for this machine's own addresses. A redirect is followed on the same host only.

    Raises:
        FetchError: it could not be had.
    """
    deadline = time.monotonic() + timeout_s
    import httpx

    address = _checked(url)
    headers = {"accept-encoding": "identity", "user-agent": "costmon"}
    # A proxy of the environment is for other machines.
    with httpx.Client(headers=headers, trust_env=urlsplit(url).hostname not in _LOOPBACK) as client:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                found = _get(client, address, limit, deadline, timeout_s)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise FetchError(f"{shown(url)} {_why(error, timeout_s)}") from None
            if isinstance(found, bytes):
                return found
            address = _same_host(url, address, found)
    raise FetchError(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times")


def read_file(path: str, *, limit: int) -> bytes:
    """The content of the ordinary file `path`, at most `limit` bytes. Raises FetchError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FetchError(f"{clean(path, 300)} is no ordinary file")
            data = file.read(limit + 1)
    except OSError as error:
        raise FetchError(f"{clean(path, 300)} cannot be read ({error.strerror})") from None
    if len(data) > limit:
        raise FetchError(f"{clean(path, 300)} is larger than {size_text(limit)}")
    return data


def shown(url: str) -> str:
    """`url` for people: without a user's name, password or query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return clean(f"{parts.scheme}://{host}{parts.path}", 300)


def size_text(size: int) -> str:
    """'1 MB'."""
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size:,} bytes"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise FetchError(f"{clean(url, 300)} is no address; write one that begins with https://") from None
    plain = parts.scheme == "http" and host in _LOOPBACK
    if not host or not (parts.scheme == "https" or plain):
        raise FetchError(f"{shown(url)} is not fetched: an address must begin with https://")
    return url


def _get(client: httpx.Client, address: str, limit: int, deadline: float, timeout_s: float) -> bytes | str:
    """The body, or the address of a redirect."""
    import httpx

    left = max(0.01, deadline - time.monotonic())
    timeout = httpx.Timeout(left, connect=min(_CONNECT_S, left))
    with client.stream("GET", address, timeout=timeout) as answer:
        if answer.status_code in _REDIRECTS:
            return str(answer.url.join(answer.headers.get("location", "")))
        if answer.status_code != 200:
            raise FetchError(f"{shown(address)} answered {answer.status_code}")
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchError(f"{shown(address)} answered compressed, which was not asked for")
        length = answer.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise FetchError(f"{shown(address)} is larger than {size_text(limit)}")
        return _body(answer, address, limit, deadline, timeout_s)


def _body(answer: httpx.Response, address: str, limit: int, deadline: float, timeout_s: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_raw():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise FetchError(f"{shown(address)} is larger than {size_text(limit)}")
        if time.monotonic() > deadline:
            raise FetchError(f"{shown(address)} did not send all of it within {timeout_s:g} s")
    return b"".join(parts)


def _same_host(url: str, address: str, target: str) -> str:
    if urlsplit(target).netloc != urlsplit(address).netloc:
        raise FetchError(f"{shown(url)} redirects to another host ({shown(target)}), which is not followed")
    return _checked(target)


def _why(error: Exception, timeout_s: float) -> str:
    """In our own words: an exception's text may hold anything."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return f"did not answer within {timeout_s:g} s"
    if isinstance(error, httpx.ConnectError):
        refused = "certificate" in str(error).lower()
        return "has no certificate that can be trusted" if refused else "cannot be reached"
    if isinstance(error, httpx.RemoteProtocolError):
        return "broke off in the middle of its answer"
    return f"could not be fetched ({type(error).__name__})"
