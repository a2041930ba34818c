"""The ledger's tables, shared by the shim (which may be the first to open it) and the store (which migrates it).

Every step is plain SQL in order; `PRAGMA user_version` counts the steps applied. A released step stays as it is; a later
one only adds tables or defaulted columns, because a host may run an older shim. Units: times are microseconds since
1970 UTC (`*_at`), money is integer 1e-9 of the row's currency, tokens and calls are counts.
"""

from __future__ import annotations

DIMENSIONS = "provider, model, app, route, job, currency"


def _rollup(table: str, slot: str) -> str:
    return f"""create table if not exists {table} (
        {slot} integer not null,
        provider text not null, model text not null, app text not null, route text not null, job text not null,
        currency text not null,
        calls integer not null, errors integer not null, input_tokens integer not null, output_tokens integer not null,
        cost integer not null, unpriced integer not null, estimated integer not null,
        primary key ({slot}, {DIMENSIONS})
    ) without rowid"""


def _add(table: str, slot: str, slot_value: str, row: str, sign: str, sums: dict[str, str]) -> str:
    """Add (or, with sign '-', take back) one settled event to a rollup; `sums` are expressions over the row."""
    updates = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    values = ", ".join(f"{sign}{value.format(row=row)}" for value in sums.values())
    return f"""insert into {table} ({slot}, {DIMENSIONS}, {", ".join(sums)})
        values ({slot_value}, {row}.provider, {row}.model, {row}.app, {row}.route, {row}.job, {row}.currency, {values})
        on conflict ({slot}, {DIMENSIONS}) do update set {updates};"""  # noqa: S608 - names are ours


def _both(row: str, sign: str, sums: dict[str, str]) -> str:
    quarter = f"{row}.created_at - {row}.created_at % 900000000"
    return _add("rollup_quarter", "slot_at", quarter, row, sign, sums) + _add(
        "rollup_day", "day_at", f"{row}.local_day_at", row, sign, sums
    )


def _triggers(sums: dict[str, str]) -> tuple[str, ...]:
    return (
        f"""create trigger event_inserted after insert on event when new.state = 'settled'
        begin {_both("new", "", sums)} end""",
        f"""create trigger event_settled after update on event
        when new.state = 'settled' and old.state = 'reserved' begin {_both("new", "", sums)} end""",
        f"""create trigger event_corrected after update on event
        when new.state = 'settled' and old.state = 'settled'
        begin {_both("old", "-", sums)} {_both("new", "", sums)} end""",
    )


_FIRST_SUMS = {
    "calls": "1",
    "errors": "({row}.outcome <> 'ok')",
    "input_tokens": "coalesce({row}.input_tokens, 0)",
    "output_tokens": "coalesce({row}.output_tokens, 0)",
    "cost": "coalesce({row}.cost, 0)",
    "unpriced": "({row}.cost is null)",
    "estimated": "({row}.cost_status = 'estimated')",
}
_SUMS = {
    **_FIRST_SUMS,
    "calls": "({row}.source <> 'meter')",
    "partial": "({row}.cost_status = 'partial')",
    "estimated_cost": "iif({row}.cost_status = 'estimated', coalesce({row}.cost, 0), 0)",
    "assumed": "iif({row}.cost is null, coalesce({row}.charge, 0), 0)",
}
SUMS = tuple(_SUMS)
"""What a rollup sums. `calls` leaves out what meters wrote (a quarter hour of a server is no call). `cost` is the known
cost, of which `estimated_cost` rests on estimated usage; `assumed` is what the `unpriced` calls are assumed to have cost,
in the rollup's currency; `partial` counts calls with a part unpriced."""

