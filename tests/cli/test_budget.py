"""`costmon budget` from the shell: what it sets holds at once, and the user's file stays the user's."""

from __future__ import annotations

import json
import stat
import threading

import pytest
from click.testing import CliRunner

from costmon.cli.budget import budget
from costmon.shim.events import new_id
from costmon.store import open_ledger

FILE = """\
# my settings
time_zone = "Asia/Seoul"   # home

[[currency.rate]]
base = "USD"
quote = "KRW"
rate = 1385.2
date = 2020-01-01

[budget.total]
amount = "1 USD"  # the board said so
# a note
period = "day"

# who serves what
[hosts]
"a.example" = "openai"
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COSTMON_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


@pytest.fixture
def file(home):
    path = home / "config.toml"
    path.write_text(FILE)
    return path


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(budget, args)
    assert result.exit_code == code, result.output
    return result.output


def listed() -> dict[str, dict[str, object]]:
    return {entry["name"]: entry for entry in json.loads(run("list", "--json"))["budgets"]}


def spend(home, nano: int | None, app: str = "trader", reserved: int = 0) -> None:
    store = open_ledger(str(home))
    now = store.now()
    store.db.execute(
        "insert into event (id, created_at, local_day_at, machine, source, app, api, provider, model, state, outcome,"
        " cost, currency, cost_status, reserved)"
        " values (?, ?, 0, 'm', 'shim', ?, 'chat', 'openai', 'gpt-4o', 'settled', 'ok', ?, 'USD', 'priced', ?)",
        (new_id(now), now, app, nano, reserved),
    )
    store.close()


def test_the_first_budget_makes_the_file_and_holds(home):
    """One line in a fresh shell is all it takes."""
    output = run("set", "total", "0.10USD", "--period", "day")
    assert output.startswith('Budget "total": $0.10 a day for everything; this day ends ')
    assert "Already spent in it: $0.00, 0 %." in output
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    found = listed()["total"]
    assert (found["limit"], found["period"], found["scope"]) == (
        {"amount": "0.1", "currency": "USD"},
        "day",
        "all",
    )


def test_a_new_budget_is_monthly_and_says_what_is_already_spent(home):
    """What was spent before the budget existed counts."""
    spend(home, 84_000_000)
    spend(home, None, reserved=1_000_000)
    output = run("set", "total", "0.10 USD")
    assert "$0.10 a month" in output
    assert "Already spent in it: ≥ $0.084, 1 call unpriced, 85 %." in output
    assert "assumed to have cost $0.001" in output
    found = listed()["total"]
    assert {key: found[key] for key in ("ratio", "level", "blocks", "calls", "unpriced")} == {
        "ratio": 0.85,
        "level": 80,
        "blocks": "",
        "calls": 2,
        "unpriced": 1,
    }
    assert found["spent"] == {"amount": "0.084", "currency": "USD"}
    assert found["assumed"] == {"amount": "0.001", "currency": "USD"}
    assert found["remaining"] == {"amount": "0.015", "currency": "USD"}
    assert str(found["start"]).endswith("Z")


def test_a_budget_already_spent_says_whom_it_stops(home):
    """Setting a limit that is passed already is no surprise later."""
    spend(home, 96_000_000)
    assert "It refuses apps that are not essential now." in run("set", "total", "0.10USD")
    assert "It refuses every call in its scope now." in run("set", "total", "0.05USD")


def test_set_changes_only_what_is_given_and_keeps_comments(file):
    """The user's notes and other keys survive every edit, in their places."""
    run("set", "total", "2 USD", "--levels", "50,100", "--mode", "strict")
    expected = FILE.replace("1 USD", "2 USD")
    expected = expected.replace('period = "day"\n', 'period = "day"\nmode = "strict"\nlevels = [50, 100]\n')
    assert sorted(file.read_text().splitlines()) == sorted(expected.splitlines())
    assert file.read_text().index("levels") < file.read_text().index("# who serves what")
    run("set", "total", "3 USD", "--period", "week")
    assert 'period = "week"' in file.read_text()
    assert 'amount = "3 USD"  # the board said so' in file.read_text()


