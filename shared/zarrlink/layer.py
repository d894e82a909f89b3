"""The geometry of a served layer: one rule for both OME dialects, fixed for good (design: "Addresses").

All levels share one origin: the box's corner in mag-1 voxels, aligned down to a whole stored block of every level.
So level k has shape ceil((box end - origin) / mag k), and blocks, chunks and shards coincide.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.blosc1 import LZ4_HEADER_BYTES
from zarrlink.formats.datasource import LayerDescription
from zarrlink.formats.shard_index import index_bytes
from zarrlink.formats.wkw import WkwHeader, run_sides, stored_bytes_bound
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3

MAX_SHARD_SIDE: Final = 128
# Raw bytes of a chunk or shard, and the most that it may become with frames, incompressible blocks and index:
# any answer must fit Lambda's 6 MB after base64. The second only binds for blocks of a few voxels a side.
MAX_CHUNK_BYTES: Final = 4 * 2**20
MAX_ANSWER_BYTES: Final = 4_500_000
MAX_BLOCK_SIDE: Final = 256
# A block of 256^3 uint64. A block above 4 MiB is decoded whole for each of its parts.
MAX_BLOCK_BYTES: Final = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Coding:
    """How the chunks of a stored Zarr array are coded that go out as they are, in one dialect; JSON texts.

    `codec`: `compressor` of `.zarray`, or `codecs` of `zarr.json`.
    """

    codec: str
    fill_value: str


@dataclass(frozen=True, slots=True)
class LeadingAxis:
    """An axis before channels and space, such as time; array index 0 is its coordinate `start`."""

    name: str
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One mag of a layer as an array. All vectors are (x, y, z); voxels are this mag's own.

    `box_start`, `box_end`: what the link opens, in voxels from WKW voxel 0. `origin`: the voxel at array index 0.
    `chunk`: voxels of a chunk. `shard`: voxels of a v3 shard, None where there is none. `chunk_channels`: those of a chunk,
    None for all. `v2`, `v3`: the coding of chunks passed through in that dialect, None for our own Blosc frames.
    """

    mag: Mag
    box_start: Vec3
    box_end: Vec3
    origin: Vec3
    chunk: Vec3
    shard: Vec3 | None = None
    chunk_channels: int | None = None
    v2: Coding | None = None
    v3: Coding | None = None

    @property
    def shape(self) -> Vec3:
        return vec3([end - start for start, end in zip(self.origin, self.box_end, strict=True)])

    def grid(self, dialect: Dialect) -> Vec3:
        """How many chunk files (v3: shards) there are along each axis."""
        side = (self.shard or self.chunk) if dialect == "v3" else self.chunk
        return vec3([-(-length // part) for length, part in zip(self.shape, side, strict=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class WkwLevel(Level):
    """A mag stored as WKW blocks. `chunk`: the stored block, or a part of a large one. `run`: blocks of a shard,
    2^run_log2."""

    folder: str
    header: WkwHeader
    run: Vec3
    run_log2: int

    @property
    def cuts_blocks(self) -> bool:
        """Whether a chunk is only a part of a stored block."""
        return self.chunk[0] != self.header.block_side or self.chunk[2] != self.header.block_side


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as a link serves it. `origin` and `box` in mag-1 voxels; levels finest first.

    `channels_last`: the channels of a voxel lie together in a chunk's bytes, as WKW stores them.
    """

    name: str
    category: Literal["color", "segmentation"]
    element_class: str
    dtype: str
    item_bytes: int
    channels: int
    voxel_size: VoxelSize
    box: BoundingBox
    origin: Vec3
    levels: tuple[Level, ...]
    view: dict[str, Any]
    notes: tuple[str, ...]
    channels_last: bool = False
    leading: tuple[LeadingAxis, ...] = ()

    @property
    def channel_axis(self) -> bool:
        return self.channels > 1

    @property
    def is_image(self) -> bool:
        """Whether OME-NGFF has words for its axes: at most time, then channels or one axis of another kind."""
        others = [axis for axis in self.leading if axis.name != "t"]
        ordered = [axis.name for axis in self.leading].index("t") == 0 if len(others) < len(self.leading) else True
        return ordered and len(others) + self.channel_axis <= 1 and len(self.leading) - len(others) <= 1

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The names of the array's axes, slowest first."""
        channel = ("c",) if self.channel_axis else ()
        return (*(axis.name for axis in self.leading), *channel, "z", "y", "x")

    def array_shape(self, size: Vec3) -> tuple[int, ...]:
        """The shape of a level of `size` (x, y, z) in array axis order."""
        return (*(axis.length for axis in self.leading), *self._with_channels(size))

    def chunk_shape(self, size: Vec3, channels: int | None = None) -> tuple[int, ...]:
        """The shape of a chunk of `size` (x, y, z) in array axis order, with one step of any leading axis.

        `channels`: those in it, None for all.
        """
        return (*(1 for _ in self.leading), *self._with_channels(size, channels))

    def _with_channels(self, size: Vec3, channels: int | None = None) -> tuple[int, ...]:
        x, y, z = size
        return (channels or self.channels, z, y, x) if self.channel_axis else (z, y, x)

    def fingerprint(self) -> str:
        """Differs where a reader holding the metadata of one would misread the other: 22 characters.

        The box counts as well: a link's data does not change its extent under a reader.
        """
        levels = [
            [level.mag.xyz, level.origin, level.shape, level.chunk, level.shard, level.box_start]
            for level in self.levels
        ]
        facts: list[Any] = [self.name, self.dtype, self.channels, self.origin, levels]
        # What WKW layers do not have is left out, so that their fingerprints stay what they were.
        facts += [level.chunk_channels for level in self.levels if level.chunk_channels is not None]
        facts += [[axis.name, axis.start, axis.length] for axis in self.leading]
        codings = [coding for level in self.levels for coding in (level.v2, level.v3)]
        if any(codings):
            facts.append([coding and [coding.codec, coding.fill_value] for coding in codings])
        text = json.dumps(facts, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:22]


@dataclass(frozen=True, slots=True)
class StoredMag:
    """A mag folder that is there, with the header of its `header.wkw`."""

    mag: Mag
    folder: str
    header: WkwHeader


def lay_out(
    described: LayerDescription,
    voxel_size: VoxelSize,
    stored: list[StoredMag],
    *,
    box: BoundingBox | None = None,
    finest: Mag | None = None,
    notes: tuple[str, ...] = (),
) -> Layer:
    """The served form of a layer, limited to `box` (mag-1 voxels) and to mags not finer than `finest`.

    Raises UnsupportedLayer, naming the layer and the reason.
    """
    name = described.name
    if min(described.box.top_left) < 0:
        raise UnsupportedLayer(f"layer {name!r}: its bounding box starts below voxel 0, where WKW stores nothing")
    shown = shown_box(described, box)
    stored = [mag for mag in stored if is_open(mag.mag, finest)]
    check_mags(name, len(stored), finest, notes)
    kinds = {(mag.header.dtype, mag.header.channels) for mag in stored}
    if len(kinds) > 1:
        raise UnsupportedLayer(f"layer {name!r}: its mags are stored as different voxel types")
    (dtype, channels) = kinds.pop()
    if dtype != described.dtype or described.channels not in (None, channels):
        said = f"{described.element_class} x {described.channels or 1}"
        raise UnsupportedLayer(f"layer {name!r}: described as {said} but stored as {dtype} x {channels}")
    if any(mag.header.block_side > MAX_BLOCK_SIDE for mag in stored):
        raise UnsupportedLayer(f"layer {name!r}: its blocks have more than {MAX_BLOCK_SIDE} voxels a side")
    if any(mag.header.block_bytes > MAX_BLOCK_BYTES for mag in stored):
        raise UnsupportedLayer(f"layer {name!r}: its blocks have more than {MAX_BLOCK_BYTES} bytes")
    units = [math.lcm(*(mag.header.block_side * mag.mag.xyz[axis] for mag in stored)) for axis in range(3)]
    origin = vec3([corner // unit * unit for corner, unit in zip(shown.top_left, units, strict=True)])
    return Layer(
        name=name,
        category=described.category,
        element_class=described.element_class,
        dtype=dtype,
        item_bytes=stored[0].header.item_bytes,
        channels=channels,
        voxel_size=voxel_size,
        box=shown,
        origin=origin,
        levels=tuple(_level(mag, shown, origin) for mag in stored),
        view=described.view,
        notes=notes,
        channels_last=channels > 1,
    )


def shown_box(described: LayerDescription, box: BoundingBox | None) -> BoundingBox:
    """The part of a layer's box that a link with `box` opens. Raises UnsupportedLayer where it is empty."""
    shown = described.box if box is None else described.box.intersection(box)
    if shown is None:
        raise UnsupportedLayer(f"layer {described.name!r}: the box of the link holds nothing of it")
    return shown


def is_open(mag: Mag, finest: Mag | None) -> bool:
    """Whether a link limited to `finest` opens `mag`."""
    return finest is None or all(a >= b for a, b in zip(mag.xyz, finest.xyz, strict=True))


def check_mags(name: str, count: int, finest: Mag | None, notes: tuple[str, ...]) -> None:
    """Raises UnsupportedLayer where no mag is left; the notes say why."""
    if not count:
        coarse = f" not finer than {finest.literal}" if finest else ""
        why = f" ({'; '.join(notes[:4])})" if notes else ""
        raise UnsupportedLayer(f"layer {name!r}: it has no mag{coarse} that can be read{why}")


def _level(stored: StoredMag, box: BoundingBox, origin_mag1: Vec3) -> WkwLevel:
    inside = box.in_mag(stored.mag)
    origin = vec3([corner // side for corner, side in zip(origin_mag1, stored.mag.xyz, strict=True)])
    header = stored.header
    side = header.block_side
    chunk = (side, side, side)
    run_log2 = 0
    if header.block_bytes > MAX_CHUNK_BYTES:
        voxels_log2 = 0
        while max(run_sides(voxels_log2 + 1)) <= min(side, MAX_SHARD_SIDE) and (
            header.voxel_bytes << voxels_log2 + 1 <= MAX_CHUNK_BYTES
        ):
            voxels_log2 += 1
        chunk = run_sides(voxels_log2)
    else:
        first_block = [corner // side for corner in origin]
        while _is_shard(header, first_block, run_log2 + 1):
            run_log2 += 1
    run = run_sides(run_log2)
    return WkwLevel(
        mag=stored.mag,
        box_start=inside.top_left,
        box_end=inside.bottom_right,
        origin=origin,
        chunk=chunk,
        shard=vec3([blocks * side for blocks in run]) if run_log2 else None,
        folder=stored.folder,
        header=header,
        run=run,
        run_log2=run_log2,
    )


def _is_shard(header: WkwHeader, first_block: list[int], run_log2: int) -> bool:
    """Whether aligned Morton runs of 2^run_log2 blocks tile the level from its first block (x, y, z) on."""
    sides, blocks = run_sides(run_log2), 1 << run_log2
    longest = max(sides)
    return (
        all(first % length == 0 for first, length in zip(first_block, sides, strict=True))
        and longest <= header.file_side
        and longest * header.block_side <= MAX_SHARD_SIDE
        and blocks * header.block_bytes <= MAX_CHUNK_BYTES
        and blocks * (LZ4_HEADER_BYTES + stored_bytes_bound(header.block_bytes)) + index_bytes(blocks)
        <= MAX_ANSWER_BYTES
    )
