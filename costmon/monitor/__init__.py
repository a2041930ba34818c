"""The engine: one loop that reads the ledger, acts on what it finds, and hands out frozen snapshots. No UI."""
