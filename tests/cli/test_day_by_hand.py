"""A day of 5,000 mixed events: a calculation by hand, from the app's own journal, equals `costmon status` to the nano.

The journal knows what each call used; the price list below is written out by hand, per million tokens unless it says
otherwise. Nothing of costmon's arithmetic is used on that side.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from costmon import config, paths
from costmon.monitor.compile import compile_config
from costmon.monitor.prices import compile_prices
from costmon.shim import context
from costmon.shim.clock import CLOCK_FILE, MARKER
from costmon.shim.recorder import Outcome, Recorder
from costmon.store import open_ledger
from tests.harness import cli
from tests.shim.battery import kit

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 14, tzinfo=UTC)
MILLION = Decimal(1_000_000)
WON = Decimal(1400)  # for a dollar
Line = dict[str, str]


def _tokens(line: Line, *names: str) -> list[Decimal]:
    return [Decimal(line[name] or 0) for name in names]


def _openai(
    list_price: str, cached_price: str, output_price: str, search_price: str = "0"
) -> Callable[[Line], Decimal]:
    def cost(line: Line) -> Decimal:
        total, cached, output, searches = _tokens(line, "input", "cached", "output", "searches")
        plain = (total - cached) * Decimal(list_price) + cached * Decimal(cached_price)
        return (plain + output * Decimal(output_price)) / MILLION + searches * Decimal(search_price) / 1000

    return cost


def _sonnet(line: Line) -> Decimal:
    total, cached, written, written_1h, output = _tokens(
        line, "input", "cached", "written", "written_1h", "output"
    )
    plain = total - cached - written
    cache = cached * Decimal("0.10") + (written - written_1h) * Decimal("2.5") + written_1h * 4
    return (plain * 2 + cache + output * 10) / MILLION


def _gemini(line: Line) -> Decimal:
    total, cached, output = _tokens(line, "input", "cached", "output")
    long = total > 200_000
    prices = ("2.5", "0.25", "15") if long else ("1.25", "0.125", "10")
    plain, read, out = map(Decimal, prices)
    return ((total - cached) * plain + cached * read + output * out) / MILLION


def _deepseek(line: Line) -> Decimal:
    """Twice the price from Monday to Friday, 01-04 and 06-10 UTC."""
    total, cached, output = _tokens(line, "input", "cached", "output")
    at = datetime.fromisoformat(line["time"])
    factor = 2 if at.weekday() < 5 and (1 <= at.hour < 4 or 6 <= at.hour < 10) else 1
    once = (total - cached) * Decimal("0.66") + cached * Decimal("0.022") + output * Decimal("1.98")
    return factor * once / MILLION


def _whisper(line: Line) -> Decimal:
    return Decimal(line["seconds"]) * Decimal("0.006") / 60


SHEET: dict[str, Callable[[Line], Decimal]] = {
    "gpt-4o-mini": _openai("0.15", "0.075", "0.6", "10"),
    "gpt-5": _openai("1.25", "0.125", "10"),
    "o3": _openai("2", "0.5", "8"),
    "claude-sonnet-5-5": _sonnet,
    "gemini-2.5-pro": _gemini,
    "deepseek-v4-pro": _deepseek,
    "whisper-1": _whisper,
}
PROVIDERS = {
    "gpt-4o-mini": "openai", "gpt-5": "openai", "o3": "openai", "whisper-1": "openai", "no-such-model-9": "openai",
    "claude-sonnet-5-5": "anthropic", "gemini-2.5-pro": "google", "deepseek-v4-pro": "deepseek",
    "qwen3:8b": "ollama", "openrouter/auto": "openrouter", "coupang": "track",
}  # fmt: skip


def journal(day: datetime, events: int, rng: random.Random) -> str:
    """What the apps did that day, as a CSV of their own."""
    names = (
        "time",
        "app",
        "model",
        "kind",
        "input",
        "cached",
        "written",
        "written_1h",
        "output",
        "searches",
        "seconds",
        "stated",
    )
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="")
    writer.writeheader()
    for number in range(events):
        at = day + timedelta(microseconds=number * 86_340_000_000 // events + rng.randrange(1000))
        writer.writerow(
            {"time": at.isoformat(), "app": rng.choice(("trader", "crawler", "chatbot")), **_call(rng)}
        )
    return out.getvalue()


def _call(rng: random.Random) -> dict[str, Any]:
    model = rng.choice(list(PROVIDERS))
    if model == "coupang":
        return {"model": model, "kind": "stated", "stated": f"{rng.randrange(1, 40)}.5"}  # won
    if model == "openrouter/auto":
        return {"model": model, "kind": "reported", "input": rng.randrange(1, 9000), "output": 7,
                "stated": f"0.{rng.randrange(1, 10**6):09d}"}  # fmt: skip
    if model == "whisper-1":
        return {"model": model, "kind": "seconds", "seconds": rng.randrange(1, 900)}
    total = rng.choice((rng.randrange(1, 5000), 200_000, 200_001, rng.randrange(1, 300_000)))
    cached = rng.randrange(total + 1) if rng.random() < 0.3 else 0
    call = {"model": model, "kind": "tokens", "input": total, "cached": cached, "output": rng.randrange(4000)}
    if model == "claude-sonnet-5-5" and rng.random() < 0.5:
        call["written"] = rng.randrange(total - cached + 1)
        call["written_1h"] = rng.randrange(call["written"] + 1)
    if model == "gpt-4o-mini" and rng.random() < 0.1:
        call["searches"] = rng.randrange(1, 4)
    if rng.random() < 0.02:
        call["kind"] = "failed"  # answered 400: not billed
    return call


def by_hand(lines: list[Line]) -> dict[str, Any]:
    """The spreadsheet: each line rounded to a billionth of its currency, half to even, then added up."""
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    counts: dict[str, int] = defaultdict(int)
    budget = Decimal(0)
    with localcontext() as exact:
        exact.prec = 60
        for line in lines:
            cost, currency = _cost(line), "KRW" if line["kind"] == "stated" else "USD"
            counts["unpriced"] += cost is None
            counts["failed"] += line["kind"] == "failed"
            rounded = (cost or Decimal(0)).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
            sums[currency, "model", line["model"]] += rounded
            sums[currency, "app", line["app"]] += rounded
            sums[currency, "day", ""] += rounded
            # A budget in dollars is charged call by call, at the rate of the call.
            charged = (
                rounded if currency == "USD" else (rounded / WON).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
            )
            budget += charged
        keys = {key[1:] for key in sums}
        return {**counts, "budget": budget, **{key: _dollars(sums, key) for key in keys}}


def _dollars(sums: dict[tuple[str, str, str], Decimal], key: tuple[str, str]) -> Decimal:
    won = (sums["KRW", *key] / WON).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
    return sums["USD", *key] + won


def _cost(line: Line) -> Decimal | None:
    if line["kind"] == "failed" or line["model"] == "qwen3:8b":
        return Decimal(0)
    if line["kind"] in ("stated", "reported"):
        return Decimal(line["stated"])
    sheet = SHEET.get(line["model"])
    return sheet(line) if sheet else None


def capture(recorder: Recorder, line: Line) -> None:
    """The same call through the shim."""
    at = datetime.fromisoformat(line["time"])
    recorder.ledger.now = lambda: int(at.timestamp()) * 1_000_000 + at.microsecond  # type: ignore[method-assign]
    provider = PROVIDERS[line["model"]]
    nano = int(Decimal(line["stated"]) * 10**9) if line["stated"] else None
    with context.context(app=line["app"]):
        if line["kind"] == "stated":
            call = kit.priced(nano, provider="track", model="coupang", currency="KRW")
        else:
            call = kit.llm(line["model"], provider=provider, family=provider, free=provider == "ollama")
        held = recorder.admit(call)
        assert held is not None
        recorder.settle(held, _outcome(line, nano))


def _outcome(line: Line, nano: int | None) -> Outcome:
    if line["kind"] == "failed":
        return Outcome("error", charged=False, status_code=400, error="BadRequestError")
    if line["kind"] == "stated":
        return Outcome("ok", cost=nano)
    names = {
        "input": "input_tokens", "cached": "cache_read_tokens", "written": "cache_write_tokens",
        "written_1h": "cache_write_1h_tokens", "output": "output_tokens", "searches": "web_searches",
        "seconds": "audio_seconds",
    }  # fmt: skip
    usage = {unit: int(line[name]) for name, unit in names.items() if line[name]}
    return Outcome("ok", usage=usage, model=line["model"], cost=nano if line["kind"] == "reported" else None)


def prepare(home: Path, day: datetime) -> None:
    """A home whose clock stands at the end of that day, with its operator's config."""
    home.mkdir(parents=True)
    (home / MARKER).touch()
    end = int((day + timedelta(hours=23, minutes=59, seconds=30)).timestamp()) * 1_000_000
    (home / CLOCK_FILE).write_text(json.dumps({"real_at": 0, "at": end, "rate": 0}))
    path = Path(paths.config_file())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        'time_zone = "UTC"\n[[currency.rate]]\nbase = "USD"\nquote = "KRW"\nrate = 1400\ndate = 2026-11-01\n'
        '[budget.total]\namount = "100000 USD"\nperiod = "day"\n'
    )
    store = open_ledger(str(home))
    compile_config(store.db, config.load(str(path)), store.now())
    compile_prices(store)
    store.close()


