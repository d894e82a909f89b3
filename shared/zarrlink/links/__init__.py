"""Links: a secret address to a view, expiring and revocable."""
