"""What is wrong with one file of a folder of bills."""

from __future__ import annotations

from typing import NoReturn


class BillError(ValueError):
    """A whole sentence that begins with the file, and the line where there is one: "nov.csv:12: …"."""


def refuse(where: str, problem: str) -> NoReturn:
    """`where` is "nov.csv" or "nov.csv:12"; `problem` says what is wrong and what to write."""
    raise BillError(f"{where}: {problem}")


def spell(text: object) -> str:
    """A cell quoted for a message, 40 characters at most, on one line."""
    shown = "".join(sign if sign.isprintable() else "·" for sign in str(text))
    return '"' + (shown if len(shown) <= 40 else shown[:39] + "…") + '"'
