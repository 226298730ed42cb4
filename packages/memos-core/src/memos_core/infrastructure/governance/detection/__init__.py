"""Detection: where a text holds personal data or a secret, and of which kind."""
