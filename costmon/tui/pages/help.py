"""Help over the page: the keys, and what the words and marks mean."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from costmon.tui import keys

_WORDS = (
    ("≥ $1.20", "more was spent: some calls have no known price"),
    ("~$0.02", "rests on estimates, the provider reported no usage"),
    ("$1.14–$1.38", "least and most: estimates, calls in flight, no price"),
    ("reserved", "money held for calls that are in flight"),
    ("past 80 %", "this warning level was crossed in this period"),
    ("part blocked", "apps that are not essential are refused"),
    ("BLOCKED", "every call the budget covers is refused"),
    ("DRY RUN", "budgets and rules decide and record, but refuse nothing"),
    ("BYPASS", "nothing is refused for a while: costmon bypass tells why"),
    ("NOBODY WARNS", "budgets hold, but no pop-up comes: run costmon watch"),
    ("unknown price", "no price is on file; names like it are never priced by"),
    ("source", "a provider's endpoint, or a folder of its invoices, that is read"),
    ("billed", "provider figure: what the provider says that was spent"),
    ("logged", "own figure: what your apps logged for the same UTC days"),
    ("unlogged spend", "billed less logged: spend of something costmon does not see"),
    ("≤ $1.00", "at most: some logged calls have no price, or are in flight"),
    ("settling", "that day is over, but its bill may still grow; final: it will not"),
    ("stale", "that source has not been read for three of its rhythms"),
    ("MISFIRE", "runs nobody planned: more often than the plan, or by a second process"),
    ("12/1", "in the jobs: runs, and how many of them were planned"),
    ("● < > ○", "in a job's day: as planned, early, late, missed"),
    ("! ✗ ⊘ » ◦ ▪", "unexpected, failed, refused, running, explained (by hand), no plan"),
    ("UNCONFIRMED", "a rhythm seen in a job's runs that nobody planned"),
    ("may not obey", "that app has not looked at the switch for 10 minutes"),
)
_OTHERS = (
    ("c m s", "In the estimate: a call, a month of calls, a server of one's own"),
    ("ctrl+k", "Stop all, also where letters are typed"),
    ("esc o", "Out of a field; back to the overview"),
    ("/ enter", "In the prices: search, and the whole rate card"),
    ("← → enter", "In the bills: next provider, and the models of a day"),
    ("s enter", "In the jobs: next or worst first, and everything of one"),
    ("↑ ↓ PgUp PgDn", "Scroll the live feed"),
    ("tab", "Go to the next panel"),
    ("ctrl+p", "Command palette"),
)


class HelpPage(ModalScreen[None]):
    BINDINGS = [  # noqa: RUF012
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close"),
        *keys.SWITCH,
        keys.THEME,
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "costmon help"
            box.border_subtitle = "esc closes"
            yield Static(help_table(_key_rows()), markup=False)


def _key_rows() -> list[tuple[str, str]]:
    """One row per binding; a key that does two things is named once."""
    rows: list[tuple[str, str]] = []
    last = ""
    for binding in keys.OVERVIEW:
        if isinstance(binding, Binding):
            key = binding.key.replace("question_mark", "?")
            rows.append(("" if key == last else key, binding.tooltip))
            last = key
    return [*rows, *_OTHERS]


def help_table(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, entries in (("Keys", rows), ("Words", list(_WORDS))):
        table.add_row(Text(title, "bold"))
        for word, meaning in entries:
            table.add_row(Text(f"  {word}", "bold"), Text(meaning))
        table.add_row()
    return table
