"""Policies: pure functions from facts to decisions; engines carry them out (DESIGN 4.10)."""
