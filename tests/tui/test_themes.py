from __future__ import annotations

import os

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from costmon import paths
from costmon.tui.themes import DEFAULT, load_themes, own_variables

BUNDLED = load_themes(paths.bundled("themes"))[0]


def _contrast(theme: Theme, name: str) -> float:
    colours = {**own_variables(theme), **theme.to_color_system().generate(), **theme.variables}
    return Color.parse(colours[name]).get_contrast_text(1).a and _ratio(
        Color.parse(colours[name]), Color.parse(colours["background"])
    )


def _ratio(one: Color, other: Color) -> float:
    def luminance(colour: Color) -> float:
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_our_themes_load() -> None:
    """Every theme file that comes with costmon can be used, the default among them."""
    loaded, failed = load_themes(paths.bundled("themes"))
    assert not failed
    assert {DEFAULT, "costmon-light", "high-contrast", "terminal"} <= {theme.name for theme in loaded}


@pytest.mark.parametrize(
    "theme", [theme for theme in BUNDLED if not theme.ansi], ids=lambda theme: theme.name
)
def test_every_text_colour_can_be_read(theme: Theme) -> None:
    """WCAG AA (4.5:1) for each colour that carries text; 7:1 in the high-contrast theme."""
    least = 7 if theme.name == "high-contrast" else 4.5
    names = ["foreground", "dim", "primary", "warning", "error", "accent"]
    names += [f"level-{level}" for level in ("ok", "70", "80", "90", "95", "100")]
    assert {name: round(_contrast(theme, name), 1) for name in names if _contrast(theme, name) < least} == {}


def test_every_builtin_theme_gets_our_colours() -> None:
    """The command palette may pick any theme of Textual's: none lacks a colour that we use."""
    keys = {
        frozenset(own_variables(theme)) - {"ansi-background", "ansi-foreground"}
        for theme in BUILTIN_THEMES.values()
    }
    assert len(keys) == 1


def test_a_users_theme_replaces_ours_of_the_same_name(home: str) -> None:
    """A file in the user's folder wins over the bundled one."""
    _write(home, "costmon-dark.toml", 'primary = "#123456"')
    loaded, failed = load_themes(paths.bundled("themes"), home)
    assert not failed
    assert {theme.name: theme.primary for theme in loaded}["costmon-dark"] == "#123456"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('primary = "#12345\nx', "at line 1"),
        ('primary = "blurple"', '"primary" = "blurple"'),
        ('primary = "#123456"\nprimry = "red"', '"primry"'),
        ('secondary = "red"', '"primary" is missing'),
        ('primary = "red"\nname = "x"', '"name"'),
        ('primary = "red"\ndark = "yes"', '"dark" must be true or false'),
        ('primary = "red"\ntext_alpha = 7', '"text_alpha" must be a number'),
        ('primary = "red"\nvariables = 3', "[variables]"),
        ('primary = "red"\n[variables]\ndim = "nope"', "variables.dim"),
        ('primary = "red"\n[variables]\n"a{b" = "red"', "variables.a{b"),
        ('primary = "red"\n[variables]\nborder = "red; x"', "variables.border"),
        ('primary = "red"\n[variables]\nlink-style = "wobbly"', "variables.link-style"),
        ("primary = 3", '"primary" must be a colour'),
    ],
)
def test_a_bad_theme_is_one_sentence_that_names_file_and_key(home: str, text: str, named: str) -> None:
    """The file, the key and what to do; the other themes still load."""
    path = _write(home, "mine.toml", text)
    loaded, failed = load_themes(paths.bundled("themes"), home)
    assert len(loaded) == len(BUNDLED)
    assert len(failed) == 1
    assert path in failed[0]
    assert named in failed[0]


def test_odd_files_are_reported_or_ignored(home: str) -> None:
    """Bytes that are no text, an unreadable folder, a FIFO: never a crash, never a hang."""
    with open(os.path.join(home, "bytes.toml"), "wb") as file:
        file.write(b"\xff\xfe\x00")
    os.mkfifo(os.path.join(home, "pipe.toml"))
    os.mkdir(os.path.join(home, "folder.toml"))
    loaded, failed = load_themes(home, os.path.join(home, "absent"))
    assert loaded == []
    assert len(failed) == 1
    assert "not UTF-8" in failed[0]


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
