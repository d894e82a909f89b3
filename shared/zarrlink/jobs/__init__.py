"""Work that takes longer than a request: who asked for it, how far it is, what came of it."""
