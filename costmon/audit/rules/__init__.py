"""What is wrong, by rule: pure functions of what was read."""