def test_set_and_rm_leave_the_file_as_it_was(file):
    """Trying a budget out costs nothing."""
    run("set", "my app", "15,000 KRW", "--scope", "app=trader", "--time-zone", "Europe/Berlin")
    assert '[budget."my app"]' in file.read_text()
    found = listed()["my app"]
    assert (found["limit"], found["scope"], found["time_zone"]) == (
        {"amount": "15000", "currency": "KRW"},
        "app=trader",
        "Europe/Berlin",
    )
    assert 'Budget "my app" is removed.' in run("rm", "my app")
    assert file.read_text().rstrip() == FILE.rstrip()
    assert list(listed()) == ["total"]


def test_rm_keeps_the_comments_around(file):
    """What is written above the next table still stands above it."""
    run("rm", "total")
    assert "# who serves what\n[hosts]" in file.read_text()
    assert "budget" not in file.read_text()


@pytest.mark.parametrize(
    "text",
    [
        '[budget]\ntotal = { amount = "1 USD", period = "day" }\n',
        '[budget]\ntotal.amount = "1 USD"\ntotal.mode = "strict"\n',
    ],
)
def test_other_ways_to_write_a_budget_are_edited_too(home, text):
    """Inline tables and dotted keys are the user's choice."""
    path = home / "config.toml"
    path.write_text(text)
    run("set", "total", "2 USD", "--levels", "60")
    assert listed()["total"]["limit"] == {"amount": "2", "currency": "USD"}
    run("rm", "total")
    assert listed() == {}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["set", "total", "10"], "no currency"),
        (["set", "total", "nan USD"], "10 USD"),
        (["set", "total", "--", "-5USD"], "more than zero"),
        (["set", "a/b", "1USD"], "A-Z"),
        (["set", "total", "1USD", "--scope", "ap=x"], 'did you mean "app"'),
        (["set", "total", "1USD", "--levels", "80,70"], "[70, 80]"),
        (["set", "total", "1USD", "--levels", "a"], "70,80,90"),
        (["set", "total", "1USD", "--period", "year"], "year"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_changes_nothing(file, args, says):
    """A typo on the command line never reaches the file."""
    assert says in run(*args, code=2)
    assert file.read_text() == FILE


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["set", "total", "1 EUR"], "[[currency.rate]]"),
        (["set", "total", "1USD", "--time-zone", "Seoul"], '"Asia/Seoul"'),
        (["rm", "totle"], "there is total"),
    ],
)
def test_what_the_file_would_not_bear_is_refused(file, args, says):
    """An edit that would break the file is not made."""
    assert says in run(*args, code=1)
    assert file.read_text() == FILE


def test_a_broken_file_is_not_edited(file):
    """A command never hides or worsens what the user has to mend."""
    file.write_text(FILE + "x = 1\nx = 2\n")
    assert "config.toml, line" in run("set", "total", "5USD", code=1)
    assert file.read_text().endswith("x = 2\n")


def test_list_shows_the_last_good_budgets_of_a_broken_file(file):
    """While the file is wrong, the list says so and shows what holds."""
    run("list")
    file.write_text("oops")
    output = run("list")
    assert "line 1" in output
    assert "last good version" in output
    assert "total" in output


def test_list_is_a_table_for_people(file):
    """Spent, limit, share, level and the end of the period fit one line each."""
    header, row = run("list").splitlines()
    assert header.split() == [
        "NAME",
        "SCOPE",
        "PERIOD",
        "SPENT",
        "BETWEEN",
        "LIMIT",
        "USED",
        "LEVEL",
        "RESETS",
    ]
    assert row.startswith("total")
    assert row.endswith("00:00 KST")


def test_list_without_budgets_says_how_to_set_one(home):
    """An empty list is a hint, not a void."""
    assert "costmon budget set total 10USD" in run("list")
    assert json.loads(run("list", "--json")) == {"budgets": []}


def test_budgets_set_at_once_all_stay(home):
    """Two shells setting budgets at the same moment do not undo each other."""
    from costmon.cli import budget as module

    threads = [
        threading.Thread(
            target=module._edit,
            args=(lambda text, n=n: module._with_budget(text, f"b{n}", {"amount": "1 USD"}),),
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(listed()) == {f"b{n}" for n in range(8)}
