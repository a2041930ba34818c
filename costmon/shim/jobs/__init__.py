"""Scheduled jobs: who announces which plan, and each run from its start to its end.

`job` is what an app writes itself; the schedulers it may use are hooked in modules of their own.
"""
