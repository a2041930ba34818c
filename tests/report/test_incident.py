"""The incident report: its figures are a hand calculation's, its texts are harmless, and it says when nothing happened."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from costmon.config.schedules import to_json as to_setting
from costmon.config.values import Job, Schedules
from costmon.monitor.lock import EngineLock
from costmon.report.as_json import to_json
from costmon.report.html import html
from costmon.report.incident import incident, projected
from costmon.report.markdown import markdown
from costmon.report.reading import read
from costmon.report.telling import document
from costmon.report.values import Incident, Sums
from costmon.shim.money import Money
from costmon.store import Store, open_ledger

from . import story
from .story import COST, HOUR, MINUTE, START

HOSTILE = (
    "<script>alert(1)</script>",
    "[x](https://evil.example) https://evil.example",
    "`` ` ```",
    "a|b\nc\x1b[31m\u202e",
    "**bold** _i_ <img src=x onerror=y>",
    "&lt;b&gt; \u200b",
    "작업 " * 60,
    "\ud800",
)


@pytest.fixture
def store(costmon_home: Path) -> Iterator[Store]:
    costmon_home.mkdir(mode=0o700)
    found = open_ledger(str(costmon_home))
    yield found
    found.close()


def of(store: Store, now: int, since: int | None = None, until: int | None = None, job: str = "") -> Incident:
    return incident(read(store, since, until, job, now))


# --- figures ------------------------------------------------------------------------------------------------


def test_the_story_is_told_with_the_figures_of_a_hand_calculation(store: Store) -> None:
    """11 unplanned runs of $0.0012 from 13:11 to 14:01; every 5 minutes until December that is 2,711 more."""
    found = of(store, story.tell(store.db))
    (job,) = found.jobs
    assert (job.runs, job.planned, job.unplanned, job.missed) == (12, 1, 11, 0)
    assert (job.extra.money, job.ran.money) == (Money(11 * COST, "USD"), Money(12 * COST, "USD"))
    assert (job.ran.calls, job.ran.input_tokens, job.ran.output_tokens) == (12, 48_000, 12_000)
    assert (job.first_at, job.second_at, job.last_at) == (START, START + 5 * MINUTE, START + 50 * MINUTE)
    assert job.projected == Money((11 + 2711) * COST, "USD")
    assert [(one.app, one.runs, one.unplanned, one.plan) for one in job.processes] == [
        ("backend", 11, 11, "every 5m"),
        ("trader", 1, 0, "every 60m"),
    ]
    assert found.told_at == START + 5 * MINUTE + 22_000_000
    assert found.stopped_at == START + 58 * MINUTE
    assert {app: sums.money.nano for app, sums in (found.facts.spent or {}).items()} == {
        "backend": 11 * COST,
        "trader": COST,
    }
    kinds = [moment.kind for moment in found.moments]
    assert kinds == [
        *("announced", "unplanned", "unplanned", "alert", "unplanned", "switch", "refused", "withdrawn")
    ]


def test_a_plan_mended_since_changes_nothing_of_what_happened(store: Store) -> None:
    """The plan of record is the one it was held to then."""
    now = story.tell(store.db)
    story.settings(store.db, schedules=to_setting([Job("trade", 5 * MINUTE)], Schedules(), []))
    (job,) = of(store, now).jobs
    assert (job.facts.record.plan, job.unplanned) == ("every 60m", 11)


def test_an_engine_that_died_is_told_up_to_the_end(store: Store) -> None:
    """It watched until 13:35; the report is of 15:11, and of a time before too."""
    now = story.tell(store.db)
    died = START + 24 * MINUTE
    store.db.execute("update watch_span set end_at = ?", (died,))
    gap = of(store, now, START).facts.gaps[-1]
    assert (gap.start_at, gap.end_at, gap.why) == (died, now, "off")
    found = of(store, now, START, START + HOUR)
    assert [(one.start_at, one.end_at) for one in found.facts.gaps] == [(died, START + HOUR)]
    told = markdown(document(found))
    assert "nobody watched for 36 min: no engine ran" in told
    assert "For 36 min of this time no engine watched" in " ".join(told.split())
    assert of(store, now, START - HOUR, START).facts.gaps == ()


def test_an_engine_that_watches_now_leaves_no_gap(store: Store, costmon_home: Path) -> None:
    """Though it has not noted the last seconds yet."""
    now = story.tell(store.db)
    store.db.execute("update watch_span set end_at = ?", (now - 20_000_000,))
    lock = EngineLock(str(costmon_home))
    assert lock.acquire()
    try:
        assert of(store, now, START).facts.gaps == ()
    finally:
        lock.release()
    assert of(store, now, START).facts.gaps != ()


def test_refused_runs_are_no_failed_ones_and_no_measure_of_cost(store: Store) -> None:
    now = story.tell(store.db)
    story.add_run(store.db, START + 40 * MINUTE, "backend", plan="every 5m", calls=0, outcome="error")
    expected = of(store, now, START, START + HOUR).jobs[0].projected
    for minute in (51, 52):
        story.add_run(
            store.db, START + minute * MINUTE, "backend", plan="every 5m", calls=0, outcome="refused"
        )
    found = of(store, now, START, START + HOUR)
    (job,) = found.jobs
    assert (job.failed, job.refused) == (1, 2)
    assert "1 failed, 2 refused" in " ".join(markdown(document(found)).split())
    assert to_json(found)["jobs"][0]["refused"] == 2
    assert expected is not None
    assert job.projected == expected


def test_runs_of_a_log_whose_app_records_no_calls_cost_nobody_knows_what(store: Store) -> None:
    """Not nothing."""
    now = story.tell(store.db)
    store.db.execute("update job_run set source = 'log'")
    store.db.execute("update event set run_id = null")
    store.db.execute("delete from rollup_run")
    store.db.execute("delete from rollup_day")
    (job,) = of(store, now).jobs
    assert (job.runs, job.ran.exact, job.projected) == (12, False, None)
    assert "unknown of unknown" in markdown(document(of(store, now)))


def test_what_is_unknown_of_a_sum_is_said(store: Store) -> None:
    """A call without a price, and euros nobody can convert: at least so much, and no projection."""
    now = story.tell(store.db)
    story.add_run(store.db, START + 52 * MINUTE, "backend", plan="every 5m", cost=None)
    story.add_run(store.db, START + 53 * MINUTE, "backend", plan="every 5m", currency="EUR")
    found = of(store, now, START, START + HOUR)
    (job,) = found.jobs
    assert (job.ran.unpriced, job.ran.others) == (1, (Money(COST, "EUR"),))
    assert job.projected is None
    told = markdown(document(found))
    assert "≥ $0.0132 and €0.0012" in told
    assert "1 of 14 calls has no full price; no rate converts €0.0012" in " ".join(told.split())
    assert "cannot be told" in told


def test_estimates_and_parts_without_a_price_are_marked(store: Store) -> None:
    """'~' rests on estimates; a call of which a part has no price makes the sum the least it is."""
    now = story.tell(store.db)
    store.db.execute(
        "update event set cost_status = 'estimated' where app = 'backend' and created_at < ?",
        (START + MINUTE,),
    )
    told = " ".join(markdown(document(of(store, now))).split())
    assert "~$0.0132 of ~$0.0144" in told
    assert "the usage of 1 call is estimated" in told
    store.db.execute("update event set cost_status = 'partial' where app = 'trader'")
    found = of(store, now)
    assert "~$0.0132 of ≥ $0.0144" in markdown(document(found))
    assert (found.jobs[0].ran.unpriced, found.jobs[0].extra.unpriced) == (1, 0)


def test_a_projection_is_the_runs_that_would_have_come() -> None:
    """None of what is not known, and none where no second run tells how often."""
    sums = Sums(Money(2 * COST, "USD"), 2)
    assert projected(sums, 2, HOUR, 0, 10 * HOUR) == Money(11 * COST, "USD")
    assert projected(sums, 2, HOUR, 0, 10 * HOUR + 1) == Money(12 * COST, "USD")
    assert projected(sums, 2, None, 0, HOUR) is None
    assert projected(sums._replace(unpriced=1), 2, HOUR, 0, HOUR) is None


def test_a_stretch_that_was_asked_for_has_all_of_its_jobs_and_no_others(store: Store) -> None:
    """Runs of another job, and before and after, are not in it; --job leaves the others out."""
    now = story.tell(store.db)
    story.add_run(store.db, START + 7 * MINUTE, "crawler", job="crawl", plan="", calls=3)
    found = of(store, now, START - 2 * HOUR, START + 20 * MINUTE)
    assert [(job.facts.name, job.runs, job.unplanned) for job in found.jobs] == [
        ("crawl", 1, 0),
        ("trade", 8, 5),
    ]
    assert sum(sums.calls for sums in (found.facts.spent or {}).values()) == 10
    assert [job.facts.name for job in of(store, now, START, None, "crawl").jobs] == ["crawl"]


def test_without_a_misfire_it_is_the_last_day(store: Store) -> None:
    """A planned run that did not come is told; nothing else went wrong."""
    story.settings(store.db)
    story.watched(store.db, START - 48 * HOUR, START)
    story.announce(store.db, START - 30 * HOUR, "trader", "every 60m", seen=START)
    for hour in range(30):
        if hour != 10:
            story.add_run(store.db, START - hour * HOUR - MINUTE)
    found = of(store, START)
    (job,) = found.jobs
    assert found.facts.why == "day"
    assert (job.runs, job.unplanned, job.missed) == (23, 0, 1)
    assert "1 planned run did not come" in markdown(document(found))
    assert found.told_at is None


def test_more_runs_than_are_read_are_said_to_be_missing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never told as if they were all."""
    now = story.tell(store.db)
    monkeypatch.setattr("costmon.store.incidents.MOST_RUNS", 28)
    told = " ".join(markdown(document(of(store, now))).split())
    assert "`trade` ran at least 5 times" in told
    assert "`trade`: only its first 5 runs are told; there were more" in told


