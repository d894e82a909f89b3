"""(view, key, range) -> answer: the Zarr trees of a view.

Absent is `None` and becomes a 404, which readers paint as fill value; every failure is an exception.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from zarrlink.byte_range import ByteRange, RangeRequest
from zarrlink.errors import (
    CorruptFile,
    InvalidRequest,
    LinkGone,
    RangeNotSatisfiable,
    SourceChanged,
    SourceReplaced,
    UnknownKey,
    UnsupportedLayer,
)
from zarrlink.formats.wkw import HEADER_BYTES
from zarrlink.formats.zarr_keys import ArrayKey, ChunkKey, Dialect, GroupKey, parse_key
from zarrlink.geometry import Vec3
from zarrlink.jump_tables import WITH_HEADER_BYTES, JumpTables, StoredRun
from zarrlink.library import Library, OpenLayer
from zarrlink.transcode import PLAN_VERSION, ArrayForm, ChunkPlan, ChunkShape, Stored
from zarrlink.view import View

# Decoding more than this at once would keep other readers waiting: a thread does it.
LARGE_BLOCK_BYTES: Final = 4 * 2**20
OCTETS: Final = "application/octet-stream"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Want:
    """What a reader asks of an object: the whole, a range, or (`body` false) only what GET would say of it.

    `etags`: what it holds already (If-None-Match), "*" among them for anything. `range_etag`: the range counts
    only if this is the object's ETag (If-Range).
    """

    body: bool = True
    part: RangeRequest | None = None
    etags: tuple[str, ...] = ()
    range_etag: str | None = None


GET: Final = Want()


@dataclass(frozen=True, slots=True)
class Served:
    """An answer. `part` is None for the whole object; `data` is None for 304 and where no body was wanted."""

    media_type: str
    etag: str
    length: int
    part: ByteRange | None
    data: bytes | None
    unchanged: bool
    kind: Literal["metadata", "chunk"]


@dataclass(frozen=True, slots=True)
class Place:
    """A key below a layer of a view. `geometry`: layer -> fingerprint that the reader's metadata was made from."""

    view: View
    geometry: Mapping[str, str]
    dialect: Dialect
    layer: str
    key: str


class _Chunk(NamedTuple):
    """A chunk being answered."""

    opened: OpenLayer
    form: ArrayForm
    shape: ChunkShape
    place: Place

    def etag(self, file_etag: str) -> str:
        """Strong: from all sources, view, key and plan version."""
        place = self.place
        facts = (
            f"{PLAN_VERSION} {self.opened.etag} {file_etag} {place.view.id}/{place.dialect}/{place.layer}/{place.key}"
        )
        return f'"{hashlib.blake2b(facts.encode(), digest_size=12).hexdigest()}"'