_LEDGER = (
    "create table if not exists setting (key text primary key, value text not null) without rowid",
    """create table if not exists event (
        id text primary key,
        created_at integer not null,
        settled_at integer,
        local_day_at integer not null,
        machine text not null,
        source text not null,
        app text not null,
        route text not null default '',
        job text not null default '',
        essential integer not null default 0,
        api text not null,
        provider text not null,
        model text not null,
        endpoint text not null default '',
        state text not null check (state in ('reserved', 'settled')),
        outcome text check (outcome in ('ok', 'error', 'unknown', 'dropped')),
        status_code integer,
        error text,
        usage_status text check (usage_status in ('reported', 'estimated', 'none')),
        input_tokens integer, output_tokens integer, total_tokens integer,
        cache_read_tokens integer, cache_write_tokens integer, cache_write_1h_tokens integer,
        reasoning_tokens integer,
        units text,
        service_tier text,
        reserved integer not null default 0,
        charge integer,
        cost integer,
        currency text not null default '',
        cost_status text check (cost_status in ('priced', 'partial', 'estimated', 'reported', 'free', 'unknown')),
        price_version text,
        duration_us integer, first_token_us integer,
        request_id text, response_id text,
        owner text,
        lease_until integer,
        charges text not null default '[]',
        note text
    ) without rowid""",
    "create unique index if not exists event_response on event (provider, response_id) where response_id is not null",
    "create index if not exists event_open on event (lease_until) where state = 'reserved'",
    _rollup("rollup_quarter", "slot_at"),
    _rollup("rollup_day", "day_at"),
    *_triggers(_FIRST_SUMS),
    """create table if not exists budget (
        id integer primary key,
        name text not null unique,
        scope_key text not null, scope_value text not null,
        amount integer not null, currency text not null,
        period text not null, time_zone text not null,
        mode text not null,
        levels text not null, at_95 text not null, at_100 text not null,
        limit_version integer not null default 1,
        definition text not null
    )""",
    """create table if not exists budget_period (
        budget_id integer not null, start_at integer not null, end_at integer not null,
        spent integer not null default 0, assumed integer not null default 0, reserved integer not null default 0,
        calls integer not null default 0, unpriced integer not null default 0,
        primary key (budget_id, start_at)
    ) without rowid""",
    "create table if not exists local_day (start_at integer primary key, end_at integer not null, label text not null)",
    """create table if not exists exchange_rate (
        base text not null, quote text not null, from_at integer not null,
        numerator integer not null, denominator integer not null, source text not null,
        primary key (base, quote, from_at)
    ) without rowid""",
    """create table if not exists catalog (
        provider text not null, layer integer not null, source text not null, version text not null,
        models text not null,
        primary key (provider, layer)
    ) without rowid""",
    """create table if not exists rate_card (
        hash text primary key, card text not null, source text not null, version text not null,
        first_seen_at integer not null
    ) without rowid""",
    """create table if not exists alert (
        kind text not null, subject text not null, limit_version integer not null, period_at integer not null,
        level integer not null,
        state text not null check (state in ('claimed', 'sent', 'failed')),
        title text not null, body text not null,
        claimed_at integer not null, claimed_by text not null,
        sent_at integer, channel text, attempts integer not null default 1, detail text,
        primary key (kind, subject, limit_version, period_at, level)
    ) without rowid""",
    """create table if not exists job (
        app text not null, name text not null, every_us integer,
        next_run_at integer, started_at integer, ended_at integer, outcome text,
        runs integer not null default 0, failures integer not null default 0,
        primary key (app, name)
    ) without rowid""",
    """create table if not exists refusal (
        minute_at integer not null, app text not null, provider text not null, model text not null,
        rule text not null, scope text not null,
        reason text not null, first_at integer not null, last_at integer not null, calls integer not null,
        primary key (minute_at, app, provider, model, rule, scope)
    ) without rowid""",
    """create view if not exists llm_usage_events as
        select id, strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000, 'unixepoch')
                || printf('.%06dZ', created_at % 1000000) as created_at,
            route, provider, model, input_tokens, output_tokens, total_tokens,
            case when cost is null then null else
                printf('%s%d.%09d', case when cost < 0 then '-' else '' end,
                    abs(cost) / 1000000000, abs(cost) % 1000000000) end as estimated_cost,
            case when currency = 'USD' and cost is not null then
                printf('%s%d.%09d', case when cost < 0 then '-' else '' end,
                    abs(cost) / 1000000000, abs(cost) % 1000000000) end as estimated_cost_usd,
            cost as cost_nano, currency, cost_status, price_version,
            coalesce(response_id, request_id, id) as request_id,
            app, job, api, outcome, usage_status
        from event where state = 'settled'""",
)

