"""A request, from path and parameters to the parsed answer, or to a SourceError."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from costmon import __version__
from costmon.credentials import Secret
from costmon.sources.providers.hosts import Base
from costmon.sources.providers.hosts import base as checked
from costmon.sources.providers.http import body as bodies
from costmon.sources.providers.http import strict
from costmon.sources.providers.http.answers import error_of, explained, redirected
from costmon.sources.providers.http.failures import failure_of
from costmon.sources.providers.http.silence import silence
from costmon.sources.providers.http.wire import CONNECT_S, LOCATION, Way
from costmon.sources.providers.protocol import FORM, Client, Kind, Outgoing, Settings, SourceError

LIMIT_S = 30.0
"""All the time one request may take, from the name server to the last byte of the answer."""
_ERROR_BODY, _ERROR_BODY_S = 64 * 1024, 5.0
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)+")
_TRICK = re.compile(r"/\.{1,2}(?:/|\Z)|%(?:2[ef]|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
_HEADER = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


@dataclass(slots=True)
class Traffic:
    """What went over the wire: requests sent, and bytes of bodies received (as they came, compressed)."""

    requests: int = 0
    bytes: int = 0


@asynccontextmanager
async def connect(
    kind: Kind, settings: Settings, secret: Secret | None, traffic: Traffic
) -> AsyncIterator[Client]:
    """A client for one round. Raises SourceError when the base URL may not be asked, or when there is no key.

    A source whose base URL is on this machine itself (a proxy of one's own, a test) is asked there about everything: then
    the key never goes to the kind's further hosts. A kind without key and address asks nobody: it reads files.
    """
    if not (kind.key or kind.base_url or settings.base_url):
        yield _Nobody()
        return
    if kind.key and not secret:
        raise SourceError("key", f"{kind.title} needs {kind.key}; costmon keys set {settings.name}")
    main = checked(settings.base_url, f"[source.{settings.name}] base_url")
    further = () if main.local else tuple(checked(host, f"a host of {kind.title}") for host in kind.hosts)

    def count() -> None:
        traffic.requests += 1

    async with httpx.AsyncClient(
        transport=Way(kind.title, (main, *further), count),
        auth=_Carrier(kind, secret) if secret else None,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(LIMIT_S, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
    ) as inner:
        yield _Client(inner, kind, settings, main, further, traffic, secret.shows_in if secret else None)


class _Client:
    def __init__(
        self,
        inner: httpx.AsyncClient,
        kind: Kind,
        settings: Settings,
        main: Base,
        further: tuple[Base, ...],
        traffic: Traffic,
        tells: Callable[[str], bool] | None,
    ) -> None:
        self._tells = tells
        self._inner, self._kind, self._settings = inner, kind, settings
        self._main, self._further, self._traffic = main, further, traffic

    async def get(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        base: str = "",
    ) -> Any:
        return await self._ask("GET", self._url(path, base), params, headers, b"")

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        params: Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        base: str = "",
    ) -> Any:
        given = {"Content-Type": "application/json", **headers}
        as_form = given["Content-Type"] == FORM
        content = (urlencode(body) if as_form else json.dumps(body, allow_nan=False)).encode()
        return await self._ask("POST", self._url(path, base), params, given, content)

    async def _ask(
        self,
        method: str,
        url: str,
        params: Sequence[tuple[str, str]],
        given: Mapping[str, str],
        content: bytes,
    ) -> Any:
        # The failure is raised outside of `except`: a chained exception of httpx holds the request, and with it the key.
        try:
            with silence():
                async with asyncio.timeout(LIMIT_S):
                    return await self._exchange(method, url, params, given, content)
        except Exception as error:
            failure = failure_of(error, self._kind.title, LIMIT_S)
        raise failure

    async def _exchange(
        self,
        method: str,
        url: str,
        params: Sequence[tuple[str, str]],
        given: Mapping[str, str],
        content: bytes,
    ) -> Any:
        query = urlencode(list(params), quote_via=quote, safe="")
        request = self._inner.build_request(
            method, f"{url}?{query}" if query else url, headers=self._headers(given), content=content or None
        )
        response = await self._inner.send(request, stream=True)
        try:
            if response.status_code < 300:
                return await self._success(response)
            raise await self._error(response)
        finally:
            await response.aclose()

    async def _success(self, response: httpx.Response) -> Any:
        try:
            raw = await bodies.read(response, self._count)
            if _is_page(response, raw):
                raise self._schema(
                    response, "is a web page; check base_url, or whether the network wants a login first"
                )
            parsed = strict.parse(raw, self._tells)
        except strict.BodyError as error:
            problem = f"{error}; the last good figures are kept"
        else:
            better = explained(self._kind, response.status_code, parsed)
            if better is not None:
                raise better
            return parsed
        raise self._schema(response, problem)

    async def _error(self, response: httpx.Response) -> SourceError:
        status, headers, now = response.status_code, response.headers, datetime.now(UTC)
        if status < 400:
            return redirected(self._kind, status, response.extensions.get(LOCATION, ""), self._tells)
        try:
            async with asyncio.timeout(_ERROR_BODY_S):
                parsed = strict.parse(await bodies.read(response, self._count, _ERROR_BODY), self._tells)
        except Exception:
            # The status says enough, whatever became of the body.
            parsed = None
        return error_of(self._kind, self._settings, status, headers, parsed, now)

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        return {
            "User-Agent": f"costmon/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            **self._kind.headers,
            **given,
        }

    def _url(self, path: str, base: str) -> str:
        if not _PATH.fullmatch(path) or _TRICK.search(path):
            raise SourceError(
                "config",
                f"a setting of {self._kind.title} makes an address that cannot be asked; check the ids of source "
                f'"{self._settings.name}" for dots, slashes and other signs',
            )
        return self._base(base).rstrip("/") + path

    def _base(self, base: str) -> str:
        if not base:
            return self._main.url
        wanted = checked(base, f"a host of {self._kind.title}")
        if self._main.local:
            return self._main.origin + wanted.path
        if wanted.place in {known.place for known in (self._main, *self._further)}:
            return wanted.url
        raise SourceError(
            "config", f"{self._kind.title} may not be asked at a host that its kind does not name"
        )

    def _schema(self, response: httpx.Response, problem: str) -> SourceError:
        return SourceError(
            "schema", f"the answer of {self._kind.title} {problem}", status=response.status_code
        )

    def _count(self, size: int) -> None:
        self._traffic.bytes += size


class _Nobody:
    async def get(self, *_: Any, **__: Any) -> Any:
        raise SourceError("config", "this source has no address to ask; write its base_url")

    post = get


class _Carrier(httpx.Auth):
    """Puts the key into the headers of a request that is about to leave: the only place where a key is revealed."""

    def __init__(self, kind: Kind, secret: Secret) -> None:
        self._kind, self._secret = kind, secret

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        problem = self._carry(request)
        if problem is not None:
            raise problem
        yield request

    def _carry(self, request: httpx.Request) -> SourceError | None:
        """Never raises: a traceback may show the locals of this and deeper frames, and the key is among them."""
        out = Outgoing(
            request.method, str(request.url), dict(request.headers), request.content, datetime.now(UTC)
        )
        title = self._kind.title
        try:
            signed = dict(self._kind.authorize(out, self._secret.reveal()))
        except SourceError as error:
            return SourceError(error.state, str(error))
        except Exception as error:
            return SourceError(
                "config", f"the source kind of {title} cannot sign a request ({type(error).__name__})"
            )
        if not all(isinstance(value, str) and _HEADER.fullmatch(value) for value in signed.values()):
            return SourceError(
                "key",
                f"the key for {title} has a line break or other signs that no key has; store it again, without them",
            )
        request.headers.update(signed)
        return None


def _is_page(response: httpx.Response, raw: bytes) -> bool:
    start = raw[:200].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    said = str(response.headers.get("content-type", "")).lower()
    return start == b"<" or ("html" in said and start not in (b"{", b"["))