@pytest.mark.parametrize(
    ("day", "events"),
    [pytest.param(MONDAY, 5_000, marks=pytest.mark.slow), (SATURDAY, 800)],
    ids=["Monday", "Saturday"],
)
def test_a_day_by_hand_equals_status(costmon_home: Path, day: datetime, events: int) -> None:
    """Today's sum, every model's, every app's and the budget's: all equal to the nano, and what has no price is counted."""
    prepare(costmon_home, day)
    lines = list(csv.DictReader(io.StringIO(journal(day, events, random.Random(4)))))
    recorder = Recorder(str(costmon_home))
    for line in lines:
        capture(recorder, line)
    recorder.ledger.close()
    wanted = by_hand(lines)
    status = json.loads(cli.costmon(costmon_home, "status", "--json").stdout)
    today = status["today"]
    assert (today["calls"], today["unpriced"], today["errors"]) == (
        events,
        wanted["unpriced"],
        wanted["failed"],
    )
    assert today["cost"]["currency"] == "USD"
    assert Decimal(today["cost"]["amount"]) == wanted["day", ""]
    for label in ("model", "app"):
        found = {(label, row[label]): Decimal(row["cost"]["amount"]) for row in status[f"by_{label}"]}
        assert found == {key: cost for key, cost in wanted.items() if key[0] == label}
    assert Decimal(status["budgets"][0]["spent"]["amount"]) == wanted["budget"]
    assert Decimal(today["low"]["amount"]) == wanted["day", ""]  # nothing was estimated
    assert Decimal(today["high"]["amount"]) > wanted["day", ""]  # what the unpriced calls may have cost
