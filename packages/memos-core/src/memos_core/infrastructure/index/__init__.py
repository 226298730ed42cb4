"""What makes search fast: pages of a realm in memory, rebuilt from the vault at any time."""
