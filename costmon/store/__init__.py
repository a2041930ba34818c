"""The ledger as costmon itself uses it: opened, migrated, queried. The shim's side is `costmon.shim.ledger`."""

from __future__ import annotations

from costmon.store.store import Store, open_ledger

__all__ = ["Store", "open_ledger"]
