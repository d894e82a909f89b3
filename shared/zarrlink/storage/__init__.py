"""Where volumes lie: the `ByteSource` protocol and its adapters."""
