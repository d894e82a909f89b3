"""What the array behind a mag is. No NumPy: served metadata and pass-through are made from this alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.datasource import ELEMENT_CLASSES, AxisOrder, ExtraAxis, LayerDescription, MagDescription
from zarrlink.formats.source_n5 import N5Array
from zarrlink.formats.source_precomputed import PrecomputedScale, PrecomputedVolume
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.formats.zarr_v2 import DTYPES
from zarrlink.geometry import Vec3, vec3

# A chunk is decoded whole, however little of it is asked for.
MAX_STORED_CHUNK_BYTES: Final = 128 * 2**20
MAX_CHANNELS: Final = 255
SourceArray = ZarrArray | N5Array | PrecomputedScale


@dataclass(frozen=True, slots=True)
class StoredArray:
    """The array of a mag. Vectors are (x, y, z) in the mag's own voxels.

    `shape`: voxels stored. `chunk`: what is decoded at once (the inner chunk where there are shards), and
    `chunk_channels` of its channels. `offset`: the voxel, counted from WKW voxel 0, of the first one stored.
    `channels`: those that the layer shows; `channel_index`: the one that it is limited to. `axes`: which array axis is
    which; `single_axes`: array axes of length 1 that are none of them. `folder`: the array's, below its source ("." for the
    source's own); `metadata_key`: the object that says all this, whose absence means that the array is gone.
    """

    array: SourceArray
    dtype: str
    channels: int
    channel_index: int | None
    shape: Vec3
    chunk: Vec3
    chunk_channels: int
    offset: Vec3
    fill_value: int | float
    axes: AxisOrder
    extra_axes: tuple[ExtraAxis, ...]
    single_axes: tuple[int, ...]
    folder: str
    metadata_key: str

    @property
    def data_format(self) -> str:
        match self.array:
            case ZarrArray(version=version):
                return "zarr" if version == 2 else "zarr3"
            case N5Array():
                return "n5"
            case PrecomputedScale():
                return "neuroglancerPrecomputed"

    @property
    def item_bytes(self) -> int:
        return int(DTYPES[self.dtype][2:])

    @property
    def chunk_bytes(self) -> int:
        """Decoded bytes of a stored chunk, with all that it holds along other axes."""
        channels = self.chunk_channels if isinstance(self.array, PrecomputedScale) else 1
        return math.prod(self.array.chunk) * channels * self.item_bytes

    @property
    def is_raw(self) -> bool:
        """Whether each chunk is an object without any form: every one of its length would be taken for it."""
        match self.array:
            case ZarrArray(version=2, compressor=compressor, document=document):
                return compressor is None and not document.get("filters")
            case ZarrArray(shard=shard, codecs=codecs):
                return shard is None and all(codec["name"] in ("bytes", "transpose") for codec in codecs)
            case PrecomputedScale(sharded=sharded, document=document):
                return not sharded and document.get("encoding") == "raw"
            case N5Array():
                return False


def key_in(folder: str, name: str) -> str:
    """The key of `name` in a folder of a source."""
    return name if folder in (".", "") else f"{folder}/{name}"


def stored_volume(
    described: LayerDescription, mag: MagDescription, volume: PrecomputedVolume, scale: PrecomputedScale, info_key: str
) -> StoredArray:
    """The array of a scale of a Precomputed volume. Raises UnsupportedLayer without the layer's name."""
    channels = _channels(mag, volume.channels)
    _check_class(described, volume.dtype, channels)
    folder = info_key.removesuffix("info").removesuffix("/") or "."
    return _checked(
        StoredArray(
            array=scale,
            dtype=volume.dtype,
            channels=channels,
            channel_index=mag.channel_index,
            shape=scale.size,
            chunk=scale.chunk,
            chunk_channels=volume.channels,
            offset=scale.offset,
            fill_value=0,
            axes=AxisOrder(c=3, x=0, y=1, z=2),
            extra_axes=(),
            single_axes=(),
            folder=folder,
            metadata_key=info_key,
        )
    )


