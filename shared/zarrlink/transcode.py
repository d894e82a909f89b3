"""From stored blocks to Zarr chunks and shards: what each answer is made of, and making it.

A block goes out as it is stored, behind a Blosc header, wherever that is right. The rest (cut by the box, in parts,
channels apart for v2, an LZ4 stream exactly as long as its block) is decoded and goes out as a raw copy. So the
length of every answer follows from the jump table alone, and nothing is decoded to answer HEAD or a range elsewhere.
No NumPy here: a cold start must not pay for it, and the usual answer decodes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile
from zarrlink.formats import blosc1, shard_index
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import morton_index, morton_position
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import Vec3
from zarrlink.layer import Layer, Level

PLAN_VERSION: Final = 1
"""Part of every ETag: to be raised when the same source would give other bytes than before."""
_CAST: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Wanted(NamedTuple):
    """One block of an answer. `kept`: its voxels to show, (start, end) from the chunk's own first voxel, None: all."""

    block: int
    slot: int
    kept: tuple[Vec3, Vec3] | None
    part: Vec3


class Piece(NamedTuple):
    """One block's share of an answer: bytes [start, end) of the answer from stored bytes [source, source_end)."""

    start: int
    end: int
    source: int
    source_end: int
    decode: bool
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class ChunkShape:
    """Where a chunk or shard lies: file and blocks, before anything is known of the stored bytes.

    `wanted` in stored order, blocks wholly outside the box left out; empty where nothing is to be shown.
    """

    file_xyz: Vec3
    first_block: int
    blocks: int
    slots: int
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """What an answer is made of; `index` closes a shard and is empty for a plain chunk."""

    pieces: tuple[Piece, ...]
    index: bytes
    length: int

    def touched(self, part: ByteRange) -> tuple[Piece, ...]:
        """The pieces that bytes `part` of the answer need."""
        if part.start == 0 and part.end >= self.length - len(self.index):
            return self.pieces
        return tuple(piece for piece in self.pieces if piece.start < part.end and piece.end > part.start)


