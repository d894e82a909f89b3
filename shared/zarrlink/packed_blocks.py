"""The blocks of an imported annotation, found by its index and read from its pack."""

from __future__ import annotations

from typing import Final

from zarrlink.annotations.manifest import PackedMag
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceUnavailable
from zarrlink.formats.block_pack import ENTRY_BYTES, PAGE_ENTRIES, Columns, PackHeader, PackIndex
from zarrlink.storage.cache import ByteBoundedCache
from zarrlink.storage.interface import Blob, ByteSource
from zarrlink.transcode import Stored

# A first read of an index: all of it for most annotations, the directory of one with a few million blocks.
FIRST_BYTES: Final = 64 * 1024
CACHE_BYTES: Final = 32 * 2**20
_PAGE_BYTES: Final = PAGE_ENTRIES * ENTRY_BYTES
_ENTRY_OVERHEAD_BYTES: Final = 600

PageCache = ByteBoundedCache[Columns]
"""Checked pages of indexes, by (source, key, page)."""


class PackedBlocks:
    """One mag of a volume layer; see `zarrlink.overlay_chunks.PaintedBlocks`.

    What an import wrote never changes in its place, so that what was read once is kept without asking again.
    """

    def __init__(self, source: ByteSource, mag: PackedMag, pages: PageCache) -> None:
        self._source = source
        self._mag = mag
        self._pages = pages
        self._index: PackIndex | None = None

    async def find(self, first: int, count: int) -> dict[int, tuple[int, int] | None]:
        if not self._mag.blocks:
            return {}
        index = self._index or await self._read_index()
        pages = index.pages_of(first, count)
        if len(pages) == 1:
            # Nearly always, and then without more ado.
            known = self._pages.get(self._place(pages.start))
            if known is not None:
                return known.spans(first, count)
        found: dict[int, tuple[int, int] | None] = {}
        for page in await self._read_pages(index, pages):
            found |= page.spans(first, count)
        return found

    async def read(self, start: int, end: int) -> Stored:
        blob = await self._read(self._mag.blocks_key, ByteRange(start, end))
        return Stored(blob.data, start, self._mag.blocks_key)

    async def _read_index(self) -> PackIndex:
        key = self._mag.index_key
        blob = await self._read(key, ByteRange(0, FIRST_BYTES))
        data = bytes(blob.data)
        header = PackHeader.from_bytes(data, index_bytes=blob.object_bytes, key=key)
        if header.entries != self._mag.blocks or header.data_bytes != self._mag.data_bytes:
            raise CorruptFile("a block index does not belong to its annotation", key=key)
        if header.directory_end > len(data):
            data = bytes((await self._read(key, ByteRange(0, header.directory_end))).data)
        index = PackIndex.from_bytes(data, index_bytes=blob.object_bytes, key=key)
        if len(data) == blob.object_bytes:
            self._keep(index, range(header.pages), data[header.directory_end :])
        self._index = index
        return index

    async def _read_pages(self, index: PackIndex, pages: range) -> list[Columns]:
        """The entries of some pages; those not at hand are read at once."""
        found = {page: self._pages.get(self._place(page)) for page in pages}
        missing = [page for page, data in found.items() if data is None]
        if missing:
            span = range(missing[0], missing[-1] + 1)
            part = index.page_range(span)
            blob = await self._read(index.key, part or ByteRange(0, 0))
            found |= self._keep(index, span, bytes(blob.data))
        return [page for page in found.values() if page is not None]

    def _keep(self, index: PackIndex, pages: range, data: bytes) -> dict[int, Columns]:
        """Check pages that were read, and remember them one by one."""
        index.read_pages(pages, data)
        found = {}
        for n, page in enumerate(pages):
            part = data[n * _PAGE_BYTES : (n + 1) * _PAGE_BYTES]
            found[page] = Columns.from_bytes(part)
            self._pages.put(self._place(page), found[page], len(part) + _ENTRY_OVERHEAD_BYTES)
        return found

    def _place(self, page: int) -> tuple[str, str, int]:
        return self._source.name, self._mag.index_key, page

    async def _read(self, key: str, part: ByteRange) -> Blob:
        try:
            blob = await self._source.read(key, part)
        except RangeNotSatisfiable as error:
            raise CorruptFile("the blocks of an annotation are cut short", key=key) from error
        if blob is None:
            raise SourceUnavailable("a part of an annotation is gone", key=key)
        return blob
