"""Finding the memories that answer a question."""
