"""The keys, in the order the footer shows them. Ids are what a keymap refers to."""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding, BindingType

_STOP = "Refuse every call of every app, at once"
_ALLOW = "Lift the block set by hand, so that calls go out again"
# Two bindings under one id: which one holds depends on the switch (`CostmonApp.check_action`).
SWITCH: list[BindingType] = [
    Binding("k", "app.stop", "Stop all", id="switch", tooltip=_STOP),
    Binding("k", "app.allow", "Allow", id="switch", tooltip=_ALLOW),
]
THEME = Binding("t", "app.next_theme", "Theme", id="theme", tooltip="Change to the next theme")
FREEZE: list[BindingType] = [
    Binding("f", "freeze", "Freeze", id="freeze", tooltip="Hold the live feed still while you read it"),
    Binding("f", "unfreeze", "Go on", id="freeze", tooltip="Let the live feed go on"),
]
HELP = Binding("question_mark", "app.help", "Help", id="help", tooltip="Keys, and what the words mean")
QUIT = Binding(
    "q", "app.quit", "Quit", id="quit", tooltip="Close this terminal app; budgets go on being enforced"
)
ESTIMATE = Binding(
    "e", "app.page('estimate')", "Estimate", id="estimate", tooltip="What a call, a month or a server costs"
)
PRICES = Binding(
    "p", "app.page('prices')", "Prices", id="prices", tooltip="What every model costs, to search"
)
RECONCILE = Binding(
    "r",
    "app.page('reconcile')",
    "Bills",
    id="reconcile",
    tooltip="What providers bill beside what apps logged",
)
JOBS = Binding(
    "j",
    "app.page('schedule')",
    "Jobs",
    id="schedule",
    tooltip="What runs next, what ran too often, and what it costs",
)


def hidden(*bindings: Binding) -> list[BindingType]:
    """The same keys without a place in the footer, where 80 columns have no room for them."""
    return [replace(binding, show=False) for binding in bindings]


# Where letters are typed, the stop key is another (`PricedPage.check_action`): one key stops everything everywhere.
_STOP_TYPING = "As k, also while you type"
SWITCH_TYPING: list[BindingType] = [
    Binding("ctrl+k", "stop_typing", "Stop all", id="switch.typing", tooltip=_STOP_TYPING, priority=True),
    Binding("ctrl+k", "allow_typing", "Allow", id="switch.typing", tooltip=_STOP_TYPING, priority=True),
]
SWITCH_CTRL: list[BindingType] = [
    Binding("ctrl+k", "app.stop", "Stop all", id="switch.typing", tooltip=_STOP_TYPING, show=False),
    Binding("ctrl+k", "app.allow", "Allow", id="switch.typing", tooltip=_STOP_TYPING, show=False),
]
BACK: list[BindingType] = [
    Binding(
        "o", "app.page('overview')", "Overview", id="overview", tooltip="Back to the overview", show=False
    ),
    Binding("escape", "back", "Back", id="back", tooltip="Out of a field; then back to the overview"),
]
SECTIONS: list[BindingType] = [
    Binding("c", "section('call')", "Call", id="section.call", tooltip="What one call costs", show=False),
    Binding(
        "m",
        "section('month')",
        "Month",
        id="section.month",
        tooltip="What so many calls a day cost",
        show=False,
    ),
    Binding(
        "s",
        "section('server')",
        "Server",
        id="section.server",
        tooltip="When a server of one's own is cheaper",
        show=False,
    ),
]
OVERVIEW: list[BindingType] = [
    *SWITCH,
    *FREEZE,
    JOBS,
    ESTIMATE,
    PRICES,
    RECONCILE,
    *hidden(THEME),
    HELP,
    QUIT,
]
CALCULATOR: list[BindingType] = [
    *SWITCH,
    *SWITCH_TYPING,
    *SECTIONS,
    PRICES,
    RECONCILE,
    *hidden(JOBS),
    *BACK,
    THEME,
    HELP,
    QUIT,
]
CATALOGUE: list[BindingType] = [
    *SWITCH,
    *SWITCH_TYPING,
    ESTIMATE,
    RECONCILE,
    *hidden(JOBS),
    *BACK,
    THEME,
    HELP,
    QUIT,
]
BILLS: list[BindingType] = [
    *SWITCH,
    *SWITCH_CTRL,
    Binding("enter", "open", "Models", id="reconcile.open", tooltip="The models of a day"),
    ESTIMATE,
    PRICES,
    *hidden(JOBS),
    *BACK,
    THEME,
    HELP,
    QUIT,
]
SCHEDULE: list[BindingType] = [
    *SWITCH,
    *SWITCH_CTRL,
    Binding("enter", "open", "Details", id="schedule.open", tooltip="Everything known of a job"),
    Binding("s", "sort", "Sort", id="schedule.sort", tooltip="The worst first, or by when they run next"),
    *hidden(ESTIMATE, PRICES),
    RECONCILE,
    *BACK,
    THEME,
    HELP,
    QUIT,
]
