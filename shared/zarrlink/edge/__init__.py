"""The edge: the store that the CDN's function reads, what feeds it, and the addresses that the function rewrites."""