def test_an_empty_ledger_says_that_nothing_happened(store: Store) -> None:
    """No table, no figure."""
    found = of(store, START)
    assert found.quiet
    told = markdown(document(found))
    assert "Nothing happened: no run, no call, no alert, no refusal is on record." in told
    assert "##" not in told
    assert "$" not in told


def test_who_lifted_what_is_in_the_order_of_events(store: Store) -> None:
    """A kill, its lifting, a bypass and its end, a failed alert and one nobody knows of; a gap."""
    db = store.db
    now = story.tell(db)
    db.execute(
        "insert into switch_journal (at, action, scope, by) values (?, 'allow', 'job=trade', 'the terminal')",
        (START + 90 * MINUTE,),
    )
    db.execute(
        "insert into override (kind, scope, by, reason, created_at, until_at, lifted_at, lifted_by)"
        " values ('bypass', 'app=backend', 'jin', 'a demo', ?, ?, ?, 'mina')",
        (START + 70 * MINUTE, START + 100 * MINUTE, START + 80 * MINUTE),
    )
    story.add_alert(
        db,
        START + 75 * MINUTE,
        "not shown",
        subject="trade",
        level=1,
        state="failed",
        attempts=3,
        detail="no daemon",
    )
    story.add_alert(db, START + 76 * MINUTE, "lost", subject="trade", level=2, state="claimed")
    story.add_alert(db, START + 77 * MINUTE, "other", subject="another job")
    told = " ".join(markdown(document(of(store, now))).split())
    order = [
        "`jin at a shell` blocks `job=trade`: `too often`",
        "`jin` lets through `app=backend` until 2026-11-21 14:51:00 +09:00: `a demo`",
        "could not be told (3 tries): `not shown`: `no daemon`",
        "nobody knows whether it was: `lost`",
        "`mina` ends the bypass of `app=backend`",
        "`the terminal` lifts the block of `job=trade`",
    ]
    places = [told.index(one) for one in order]
    assert places == sorted(places)
    assert "1 block set, 1 block lifted; 1 bypass" in told
    assert "other" not in told.replace("other plan", "")


