"""What the calculators answer: one row per model, with everything that is not known said. Pure on a price book."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from costmon.pricing.calculators.breakeven import BreakEven, Comparison, Server, break_even, compare
from costmon.pricing.calculators.estimate import Band, Call, Estimate, estimate, exactly, output_band
from costmon.pricing.calculators.scenario import Load, Scenario, converted, scenario, whole_nano
from costmon.pricing.lookup.show import Found
from costmon.pricing.lookup.timetable import window_said
from costmon.pricing.tokens.count import count_tokens
from costmon.shim.cards import price_version
from costmon.shim.money import convert
from costmon.tui.format import fine_money, safe
from costmon.tui.pricebook import PriceBook
from costmon.tui.questions import CallQuestion, MonthQuestion, Question, ServerQuestion

_BATCH_GAP = "processing=batch"


class Cell(NamedTuple):
    """A figure under its heading; `style` is one of a panel's."""

    head: str
    text: str
    style: str = ""


class Note(NamedTuple):
    text: str
    style: str = "dim"


class Row(NamedTuple):
    """One model: `said` replaces the figures when there are none, `mark` stands beside them."""

    name: str
    cells: tuple[Cell, ...] = ()
    notes: tuple[Note, ...] = ()
    said: str = ""
    mark: str = ""


class Answer(NamedTuple):
    """`head` stands above the rows, `notes` below them, `about` says how old the prices are."""

    rows: tuple[Row, ...]
    head: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    about: str = ""


def answer(book: PriceBook, question: Question) -> Answer:
    """The answer to a question. Takes some 0.1 s for each model that is asked for the first time."""
    if isinstance(question, CallQuestion):
        found = _of_call(book, question)
    elif isinstance(question, MonthQuestion):
        found = _of_month(book, question)
    else:
        found = _of_server(book, question)
    problems = tuple(Note(safe(problem), "warn") for problem in book.problems)
    return found._replace(notes=(*found.notes, *problems), about=book.about())


# --- a call -------------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    name: str
    found: Found | None
    done: Estimate
    method: str


def _of_call(book: PriceBook, question: CallQuestion) -> Answer:
    lines = [_call_line(book, question, name) for name in question.models]
    costs = {
        line.name: (line.done.currency, Fraction(line.done.cost.best))
        for line in lines
        if line.done.cost is not None and line.done.status != "partial"
    }
    best = _cheapest(book, costs, question.at_us)
    exact = all(line.done.cost is None or line.done.cost.exact for line in lines)
    rows = tuple(_call_row(book, question.at_us, line, exact, best) for line in lines)
    notes = dict.fromkeys(note for line in lines for note in line.done.notes)
    return Answer(rows, notes=tuple(Note(note) for note in notes))


def _call_line(book: PriceBook, question: CallQuestion, name: str) -> _Line:
    found = book.find(name, question.at_us)
    card = found.card if found is not None else None
    if question.prompt:
        counted = count_tokens(question.prompt, name)
        tokens, method = Band(counted.low, counted.tokens, counted.high), counted.method
    else:
        tokens, method = exactly(question.input), ""
    if question.output is None:
        output, note = output_band(card, question.most, book.assumed_output)
    elif question.most is not None:
        output, note = Band(0, question.output, question.most), ""
    else:
        output, note = exactly(question.output), ""
    done = estimate(card, Call(tokens, output, question.cached))
    if note and card is not None:
        done = replace(done, notes=(note, *done.notes))
    window = window_said(found.entry, question.at_us) if found is not None else ""
    if window:
        done = replace(done, notes=(*done.notes, window))
    return _Line(name, found, done, method)


def _call_row(book: PriceBook, at_us: int, line: _Line, exact: bool, best: str) -> Row:
    done, found = line.done, line.found
    if found is None:
        return _unknown(book, line.name)
    sizes = (Cell("input", _count(done.call.input)), Cell("output", _count(done.call.output)))
    notes = [_source(found)]
    if line.method:
        notes.append(Note(f"input counted by {safe(line.method)}"))
    missing = [unit for unit in done.unpriced if unit != _BATCH_GAP]
    if missing:
        notes.append(Note(f"no price for {safe(', '.join(missing))}", "warn"))
    if done.cost is None:
        return Row(line.name, sizes, tuple(notes), said="unknown cost")
    bound = "≥ " if missing else ""
    if exact:
        cells: tuple[Cell, ...] = (Cell("cost", bound + fine_money(done.cost.best, done.currency), "strong"),)
    else:
        styles = ("dim", "strong", "dim")
        cells = tuple(
            Cell(head, bound + fine_money(nano, done.currency), style)
            for head, nano, style in zip(("low", "best", "high"), done.cost, styles, strict=True)
        )
    others = _others(book, done.currency, done.cost, at_us, bound)
    if exact:
        cells = (*cells, *(cell for cell, _ in others))
    else:
        notes[1:1] = [Note(text, "") for _, text in others]
    mark = "cheapest" if line.name == best else ""
    return Row(line.name, (*sizes, *cells), tuple(notes), mark=mark)