MOVE_RESERVED = """insert or ignore into reservation (id, created_at, lease_until, owner, reserved, charges, source, app,
    route, job, essential, api, provider, model, endpoint, currency, assumed, fingerprint)
    select id, created_at, coalesce(lease_until, 0), coalesce(owner, ''),
    reserved, charges, source, app, route, job, essential, api, provider, model, endpoint, currency,
    coalesce(cost_status = 'unknown', 0), null from event where state = 'reserved'"""
_RULES = (
    "insert or ignore into setting values ('hash_key', lower(hex(randomblob(16))))",
    "alter table event add column fingerprint text",
    "alter table refusal rename to refusal_before",
    """create table refusal (
        minute_at integer not null, app text not null, provider text not null, model text not null,
        rule text not null, scope text not null, dry_run integer not null default 0,
        reason text not null, first_at integer not null, last_at integer not null, calls integer not null,
        primary key (minute_at, app, provider, model, rule, scope, dry_run)
    ) without rowid""",
    """insert into refusal select minute_at, app, provider, model, rule, scope, 0, reason, first_at, last_at, calls
        from refusal_before""",
    "drop table refusal_before",
    # An attempt in flight is one narrow row here, and becomes an event when it settles. The trigger and the index for
    # reserved events stay: an older shim that is still running writes such.
    """create table if not exists reservation (
        id text primary key, created_at integer not null, lease_until integer not null, owner text not null,
        reserved integer not null, charges text not null, source text not null, app text not null, route text not null,
        job text not null, essential integer not null, api text not null, provider text not null, model text not null,
        endpoint text not null, currency text not null, assumed integer not null, fingerprint text
    ) without rowid""",
    MOVE_RESERVED,
    "delete from event where state = 'reserved'",
    """create table if not exists rate_limit (
        id integer primary key, name text not null unique,
        scope_key text not null, scope_value text not null,
        calls integer not null, per text not null check (per in ('minute', 'hour', 'day'))
    )""",
    """create table if not exists rate_window (
        limit_id integer primary key, start_at integer not null, calls integer not null
    )""",
    """create table if not exists breaker (
        provider text primary key, failures integer not null default 0, first_failure_at integer not null,
        opened_at integer, probe text, probe_until integer
    ) without rowid""",
    """create table if not exists repetition (
        fingerprint text primary key, first_at integer not null, calls integer not null default 0,
        failed_at integer, failures integer not null default 0
    ) without rowid""",
    """create table if not exists override (
        id integer primary key, kind text not null, scope text not null default 'all',
        by text not null, reason text not null, created_at integer not null, until_at integer not null,
        lifted_at integer, lifted_by text
    )""",
    """create table if not exists notice (
        kind text not null, subject text not null, app text not null, day_at integer not null,
        detail text not null, first_at integer not null, last_at integer not null, calls integer not null,
        primary key (kind, subject, app, day_at)
    ) without rowid""",
)

_ADDED_SUMS = SUMS[len(_FIRST_SUMS) :]


def _backfill(table: str, slot: str, slot_value: str) -> str:
    """Fill the sums that came later from the events that are still there."""
    key = (slot, *DIMENSIONS.split(", "))
    same = " and ".join(f"{table}.{name} = e.{name}" for name in key)
    return f"""update {table} set partial = e.partial, estimated_cost = e.estimated_cost, assumed = e.assumed
        from (select {slot_value} as {slot}, {DIMENSIONS}, sum(cost_status = 'partial') as partial,
            sum(iif(cost_status = 'estimated', coalesce(cost, 0), 0)) as estimated_cost,
            sum(iif(cost is null, coalesce(charge, 0), 0)) as assumed
            from event where state = 'settled' and (cost is null or cost_status in ('partial', 'estimated'))
            group by {slot_value}, {DIMENSIONS}) as e
        where {same}"""  # noqa: S608 - names are ours


