"""The rules of `RuleReader`: what English says when it speaks to a memory, cut by noun."""