def _others(book: PriceBook, currency: str, cost: Band, at_us: int, bound: str) -> list[tuple[Cell, str]]:
    """The cost in the display currency and in USD, where those are not the card's own, as a cell and as a sentence."""
    found = []
    for other in dict.fromkeys((book.currency, "USD")):
        if other == currency:
            continue
        rate = book.rate(currency, other, at_us)
        if rate is None:
            found.append((Cell(f"in {other}", "no rate", "warn"), _no_rate(currency, other)))
            continue
        low, best, high = (bound + fine_money(convert(nano, rate), other) for nano in cost)
        between = "" if cost.exact else f" ({low} to {high})"
        found.append((Cell(f"in {other}", best), f"in {other}: {best}{between}"))
    return found


def _count(band: Band) -> str:
    return f"{band.best:,}" if band.exact else f"{band.low:,}–{band.high:,}"


# --- a month ------------------------------------------------------------------------------------------------


def _of_month(book: PriceBook, question: MonthQuestion) -> Answer:
    load, at_us = question.load, question.at_us
    results = {name: _scenario(book, question, name) for name in question.models}
    costs = {
        name: (result.currency, result.call)
        for name, (_, result) in results.items()
        if result.call is not None and not _missing(result)
    }
    best = _cheapest(book, costs, at_us)
    rows = tuple(_month_row(book, at_us, name, *found, best) for name, found in results.items())
    return Answer(rows, (f"{decimal(load.calls_per_day)} calls a day",))


def _scenario(book: PriceBook, question: MonthQuestion, name: str) -> tuple[Found | None, Scenario]:
    found = book.find(name, question.at_us)
    if found is None:
        return None, scenario(None, None, question.load)
    at_us = question.at_us
    return found, found.cost_of(at_us, question.load)


def _month_row(
    book: PriceBook, at_us: int, name: str, found: Found | None, result: Scenario, best: str
) -> Row:
    if found is None:
        return _unknown(book, name)
    missing = _missing(result)
    notes = [_source(found), *(Note(note) for note in result.notes)]
    between = result.range_of_days(result.load.days)
    if between is not None:
        low, high = (fine_money(nano, result.currency) for nano in between)
        notes.append(
            Note(f"{_span(result.load.days)}: {low} in the cheapest hours alone, {high} in the dearest", "")
        )
    if missing:
        notes.append(Note(f"no price for {safe(', '.join(missing))}", "warn"))
    if result.call is None:
        return Row(name, (), tuple(notes), said="unknown cost")
    bound, days = ("≥ " if missing else ""), result.load.days
    sums = [("a call", whole_nano(result.call)), ("a day", result.of_days(1)), ("a week", result.of_days(7))]
    cells = [Cell(head, bound + fine_money(nano or 0, result.currency, digits=6)) for head, nano in sums]
    total = result.of_days(days) or 0
    span = _span(days)
    cells.append(Cell(span, bound + fine_money(total, result.currency), "strong"))
    for other in dict.fromkeys((book.currency, "USD")):
        if other == result.currency:
            continue
        rate = book.rate(result.currency, other, at_us)
        if rate is None:
            cells.append(Cell(f"{span}, {other}", "no rate", "warn"))
            notes.append(Note(_no_rate(result.currency, other), "warn"))
        else:
            cells.append(Cell(f"{span}, {other}", bound + fine_money(convert(total, rate), other)))
    return Row(name, tuple(cells), tuple(notes), mark="cheapest" if name == best else "")


def _missing(result: Scenario) -> list[str]:
    return [unit for unit in result.unpriced if unit != _BATCH_GAP]


def _span(days: int) -> str:
    return "1 day" if days == 1 else f"{days:,} days"


# --- a server -----------------------------------------------------------------------------------------------


def _of_server(book: PriceBook, question: ServerQuestion) -> Answer:
    own = Server(Fraction(question.price.nano), question.speed, question.hours)
    alone = break_even(own, Fraction(0), question.output)
    currency = question.price.currency
    served = f"enough for {alone.capacity:,} calls of {question.output:,} output tokens"
    head = [f"the server: {_exact(own.day, currency)} a day, {served}"]
    if alone.full_request is not None:
        head.append(f"{_exact(alone.full_request, currency)} a call when it is always busy")
    for other in dict.fromkeys((book.currency, "USD")):
        rate = book.rate(currency, other, question.at_us)
        if other != currency and rate is not None:
            head.append(f"in {other}: {_exact(converted(own.day, rate), other)} a day")
    rows = tuple(_server_row(book, question, name) for name in question.models)
    left_out = "not counted: power, people, a spare server, and whether the answers are as good"
    return Answer(rows, tuple(head), (Note(left_out),))


