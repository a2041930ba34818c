"""The audit: what compose, env, cron, unit and Python files declare, judged before anything runs."""
