"""Budgets as pure arithmetic: periods in a zone, where a budget stands, what that blocks. Integers in, integers out."""
