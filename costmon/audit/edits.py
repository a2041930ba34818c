"""How a line of a file says another value: only where it is plain which part of it to change."""

from __future__ import annotations

import re
from collections.abc import Mapping

from costmon.audit.fixes import fix, split
from costmon.audit.values import Fix
from costmon.sources.compose.texts import UnreadableError, text_of
from costmon.sources.compose.values import Place, Setting


class Texts:
    """Files' texts, each read once."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def put(self, path: str, text: str) -> None:
        self._texts[path] = text

    def get(self, path: str) -> str:
        """The text, '' where it cannot be read."""
        if path not in self._texts:
            try:
                self._texts[path] = text_of(path)
            except UnreadableError:
                self._texts[path] = ""
        return self._texts[path]

    def line(self, place: Place) -> str:
        lines = split(self.get(place.path))
        return lines[place.line - 1] if 0 < place.line <= len(lines) else ""

    def fix(self, changes: Mapping[Place, str | None]) -> Fix | None:
        """One diff of all changes; None where one is not sure, or they are in several files."""
        paths = {place.path for place in changes}
        if len(paths) != 1 or any(new is None for new in changes.values()):
            return None
        path = paths.pop()
        return fix(
            path, self.get(path), {place.line: new for place, new in changes.items() if new is not None}
        )


def with_default(line: str, name: str, old: str, new: str) -> str | None:
    """`line` with another default in `${NAME:-old}`; None where it is not there exactly once."""
    pattern = re.compile(r"(\$\{" + re.escape(name) + r":?-)" + re.escape(old) + r"(\})")
    return (
        pattern.sub(lambda match: f"{match[1]}{new}{match[2]}", line)
        if len(pattern.findall(line)) == 1
        else None
    )


def with_value(line: str, name: str, old: str, new: str) -> str | None:
    """`line` with another value of `NAME=old` (env files, lists) or `NAME: old` (YAML), quotes and comments kept."""
    pattern = re.compile(
        r"((?:^|[\s\"'{,-])"
        + re.escape(name)
        + r"[\"']?\s*[=:]\s*[\"']?)"
        + re.escape(old)
        + r"(?=[\"'\s,}]|$)"
    )
    return pattern.sub(lambda match: f"{match[1]}{new}", line) if len(pattern.findall(line)) == 1 else None


def written_value(line: str, setting: Setting, new: str) -> str | None:
    """`line` with a literal in place of whatever stands there now: `NAME=${…}` becomes `NAME=false`, and in a YAML mapping
    `NAME: "false"`, because compose wants texts there."""
    head, _, _ = line.partition(setting.name)
    if line.count(setting.raw) != 1 or not setting.raw:
        return None
    in_mapping = re.match(r"[\"']?\s*:", line[len(head) + len(setting.name) :]) is not None
    bare = (
        f'"{new}"'
        if in_mapping and f'"{setting.raw}"' not in line and f"'{setting.raw}'" not in line
        else new
    )
    return line.replace(setting.raw, bare)


def changed(texts: Texts, setting: Setting, new: str) -> tuple[Place, str | None]:
    """Where and how a setting gets another value: in the `.env` that answers it, in its default, or where it stands."""
    value = setting.value or ""
    if setting.from_file is not None:
        name = setting.asks[0] if len(setting.asks) == 1 else ""
        return setting.from_file, with_value(
            texts.line(setting.from_file), name, value, new
        ) if name else None
    line = texts.line(setting.place)
    if setting.default and len(setting.asks) == 1:
        return setting.place, with_default(line, setting.asks[0], setting.default, new)
    return setting.place, None if setting.asks else with_value(line, setting.name, value, new)


def default_changed(texts: Texts, setting: Setting, new: str) -> tuple[Place, str | None]:
    """As `changed`, of the default, whatever answers it now."""
    line = texts.line(setting.place)
    if setting.default:
        return setting.place, with_default(line, setting.asks[0], setting.default, new) if len(
            setting.asks
        ) == 1 else None
    return setting.place, None if setting.asks else with_value(line, setting.name, setting.value or "", new)
