"""Plan against fact: when a job should run, when it ran, which runs nobody planned, and what that costs."""
