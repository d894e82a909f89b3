"""Where the blocks of a chunk lie in their file: jump-table pages, read once and kept with the ETag they are from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.formats.wkw import HEADER_BYTES, TableSlice, WkwHeader, file_key, raw_spans, table_range
from zarrlink.layer import WkwLevel
from zarrlink.storage.cache import ByteBoundedCache
from zarrlink.storage.interface import Blob, ByteSource
from zarrlink.transcode import ChunkShape

# 4096 entries are 32 KiB: one request brings the tables of a 512^3 region, and page 0 comes with the header.
PAGE_BLOCKS: Final = 4096
# Up to here a read starts at the file's first byte, so that its own header is checked as well.
WITH_HEADER_BYTES: Final = 64 * 1024
CACHE_BYTES: Final = 64 * 2**20
_ENTRY_OVERHEAD_BYTES: Final = 600


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The boundaries of a chunk's blocks in its file. `etag` is None while a raw file has not been looked at.

    `fresh`: read from the store just now, not from the cache.
    """

    key: str
    etag: str | None
    spans: tuple[int, ...]
    fresh: bool


class JumpTables:
    """Boundaries of blocks in WKW files, at most one request each.

    What is kept was checked against the header of the level that asked. A layer that was opened before its files were
    replaced by those of another kind has another header, and must not be given what only the new one fits: so it is
    kept with the header, and read again for any other.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self._pages: ByteBoundedCache[tuple[str, TableSlice]] = ByteBoundedCache(cache_bytes)
        self._raw_etags: ByteBoundedCache[tuple[str, WkwHeader]] = ByteBoundedCache(cache_bytes // 8)

    async def locate(self, source: ByteSource, level: WkwLevel, shape: ChunkShape, *, look: bool) -> StoredRun | None:
        """Where the chunk's blocks are stored; None where their file was never written.

        `look`: also ask the store about a raw file, whose blocks lie where arithmetic says.
        Raises CorruptFile, SourceUnavailable.
        """
        key = file_key(level.folder, shape.file_xyz)
        if not level.header.compressed:
            return await self._locate_raw(source, level, shape, key, look=look)
        page_blocks = max(PAGE_BLOCKS, shape.blocks)
        page = shape.first_block // page_blocks
        place = source.name, key, page_blocks, page
        cached = self._pages.get(place)
        if cached is not None and not _is_same(cached[1].header, level.header):
            cached = None
        if cached is None:
            found = await self._read_page(source, level, key, page, page_blocks)
            if found is None:
                await self.confirm_absence(source, level, key)
                return None
            etag, table = found
            self._pages.put(place, found, len(table.boundaries) + _ENTRY_OVERHEAD_BYTES)
        else:
            etag, table = cached
        return StoredRun(key, etag, table.spans(shape.first_block, shape.blocks), cached is None)

    def forget(self, source: ByteSource, level: WkwLevel, shape: ChunkShape) -> None:
        """What was read of a chunk's file is no longer to be used."""
        key = file_key(level.folder, shape.file_xyz)
        page_blocks = max(PAGE_BLOCKS, shape.blocks)
        self._pages.drop((source.name, key, page_blocks, shape.first_block // page_blocks))
        self._raw_etags.drop((source.name, key))

    def check_raw(self, source: ByteSource, level: WkwLevel, key: str, blob: Blob) -> None:
        """Check a raw file, whose length its header fixes (and the header, where it was read), and remember its ETag.

        Raises CorruptFile.
        """
        expected = _raw_file_bytes(level)
        if blob.object_bytes != expected:
            raise CorruptFile(
                "a raw WKW file has the wrong length", key=key, expected=expected, found=blob.object_bytes
            )
        if blob.head:
            _check_header(level, blob.head, key)
        self._raw_etags.put((source.name, key), (blob.etag, level.header), _ENTRY_OVERHEAD_BYTES)

    @staticmethod
    async def confirm_absence(source: ByteSource, level: WkwLevel, missed: str) -> None:
        """Make sure that a missing file means absence: the header of its folder must still be the one of the level.

        An unmounted disk, or a folder moved away, looks like files that were never written. So does a mag that was
        replaced by one of larger files, which have other names. Asked after the file was missed, each time: what was
        seen before says nothing. Then the file is looked for once more: the folder may have come back, or its
        successor may have taken its place, only after the file was missed. Raises SourceUnavailable, SourceChanged,
        CorruptFile.
        """
        key = f"{level.folder}/header.wkw"
        try:
            blob = await source.read(key, ByteRange(0, HEADER_BYTES))
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW header is empty", key=key) from error
        if blob is None:
            raise SourceUnavailable("the folder of a mag is gone", key=key)
        if WkwHeader.from_bytes(bytes(blob.data), key=key) != level.header:
            raise SourceChanged(key)
        if await source.stat(missed) is not None:
            raise SourceChanged(missed)

    async def _locate_raw(
        self, source: ByteSource, level: WkwLevel, shape: ChunkShape, key: str, *, look: bool
    ) -> StoredRun | None:
        spans = raw_spans(level.header, _raw_file_bytes(level), shape.first_block, shape.blocks, key=key)
        known = self._raw_etags.get((source.name, key))
        etag = known[0] if known is not None and _is_same(known[1], level.header) else None
        if etag is not None or not look:
            return StoredRun(key, etag, spans, fresh=False)
        try:
            blob = await source.read(key, ByteRange(0, HEADER_BYTES))
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW file is empty", key=key) from error
        if blob is None:
            await self.confirm_absence(source, level, key)
            return None
        self.check_raw(source, level, key, replace(blob, head=bytes(blob.data)))
        return StoredRun(key, blob.etag, spans, fresh=True)

    async def _read_page(
        self, source: ByteSource, level: WkwLevel, key: str, page: int, page_blocks: int
    ) -> tuple[str, TableSlice] | None:
        header = level.header
        first = page * page_blocks
        start, end = table_range(first, min(page_blocks, header.blocks - first))
        from_start = end <= WITH_HEADER_BYTES
        try:
            blob = await source.read(key, ByteRange(0 if from_start else start, end), head_bytes=HEADER_BYTES)
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW file is empty or ends before its jump table", key=key) from error
        if blob is None:
            return None
        data = bytes(blob.data)
        if from_start or blob.head:
            _check_header(level, data if from_start else blob.head, key)
        if from_start:
            data = data[start:]
        if len(data) < end - start:
            raise CorruptFile("a jump table is cut short", key=key, expected=end - start, found=len(data))
        return blob.etag, TableSlice(header, key, blob.object_bytes, first, data)


def _is_same(one: WkwHeader, other: WkwHeader) -> bool:
    # Nearly always one and the same object: comparing their fields takes longer than the rest of a look-up.
    return one is other or one == other


def _raw_file_bytes(level: WkwLevel) -> int:
    return HEADER_BYTES + level.header.blocks * level.header.block_bytes


def _check_header(level: WkwLevel, data: bytes, key: str) -> None:
    """A data file's own header must be the one of its folder. Raises CorruptFile."""
    found = WkwHeader.from_bytes(data, key=key)
    if not found.same_kind(level.header) or found.data_offset != level.header.first_block_offset:
        raise CorruptFile("a WKW file does not belong to its layer", key=key)
