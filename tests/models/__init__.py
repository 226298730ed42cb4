"""Models to test with, and how they are made."""
