"""WKW files as voxels."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.errors import CorruptFile, SourceChanged
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import WkwHeader, morton_index
from zarrlink.geometry import Vec3, vec3
from zarrlink.transcode import ChunkShape, Wanted
from zarrlink.wkw_chunks import LARGE_BLOCK_BYTES, WkwChunks

_AT_ONCE: Final = 16
# Decoded blocks under way for one read: less than sixteen where they are large.
UNDER_WAY_BYTES: Final = 32 * 2**20


class WkwVolume:
    """A mag stored as WKW, within its layer's box. See `zarrlink.arrays.volume.Volume`."""

    def __init__(self, chunks: WkwChunks) -> None:
        self._chunks = chunks
        self._level = chunks.form.level
        self._dtype = np.dtype(self._level.header.dtype).newbyteorder("<")

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        header = self._level.header
        low = vec3([max(a, b) for a, b in zip(start, self._level.box_start, strict=True)])
        high = vec3([min(a, b) for a, b in zip(end, self._level.box_end, strict=True)])
        first, stop = channels or (0, header.channels)
        out = np.zeros((stop - first, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), self._dtype)
        side = header.block_side
        few = asyncio.Semaphore(max(1, min(_AT_ONCE, UNDER_WAY_BYTES // header.block_bytes)))
        # The first of each kind.
        changed: list[Exception] = []
        broken: list[Exception] = []

        async def place(block: Vec3) -> None:
            async with few:
                if broken:
                    return
                try:
                    voxels = await self._block(block)
                except Exception as error:  # noqa: BLE001 (raised below)
                    found = changed if isinstance(error, SourceChanged | CorruptFile) else broken
                    found[:] = found or [error]
                    return
            if voxels is None:
                return
            corner = [n * side for n in block]
            inside = [(max(a, c), min(b, c + side)) for a, b, c in zip(low, high, corner, strict=True)]
            target = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, start, strict=True))[::-1]
            source = tuple(slice(a - c, b - c) for (a, b), c in zip(inside, corner, strict=True))[::-1]
            out[:, *target] = voxels[first:stop, *source]

        blocks = [range(a // side, -(-b // side)) for a, b in zip(low, high, strict=True)]
        await asyncio.gather(*(place((x, y, z)) for z, y, x in product(*blocks[::-1])))
        # All files are looked at before one that was replaced is told of: a second try finds each as it is now.
        for error in (*broken, *changed):
            raise error
        return out

    async def _block(self, block: Vec3) -> NDArray[Any] | None:
        """A whole block, shape (c, z, y, x); None where it was never stored."""
        header, files = self._level.header, self._level.header.file_side
        number = morton_index(*vec3([n % files for n in block]))
        file_xyz = vec3([n // files for n in block])
        shape = ChunkShape(file_xyz, number, 1, 0, (Wanted(number, 0, None, (0, 0, 0)),))
        tables, source = self._chunks.tables, self._chunks.source
        try:
            run = await tables.locate(source, self._level, shape, look=False)
            read = None if run is None else await self._chunks.read_span(run, run.spans[0], run.spans[1])
        except (SourceChanged, CorruptFile):
            tables.forget(source, self._level, shape)
            raise
        if run is None or read is None:
            return None
        begin = run.spans[0] - read.stored.offset
        payload = memoryview(read.stored.data)[begin : begin + run.spans[1] - run.spans[0]]
        if header.block_bytes > LARGE_BLOCK_BYTES:
            return await asyncio.to_thread(block_voxels, payload, header, run.key)
        return block_voxels(payload, header, run.key)


def block_voxels(payload: bytes | memoryview, header: WkwHeader, key: str) -> NDArray[Any]:
    """The voxels, shape (c, z, y, x), of a block as it is stored. Raises CorruptFile."""
    raw = decode_lz4(payload, header.block_bytes, key=key) if header.compressed else payload
    if len(raw) != header.block_bytes:
        raise CorruptFile("a block is cut short", key=key, expected=header.block_bytes, found=len(raw))
    side = header.block_side
    voxels = np.frombuffer(raw, np.dtype(header.dtype).newbyteorder("<")).reshape(side, side, side, header.channels)
    return np.moveaxis(voxels, 3, 0)
