"""Imported annotations as keys and bytes, and what they must show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from builders.wkw_files import Objects, Volume
from zarrlink.annotations.manifest import ELEMENT_CLASS_OF, MANIFEST_KEY, Manifest, PackedMag, PackedVolume, mag_prefix
from zarrlink.formats.block_pack import Kind, block_code, encode_index
from zarrlink.formats.lz4_block import encode_lz4
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3

REVERTED = "reverted"
Blocks = Mapping[Vec3, Volume | str]
"""Place (x, y, z) in blocks -> voxels, shape (z, y, x), all zero for an erased one; REVERTED."""


@dataclass(frozen=True)
class PaintedLayer:
    """A volume layer. `mags` empty: nothing was ever painted."""

    name: str
    mags: Mapping[Mag, Blocks]
    fallback: str | None = None
    dtype: str = "uint32"
    block_side: int = 8
    mapping: str | None = None


def annotation(*layers: PaintedLayer) -> Objects:
    """What an import would have written."""
    objects: Objects = {}
    volumes = []
    for place, layer in enumerate(layers):
        mags = []
        for mag, blocks in layer.mags.items():
            prefix = mag_prefix(place, mag)
            entries, data = [], b""
            for position in sorted(blocks, key=block_code):
                kind, stored = _stored(blocks[position])
                entries.append((block_code(position), kind, len(stored)))
                data += stored
            block_bytes = layer.block_side**3 * np.dtype(layer.dtype).itemsize
            objects[f"{prefix}.index"] = encode_index(layer.block_side, block_bytes, entries)
            objects[f"{prefix}.blocks"] = data
            mags.append(PackedMag(mag, prefix, len(entries), len(data), _extent(blocks)))
        volumes.append(
            PackedVolume(
                id=place,
                name=layer.name,
                format="wkw",
                element_class=ELEMENT_CLASS_OF[layer.dtype] if layer.mags else None,
                fallback_layer=layer.fallback,
                largest_segment_id=None,
                mapping_name=layer.mapping,
                mapping_is_locked=False,
                edited_mapping=None,
                block_side=layer.block_side if layer.mags else None,
                mags=tuple(mags),
            )
        )
    manifest = Manifest("cells", "ds", None, None, None, None, VoxelSize((1.0, 1.0, 1.0)), tuple(volumes), 0, 0)
    return objects | {MANIFEST_KEY: manifest.to_json()}


def painted_over(below: Volume, blocks: Blocks, block_side: int, dtype: str) -> Volume:
    """What must be seen, shape (z, y, x) from voxel 0: present block, else the voxels of `below`."""
    out = below.astype(dtype)
    for position, voxels in blocks.items():
        if isinstance(voxels, str):
            continue
        place = tuple(slice(n * block_side, (n + 1) * block_side) for n in position[::-1])
        kept = out[place]
        kept[...] = voxels[: kept.shape[0], : kept.shape[1], : kept.shape[2]]
    return out


def _stored(voxels: Volume | str) -> tuple[Kind, bytes]:
    if isinstance(voxels, str):
        return Kind.REVERTED, b""
    return (Kind.DATA, encode_lz4(voxels.tobytes(), high=False)) if voxels.any() else (Kind.ERASED, b"")


def _extent(blocks: Blocks) -> BoundingBox | None:
    if not blocks:
        return None
    low = [min(position[axis] for position in blocks) for axis in range(3)]
    high = [max(position[axis] for position in blocks) + 1 for axis in range(3)]
    return BoundingBox(vec3(low), vec3([b - a for a, b in zip(low, high, strict=True)]))
