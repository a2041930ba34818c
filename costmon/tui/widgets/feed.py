"""The live feed: one row per call or refusal, newest on top, in columns that the terminal's width decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, NamedTuple

from textual.binding import BindingType
from textual.reactive import var

from costmon.monitor.snapshot import FeedRow, Snapshot
from costmon.tui.format import count, fit, latency, money, on_the_point, safe, zone
from costmon.tui.lines import Line, Span
from costmon.tui.widgets.panel import Panel

_EMPTY = (
    (("No call yet.", "strong"), (" Run your app under costmon:", "")),
    (("costmon run -- python app.py", "key"),),
)
_STATES = {
    "reserved": ("in flight", "name"),
    "ok": ("ok", "dim"),
    "error": ("error", "bad"),
    "unknown": ("unknown", "warn"),
    "dropped": ("dropped", "warn"),
    "refused": ("REFUSED", "bad"),
    "excused": ("DRY RUN", "warn"),
}
_NOTE = 26
"""Cells from which on notes get a column of their own."""


class Column(NamedTuple):
    """`cell` gives a row's text and style; a row without figures has its note in the `figure` columns."""

    title: str
    width: int
    cell: Callable[[FeedRow], Span]
    right: bool = False
    figure: bool = False


class Feed(Panel):
    """Scrolls under a fixed header. Rows stand still while it is frozen or scrolled away from its top."""

    BORDER_TITLE = "Live feed"
    FIXED = 1
    BINDINGS: ClassVar[list[BindingType]] = []

    frozen: var[bool] = var(False)

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._rows: tuple[FeedRow, ...] = ()

    def watch_frozen(self) -> None:
        self.set_class(self.frozen, "-frozen")
        self.redraw()

    def redraw(self) -> None:
        if self.snapshot is None:
            return
        new = self.snapshot.feed
        if self.frozen:
            newer = newer_than(new, self._rows)
            self._say(f"FROZEN · {newer} newer · f goes on" if newer else "FROZEN · f goes on")
        else:
            top = self.scroll_offset.y
            moved = newer_than(new, self._rows[top:]) - top if top else 0
            self._rows = new
            self._say("newest first" if new else "")
            if moved > 0:
                self.scroll_to(y=top + moved, animate=False, force=True)
        super().redraw()

    def _say(self, subtitle: str) -> None:
        if self.border_subtitle != subtitle:
            self.border_subtitle = subtitle

    def lines(self, snapshot: Snapshot, now: datetime, width: int) -> list[Line]:
        rows = self._rows if self.frozen else snapshot.feed
        return (
            table(rows, now, width, snapshot.time_zone)
            if rows
            else (list(_EMPTY) if snapshot.readable else [])
        )


def newer_than(rows: tuple[FeedRow, ...], seen: tuple[FeedRow, ...]) -> int:
    """How many of `rows` (newest first) came after the newest of `seen` that is still among them."""
    position = {row.key or str(row.at): number for number, row in reversed(list(enumerate(rows)))}
    return next(
        (position[key] for row in seen if (key := row.key or str(row.at)) in position),
        len(rows) if seen else 0,
    )


def table(rows: tuple[FeedRow, ...], now: datetime, width: int, zone_name: str) -> list[Line]:
    """The header and one line per row, each exactly as wide as the columns together."""
    gap = " " if width < 74 else "  "
    shown = _columns(rows, now, width, zone_name)
    head = gap.join(fit(column.title, column.width, right=column.right) for column in shown)
    noted = any(column.title == "note" for column in shown)
    return [((head, "head"),), *(_row(row, shown, gap, noted) for row in rows)]


def _columns(rows: tuple[FeedRow, ...], now: datetime, width: int, zone_name: str) -> list[Column]:
    gap = 1 if width < 74 else 2
    time = Column("time", 8, lambda row: (_time(row.at, now, zone_name), "dim"))
    figures = _figures(rows, width)
    room = width - time.width - sum(column.width + gap for column in figures)
    return [time, *_names(room, width, gap), *figures, *_note(room, width, gap)]


