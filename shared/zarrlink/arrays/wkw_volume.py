"""WKW files as voxels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.block_runs import BlockRun, FileRuns, block_runs, file_boxes
from zarrlink.arrays.block_target import Blocks, BlockTarget, all_of
from zarrlink.arrays.volume import StoredObject
from zarrlink.arrays.watch import tell
from zarrlink.errors import CorruptFile, SourceChanged
from zarrlink.formats.wkw import file_key
from zarrlink.geometry import Vec3, vec3
from zarrlink.jump_tables import StoredRun
from zarrlink.transcode import ChunkShape
from zarrlink.wkw_chunks import WkwChunks

_AT_ONCE: Final = 16
# Of what is read and decoded for one read at the same time.
UNDER_WAY_BYTES: Final = 32 * 2**20
# Decoding more than this would keep other readers waiting: threads do it.
_INLINE_BYTES: Final = 2**20
# What a thread decodes in one go.
_BATCH_BYTES: Final = 4 * 2**20


class WkwVolume:
    """A mag stored as WKW, within its layer's box. See `zarrlink.arrays.volume.Volume`.

    Blocks that lie together in a file are read at once, and all blocks of a file are of one version of it.
    """

    def __init__(self, chunks: WkwChunks) -> None:
        self._chunks = chunks
        self._level = chunks.form.level
        self._dtype = np.dtype(self._level.header.dtype).newbyteorder("<")

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        header = self._level.header
        low, high = self._inside(start, end)
        first, stop = channels or (0, header.channels)
        out = np.zeros((stop - first, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), self._dtype)
        target = BlockTarget(header, out, start, low, high, (first, stop))
        files = list(block_runs(header, low, high))
        blocks = sum(len(run.places) for file in files for run in file.runs)
        turns = _Turns(header.block_bytes, threaded=blocks * header.block_bytes > _INLINE_BYTES)
        await all_of([self._read_file(file, target, turns) for file in files])
        return out

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        for file_xyz in file_boxes(self._level.header, *self._inside(start, end)):
            yield StoredObject(self._chunks.source, file_key(self._level.folder, file_xyz))

    def _inside(self, start: Vec3, end: Vec3) -> tuple[Vec3, Vec3]:
        low = [max(a, b) for a, b in zip(start, self._level.box_start, strict=True)]
        high = [min(a, b) for a, b in zip(end, self._level.box_end, strict=True)]
        return vec3(low), vec3(high)

    async def _read_file(self, file: FileRuns, target: BlockTarget, turns: _Turns) -> None:
        try:
            await self._read_runs(file, target, turns)
        except (SourceChanged, CorruptFile):
            # Planned with what was remembered of it, perhaps.
            self._forget(file)
            target.clear(file)
            try:
                await self._read_runs(file, target, turns)
            except (SourceChanged, CorruptFile):
                self._forget(file)
                raise

    async def _read_runs(self, file: FileRuns, target: BlockTarget, turns: _Turns) -> None:
        tables, source = self._chunks.tables, self._chunks.source
        found: list[tuple[BlockRun, StoredRun]] = []
        # One after another: those of the same page of a table are one request.
        for run in file.runs:
            place = await tables.locate(source, self._level, _shape(file, run), look=False)
            if place is None:
                tell(file_key(self._level.folder, file.file_xyz), "")
                return
            found.append((run, place))
        versions: set[str] = set()

        async def fetch(run: BlockRun, place: StoredRun) -> Blocks | None:
            async with turns.reads:
                read = await self._chunks.read_span(place, place.spans[0], place.spans[-1])
            versions.add("" if read is None else read.etag)
            if read is None:
                return None
            bounds = [at - read.stored.offset for at in place.spans]
            return Blocks(memoryview(read.stored.data), bounds, run.places, place.key)

        async def place_batch(batch: list[tuple[BlockRun, StoredRun]]) -> None:
            async with turns.batches:
                fetched = await all_of([fetch(run, place) for run, place in batch])
                await target.fill([blocks for blocks in fetched if blocks is not None], threaded=turns.threaded)

        await all_of([place_batch(batch) for batch in turns.batched(found)])
        if len(versions) > 1:
            raise SourceChanged(found[0][1].key)
        for etag in versions:
            tell(found[0][1].key, etag)

    def _forget(self, file: FileRuns) -> None:
        for run in file.runs:
            self._chunks.tables.forget(self._chunks.source, self._level, _shape(file, run))


class _Turns:
    """What one read may do at the same time: some requests, and some megabytes between being fetched and being decoded."""

    def __init__(self, block_bytes: int, *, threaded: bool) -> None:
        self.threaded = threaded
        self.reads = asyncio.Semaphore(_AT_ONCE)
        self._blocks = max(1, _BATCH_BYTES // block_bytes)
        self.batches = asyncio.Semaphore(max(1, min(_AT_ONCE, UNDER_WAY_BYTES // (self._blocks * block_bytes))))

    def batched(self, found: list[tuple[BlockRun, StoredRun]]) -> Iterator[list[tuple[BlockRun, StoredRun]]]:
        """Runs that are decoded together: for a few small blocks a thread is not worth its while."""
        batch: list[tuple[BlockRun, StoredRun]] = []
        blocks = 0
        for one in found:
            if batch and blocks + len(one[0].places) > self._blocks:
                yield batch
                batch, blocks = [], 0
            batch.append(one)
            blocks += len(one[0].places)
        if batch:
            yield batch


def _shape(file: FileRuns, run: BlockRun) -> ChunkShape:
    return ChunkShape(file.file_xyz, run.first, len(run.places), 0, ())
