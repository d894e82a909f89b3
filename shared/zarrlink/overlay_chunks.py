"""Chunks and shards of an annotation: its blocks where it has some, else those of the layer below, passed through."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, Protocol

from zarrlink.answers import OCTETS, Ask, Served, holds, wanted_part
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged
from zarrlink.formats.wkw import morton_index
from zarrlink.geometry import Vec3
from zarrlink.jump_tables import StoredRun
from zarrlink.storage.cache import ByteBoundedCache
from zarrlink.transcode import ArrayForm, ChunkPlan, ChunkShape, Piece, Stored
from zarrlink.wkw_chunks import WkwChunks

NOTHING: Final = Stored(b"", 0, "")
PLANS_BYTES: Final = 16 * 2**20
# What Python's objects for a plan take: one block of it, and all the rest.
_PIECE_BYTES: Final = 500
_PLAN_BYTES: Final = 2000


class PaintedBlocks(Protocol):
    """The blocks of one mag of an annotation's volume layer. Blocks go by their Morton code from voxel 0."""

    async def find(self, first: int, count: int) -> dict[int, tuple[int, int] | None]:
        """Places by code: (start, end) for each block of the aligned run [first, first + count) that is there; None
        for an erased one. Raises CorruptFile, SourceUnavailable."""
        ...

    async def read(self, start: int, end: int) -> Stored:
        """The stored bytes [start, end). Raises CorruptFile, SourceUnavailable."""
        ...


class MergedPlan(NamedTuple):
    """What a chunk is made of. `run`: where its blocks lie below, None where none of them can show."""

    plan: ChunkPlan
    run: StoredRun | None


PlanCache = ByteBoundedCache[MergedPlan]
"""Plans of shards by (their level, place). A shard is asked for in many ranges, one for each chunk in it."""


class OverlayChunks:
    """The chunks of a level of a volume annotation. See `zarrlink.answers.Chunks`.

    `below`: the same level of the fallback layer, whose blocks are of the same kind, on the same grid but within that
    layer's own box; None where there is none.
    """

    def __init__(self, form: ArrayForm, painted: PaintedBlocks, below: WkwChunks | None, plans: PlanCache) -> None:
        self.form = form
        self.painted = painted
        self.below = below
        self._plans = plans
        # What was planned for a level that was opened before is not found again.
        self._name = object()
        # Then a chunk is made of the same blocks, cut in the same way, in both.
        self._same_box = below is not None and below.form.level == form.level

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        place = self.form.place(position)
        if place is None:
            return None
        known = self._plans.get((self._name, place))
        if known is not None:
            try:
                return await self._serve(known, ask)
            except (SourceChanged, CorruptFile):
                self._forget(place, self.form.shape(place))
                raise
        shape = self.form.shape(place)
        if not shape.wanted:
            return None
        first = morton_code(shape.file_xyz) * self.form.header.blocks + shape.first_block
        found = await self.painted.find(first, shape.blocks)
        painted = {code - first + shape.first_block: span for code, span in found.items()}
        if not painted:
            if self.below is None:
                return None
            return await (self.below.answer_shape(shape, ask) if self._same_box else self.below.answer(position, ask))
        try:
            return await self._serve(await self._merge(place, shape, painted), ask)
        except (SourceChanged, CorruptFile):
            self._forget(place, shape)
            raise

    def _forget(self, place: Vec3, shape: ChunkShape) -> None:
        self._plans.drop((self._name, place))
        if self.below is not None:
            self.below.tables.forget(self.below.source, self.below.form.level, shape)

    async def _merge(self, place: Vec3, shape: ChunkShape, painted: dict[int, tuple[int, int] | None]) -> MergedPlan:
        run, below = None, None
        if self.below is not None:
            shape_below = shape if self._same_box else self.below.form.shape(place)
            if any(wanted.block not in painted for wanted in shape_below.wanted):
                run = await self.below.tables.locate(self.below.source, self.below.form.level, shape, look=True)
            below = None if run is None else (shape_below, run.spans)
        plan = self.form.plan_over(shape, painted, below)
        if shape.slots and not (self.below is not None and run is None):
            # A file that is not there yet may come; its ETag would tell of any other change.
            again = None if run is None else StoredRun(run.key, run.etag, run.spans, fresh=False)
            size = _PLAN_BYTES + _PIECE_BYTES * len(plan.pieces) + len(plan.index)
            self._plans.put((self._name, place), MergedPlan(plan, again), size)
        return MergedPlan(plan, run)

    async def _serve(self, merged: MergedPlan, ask: Ask) -> Served | None:
        (plan, run), want = merged, ask.want
        if not plan.pieces:
            return None
        etag = ask.etag("painted" if run is None else f"painted over {run.etag}")
        if not want.body or holds(want.etags, etag):
            await self._check_current(run)
            return Served(OCTETS, etag, plan.length, None, None, holds(want.etags, etag), "chunk")
        try:
            part = wanted_part(want, etag, plan.length)
        except RangeNotSatisfiable:
            await self._check_current(run)
            raise
        whole = ByteRange(0, plan.length) if part is None else part
        stored, over = await self._read(plan, whole, run)
        data = self.form.assemble(plan, whole, stored, over=over, check=ask.check)
        return Served(OCTETS, etag, plan.length, part, data, False, "chunk", *plan.made_of(whole))

    async def _check_current(self, run: StoredRun | None) -> None:
        """Make sure that a plan from the cache is not one of a file that was replaced. Raises SourceChanged."""
        if run is not None and not run.fresh and self.below is not None and not await self.below.is_current(run):
            raise SourceChanged(run.key)

    async def _read(self, plan: ChunkPlan, part: ByteRange, run: StoredRun | None) -> tuple[Stored, Stored]:
        """What is stored behind `part` of the answer: below, and painted."""
        touched = plan.touched(part)
        over = [piece for piece in touched if piece.painted]
        below = [piece for piece in touched if not piece.painted]
        if run is None:
            return NOTHING, await self._read_painted(over)
        if not over:
            return await self._read_below(below, run), NOTHING
        # Both at once, by one task: for files of this machine a second one would cost more than the read.
        reading = asyncio.create_task(self._read_painted(over))
        try:
            return await self._read_below(below, run), await reading
        finally:
            reading.cancel()

    async def _read_below(self, pieces: list[Piece], run: StoredRun) -> Stored:
        if not pieces:
            # Nothing of the file is asked for, but where everything lies follows from its table: today's must be the same.
            await self._check_current(run)
            return NOTHING
        read = None
        if self.below is not None:
            read = await self.below.read_span(run, pieces[0].source, pieces[-1].source_end)
        if read is None or read.etag != run.etag:
            raise SourceChanged(run.key)
        return read.stored

    async def _read_painted(self, pieces: list[Piece]) -> Stored:
        return await self.painted.read(pieces[0].source, pieces[-1].source_end) if pieces else NOTHING


def morton_code(block_xyz: Vec3) -> int:
    """The Morton code of a block counted from voxel 0, up to 21 bits an axis."""
    x, y, z = block_xyz
    if max(x, y, z) < 1 << 16:
        return morton_index(x, y, z)
    return morton_index(x >> 16, y >> 16, z >> 16) << 48 | morton_index(x & 0xFFFF, y & 0xFFFF, z & 0xFFFF)
