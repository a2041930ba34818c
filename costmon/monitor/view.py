"""Build the Snapshot from the ledger and the switch. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from costmon import paths
from costmon.act.alerts import notice_text
from costmon.budget.rows import Uncertain, read_budgets, uncertain
from costmon.budget.status import BudgetRow, PeriodRow, standing
from costmon.monitor.figures import source_problems, source_status
from costmon.monitor.lock import holder
from costmon.monitor.overrides import enforced, unenforced
from costmon.monitor.rates import rates_in_use, stale_texts
from costmon.monitor.reconciled import this_month
from costmon.monitor.resources import is_resource, resource_problems, resource_status
from costmon.monitor.rules import rules_status
from costmon.monitor.schedule.judging import Judging
from costmon.monitor.schedule.shown import schedule
from costmon.monitor.snapshot import (
    BlockStatus,
    BudgetStatus,
    EngineStatus,
    FeedRow,
    NoticeStatus,
    ReaderStatus,
    Snapshot,
    Spend,
    SpendBy,
    SwitchStatus,
)
from costmon.shim import policy, switch
from costmon.shim.clock import is_demo, system_clock
from costmon.shim.money import Money, convert
from costmon.shim.timestamps import from_iso, to_datetime
from costmon.store import Store, queries
from costmon.store.queries import EventRow, Flying, NamedSums, RefusalRow, Sums

FEED_ROWS = 60
HOUR_US = 3600 * 1_000_000
TOP = 30
_BARS = 24


def build_snapshot(
    store: Store,
    *,
    mine: bool,
    warner: str = "",
    polling: str = "",
    judging: Judging | None = None,
    scheduling: str = "",
) -> Snapshot:
    """Everything a front end shows, as of now. `warner` is what keeps warnings from being shown, if anything, `polling` what
    keeps provider figures from being read, `scheduling` what keeps jobs from being watched; `judging` has them judged."""
    db, now = store.db, store.now()
    rules = policy.load(db)
    settings = queries.settings(db)
    free = unenforced(db, now)
    display = _Display(rules, settings.get("display_currency") or "USD", now)
    day = policy.local_day_at(db, now)
    flying = queries.in_flight(db)
    today = display.spend(queries.sums_of_day(db, day), flying)
    engine = _engine(store.home, mine=mine)
    source, version = queries.base_catalog(db)
    notices = _notices(store, now)
    resources = resource_status(db, now)
    sources = source_status(db, now)
    reconciled = this_month(db, now)
    jobs = schedule(db, judging or Judging(), now, watching=engine.running, patient=judging is not None)
    pairs = [(code, display.currency) for code in display.used | {"USD"}]
    pairs += [("USD", budget.currency) for budget in rules.budgets]
    rates = rates_in_use(db, pairs, settings.get("time_zone") or "UTC", now)
    return Snapshot(
        at=to_datetime(now),
        time_zone=settings.get("time_zone") or "UTC",
        home=store.home,
        currency=display.currency,
        engine=engine,
        budgets=tuple(
            _budget(row, period, now, free, uncertain(db, row, period, rules.rate, now), flying)
            for row, period in read_budgets(db, now)
        ),
        today=today,
        hour=display.spend(
            queries.sums_since(db, now - now % HOUR_US),
            [call for call in flying if call.created_at >= now - now % HOUR_US],
        ),
        burn_rate=_burn_rate(store, display, now),
        by_model=_ranked(display, queries.day_by(db, day, "model"), today, _by(flying, "model")),
        by_app=_ranked(display, queries.day_by(db, day, "app"), today, _by(flying, "app")),
        schedule=jobs,
        resources=resources,
        sources=sources,
        switch=_switch(store.home, now),
        feed=_feed(store),
        in_flight=len(flying),
        refused_today=queries.refused_since(db, day),
        rules=rules_status(store, rules.rules, now, day),
        prices_source=f"{source} {version}".strip(),
        prices_checked=_checked(settings),
        notices=notices,
        problems=(
            *_problems(store, settings, engine, display, day, warner),
            *resource_problems(resources),
            *([polling] if polling else []),
            *([scheduling] if scheduling else []),
            *jobs.problems,
            *source_problems(sources),
            *reconciled.alarms,
            *stale_texts(rates, store.home, fetched=bool(settings.get("fetch_rates"))),
            *[
                notice.text for notice in notices if notice.kind != "unpriced"
            ],  # that one is a problem already
        ),
        simulated=is_demo(store.home),
        rates=rates,
        hour_bars=_bars(store, display, now),
        reconciled=reconciled,
    )


def empty_snapshot(home: str, problem: str) -> Snapshot:
    """What can be shown when the ledger cannot be read at all."""
    now = system_clock()
    return Snapshot(
        at=to_datetime(now),
        time_zone="UTC",
        home=home,
        currency="USD",
        engine=EngineStatus(False, False, None, None),
        switch=_switch(home, now),
        problems=(problem,),
        readable=False,
    )


class _Display:
    """Sums of several currencies as one view in the display currency, at today's rates."""

    def __init__(self, rules: policy.Policy, currency: str, now: int) -> None:
        self.currency = currency
        self.missing: set[str] = set()
        self.used: set[str] = set()
        self._rules = rules
        self._now = now

    def cost(self, nano: int, currency: str) -> int:
        """`nano` in the display currency; a currency without a rate counts as nothing and is remembered."""
        if not currency or not nano:
            return 0
        self.used.add(currency)
        rate = self._rules.rate(currency, self.currency, self._now)
        if rate is None:
            self.missing.add(currency)
            return 0
        return convert(nano, rate)

    def spend(self, sums: list[Sums], flying: Sequence[Flying] = ()) -> Spend:
        """The sums with the calls in flight that belong to them."""
        lost: dict[str, int] = {}
        for s in sums:
            if s.currency and self._rules.rate(s.currency, self.currency, self._now) is None:
                lost[s.currency] = lost.get(s.currency, 0) + s.cost
        return Spend(
            cost=Money(sum(self.cost(s.cost, s.currency) for s in sums), self.currency),
            unconverted=tuple(Money(nano, currency) for currency, nano in sorted(lost.items()) if nano),
            partial=sum(s.partial for s in sums),
            in_flight=len(flying),
            estimated_cost=sum(self.cost(s.estimated_cost, s.currency) for s in sums),
            assumed=sum(self.cost(s.assumed, s.currency or "USD") for s in sums),
            reserved=sum(self.cost(call.reserved, call.currency or "USD") for call in flying),
            calls=sum(s.calls for s in sums),
            errors=sum(s.errors for s in sums),
            input_tokens=sum(s.input_tokens for s in sums),
            output_tokens=sum(s.output_tokens for s in sums),
            unpriced=sum(s.unpriced for s in sums),
            estimated=sum(s.estimated for s in sums),
        )


