"""`costmon doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import click

from costmon import config, paths
from costmon.errors import ConfigError, CostmonError
from costmon.shim import switch
from costmon.shim.ledger import on_network_file_system, wal_reset_bug

OLD_PRICES = timedelta(days=45)
UNWATCHED = timedelta(minutes=2)
OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING


class Finding(NamedTuple):
    """`state` is 'ok', 'note' or 'wrong'; only 'wrong' makes `costmon doctor` exit 1."""

    state: str
    subject: str
    text: str


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check paths, permissions, ledger, SQLite, config, prices, notifier, engine and keys. Exits 1 if anything is wrong."""
    findings = [finding for found in _all() for finding in found]
    width = max(len(finding.subject) for finding in findings)
    marks = {
        "ok": click.style("ok   ", fg="green"),
        "note": click.style("note ", fg="yellow"),
        "wrong": click.style("WRONG", fg="red"),
    }
    for finding in findings:
        click.echo(f"{marks[finding.state]}  {finding.subject:<{width}}  {finding.text}")
    if any(finding.state == "wrong" for finding in findings):
        ctx.exit(1)


def _all() -> list[list[Finding]]:
    """What every check finds. Those that ask the desktop's bus may wait seconds for it, and so wait at the same time."""
    with ThreadPoolExecutor(len(_PATIENT)) as pool:
        waiting = {check: pool.submit(_run, check) for check in _PATIENT}
        others = {check: _run(check) for check in CHECKS if check not in waiting}
        return [waiting[check].result() if check in waiting else others[check] for check in CHECKS]


