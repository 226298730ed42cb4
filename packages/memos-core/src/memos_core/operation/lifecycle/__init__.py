"""MemLifecycle: how memories come, change and go."""
