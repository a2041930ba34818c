"""A key that must appear nowhere, and the search for it: raw, encoded, turned round, or its last characters."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil

KEY = "sk-admin-Canary/9f+3=Qz.tR7~wXyK"


def forms(key: str = KEY) -> dict[str, bytes]:
    """Every form that is searched for, by name."""
    raw = key.encode()
    found = {
        "raw": raw,
        "last 8": key[-8:].encode(),
        "url-encoded": quote(key, safe="").encode(),
        "url-encoded, slash kept": quote(key).encode(),
        "url-encoded form": quote_plus(key).encode(),
        "json": key.replace("/", "\\/").encode(),
        "hex": raw.hex().encode(),
        "hex, upper case": raw.hex().upper().encode(),
        "reversed": raw[::-1],
        "reversed hex": raw[::-1].hex().encode(),
        "hex reversed": raw.hex()[::-1].encode(),
        "utf-16": key.encode("utf-16-le"),
    }
    # Base64 depends on where in a group of three bytes the key begins; of each, the part that its neighbours do not change.
    for shift in range(3):
        whole = (b"\0" * shift + raw)[: (shift + len(raw)) // 3 * 3]
        middle = base64.b64encode(whole)[4:]
        found[f"base64 {shift}"] = middle
        found[f"base64url {shift}"] = base64.urlsafe_b64encode(whole)[4:]
    return found


def hits(data: bytes | str) -> list[str]:
    """The names of the forms in which the key is in `data`."""
    content = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return [name for name, form in forms().items() if form in content]


def files_with_hits(*folders: Path) -> dict[str, list[str]]:
    """Every file below the folders, journals and hidden ones too, in whose name or content the key is."""
    found = {}
    for folder in folders:
        for path in filter(os.path.lexists, folder.rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            if names := hits(content) + hits(str(path)):
                found[str(path)] = names
    return found


def processes(root: int) -> Iterator[tuple[str, bytes]]:
    """What others can see of a process and its descendants: command lines and environments, as (where, bytes)."""
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        for name in ("cmdline", "environ"):
            try:
                yield f"/proc/{process.pid}/{name}", Path(f"/proc/{process.pid}/{name}").read_bytes()
            except OSError:
                continue
