"""SHOW: the terminal app. It renders a Snapshot and owns no data."""
