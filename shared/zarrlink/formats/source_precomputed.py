"""Neuroglancer Precomputed volumes: the `info` file as values.

Source: neuroglancer, src/datasource/precomputed/volume.md and sharded.md. Axes are x, y, z, channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from zarrlink.errors import CorruptFile, UnsupportedLayer, brief
from zarrlink.formats.datasource_mags import MAX_MAGS
from zarrlink.formats.json_values import is_whole, numbers, parse_object, short_text, whole_numbers
from zarrlink.formats.zarr_v2 import DTYPES
from zarrlink.geometry import MAX_COORDINATE, Vec3, vec3

Json = dict[str, Any]

FILE_NAME: Final = "info"
MAX_BYTES: Final = 4 * 2**20
TYPE: Final = "neuroglancer_multiscale_volume"
# As tensorstore names them for a scale; the other members are not for reading.
ENCODINGS: Final = ("raw", "jpeg", "png", "compressed_segmentation", "jxl")
_OPTIONS: Final = ("jpeg_quality", "png_level", "compressed_segmentation_block_size", "sharding")


@dataclass(frozen=True, slots=True)
class PrecomputedScale:
    """A mag. `size`, `offset` and `chunk` (x, y, z) in its own voxels; `resolution` in nanometres.

    `key`: its folder below the volume. `document`: `scale_metadata` for tensorstore.
    """

    key: str
    size: Vec3
    offset: Vec3
    chunk: Vec3
    resolution: tuple[float, float, float]
    sharded: bool
    document: Json


@dataclass(frozen=True, slots=True)
class PrecomputedVolume:
    """A volume; scales as listed, the finest first. `document`: `multiscale_metadata` for tensorstore."""

    kind: Literal["image", "segmentation"]
    dtype: str
    channels: int
    scales: tuple[PrecomputedScale, ...]
    document: Json

    def scale(self, key: str) -> PrecomputedScale | None:
        return next((scale for scale in self.scales if scale.key == key), None)


def chunk_key(scale: PrecomputedScale, position: Vec3) -> str:
    """The key, below the volume, of the chunk at `position` of an unsharded scale's grid."""
    spans = []
    for at, side, length, offset in zip(position, scale.chunk, scale.size, scale.offset, strict=True):
        spans.append(f"{offset + at * side}-{offset + min((at + 1) * side, length)}")
    return f"{scale.key}/{'_'.join(spans)}"


def is_volume(document: Json) -> bool:
    """Whether a JSON object is an `info` of a volume; `@type` came later than the format."""
    return document.get("@type", TYPE) == TYPE and isinstance(document.get("scales"), list)


def parse_info(data: bytes, *, key: str = "") -> PrecomputedVolume:
    """A volume from its `info`. Raises CorruptFile, or UnsupportedLayer with the reason."""
    what = "an info"
    document = parse_object(data, what, max_bytes=MAX_BYTES, key=key)
    if not is_volume(document):
        raise CorruptFile(f"{what} is not that of a Precomputed volume", key=key)
    kind, dtype, channels = document.get("type"), document.get("data_type"), document.get("num_channels")
    if kind not in ("image", "segmentation"):
        raise CorruptFile(f"{what} has a type that is neither image nor segmentation", key=key)
    name = dtype.lower() if isinstance(dtype, str) else ""
    if name not in DTYPES:
        raise UnsupportedLayer(f"it is stored as Precomputed of the type {brief(dtype)}")
    if not is_whole(channels) or not 1 <= channels <= 2**16:
        raise CorruptFile(f"{what} has no num_channels", key=key)
    if not 1 <= len(document["scales"]) <= MAX_MAGS:
        raise CorruptFile(f"{what} has no scales, or more than {MAX_MAGS}", key=key)
    scales = tuple(_scale(item, what, key) for item in document["scales"])
    if len({scale.key for scale in scales}) < len(scales):
        raise CorruptFile(f"{what} has two scales of one key", key=key)
    given = {"type": kind, "data_type": name, "num_channels": channels}
    return PrecomputedVolume(kind, name, channels, scales, given)


def _scale(item: object, what: str, key: str) -> PrecomputedScale:
    fields = item if isinstance(item, dict) else {}
    folder = short_text(fields.get("key"))
    if folder is None or folder.startswith("/") or {"", ".", ".."} & set(folder.split("/")):
        raise CorruptFile(f"{what} has a scale whose key is no folder below it", key=key)
    size = whole_numbers(fields.get("size"), least=0, most=MAX_COORDINATE)
    offset = whole_numbers(fields.get("voxel_offset", [0, 0, 0]), least=-MAX_COORDINATE, most=MAX_COORDINATE)
    chunks = fields.get("chunk_sizes")
    chunk = whole_numbers(chunks[0], least=1, most=2**31) if isinstance(chunks, list) and chunks else None
    resolution = numbers(fields.get("resolution"), length=3)
    if any(vector is None or len(vector) != 3 for vector in (size, offset, chunk)) or resolution is None:
        raise CorruptFile(f"{what} has a scale without size, chunk_sizes or resolution", key=key)
    # For the checker of types: what was looked at just above.
    if size is None or offset is None or chunk is None or min(resolution) <= 0:
        raise CorruptFile(f"{what} has a scale with a resolution that is not positive", key=key)
    if 0 in size:
        raise UnsupportedLayer("a scale of it has no voxels")
    encoding, sharding = fields.get("encoding"), fields.get("sharding")
    if encoding not in ENCODINGS:
        raise UnsupportedLayer(f"its Precomputed chunks are encoded as {brief(encoding)}; read: {', '.join(ENCODINGS)}")
    if sharding is not None and not isinstance(sharding, dict):
        raise CorruptFile(f"{what} has a scale whose sharding is no object", key=key)
    document = {
        "key": folder,
        "size": list(size),
        "voxel_offset": list(offset),
        "chunk_size": list(chunk),
        "resolution": list(resolution),
        "encoding": encoding,
        **{name: fields[name] for name in _OPTIONS if fields.get(name) is not None},
    }
    nm = (resolution[0], resolution[1], resolution[2])
    return PrecomputedScale(folder, vec3(size), vec3(offset), vec3(chunk), nm, sharding is not None, document)
