"""What chat models are told, each in a file of its own."""
