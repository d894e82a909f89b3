"""Chunks and shards out of WKW files: stored blocks passed through."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, NamedTuple

from zarrlink.answers import OCTETS, Ask, Served, holds, wanted_part
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged
from zarrlink.formats.wkw import HEADER_BYTES
from zarrlink.jump_tables import WITH_HEADER_BYTES, JumpTables, StoredRun
from zarrlink.storage.interface import ByteSource
from zarrlink.transcode import ArrayForm, ChunkPlan, ChunkShape, Stored

# Decoding more than this at once would keep other readers waiting: a thread does it.
LARGE_BLOCK_BYTES: Final = 4 * 2**20


class _Read(NamedTuple):
    """Stored bytes and the ETag of the file they are from."""

    stored: Stored
    etag: str


class WkwChunks:
    """The chunks of a level whose blocks lie in WKW files. See `zarrlink.answers.Chunks`."""

    def __init__(self, form: ArrayForm, source: ByteSource, tables: JumpTables) -> None:
        self.form = form
        self.source = source
        self.tables = tables

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        place = self.form.place(position)
        if place is None:
            return None
        shape = self.form.shape(place)
        return await self.answer_shape(shape, ask) if shape.wanted else None

    async def answer_shape(self, shape: ChunkShape, ask: Ask) -> Served | None:
        """The chunk made of some blocks, of which there must be one. As `answer`."""
        try:
            return await self._answer(shape, ask)
        except (SourceChanged, CorruptFile):
            self.tables.forget(self.source, self.form.level, shape)
            raise

    async def _answer(self, shape: ChunkShape, ask: Ask) -> Served | None:
        want = ask.want
        # Conditions need the file's ETag before its blocks are read.
        look = not want.body or bool(want.etags) or want.range_etag is not None
        run = await self.tables.locate(self.source, self.form.level, shape, look=look)
        if run is None:
            return None
        plan = self.form.plan(shape, run.spans)
        etag = None if run.etag is None else ask.etag(run.etag)
        if etag is not None and (not want.body or holds(want.etags, etag)):
            # The plan may be an old one: such an answer must not outlive what it speaks of.
            if not run.fresh and not await self.is_current(run):
                return None
            return Served(OCTETS, etag, plan.length, None, None, holds(want.etags, etag), "chunk")
        try:
            part = wanted_part(want, etag, plan.length)
        except RangeNotSatisfiable:
            # The object may have become longer, or is gone.
            if await self._current_etag(shape, run) is None:
                return None
            raise
        whole = ByteRange(0, plan.length) if part is None else part
        read = await self._read(shape, run, plan, whole)
        if read is None:
            return None
        if self.form.header.block_bytes > LARGE_BLOCK_BYTES:
            data = await asyncio.to_thread(self.form.assemble, plan, whole, read.stored, check=ask.check)
        else:
            data = self.form.assemble(plan, whole, read.stored, check=ask.check)
        if etag is None or read.etag != run.etag:
            etag = ask.etag(read.etag)
        return Served(OCTETS, etag, plan.length, part, data, False, "chunk", *plan.made_of(whole))

    async def is_current(self, run: StoredRun) -> bool:
        """Whether the file is still the one planned with; False where it is gone. Raises SourceChanged."""
        stat = await self.source.stat(run.key)
        if stat is None:
            await self.tables.confirm_absence(self.source, self.form.level, run.key)
            return False
        if stat.etag != run.etag:
            raise SourceChanged(run.key)
        return True

    async def _read(self, shape: ChunkShape, run: StoredRun, plan: ChunkPlan, part: ByteRange) -> _Read | None:
        """What is stored behind `part` of the answer; None where the file is gone."""
        touched = plan.touched(part)
        if touched:
            return await self.read_span(run, touched[0].source, touched[-1].source_end)
        # Only the index is asked for: it follows from the table, but must be the table of today.
        etag = await self._current_etag(shape, run)
        return None if etag is None else _Read(Stored(b"", 0, run.key), etag)

    async def _current_etag(self, shape: ChunkShape, run: StoredRun) -> str | None:
        """The ETag of the file planned with, once it is known to be today's; None where there is no file.

        Raises SourceChanged.
        """
        if run.etag is None:
            looked = await self.tables.locate(self.source, self.form.level, shape, look=True)
            return None if looked is None else looked.etag
        if not run.fresh and not await self.is_current(run):
            return None
        return run.etag

    async def read_span(self, run: StoredRun, start: int, end: int) -> _Read | None:
        """Bytes [start, end) of a file in one read; None where it is gone."""
        new_raw = not self.form.header.compressed and run.etag is None
        if new_raw and end <= WITH_HEADER_BYTES:
            start = 0
        try:
            head_bytes = HEADER_BYTES if new_raw else 0
            blob = await self.source.read(run.key, ByteRange(start, end), if_match=run.etag, head_bytes=head_bytes)
        except RangeNotSatisfiable as error:
            # Some stores look at the range before they look at the ETag.
            if run.etag is not None and not run.fresh and not await self.is_current(run):
                raise SourceChanged(run.key) from error
            raise CorruptFile("a WKW file ends before its blocks", key=run.key) from error
        if blob is None:
            if run.etag is not None:
                raise SourceChanged(run.key)
            await self.tables.confirm_absence(self.source, self.form.level, run.key)
            return None
        if new_raw:
            head = bytes(blob.data[:HEADER_BYTES]) if start == 0 else blob.head
            self.tables.check_raw(self.source, self.form.level, run.key, replace(blob, head=head))
        return _Read(Stored(blob.data, start, run.key), blob.etag)
