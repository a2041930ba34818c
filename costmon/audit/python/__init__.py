"""Schedules and retries that Python files declare, read from their syntax; nothing is imported."""
