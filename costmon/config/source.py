"""A TOML file whose keys know their lines, read by name and type with errors a person can act on."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

from costmon.config.money import shorten
from costmon.errors import ConfigError
from costmon.shim.jobs.intervals import interval_us

Path = tuple[str | int, ...]

SECOND_US = 1_000_000
MAX_DEPTH = 50
MAX_LINE = 4000
MAX_DOTS = 20
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}=.,\n]"
    r"|[ \t\r]+"
    r"|[^\s\[\]{}=.,\"'#]+"
    r"|.",
    re.DOTALL,
)
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Source:
    """One parsed file: `document` is its TOML, `path` what messages call it."""

    def __init__(self, path: str, text: str, document: dict[str, Any]) -> None:
        self.path = path
        self.text = text
        self.document = document

    @cached_property
    def lines(self) -> dict[Path, range]:
        """The lines (from 1) of every header and key; a table of an array has its index in the path."""
        return locate(self.text)

    def fail(self, path: Path, problem: str) -> NoReturn:
        """Raise a ConfigError about the key at `path`; `problem` continues the sentence after its name."""
        known = next((path[:size] for size in range(len(path), 0, -1) if path[:size] in self.lines), None)
        where = f", line {self.lines[known].start}" if known else ""
        raise ConfigError(f"{self.path}{where}: {dotted(path)} {problem}")


class Section:
    """One table of the file. Every reader returns a checked value or raises a ConfigError naming the key."""

    def __init__(self, source: Source, path: Path, data: dict[str, Any]) -> None:
        self.source = source
        self.path = path
        self.data = data

    def fail(self, key: str | None, problem: str) -> NoReturn:
        self.source.fail(self.path if key is None else (*self.path, key), problem)

    def only(self, *known: str) -> None:
        """Refuse keys that are none of `known`."""
        for key in self.data:
            if key not in known:
                self.fail(key, f"is not a setting; {meant(key, known)}")

    def text(self, key: str, default: str, example: str) -> str:
        """A text of 1 to 200 printable characters."""
        value = self.data.get(key, default)
        if not isinstance(value, str):
            self.fail(key, f"must be a text in quotes, such as {example}, not {spell(value)}")
        if not value.strip() or len(value) > 200 or not value.isprintable():
            self.fail(key, f"must be 1 to 200 printable characters, such as {example}, not {shorten(value)}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.data.get(key, default)
        if not isinstance(value, str) or value not in choices:
            allowed = " or ".join(f'"{choice}"' for choice in choices)
            self.fail(key, f"must be {allowed}, not {spell(value)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            self.fail(key, f"must be true or false without quotes, not {spell(value)}")
        return value

    def whole(self, key: str, default: int, lowest: int, highest: int) -> int:
        value = self.data.get(key, default)
        if not is_whole(value) or not lowest <= value <= highest:
            self.fail(key, f"must be a whole number from {lowest} to {highest:,}, not {spell(value)}")
        return int(value)

    def duration(self, key: str, default_us: int) -> int:
        """A text such as "1h30m", from 1 s to 7 days, in µs."""
        if key not in self.data:
            return default_us
        value = self.data[key]
        try:
            span = interval_us(value) if isinstance(value, str) else 0
        except ValueError:
            span = 0
        if not SECOND_US <= span <= 7 * 86_400 * SECOND_US:
            self.fail(
                key,
                f'must be a duration from 1 s to 7 d in quotes, such as "90s" or "1h30m", not {spell(value)}',
            )
        return span

    def number(self, key: str, default: Decimal, lowest: Decimal, highest: Decimal, example: str) -> Decimal:
        """An exact number with at most nine decimals."""
        value = self.data.get(key, default)
        number = Decimal(value) if is_whole(value) else value
        if not isinstance(number, Decimal) or not number.is_finite() or not lowest <= number <= highest:
            self.fail(
                key, f"must be a number from {lowest} to {highest:,}, such as {example}, not {spell(value)}"
            )
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -9:
            self.fail(key, f"may have nine decimals at most, not {spell(value)}")
        return number

    def section(self, key: str) -> Section:
        """The table `key`, empty if it is not there."""
        return self._as_section(key, (*self.path, key), self.data.get(key, {}))

    def sections(self, key: str) -> Iterator[Section]:
        """Every table of the array of tables `[[key]]`."""
        value = self.data.get(key, [])
        if not isinstance(value, list):
            self.fail(key, f"must be written [[{dotted((*self.path, key))}]], with two brackets")
        for index, item in enumerate(value):
            yield self._as_section(key, (*self.path, key, index), item)

    def _as_section(self, key: str, path: Path, value: object) -> Section:
        if not isinstance(value, dict):
            self.fail(key, f"must be a table, written [{dotted((*self.path, key))}], not {spell(value)}")
        return Section(self.source, path, value)


def open_source(data: bytes, path: str) -> Source:
    """Parse `data`. Raises ConfigError with the line of bad UTF-8, of bad TOML, of what parses too slowly."""
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    _refuse_bombs(text, path)
    try:
        return Source(path, text, tomllib.loads(text, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error
    except (ValueError, ArithmeticError) as error:
        raise ConfigError(f"{path}: a number has more digits than costmon reads; shorten it") from error


def locate(text: str) -> dict[Path, range]:
    """The lines of every header and key of valid TOML; what is inside an inline table is not told apart."""
    found: dict[Path, range] = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    for statement in _statements(text):
        lines = range(statement.first, statement.last + 1)
        if statement.tokens[0] != "[":
            path = (*table, *_key_parts(statement.tokens[: statement.tokens.index("=")]))
            found.setdefault(path, lines)
            continue
        table = ()
        parts = _key_parts(statement.tokens)
        for number, part in enumerate(parts, start=1):
            table = (*table, part)
            if number == len(parts) and statement.tokens[1] == "[":
                arrays[table] = arrays.get(table, 0) + 1
                found.setdefault(table, lines)
            if table in arrays:
                table = (*table, arrays[table] - 1)
        found.setdefault(table, lines)
    return found


def dotted(path: Iterable[str | int]) -> str:
    """`budget.total.amount`; what is no bare key is quoted, indexes count from 1: `currency.rate #2`."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f" #{part + 1}"
        else:
            words += ("." if words else "") + (
                part if re.fullmatch("[A-Za-z0-9_-]+", part) else shorten(part)
            )
    return words


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean "period"?`, or what there is to choose from."""
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1)
    return f'did you mean "{close[0]}"?' if close else "use " + ", ".join(choices)


def spell(value: object) -> str:
    """A TOML value as an error message quotes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return shorten(value) if isinstance(value, str) else shorten(value).strip('"')


def is_whole(value: object) -> bool:
    """Whether `value` is an integer (TOML's true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool)


class _Statement(NamedTuple):
    first: int
    last: int
    tokens: list[str]


def _statements(text: str) -> Iterator[_Statement]:
    """Headers and key/value pairs, each with its lines and its tokens without spaces and comments."""
    line, first, depth = 1, 1, 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word == "\n" and depth == 0 and tokens:
            yield _Statement(first, line, tokens)
            tokens = []
        elif not word.isspace() and not word.startswith("#"):
            first = first if tokens else line
            depth += (word in "[{") - (word in "]}")
            tokens.append(word)
        line += word.count("\n")
    if tokens:
        yield _Statement(first, line, tokens)


def _key_parts(tokens: list[str]) -> list[str]:
    return [_unquote(word) for word in tokens if word not in "[]."]


def _unquote(word: str) -> str:
    return str(tomllib.loads(f"key = {word}")["key"]) if word[0] in "\"'" else word


def _refuse_bombs(text: str, path: str) -> None:
    """The parser takes the square of a line's dots and recurses as deep as its brackets: refuse both."""
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        code = line.lstrip()
        if code.startswith("#"):
            continue
        if len(line) > MAX_LINE or line.count(".") > MAX_DOTS:
            raise ConfigError(f"{path}, line {number}: the line is too long or has too many dots; split it")
        depth = max(0, depth + sum(map(line.count, "[{")) - sum(map(line.count, "]}")))
        if depth > MAX_DEPTH or max(line.count("["), line.count("{")) > MAX_DEPTH:
            raise ConfigError(
                f"{path}, line {number}: brackets are nested more than {MAX_DEPTH} deep; close them"
            )


def _syntax_error(path: str, text: str, message: str) -> ConfigError:
    match = _AT_LINE.search(message)
    line = match[1] if match and match[1] else str(text.rstrip("\n").count("\n") + 1)
    problem = message[: match.start()] if match else message
    return ConfigError(f"{path}, line {line}: {problem[:1].lower()}{problem[1:]}; mend the TOML there")
