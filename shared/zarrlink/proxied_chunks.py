"""Chunks and shards of a stored Zarr array, byte for byte as they are stored."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from zarrlink.answers import OCTETS, Ask, Served, Want, holds, wanted_part
from zarrlink.byte_range import ByteRange
from zarrlink.decoded_chunks import ChunkPlace, DecodedChunks
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.formats.blosc1 import FrameHeader
from zarrlink.formats.shard_index import check_index, index_bytes
from zarrlink.geometry import Vec3
from zarrlink.storage.interface import Blob, ByteSource

# How long an object store's array, once seen, is taken to be there: a deleted bucket looks like missing chunks.
_SEEN_S: Final = 5.0
_MAX_DECODED: Final = 10_000


@dataclass(frozen=True, slots=True)
class StoredChunks:
    """Where the chunks lie. `key`: of a grid position of the array's own, in served axis order.

    `metadata_key`: the object without which the array is not there. `first`: the array's grid position (x, y, z) of the
    level's first chunk.
    """

    source: ByteSource
    metadata_key: str
    key: Callable[[tuple[int, ...]], str]
    first: Vec3


@dataclass(frozen=True, slots=True)
class Signs:
    """What can be seen of an object without decoding it.

    `raw_bytes`: the length of every chunk where there is no codec. `frame_bytes`: what every chunk decodes to where each
    is a Blosc frame. `shard_chunks`: those that a shard's index speaks of. Each None elsewhere.
    """

    raw_bytes: int | None = None
    frame_bytes: int | None = None
    shard_chunks: int | None = None

    def check_length(self, key: str, found: int) -> None:
        """Raises CorruptFile for a length that the object cannot have."""
        least = 1 if self.shard_chunks is None else index_bytes(self.shard_chunks)
        if found < least or (self.raw_bytes is not None and found != self.raw_bytes):
            expected = self.raw_bytes or f"at least {least}"
            raise CorruptFile("a stored chunk has the wrong length", key=key, expected=expected, found=found)

    def check_bytes(self, key: str, part: ByteRange, blob: Blob) -> None:
        """Raises CorruptFile where `part` of an object shows that it was cut or mixed up.

        Not every client would see it: zarrita ignores what its Blosc library says, and the checksum of an index.
        """
        self.check_length(key, blob.object_bytes)
        if self.frame_bytes is not None and len(part) == blob.object_bytes:
            found = FrameHeader.from_bytes(bytes(blob.data), key=key).nbytes
            if found != self.frame_bytes:
                raise CorruptFile("a stored chunk is of another size", key=key, expected=self.frame_bytes, found=found)
        if self.shard_chunks is not None and part.end == blob.object_bytes:
            start = blob.object_bytes - index_bytes(self.shard_chunks) - part.start
            if start >= 0:
                check_index(memoryview(blob.data)[start:], key=key)


class _Found(NamedTuple):
    """What was read of an object, and which part of it that is."""

    blob: Blob
    part: ByteRange


class ProxiedChunks:
    """The chunks of a level that go out as they are stored. See `zarrlink.answers.Chunks`.

    `decoded`: the same as voxels, for those who want to know that a chunk can be decoded.
    """

    def __init__(self, decoded: DecodedChunks, stored: StoredChunks, signs: Signs) -> None:
        self.decoded = decoded
        self._stored = stored
        self._signs = signs
        self._seen_s = float("-inf")
        self._good: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        place = self.decoded.place(position)
        if place is None:
            return None
        key, want = self._key(position), ask.want
        etag: str | None = None
        seen_bytes: int | None = None
        if _needs_stat(want):
            stat = await self._stored.source.stat(key)
            if stat is None:
                await self._confirm_absence(key)
                return None
            self._signs.check_length(key, stat.object_bytes)
            etag, shown, seen_bytes = stat.etag, ask.etag(stat.etag), stat.object_bytes
            if not want.body or holds(want.etags, shown):
                return Served(OCTETS, shown, stat.object_bytes, None, None, holds(want.etags, shown), "chunk")
            part = wanted_part(want, shown, stat.object_bytes)
        else:
            # A range with both ends needs no look at the length before: what is there of it comes back.
            part = None if want.part is None else ByteRange(want.part.first, (want.part.last or 0) + 1)
        found = await self._read(key, part, etag)
        if found is None:
            return None
        if seen_bytes not in (None, found.blob.object_bytes):
            # The part follows from the length: it would be another one than was asked for.
            raise SourceChanged(key)
        self._signs.check_bytes(key, found.part, found.blob)
        if ask.check:
            await self._decode(place, key, found.blob.etag)
        data, shown = bytes(found.blob.data), ask.etag(found.blob.etag)
        return Served(OCTETS, shown, found.blob.object_bytes, part and found.part, data, False, "chunk", framed=1)

    def _key(self, position: tuple[int, ...]) -> str:
        layer = self.decoded.layer
        first = (
            *(axis.start for axis in layer.leading),
            *((0,) if layer.channel_axis else ()),
            *self._stored.first[::-1],
        )
        return self._stored.key(tuple(a + b for a, b in zip(first, position, strict=True)))

    async def _read(self, key: str, part: ByteRange | None, etag: str | None) -> _Found | None:
        """`part` of an object as far as it is there; None where there is no object. `etag`: of what was seen before."""
        try:
            blob = await self._stored.source.read(key, part, if_match=etag)
        except RangeNotSatisfiable as error:
            self._signs.check_length(key, error.length)
            raise
        if blob is None:
            if etag is not None:
                raise SourceChanged(key)
            await self._confirm_absence(key)
            return None
        self._signs.check_length(key, blob.object_bytes)
        whole = ByteRange(0, blob.object_bytes) if part is None else part
        expected = min(whole.end, blob.object_bytes) - whole.start
        if len(blob.data) != expected or not expected:
            # Nothing is no part: an object that has become shorter ends before it. Some doors count what they send, and would say that this is all.
            raise CorruptFile("a stored chunk is cut short", key=key, expected=expected, found=len(blob.data))
        return _Found(blob, ByteRange(whole.start, whole.start + expected))

    async def _decode(self, place: ChunkPlace, key: str, etag: str) -> None:
        """Decode an object, once for each of its versions: a shard is asked for in many ranges. Raises CorruptFile."""
        if (key, etag) in self._good:
            return
        await self.decoded.decode(place)
        self._good[key, etag] = None
        while len(self._good) > _MAX_DECODED:
            self._good.popitem(last=False)

    async def _confirm_absence(self, missed: str) -> None:
        """Make sure that a missing chunk means fill value: the array itself must still be there.

        Then the chunk is looked for once more: its folder may have come back only after it was missed.
        """
        source, now = self._stored.source, time.monotonic()
        if now - self._seen_s < min(_SEEN_S, source.absence_trust_s):
            return
        if await source.stat(self._stored.metadata_key) is None:
            raise SourceUnavailable("an array is gone", key=self._stored.metadata_key)
        if await source.stat(missed) is not None:
            raise SourceChanged(missed)
        self._seen_s = now


def _needs_stat(want: Want) -> bool:
    """Whether an object's ETag or length must be known before it is read."""
    if not want.body or want.etags or want.range_etag is not None:
        return True
    return want.part is not None and (want.part.suffix is not None or want.part.last is None)
