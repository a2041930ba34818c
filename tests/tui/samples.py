"""Snapshots as an engine would make them: calm, warned, blocked, empty, hostile, unpriced, and many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from costmon.insight.reconcile import sums, totals
from costmon.insight.schedule.values import Count
from costmon.insight.values import Day, Likely, Line, Span, Tokens
from costmon.monitor.reconciled import Reconciliation
from costmon.monitor.schedule.values import AnnouncedPlan, RunStatus, Schedule, ScheduledJob
from costmon.monitor.snapshot import (
    BalanceStatus,
    BlockStatus,
    BudgetStatus,
    BypassStatus,
    EngineStatus,
    FeedRow,
    ReaderStatus,
    ResourceStatus,
    RulesStatus,
    Snapshot,
    SourceStatus,
    Spend,
    SpendBy,
    SwitchStatus,
)
from costmon.shim.money import Money, to_nano

NOW = datetime(2026, 11, 21, 5, 2, 11, tzinfo=UTC)
ZONE = "Asia/Seoul"
LEVELS = (70, 80, 90, 95, 100)
HOSTILE = (
    "[/",
    "[red]gpt[/red]",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "a\nb\r\tc\x00\x9b31m",
    "\u202eesrever\u2066x\u200b",
    "m" * 1_000_000,
    "[@click=app.quit]x[/]",
    "안녕하세요 모델 아주 긴 이름입니다 끝없이",
    "\ud800lone",
    "e" + "\u0301" * 500,
    "👨‍👩‍👧‍👦 family",
    "",
)


def usd(amount: str) -> Money:
    return Money(to_nano(Decimal(amount)), "USD")


def budget(name: str, spent: str, limit: str, **changes: object) -> BudgetStatus:
    used, cap = usd(spent), usd(limit)
    ratio = used.nano / cap.nano
    level = max((step for step in LEVELS if ratio * 100 >= step), default=0)
    plain = BudgetStatus(
        name=name,
        scope="all",
        period="month",
        time_zone=ZONE,
        start=datetime(2026, 10, 31, 15, tzinfo=UTC),
        end=datetime(2026, 11, 30, 15, tzinfo=UTC),
        limit=cap,
        spent=used,
        assumed=usd("0"),
        reserved=usd("0"),
        used=used,
        remaining=Money(max(0, cap.nano - used.nano), "USD"),
        ratio=ratio,
        level=level,
        levels=LEVELS,
        calls=1204,
        unpriced=0,
        projected=Money(used.nano * 3 // 2, "USD"),
        crosses_at=None,
        blocks="",
        mode="default",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def row(number: int, **changes: object) -> FeedRow:
    models = ("gpt-5-mini", "claude-opus-4-5", "gpt-5-nano-2026-08-07", "claude-haiku-4-5")
    apps = ("trader", "chatbot", "indexer")
    costs = ("0.0123", "1.2041", "0.00015", "0.4", "12.5")
    plain = FeedRow(
        at=NOW - timedelta(seconds=7 * number + 1),
        app=apps[number % 3],
        provider=("openai", "anthropic")[number % 2],
        model=models[number % 4],
        route=("plan", "answer", "embed")[number % 3],
        api="chat",
        state="ok",
        cost=usd(costs[number % 5]),
        cost_status="priced",
        input_tokens=812 * (number % 7 + 1),
        output_tokens=95 * (number % 5 + 1),
        duration=timedelta(milliseconds=340 * (number % 9 + 1)),
        note="",
        key=f"k{1000 - number}",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def refused(number: int, note: str, calls: int = 1) -> FeedRow:
    return row(
        number,
        state="refused",
        cost=None,
        cost_status="",
        input_tokens=None,
        output_tokens=None,
        duration=None,
        note=note,
        calls=calls,
    )


def shares(*names: str) -> tuple[SpendBy, ...]:
    weights = [2 ** -min(number + 1, 40) for number in range(len(names))]
    return tuple(
        SpendBy(name, Spend(usd(f"{8.42 * weight:.6f}"), int(900 * weight) + 1, 0, 9000, 900), weight)
        for name, weight in zip(names, weights, strict=True)
    )


def run_at(at: datetime, verdict: str = "expected", outcome: str = "ok", **changes: object) -> RunStatus:
    """A run of eight seconds and one call."""
    plain = RunStatus(
        at=at,
        ended=None if outcome == "running" else at + timedelta(seconds=8),
        verdict=verdict,
        outcome=outcome,
        who="trader (pid 4242)",
        cost=usd("0.0012"),
        calls=1,
        planned=at if verdict == "expected" else None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def said(plan: str, source: str = "app", **changes: object) -> AnnouncedPlan:
    """Somebody who says a plan, and is the plan of record."""
    plain = AnnouncedPlan(
        source,
        "trader (pid 4242)",
        "trader",
        plan,
        "",
        NOW + timedelta(minutes=12),
        NOW,
        agrees=True,
        gone=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def job(name: str, minutes: int, due: float, **changes: object) -> ScheduledJob:
    """Every so many minutes, next in `due`, and all as planned for the last 24 hours."""
    period, next_run = timedelta(minutes=minutes), NOW + timedelta(minutes=due)
    day = 1440 // minutes
    last = next_run - period
    past = tuple(
        run_at(last - period * n) for n in reversed(range(day)) if last - period * n > NOW - timedelta(days=1)
    )
    ahead = tuple(next_run + period * n for n in range(day) if next_run + period * n >= NOW)
    plain = ScheduledJob(
        name=name,
        apps=("trader",),
        plan=f"every {minutes}m",
        said_by="config",
        plan_who="",
        zone="",
        period=period,
        next_run=next_run,
        next_who="trader (pid 4242)",
        announced=(said(f"every {minutes}m", next_run=next_run),),
        upcoming=ahead[:500],
        recent=past[-500:],
        missed=(),
        hour=Count(60 // minutes, 60 // minutes, 0, 0),
        day=Count(day, day, 0, 0),
        week=Count(7 * day, 7 * day, 0, 0),
        runs=30 * day,
        failures=0,
        outcome="ok",
        last_started=last,
        last_ended=last + timedelta(seconds=8),
        median=usd("0.0012"),
        p95=usd("0.0014"),
        trend=Decimal("1.01"),
        today=usd("0.0168"),
        tonight=usd("0.012"),
        this_week=usd("0.0408"),
        this_month=usd("0.2712"),
        rhythm=None,
        level="ok",
        findings=(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def jobs() -> tuple[ScheduledJob, ...]:
    """One that runs as planned, one a day, one that is overdue and fails."""
    late = job("news digest", 15, -3.2)
    failed = tuple(replace(run, outcome="error") if n > 90 else run for n, run in enumerate(late.recent))
    return (
        replace(
            late,
            recent=failed,
            runs=56,
            failures=4,
            outcome="error",
            level="warn",
            missed=(NOW - timedelta(hours=7, minutes=4),),
            day=Count(96, 95, 0, 1),
            week=Count(672, 671, 0, 1),
            trend=Decimal("1.34"),
            findings=("The last 4 runs failed and still cost $0.0048.", "One planned run was missed."),
        ),
        job("trade", 60, 12.05, runs=14, failures=1),
        job(
            "rebalance",
            1440,
            310,
            runs=3,
            plan="cron 0 19 * * *",
            said_by="announced",
            plan_who="trader (pid 4242)",
        ),
    )


def misfire() -> ScheduledJob:
    """The story: planned every 60 minutes, a second service runs it every 5."""
    plain = job("trade", 60, 12.05)
    extra = tuple(
        run_at(NOW - timedelta(minutes=5 * n + 1), "other plan", who="backend (pid 977)", planned=None)
        for n in reversed(range(11))
    )
    other = said(
        "every 5m", who="backend (pid 977)", app="backend", agrees=False, next_run=NOW + timedelta(minutes=4)
    )
    return replace(
        plain,
        apps=("backend", "trader"),
        next_run=NOW + timedelta(minutes=4),
        next_who="backend (pid 977)",
        last_started=extra[-1].at,
        last_ended=extra[-1].ended,
        recent=(*plain.recent[:-1], *extra[:-1], plain.recent[-1], extra[-1]),
        announced=(*plain.announced, other),
        hour=Count(1, 12, 11, 0),
        day=Count(24, 35, 11, 0),
        week=Count(168, 179, 11, 0),
        level="bad",
        findings=(
            "backend (pid 977) announces every 5m, the plan of record is every 60m: 11 runs nobody planned since"
            " 13:11, $0.0132 so far; $0.14 until tonight and $2.96 until the month's end if nothing changes.",
            "Two processes run it: backend (pid 977) and trader (pid 4242).",
        ),
        tonight=usd("0.142"),
        this_week=usd("0.55"),
        this_month=usd("2.9616"),
    )


def scheduled(*found: ScheduledJob, problems: tuple[str, ...] = ()) -> Snapshot:
    """Calm, with these jobs; what each lacks of the projections is told as unknown."""

    def total(of: list[Money | None]) -> Money | None:
        known = [one.nano for one in of if one is not None]
        return Money(sum(known), "USD") if len(known) == len(of) else None

    plan = Schedule(
        found,
        problems,
        total([one.tonight for one in found]),
        total([one.this_week for one in found]),
        total([one.this_month for one in found]),
    )
    return replace(calm(), schedule=plan)


def schedule() -> Snapshot:
    """A misfire, and one job of each other kind; a source that could not be read."""
    unconfirmed = job(
        "indexer",
        30,
        9,
        apps=("indexer",),
        plan="",
        said_by="announced",
        period=None,
        next_run=None,
        next_who="",
        announced=(),
        upcoming=(),
        recent=tuple(run_at(NOW - timedelta(minutes=30 * n + 3), "unplanned") for n in reversed(range(20))),
        hour=Count(0, 2, 0, 0),
        day=Count(0, 20, 0, 0),
        week=Count(0, 20, 0, 0),
        median=None,
        p95=None,
        tonight=None,
        this_week=None,
        this_month=None,
        trend=None,
        rhythm=timedelta(minutes=30),
        level="unconfirmed",
    )
    kinds = ("manual", "restart", "early", "late", "catch-up", "expected")
    mixed = job("backup 백업 보고서", 120, 47)
    marked = tuple(replace(run, verdict=kinds[n % 6]) for n, run in enumerate(mixed.recent))
    running = run_at(NOW - timedelta(seconds=73), "expected", "running", cost=None, calls=0)
    mixed = replace(
        mixed,
        recent=(*marked[:-1], running),
        outcome="running",
        last_started=running.at,
        last_ended=None,
        plan="cron 0 */2 * * *",
        zone="Europe/Berlin",
        said_by="announced",
        plan_who="/etc/cron.d/backup:3",
        announced=(
            said(
                "cron 0 */2 * * *", "crontab", who="/etc/cron.d/backup:3", app="backup", zone="Europe/Berlin"
            ),
            said(
                "every 2h",
                "compose",
                who="docker-compose.yml:14",
                seen=NOW - timedelta(hours=3),
                gone=True,
                agrees=False,
            ),
        ),
    )
    return scheduled(
        misfire(),
        *jobs()[:1],
        *jobs()[2:],
        unconfirmed,
        mixed,
        problems=("/etc/cron.d/old:7 cannot be parsed: '61 * * * *'.",),
    )


@lru_cache(1)
def two_hundred_jobs() -> Snapshot:
    names = (f"{'정기작업' if n % 3 else 'job'}-{n:03}" for n in range(200))
    return scheduled(*(job(name, (5, 15, 60, 1440)[n % 4], n % 60 + 0.5) for n, name in enumerate(names)))


def resource(
    name: str, kind: str, amount: str, unit: str, cost: str | None, **changes: object
) -> ResourceStatus:
    plain = ResourceStatus(
        name=name,
        kind=kind,
        provider="own",
        app="",
        running=True,
        since=NOW - timedelta(hours=30),
        amount=Decimal(amount),
        unit=unit,
        cost=None if cost is None else usd(cost),
        ahead=None,
        stored=None,
        unpriced=0,
        estimated=0,
        problem="",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def served() -> Snapshot:
    """Calm, with one resource of each kind."""
    return replace(
        calm(),
        resources=(
            resource("gpu-box", "time", "12.5", "h", "15", ahead=usd("0.31"), estimated=2),
            resource("old-box", "time", "412.25", "h", "494.7", running=False),
            resource("ledger-disk", "storage", "0.0372", "GB-month", "0.00298", stored=37_200_000_000),
            resource("egress", "transfer", "120.5", "GB", None, unpriced=9),
            resource("claude-pro", "flat", "21", "d", "13.8082", running=True),
        ),
    )


def source(name: str, **changes: object) -> SourceStatus:
    """A source that was read three minutes ago."""
    plain = SourceStatus(
        name=name,
        kind=name,
        provider=name,
        host=f"api.{name}.com",
        title=name,
        state="ok",
        reason="",
        polled_at=NOW - timedelta(minutes=3),
        ok_at=NOW - timedelta(minutes=3),
        next_at=NOW + timedelta(minutes=7, seconds=5),
        every=timedelta(minutes=10),
        reading=False,
        stale=False,
        rounds_hour=6,
        requests_hour=18,
        bytes_hour=48_211,
        rounds_day=144,
        requests_day=432,
        bytes_day=1_157_064,
        failures_day=0,
        month=None,
        month_others=(),
        month_state="partial",
        month_missing_days=0,
        lacks=(),
        notes=(),
        overlaps=False,
        fee=None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def balance(amount: str, unit: str = "USD", **changes: object) -> BalanceStatus:
    seen = NOW - timedelta(minutes=3)
    plain = BalanceStatus("", Decimal(amount), unit, None, None, None, True, seen, NOW - seen)
    return replace(plain, **changes)  # type: ignore[arg-type]


def model(name: str, billed: str | None, own: str | None, **changes: object) -> Line:
    """A model's figures of a day, in whole and parts of its currency."""
    theirs, ours = (None if text is None else to_nano(Decimal(text)) for text in (billed, own))
    gap = None if theirs is None or ours is None else theirs - ours
    plain = Line(name, "", theirs, Span(ours, ours, ours), Span(gap, gap, gap), calls=9)
    return replace(plain, **changes)  # type: ignore[arg-type]


