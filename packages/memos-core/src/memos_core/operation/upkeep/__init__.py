"""Upkeep: what is due is found in the vault itself, and done under a lease, by any worker."""
