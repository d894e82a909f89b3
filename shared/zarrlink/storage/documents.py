"""Documents of metadata: short objects without a checksum, which say what all others are."""

from __future__ import annotations

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.storage.interface import Blob, ByteSource


async def read_document(source: ByteSource, key: str, max_bytes: int) -> Blob | None:
    """At most one byte more than `max_bytes` of a document, as two reads of it agree; None where there is none.

    One bit that flips on the way makes `<u2` of `>u2`, or another channel of the first, and nothing else would tell.

    Raises CorruptFile where it is empty, SourceChanged where it is exchanged meanwhile, SourceUnavailable.
    """
    part = ByteRange(0, max_bytes + 1)
    try:
        blob = await source.read(key, part)
        again = None if blob is None else await source.read(key, part, if_match=blob.etag)
    except RangeNotSatisfiable as error:
        raise CorruptFile("a document of metadata is empty", key=key) from error
    if blob is None:
        return None
    if again is None:
        raise SourceChanged(key)
    if again.data != blob.data:
        raise SourceUnavailable("a document of metadata came in two forms", key=key)
    return blob