def chunk_shape(level: Level, dialect: Dialect, position: Vec3) -> ChunkShape:
    """The blocks behind the chunk (v3: shard) at `position` (x, y, z) of the level's grid."""
    side = level.header.block_side
    part = (0, 0, 0)
    if level.cuts_blocks:
        voxel = tuple(o + p * c for o, p, c in zip(level.origin, position, level.chunk, strict=True))
        first = tuple(v // side for v in voxel)
        part = (voxel[0] % side, voxel[1] % side, voxel[2] % side)
        log2 = 0
    else:
        log2 = level.run_log2 if dialect == "v3" else 0
        run = level.run if log2 else (1, 1, 1)
        first = tuple(o // side + p * r for o, p, r in zip(level.origin, position, run, strict=True))
    x, y, z = first
    file_side = level.header.file_side
    file_xyz = (x // file_side, y // file_side, z // file_side)
    first_block = morton_index(x % file_side, y % file_side, z % file_side)
    wanted = []
    for block, (dx, dy, dz), slot in _run_slots(log2):
        start = ((x + dx) * side + part[0], (y + dy) * side + part[1], (z + dz) * side + part[2])
        kept = _kept(level, start)
        if kept is not _NOTHING:
            wanted.append(Wanted(first_block + block, slot, kept, part))
    return ChunkShape(file_xyz, first_block, 1 << log2, 1 << log2 if log2 else 0, tuple(wanted))


_NOTHING: Final = ((0, 0, 0), (0, 0, 0))


def _kept(level: Level, start: Vec3) -> tuple[Vec3, Vec3] | None:
    """The part of the chunk at voxel `start` that lies in the box: None for all of it, _NOTHING for nothing."""
    (x, y, z), (w, h, d) = start, level.chunk
    (x0, y0, z0), (x1, y1, z1) = level.box_start, level.box_end
    if x >= x0 and y >= y0 and z >= z0 and x + w <= x1 and y + h <= y1 and z + d <= z1:
        return None
    low = (max(x0 - x, 0), max(y0 - y, 0), max(z0 - z, 0))
    high = (min(x1 - x, w), min(y1 - y, h), min(z1 - z, d))
    if low[0] >= high[0] or low[1] >= high[1] or low[2] >= high[2]:
        return _NOTHING
    return low, high


@lru_cache(maxsize=64)
def _run_slots(log2: int) -> tuple[tuple[int, Vec3, int], ...]:
    """(Morton offset, (x, y, z) in blocks, place in C order of (z, y, x)) of each block of a run of 2^log2."""
    positions = [morton_position(n) for n in range(1 << log2)]
    width, height = max(p[0] for p in positions) + 1, max(p[1] for p in positions) + 1
    return tuple((n, (x, y, z), (z * height + y) * width + x) for n, (x, y, z) in enumerate(positions))


def plan_chunk(layer: Layer, level: Level, dialect: Dialect, shape: ChunkShape, spans: Sequence[int]) -> ChunkPlan:
    """The plan of an answer from the `shape.blocks + 1` boundaries of its blocks in the file."""
    header = level.header
    raw_bytes = header.block_bytes
    chunk_bytes = level.chunk[0] * level.chunk[1] * level.chunk[2] * header.voxel_bytes
    always_decoded = level.cuts_blocks or (dialect == "v2" and layer.channel_axis)
    pieces = []
    places = [shard_index.ABSENT] * shape.slots
    offset = 0
    for wanted in shape.wanted:
        at = wanted.block - shape.first_block
        source, source_end = spans[at], spans[at + 1]
        decode = always_decoded or wanted.kept is not None
        if header.compressed and not decode:
            decode = source_end - source == raw_bytes
        if decode or not header.compressed:
            end = offset + blosc1.RAW_HEADER_BYTES + chunk_bytes
        else:
            end = offset + blosc1.LZ4_HEADER_BYTES + source_end - source
        pieces.append(Piece(offset, end, source, source_end, decode, wanted))
        if places:
            places[wanted.slot] = (offset, end - offset)
        offset = end
    index = shard_index.encode_index(places) if places else b""
    return ChunkPlan(tuple(pieces), index, offset + len(index))


def assemble(
    layer: Layer, level: Level, dialect: Dialect, plan: ChunkPlan, part: ByteRange, stored: bytes, stored_at: int, key: str
) -> bytes:
    """Bytes `part` of the answer. `stored`: the file's bytes from `stored_at` on, holding every touched piece.

    Raises CorruptFile where a block that must be decoded cannot be.
    """
    header = level.header
    window = memoryview(stored)
    out: list[bytes | memoryview] = []
    touched = plan.touched(part)
    begin = touched[0].start if touched else plan.length - len(plan.index)
    for piece in touched:
        payload = window[piece.source - stored_at : piece.source_end - stored_at]
        if len(payload) != piece.source_end - piece.source:
            raise CorruptFile("a block is cut short", key=key, expected=piece.source_end - piece.source, found=len(payload))
        if piece.decode:
            raw = decode_lz4(payload, header.block_bytes, key=key) if header.compressed else payload
            shown = _carve(layer, level, dialect, raw, piece.wanted)
            out += (blosc1.raw_frame_header(len(shown), header.item_bytes), shown)
        elif header.compressed:
            out += (blosc1.lz4_frame_header(header.block_bytes, header.item_bytes, len(payload)), payload)
        else:
            out += (blosc1.raw_frame_header(len(payload), header.item_bytes), payload)
    end = touched[-1].end if touched else begin
    if part.end > end:
        out.append(plan.index)
        end += len(plan.index)
    whole = b"".join(out)
    if part.start == begin and part.end == end:
        return whole
    return whole[part.start - begin : part.end - begin]


def _carve(layer: Layer, level: Level, dialect: Dialect, block: bytes | memoryview, wanted: Wanted) -> bytes | bytearray | memoryview:
    """The chunk's voxels out of a decoded block: its part, zero outside the box, channels first where v2 wants them."""
    voxel, side = level.header.voxel_bytes, level.header.block_side
    chunk: bytes | bytearray | memoryview = block
    if wanted.kept is not None or level.cuts_blocks:
        width, height, depth = level.chunk
        (x0, y0, z0), (x1, y1, z1) = wanted.kept or ((0, 0, 0), level.chunk)
        px, py, pz = wanted.part
        chunk = bytearray(width * height * depth * voxel)
        row = (x1 - x0) * voxel
        for z in range(z0, z1):
            for y in range(y0, y1):
                source = (((pz + z) * side + py + y) * side + px + x0) * voxel
                target = ((z * height + y) * width + x0) * voxel
                chunk[target : target + row] = block[source : source + row]
    if dialect == "v2" and layer.channel_axis:
        items = memoryview(chunk).cast("B").cast(_CAST[layer.item_bytes])
        return b"".join(items[channel :: layer.channels].tobytes() for channel in range(layer.channels))
    return chunk
