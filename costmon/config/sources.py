"""Where provider figures come from: `[source.NAME]` tables, and `[unlogged]`, when their difference is worth an alert.

What kinds there are is known above this layer: options of a kind are kept as they were written and checked where it is used.
"""

from __future__ import annotations

import re
from decimal import Decimal
from types import MappingProxyType
from typing import NoReturn

from costmon.config.money import EXAMPLE, parse_money, shorten
from costmon.config.scopes import checked
from costmon.config.source import Section, dotted, is_whole, spell
from costmon.config.values import Source, Unlogged
from costmon.errors import ConfigError
from costmon.shim.money import Money

MAX_SOURCES = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_OPTION = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KEY = re.compile(r"keyring|env:[A-Za-z_][A-Za-z0-9_]{0,99}|file:(?:/|~/).{1,190}")
_PERCENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,4})?) ?%")
_PASTED = re.compile(
    r"(?:sk|pk|rk|xai|gsk|pplx|r8|hf|fw|key|rpa|api|Bearer)[-_ ]|AIza|AKIA|ASIA|[0-9a-f]{8}-[0-9a-f]{4}-",
    re.IGNORECASE,
)
_RUN = re.compile("[A-Za-z0-9+/=]{12,}")
_LONG, _LONG_RUN = 20, 24
_OURS = ("kind", "provider", "base_url", "key", "every", "enabled", "tax_included")


def looks_like_key(text: str) -> bool:
    """Whether a text is long and random, or begins as keys do: where a name belongs, it is never repeated."""
    if len(text) < _LONG:
        return False
    mixed = (re.search("[0-9]", run[0]) and re.search("[A-Za-z]", run[0]) for run in _RUN.finditer(text))
    return bool(
        _PASTED.match(text) or any(mixed) or any(len(run[0]) >= _LONG_RUN for run in _RUN.finditer(text))
    )


def read_sources(section: Section) -> tuple[Source, ...]:
    """Every `[source.NAME]`. Raises ConfigError."""
    for name in section.data:
        if looks_like_key(name):
            _refuse_key(section, name, "[source.…] has a name that looks like a key")
    for name in list(section.data)[MAX_SOURCES:]:
        section.fail(name, f"is one source too many; {MAX_SOURCES} at most are polled, remove some")
    found = tuple(_source(section, name) for name in section.data)
    _refuse_the_same_twice(section, found)
    return found


def _refuse_the_same_twice(section: Section, sources: tuple[Source, ...]) -> None:
    """One account under two names would be billed twice."""
    seen: dict[object, str] = {}
    for source in sources:
        if not source.enabled or not source.key.startswith(("env:", "file:")):
            continue
        account = (source.kind, source.base_url, source.key, frozenset(source.options.items()))
        if account in seen:
            problem = f"is the account of [source.{seen[account]}] once more, and would count twice"
            section.fail(source.name, f"{problem}; give it another key, or remove one of the two")
        seen[account] = source.name


def _refuse_key(section: Section, key: str, problem: str) -> NoReturn:
    """Raise a ConfigError that has the line and not the text: others may read what is printed."""
    found = section.source.lines.get((*section.path, key))
    line = f", line {found.start}" if found else ""
    raise ConfigError(
        f"{section.source.path}{line}: {problem}, which never stands in this file; take it out, store it with costmon keys "
        "set, and better replace it at the provider"
    )


def read_unlogged(section: Section) -> Unlogged:
    """`[unlogged]`. Raises ConfigError."""
    section.only("alert")
    if "alert" not in section.data:
        return Unlogged()
    value = section.data["alert"]
    if value is False:
        return Unlogged(None)
    if not isinstance(value, str):
        section.fail("alert", f"must be an amount with its currency, {EXAMPLE}, or false, not {spell(value)}")
    amount: Money = checked(section, "alert", parse_money, value)
    return Unlogged(amount)


def _source(parent: Section, name: str) -> Source:
    if not isinstance(parent.data[name], dict):
        parent.fail(
            name, f"must be a table with a name, written [source.openai], not {spell(parent.data[name])}"
        )
    section = parent.section(name)
    if not _NAME.fullmatch(name):
        section.fail(None, "is no name for a source; use 1 to 60 of a-z 0-9, dot, - and _")
    _refuse_keys(section)
    return Source(
        name=name,
        kind=_name(section, "kind", name),
        provider=_name(section, "provider", "") if "provider" in section.data else "",
        base_url=_text(section, "base_url", "an address") if "base_url" in section.data else "",
        key=_key(section),
        every_us=section.duration("every", 0),
        enabled=section.flag("enabled", True),
        tax_included=_share(section, "tax_included"),
        options=MappingProxyType({key: _option(section, key) for key in section.data if key not in _OURS}),
    )


def _refuse_keys(section: Section) -> None:
    """A key pasted where a name or an address belongs. A kind's own settings may well be long and random: those are ids."""
    for key, value in section.data.items():
        if looks_like_key(key):
            _refuse_key(section, key, f"a setting of {dotted(section.path)} has a name that looks like a key")
        if key not in _OURS or key == "key" or not isinstance(value, str) or not looks_like_key(value):
            continue
        if key != "base_url" or "://" not in value:
            _refuse_key(section, key, f"{dotted((*section.path, key))} looks like a key")


def _text(section: Section, key: str, what: str) -> str:
    """As section.text, but what is there is not repeated: it may be, or hold, a key."""
    value = section.data[key]
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or not value.isprintable():
        section.fail(key, f"must be {what} in quotes, of 1 to 200 printable characters")
    return value


def _name(section: Section, key: str, default: str) -> str:
    value = section.text(key, default, '"openai"')
    if not _NAME.fullmatch(value):
        section.fail(key, f'must be a name in lower case, such as "openai", not {shorten(value)}')
    return value


def _key(section: Section) -> str:
    if "key" not in section.data:
        return ""
    value = section.data["key"]
    pasted = (
        isinstance(value, str) and value.startswith("env:") and looks_like_key(value.removeprefix("env:"))
    )
    if not isinstance(value, str) or not _KEY.fullmatch(value) or pasted:
        # What stands there may be the key itself: it is not repeated.
        section.fail(
            "key",
            'says where the key is, never the key: "keyring", "env:OPENAI_ADMIN_KEY" or "file:/path/of/a/0600/file"; '
            "costmon keys set stores one",
        )
    return value


def _share(section: Section, key: str) -> Decimal:
    if key not in section.data:
        return Decimal(0)
    value = section.data[key]
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        section.fail(key, f'must be a percentage in quotes, such as "10%", not {spell(value)}')
    return Decimal(found[1]) / 100


def _option(section: Section, key: str) -> str:
    value = section.data[key]
    if not _OPTION.fullmatch(key):
        section.fail(key, "is no setting; use a-z 0-9 and _")
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_whole(value) or isinstance(value, Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    return _text(section, key, "a text")
