"""Schedules while the engine runs: who announces what, plan against fact, what it costs, and whom to tell."""
