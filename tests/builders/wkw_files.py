"""WKW files, mag folders and whole datasets, as keys and bytes: for a MemorySource or for a folder on disk.

Volumes have the shape (z, y, x), or (z, y, x, c) where there are several channels, and lie at a voxel (x, y, z).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.wkw import VOXEL_TYPES, BlockType, WkwHeader, file_key
from zarrlink.formats.wkw_writer import wkw_header, write_wkw_file
from zarrlink.geometry import BoundingBox, Mag, Vec3, vec3

Json = dict[str, Any]
Objects = dict[str, bytes]
Volume = NDArray[Any]

DTYPES: Final = tuple(name for name, _ in VOXEL_TYPES.values())
_VOXEL_TYPE_OF: Final = {name: number for number, (name, _) in VOXEL_TYPES.items()}
_ELEMENT_CLASS_OF: Final = {"float32": "float", "float64": "double"}


def ramp(size_xyz: Vec3, dtype: str = "uint8", *, channels: int = 1) -> Volume:
    """A volume in which neighbours differ and hardly any voxel is zero."""
    x, y, z = size_xyz
    shape = (z, y, x) if channels == 1 else (z, y, x, channels)
    return (np.arange(int(np.prod(shape))) * 7 % 251 + 1).reshape(shape).astype(dtype)


def noise(size_xyz: Vec3, dtype: str = "uint8", *, channels: int = 1, seed: int = 0) -> Volume:
    """A volume of random bits (finite numbers where they are floating), which no codec can compress."""
    x, y, z = size_xyz
    shape = (z, y, x) if channels == 1 else (z, y, x, channels)
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]


def volume_header(
    volume: Volume, *, block_side: int = 8, file_side: int = 4, block_type: BlockType = BlockType.LZ4
) -> WkwHeader:
    """The header of files that hold such a volume."""
    channels = volume.shape[3] if volume.ndim == 4 else 1
    voxel_type = _VOXEL_TYPE_OF[volume.dtype.name]
    return wkw_header(
        block_side=block_side, file_side=file_side, block_type=block_type, voxel_type=voxel_type, channels=channels
    )


def wkw_file(header: WkwHeader, blocks: Mapping[Vec3, bytes]) -> bytes:
    """A data file from decoded blocks by their place (x, y, z) in it; the others are empty."""
    out = io.BytesIO()
    write_wkw_file(out, header, blocks.get)
    return out.getvalue()


def mag_folder(
    volume: Volume,
    top_left: Vec3 = (0, 0, 0),
    *,
    block_side: int = 8,
    file_side: int = 4,
    block_type: BlockType = BlockType.LZ4,
) -> Objects:
    """`header.wkw`, `z0/y0/x0.wkw`, ... of a volume, by our own writer; files without a voxel of it are left out."""
    header = volume_header(volume, block_side=block_side, file_side=file_side, block_type=block_type)
    files: dict[Vec3, dict[Vec3, bytes]] = {}
    for block, voxels in _blocks(volume, top_left, block_side).items():
        file = vec3([place // file_side for place in block])
        inside = vec3([place % file_side for place in block])
        files.setdefault(file, {})[inside] = np.ascontiguousarray(voxels).tobytes()
    objects = {"header.wkw": header.to_bytes()}
    return objects | {file_key("", file).lstrip("/"): wkw_file(header, blocks) for file, blocks in files.items()}


def reference_mag_folder(
    folder: Path,
    volume: Volume,
    top_left: Vec3 = (0, 0, 0),
    *,
    block_side: int = 8,
    file_side: int = 4,
    block_type: BlockType = BlockType.LZ4,
) -> None:
    """The same on disk, by the independent `wkw` package."""
    import wkw

    channels = volume.shape[3] if volume.ndim == 4 else 1
    header = wkw.Header(
        voxel_type=volume.dtype.type,
        num_channels=channels,
        block_len=block_side,
        file_len=file_side,
        block_type=int(block_type),
    )
    with wkw.Dataset.create(str(folder), header) as written:
        # It writes compressed files only as a whole.
        for start, voxels in _blocks(volume, top_left, block_side * file_side).items():
            corner = tuple(place * block_side * file_side for place in start)
            written.write(corner, np.asfortranarray(voxels.T))


def read_by_reference(folder: Path, top_left: Vec3, size: Vec3) -> Volume:
    """A box of a mag folder on disk as the `wkw` package reads it, in our axis order."""
    import wkw

    with wkw.Dataset.open(str(folder)) as stored:
        volume: Volume = stored.read(top_left, size).T
    return volume[..., 0] if volume.shape[3] == 1 else volume


@dataclass(frozen=True, slots=True)
class LayerFiles:
    """A layer to be built: a volume for each mag, and how it is stored and described.

    Each volume starts at the voxel of its mag that holds `top_left` (mag-1 voxels). `box` None: the volume of the
    finest mag. `described`: keys of its description to be set or, where None, left out.
    """

    name: str
    volumes: Mapping[Mag, Volume]
    top_left: Vec3 = (0, 0, 0)
    box: BoundingBox | None = None
    category: str = "color"
    block_side: int = 8
    file_side: int = 4
    block_type: BlockType = BlockType.LZ4
    described: Mapping[str, Any] = field(default_factory=dict)


def pyramid(volume: Volume, mags: Sequence[Mag], top_left: Vec3 = (0, 0, 0)) -> dict[Mag, Volume]:
    """A volume in several mags: each voxel is the mag-1 voxel at its corner, or the nearest one that there is."""
    size = vec3(volume.shape[2::-1])
    volumes = {}
    for mag in mags:
        box = BoundingBox(top_left, size).in_mag(mag)
        picks = [
            np.clip(np.arange(start, end) * side - corner, 0, length - 1)
            for start, end, side, corner, length in zip(
                box.top_left, box.bottom_right, mag.xyz, top_left, size, strict=True
            )
        ]
        volumes[mag] = volume[np.ix_(*picks[::-1])]
    return volumes


def describe(layer: LayerFiles) -> Json:
    """The layer's entry in `dataLayers`."""
    finest, volume = next(iter(layer.volumes.items()))
    x, y, z = (length * side for length, side in zip(volume.shape[2::-1], finest.xyz, strict=True))
    box = layer.box or BoundingBox(layer.top_left, (x, y, z))
    channels = volume.shape[3] if volume.ndim == 4 else 1
    element_class = _ELEMENT_CLASS_OF.get(volume.dtype.name, volume.dtype.name)
    entry: Json = {
        "name": layer.name,
        "category": layer.category,
        "boundingBox": {
            "topLeft": list(box.top_left),
            "width": box.size[0],
            "height": box.size[1],
            "depth": box.size[2],
        },
        "elementClass": "uint24" if (element_class, channels) == ("uint8", 3) else element_class,
        "numChannels": channels,
        "dataFormat": "wkw",
        "mags": [{"mag": list(mag.xyz), "path": f"./{layer.name}/{mag.literal}"} for mag in layer.volumes],
    }
    return {key: value for key, value in {**entry, **layer.described}.items() if value is not None}