def _burn_rate(store: Store, display: _Display, now: int) -> Money:
    """Money an hour over this quarter hour and the last."""
    slot = now - now % queries.SLOT_US
    since = slot - queries.SLOT_US
    spent = sum(display.cost(s.cost, s.currency) for s in queries.sums_since(store.db, since))
    return Money(spent * HOUR_US // max(1, now - since), display.currency)


def _bars(store: Store, display: _Display, now: int) -> tuple[int, ...]:
    first = now - now % queries.SLOT_US - (_BARS - 1) * queries.SLOT_US
    bars = [0] * _BARS
    for slot_at, currency, cost in queries.slots_since(store.db, first):
        position = (slot_at - first) // queries.SLOT_US
        if 0 <= position < _BARS:
            bars[position] += display.cost(cost, currency)
    return tuple(bars)


def _by(flying: list[Flying], label: str) -> dict[str, list[Flying]]:
    found: dict[str, list[Flying]] = {}
    for call in flying:
        found.setdefault(getattr(call, label), []).append(call)
    return found


def _ranked(
    display: _Display, rows: list[NamedSums], today: Spend, flying: dict[str, list[Flying]]
) -> tuple[SpendBy, ...]:
    by_name: dict[str, list[Sums]] = {name: [] for name in flying}
    for row in rows:
        by_name.setdefault(row.name, []).append(row.sums)
    spends = [(name, display.spend(sums, flying.get(name, []))) for name, sums in by_name.items()]
    spends.sort(key=lambda item: (-item[1].cost.nano, -item[1].calls, item[0]))
    total = today.cost.nano
    return tuple(
        SpendBy(name, spend, spend.cost.nano / total if total else 0.0) for name, spend in spends[:TOP]
    )


def _budget(
    row: BudgetRow,
    period: PeriodRow,
    now: int,
    free: frozenset[str],
    uncertain: Uncertain,
    flying: list[Flying],
) -> BudgetStatus:
    at = enforced(row, standing(row, period, now), free)

    def money(nano: int) -> Money:
        return Money(nano, row.currency)

    return BudgetStatus(
        name=row.name,
        scope=row.scope,
        period=row.period,
        time_zone=row.time_zone,
        start=to_datetime(period.start_us),
        end=to_datetime(period.end_us),
        limit=money(row.amount),
        spent=money(period.spent),
        assumed=money(period.assumed),
        reserved=money(period.reserved),
        used=money(at.used),
        remaining=money(at.remaining),
        ratio=at.ratio,
        level=at.level,
        levels=row.levels,
        calls=period.calls,
        unpriced=period.unpriced,
        projected=money(at.projected) if at.projected is not None else None,
        crosses_at=to_datetime(at.crosses_at) if at.crosses_at is not None else None,
        blocks=at.blocks,
        mode=row.mode,
        estimated_cost=uncertain.estimated_cost,
        partial=uncertain.partial,
        estimated=uncertain.estimated,
        unlogged=money(period.unlogged) if row.count_unlogged else None,
        in_flight=sum(
            row.scope_key == "all" or getattr(call, row.scope_key) == row.scope_value for call in flying
        ),
    )


def _switch(home: str, now: int) -> SwitchStatus:
    folder = paths.switch_dir(home)
    return SwitchStatus(
        folder=folder,
        blocks=tuple(
            BlockStatus(
                scope=block.scope,
                reason=block.reason,
                by=block.by,
                since=to_datetime(block.since) if block.since is not None else None,
                until=to_datetime(block.until) if block.until is not None else None,
                automatic=block.automatic,
                intact=block.intact,
            )
            for block in switch.standing(folder, now)
        ),
        readers=tuple(ReaderStatus(app, to_datetime(at)) for app, at in switch.readers(folder)),
    )


def _feed(store: Store) -> tuple[FeedRow, ...]:
    rows = [(e.created_at, _event(e)) for e in queries.latest_events(store.db, FEED_ROWS)]
    rows += [(r.last_at, _refusal(r)) for r in queries.latest_refusals(store.db, FEED_ROWS)]
    rows.sort(key=lambda item: -item[0])
    return tuple(row for _, row in rows[:FEED_ROWS])


def _event(e: EventRow) -> FeedRow:
    return FeedRow(
        at=to_datetime(e.created_at),
        app=e.app,
        provider=e.provider,
        model=e.model,
        route=e.route,
        api=e.api,
        state="reserved" if e.state == "reserved" else e.outcome or "ok",
        cost=Money(e.cost, e.currency) if e.cost is not None else None,
        cost_status=e.cost_status or "",
        input_tokens=e.input_tokens,
        output_tokens=e.output_tokens,
        duration=timedelta(microseconds=e.duration_us) if e.duration_us is not None else None,
        note=e.error or e.note or "",
        key=e.id,
    )


def _refusal(r: RefusalRow) -> FeedRow:
    return FeedRow(
        at=to_datetime(r.last_at),
        app=r.app,
        provider=r.provider,
        model=r.model,
        route="",
        api="",
        state="excused" if r.dry_run else "refused",
        cost=None,
        cost_status="",
        input_tokens=None,
        output_tokens=None,
        duration=None,
        note=f"would be refused: {r.reason}" if r.dry_run else r.reason,
        calls=r.calls,
        key=f"{r.minute_at}/{r.app}/{r.provider}/{r.model}/{r.rule}/{r.scope}",
        rule=r.rule,
    )


def _engine(home: str, *, mine: bool) -> EngineStatus:
    found = holder(home)
    if found is None:
        return EngineStatus(running=mine, mine=mine, pid=None, since=None)
    return EngineStatus(running=True, mine=mine, pid=found.pid or None, since=to_datetime(found.since))


def _checked(settings: dict[str, str]) -> datetime | None:
    at = from_iso(settings.get("prices_checked"))
    return to_datetime(at) if at is not None else None


def _notices(store: Store, now: int) -> tuple[NoticeStatus, ...]:
    return tuple(
        NoticeStatus(
            kind=row.kind,
            subject=row.subject,
            app=row.app,
            text=notice_text(row.kind, row.subject, row.app),
            detail=row.detail,
            first_at=to_datetime(row.first_at),
            last_at=to_datetime(row.last_at),
            calls=row.calls,
        )
        for row in queries.notices(store.db, now - 24 * HOUR_US)
    )


def _problems(
    store: Store, settings: dict[str, str], engine: EngineStatus, display: _Display, day: int, warner: str
) -> tuple[str, ...]:
    found = []
    if settings.get("config_error"):
        found.append(f"{settings['config_error']} · the last good configuration stays in force")
    if settings.get("prices_error"):
        found.append(settings["prices_error"])
    if not engine.running:
        found.append("nobody warns: no engine is running (costmon, or costmon watch)")
    if warner:
        found.append(warner)
    found += _unpriced(store, day)
    for currency in sorted(display.missing):
        found.append(
            f"no rate from {currency} to {display.currency}: add [[currency.rate]] to {paths.config_file()}"
        )
    return tuple(found)


def _unpriced(store: Store, day: int) -> list[str]:
    """What ran without a price today, and where its price belongs."""
    rows = [
        row for row in queries.unpriced_models(store.db, day) if not is_resource(store.db, row[0], row[1])
    ]
    tracked = [row for row in rows if queries.is_tracked(store.db, row[0], row[1], day)]
    priceable = [row for row in rows if row not in tracked]
    advice = (
        (priceable, "costmon prices check prints what to add"),
        (tracked, "state its cost in @costmon.track"),
    )
    return [
        f"calls of unknown price today: {', '.join(f'{model} ({calls})' for _, model, calls in found[:3])} · {what}"
        for found, what in advice
        if found
    ]