def about(one: Line, error: str) -> Line:
    """The same with usage that was estimated, so that what was logged may be off by so much."""
    off = to_nano(Decimal(error))
    own, gap = ((span.best or 0) for span in (one.own, one.unlogged))
    return replace(one, own=Span(own - off, own, own + off), unlogged=Span(gap - off, gap, gap + off))


def day(provider: str, number: int, *lines: Line, **changes: object) -> Day:
    """A day of November; final unless it is one of the last three."""
    start = datetime(2026, 11, number, tzinfo=UTC)
    state = "partial" if number == 21 else "settling" if number > 18 else "final"
    plain = Day(provider, (provider,), start, start + timedelta(days=1), "USD", state, lines, tax=0, credit=0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def unread(provider: str, number: int, why: str, *lines: Line) -> Day:
    """A day of which the provider tells nothing."""
    return day(provider, number, *lines, state="unknown", read=False, tax=None, credit=None, why=(why,))


def billed(*days: Day, sources: tuple[SourceStatus, ...] = ()) -> Snapshot:
    """Calm, with these figures of providers."""
    found = totals(days)
    return replace(calm(), sources=sources, reconciled=Reconciliation(days, tuple(found), tuple(sums(found))))


def bills() -> Snapshot:
    """Spend nobody logged, a source that fails, a stale one, won, a gateway, balances, long and Korean names."""
    likely = (
        Likely("web", "key_trader", to_nano(Decimal("2.85")), None),
        Likely("", "key_laptop", to_nano(Decimal("0.35")), None),
    )
    openai = [day("openai", n) for n in range(3, 9)]
    openai += [day("openai", n, model("gpt-5-mini", f"1.{n}", f"1.{n}")) for n in (1, 2, *range(9, 19))]
    openai += [
        day("openai", 19, model("gpt-5-mini", "1.10", "1.30"), tax=to_nano(Decimal("3.12"))),
        day(
            "openai",
            20,
            model(
                "gpt-5-mini",
                "3.20",
                "2.20",
                likely=likely,
                billed_tokens=Tokens(1204, 4_100_000, None, 320_000),
                own_tokens=Tokens(1100, 4_000_000, None, 310_000),
            ),
            model("gpt-5-nano-2026-08-07", "0.0123", "0.0123"),
            model("text-embedding-3-large", "0.40", "0.40"),
            model("", "0.05", "0", label="web search tool calls", calls=0),
            credit=to_nano(Decimal("-5")),
        ),
        day("openai", 21, about(model("gpt-5-mini", "0.61", "0.74"), "0.04")),
    ]
    openai.sort(key=lambda one: one.start)
    failing = "Anthropic does not take the key: it is mistyped, disabled or expired; make another Admin key in the Console"
    anthropic = [day("anthropic", n, model("claude-opus-4-5", "4.25", "4.25")) for n in range(10, 19)]
    anthropic += [
        unread("anthropic", n, failing, model("claude-opus-4-5", None, "4.31")) for n in (19, 20, 21)
    ]
    won = [
        day(
            "naver",
            n,
            model("하이퍼클로바-엑스-대화-모델-2026-장문-요약", f"{900 + n}", f"{800 + 5 * n}"),
            currency="KRW",
            state="stale" if n > 17 else "final",
            sources=("네이버 클라우드 청구서",),
        )
        for n in range(14, 20)
    ]
    deepseek = [
        day(
            "deepseek", n, model("", "0.31", "0.31"), derived=True, why=("derived from how the balance fell",)
        )
        for n in range(18, 22)
    ]
    router = [
        day(
            "openrouter",
            n,
            model("anthropic/claude-opus-4-5", "0.50", "0.50"),
            sources=("litellm",),
            adds=False,
        )
        for n in (20, 21)
    ]
    hours = timedelta(hours=1)
    sources = (
        source(
            "openai",
            lacks=("a key's own limits", "what a project's members did"),
            notes=("Priority processing is in it, and told apart by nothing",),
        ),
        source(
            "anthropic",
            state="auth",
            reason=failing,
            polled_at=NOW - timedelta(minutes=40),
            ok_at=NOW - 62 * hours,
            next_at=None,
            stale=True,
            failures_day=3,
        ),
        source(
            "네이버 클라우드 청구서",
            kind="file",
            provider="naver",
            host="",
            title="bills from files",
            ok_at=NOW - 5 * hours,
            next_at=NOW - timedelta(seconds=5),
            stale=True,
        ),
        source(
            "deepseek",
            balances=(balance("3.20", limit=Decimal(20), run_out=NOW + timedelta(days=3)),),
            lacks=("no spend history: spend is derived from how the balance falls",),
        ),
        source(
            "elevenlabs",
            balances=(
                balance("41200", "credits", label="characters of the plan", limit=Decimal(100_000),
                        resets_at=NOW + timedelta(days=9)),
            ),
        ),
        source("litellm", provider="openrouter", host="127.0.0.1", overlaps=True,
               balances=(balance("1.5", label="cap of trader", limit=Decimal(5), spendable=False),)),
    )  # fmt: skip
    found = billed(*anthropic, *deepseek, *won, *openai, *router, sources=sources)
    feed = (*(row(n) for n in range(30)), row(31, provider="groq"), row(32, provider="ollama"))
    return replace(found, feed=feed, reconciled=replace(found.reconciled, silent=("groq", "ollama")))


def thousand_bills() -> Snapshot:
    """A month of ten models at five providers."""
    names = tuple(f"model-{n}" for n in range(10))
    days = [
        replace(
            day(provider, 1, *(model(name, f"1.{n}", f"1.0{n}") for n, name in enumerate(names))),
            start=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=n),
            end=datetime(2026, 11, 2, tzinfo=UTC) + timedelta(days=n),
        )
        for provider in ("openai", "anthropic", "xai", "runpod", "fireworks")
        for n in range(30)
    ]
    return billed(*days, sources=tuple(source(name) for name in {one.provider: 0 for one in days}))


