"""Keep the ledger's compiled price catalogue equal to the price files."""

from __future__ import annotations

import os

from costmon import paths
from costmon.pricing.catalog.base import updated_file
from costmon.pricing.catalog.layers import FOLDER, compiled, resources_with_last_good, with_last_good
from costmon.pricing.files import resources as resource_prices
from costmon.store import Store
from costmon.store.queries import settings


def compile_prices(store: Store) -> bool:
    """Compile the price layers into the ledger if a file changed since the last time; True if they were.

    A bad file is named in the setting `prices_error`; what it last gave stays, and the others work.
    """
    user_file = paths.user_prices_file()
    stamp = _stamp(user_file)
    if settings(store.db).get("prices_stamp") == stamp:
        return False
    found = compiled(user_file)
    rows = found.rows  # written out before the ledger is locked
    db = store.db
    db.execute("begin immediate")
    try:
        resources = found.resources
        if found.bad:
            before = db.execute("select provider, layer, source, version, models from catalog").fetchall()
            rows = with_last_good(found, [tuple(row) for row in before])
            last = resource_prices.from_json(settings(db).get("resource_prices", ""))
            resources = resources_with_last_good(found, last)
        db.execute("delete from catalog")
        db.executemany(
            "insert into catalog (provider, layer, source, version, models) values (?, ?, ?, ?, ?)", rows
        )
        values = {
            "prices_stamp": stamp,
            "resource_prices": resource_prices.to_json(resources),
            "prices_error": " · ".join(found.problems),
            "prices_checked": f"{found.checked.isoformat()}T00:00:00Z" if found.checked is not None else "",
        }
        db.executemany(
            "insert into setting values (?, ?) on conflict do update set value = excluded.value",
            values.items(),
        )
        db.execute("update setting set value = value + 1 where key = 'generation'")
        db.execute("commit")
    except BaseException:
        db.execute("rollback")
        raise
    return True


def _stamp(user_file: str) -> str:
    """Changes whenever a price file is edited, added, removed or made readable, or costmon is upgraded."""
    user_folder = os.path.join(os.path.dirname(user_file), FOLDER)
    files = [
        *_listed(paths.bundled("pricing")),
        updated_file(),
        user_file,
        user_folder,
        *_listed(user_folder),
    ]
    parts = []
    for path in files:
        try:
            status = os.stat(path)
        except OSError:
            continue
        parts.append(f"{os.path.basename(path)}:{status.st_mtime_ns}:{status.st_size}:{status.st_mode:o}")
    return "|".join(parts)


def _listed(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if not entry.is_dir())
    except OSError:
        return []
