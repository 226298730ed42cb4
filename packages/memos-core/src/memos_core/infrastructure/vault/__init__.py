"""MemVault: durable records, versions and journal."""
