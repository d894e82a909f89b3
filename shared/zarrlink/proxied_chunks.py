"""Chunks and shards of a stored Zarr array, byte for byte as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zarrlink.answers import OCTETS, Ask, Served, holds, wanted_part
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.geometry import Vec3
from zarrlink.storage.interface import ByteSource


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


class ProxiedChunks:
    """The chunks of a level that go out as they are stored. See `zarrlink.answers.Chunks`.

    `decoded`: the same as voxels, for those who want to know that a chunk can be decoded. `raw_bytes`: length of every
    chunk where there is no codec, None elsewhere.
    """

    def __init__(self, decoded: DecodedChunks, stored: StoredChunks, raw_bytes: int | None) -> None:
        self._decoded = decoded
        self._stored = stored
        self._raw_bytes = raw_bytes

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        place = self._decoded.place(position)
        if place is None:
            return None
        leading, source = self._decoded.layer.leading, self._stored.source
        first = (*(axis.start for axis in leading), *((0,) if self._decoded.layer.channel_axis else ()))
        start = (*first, *self._stored.first[::-1])
        key = self._stored.key(tuple(a + b for a, b in zip(start, position, strict=True)))
        want, etag = ask.want, None
        if not want.body or want.etags or want.part is not None:
            stat = await source.stat(key)
            if stat is None:
                await self._confirm_absence()
                return None
            self._check(key, stat.object_bytes)
            etag = ask.etag(stat.etag)
            if not want.body or holds(want.etags, etag):
                return Served(OCTETS, etag, stat.object_bytes, None, None, holds(want.etags, etag), "chunk")
            part = wanted_part(want, etag, stat.object_bytes)
        else:
            stat, part = None, None
        if ask.check:
            await self._decoded.voxels(place)
        try:
            blob = await source.read(key, part, if_match=None if stat is None else stat.etag)
        except RangeNotSatisfiable as error:
            raise CorruptFile("a stored chunk is empty", key=key) from error
        if blob is None:
            if stat is not None:
                raise SourceChanged(key)
            await self._confirm_absence()
            return None
        self._check(key, blob.object_bytes)
        return Served(OCTETS, ask.etag(blob.etag), blob.object_bytes, part, bytes(blob.data), False, "chunk")

    async def _confirm_absence(self) -> None:
        """Make sure that a missing chunk means fill value: the array itself must still be there."""
        if await self._stored.source.stat(self._stored.metadata_key) is None:
            raise SourceUnavailable("an array is gone", key=self._stored.metadata_key)

    def _check(self, key: str, found: int) -> None:
        if found == 0 or (self._raw_bytes is not None and found != self._raw_bytes):
            raise CorruptFile("a stored chunk has the wrong length", key=key, expected=self._raw_bytes, found=found)
