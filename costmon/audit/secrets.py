"""Keys in files: told from placeholders, and never repeated.

What an audit shows of a file goes through `shown`; what it prints of a line, through `is_printable`.
"""

from __future__ import annotations

import re

from costmon.config.sources import looks_like_key
from costmon.shim.events import clean

MASK = "••••"
"""Stands for a secret, whatever its length."""
_METERED = re.compile(
    r"(.*_)?(API_?KEY|API_?TOKEN|ACCESS_?KEY(_ID)?|SECRET_?ACCESS_?KEY|ADMIN_?KEY|AUTH_?TOKEN|ACCESS_?TOKEN|BEARER_?TOKEN|APIKEY)",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|PIN\b|CREDENTIAL|PRIVATE|DSN|AUTH|COOKIE|SESSION|SALT|SIGN|WEBHOOK|BEARER|CERT|JWT",
    re.IGNORECASE,
)
_PREFIXED = re.compile(
    r"(sk|pk|rk|gsk|xai|pplx|hf|fw|r8|rpa|csk|nvapi|tvly|ghp|glpat|xox[bap])[-_].{12,}|AIza.{20,}|A(KI|SI)A[A-Z0-9]{12,}"
)
_PLACEHOLDER = re.compile(
    r"change.?me|your|replace|place.?holder|dummy|to.?do|insert|put.?(it|me|key)|fill|fake|x{4,}|\.{3}|\*{3,}|<.*>|\[.*\]|\{.*\}|"
    r"not.?(set|needed|used)|none|null|redacted|secret.?here|key.?here",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[a-z]+([-_ .][a-z]+)*", re.IGNORECASE)
_PIECES = re.compile(r"[^A-Za-z0-9+/=_.-]+")
_USER_IN_URL = re.compile(r"://[^/@\s]*@")


def is_metered_key(name: str) -> bool:
    """Whether a variable of that name holds the key of a service, such as OPENAI_API_KEY."""
    return _METERED.fullmatch(name) is not None


def has_key_shape(name: str, value: str) -> bool:
    """Whether `value` may well be a real key: of a known form under any name, or long and random where a key belongs.

    A placeholder ('changeme', 'sk-your-key-here') is none.
    """
    text = value.strip().strip("\"'")
    if not text or is_placeholder(text) or "${" in text:
        return False
    return bool(_PREFIXED.fullmatch(text)) or (is_metered_key(name) and looks_like_key(text))


def is_placeholder(value: str) -> bool:
    """Whether a value says that a key is to be put there: a word or two, as in 'changeme' or 'sk-your-key-here'."""
    text = value.strip()
    if _WORDS.fullmatch(text) and not (len(text) >= 20 and not re.search("[-_ .]", text)):
        return True
    return _PLACEHOLDER.search(text) is not None and not _random(text)


def _random(text: str) -> bool:
    """Whether a long run of letters and digits is mixed as no word is."""
    runs = re.findall("[A-Za-z0-9]{20,}", text)
    return any(re.search("[0-9]", run) and re.search("[A-Za-z]", run) for run in runs)


def shown(value: str, limit: int = 60) -> str:
    """A value for people: one line, cut, and masked when it looks like a secret."""
    return MASK if is_secret_text(value) else clean(value, limit)


def is_secret_text(text: str) -> bool:
    """Whether a piece of `text` looks like a key, or an address in it has a user and password."""
    if _USER_IN_URL.search(text):
        return True
    return any(
        _PREFIXED.search(piece) or looks_like_key(piece) for piece in _PIECES.split(text) if len(piece) >= 12
    )


def is_printable(line: str) -> bool:
    """Whether a changed line of a file may be printed: nothing in it is, or is named like, a secret."""
    return line.isprintable() and not _SECRET_NAME.search(line) and not is_secret_text(line)


_PLAIN = re.compile(
    r"\s*(#? ?)?(- ?)?[\"']?[A-Za-z][A-Za-z0-9_.-]{0,60}[\"']?\s*[:=]\s*"
    r"([\"']?(true|false|yes|no|on|off|[0-9]{1,4}|\$\{[A-Z_]+(:?-([a-z0-9.]{0,5}))?\})[\"']?)?\s*"
)


def is_plain(line: str) -> bool:
    """Whether a line beside a changed one may be printed too: empty, or a name with nothing, a switch or a small number."""
    return not line.strip() or (_PLAIN.fullmatch(line) is not None and is_printable(line))
