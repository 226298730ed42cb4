"""What callers and prompts see."""
