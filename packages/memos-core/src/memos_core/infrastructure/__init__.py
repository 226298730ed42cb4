"""Where memory is kept and guarded: vault, governance, ledger, indexes."""