def _server_row(book: PriceBook, question: ServerQuestion, name: str) -> Row:
    found = book.find(name, question.at_us)
    if found is None:
        return _unknown(book, name)
    card = found.card
    load = Load(Fraction(1), question.input, question.output)
    request = found.cost_of(question.at_us, load)
    api, gaps = request.call, request.unpriced
    if api is None or gaps:
        missing = Note(f"no price for {safe(', '.join(gaps))}, so there is nothing to compare with", "warn")
        return Row(name, (), (_source(found), missing), said="unknown cost")
    rate = book.rate(question.price.currency, card.currency, question.at_us)
    if rate is None:
        return Row(
            name,
            (),
            (_source(found), Note(_no_rate(card.currency, question.price.currency), "warn")),
            said="no rate",
        )
    price = converted(Fraction(question.price.nano), rate)
    result = break_even(Server(price, question.speed, question.hours), api, question.output)
    cells = [Cell("API, a call", _exact(api, card.currency)), *_from_cells(result)]
    notes = [Note(_verdict(result), "warn")] if result.from_requests is None else []
    notes += [Note(note) for note in request.notes]
    if question.calls is not None:
        at_load = compare(result, question.calls)
        if at_load is not None:
            cells += _load_cells(at_load, card.currency)
            notes.append(Note(_at_load(at_load), ""))
            notes += [Note(text) for text in _load_elsewhere(book, at_load, card.currency, question.at_us)]
    return Row(name, tuple(cells), (*notes, _source(found)))


def _from_cells(result: BreakEven) -> list[Cell]:
    if result.from_requests is None:
        return [Cell("cheaper from", "never", "warn")]
    used = decimal((result.utilisation or Fraction(0)) * 100, 1)
    used = used if "." in used else f"{used}.0"  # below each other on the point
    return [
        Cell("cheaper from", f"{result.from_requests:,} a day", "strong"),
        Cell("server busy", f"{used} %"),
    ]


def _load_cells(at_load: Comparison, currency: str) -> list[Cell]:
    cells = []
    for who, cost in (("api", at_load.api), ("server", at_load.hosted)):
        style = "strong" if at_load.cheaper == who else ""
        head = "API, 30 days" if who == "api" else "server, 30 days"
        cells.append(Cell(head, _exact(30 * cost, currency), style))
    return cells


def _at_load(at_load: Comparison) -> str:
    servers = "one server" if at_load.servers == 1 else f"{at_load.servers:,} servers"
    said = {
        "server": f"{servers} would be cheaper",
        "api": "the API is cheaper",
        "same": "both cost the same",
    }
    needs = "" if at_load.servers == 1 else f"; it takes {servers} to serve them"
    return f"at {decimal(at_load.requests)} calls a day {said[at_load.cheaper]}{needs}"


def _load_elsewhere(book: PriceBook, at_load: Comparison, currency: str, at_us: int) -> list[str]:
    lines = []
    for other in dict.fromkeys((book.currency, "USD")):
        rate = book.rate(currency, other, at_us)
        if other == currency or rate is None:
            continue
        api, hosted = (_exact(converted(30 * cost, rate), other) for cost in (at_load.api, at_load.hosted))
        lines.append(f"in {other}, 30 days: API {api}, server {hosted}")
    return lines


def _verdict(result: BreakEven) -> str:
    if result.reason == "free":
        return "never cheaper: the API is free"
    return f"never cheaper: it takes {result.needed:,} calls a day, and the server can do {result.capacity:,}"


# --- shared -------------------------------------------------------------------------------------------------


def _unknown(book: PriceBook, name: str) -> Row:
    """Never a price by a name that is only like it."""
    similar = book.similar(name)
    hint = f"names like it: {safe(', '.join(similar))}" if similar else "no name is like it"
    return Row(name, (), (Note(hint),), said="unknown price")


def _source(found: Found) -> Note:
    card = found.card
    alias = f" · alias of {safe(card.provider)} {safe(card.model)}" if found.via else ""
    return Note(f"{safe(card.provider)} {safe(card.model)} · {safe(price_version(card))}{alias}")


def _no_rate(base: str, quote: str) -> str:
    return f"no rate from {base} to {quote}: add [[currency.rate]] to config.toml"


def _cheapest(book: PriceBook, costs: dict[str, tuple[str, Fraction]], at_us: int) -> str:
    """The model that costs least; '' when fewer than two are known, they cannot be compared, or several cost it."""
    rates = {currency: book.rate(currency, "USD", at_us) for currency, _ in costs.values()}
    if len({currency for currency, _ in costs.values()}) == 1:
        comparable = {name: cost for name, (_, cost) in costs.items()}
    elif all(rates.values()):
        comparable = {
            name: converted(cost, rate)
            for name, (currency, cost) in costs.items()
            if (rate := rates[currency])
        }
    else:
        return ""
    least = [name for name, cost in comparable.items() if cost == min(comparable.values())]
    return least[0] if len(comparable) > 1 and len(least) == 1 else ""


def _exact(value: Fraction, currency: str) -> str:
    return fine_money(whole_nano(value), currency)


def decimal(value: Fraction, places: int = 2) -> str:
    """With at most so many decimals and commas: '288', '205.71'; never 0 for something."""
    scaled = whole_nano(value * 10**places)
    if not scaled and value:
        return f"<0.{'0' * (places - 1)}1"
    whole, fraction = divmod(scaled, 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0")
    return f"{whole:,}" + (f".{digits}" if digits else "")
