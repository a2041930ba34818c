"""Budgets as pure arithmetic on integers: periods in a zone, where a budget stands, what that blocks."""
