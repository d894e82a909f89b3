"""(view, key, range) -> answer: the Zarr trees of a view.

Absent is `None` and becomes a 404, which readers paint as fill value; every failure is an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

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
from zarrlink.jump_tables import WITH_HEADER_BYTES, JumpTables, StoredRun, check_header
from zarrlink.layer import Level
from zarrlink.library import Library, OpenLayer
from zarrlink.storage.interface import Blob
from zarrlink.transcode import PLAN_VERSION, ChunkPlan, ChunkShape, assemble, chunk_shape, plan_chunk
from zarrlink.view import View

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


class Streamer:
    """Zarr trees of views over a library of layers."""

    def __init__(self, library: Library, monotonic: Callable[[], float]) -> None:
        self.library = library
        self._tables = JumpTables(monotonic)

    async def open(self, view: View, geometry: dict[str, str], name: str) -> OpenLayer:
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

    async def answer(
        self, view: View, geometry: dict[str, str], dialect: Dialect, name: str, key: str, want: Want = GET
    ) -> Served | None:
        """The answer to a key below layer `name`; None for a canonical chunk that holds nothing.

        Where the source changed under us, or looks damaged, everything that was remembered of it is dropped and
        read anew, once. Raises as the modules below do: InvalidRequest, UnknownKey, LinkGone, RangeNotSatisfiable,
        CorruptFile, SourceChanged, SourceUnavailable.
        """
        try:
            return await self._answer(view, geometry, dialect, name, key, want)
        except (SourceChanged, CorruptFile):
            self.library.doubt(view, name)
            return await self._answer(view, geometry, dialect, name, key, want)

    async def _answer(
        self, view: View, geometry: dict[str, str], dialect: Dialect, name: str, key: str, want: Want
    ) -> Served | None:
        opened = await self.open(view, geometry, name)
        parsed = parse_key(dialect, key)
        if isinstance(parsed, GroupKey):
            return _document(opened, dialect, parsed.document, want)
        if parsed.level >= len(opened.layer.levels):
            raise LinkGone("the link does not open this level")
        if isinstance(parsed, ArrayKey):
            return _document(opened, dialect, f"{parsed.level}/{parsed.document}", want)
        level = opened.layer.levels[parsed.level]
        position = _position(opened, level, dialect, parsed)
        if position is None:
            return None
        shape = chunk_shape(level, dialect, position)
        if not shape.wanted:
            return None
        try:
            return await self._chunk(opened, level, dialect, shape, f"{view.id}/{dialect}/{name}/{key}", want)
        except (SourceChanged, CorruptFile):
            self._tables.forget(opened.source, level, shape)
            raise

    async def _chunk(
        self, opened: OpenLayer, level: Level, dialect: Dialect, shape: ChunkShape, address: str, want: Want
    ) -> Served | None:
        ahead = not want.body or bool(want.etags) or want.range_etag is not None
        run = await self._tables.locate(opened.source, level, shape, look=ahead or want.part is not None)
        if run is None:
            return None
        plan = plan_chunk(opened.layer, level, dialect, shape, run.spans)
        if run.etag is not None:
            etag = _etag(opened.etag, run.etag, address)
            if not want.body or holds(want.etags, etag):
                # The plan may be an old one: such an answer must not outlive what it speaks of.
                if not run.fresh and not await self._is_current(opened, level, run):
                    return None
                return _without_body(etag, plan.length, want)
        part = _part(want, None if run.etag is None else _etag(opened.etag, run.etag, address), plan.length)
        whole = ByteRange(0, plan.length) if part is None else part
        blob, stored_at = await self._read_run(opened, level, run, plan, whole)
        if blob is None:
            return None
        data = assemble(opened.layer, level, dialect, plan, whole, blob.data, stored_at, run.key)
        return Served(OCTETS, _etag(opened.etag, blob.etag, address), plan.length, part, data, False, "chunk")

    async def _is_current(self, opened: OpenLayer, level: Level, run: StoredRun) -> bool:
        """Whether the file is still the one planned with; False where it is gone. Raises SourceChanged."""
        stat = await opened.source.stat(run.key)
        if stat is None:
            await self._tables.confirm_absence(opened.source, level)
            return False
        if stat.etag != run.etag:
            raise SourceChanged(run.key)
        return True

    async def _read_run(
        self, opened: OpenLayer, level: Level, run: StoredRun, plan: ChunkPlan, part: ByteRange
    ) -> tuple[Blob | None, int]:
        """The stored bytes behind `part` in one read, and where they start in the file."""
        touched = plan.touched(part)
        if not touched:
            # Only the index is asked for: it follows from the table, but must be the table of today.
            if not run.fresh and not await self._is_current(opened, level, run):
                return None, 0
            return Blob(b"", run.etag or "", 0), 0
        start, end = touched[0].source, touched[-1].source_end
        raw = not level.header.compressed
        if raw and end <= WITH_HEADER_BYTES:
            start = 0
        try:
            blob = await opened.source.read(run.key, ByteRange(start, end), if_match=run.etag)
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW file ends before its blocks", key=run.key) from error
        if blob is None:
            if run.etag is not None:
                raise SourceChanged(run.key)
            await self._tables.confirm_absence(opened.source, level)
            return None, 0
        if raw:
            header = level.header
            expected = HEADER_BYTES + header.blocks * header.block_bytes
            if blob.object_bytes != expected:
                raise CorruptFile(
                    "a raw WKW file has the wrong length", key=run.key, expected=expected, found=blob.object_bytes
                )
            if start == 0:
                check_header(level, bytes(blob.data[:HEADER_BYTES]), run.key)
            self._tables.remember_raw(opened.source, run.key, blob.etag)
        return blob, start


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


def _position(opened: OpenLayer, level: Level, dialect: Dialect, key: ChunkKey) -> Vec3 | None:
    """The chunk's place (x, y, z) in the level's grid, None outside. Raises InvalidRequest for another rank."""
    numbers = key.position
    axes = 4 if opened.layer.channel_axis else 3
    if len(numbers) != axes:
        raise InvalidRequest(f"a chunk key of this array has {axes} numbers, not {len(numbers)}")
    if axes == 4 and numbers[0] != 0:
        return None
    z, y, x = numbers[-3:]
    width, height, depth = level.grid(dialect)
    return (x, y, z) if x < width and y < height and z < depth else None


def _part(want: Want, etag: str | None, length: int) -> ByteRange | None:
    if want.part is None or (want.range_etag is not None and want.range_etag != etag):
        return None
    return want.part.resolve(length)


def _without_body(etag: str, length: int, want: Want) -> Served:
    return Served(OCTETS, etag, length, None, None, holds(want.etags, etag), "chunk")


def _etag(layer_etag: str, file_etag: str, address: str) -> str:
    facts = f"{PLAN_VERSION} {layer_etag} {file_etag} {address}"
    return f'"{hashlib.blake2b(facts.encode(), digest_size=12).hexdigest()}"'
