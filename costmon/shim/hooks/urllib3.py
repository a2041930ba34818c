"""urllib3 1.26 and 2 (and so requests and botocore): one event for each attempt, the library's own retries included.

`urlopen` makes one attempt and calls itself for the next. An attempt is admitted where it begins, before a connection is
taken or a proxy is asked, and its answer is found where `_make_request` returns it. Everything heavy is loaded by the
first call that is metered.
"""

from __future__ import annotations

import functools
import sys

from costmon.shim import runtime
from costmon.shim.faults import report
from costmon.shim.hooks.nesting import carried, carrier, in_flight, mark_send, marked
from costmon.shim.hooks.seen import saw
from costmon.shim.metered import maybe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    from costmon.shim.hooks.exchange import Exchange


def patch(module: ModuleType) -> None:
    """Hook the connection pools of `module`, which is the package."""
    pool = module.connectionpool.HTTPConnectionPool
    if not marked(pool.urlopen):
        urlopen = _wrap_urlopen(pool.urlopen)
        pool._make_request = _wrap_request(pool._make_request, urlopen.__code__)
        pool.urlopen = urlopen


def _wrap_urlopen(original: Callable[..., Any]) -> Any:
    @functools.wraps(original)
    def urlopen(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if in_flight:
            _give_up(carrier(sys._getframe().f_code))
        exchange = _begin(self, method, url, body, headers)
        if exchange is None:
            return original(self, method, url, body, headers, *args, **kwargs)
        try:
            exchange.admit()
            return original(self, method, url, body, headers, *args, **kwargs)
        except BaseException as error:
            if not exchange.answered:  # else it is the error of a later attempt, or of the answer's body
                exchange.raised(error, sent=exchange.sent)
            raise

    mark_send(urlopen)
    return urlopen


def _give_up(before: Exchange | None) -> None:
    """`urlopen` called itself: the attempt before never reached its server (a proxy failed), or it would be answered."""
    if before is not None and not before.answered:
        before.raised(ConnectionError(), sent=before.sent)


def _wrap_request(original: Callable[..., Any], urlopen: CodeType) -> Callable[..., Any]:
    @functools.wraps(original)
    def _make_request(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = carrier(urlopen)
        if attempt is None or attempt.answered:
            return original(self, conn, *args, **kwargs)
        from costmon.shim.hooks.urllib3_parts import connecting, follow

        handled = sys.exc_info()[1]
        attempt.sent = True
        try:
            response = original(self, conn, *args, **kwargs)
        except BaseException as error:
            attempt.raised(error, sent=not connecting(error, handled))
            raise
        attempt.follow(follow, response)
        return response

    return _make_request


def _begin(pool: Any, method: str, url: str, body: Any, headers: Any) -> Exchange | None:
    """The exchange of a metered call, or None for every other request and after a fault of ours."""
    try:
        if url[:1] != "/":  # a proxy is told the whole address
            from costmon.shim.hooks.urllib3_parts import split

            host, port, url = split(url, pool)
        else:
            host, port = pool.host, pool.port
        saw(host)
        path, _, query = url.partition("?")
        if not maybe(method.upper(), path) or not runtime.enabled() or carried(host):
            return None
        from costmon.shim.hooks.urllib3_parts import begin

        headers = pool.headers if headers is None else headers
        return begin(method, host, port, path, query, body, headers)
    except Exception as error:
        report("recognise", f"costmon could not look at a request: {type(error).__name__}")
        return None
