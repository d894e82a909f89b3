"""Where layers may lie and what folders without a description are."""
