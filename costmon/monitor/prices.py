"""Keep the ledger's compiled price catalogue equal to the price files."""

from __future__ import annotations

import os

from costmon import paths
from costmon.pricing.catalog import compiled
from costmon.store import Store
from costmon.store.queries import settings


def compile_prices(store: Store) -> bool:
    """Compile the price layers into the ledger if a file changed since the last time; True if they were.

    A bad file is skipped and named in the setting `prices_error`; the others work.
    """
    user_file = paths.user_prices_file()
    stamp = _stamp(user_file)
    if settings(store.db).get("prices_stamp") == stamp:
        return False
    found = compiled(user_file if os.path.exists(user_file) else None)
    db = store.db
    db.execute("begin immediate")
    try:
        # A layer whose file is broken keeps its last good compile.
        layers = {row[1] for row in found.rows} if found.problems else {0, 1, 2}
        db.executemany("delete from catalog where layer = ?", [(layer,) for layer in layers])
        db.executemany(
            "insert into catalog (provider, layer, source, version, models) values (?, ?, ?, ?, ?)",
            found.rows,
        )
        values = {
            "prices_stamp": stamp,
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
    """Changes whenever a price file is edited, added or removed, or costmon is upgraded."""
    folder = paths.bundled("pricing")
    files = [*sorted(entry.path for entry in os.scandir(folder) if entry.is_file()), user_file]
    parts = []
    for path in files:
        try:
            status = os.stat(path)
        except OSError:
            continue
        parts.append(f"{os.path.basename(path)}:{status.st_mtime_ns}:{status.st_size}")
    return "|".join(parts)
