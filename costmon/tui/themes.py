"""Themes from TOML files. A file maps 1:1 onto `textual.theme.Theme`; its name is the file's name.

Own colours go into `[variables]`: `dim`, `edge` (borders), `track` (the empty part of a gauge), `tick` (a level's
mark on it), `field`, `field-focus` (what is typed into), `level-ok`, `level-70`, `level-80`, `level-90`, `level-95`,
`level-100`, and `on-level` (text on any of these). What a theme leaves out is derived.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import fields
from typing import Any, cast

from textual.color import Color, ColorParseError
from textual.theme import Theme

DEFAULT = "costmon-dark"
_KEYS = {field.name: field.type for field in fields(Theme) if field.name != "name"}
_TEXT_STYLES = {
    "none",
    "not",
    "bold",
    "b",
    "dim",
    "italic",
    "i",
    "underline",
    "u",
    "reverse",
    "strike",
    "blink",
}


class _WrongError(Exception):
    """What is wrong in a theme file, naming the key."""


def load_themes(*folders: str) -> tuple[list[Theme], list[str]]:
    """The themes of all folders, by name; of two with one name the later folder's holds.

    A folder that does not exist is empty. The second list has one sentence per file that cannot be used.
    """
    loaded: dict[str, Theme] = {}
    failed: list[str] = []
    for path in _files(folders):
        try:
            theme = _read(path)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, _WrongError) as error:
            failed.append(f"Theme {path} is not used: {_said(error)}")
        else:
            loaded[theme.name] = theme
    return list(loaded.values()), failed


def _files(folders: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        paths = [os.path.join(folder, name) for name in names if name.endswith(".toml")]
        found += [path for path in paths if os.path.isfile(path)]
    return found


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text."
    if isinstance(error, OSError):
        return f"{error.strerror or error}."
    return f"{error}".rstrip(".") + "."


def _read(path: str) -> Theme:
    with open(path, "rb") as file:
        values = tomllib.loads(file.read().decode())
    for key, value in values.items():
        _check(key, value)
    if "primary" not in values:
        raise _WrongError('key "primary" is missing; give it a colour such as "#5fb3b3"')
    theme = Theme(name=os.path.basename(path).removesuffix(".toml"), **values)
    _check_whole(theme)
    return theme


def _check(key: str, value: object) -> None:
    if key not in _KEYS:
        raise _WrongError(f'unknown key "{key}"; known are {", ".join(sorted(_KEYS))}')
    if key == "variables":
        _check_variables(value)
    elif key in ("dark", "ansi"):
        if not isinstance(value, bool):
            raise _WrongError(f'"{key}" must be true or false')
    elif key in ("luminosity_spread", "text_alpha"):
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
            raise _WrongError(f'"{key}" must be a number from 0 to 1')
    else:
        _check_colour(key, value)


def _check_variables(value: object) -> None:
    if not isinstance(value, dict):
        raise _WrongError('"variables" must be a table: write [variables]')
    for key, entry in value.items():
        if not key.replace("-", "").replace("_", "").isalnum() or not key.isascii():
            raise _WrongError(f'"variables.{key}" is not a name made of letters, digits and "-"')
        if key.endswith("style"):
            if not isinstance(entry, str) or not set(entry.split()) <= _TEXT_STYLES:
                raise _WrongError(f'"variables.{key}" must be a text style such as "bold"')
        else:
            _check_colour(f"variables.{key}", entry)


def _check_colour(key: str, value: object) -> None:
    if not isinstance(value, str):
        raise _WrongError(f'"{key}" must be a colour in quotes, such as "#5fb3b3"')
    colour, _, opacity = value.partition(" ")
    digits = opacity.removesuffix("%")
    if opacity and not (
        opacity.endswith("%") and digits.isdecimal() and digits.isascii() and int(digits) <= 100
    ):
        raise _WrongError(
            f'"{key}" = "{value}" is not a colour; after the colour only an opacity such as "50%" may stand'
        )
    try:
        Color.parse(colour)
    except (ColorParseError, TypeError, ValueError):
        raise _WrongError(f'"{key}" = "{value}" is not a colour; write one such as "#5fb3b3"') from None


def _check_whole(theme: Theme) -> None:
    """What single keys cannot tell: whether Textual can make its colour system from them."""
    try:
        theme.to_color_system().generate()
    except Exception as error:
        raise _WrongError(f"its colours do not go together ({error})") from error


def own_variables(theme: Theme) -> dict[str, str]:
    """costmon's own CSS variables for any theme, also one that is not ours."""
    return _ansi_variables(theme) if theme.ansi else _mixed_variables(theme)


def _ansi_variables(theme: Theme) -> dict[str, str]:
    return {
        # Textual's own widgets ask for these two, but its colour system does not make them.
        "ansi-background": "ansi_black" if theme.dark else "ansi_white",
        "ansi-foreground": "ansi_white" if theme.dark else "ansi_black",
        "dim": "ansi_bright_black",
        "edge": "ansi_bright_black",
        "track": "ansi_bright_black",
        "tick": "ansi_default",
        "level-ok": "ansi_green",
        "level-70": "ansi_yellow",
        "level-80": "ansi_yellow",
        "level-90": "ansi_bright_red",
        "level-95": "ansi_red",
        "level-100": "ansi_red",
        "on-level": "ansi_black" if theme.dark else "ansi_bright_white",
        "field": "ansi_default",
        "field-focus": "ansi_default",
    }


def _mixed_variables(theme: Theme) -> dict[str, str]:
    made = cast(dict[str, Any], theme.to_color_system().generate())
    colours = {
        key: Color.parse(made[key])
        for key in ("background", "foreground", "primary", "success", "warning", "error")
    }
    ground, warning, error = colours["background"], colours["warning"], colours["error"]
    return {
        "dim": colours["foreground"].blend(ground, 0.38, alpha=1).hex,
        "edge": colours["foreground"].blend(ground, 0.75, alpha=1).hex,
        "track": colours["foreground"].blend(ground, 0.84, alpha=1).hex,
        "tick": colours["foreground"].blend(ground, 0.38, alpha=1).hex,
        "level-ok": colours["success"].hex,
        "level-70": colours["success"].blend(warning, 0.6, alpha=1).hex,
        "level-80": warning.hex,
        "level-90": warning.blend(error, 0.55, alpha=1).hex,
        "level-95": error.hex,
        "level-100": error.hex,
        "on-level": ground.hex,
        "field": colours["foreground"].blend(ground, 0.9, alpha=1).hex,
        "field-focus": colours["primary"].blend(ground, 0.72, alpha=1).hex,
    }