def _run(check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except (CostmonError, OSError, sqlite3.Error) as error:
        return [Finding("wrong", check.__name__.strip("_"), str(error))]


def _home() -> list[Finding]:
    home = paths.state_home()
    if not os.path.isdir(home):
        return [Finding("note", "home", f"{home} does not exist yet; the first call or `costmon` creates it")]
    found = [Finding("ok", "home", home)]
    if not os.access(home, os.W_OK | os.X_OK):
        found = [
            Finding(
                "wrong",
                "home",
                f"{home} is not writable: calls are enforced from memory only; fix its owner or mode",
            )
        ]
    mode = stat.S_IMODE(os.stat(home).st_mode)
    if mode & 0o007:
        found.append(
            Finding("note", "home", f"{home} is open to every user (mode {mode:o}); chmod 700 {home}")
        )
    if on_network_file_system(home):
        found.append(
            Finding(
                "note",
                "home",
                f"{home} is on a network file system: no write-ahead log, slower writes; a local folder is better",
            )
        )
    return found


def _ledger() -> list[Finding]:
    path = paths.ledger_file()
    if not os.path.exists(path):
        return [Finding("note", "ledger", "none yet")]
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
    try:
        verdict = db.execute("pragma quick_check(1)").fetchone()[0]
        events = db.execute("select count(*) from event").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return [Finding("wrong", "ledger", f"{path}: {error}. {_rescue(path)}")]
    finally:
        db.close()
    if verdict != "ok":
        return [Finding("wrong", "ledger", f"{path}: {verdict}. {_rescue(path)}")]
    return [Finding("ok", "ledger", f"{path}, {events} events, {os.path.getsize(path) // 1024} KB")]


def _rescue(path: str) -> str:
    return (
        f'Stop the apps, then keep it aside with: for f in {path}*; do mv "$f" "$f.damaged"; done. '
        "A new ledger is created at the next call; what a damaged one holds can be read with: sqlite3 FILE .recover"
    )


def _sqlite() -> list[Finding]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return [
            Finding("wrong", "sqlite", f"{version} is too old: costmon needs 3.35; use a newer Python build")
        ]
    return [wal_finding(version, sqlite3.sqlite_version_info)]


def wal_finding(version: str, info: tuple[int, ...]) -> Finding:
    """What a SQLite's place in the story of the WAL-reset bug means for the ledger."""
    if not wal_reset_bug(info):
        return Finding(
            "ok", "sqlite", f"{version}, without the WAL-reset bug; apps in other Pythons may have another"
        )
    return Finding(
        "note",
        "sqlite",
        f"{version} has the WAL-reset bug: a checkpoint that races a write can lose a commit (fixed in 3.51.3, and in "
        "3.50.7 and 3.44.6 of their branches). costmon keeps the two apart: whoever writes holds checkpoint.lock shared, "
        "and checkpoints, never SQLite's own, hold it alone. So nothing is lost as long as only costmon writes the "
        "ledger: look into it read-only with other tools (sqlite3 -readonly)",
    )


def _python() -> list[Finding]:
    """What is unusual about the interpreter; an app's own may differ from costmon's."""
    version = "%d.%d.%d" % sys.version_info[:3]  # noqa: UP031 - the short form is longer
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return [
            Finding(
                "note",
                "python",
                f"{version} free-threaded: costmon is not tested without the global lock; run apps with PYTHON_GIL=1",
            )
        ]
    return [
        Finding(
            "ok",
            "python",
            f"{version}; sub-interpreters of an app are watched once each calls costmon.instrument(), "
            "but must not be running when it forks; free-threaded builds are not tested",
        )
    ]


def _configuration() -> list[Finding]:
    path = paths.config_file()
    if not os.path.exists(path):
        return [Finding("note", "config", f"{path} does not exist yet; `costmon` creates it with comments")]
    try:
        loaded = config.load(path)
    except ConfigError as error:
        return [Finding("wrong", "config", f"{error} · the last good configuration stays in force")]
    if not loaded.budgets:
        return [
            Finding("note", "config", f"{path}: no budget yet; costmon budget set total 10USD --period month")
        ]
    return [Finding("ok", "config", f"{path}, {len(loaded.budgets)} budgets")]


def _prices() -> list[Finding]:
    from costmon.pricing.catalog.layers import compiled

    user_file = paths.user_prices_file()
    found = compiled(user_file)
    findings = [Finding("wrong", "prices", problem) for problem in found.problems]
    if found.checked is None:
        return [*findings, Finding("wrong", "prices", "there is no base catalogue: every model is unpriced")]
    age = datetime.now(UTC).date() - found.checked
    text = f"{found.source} {found.version}, checked {found.checked}, {age.days} days ago"
    if age > OLD_PRICES:
        return [
            *findings,
            Finding("note", "prices", f"{text}: upgrade costmon, or correct prices in {user_file}"),
        ]
    return [*findings, Finding("ok", "prices", text)]


def _sources() -> list[Finding]:
    """Provider figures: whether each source could be read when it was last polled; nobody is asked."""
    from costmon.cli.polled import month_text, span
    from costmon.monitor.figures import source_status
    from costmon.shim.clock import clock_of
    from costmon.shim.timestamps import to_datetime

    path = paths.ledger_file()
    if not os.path.exists(path):
        return []
    at = clock_of(paths.state_home())()
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
    try:
        found = source_status(db, at)
    except sqlite3.Error:
        return []  # what is wrong with the ledger is said above; one of an older costmon has no sources
    finally:
        db.close()
    now = to_datetime(at)
    findings = []
    for source in found:
        if source.state == "key":
            continue  # said of the keys
        subject, old = f"source {source.name}", source.ok_at and span(now - source.ok_at)
        if source.state not in ("", "ok"):
            kept = f"; the figures of {old} ago are kept" if old else ""
            findings.append(Finding("wrong", subject, f"{source.reason}{kept}"))
        elif source.state == "" or source.stale:
            said = f"last read {old} ago" if old else "never read"
            findings.append(Finding("note", subject, f"{said}: run costmon, or costmon poll --once"))
        else:
            month = f", this month {month_text(source)}" if source.month is not None else ""
            findings.append(Finding("ok", subject, f"read {old} ago{month}"))
    return findings


def _schedules() -> list[Finding]:
    """What is known of jobs, what could not be read of their plans, and whether an engine has watched of late."""
    from costmon.monitor.schedule.shown import PROBLEMS
    from costmon.shim.clock import clock_of

    path = paths.ledger_file()
    if not os.path.exists(path):
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
    try:
        jobs = db.execute("select count(distinct job) from announcement where ended_at is null").fetchone()[0]
        row = db.execute("select value from setting where key = ?", (PROBLEMS,)).fetchone()
        last = db.execute("select max(end_at) from watch_span").fetchone()[0]
    except sqlite3.Error:
        return []  # as with sources
    finally:
        db.close()
    found = [Finding("wrong", "schedules", one) for one in (row[0].splitlines() if row is not None else ())]
    told = f"{jobs} job{'s' if jobs != 1 else ''} announced" if jobs else "no job is announced"
    if last is None:
        return [
            *found,
            Finding("note", "schedules", f"{told}; nobody has watched yet: run costmon or costmon watch"),
        ]
    from costmon.cli.polled import span

    ago = timedelta(microseconds=max(0, clock_of(paths.state_home())() - last))
    if ago > UNWATCHED:
        said = f"{told}; nobody has watched for {span(ago)}: misfires are told only while costmon or costmon watch runs"
        return [*found, Finding("note", "schedules", said)]
    return [*found, Finding("ok", "schedules", f"{told}, watched")]


def _notifier() -> list[Finding]:
    from costmon.act.channels.desktop import DesktopNotifier

    answer = DesktopNotifier().available()
    return [Finding("ok" if answer.ok else "wrong", "notifier", answer.detail)]


def _engine() -> list[Finding]:
    from costmon.monitor.lock import holder

    home = paths.state_home()
    found = holder(home) if os.path.isdir(home) else None
    if found is None:
        return [
            Finding(
                "note",
                "engine",
                "nobody warns: budgets are enforced, but run `costmon` or `costmon watch` to be told",
            )
        ]
    return [Finding("ok", "engine", f"process {found.pid} warns")]


def _switch() -> list[Finding]:
    folder = paths.switch_dir()
    if not os.path.isdir(folder):
        if os.environ.get("COSTMON_SWITCH"):
            return [
                Finding(
                    "wrong",
                    "switch",
                    f"COSTMON_SWITCH names {folder}, which does not exist: every call is refused",
                )
            ]
        return [Finding("ok", "switch", "open, never used")]
    odd = [block for block in switch.blocks(folder) if not block.intact]
    if odd:
        return [
            Finding("wrong", "switch", f"{block.reason}; lift it with: costmon allow {block.scope}")
            for block in odd
        ]
    standing = switch.blocks(folder)
    return [Finding("note", "switch", f"blocked: {block.scope}: {block.reason}") for block in standing] or [
        Finding("ok", "switch", f"open, {folder}")
    ]


def _keys() -> list[Finding]:
    """Whether every polled source has its key, and what keeps it."""
    from costmon.cli.keys_shown import check

    state, text = check()
    return [Finding(state, "keys", text)]


CHECKS = (
    _home,
    _ledger,
    _sqlite,
    _python,
    _configuration,
    _prices,
    _sources,
    _schedules,
    _notifier,
    _engine,
    _switch,
    _keys,
)
_PATIENT = (_notifier, _keys)
