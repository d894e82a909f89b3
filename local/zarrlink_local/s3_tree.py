"""A dataset's files in S3, to verify them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, Final

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged
from zarrlink.storage.s3 import S3Source

# As long as the longest chunk, which is what the reader's timeouts are made for.
PART_BYTES: Final = 4 * 2**20


class S3Tree:
    """What lies below the prefix of a source."""

    def __init__(self, source: S3Source) -> None:
        self._source = source

    async def is_file(self, key: str) -> bool:
        return await self._source.stat(key) is not None

    async def names(self, folder: str) -> list[str]:
        return await self._source.names(folder)

    @asynccontextmanager
    async def opened(self, key: str) -> AsyncIterator[BinaryIO]:
        """A copy, which goes away again: each byte is fetched once, though it is looked at twice."""
        with tempfile.TemporaryFile() as copy:
            etag, start, length = None, 0, 1
            while start < length:
                try:
                    blob = await self._source.read(key, ByteRange(start, start + PART_BYTES), if_match=etag)
                except RangeNotSatisfiable:
                    break  # an empty object
                if blob is None:
                    raise SourceChanged(key)  # it was listed a moment ago
                copy.write(blob.data)
                etag, start, length = blob.etag, start + len(blob.data), blob.object_bytes
            copy.seek(0)
            yield copy
