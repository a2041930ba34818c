"""What an answer that is no success means: one sentence that says what is wrong and what to do.

The body of an error is never quoted, because some providers repeat the key in it; at most one word of it is, such as
`invalid_api_key`, and only if it consists of small letters and underscores, which no key does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from costmon.shim.events import clean
from costmon.sources.providers.protocol import Kind, Settings, SourceError

LONGEST_WAIT_S = 3600.0
_SKEW = timedelta(minutes=5)
_RETRY_AFTER = re.compile(r"(?:^|-)retry-after$", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_WORD = re.compile(r"(?=.{1,40}\Z)[a-z]{2,20}(?:_[a-z]{1,20})*")
_ASK_AGAIN = "it is asked again later"


def error_of(
    kind: Kind, settings: Settings, status: int, headers: Mapping[str, str], body: Any, now: datetime
) -> SourceError:
    """The error a status of 400 or more means. `body` is the parsed one, or None if it is no JSON."""
    found = explained(kind, status, body) or _general(kind, settings, status, _word(body))
    message = f"{found}{_skew(status, headers.get('date', ''), now)}"
    wait = found.retry_after if found.retry_after is not None else retry_after(headers, now)
    return SourceError(found.state, message, retry_after=wait, status=status)


def explained(kind: Kind, status: int, body: Any) -> SourceError | None:
    """What the kind itself makes of this answer, if it knows better. A kind that stumbles over it knows nothing."""
    try:
        found = kind.explain(status, body)
        return found and SourceError(found.state, str(found), retry_after=found.retry_after, status=status)
    except Exception:
        return None


def redirected(
    kind: Kind, status: int, location: str, tells: Callable[[str], bool] | None = None
) -> SourceError:
    """A redirect is never followed: the key would go where somebody else says. `tells`: a host that it says yes to gives
    the key away, and is not named."""
    try:
        whole = urlsplit(location).hostname or ""
    except ValueError:
        whole = ""
    # Judged before it is cut: half a key would pass.
    named = whole.isascii() and not (tells is not None and tells(whole))
    host = clean(whole, 100) if named else ""
    where = f"to {host}" if host else "to another place"
    return SourceError(
        "schema",
        f"{kind.title} sends costmon on {where} (status {status}), which it does not follow with a key; check base_url, "
        "or whether the network wants a login first",
        status=status,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait as `Retry-After` says, from 0 to 3600; None when it says nothing usable. Where several headers say it
    (Azure has one a quota, "x-ms-…-retry-after"), the longest counts.

    A date is compared with the provider's own clock (`Date`), if it sends one, and with `now` otherwise.
    """
    waits = [_wait(said.strip(), headers, now) for name, said in headers.items() if _RETRY_AFTER.search(name)]
    return max((wait for wait in waits if wait is not None), default=None)


def _wait(said: str, headers: Mapping[str, str], now: datetime) -> float | None:
    if _SECONDS.fullmatch(said):
        return min(float(said), LONGEST_WAIT_S)
    until = _date(said)
    if until is None:
        return None
    seconds = (until - (_date(headers.get("date", "")) or now)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _general(kind: Kind, settings: Settings, status: int, word: str) -> SourceError:
    title, set_it = kind.title, f"costmon keys set {settings.name}"
    said = f"status {status}, {word}" if word else f"status {status}"
    needs = f"needs {kind.key}" + (f" (from {kind.key_from})" if kind.key_from else "")
    match status:
        case 401 if not kind.key:
            return _error(
                "auth", f"{title} wants a login, but this source has no key ({said}); check base_url"
            )
        case 401:
            return _error("auth", f"{title} does not accept the key ({said}); it {needs}: {set_it}")
        case 402:
            return _error(
                "out_of_money", f"{title} says the account is out of money ({said}); add credit there"
            )
        case 403 if kind.key:
            return _error("forbidden", f"{title} refuses this key ({said}); it {needs}: {set_it}")
        case 403 | 451:
            return _error(
                "forbidden", f"{title} refuses this request ({said}); check base_url and your plan there"
            )
        case 404 | 410:
            what = "check base_url and the ids in the settings, or whether your plan there has it"
            return _error("not_found", f"{title} knows no such address ({said}); {what}")
        case 407:
            return _error("network", f"a proxy on the way wants a login ({said}); check HTTPS_PROXY")
        case 429:
            return _error("rate_limited", f"{title} was asked too often ({said}); {_ASK_AGAIN}")
        case 408 | 409 | 425:
            return _error("upstream", f"{title} could not answer just now ({said}); {_ASK_AGAIN}")
        case _ if 500 <= status < 600:
            return _error("upstream", f"{title} has a fault of its own ({said}); {_ASK_AGAIN}")
    what = "check the source's settings, or update costmon: the provider may have changed it"
    return _error("schema", f"{title} did not accept the request ({said}); {what}")


def _error(state: str, message: str) -> SourceError:
    return SourceError(state, message)


def _word(body: Any) -> str:
    """The error's own short name, wherever providers put it; '' when there is none that may be shown."""
    if not isinstance(body, dict):
        return ""
    inner = body.get("error", body.get("detail"))
    places = [
        inner,
        *([inner.get("code"), inner.get("type"), inner.get("status")] if isinstance(inner, dict) else []),
    ]
    for value in (*places, body.get("code"), body.get("type"), body.get("error_code")):
        if isinstance(value, str) and _WORD.fullmatch(value):
            return value
    return ""


def _skew(status: int, date: str, now: datetime) -> str:
    """Signed requests, and some keys, fail when our clock is wrong: say so when it seems to be."""
    theirs = _date(date) if status in (400, 401, 403) else None
    if theirs is None or abs(now - theirs) <= _SKEW:
        return ""
    ahead = "ahead of" if now > theirs else "behind"
    return f"; this computer's clock is {_long(abs(now - theirs))} {ahead} the provider's, which alone may be why: set it"


def _long(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    for unit, size in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * size:
            return f"{round(minutes / size)} {unit}"
    return f"{minutes} minutes"


def _date(text: str) -> datetime | None:
    """An HTTP date as an instant; None for anything else."""
    if not text or len(text) > 60:
        return None
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
