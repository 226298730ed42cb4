"""Models that MemOS uses, behind small protocols."""
