"""MemOperator: how memories hang together — links, layers, conflicts, supersession, merges."""