def description(layers: Sequence[LayerFiles], *, name: str = "built", scale: object = None) -> bytes:
    """`datasource-properties.json` of some layers."""
    chosen = {"factor": [8.0, 8.0, 25.0], "unit": "nanometer"} if scale is None else scale
    document = {"version": 1, "id": {"name": name, "team": ""}, "scale": chosen}
    return json.dumps({**document, "dataLayers": [describe(layer) for layer in layers]}).encode()


def dataset(*layers: LayerFiles, name: str = "built", scale: object = None) -> Objects:
    """All objects of a dataset: its description and its layers' files."""
    objects = {FILE_NAME: description(layers, name=name, scale=scale)}
    for layer in layers:
        for mag, volume in layer.volumes.items():
            start = vec3([corner // side for corner, side in zip(layer.top_left, mag.xyz, strict=True)])
            files = mag_folder(
                volume, start, block_side=layer.block_side, file_side=layer.file_side, block_type=layer.block_type
            )
            objects |= {f"{layer.name}/{mag.literal}/{key}": data for key, data in files.items()}
    return objects


def write_tree(objects: Mapping[str, bytes], folder: Path) -> Path:
    """Objects as files below a folder."""
    for key, data in objects.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _blocks(volume: Volume, top_left: Vec3, side: int) -> dict[Vec3, Volume]:
    """The whole cubes that a volume touches, by their place (x, y, z) in the grid; zero where it has no voxel."""
    end = [corner + length for corner, length in zip(top_left, volume.shape[2::-1], strict=True)]
    first = [corner // side for corner in top_left]
    last = [-(-corner // side) for corner in end]
    padded = np.zeros(
        [(b - a) * side for a, b in zip(first, last, strict=True)][::-1] + list(volume.shape[3:]), volume.dtype
    )
    at = [corner - start * side for corner, start in zip(top_left, first, strict=True)]
    inner = tuple(slice(start, start + length) for start, length in zip(at, volume.shape[2::-1], strict=True))[::-1]
    padded[inner] = volume
    return {
        (first[0] + x, first[1] + y, first[2] + z): padded[
            z * side : (z + 1) * side, y * side : (y + 1) * side, x * side : (x + 1) * side
        ]
        for z in range(last[2] - first[2])
        for y in range(last[1] - first[1])
        for x in range(last[0] - first[0])
    }
