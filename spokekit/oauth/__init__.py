"""Getting a token and keeping it: vault, receivers, the consent, and the refresh."""
