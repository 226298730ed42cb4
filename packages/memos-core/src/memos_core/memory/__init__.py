"""The kinds of memory."""