def calm() -> Snapshot:
    feed = (
        row(0, state="reserved", cost=None, output_tokens=None, duration=None, cost_status=""),
        *(row(number) for number in range(1, 60)),
        row(60, at=NOW - timedelta(days=2)),
    )
    return Snapshot(
        at=NOW,
        time_zone=ZONE,
        home="/home/you/.local/state/costmon",
        currency="USD",
        engine=EngineStatus(True, True, 4242, NOW - timedelta(hours=3)),
        budgets=(
            budget("total", "4.20", "10"),
            budget("trader", "0.38", "1", scope="app=trader", period="day"),
        ),
        today=Spend(usd("1.23"), calls=311, input_tokens=401_200, output_tokens=51_020),
        hour=Spend(usd("0.21"), calls=42),
        burn_rate=usd("0.42"),
        by_model=shares("gpt-5-mini", "claude-opus-4-5", "gpt-5-nano-2026-08-07", "claude-haiku-4-5"),
        by_app=shares("trader", "chatbot", "indexer"),
        schedule=Schedule(jobs(), (), usd("0.036"), usd("0.1224"), usd("0.8136")),
        switch=SwitchStatus(
            "/home/you/.local/state/costmon/switch",
            (),
            (
                ReaderStatus("trader", NOW - timedelta(seconds=5)),
                ReaderStatus("chatbot", NOW - timedelta(minutes=2)),
                ReaderStatus("indexer", NOW - timedelta(hours=3)),
            ),
        ),
        feed=feed,
        in_flight=1,
        prices_source="genai-prices 0.2.3",
        hour_bars=tuple(usd(f"0.0{(n * 7) % 10}").nano for n in range(24)),
    )


