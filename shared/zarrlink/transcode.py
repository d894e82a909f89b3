"""From stored blocks to Zarr chunks and shards: what each answer is made of, and making it.

A block goes out as it is stored, behind a Blosc header, wherever that is right. The rest (cut by the box, in parts,
channels apart for v2, an LZ4 stream exactly as long as its block) is decoded and goes out as a raw copy. So the
length of every answer follows from the jump table alone, and nothing is decoded to answer HEAD or a range elsewhere.
No NumPy here: a cold start must not pay for it, and the usual answer decodes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, InvalidRequest
from zarrlink.formats import blosc1, shard_index
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import morton_index, morton_position
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import Vec3
from zarrlink.layer import Layer, WkwLevel

PLAN_VERSION: Final = 1
"""Part of every ETag: to be raised when the same source would give other bytes than before."""
_CAST: Final[dict[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Wanted(NamedTuple):
    """One block of an answer. `slot`: its place in a shard's index. `kept`: the voxels (start, end) of the chunk that
    lie in the box, None for all of it. `part`: where the chunk starts inside the block."""

    block: int
    slot: int
    kept: tuple[Vec3, Vec3] | None
    part: Vec3


class Piece(NamedTuple):
    """One block's share of an answer: bytes [start, end) of the answer from stored bytes [source, source_end).

    `painted`: the stored bytes are those of an annotation, always LZ4; else those of the layer's own file.
    """

    start: int
    end: int
    source: int
    source_end: int
    decode: bool
    wanted: Wanted
    painted: bool = False


@dataclass(frozen=True, slots=True)
class ChunkShape:
    """Where a chunk or shard lies: file and blocks, before anything is known of the stored bytes.

    `wanted` in stored order, blocks wholly outside the box left out; empty where nothing is to be shown.
    `slots`: chunks of the shard, 0 for a plain chunk.
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

    def made_of(self, part: ByteRange) -> tuple[int, int]:
        """How many blocks bytes `part` of the answer need as they are stored, and how many decoded."""
        touched = self.touched(part)
        decoded = sum(piece.decode for piece in touched)
        return len(touched) - decoded, decoded


class Stored(NamedTuple):
    """Bytes of a stored file: `data` from `offset` on."""

    data: bytes | bytearray
    offset: int
    key: str