class Streamer:
    """Zarr trees of views over a library of layers.

    `check_blocks`: decode every block before it goes out, as some clients do not notice one that cannot be decoded
    (docs/decisions/0006).
    """

    def __init__(self, library: Library, monotonic: Callable[[], float], *, check_blocks: bool = False) -> None:
        self.library = library
        self._check_blocks = check_blocks
        self._tables = JumpTables(monotonic)

    async def open(self, view: View, geometry: Mapping[str, str], name: str) -> OpenLayer:
        """The layer of a view, if its geometry is still the one that the link was made for.

        `geometry`: layer -> fingerprint. Raises LinkGone for a layer that the view does not hold, SourceReplaced.
        """
        expected = geometry.get(name)
        if expected is None:
            raise LinkGone("the link does not open this layer")
        try:
            opened = await self.library.layer(view, name)
        except UnsupportedLayer as error:
            raise SourceReplaced(name) from error
        if opened.fingerprint != expected:
            raise SourceReplaced(name)
        return opened

    async def answer(self, place: Place, want: Want = GET) -> Served | None:
        """The answer to a key; None for a canonical chunk that holds nothing.

        Where the source changed under us, or looks damaged, everything that was remembered of it is dropped and
        read anew, once. Raises as the modules below do: InvalidRequest, UnknownKey, LinkGone, RangeNotSatisfiable,
        CorruptFile, SourceChanged, SourceUnavailable.
        """
        try:
            return await self._answer(place, want)
        except (SourceChanged, CorruptFile):
            self.library.doubt(place.view, place.layer)
            return await self._answer(place, want)

    async def _answer(self, place: Place, want: Want) -> Served | None:
        opened = await self.open(place.view, place.geometry, place.layer)
        key = parse_key(place.dialect, place.key)
        if isinstance(key, GroupKey):
            return _document(opened, place.dialect, key.document, want)
        forms = opened.forms(place.dialect)
        if key.level >= len(forms):
            raise LinkGone("the link does not open this level")
        if isinstance(key, ArrayKey):
            return _document(opened, place.dialect, f"{key.level}/{key.document}", want)
        form = forms[key.level]
        position = _position(form, key)
        if position is None:
            return None
        shape = form.shape(position)
        if not shape.wanted:
            return None
        try:
            return await self._chunk(_Chunk(opened, form, shape, place), want)
        except (SourceChanged, CorruptFile):
            self._tables.forget(opened.source, form.level, shape)
            raise

    async def _chunk(self, chunk: _Chunk, want: Want) -> Served | None:
        # Conditions need the file's ETag before its blocks are read.
        look = not want.body or bool(want.etags) or want.range_etag is not None
        run = await self._tables.locate(chunk.opened.source, chunk.form.level, chunk.shape, look=look)
        if run is None:
            return None
        plan = chunk.form.plan(chunk.shape, run.spans)
        etag = None if run.etag is None else chunk.etag(run.etag)
        if etag is not None and (not want.body or holds(want.etags, etag)):
            # The plan may be an old one: such an answer must not outlive what it speaks of.
            if not run.fresh and not await self._is_current(chunk, run):
                return None
            return Served(OCTETS, etag, plan.length, None, None, holds(want.etags, etag), "chunk")
        part = _part(want, etag, plan.length)
        whole = ByteRange(0, plan.length) if part is None else part
        blob = await self._read_run(chunk, run, plan, whole)
        if blob is None:
            return None
        stored, read_etag = blob
        if chunk.form.header.block_bytes > LARGE_BLOCK_BYTES:
            data = await asyncio.to_thread(chunk.form.assemble, plan, whole, stored, check=self._check_blocks)
        else:
            data = chunk.form.assemble(plan, whole, stored, check=self._check_blocks)
        if etag is None or read_etag != run.etag:
            etag = chunk.etag(read_etag)
        return Served(OCTETS, etag, plan.length, part, data, False, "chunk")

    async def _is_current(self, chunk: _Chunk, run: StoredRun) -> bool:
        """Whether the file is still the one planned with; False where it is gone. Raises SourceChanged."""
        stat = await chunk.opened.source.stat(run.key)
        if stat is None:
            await self._tables.confirm_absence(chunk.opened.source, chunk.form.level)
            return False
        if stat.etag != run.etag:
            raise SourceChanged(run.key)
        return True

    async def _read_run(
        self, chunk: _Chunk, run: StoredRun, plan: ChunkPlan, part: ByteRange
    ) -> tuple[Stored, str] | None:
        """The stored bytes behind `part` in one read, and the ETag they are of; None where the file is gone."""
        touched = plan.touched(part)
        if not touched:
            # Only the index is asked for: it follows from the table, but must be the table of today.
            if run.etag is None:
                looked = await self._tables.locate(chunk.opened.source, chunk.form.level, chunk.shape, look=True)
                return None if looked is None else (Stored(b"", 0, run.key), looked.etag or "")
            if not run.fresh and not await self._is_current(chunk, run):
                return None
            return Stored(b"", 0, run.key), run.etag
        source, header = chunk.opened.source, chunk.form.header
        start, end = touched[0].source, touched[-1].source_end
        new_raw = not header.compressed and run.etag is None
        if new_raw and end <= WITH_HEADER_BYTES:
            start = 0
        try:
            head_bytes = HEADER_BYTES if new_raw else 0
            blob = await source.read(run.key, ByteRange(start, end), if_match=run.etag, head_bytes=head_bytes)
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW file ends before its blocks", key=run.key) from error
        if blob is None:
            if run.etag is not None:
                raise SourceChanged(run.key)
            await self._tables.confirm_absence(source, chunk.form.level)
            return None
        if new_raw:
            head = bytes(blob.data[:HEADER_BYTES]) if start == 0 else blob.head
            self._tables.check_raw(source, chunk.form.level, run.key, replace(blob, head=head))
        return Stored(blob.data, start, run.key), blob.etag


def holds(etags: tuple[str, ...], etag: str) -> bool:
    """Whether an If-None-Match list names this ETag (weak comparison, RFC 9110 section 13.1.2)."""
    return "*" in etags or etag in etags or f"W/{etag}" in etags


def serve_bytes(data: bytes, media_type: str, want: Want) -> Served:
    """An answer from bytes at hand, with the same conditions and ranges as any other."""
    etag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    if holds(want.etags, etag):
        return Served(media_type, etag, len(data), None, None, True, "metadata")
    if not want.body:
        return Served(media_type, etag, len(data), None, None, False, "metadata")
    part = _part(want, etag, len(data))
    body = data if part is None else data[part.start : part.end]
    return Served(media_type, etag, len(data), part, body, False, "metadata")


def _document(opened: OpenLayer, dialect: Dialect, key: str, want: Want) -> Served:
    document = opened.documents(dialect).get(key)
    if document is None:
        raise UnknownKey("there is no such key in this Zarr tree")
    return serve_bytes(document, JSON, want)


def _position(form: ArrayForm, key: ChunkKey) -> Vec3 | None:
    """The chunk's place (x, y, z) in the level's grid, None outside. Raises InvalidRequest for another rank."""
    numbers = key.position
    if len(numbers) != form.axes:
        raise InvalidRequest(f"a chunk key of this array has {form.axes} numbers, not {len(numbers)}")
    if form.axes == 4 and numbers[0] != 0:
        return None
    z, y, x = numbers[-3:]
    width, height, depth = form.grid
    return (x, y, z) if x < width and y < height and z < depth else None


def _part(want: Want, etag: str | None, length: int) -> ByteRange | None:
    if want.part is None or (want.range_etag is not None and want.range_etag != etag):
        return None
    return want.part.resolve(length)