def stored_array(
    described: LayerDescription, mag: MagDescription, array: ZarrArray | N5Array, folder: str, metadata_key: str
) -> StoredArray:
    """The array of a mag in Zarr or N5. Raises UnsupportedLayer without the layer's name."""
    axes, single = _axes(described, mag, array.shape)
    stored_channels = 1 if axes.c is None else array.shape[axes.c]
    channels = _channels(mag, stored_channels)
    _check_class(described, array.dtype, channels)
    for axis in described.extra_axes:
        if axis.end > array.shape[axis.index]:
            raise UnsupportedLayer(
                f"its axis {axis.name!r} is described up to {axis.end} but stored up to {array.shape[axis.index]}"
            )
    return _checked(
        StoredArray(
            array=array,
            dtype=array.dtype,
            channels=channels,
            channel_index=mag.channel_index,
            shape=_xyz(axes, array.shape),
            chunk=_xyz(axes, array.chunk),
            chunk_channels=1 if axes.c is None else array.chunk[axes.c],
            offset=(0, 0, 0),
            fill_value=array.fill_value if isinstance(array, ZarrArray) else 0,
            axes=axes,
            extra_axes=described.extra_axes,
            single_axes=single,
            folder=folder,
            metadata_key=metadata_key,
        )
    )


def _axes(
    described: LayerDescription, mag: MagDescription, shape: tuple[int, ...]
) -> tuple[AxisOrder, tuple[int, ...]]:
    """Which axis is which, and the axes of length 1 that are left over."""
    rank = len(shape)
    extra = {axis.index for axis in described.extra_axes}
    order = mag.axis_order
    if order is None:
        if rank < 3:
            raise UnsupportedLayer(f"its array has {rank} axes, and the description does not say which they are")
        order = AxisOrder(None, rank - 3, rank - 2, rank - 1)
    taken = {*order.positions, *extra}
    if len(taken) < len(order.positions) + len(extra) or max(taken) >= rank:
        raise UnsupportedLayer(f"its axisOrder and additionalAxes do not fit an array of {rank} axes")
    left = [axis for axis in range(rank) if axis not in taken]
    if order.c is None and mag.axis_order is None and left:
        # By WEBKNOSSOS's rule c stands before x, y, z; additional axes may come between.
        order = AxisOrder(left.pop(), order.x, order.y, order.z)
    if order.c is None and any(shape[axis] > 1 for axis in left):
        # An axisOrder without c may leave channels unsaid.
        several = [axis for axis in left if shape[axis] > 1]
        if len(several) == 1 and mag.channel_index is not None:
            order = AxisOrder(several[0], order.x, order.y, order.z)
            left.remove(several[0])
    if any(shape[axis] > 1 for axis in left):
        raise UnsupportedLayer(f"its array has {rank} axes, and the description does not say which they all are")
    return order, tuple(left)


def _channels(mag: MagDescription, stored: int) -> int:
    if mag.channel_index is not None:
        if mag.channel_index >= stored:
            raise UnsupportedLayer(f"it is channel {mag.channel_index} of an array that has {stored}")
        return 1
    if stored > MAX_CHANNELS:
        raise UnsupportedLayer(f"its array has {stored} channels; served are up to {MAX_CHANNELS}")
    return stored


def _check_class(described: LayerDescription, dtype: str, channels: int) -> None:
    """Whether what is stored is what the description says.

    uint24 means three channels of whole numbers, however wide: WEBKNOSSOS's own test data has it over N5 of uint32
    (docs/decisions/0017). What is stored is what is served.
    """
    means, own_channels = ELEMENT_CLASSES[described.element_class]
    described_channels = described.channels or (own_channels if own_channels > 1 else channels)
    colours = described.element_class == "uint24" and dtype.startswith("uint")
    if (dtype == means or colours) and described_channels == channels:
        return
    said = f"{described.element_class} x {described_channels}"
    raise UnsupportedLayer(f"described as {said} but stored as {dtype} x {channels}")


def _checked(stored: StoredArray) -> StoredArray:
    if stored.chunk_bytes > MAX_STORED_CHUNK_BYTES:
        raise UnsupportedLayer(
            f"its stored chunks have {stored.chunk_bytes} bytes, more than the {MAX_STORED_CHUNK_BYTES} "
            "that are decoded at once"
        )
    return stored


def _xyz(axes: AxisOrder, lengths: tuple[int, ...]) -> Vec3:
    return vec3([1 if axis is None else lengths[axis] for axis in (axes.x, axes.y, axes.z)])