def test_a_misfire_that_goes_on_says_so(store: Store) -> None:
    """Until now, with the block that stands."""
    now = story.tell(store.db)
    store.db.execute("update misfire set state = 'open'")
    found = of(store, now)
    assert found.facts.until == now
    assert "It goes on." in markdown(document(found))


# --- texts --------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would make of it; every tag must be closed in its order."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def rename(db: sqlite3.Connection, name: str) -> None:
    """This is every name, reason and title of the story."""
    safe = name.encode(errors="replace").decode()
    for table, columns in {
        "job_run": ("app", "job", "who", "plan"),
        "announcement": ("who", "plan", "app", "job"),
        "event": ("app", "model"),
        "misfire": ("job",),
        "alert": ("subject", "title", "channel", "detail"),
        "refusal": ("app", "reason", "scope", "rule", "model"),
        "switch_journal": ("by", "scope", "reason"),
    }.items():
        for column in columns:
            db.execute(f"update {table} set {column} = ?", (safe,))


def test_names_from_outside_do_no_harm(store: Store) -> None:
    """No tag, no link, no control character comes of them; tables keep their columns."""
    now = story.tell(store.db)
    for name in HOSTILE:
        rename(store.db, name)
        harmless(of(store, now))


def harmless(found: Incident) -> None:
    assert found.jobs[0].runs == 12
    told = document(found)
    page = Page()
    page.feed(html(told))
    page.close()
    assert page.open == []
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "code", "div",
                         "table", "tr", "th", "td"}  # fmt: skip
    assert not page.attributes & {"src", "href", "onerror", "onclick", "style"}
    text = markdown(told)
    for shown in (text, html(told), json.dumps(to_json(found), ensure_ascii=False)):
        assert not set(shown) & {*map(chr, (*range(10), *range(11, 32), *range(127, 160))), "\u202e"}
    assert _outside_code(text).count("http") == _outside_code(text).count("<") == 0
    assert "](" not in _outside_code(text)
    for row in text.splitlines():
        if row.startswith("|"):
            assert row.replace("\\|", "").count("|") in (4 + 1, 5 + 1, 7 + 1)


