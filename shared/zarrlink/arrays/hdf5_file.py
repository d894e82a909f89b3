"""Looking into an HDF5 file over a `ByteSource`: ask, fetch what was missing, ask again.

h5py is synchronous and holds one lock for the whole process, so it must never wait for the event loop. Therefore it only
ever sees the blocks that are here already; where it touches another, the question fails, the block is fetched, and the
question is put again from the start. It is asked for metadata alone, which is little: the data's bytes are read and
decoded by us, so no filter plugin of HDF5 is ever loaded and no filter makes more bytes than expected.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import h5py

from zarrlink.arrays.table import TableCache, read_exactly
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, ZarrlinkError

if TYPE_CHECKING:
    from zarrlink.storage.interface import Blob, ByteSource

# The superblock, the root group and the headers of a few datasets fit; so do some thirty nodes of a chunk index.
BLOCK_BYTES: Final = 65536
# Metadata that one question may touch. A chunk index of 10^9 entries in chunks of 4096 has about 10 MB.
MAX_METADATA_BYTES: Final = 64 * 2**20
# What h5py raises for files that are damaged; which one depends on where it stumbles.
_H5PY_FAILURES: Final = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)

T = TypeVar("T")


class Hdf5File:
    """One version of an HDF5 file; `name` is the mapping's, for sentences."""

    def __init__(self, source: ByteSource, key: str, first: Blob, name: str, cache: TableCache) -> None:
        self.key = key
        self.etag = first.etag
        self.object_bytes = first.object_bytes
        self.name = name
        self._source = source
        self._cache = cache
        self._keep(0, bytes(first.data))

    async def ask(self, question: Callable[[h5py.File], T]) -> T:
        """The answer of `question`, which runs in a thread, maybe many times, and reads metadata only.

        Raises what `question` raises of our own errors, CorruptFile where h5py cannot make sense of the file,
        SourceChanged, SourceUnavailable.
        """
        blocks: dict[int, bytes] = {}
        while True:
            window = _Window(self.object_bytes, blocks, self._block)
            try:
                answer = await asyncio.to_thread(_put, question, window)
            except ZarrlinkError:
                if window.missing is None:
                    raise
            except (_Missing, *_H5PY_FAILURES) as error:
                if window.missing is None:
                    raise self.corrupt("its HDF5 structure cannot be read") from error
            else:
                if window.missing is None:
                    return answer
            if (len(blocks) + len(window.missing)) * BLOCK_BYTES > MAX_METADATA_BYTES:
                raise self.corrupt("its HDF5 structure is too large")
            async with self._cache.turn((self._source.name, self.key, self.etag, window.missing.start)):
                if self._block(window.missing.start) is None:
                    await self._fetch(window.missing, blocks)

    def corrupt(self, what: str) -> CorruptFile:
        return CorruptFile(f"mapping {self.name!r}: {what}", key=self.key)

    async def _fetch(self, missing: range, blocks: dict[int, bytes]) -> None:
        start, end = missing.start * BLOCK_BYTES, min(missing.stop * BLOCK_BYTES, self.object_bytes)
        data = await read_exactly(self._source, self.key, self.etag, ByteRange(start, end))
        for position, number in enumerate(missing):
            blocks[number] = data[position * BLOCK_BYTES : (position + 1) * BLOCK_BYTES]
            self._keep(number, blocks[number])

    def _keep(self, number: int, data: bytes) -> None:
        self._cache.places.put((self._source.name, self.key, self.etag, number), data, len(data) + 200)

    def _block(self, number: int) -> bytes | None:
        return self._cache.places.get((self._source.name, self.key, self.etag, number))


class _Missing(Exception):
    """h5py touched a block that is not here."""


class _Window(io.RawIOBase):
    """The file as far as it is here, for h5py. `missing`: the blocks it lacked at first."""

    def __init__(self, object_bytes: int, blocks: dict[int, bytes], find: Callable[[int], bytes | None]) -> None:
        super().__init__()
        self.missing: range | None = None
        self._object_bytes = object_bytes
        self._blocks = blocks
        self._find = find
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._object_bytes}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        start, end = self._at, min(self._at + len(view), self._object_bytes)
        if start < end:
            wanted = range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES))
            if len(wanted) * BLOCK_BYTES > MAX_METADATA_BYTES:
                raise OSError("more than any metadata")
            pieces = [self._get(number, wanted) for number in wanted]
            offset = start - wanted.start * BLOCK_BYTES
            view[: end - start] = b"".join(pieces)[offset : offset + end - start]
            self._at = end
        return max(0, end - start)

    def _get(self, number: int, wanted: range) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            block = self._find(number)
            if block is None:
                self.missing = range(number, wanted.stop) if self.missing is None else self.missing
                raise _Missing
            # Kept for the next attempts: what the cache lost meanwhile would be fetched for ever.
            self._blocks[number] = block
        return block


def _put(question: Callable[[h5py.File], T], window: _Window) -> T:
    # No locking: there is no file to lock. No chunk cache: no data is read.
    with h5py.File(window, "r", locking=False, rdcc_nbytes=0) as file:
        return question(file)