def warned() -> Snapshot:
    """85 % of the main budget, with a projection over the limit."""
    total = budget(
        "total",
        "8.52",
        "10",
        reserved=usd("0.12"),
        projected=usd("12.71"),
        crosses_at=NOW + timedelta(days=3, hours=4),
    )
    problems = ("Desktop notifications do not work: no notification daemon answers. Run costmon doctor.",)
    return replace(calm(), budgets=(total,), problems=problems)


def blocked() -> Snapshot:
    total = budget("total", "10.04", "10", blocks="all", projected=usd("14.80"))
    trader = budget(
        "trader", "0.962", "1", scope="app=trader", period="day", blocks="nonessential", reserved=usd("0.01")
    )
    switch = SwitchStatus(
        "/home/you/.local/state/costmon/switch",
        (
            BlockStatus(
                "all",
                "budget total reached 100 % of $10.00",
                "budget total",
                NOW - timedelta(minutes=12),
                datetime(2026, 11, 30, 15, tzinfo=UTC),
                True,
                True,
            ),
            BlockStatus(
                "app=trader", "stopped by hand", "jin", NOW - timedelta(hours=26), None, False, False
            ),
        ),
        calm().switch.readers,
    )
    feed = (
        refused(0, "budget total is spent: $10.04 of $10.00 until 1 Dec", 17),
        row(1, state="error", cost=None, cost_status="", output_tokens=None, note="503 from the provider"),
        refused(2, "app=trader is stopped by hand"),
        *(row(number) for number in range(3, 40)),
    )
    return replace(
        calm(),
        budgets=(total, trader),
        switch=switch,
        feed=feed,
        refused_today=18,
        simulated=True,
        in_flight=0,
    )


