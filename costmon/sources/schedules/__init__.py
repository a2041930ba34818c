"""Schedules the shim cannot see: cron tables, systemd timers, job stores, compose files, logs. Everything is only read."""
