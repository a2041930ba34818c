"""The rules beside budgets: rate limits, the breaker, the two guards. A table that is not there is a rule that is off."""

from __future__ import annotations

from costmon.config.scopes import NAME, checked, parse_scope
from costmon.config.source import Section, spell
from costmon.config.values import WINDOWS, Breaker, RateLimit, Repeat, RetryLoop

MAX_RATE_LIMITS = 100
MAX_CALLS = 1_000_000_000
MAX_FAILURES = 1_000_000


def read_rate_limits(section: Section) -> tuple[RateLimit, ...]:
    """Every `[rate_limit.NAME]`. Raises ConfigError."""
    for name in list(section.data)[MAX_RATE_LIMITS:]:
        section.fail(name, f"is one rate limit too many; {MAX_RATE_LIMITS} at most are kept, remove some")
    return tuple(_rate_limit(section, name) for name in section.data)


def read_breaker(top: Section) -> Breaker | None:
    """`[breaker]`, or None where there is none. Raises ConfigError."""
    section = _rule(top, "breaker", "failures", "within", "pause")
    if section is None:
        return None
    usual = Breaker()
    return Breaker(
        failures=section.whole("failures", usual.failures, 1, MAX_FAILURES),
        within_us=section.duration("within", usual.within_us),
        pause_us=section.duration("pause", usual.pause_us),
    )


def read_repeat(top: Section) -> Repeat | None:
    """`[repeat]`, or None where there is none. Raises ConfigError."""
    section = _rule(top, "repeat", "calls", "within")
    if section is None:
        return None
    usual = Repeat()
    return Repeat(
        calls=section.whole("calls", usual.calls, 1, MAX_CALLS),
        within_us=section.duration("within", usual.within_us),
    )


def read_retry_loop(top: Section) -> RetryLoop | None:
    """`[retry_loop]`, or None where there is none. Raises ConfigError."""
    section = _rule(top, "retry_loop", "failures", "within")
    if section is None:
        return None
    usual = RetryLoop()
    return RetryLoop(
        failures=section.whole("failures", usual.failures, 1, MAX_FAILURES),
        within_us=section.duration("within", usual.within_us),
    )


def _rule(top: Section, key: str, *known: str) -> Section | None:
    if key not in top.data:
        return None
    section = top.section(key)
    section.only(*known)
    return section


def _rate_limit(parent: Section, name: str) -> RateLimit:
    if not isinstance(parent.data[name], dict):
        written = spell(parent.data[name])
        parent.fail(name, f"must be a table with a name, written [rate_limit.openai], not {written}")
    section = parent.section(name)
    if not NAME.fullmatch(name):
        section.fail(None, "is no name for a rate limit; use 1 to 60 of A-Z a-z 0-9, space, dot, - and _")
    section.only("scope", "calls", "per")
    for key, example in (("calls", "60"), ("per", '"minute"')):
        if key not in section.data:
            section.fail(None, f"has no {key}; add a line such as {key} = {example}")
    scope = section.text("scope", "all", '"provider=openai"')
    scope_key, scope_value = checked(section, "scope", parse_scope, scope)
    return RateLimit(
        name=name,
        calls=section.whole("calls", 60, 1, MAX_CALLS),
        per=section.choice("per", "minute", WINDOWS),
        scope_key=scope_key,
        scope_value=scope_value,
    )
