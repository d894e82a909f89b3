"""tensorstore's failures as ours. It tells kinds apart by the status that its message begins with, by nothing else."""

from __future__ import annotations

from typing import Final

from zarrlink.errors import CorruptFile, SourceUnavailable

FAILURES: Final = (ValueError, IndexError, NotImplementedError, OSError, RuntimeError)
# Of status codes (abseil's canonical ones) those that a codec or parser gives for bytes that make no sense.
_DAMAGE: Final = frozenset({"DATA_LOSS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "OUT_OF_RANGE"})
# What a store adds where it was the operating system, the connection or the server that failed.
_STORE: Final = ("[os_error_code=", "[curl_code=", "[HTTP code ")


def failure(error: Exception, key: str) -> CorruptFile | SourceUnavailable:
    """For a failed read of an array. The sentence holds nothing of tensorstore's text, which names paths."""
    text = str(error)
    status = text.partition(":")[0]
    if status in _DAMAGE and not any(mark in text for mark in _STORE):
        return CorruptFile("a stored chunk cannot be decoded", key=key)
    return as_unavailable(error, key)


def as_unavailable(error: Exception, key: str) -> SourceUnavailable:
    """For a failed read of a store. `reason`: the status alone."""
    status = str(error).partition(":")[0]
    known = status.isascii() and status.replace("_", "").isupper() and len(status) < 30
    return SourceUnavailable(status if known else type(error).__name__, key=key)
