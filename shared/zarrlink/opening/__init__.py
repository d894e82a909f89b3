"""From a place in a store to a layer ready to be streamed: one module for each way a layer can be stored."""
