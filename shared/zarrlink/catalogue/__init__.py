"""Which datasets there are, and where they lie."""