class ArrayForm:
    """One level of a layer in one dialect: everything about its chunks that does not depend on which one it is."""

    def __init__(self, layer: Layer, level: WkwLevel, dialect: Dialect) -> None:
        self.level = level
        self.header = level.header
        self.grid = level.grid(dialect)
        self.axes = 4 if layer.channel_axis else 3
        self._log2 = level.run_log2 if dialect == "v3" else 0
        self._file_blocks = level.header.file_side
        width, height, depth = level.chunk
        self.chunk_bytes = width * height * depth * level.header.voxel_bytes
        # Voxels of one step in the grid, and of the blocks that it reads.
        self._step = level.shard if self._log2 and level.shard else level.chunk
        self._planar_channels = layer.channels if dialect == "v2" and layer.channel_axis else 0
        self._always_decoded = level.cuts_blocks or self._planar_channels > 0

    def place(self, position: tuple[int, ...]) -> Vec3 | None:
        """The place (x, y, z) in the grid that a chunk key names, None outside. Raises InvalidRequest for another rank."""
        if len(position) != self.axes:
            raise InvalidRequest(f"a chunk key of this array has {self.axes} numbers, not {len(position)}")
        if self.axes == 4 and position[0] != 0:
            return None
        z, y, x = position[-3:]
        width, height, depth = self.grid
        return (x, y, z) if x < width and y < height and z < depth else None

    def shape(self, position: Vec3) -> ChunkShape:
        """The blocks behind the chunk (v3: shard) at `position` (x, y, z) of the grid."""
        side, blocks = self.header.block_side, self._file_blocks
        (ox, oy, oz), (sx, sy, sz), (px, py, pz) = self.level.origin, self._step, position
        vx, vy, vz = ox + px * sx, oy + py * sy, oz + pz * sz
        x, y, z = vx // side, vy // side, vz // side
        part = (vx % side, vy % side, vz % side)
        first_block = morton_index(x % blocks, y % blocks, z % blocks)
        wanted = []
        for block, (dx, dy, dz), slot in _run_slots(self._log2):
            kept = self._kept(vx + dx * side, vy + dy * side, vz + dz * side)
            if kept is not _NOTHING:
                wanted.append(Wanted(first_block + block, slot, kept, part))
        count = 1 << self._log2
        return ChunkShape(
            (x // blocks, y // blocks, z // blocks), first_block, count, count if self._log2 else 0, tuple(wanted)
        )

    def _kept(self, x: int, y: int, z: int) -> tuple[Vec3, Vec3] | None:
        """The part of the chunk at voxel (x, y, z) that lies in the box: None for all of it, _NOTHING for nothing."""
        (w, h, d), (x0, y0, z0), (x1, y1, z1) = self.level.chunk, self.level.box_start, self.level.box_end
        if x >= x0 and y >= y0 and z >= z0 and x + w <= x1 and y + h <= y1 and z + d <= z1:
            return None
        low = (max(x0 - x, 0), max(y0 - y, 0), max(z0 - z, 0))
        high = (min(x1 - x, w), min(y1 - y, h), min(z1 - z, d))
        if low[0] >= high[0] or low[1] >= high[1] or low[2] >= high[2]:
            return _NOTHING
        return low, high

    def plan(self, shape: ChunkShape, spans: Sequence[int]) -> ChunkPlan:
        """The plan of an answer from the `shape.blocks + 1` boundaries of its blocks in the file."""
        compressed, raw_bytes = self.header.compressed, self.header.block_bytes
        pieces = []
        places = [shard_index.ABSENT] * shape.slots
        offset = 0
        for wanted in shape.wanted:
            at = wanted.block - shape.first_block
            source, source_end = spans[at], spans[at + 1]
            decode = self._always_decoded or wanted.kept is not None
            if compressed and not decode:
                # Blosc would take a stream as long as its block for a raw copy.
                decode = source_end - source == raw_bytes
            if decode or not compressed:
                end = offset + blosc1.RAW_HEADER_BYTES + self.chunk_bytes
            else:
                end = offset + blosc1.LZ4_HEADER_BYTES + source_end - source
            pieces.append(Piece(offset, end, source, source_end, decode, wanted))
            if places:
                places[wanted.slot] = (offset, end - offset)
            offset = end
        index = shard_index.encode_index(places) if places else b""
        return ChunkPlan(tuple(pieces), index, offset + len(index))

    def plan_over(
        self,
        shape: ChunkShape,
        painted: Mapping[int, tuple[int, int] | None],
        below: tuple[ChunkShape, Sequence[int]] | None,
    ) -> ChunkPlan:
        """As `plan`, with blocks of an annotation instead of those below.

        `painted`: block -> its place in the annotation's blocks, None for an erased one, which hides what lies below
        and holds nothing. `below`: the same chunk within the box of the layer below, and the boundaries of its blocks;
        None where nothing lies there.
        """
        raw_bytes = self.header.block_bytes
        pieces = []
        places = [shard_index.ABSENT] * shape.slots
        offset = 0
        always_decoded, compressed_below = self._always_decoded, self.header.compressed
        first, spans = shape.first_block, () if below is None else below[1]
        wanted_blocks: Sequence[Wanted] = shape.wanted
        if below is None or below[0] is not shape:
            wanted_blocks = [wanted for wanted in shape.wanted if wanted.block in painted]
            wanted_blocks += () if below is None else [it for it in below[0].wanted if it.block not in painted]
            wanted_blocks.sort(key=lambda wanted: wanted.block)
        for wanted in wanted_blocks:
            block = wanted.block
            is_painted = block in painted
            if is_painted:
                place = painted[block]
                if place is None:
                    continue
                source, source_end = place
            else:
                source, source_end = spans[block - first], spans[block - first + 1]
            compressed = is_painted or compressed_below
            decode = always_decoded or wanted.kept is not None or (compressed and source_end - source == raw_bytes)
            if decode or not compressed:
                end = offset + blosc1.RAW_HEADER_BYTES + self.chunk_bytes
            else:
                end = offset + blosc1.LZ4_HEADER_BYTES + source_end - source
            pieces.append(Piece(offset, end, source, source_end, decode, wanted, is_painted))
            if places:
                places[wanted.slot] = (offset, end - offset)
            offset = end
        index = shard_index.encode_index(places) if places and pieces else b""
        return ChunkPlan(tuple(pieces), index, offset + len(index))

    def assemble(
        self, plan: ChunkPlan, part: ByteRange, stored: Stored, *, over: Stored | None = None, check: bool = False
    ) -> bytes:
        """Bytes `part` of the answer. `stored` must hold every touched piece, `over` every painted one.

        Raises CorruptFile where it does not, or where a block that must be decoded cannot be. `check` decodes the
        blocks that are passed through as well, only to see that they can be.
        """
        header, compressed_below = self.header, self.header.compressed
        window = memoryview(stored.data)
        painted_window = window if over is None else memoryview(over.data)
        out: list[bytes | memoryview | bytearray] = []
        touched = plan.touched(part)
        begin = touched[0].start if touched else plan.length - len(plan.index)
        for piece in touched:
            if piece.painted and over is not None:
                key, compressed = over.key, True
                payload = painted_window[piece.source - over.offset : piece.source_end - over.offset]
            else:
                key, compressed = stored.key, compressed_below
                payload = window[piece.source - stored.offset : piece.source_end - stored.offset]
            expected = piece.source_end - piece.source
            if len(payload) != expected:
                raise CorruptFile("a block is cut short", key=key, expected=expected, found=len(payload))
            if piece.decode:
                raw = decode_lz4(payload, header.block_bytes, key=key) if compressed else payload
                shown = self._carve(raw, piece.wanted)
                out += (blosc1.raw_frame_header(len(shown), header.item_bytes), shown)
            elif compressed:
                if check:
                    decode_lz4(payload, header.block_bytes, key=key)
                out += (blosc1.lz4_frame_header(header.block_bytes, header.item_bytes, expected), payload)
            else:
                out += (blosc1.raw_frame_header(expected, header.item_bytes), payload)
        end = touched[-1].end if touched else begin
        if part.end > end:
            out.append(plan.index)
            end += len(plan.index)
        whole = b"".join(out)
        if part.start == begin and part.end == end:
            return whole
        return whole[part.start - begin : part.end - begin]

    def _carve(self, block: bytes | memoryview, wanted: Wanted) -> bytes | bytearray | memoryview:
        """The chunk out of a decoded block: its part, zero outside the box, channels first where v2 wants them."""
        voxel, side = self.header.voxel_bytes, self.header.block_side
        chunk: bytes | bytearray | memoryview = block
        if wanted.kept is not None or self.level.cuts_blocks:
            width, height, depth = self.level.chunk
            (x0, y0, z0), (x1, y1, z1) = wanted.kept or ((0, 0, 0), self.level.chunk)
            px, py, pz = wanted.part
            chunk = bytearray(width * height * depth * voxel)
            row = (x1 - x0) * voxel
            for z in range(z0, z1):
                for y in range(y0, y1):
                    source = (((pz + z) * side + py + y) * side + px + x0) * voxel
                    target = ((z * height + y) * width + x0) * voxel
                    chunk[target : target + row] = block[source : source + row]
        if self._planar_channels:
            items = memoryview(chunk).cast("B").cast(_CAST[self.header.item_bytes])
            channels = self._planar_channels
            return b"".join(items[channel::channels].tobytes() for channel in range(channels))
        return chunk


_NOTHING: Final = ((0, 0, 0), (0, 0, 0))


@lru_cache(maxsize=64)
def _run_slots(log2: int) -> tuple[tuple[int, Vec3, int], ...]:
    """(Morton offset, (x, y, z) in blocks, place in C order of (z, y, x)) of each block of a run of 2^log2."""
    positions = [morton_position(n) for n in range(1 << log2)]
    width, height = max(p[0] for p in positions) + 1, max(p[1] for p in positions) + 1
    return tuple((n, (x, y, z), (z * height + y) * width + x) for n, (x, y, z) in enumerate(positions))
