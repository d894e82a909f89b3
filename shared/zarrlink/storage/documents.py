"""Documents of metadata: short objects without a checksum, which say what all others are."""

from __future__ import annotations

from typing import Final

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.storage.interface import Blob, ByteSource

_MOST_READS: Final = 3


async def read_document(source: ByteSource, key: str, max_bytes: int) -> Blob | None:
    """At most one byte more than `max_bytes` of a document, as two of at most three reads agree; None where there is none.

    One bit that flips on the way makes `<u2` of `>u2`, or another channel of the first, and nothing else would tell.

    Raises CorruptFile where it is empty, SourceChanged where it is exchanged meanwhile, SourceUnavailable.
    """
    part = ByteRange(0, max_bytes + 1)
    try:
        blob = await source.read(key, part)
        if blob is None:
            return None
        seen = [blob.data]
        while len(seen) < _MOST_READS:
            again = await source.read(key, part, if_match=blob.etag)
            if again is None:
                raise SourceChanged(key)
            if again.data in seen:
                return again
            seen.append(again.data)
    except RangeNotSatisfiable as error:
        raise CorruptFile("a document of metadata is empty", key=key) from error
    raise SourceUnavailable("a document of metadata came in three forms", key=key)
