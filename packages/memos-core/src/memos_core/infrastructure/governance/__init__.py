"""MemGovernance: names, labels, decisions, grants."""
