"""Backups of a vault: one file, encrypted and authenticated where a key is given."""
