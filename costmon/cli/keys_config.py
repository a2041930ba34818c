"""The `[source.NAME]` that a key is for: as config.toml has it, as options ask for it, and written there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from costmon.config import Config
    from costmon.config.values import Source


def sources() -> dict[str, Source]:
    """Every source of config.toml, by name. Raises ConfigError."""
    from costmon import config, paths

    return {source.name: source for source in config.load(paths.config_file()).sources}


def bare(name: str) -> Source:
    """A source called like its kind, without a setting."""
    from costmon.config.values import Source

    return Source(name, name)


def asked_for(
    name: str, kind: str | None, base_url: str | None, options: Mapping[str, str]
) -> dict[str, object]:
    """What the options of the command say, as keys of the section; a new section of another name names its kind."""
    values: dict[str, object] = {}
    if kind is not None and kind != name:
        values["kind"] = kind
    if base_url is not None:
        values["base_url"] = base_url.strip()
    return values | dict(options)


def planned(name: str, values: Mapping[str, object]) -> tuple[str, Source, Config]:
    """The file's new text, and the source as it then says. Raises ConfigError; nothing is written."""
    from costmon import config, paths

    path = paths.config_file()
    data = config.read(path)
    config.parse(data, path)
    text = with_source(data.decode("utf-8-sig") if data else config.DEFAULT, name, values)
    found = config.parse(text.encode(), path)
    return text, next(source for source in found.sources if source.name == name), found


def write(name: str, values: Mapping[str, object]) -> bool:
    """Put the section into config.toml; whether that changed the file. Raises ConfigError."""
    from costmon import config, paths
    from costmon.config.files import locked

    path = paths.config_file()
    with locked(path):
        config.ensure(path)
        text, _, _ = planned(name, values)
        changed = text.encode() != config.read(path)
        if changed:
            config.replace(path, text)
    return changed


def with_source(text: str, name: str, values: Mapping[str, object]) -> str:
    """The text with the section and these keys in it; its other keys and every comment stay."""
    import tomlkit
    from tomlkit.items import Table

    from costmon.config.source import locate

    document = tomlkit.parse(text)
    existing: Any = document.get("source", {}).get(name)
    if existing is None:
        header = f"[source.{tomlkit.key(name).as_string()}]"
        return "\n".join([text.rstrip(), "", header, *_lines(values), ""]).lstrip()
    new = {key: value for key, value in values.items() if key not in existing}
    if ("source", name) not in locate(text) or not isinstance(existing, Table):
        new = {}
    for key, value in values.items():
        if key not in new and existing.get(key) != value:
            existing[key] = value
    return _insert(document.as_string(), name, new)


def parse_options(given: tuple[str, ...]) -> dict[str, str]:
    """`--option team=…`. Raises click.BadParameter, which never repeats a value: it may be a key."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            raise click.BadParameter("must be written NAME=VALUE, such as team=1234", param_hint="--option")
        found[name.strip()] = value.strip()
    return found


def _lines(values: Mapping[str, object]) -> list[str]:
    import tomlkit

    return [f"{key} = {tomlkit.item(value).as_string()}" for key, value in values.items()]


def _insert(text: str, name: str, values: Mapping[str, object]) -> str:
    """Add keys below the last one of the section: tomlkit would put them below the next table's comment."""
    from costmon.config.source import locate

    if not values:
        return text
    last = max(found.stop for path, found in locate(text).items() if path[:2] == ("source", name)) - 1
    lines = text.split("\n")
    return "\n".join([*lines[:last], *_lines(values), *lines[last:]])
