"""When a source is asked, from how its last rounds went: pure functions on values; times are µs.

A source that answers is asked in its rhythm. One that fails for a while is asked after 1, 2, 4 … minutes, up to an hour, and
never before the time the provider names; after five failures its breaker is open, and only a single round at a time tries
it. One that waits for a person is left alone until its settings or its key change.
"""

from __future__ import annotations

from typing import NamedTuple

from costmon.sources.providers.protocol import STATES

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
LONGEST_US = HOUR_US
"""The longest pause after failures, and the most of a Retry-After that is believed."""
LOOK_AGAIN_US = 6 * HOUR_US
KEY_AGAIN_US = 10 * MINUTE_US
"""Looking for a key asks nobody outside, and a keyring that was locked may be open now."""
OPENS_AT = 5
LEASE_US = MINUTE_US
JITTER = 0.1
_UNTIL_CHANGED = frozenset(("auth", "forbidden"))
_LOOKED_AT_AGAIN = {"config": LOOK_AGAIN_US, "out_of_money": LOOK_AGAIN_US, "key": KEY_AGAIN_US}


class Rhythm(NamedTuple):
    """`every_us` between rounds, `at_least_us` the shortest its kind allows; `paid`: each request costs money."""

    every_us: int
    at_least_us: int = MINUTE_US
    paid: bool = False


class Standing(NamedTuple):
    """Where a source stands. `state` is '' before its first round; `next_at` None then, or while it waits for a person.

    `opened_at` is since when its breaker is open. `probe` names the round under way, which holds until `probe_until`.
    """

    state: str = ""
    next_at: int | None = None
    failures: int = 0
    opened_at: int | None = None
    probe: str | None = None
    probe_until: int | None = None


class NotNow(NamedTuple):
    """Why no round begins, and until when as far as it is known.

    `why` is 'busy' (another round is under way), 'often' (as many rounds this hour as are allowed), 'asked to wait' (by
    the provider) or 'not due'.
    """

    why: str
    until: int | None


def after_success(rhythm: Rhythm, now: int, chance: float) -> Standing:
    """`chance` is a random number from -1 to 1."""
    return Standing("ok", now + _jittered(rhythm, chance))


def after_failure(
    rhythm: Rhythm, before: Standing, state: str, now: int, chance: float, retry_after: float | None = None
) -> Standing:
    """`state` is a SourceError's, `retry_after` in seconds."""
    state = state if state in STATES else "schema"
    if state in _UNTIL_CHANGED:
        return Standing(state)
    if state in _LOOKED_AT_AGAIN:
        return Standing(state, now + _LOOKED_AT_AGAIN[state])
    if state == "not_found":
        return Standing(state, now + _jittered(rhythm, chance))
    failures = before.failures + 1
    opened = now if failures >= OPENS_AT else None
    return Standing(state, now + _pause(rhythm, failures, chance, retry_after), failures, opened)


def due_at(at: Standing, rhythm: Rhythm, now: int) -> int | None:
    """When the next round is due; None = not before something is changed. A plan made by a clock that was ahead is void."""
    if at.next_at is None:
        return None if at.state in _UNTIL_CHANGED else now
    return at.next_at if at.next_at <= now + furthest(at.state, rhythm) else now


def furthest(state: str, rhythm: Rhythm) -> int:
    """How far ahead a plan can lie."""
    if state in _LOOKED_AT_AGAIN:
        return _LOOKED_AT_AGAIN[state]
    usual = max(round(rhythm.every_us * (1 + JITTER)), rhythm.at_least_us)
    return usual if state in ("ok", "not_found") else max(usual, LONGEST_US)


def entry(
    at: Standing, rhythm: Rhythm, now: int, rounds: int, *, by_hand: bool = False, changed: bool = False
) -> NotNow | None:
    """Whether a round may begin: None, or why not.

    rounds: how many began in this hour of the clock. by_hand: a person asks, so neither the rhythm nor an open breaker
    holds it up, but one round at a time, an hour's share and the provider's own word do. changed: its settings or key are
    not those it was last asked with.
    """
    if at.probe is not None and at.probe_until is not None and now < at.probe_until <= now + LEASE_US:
        return NotNow("busy", at.probe_until)
    if rounds >= hourly(rhythm):
        return NotNow("often", now - now % HOUR_US + HOUR_US)
    due = due_at(at, rhythm, now)
    if due is not None and due <= now:
        return None
    if at.state == "rate_limited":
        return NotNow("asked to wait", due)
    return None if by_hand or changed else NotNow("not due", due)


def hourly(rhythm: Rhythm) -> int:
    """The most rounds in an hour, whoever asks for them: one a minute, fewer where the kind's shortest rhythm is longer."""
    return max(6, min(60, HOUR_US // max(1, rhythm.at_least_us)))


def _jittered(rhythm: Rhythm, chance: float) -> int:
    return max(rhythm.at_least_us, MINUTE_US, round(rhythm.every_us * (1 + JITTER * chance)))


def _pause(rhythm: Rhythm, failures: int, chance: float, retry_after: float | None) -> int:
    asked = 0 if retry_after is None else round(min(max(retry_after, 0), LONGEST_US / SECOND_US) * SECOND_US)
    backoff = min(MINUTE_US << min(failures - 1, 6), LONGEST_US)
    least = rhythm.at_least_us if rhythm.paid else min(rhythm.at_least_us, LONGEST_US)
    jittered = min(max(round(backoff * (1 + JITTER * chance)), MINUTE_US), LONGEST_US)
    return max(jittered, asked, least)
