"""What is done with memory: deciding, adding, changing, forgetting, recalling."""
