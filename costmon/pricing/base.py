"""Which file the base layer of the catalogue comes from: the bundled one, or one that `costmon prices update` kept."""

from __future__ import annotations

import os
from datetime import date

from costmon import paths
from costmon.shim.catalogue import read_catalog


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
        mine, bundled = checked_day(path), _checked_or_none(bundled_file())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return bundled_file()
    return path if bundled is None or mine >= bundled else bundled_file()


def damaged() -> str:
    """A sentence about an updated catalogue that cannot be read, '' without one."""
    path = updated_file()
    if not os.path.lexists(path):
        return ""
    try:
        checked_day(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{path}: cannot be used, so the prices that came with costmon hold; run costmon prices update again"
    return ""


def checked_day(path: str) -> date:
    """The day a catalogue is of. Raises OSError, ValueError, KeyError, TypeError."""
    catalog = read_catalog(path)
    if not all(isinstance(part.get("models"), list) for part in catalog["providers"].values()):
        raise ValueError("a provider has no models")
    return date.fromisoformat(catalog["checked"])


def _checked_or_none(path: str) -> date | None:
    try:
        return checked_day(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
