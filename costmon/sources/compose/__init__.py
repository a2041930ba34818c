"""Compose and env files, read without running anything: what each service's environment will be, and where that stands."""