def _figures(rows: tuple[FeedRow, ...], width: int) -> list[Column]:
    costs = on_the_point(_cost(row) for row in rows if row.cost is not None)
    cost_width = max(12 if width >= 90 else 9, *(len(text) for text in costs.values()), 0)
    columns = [
        Column("in", 5, lambda row: (_tokens(row.input_tokens), ""), right=True, figure=True),
        Column("out", 5, lambda row: (_tokens(row.output_tokens), ""), right=True, figure=True),
        Column("cost", cost_width, lambda row: _price(row, costs), right=True, figure=True),
        Column("state", 12, _state),
    ]
    if width < 66:
        return columns[2:]
    if width >= 120:
        columns.insert(3, Column("took", 7, _took, right=True, figure=True))
    return columns


def _names(room: int, width: int, gap: int) -> list[Column]:
    """App and model always; route and provider when the terminal is wide. They share what the figures leave."""
    if width < 90:
        rest = max(12, room - 2 * gap)
        app = min(14, rest * 2 // 5)
        # Where no tokens are shown, a note needs the model's place too.
        return [Column("app", app, _app), Column("model", rest - app, _model, figure=width < 66)]
    if width < 120:
        rest = room - 3 * gap
        app, route = rest // 4, rest // 3
        return [
            Column("app", app, _app),
            Column("model", rest - app - route, _model),
            Column("route", route, _route),
        ]
    names = [Column("app", 14, _app), Column("model", 24, _model), Column("route", 14, _route)]
    if width >= 160:
        names.insert(1, Column("provider", 12, _provider))
    spare = room - sum(column.width + gap for column in names)
    if spare < _NOTE:
        names[-2] = names[-2]._replace(width=names[-2].width + spare)
    return names


def _note(room: int, width: int, gap: int) -> list[Column]:
    """A column for notes only where it is wide enough to read them."""
    left = room - sum(column.width + gap for column in _names(room, width, gap)) - gap
    return (
        [Column("note", left, lambda row: (safe(row.note), ""))]
        if width >= 120 and left >= _NOTE - gap
        else []
    )


def _row(row: FeedRow, shown: list[Column], gap: str, noted: bool) -> Line:
    refused = row.state == "refused"
    note_style = "refused" if refused else "warn" if row.state == "excused" else "dim"
    spans: list[Span] = []
    note_width = 0
    for column in shown:
        if column.figure and row.note and not noted and row.cost is None:
            # The figures of such a row are empty, so its note may stand in their place.
            note_width += column.width + len(gap)
            continue
        if note_width:
            spans += [
                (fit(safe(row.note), note_width - len(gap)), note_style),
                (gap, ""),
            ]
            note_width = 0
        text, style = column.cell(row)
        spans += [
            (
                fit(text, column.width, right=column.right),
                style if style == "bad" or not refused else "refused",
            )
        ]
        spans.append((gap, ""))
    return tuple(spans[:-1])


def _time(at: datetime, now: datetime, zone_name: str) -> str:
    local = at.astimezone(zone(zone_name))
    if local.date() == now.astimezone(zone(zone_name)).date():
        return f"{local:%H:%M:%S}"
    return f"{local.day:>2} {local:%b}"


def _app(row: FeedRow) -> Span:
    return (safe(row.app) or "(none)", "")


def _model(row: FeedRow) -> Span:
    return (safe(row.model) or "(unknown)", "")


def _route(row: FeedRow) -> Span:
    return (safe(row.route) or "-", "dim")


def _provider(row: FeedRow) -> Span:
    return (safe(row.provider) or "-", "dim")


def _took(row: FeedRow) -> Span:
    return (latency(row.duration) if row.duration else "", "dim")


def _tokens(number: int | None) -> str:
    return "-" if number is None else count(number)


def _cost(row: FeedRow) -> str:
    """A sum with '~' when it rests on an estimate, with '≥' when a part has no price."""
    if row.cost is None:
        return ""
    return {"estimated": "~", "partial": "≥ "}.get(row.cost_status, "") + money(row.cost)


def _price(row: FeedRow, aligned: dict[str, str]) -> Span:
    if row.cost is not None:
        return ("free", "dim") if row.cost_status == "free" else (aligned[_cost(row)], "strong")
    if row.state == "reserved":
        return ("…", "dim")
    return ("-", "dim") if row.state in ("refused", "excused", "error") else ("unpriced", "warn")


def _state(row: FeedRow) -> Span:
    word, style = _STATES.get(row.state, (safe(row.state), ""))
    if row.calls < 2:
        return (word, style)
    return (f"{word} {row.calls}×" if row.calls < 1000 else f"{word} >1k×", style)
