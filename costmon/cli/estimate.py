"""`costmon estimate`: what a call will cost, before it is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from costmon.cli.values import BadInput, Name, Whole

if TYPE_CHECKING:
    from costmon.cli.values import Exchange
    from costmon.pricing.calculators.estimate import Band, Estimate
    from costmon.pricing.lookup.show import Catalogue, Found
    from costmon.pricing.tokens.count import TokenCount

MAX_BYTES = 20_000_000


class Prompt(NamedTuple):
    """What is to be sent: text or chat messages to count, or None when the tokens were given."""

    content: Any
    said: str


class Asked(NamedTuple):
    """The options that say what the call is."""

    input_tokens: int | None
    output_tokens: int | None
    cached: int
    max_output: int | None
    batch: bool


class Line(NamedTuple):
    """One model's row: its estimate, the card's place, how its tokens were counted, names like an unknown one, and
    whether the answer may be longer than the range covers."""

    asked: str
    found: Found | None
    price_version: str
    estimate: Estimate
    method: str
    display: Band | None
    similar: tuple[str, ...]
    output_assumed: bool
    unbounded: bool


@click.command()
@click.argument("file", required=False)
@click.option(
    "--model", "models", type=Name(), multiple=True, help="As often as you like: they stand side by side."
)
@click.option(
    "--provider", type=Name(), help="Who serves it (openai, openrouter …); default: the model's maker."
)
@click.option("--input-tokens", type=Whole(), help="Instead of FILE.")
@click.option("--output-tokens", type=Whole(), help="Default: assumed_output of config.toml, 1,000.")
@click.option("--max-output", type=Whole(), help="The most the answer may have (max_tokens of the call).")
@click.option("--cached-tokens", type=Whole(), default=0, help="How many of the input are cache reads.")
@click.option("--batch", is_flag=True, help="Through the batch API.")
@click.option("--at", metavar="DATE", help="Prices of that day or instant (UTC); default: now.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_context
def estimate(
    ctx: click.Context,
    file: str | None,
    models: tuple[str, ...],
    provider: str | None,
    at: str | None,
    as_json: bool,
    input_tokens: int | None,
    output_tokens: int | None,
    max_output: int | None,
    cached_tokens: int,
    batch: bool,
) -> None:
    """What a call would cost: FILE (or - for standard input) holds its prompt.

    FILE is plain text, or JSON: a list of chat messages, or a request that has "messages". Nothing of it is kept, and
    nothing is sent anywhere. Exits 1 when no model could be priced.

    \b
    costmon estimate prompt.txt --model gpt-4o-mini --model claude-sonnet-5-5
    costmon estimate --input-tokens 4000 --output-tokens 1000 --model gpt-4o-mini
    """
    from costmon.cli import values

    asked = Asked(input_tokens, output_tokens, cached_tokens, max_output, batch)
    prompt = _prompt(file, asked)
    if not models:
        raise BadInput("say which model it is for: --model gpt-4o-mini (as often as you like)")
    at_us = values.instant_us(at, values.now())
    money = values.exchange()
    catalogue = values.open_catalogue(provider)
    names = dict.fromkeys(models)
    lines = [_line(catalogue, money, name, provider, at_us, prompt, asked) for name in names]
    if as_json:
        click.echo(json.dumps([_to_json(line, money, at_us) for line in lines], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_to_text(lines, money, prompt, asked)))
    if all(line.estimate.cost is None for line in lines):
        ctx.exit(1)


def _prompt(file: str | None, asked: Asked) -> Prompt:
    if (file is None) == (asked.input_tokens is None):
        both = "not both FILE and --input-tokens" if file is not None else "FILE (- is standard input)"
        raise BadInput(
            f"say how long the input is: {both}" + (", or --input-tokens N" if file is None else "")
        )
    if asked.input_tokens is not None:
        if asked.cached > asked.input_tokens:
            raise BadInput(
                f"--cached-tokens {asked.cached} is more than --input-tokens {asked.input_tokens}; cache reads are part "
                "of the input"
            )
        return Prompt(None, "")
    text = _read(str(file))
    messages = _messages(text)
    return Prompt(text, "text") if messages is None else Prompt(messages, "chat messages")


def _read(file: str) -> str:
    """The text of FILE. Raises BadInput in one sentence."""
    import os
    import stat
    import sys

    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            if not stat.S_ISREG(os.stat(file).st_mode) and not os.path.realpath(file).startswith(
                ("/dev/", "/proc/")
            ):
                raise BadInput(f"{file} is not a regular file; name a text file, or - for standard input")
            with open(file, "rb") as opened:
                data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"{file} cannot be read ({reason}); name a text file, or - for standard input"
        ) from error
    if len(data) > MAX_BYTES:
        raise BadInput(f"{file} has over {MAX_BYTES:,} bytes; give its size with --input-tokens N")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start + 1}); give --input-tokens N") from error


def _messages(text: str) -> Any:
    """The chat messages (or the request with them) that `text` is, None for plain text and JSON of another shape."""
    from costmon.pricing.tokens.chat import is_chat

    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if is_chat(found) else None


def _line(
    catalogue: Catalogue,
    money: Exchange,
    name: str,
    provider: str | None,
    at_us: int,
    prompt: Prompt,
    asked: Asked,
) -> Line:
    from dataclasses import replace

    from costmon.pricing.calculators.estimate import BATCH, UNBOUNDED, Band, Call, exactly, output_band
    from costmon.pricing.calculators.estimate import estimate as work_out
    from costmon.pricing.lookup.timetable import window_said
    from costmon.shim.cards import price_version

    found = catalogue.find(name, provider, at_us)
    card = None if found is None else found.card
    if found is not None and asked.batch:
        card = found.in_context(at_us, BATCH)
    left_out: tuple[str, ...] = ()
    if prompt.content is None:
        tokens, method = exactly(asked.input_tokens or 0), "given"
    else:
        counted = _count(prompt.content, name)
        tokens, method, left_out = (
            Band(counted.low, counted.tokens, counted.high),
            counted.method,
            counted.left_out,
        )
    if asked.output_tokens is not None:
        output, note = exactly(asked.output_tokens), ""
    else:
        output, note = output_band(card, asked.max_output, money.assumed_output)
    unbounded = note.endswith(UNBOUNDED)
    if unbounded:
        note += ": --max-output N bounds it, --output-tokens N gives it"
    done = work_out(card, Call(tokens, output, asked.cached))
    notes = [note] if note and card is not None else []
    window = window_said(found.entry, at_us) if found is not None else ""
    notes += [window] if window else []
    if left_out:
        notes.append(f"not counted, and on top of it: {', '.join(left_out)}")
    done = replace(done, notes=(*notes, *done.notes))
    rate = money.rate(done.currency, at_us) if done.currency else None
    shown = done.in_currency(rate) if rate is not None else None
    version = price_version(card) if card is not None else ""
    similar = catalogue.similar(name) if found is None else ()
    return Line(name, found, version, done, method, shown, similar, asked.output_tokens is None, unbounded)


def _count(content: Any, model: str) -> TokenCount:
    from costmon.pricing.tokens.count import count_tokens

    try:
        return count_tokens(content, model)
    except TypeError as error:
        raise BadInput(f"the messages cannot be counted ({error}); give --input-tokens N") from error


def _to_json(line: Line, money: Exchange, at_us: int) -> dict[str, Any]:
    from costmon.shim.money import Money
    from costmon.shim.timestamps import to_iso

    done = line.estimate
    card = line.found.card if line.found is not None else None

    def amount(band: Band | None, place: int, currency: str) -> dict[str, str] | None:
        return None if band is None else Money(band[place], currency).to_json()

    shown = None
    if line.display is not None and money.currency != done.currency:
        keys = ("low", "cost", "high")
        shown = {key: amount(line.display, place, money.currency) for place, key in enumerate(keys)}
    return {
        "model": line.asked,
        "provider": card.provider if card else None,
        "priced_as": card.model if card else None,
        "layer": line.found.layer if line.found is not None else None,
        "price_version": line.price_version or None,
        "at": to_iso(at_us),
        "status": done.status,
        "input_tokens": done.call.input.best,
        "output_tokens": done.call.output.best,
        "cached_tokens": min(done.call.cached, done.call.input.best),
        "tokens": {
            "method": line.method,
            "input": {"low": done.call.input.low, "high": done.call.input.high},
            "output": {
                "low": done.call.output.low,
                "high": done.call.output.high,
                "assumed": line.output_assumed,
                "bounded": not line.unbounded,
            },
        },
        "cost": amount(done.cost, 1, done.currency),
        "low": amount(done.cost, 0, done.currency),
        "high": amount(done.cost, 2, done.currency),
        "display": shown,
        "unpriced": list(done.unpriced),
        "notes": list(done.notes),
        "similar": list(line.similar),
    }


def _to_text(lines: list[Line], money: Exchange, prompt: Prompt, asked: Asked) -> list[str]:
    from costmon.cli import values

    shared = _shared_notes(lines)
    exact = all(line.estimate.cost is None or line.estimate.cost.exact for line in lines)
    title = ["MODEL", "INPUT", "OUTPUT", *(["COST"] if exact else ["LOW", "BEST", "HIGH"]), ""]
    rows = [_cells(line, exact, _cheapest(lines)) for line in lines]
    table = values.table([title, *rows])
    found = [table[0]]
    for text, line in zip(table[1:], lines, strict=True):
        own = [note for note in line.estimate.notes if note not in shared]
        found += [text, *_below(line, money), *map(values.wrapped, own)]
    kind = [f"input: {prompt.said}"] if prompt.said else []
    kind += _batch_said(lines) if asked.batch else []
    return [*found, *(values.wrapped(note, "") for note in (*kind, *shared))]


def _batch_said(lines: list[Line]) -> list[str]:
    """That prices are those of the batch API, as far as they are."""
    known = [line for line in lines if line.estimate.cost is not None]
    batched = [line for line in known if "processing=batch" not in line.estimate.unpriced]
    if not batched:
        return []
    return ["batch prices" if len(batched) == len(known) else "batch prices where there are any"]


def _shared_notes(lines: list[Line]) -> list[str]:
    """What is said of every model that has a price is said once, below."""
    said = [line.estimate.notes for line in lines if line.found is not None]
    return [note for note in said[0] if all(note in notes for notes in said)] if len(said) > 1 else []


def _cells(line: Line, exact: bool, cheapest: str) -> list[str]:
    from costmon.cli import values

    done = line.estimate
    mark = "cheapest" if line.asked == cheapest else ""
    cells = [line.asked, values.count(done.call.input), values.count(done.call.output)]
    if done.cost is None:
        blank = ["unknown"] if exact else ["", "unknown", ""]
        return [*cells, *blank, mark]
    bound = "≥ " if done.status == "partial" and "processing=batch" not in done.unpriced else ""
    nanos = [done.cost.best] if exact else list(done.cost)
    return [*cells, *(bound + values.money(nano, done.currency) for nano in nanos), mark]


def _below(line: Line, money: Exchange) -> list[str]:
    """What stands under a model's row: the price's source and version, the display currency, what is missing."""
    from costmon.cli import values

    done, found = line.estimate, line.found
    if found is None:
        hint = f"; names like it: {', '.join(line.similar)}" if line.similar else ""
        return [values.wrapped(f"no price is known for this name{hint}")]
    parts = [f"{found.card.provider} {found.card.model} · {line.price_version}"]
    if found.via:
        parts.append(f"alias of {found.card.provider} {found.card.model}")
    if line.method not in ("given", "reported"):
        parts.append(f"tokens: {line.method}")
    lines = [values.wrapped(" · ".join(parts))]
    if done.cost is not None and money.currency != done.currency:
        lines.append(values.wrapped(_displayed(line, money)))
    missing = [unit for unit in done.unpriced if unit != "processing=batch"]
    if missing:
        lines.append(values.wrapped(f"no price for {', '.join(missing)}"))
    return lines


def _displayed(line: Line, money: Exchange) -> str:
    from costmon.cli import values

    if line.display is None:
        return (
            f"no rate from {line.estimate.currency} to {money.currency}: add [[currency.rate]] to config.toml"
        )
    low, best, high = (values.money(nano, money.currency) for nano in line.display)
    return f"in {money.currency}: {best}" + ("" if line.display.exact else f" ({low} to {high})")


def _cheapest(lines: list[Line]) -> str:
    """The model that costs least, '' when fewer than two have a whole price or they are not in one currency."""
    known = [line for line in lines if line.estimate.cost is not None and line.estimate.status != "partial"]
    costs = {line.asked: (line.display or line.estimate.cost) for line in known}
    together = len({line.estimate.currency for line in known}) == 1 or all(line.display for line in known)
    best = {name: cost.best for name, cost in costs.items() if cost is not None}
    if len(best) < 2 or not together or len(set(best.values())) == 1:
        return ""
    return min(best, key=lambda name: best[name])
