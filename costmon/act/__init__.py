"""ACT: what costmon does about a standing that crossed a line."""