_BANDS = (
    *(f"drop trigger if exists {name}" for name in ("event_inserted", "event_settled", "event_corrected")),
    *(
        f"alter table {table} add column {name} integer not null default 0"
        for table in ("rollup_quarter", "rollup_day")
        for name in _ADDED_SUMS
    ),
    _backfill("rollup_quarter", "slot_at", "created_at - created_at % 900000000"),
    _backfill("rollup_day", "day_at", "local_day_at"),
    *_triggers(_SUMS),
    # One repricing of past events; it may be reverted. `scope` is JSON; totals are JSON, nano by currency; `report` is
    # JSON of what changed and what was left alone. `done_to` is the id of the last event it has looked at.
    """create table if not exists reprice_run (
        id integer primary key, at integer not null, kind text not null
            check (kind in ('correction', 'change', 'unknown', 'revert')),
        reason text not null, by text not null, scope text not null,
        state text not null check (state in ('running', 'done', 'reverted')),
        events integer not null default 0, old_total text not null default '{}', new_total text not null default '{}',
        reverts integer, ended_at integer, done_to text not null default '', report text not null default '{}'
    )""",
    # What an event said before a run; `charges` as in event.
    """create table if not exists cost_revision (
        run_id integer not null, event_id text not null,
        cost integer, currency text not null, cost_status text not null, price_version text, charge integer,
        charges text not null,
        primary key (run_id, event_id)
    ) without rowid""",
    # What taking a run back adds to the sums of a day, of its events that are no longer kept. `next_run`: the run that
    # priced them again after this one, 0 = none.
    f"""create table if not exists revision_day (
        run_id integer not null, day_at integer not null, next_run integer not null,
        provider text not null, model text not null, app text not null, route text not null, job text not null,
        currency text not null, {", ".join(f"{name} integer not null" for name in SUMS)},
        primary key (run_id, day_at, next_run, {DIMENSIONS})
    ) without rowid""",
    # The same of budgets, JSON [[budget, period's start, spent, assumed, unpriced], …], and of the run's report (its
    # groups, JSON); `first_at` is when the oldest of the `events` was created.
    """create table if not exists revision_rest (
        run_id integer not null, day_at integer not null, next_run integer not null,
        first_at integer not null, events integer not null, budgets text not null, report text not null,
        primary key (run_id, day_at, next_run)
    ) without rowid""",
    # Events before `until_at` keep their cost: their bill is settled.
    """create table if not exists price_lock (
        id integer primary key, until_at integer not null, reason text not null, by text not null,
        created_at integer not null, lifted_at integer
    )""",
    # When a resource cost by the clock (`by`: 'config', 'host' or a person); `stopped_at` null = it does. Accounted up to
    # `accounted_until`, `billed` seconds of it; `estimated` = nobody saw the end.
    """create table if not exists meter_run (
        id integer primary key, resource text not null, started_at integer not null, stopped_at integer,
        accounted_until integer not null, billed integer not null default 0, by text not null,
        estimated integer not null default 0
    )""",
    "create index if not exists meter_run_open on meter_run (resource, started_at)",
    # A resource as it was last seen configured (`definition`, JSON). Of what is measured, `pending` has been counted
    # between `since_at` and `counted_until` and is no event yet; `reading` is JSON of the last measurement.
    """create table if not exists meter (
        resource text primary key, definition text not null, first_seen_at integer not null,
        since_at integer not null, counted_until integer not null, pending text not null default '0',
        estimated integer not null default 0, reading text not null default '{}', note text not null default ''
    ) without rowid""",
    # What a resource used in a calendar month, accounted for; text, because byte-seconds pass 64 bits.
    """create table if not exists meter_month (
        resource text not null, month text not null, unit text not null, used text not null,
        primary key (resource, month, unit)
    ) without rowid""",
)

