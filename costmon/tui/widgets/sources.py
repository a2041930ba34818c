"""Sources of provider figures: how each stands, what it asks of the network, and what it lacks. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache

from costmon.monitor.snapshot import Snapshot, SourceStatus
from costmon.sources.providers import absent, registry
from costmon.tui.format import age, coarse, every, money, safe
from costmon.tui.lines import Line, Span, apart, line, wrapped

_MOST = 8
OVERLAPS = "passes on what others bill, so it is in no sum"


def headline(source: SourceStatus, now: datetime, width: int, *, provider: str = "") -> Line:
    """'openai  api.openai.com … read 3m ago, next in 7m'; with `provider` it begins the block of that provider."""
    about = " · ".join(part for part in (_called(source), safe(source.host) or safe(source.title)) if part)
    first: tuple[Span, ...] = ((safe(provider), "name"), ("  ", "")) if provider else (("  ", ""),)
    return apart(line(*first, (about, "dim")), line(*state(source, now)), width)


def _called(source: SourceStatus) -> str:
    return "" if source.name == source.provider else safe(source.name)


def state(source: SourceStatus, now: datetime) -> tuple[Span, ...]:
    """Whether the figures are of now; the reason of a failure stands in `troubles`."""
    if source.reading:
        return (("reading …", "name"),)
    if source.state in ("", "ok"):
        due = _next(source, now)
        if source.ok_at is None:
            return ((f"not read yet{due}", "dim"),)
        if source.stale:
            return ((f"stale, read {age(source.ok_at, now)}{due}", "warn"),)
        return ((f"read {age(source.ok_at, now)}", ""), (due, "dim"))
    if source.ok_at is None:
        return (("never read", "bad"),)
    if source.state == "rate_limited" and not source.stale:
        return ((f"asked to wait, read {age(source.ok_at, now)}", "warn"),)
    return ((f"FAILING, read {age(source.ok_at, now)}", "bad"),)


def _next(source: SourceStatus, now: datetime) -> str:
    if source.next_at is None:
        return ""
    return ", next is due" if source.next_at <= now else f", next in {coarse(source.next_at - now)}"


def troubles(source: SourceStatus, now: datetime, width: int) -> list[Line]:
    """Why the last round failed, and when the next one is."""
    if source.state in ("", "ok") or not source.reason:
        return []
    then = "asked again when its key or its settings change"
    if source.next_at is not None:
        then = (
            "asked again now" if source.next_at <= now else f"asked again in {coarse(source.next_at - now)}"
        )
    kept = "; the last good figures stay" if source.ok_at is not None else ""
    text = f"{safe(source.reason).rstrip('.')}; {then}{kept}"
    return [line("  ", *one) for one in wrapped(text, max(1, width - 2), "warn", _MOST)]


def footnotes(source: SourceStatus, width: int, *, named: bool) -> list[Line]:
    """Its traffic, what else it said, what its figures never contain; `named` where there are others beside it."""
    texts = [f"{source.name}: {traffic(source)}" if named else traffic(source)]
    texts += [*([OVERLAPS] if source.overlaps else []), *source.notes]
    texts += [f"lacks: {'; '.join(source.lacks)}"] if source.lacks else []
    lines = [one for text in texts for one in wrapped(safe(text), max(1, width - 2), "dim", _MOST)]
    return [line("  ", *one) for one in lines]


def traffic(source: SourceStatus) -> str:
    """'every 10m · 18.0 requests, 48.2 kB an hour · 12 in this hour', the first over 24 hours."""
    mean = f"{source.requests_day / 24:.1f} requests, {size(source.bytes_day // 24)} an hour"
    parts = [
        every(source.every),
        mean,
        f"{source.requests_hour:,} in this hour",
    ]
    if source.failures_day:
        parts.append(f"{source.failures_day:,} of {source.rounds_day:,} rounds failed in a day")
    if source.fee is not None:
        parts.append(f"{money(source.fee)} a request")
    return " · ".join(parts)


def size(count: int) -> str:
    """'812 bytes', '12.3 kB'."""
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    return f"{count / 1000:,.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"


def by_provider(sources: Iterable[SourceStatus]) -> dict[str, list[SourceStatus]]:
    """{provider: its sources}, gateways behind those whose figures are added up."""
    groups: dict[str, list[SourceStatus]] = {}
    for source in sorted(sources, key=lambda one: (one.provider, one.overlaps, one.name)):
        groups.setdefault(source.provider, []).append(source)
    return groups


# --- providers without a source -----------------------------------------------------------------------------


def unasked(snapshot: Snapshot) -> list[str]:
    """Providers apps called this month that no source tells of."""
    return list(snapshot.reconciled.silent)


def unasked_lines(providers: Iterable[str], width: int) -> list[Line]:
    """For each one why it is not compared, and what to do about that."""
    lines: list[Line] = []
    unknown = []
    for provider in providers:
        text = _advice(provider)
        if not text:
            unknown.append(safe(provider))
            continue
        lines.append(line((safe(provider), "name"), ("  no source", "warn")))
        lines += [line("  ", *one) for one in wrapped(safe(text), max(1, width - 2), "dim", _MOST)]
    if unknown:
        lines += wrapped(f"No source tells of {', '.join(unknown)}", width, "dim", _MOST)
    return lines


def _advice(provider: str) -> str:
    way = f"With a key its bill is compared (costmon keys set {provider}). " if provider in _kinds() else ""
    return way + (absent.why(provider) or "")


@cache
def _kinds() -> frozenset[str]:
    return frozenset(registry.names())