def bypass(scope: str = "all", minutes: float = 12.05, reason: str = "the market crashed") -> BypassStatus:
    until = NOW + timedelta(minutes=minutes)
    return BypassStatus(scope, "jin at a shell", reason, NOW - timedelta(minutes=3), until)


def dry() -> Snapshot:
    """A dry run with a budget that would refuse, and a bypass of one app as well."""
    feed = (
        refused(0, "would be refused: " + blocked().feed[0].note, 17),
        row(1),
        refused(
            2, 'would be refused: rate limit "openai": 60 calls a minute for provider=openai are used up'
        ),
        *(row(number) for number in range(3, 40)),
    )
    feed = tuple(replace(one, state="excused") if one.state == "refused" else one for one in feed)
    return replace(
        calm(),
        budgets=(budget("total", "10.04", "10"), *calm().budgets[1:]),
        feed=feed,
        rules=RulesStatus(dry_run=True, excused_today=18),
    )


def bypassed() -> Snapshot:
    """Two bypasses over a budget that is spent."""
    rules = RulesStatus(bypasses=(bypass(), bypass("app=trader", 3, "a test of the new plan")))
    return replace(calm(), budgets=(budget("total", "10.04", "10"), *calm().budgets[1:]), rules=rules)


def empty() -> Snapshot:
    return Snapshot(
        at=NOW, time_zone=ZONE, home="", currency="USD", engine=EngineStatus(False, False, None, None)
    )


