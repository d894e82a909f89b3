"""An object in a folder that seemed never to have been written, and is there: read by us, so that a miss is no absence.

tensorstore does not tell whether it found a file. One that comes and goes (a disk, a folder that is exchanged) may be away
at its every look, and there at each of ours.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

import google_crc32c
import numpy as np
import tensorstore as ts

from zarrlink.arrays.failures import FAILURES, failure
from zarrlink.arrays.stored import StoredArray
from zarrlink.byte_range import ByteRange
from zarrlink.errors import SourceChanged
from zarrlink.formats.shard_index import ABSENT, check_index, index_bytes
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.formats.zarr_codecs import configuration
from zarrlink.storage.interface import Blob, ByteSource, Stat

# Where a chunk of a shard lies that cannot be read.
_PAST_THE_END: Final = (2**62, 1)
# Of larger ones, which are shards, tensorstore reads the parts that it needs.
_COPY_BYTES: Final = 64 * 2**20
# What is in the page cache is copied on the event loop, so others have their turn after so much.
_READ_BYTES: Final = 2**20


class Present:
    """A source of which all that is asked for is there: what is not raises SourceChanged."""

    absence_trust_s = 0.0

    def __init__(self, source: ByteSource) -> None:
        self.name = source.name
        self._source = source

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob:
        blob = await self._source.read(key, part, if_match=if_match, head_bytes=head_bytes)
        if blob is None:
            raise SourceChanged(key)
        return blob

    async def stat(self, key: str) -> Stat:
        stat = await self._source.stat(key)
        if stat is None:
            raise SourceChanged(key)
        return stat


async def never_written(
    opened: ts.TensorStore, stored: StoredArray, source: ByteSource, key: str
) -> ts.TensorStore | None:
    """The array as if it held but the shard `key`, and that shard nothing that can be read: what can be, was never written.

    None where no index says so that we know to read. Raises CorruptFile, SourceChanged, SourceUnavailable.
    """
    chunks = _indexed_chunks(stored)
    if not chunks:
        return None
    present = Present(source)
    stat = await present.stat(key)
    length = index_bytes(chunks)
    if stat.object_bytes < length:
        return None
    index = await _read(present, key, stat, stat.object_bytes - length)
    check_index(index, key=key)
    places = np.frombuffer(index, "<u8", 2 * chunks).reshape(chunks, 2)
    written = (places != ABSENT).any(axis=1)
    emptied = np.where(written[:, None], np.array(_PAST_THE_END, "<u8"), places).tobytes()
    checksum = google_crc32c.value(emptied).to_bytes(4, "little")
    return await _holding(opened, stored, key, emptied + checksum)


async def with_copy(opened: ts.TensorStore, stored: StoredArray, source: ByteSource, key: str) -> ts.TensorStore | None:
    """The array as if it held but the object `key`, of which there is a copy in memory; None where it is too large.

    Raises CorruptFile, SourceChanged, SourceUnavailable.
    """
    present = Present(source)
    stat = await present.stat(key)
    if stat.object_bytes > _COPY_BYTES:
        return None
    return await _holding(opened, stored, key, await _read(present, key, stat, 0))


def _indexed_chunks(stored: StoredArray) -> int:
    """How many chunks the index at the end of a shard speaks of; 0 where there is none of the usual form."""
    array = stored.array
    if not isinstance(array, ZarrArray) or array.shard is None:
        return 0
    options = configuration(array.codecs[-1])
    names = [codec["name"] for codec in options.get("index_codecs", ())]
    if array.codecs[-1]["name"] != "sharding_indexed" or options.get("index_location", "end") != "end":
        return 0
    if names != ["bytes", "crc32c"] or configuration(options["index_codecs"][0]).get("endian") != "little":
        return 0
    return math.prod(array.shard) // math.prod(options["chunk_shape"])


async def _read(present: Present, key: str, seen: Stat, start: int) -> bytes:
    """The bytes of an object from `start` on."""
    pieces = []
    for first in range(start, seen.object_bytes, _READ_BYTES):
        end = min(first + _READ_BYTES, seen.object_bytes)
        blob = await present.read(key, ByteRange(first, end), if_match=seen.etag)
        pieces.append(blob.data)
        await asyncio.sleep(0)
    return b"".join(pieces)


async def _holding(opened: ts.TensorStore, stored: StoredArray, key: str, data: bytes) -> ts.TensorStore:
    context = ts.Context()
    folder = "" if stored.folder in (".", "") else f"{stored.folder}/"
    spec = {**opened.spec().to_json(), "kvstore": {"driver": "memory", "path": folder}}
    try:
        memory = await ts.KvStore.open({"driver": "memory"}, context=context)
        await memory.write(key, data)
        return await ts.open(spec, context=context, open=True, read=True, assume_metadata=True)
    except FAILURES as error:
        raise failure(error, key) from error
