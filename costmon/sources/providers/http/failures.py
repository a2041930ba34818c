"""What a broken connection means: one sentence of our own.

Nothing of another library's exception is kept, neither its text nor the exception: it may hold a header, and so the key.
"""

from __future__ import annotations

import ssl

import httpcore

from costmon.sources.providers.protocol import SourceError

_EXPIRED, _NOT_YET, _WRONG_NAME = 10, 9, 62
"""OpenSSL's verify codes, X509_V_ERR_*."""


def failure_of(error: Exception, title: str, limit_s: float) -> SourceError:
    """The SourceError that stands for `error`, with nothing of it inside."""
    if isinstance(error, SourceError):
        return SourceError(error.state, str(error), retry_after=error.retry_after, status=error.status)
    return SourceError("network", _sentence(error, title, limit_s))


def _sentence(error: Exception, title: str, limit_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"{title} did not answer completely within {limit_s:g} seconds; it is asked again later"
    if isinstance(error, httpcore.ProxyError):
        return f"the proxy of the environment does not let costmon through to {title}; check HTTPS_PROXY and NO_PROXY"
    if (cause := _tls(error)) is not None:
        return f"{title} cannot be asked safely: {_certificate(cause)}"
    if isinstance(error, httpcore.ConnectTimeout | httpcore.PoolTimeout):
        return f"{title} cannot be reached: no connection came about in time; check the network"
    if isinstance(error, httpcore.ConnectError):
        return f"{title} cannot be reached: nothing accepts connections there; check the network and base_url"
    if isinstance(error, httpcore.TimeoutException):
        return f"{title} did not answer in time; it is asked again later"
    if isinstance(error, httpcore.NetworkError | httpcore.ProtocolError):
        return f"the connection to {title} broke off before the answer was complete; it is asked again later"
    return f"{title} could not be asked ({type(error).__name__}); update costmon, or report this"


def _tls(error: BaseException | None) -> ssl.SSLError | None:
    for _ in range(6):
        if error is None or isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _certificate(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "no encrypted connection came about; check base_url, or a proxy or portal in between"
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return "its certificate is not valid at this time; check this computer's clock and base_url"
    if error.verify_code == _WRONG_NAME:
        return "its certificate is another host's; check base_url, or a portal in between"
    return (
        "its certificate is from nobody this computer trusts; check base_url, or name your own authority's file in "
        "SSL_CERT_FILE"
    )
