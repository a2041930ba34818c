"""Which file the base layer of the catalogue comes from: the bundled one, or one that `costmon prices update` kept.

The kept one bears a digest of all it says: it was checked when it was made, and a file that says anything else now was
damaged, or edited by hand. It is read inside other people's apps, so it is used whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import date
from typing import Any

from costmon import paths
from costmon.shim.catalogue import read_catalog

DIGEST = "digest"
MAX_BYTES = 100_000_000
_DAMAGES = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def bundled_file() -> str:
    return os.path.join(paths.bundled("pricing"), "catalog.json")


def updated_file(home: str | None = None) -> str:
    return os.path.join(home or paths.state_home(), "prices", "catalog.json")


def base_catalog_path() -> str:
    """The updated catalogue if there is a sound one that is at least as new as the bundled one, which a later costmon
    may have overtaken; else the bundled one."""
    path = updated_file()
    if not os.path.lexists(path):
        return bundled_file()
    try:
        mine = kept_day(path)
    except _DAMAGES:
        return bundled_file()
    bundled = _bundled_day()
    return path if bundled is None or mine >= bundled else bundled_file()


def damaged() -> str:
    """A sentence about an updated catalogue that cannot be used, '' without one."""
    path = updated_file()
    if not os.path.lexists(path):
        return ""
    try:
        kept_day(path)
    except _DAMAGES:
        return (
            f"{path}: cannot be used (it was damaged or edited), so the prices that came with costmon hold; run"
            " costmon prices update again"
        )
    return ""


def sealed(catalog: Mapping[str, Any]) -> dict[str, Any]:
    """The catalogue with the digest of all else it says."""
    return {**catalog, DIGEST: _digest(catalog)}


def kept_day(path: str) -> date:
    """The day an updated catalogue is of. Raises OSError, ValueError, KeyError, TypeError or AttributeError when it is
    not what was kept."""
    if os.stat(path).st_size > MAX_BYTES:
        raise ValueError("larger than any catalogue")
    catalog = read_catalog(path)
    if catalog[DIGEST] != _digest(catalog):
        raise ValueError("says other than what was kept")
    return date.fromisoformat(catalog["checked"])


def _digest(catalog: Mapping[str, Any]) -> str:
    said = {key: value for key, value in catalog.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _bundled_day() -> date | None:
    try:
        return date.fromisoformat(read_catalog(bundled_file())["checked"])
    except _DAMAGES:
        return None
