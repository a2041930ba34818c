"""The ledger's migrations, recorded in `_sqlite_migrations`.

The shim may have made the tables already (it is often first, and cannot load a migration library). Every step is the
same SQL as in `costmon.shim.schema`; on a ledger where the shim took it already, only the record is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlite_utils import Database, Migrations

from costmon.shim import schema

migrations = Migrations("costmon")


def _step(number: int, statements: tuple[str, ...]) -> Callable[[Database], None]:
    def apply(db: Database) -> None:
        connection: Any = db.conn
        if connection.execute("pragma user_version").fetchone()[0] >= number:
            return
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"pragma user_version = {number}")

    return apply


for _number, (_name, _statements) in enumerate(schema.STEPS, start=1):
    migrations(name=_name)(_step(_number, _statements))