_FIGURES = (
    "alter table budget add column count_unlogged integer not null default 0",
    # What providers billed in a budget's period beyond what apps logged; the budgets that count it have it here.
    "alter table budget_period add column unlogged integer not null default 0",
    # A source of provider figures as it was last polled. `state` is '' (never), 'ok' or why not; `opened_at`, `probe` and
    # `probe_until` are its breaker's; `about` is JSON of what it gives, lacks and needs.
    """create table if not exists source (
        name text primary key, kind text not null, provider text not null, host text not null default '',
        about text not null default '{}', every_us integer not null default 0,
        state text not null default '', reason text not null default '', status_code integer,
        polled_at integer, ok_at integer, next_at integer, failures integer not null default 0,
        opened_at integer, probe text, probe_until integer, notes text not null default '[]'
    ) without rowid""",
    # What one request of a bucket's answer covered; a bucket without figures is a real zero. `grew_at`: when its figures
    # last changed. `complete` = the provider said that nothing is missing.
    """create table if not exists figure_bucket (
        source text not null, start_at integer not null, end_at integer not null,
        first_at integer not null, fetched_at integer not null, grew_at integer not null,
        revisions integer not null default 0, complete integer not null default 1,
        primary key (source, start_at, end_at)
    ) without rowid""",
    # Provider figures: nano of `currency`, of one line ('usage', 'tax', 'credit') and group of a bucket.
    """create table if not exists figure (
        source text not null, start_at integer not null, end_at integer not null, line text not null,
        model text not null, label text not null, project text not null, api_key text not null,
        currency text not null, amount integer not null,
        primary key (source, start_at, end_at, line, model, label, project, api_key, currency)
    ) without rowid""",
    """create table if not exists figure_usage (
        source text not null, start_at integer not null, end_at integer not null,
        model text not null, project text not null, api_key text not null,
        requests integer, input_tokens integer, cached_tokens integer, output_tokens integer,
        primary key (source, start_at, end_at, model, project, api_key)
    ) without rowid""",
    # A balance as long as it stayed the same: first and last seen so. `amount` is text, in major units of `unit`.
    """create table if not exists balance (
        source text not null, label text not null, unit text not null,
        first_at integer not null, last_at integer not null, amount text not null,
        limit_amount text, resets_at integer, per_hour text, spendable integer not null default 1,
        primary key (source, label, unit, first_at)
    ) without rowid""",
    """create table if not exists poll_hour (
        source text not null, hour_at integer not null, polls integer not null default 0,
        requests integer not null default 0, bytes integer not null default 0, failures integer not null default 0,
        primary key (source, hour_at)
    ) without rowid""",
)


def _run_trigger(name: str, when: str, *bodies: tuple[str, str]) -> str:
    names, values = ", ".join(_SUMS), list(_SUMS.values())
    statements = [
        f"""insert into rollup_run (run_id, currency, {names})
        values ({row}.run_id, {row}.currency, {", ".join(sign + value.format(row=row) for value in values)})
        on conflict (run_id, currency) do update set {", ".join(f"{one} = {one} + excluded.{one}" for one in _SUMS)};"""  # noqa: S608 - names are ours
        for row, sign in bodies
    ]
    return f"create trigger {name} {when} begin {' '.join(statements)} end"


