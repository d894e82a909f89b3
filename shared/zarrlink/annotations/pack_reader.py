"""Reading block packs out of a store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from zarrlink.annotations.manifest import PackedMag
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable
from zarrlink.formats.block_pack import Entry, Kind, PackHeader, PackIndex, stored_range
from zarrlink.storage.interface import Blob, ByteSource

HEAD_BYTES: Final = 2**16
"""Header and directory of up to four million blocks, in one read."""
BATCH_PAGES: Final = 16
BATCH_BYTES: Final = 2**20
StoredBlock = tuple[Entry, bytes]


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """An index whose directory is known, and the ETag of its object."""

    mag: PackedMag
    index: PackIndex
    etag: str


async def open_index(source: ByteSource, mag: PackedMag, block_bytes: int) -> OpenIndex:
    """Read header and directory: one read, for the largest two. `source`: the import's folder.

    Raises CorruptFile where they are damaged, missing or not those that the manifest speaks of.
    """
    head = await read_part(source, mag.index_key, ByteRange(0, HEAD_BYTES))
    header = PackHeader.from_bytes(head.data, index_bytes=head.object_bytes, key=mag.index_key)
    if (header.entries, header.data_bytes, header.block_bytes) != (mag.blocks, mag.data_bytes, block_bytes):
        raise CorruptFile("a block index is not the one of its annotation", key=mag.index_key)
    data = bytes(head.data)
    if header.directory_end > len(data):
        part = ByteRange(len(data), header.directory_end)
        data += (await read_part(source, mag.index_key, part, head.etag)).data
    return OpenIndex(mag, PackIndex.from_bytes(data, index_bytes=head.object_bytes, key=mag.index_key), head.etag)


async def read_entries(source: ByteSource, opened: OpenIndex, pages: range) -> tuple[Entry, ...]:
    """All entries of some pages: one read. Raises SourceChanged where the index is another one by now."""
    part = opened.index.page_range(pages)
    if part is None:
        return ()
    blob = await read_part(source, opened.mag.index_key, part, opened.etag)
    return opened.index.read_pages(pages, blob.data)


async def all_blocks(source: ByteSource, mag: PackedMag, block_bytes: int) -> AsyncIterator[list[StoredBlock]]:
    """Every entry of a mag with its bytes, in Morton order, in batches of about a megabyte."""
    opened = await open_index(source, mag, block_bytes)
    etag: str | None = None
    pages = opened.index.header.pages
    for first in range(0, pages, BATCH_PAGES):
        entries = await read_entries(source, opened, range(first, min(pages, first + BATCH_PAGES)))
        for batch in _batches(entries):
            part = stored_range(batch)
            if part is None:
                yield [(entry, b"") for entry in batch]
                continue
            blob = await read_part(source, mag.blocks_key, part, etag)
            if blob.object_bytes != mag.data_bytes:
                raise CorruptFile("the blocks of a mag are not those of its index", key=mag.blocks_key)
            etag, data = blob.etag, memoryview(blob.data)
            yield [(entry, bytes(data[entry.offset - part.start : entry.end - part.start])) for entry in batch]


async def read_part(source: ByteSource, key: str, part: ByteRange | None, if_match: str | None = None) -> Blob:
    """Of an object that must be there, up to its end. Raises CorruptFile where it is missing or shorter."""
    try:
        blob = await source.read(key, part, if_match=if_match)
    except RangeNotSatisfiable as error:
        raise CorruptFile("a file of an annotation is cut short", key=key) from error
    if blob is None:
        raise CorruptFile("a file of an annotation is missing", key=key)
    if part is not None and len(blob.data) != min(part.end, blob.object_bytes) - part.start:
        raise CorruptFile("a file of an annotation is cut short", key=key)
    return blob


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    start = 0
    for at, entry in enumerate(entries):
        if at > start and (entry.end - entries[start].offset > BATCH_BYTES or at - start >= BATCH_BYTES >> 10):
            yield entries[start:at]
            start = at
    if entries:
        yield entries[start:]


def is_written(entry: Entry, *, over_fallback: bool) -> bool:
    """Whether a download holds this block: an erased one says something only where there is a layer below it."""
    return entry.kind is Kind.DATA or (entry.kind is Kind.ERASED and over_fallback)
