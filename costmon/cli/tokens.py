"""`costmon tokens`: how many tokens a text or a conversation is; `costmon tokenizer`: exact counts for OpenAI models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from costmon.pricing.tokens.count import TokenCount

_MAX_FILE = 100_000_000
_WIDTH = 80
_INSTALL = "costmon tokenizer install makes counts for OpenAI models exact."


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--model", "models", multiple=True, help="Count for this model; may be given more than once.")
@click.option("--as-text", is_flag=True, help="Count JSON as the text it is, not as chat messages.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def tokens(file: str, models: tuple[str, ...], as_text: bool, as_json: bool) -> None:
    """Count the tokens of FILE, or of standard input for -.

    A JSON list of chat messages, or a request body with one, is counted as chat: its texts and what frames them.
    Everything else is counted as text. Without --model, for o200k_base (gpt-4o, gpt-5). Nothing leaves this machine.
    """
    from costmon.pricing.tokens.chat import is_chat
    from costmon.pricing.tokens.count import count_tokens

    raw = _read(file)
    text = _text(raw, file)
    document = None if as_text else _json(text)
    talk = is_chat(document)
    try:
        content: Any = document if talk else text
        counts = [(model, count_tokens(content, model)) for model in dict.fromkeys(models or ("",))]
    except TypeError as error:
        raise click.ClickException(f"{_name(file)}: {error} (or use --as-text)") from error
    if as_json:
        head = {"file": _name(file), "kind": "messages" if talk else "text", "bytes": len(raw)}
        rows = [_count_json(model, count) for model, count in counts]
        click.echo(json.dumps({**head, "counts": rows}, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{_name(file)}: {'chat messages' if talk else 'text'}, {len(raw):,} bytes")
        click.echo("\n".join(_table(counts)))


@click.group()
def tokenizer() -> None:
    """Install the files that OpenAI models' tokens are counted with.

    Without them counts are estimates. They are tiktoken's rank files (5.3 MB together, about 70 MB of memory while
    counting).
    """


@tokenizer.command()
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True),
    metavar="WHEEL|FILE|DIR",
    help="Take them from a wheel that has them (llama-index-core, litellm), a .tiktoken file or a folder.",
)
def install(source: str | None) -> None:
    """Download the rank files, or take them from a wheel.

    They come from OpenAI's public address, which is printed before it is asked. A file whose sha256 is not the
    official one is never installed.
    """
    from costmon.pricing.tokens import ranks as files

    if source is not None:
        for path in files.install_from(source):
            click.echo(f"installed {path}")
    else:
        wanted = files.missing()
        for path in files.download(wanted, lambda address: click.echo(f"downloading {address}")):
            click.echo(f"installed {path}")
        if not wanted:
            click.echo("both rank files are installed already")
    for found in map(files.find, files.RANK_FILES):
        if found.state != "ready":
            click.echo(f"{found.encoding} is still {found.state}; its models' counts stay estimates")
    if not files.has_tiktoken():
        click.echo("tiktoken itself is not installed here: pip install tiktoken")


@tokenizer.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(as_json: bool) -> None:
    """Say which rank files are there, and whether they are right."""
    from costmon.pricing.tokens import ranks as files

    rows = [files.find(encoding) for encoding in files.RANK_FILES]
    installed = files.has_tiktoken()
    if as_json:
        document = {"tiktoken": installed, "files": [found._asdict() for found in rows]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for found in rows:
        click.echo(f"{found.encoding:<12} {_STATES[found.state]}")
        click.echo(f"{'':<12} {found.path}")
    if not installed:
        click.echo("tiktoken is not installed here: pip install tiktoken")
    if not installed or any(found.state != "ready" for found in rows):
        click.echo(_INSTALL if installed else "Until then every count is an estimate.")


@tokenizer.command()
def remove() -> None:
    """Delete the rank files from costmon's own folder."""
    from costmon.pricing.tokens import ranks as files

    gone = files.remove()
    for path in gone:
        click.echo(f"deleted {path}")
    if not gone:
        click.echo("nothing to delete in costmon's own folder")
    for found in map(files.find, files.RANK_FILES):
        if found.state == "ready":
            click.echo(f"{found.encoding} is still at {found.path}, which is tiktoken's own folder")


_STATES = {
    "ready": "ready",
    "missing": "missing, it would be at",
    "wrong": "WRONG, it is not the official file (costmon tokenizer install replaces it)",
}


def _name(file: str) -> str:
    return "standard input" if file == "-" else click.format_filename(file)


def _read(file: str) -> bytes:
    try:
        with click.open_file(file, "rb") as source:
            raw: bytes = source.read(_MAX_FILE + 1)
    except OSError as error:
        raise click.ClickException(f"cannot read {_name(file)}: {error.strerror}") from error
    if len(raw) > _MAX_FILE:
        raise click.ClickException(f"{_name(file)} has more than {_MAX_FILE // 10**6} MB; count a part of it")
    return raw


def _text(raw: bytes, file: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, as Windows shells write it."""
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{_name(file)} is no UTF-8 text (byte {error.start:,})") from error
    if "\0" in text:
        raise click.ClickException(f"{_name(file)} is no text: it has a zero byte")
    return text


def _json(text: str) -> Any:
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _count_json(model: str, count: TokenCount) -> dict[str, Any]:
    return {"model": model or None, **count._asdict()}


def _table(counts: list[tuple[str, TokenCount]]) -> list[str]:
    from textwrap import wrap

    from costmon.shim.events import clean

    cells = [
        (clean(model, 60) or "generic", f"{count.tokens:,}", _range(count), clean(count.method, 200))
        for model, count in counts
    ]
    cells.insert(0, ("model", "tokens", "range", "counted by"))
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = []
    for model, number, spread, method in cells:
        begin = f"{model:<{widths[0]}}  {number:>{widths[1]}}  {spread:>{widths[2]}}  "
        first, *more = wrap(method, max(20, _WIDTH - len(begin)))
        lines += [(begin + first), *(" " * len(begin) + rest for rest in more)]
    return lines + [line for note in _notes(counts) for line in wrap(note, _WIDTH)]


def _range(count: TokenCount) -> str:
    return "exact" if count.exact else f"{count.low:,} – {count.high:,}"


def _notes(named: list[tuple[str, TokenCount]]) -> list[str]:
    """What the figures do not say themselves: what kind of estimate, what is missing, what would help."""
    from costmon.pricing.tokens.count import encoding_of
    from costmon.shim.events import clean

    notes = []
    counts = [count for _, count in named]
    methods = " ".join(count.method for count in counts)
    by_bytes = [model for model, count in named if "bytes/4" in count.method]
    if by_bytes:
        others = all(encoding_of(model)[1] == "other" for model in by_bytes)
        spread = "−30 % to +80 %, until calls teach better" if others else "±30 % for prose and code"
        helps = "" if others else f" {_INSTALL}"
        notes.append(f"bytes/4 is an estimate: {spread}, more where the range says so.{helps}")
    if "in place of" in methods:
        notes.append(
            "That maker's tokenizer is not public: an estimate, −30 % to +80 %, until calls teach better."
        )
    if "assumed" in methods:
        notes.append("That this model uses o200k_base is an assumption: ±30 %.")
    if "learned" in methods:
        notes.append(
            "Learned is an estimate: what your own calls' answers took per byte of text, with their spread."
        )
    if "framing" in methods:
        notes.append("A message's frame is 3 to 4 tokens.")
    if counts[0].left_out:
        notes.append(f"NOT counted, and billed on top: {clean(', '.join(counts[0].left_out), 500)}.")
    return notes