def unpriced() -> Snapshot:
    total = budget("total", "3.10", "10", assumed=usd("0.94"), used=usd("4.04"), ratio=0.404, unpriced=37)
    feed = (
        row(0, model="local-model-x", cost=None, cost_status="unknown"),
        row(1, cost_status="estimated"),
        row(2, cost_status="free", cost=usd("0")),
        row(3, state="dropped", cost_status="estimated"),
        *calm().feed[4:],
    )
    today = Spend(usd("1.23"), calls=311, unpriced=37, errors=4, assumed=usd("0.94").nano)
    return replace(calm(), budgets=(total,), today=today, feed=feed)


def hostile() -> Snapshot:
    at = NOW - timedelta(minutes=1)
    return replace(
        blocked(),
        budgets=tuple(budget(name, "7.7", "10", scope=f"app={name}", period="day") for name in HOSTILE),
        by_model=shares(*HOSTILE),
        by_app=shares(*reversed(HOSTILE)),
        schedule=Schedule(
            tuple(
                job(
                    n,
                    60,
                    3,
                    apps=(n,),
                    plan=n,
                    zone=n,
                    plan_who=n,
                    next_who=n,
                    said_by=n,
                    outcome=n,
                    level=n,
                    findings=(n,),
                    announced=(said(n, n, who=n, app=n, zone=n, note=n),),
                    recent=(run_at(at, n, n, who=n), run_at(NOW, cost=None)),
                )
                for n in HOSTILE
            ),
            HOSTILE,
        ),
        switch=SwitchStatus(
            "\x1b]0;x\x07",
            tuple(BlockStatus(f"app={name}", name, name, at, None, False, True) for name in HOSTILE),
            tuple(ReaderStatus(name, at) for name in HOSTILE),
        ),
        feed=tuple(
            refused(number, name, 2)
            if number % 2
            else row(number, app=name, model=name, route=name, provider=name, note=name)
            for number, name in enumerate(HOSTILE * 2)
        ),
        problems=HOSTILE,
        rules=RulesStatus(True, tuple(bypass(f"app={name}", 3, name) for name in HOSTILE)),
        resources=tuple(resource(name, name, "1.5", name, "2", problem=name) for name in HOSTILE),
        sources=tuple(
            source(
                name,
                host=name,
                state="auth",
                reason=name,
                lacks=(name,),
                notes=(name,),
                balances=(balance("1", name, label=name, limit=Decimal(3)),),
            )
            for name in HOSTILE
        ),
        reconciled=billed(
            *(
                day(name, 20, model(name, "2", "1", likely=(Likely(name, name, 1, None),)))
                for name in HOSTILE
            ),
            *(unread(name, 21, name, model(name, None, "1")) for name in HOSTILE),
        ).reconciled,
        time_zone="[/nowhere\x00",
    )


def many() -> Snapshot:
    """200 apps, 12 budgets, long names in Korean."""
    names = tuple(f"{'서비스' if n % 3 else 'service'}-{n:03}" for n in range(200))
    return replace(
        calm(),
        budgets=tuple(
            budget(f"{'부서' if n % 2 else 'team'} {n}", f"{n * 0.9:.2f}", "10") for n in range(12)
        ),
        by_app=shares(*names),
        by_model=shares(*(f"model-{n}" for n in range(40))),
        switch=replace(
            calm().switch,
            readers=tuple(ReaderStatus(n, NOW - timedelta(minutes=i)) for i, n in enumerate(names)),
        ),
        feed=tuple(
            row(n, app=names[n % 200], model="한국어모델-프로" if n % 4 == 0 else "gpt-5-mini")
            for n in range(200)
        ),
    )


ALL = {
    maker.__name__: maker
    for maker in (
        calm,
        warned,
        blocked,
        dry,
        bypassed,
        empty,
        unpriced,
        served,
        bills,
        schedule,
        hostile,
        many,
    )
}