def _outside_code(text: str) -> str:
    """What is not in a code span, as a Markdown reader sees it."""
    out, at = "", 0
    while at < len(text):
        if text[at] != "`":
            out += text[at]
            at += 1
            continue
        fence = len(text[at:]) - len(text[at:].lstrip("`"))
        end = at + fence
        while True:
            end = text.find("`" * fence, end)
            assert end >= 0, "a code span that does not end"
            run = len(text[end:]) - len(text[end:].lstrip("`"))
            if run == fence:
                break
            end += run
        at = end + fence
    return out


def test_the_html_needs_nothing_and_nobody(store: Store) -> None:
    """No script, no request, light and dark and printed."""
    shown = html(document(of(store, story.tell(store.db))))
    assert "http" not in shown.replace("http-equiv", "")
    assert "<script" not in shown
    for wanted in ("default-src 'none'", "prefers-color-scheme: dark", "@media print", '<html lang="en">'):
        assert wanted in shown
    page = Page()
    page.feed(shown)
    assert "trade ran 12 times, 11 of them planned by nobody: $0.0132 of $0.0144." in page.text


def test_the_markdown_of_the_story(store: Store) -> None:
    """Word for word; nothing but a table is wider than 80 columns."""
    told = markdown(document(of(store, story.tell(store.db))))
    assert max(len(row) for row in told.splitlines() if not row.startswith("|")) <= 80
    assert told == Path(__file__).with_name("story.md").read_text(encoding="utf-8")


def test_programs_get_the_same(store: Store) -> None:
    """Money as amount and currency, times with their offset."""
    told = to_json(of(store, story.tell(store.db)))
    (job,) = told["jobs"]
    assert job["extra"]["cost"] == {"amount": "0.0132", "currency": "USD"}
    assert job["extra"]["complete"] is True
    assert job["projected_cost"] == {"amount": "3.2664", "currency": "USD"}
    assert job["first_unplanned_at"] == "2026-11-21T13:11:00+09:00"
    (move,) = told["switch"]
    assert list(move.values()) == [
        "2026-11-21T14:09:00+09:00",
        "kill",
        "job=trade",
        "jin at a shell",
        "too often",
    ]
    assert told["quiet"] is False
