"""The keys, in the order the footer shows them. Ids are what a keymap refers to."""

from __future__ import annotations

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
EVERYWHERE: list[BindingType] = [*SWITCH, THEME, HELP, QUIT]
OVERVIEW: list[BindingType] = [*SWITCH, *FREEZE, THEME, HELP, QUIT]