_RUNS_ONLY = "new.run_id is not null and new.run_id < 'p'"
_SCHEDULES = (
    # The run, or (beginning with 'p') the process, that made the call.
    "alter table event add column run_id text",
    "alter table reservation add column run_id text",
    # A process that makes calls; `who` is for people. Its id begins with 'p', which no run's does.
    """create table if not exists process (
        id text not null, app text not null, owner text not null, who text not null,
        first_at integer not null, ended_at integer,
        primary key (id, app)
    ) without rowid""",
    # One run of a job. `source` says who says so: 'app' (costmon.job), 'apscheduler', 'schedule', 'celery', 'process' (a
    # whole process was the run), 'log' or 'rhythm' (recognised from calls alone). `plan` is what its process had announced
    # ('' = nothing), `planned_at` the time its scheduler meant it for. `elapsed_at` counts from the machine's start, sleep
    # included, whatever is done to its clock. `manual` = a person started it.
    # 'refused': costmon refused a call of it, so what it cost is not what such a run costs.
    """create table if not exists job_run (
        id text primary key, app text not null, job text not null, source text not null,
        owner text not null default '', who text not null default '', plan text not null default '',
        planned_at integer, started_at integer not null, ended_at integer,
        outcome text not null check (outcome in ('running', 'ok', 'error', 'refused', 'skipped', 'unknown')),
        elapsed_at integer, manual integer not null default 0
    ) without rowid""",
    "create index if not exists job_run_of on job_run (job, started_at)",
    "create index if not exists job_run_open on job_run (started_at) where outcome = 'running'",
    """create table if not exists rollup_run (
        run_id text not null, currency text not null,
        calls integer not null default 0, errors integer not null default 0,
        input_tokens integer not null default 0, output_tokens integer not null default 0,
        cost integer not null default 0, unpriced integer not null default 0, estimated integer not null default 0,
        partial integer not null default 0, estimated_cost integer not null default 0, assumed integer not null default 0,
        primary key (run_id, currency)
    ) without rowid""",
    _run_trigger(
        "run_inserted", f"after insert on event when new.state = 'settled' and {_RUNS_ONLY}", ("new", "")
    ),
    _run_trigger(
        "run_corrected",
        f"after update on event when new.state = 'settled' and old.state = 'settled' and {_RUNS_ONLY}",
        ("old", "-"),
        ("new", ""),
    ),
    # Who says that a job has a plan. `source` as in job_run, or 'apscheduler-store', 'crontab', 'systemd', 'compose';
    # `owner` is a process, or the file that says so. `plan` is '' (none known), 'every 60m', 'cron 0 * * * *', 'timer …',
    # 'at 2026-12-01T09:00:00Z'; `zone` an IANA name, '' where the plan needs none or nobody knows it. `ended_at`: no longer.
    """create table if not exists announcement (
        job text not null, app text not null, source text not null, owner text not null, who text not null default '',
        plan text not null default '', zone text not null default '', next_run_at integer,
        first_at integer not null, seen_at integer not null, ended_at integer, note text not null default '',
        primary key (job, app, source, owner)
    ) without rowid""",
    """insert or ignore into announcement (job, app, source, owner, plan, next_run_at, first_at, seen_at)
        select name, app, 'app', '', iif(every_us is null, '', 'every ' || every_us / 1000000 || 's'), next_run_at,
            coalesce(started_at, 0), coalesce(ended_at, started_at, 0) from job""",
    # When an engine was looking, so that what happened while nobody did (asleep, off) is told apart. `gap` = why the one
    # before ended: '' (the first), 'off', 'suspended' or 'clock' (set, by `step` µs).
    """create table if not exists watch_span (
        start_at integer primary key, end_at integer not null, gap text not null default '',
        step integer not null default 0
    )""",
    # A plan that did not hold: one row from the first unexpected run to the last. `kind`: 'misfire' or 'missed'. `state`:
    # 'open' or 'over'; `evidence` is JSON of plan, fact, processes and cost as last judged.
    """create table if not exists misfire (
        id integer primary key, kind text not null, job text not null, first_at integer not null,
        last_at integer not null, runs integer not null, state text not null, evidence text not null default '{}'
    )""",
    # A person moved the switch; `action` is 'kill' or 'allow', `scope` as the switch's. What costmon moves by itself
    # is not here.
    """create table if not exists switch_journal (
        id integer primary key, at integer not null, action text not null, scope text not null, by text not null,
        reason text not null default ''
    )""",
    "create index if not exists switch_journal_at on switch_journal (at)",
    # How far a followed log has been read.
    """create table if not exists log_position (
        path text primary key, device integer not null, inode integer not null, head text not null, offset integer not null,
        state text not null default '{}', read_at integer not null
    ) without rowid""",
)

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ledger", _LEDGER),
    ("rules", _RULES),
    ("bands", _BANDS),
    ("figures", _FIGURES),
    ("schedules", _SCHEDULES),
)
VERSION = len(STEPS)
