"""A volume's data zip, written as it is read: the reverse of `wkw_zip` and `zarr3_zip`.

`wkw`: one block per file, the LZ4 streams untouched. `zarr3`: as WEBKNOSSOS writes since July 2025 (names `0.X.Y.Z`,
key encoding `v2`), each chunk a Blosc frame around the stored stream; the array's shape is that of its own mag.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any, Final, Literal

from zarrlink.annotations.manifest import ITEM_BYTES, Manifest, PackedMag, PackedVolume
from zarrlink.annotations.pack_reader import StoredBlock, all_blocks, is_written
from zarrlink.annotations.zip_writer import ZipWriter
from zarrlink.formats.block_pack import block_position
from zarrlink.formats.blosc1 import lz4_frame_header, raw_frame_header
from zarrlink.formats.datasource import ELEMENT_CLASSES, FILE_NAME
from zarrlink.formats.lz4_block import decode_lz4, encode_lz4
from zarrlink.formats.wkw import BOUNDARY_BYTES, HEADER_BYTES, VOXEL_TYPES, BlockType, WkwHeader, file_key
from zarrlink.formats.wkw_writer import wkw_header
from zarrlink.geometry import BoundingBox, vec3
from zarrlink.storage.interface import ByteSource

VolumeData = Literal["wkw", "zarr3"]
LAYER: Final = "volumeAnnotationData"
# Above what a block's two headers in the zip, its names and its frame can need.
_BLOCK_OVERHEAD_BYTES: Final = 512
_MAG_OVERHEAD_BYTES: Final = 2**14
_VOXEL_TYPE_OF: Final = {name: number for number, (name, _) in VOXEL_TYPES.items()}
Pack = Callable[[StoredBlock], tuple[str, bytes]]


def most_bytes(volume: PackedVolume) -> int:
    """More than the data zip can have."""
    per_block = _BLOCK_OVERHEAD_BYTES + (len(_zero_stream(volume.block_bytes)) if volume.mags else 0)
    return sum(_MAG_OVERHEAD_BYTES + mag.data_bytes + mag.blocks * per_block for mag in volume.mags) + 2**16


async def volume_zip(
    source: ByteSource, manifest: Manifest, volume: PackedVolume, form: VolumeData
) -> AsyncIterator[bytes]:
    """The bytes of the data zip; memory is bounded by its directory. The volume has mags. Raises CorruptFile."""
    writer = ZipWriter()
    if form == "zarr3":
        yield writer.file(FILE_NAME, _json(_description(manifest, volume)))
    for mag in volume.mags:
        if form == "wkw":
            header = _wkw_header(volume)
            yield writer.file(f"{mag.mag.literal}/header.wkw", header.to_bytes())
            pack = _wkw_file(header, mag)
        else:
            yield writer.file(f"{LAYER}/{mag.mag.literal}/zarr.json", _json(_array(volume, mag)))
            pack = _zarr3_chunk(volume, mag)
        async for batch in all_blocks(source, mag, volume.block_bytes):
            # Deflating a megabyte takes long enough for others to notice.
            yield await asyncio.to_thread(_files, writer, volume, batch, pack)
    for piece in writer.close():
        yield piece


def _files(writer: ZipWriter, volume: PackedVolume, batch: list[StoredBlock], pack: Pack) -> bytes:
    pieces = []
    for entry, stream in batch:
        if is_written(entry, over_fallback=volume.fallback_layer is not None):
            stored = stream or _zero_stream(volume.block_bytes)
            pieces.append(writer.file(*pack((entry, stored))))
    return b"".join(pieces)


def _wkw_header(volume: PackedVolume) -> WkwHeader:
    voxel_type = _VOXEL_TYPE_OF[_dtype(volume)]
    return wkw_header(block_side=volume.block_side or 0, file_side=1, block_type=BlockType.LZ4, voxel_type=voxel_type)


def _wkw_file(header: WkwHeader, mag: PackedMag) -> Pack:
    start = HEADER_BYTES + BOUNDARY_BYTES
    front = header.to_bytes()[:8] + struct.pack("<Q", start)

    def pack(block: StoredBlock) -> tuple[str, bytes]:
        entry, stream = block
        name = file_key(mag.mag.literal, block_position(entry.morton))
        return name, front + struct.pack("<Q", start + len(stream)) + stream

    return pack


def _zarr3_chunk(volume: PackedVolume, mag: PackedMag) -> Pack:
    nbytes, typesize = volume.block_bytes, ITEM_BYTES[volume.element_class or ""]

    def pack(block: StoredBlock) -> tuple[str, bytes]:
        entry, stream = block
        x, y, z = block_position(entry.morton)
        if len(stream) == nbytes:  # which Blosc would take for a raw copy
            chunk = raw_frame_header(nbytes, typesize) + decode_lz4(stream, nbytes, key=mag.blocks_key)
        else:
            chunk = lz4_frame_header(nbytes, typesize, len(stream)) + stream
        return f"{LAYER}/{mag.mag.literal}/0.{x}.{y}.{z}", chunk

    return pack


def _box(volume: PackedVolume) -> BoundingBox:
    """What the blocks of all mags cover, in mag-1 voxels; a voxel where there is none."""
    boxes = []
    for mag in volume.mags:
        if mag.extent is not None:
            sides = [(volume.block_side or 0) * factor for factor in mag.mag.xyz]
            boxes.append([place * side for place, side in zip(mag.extent.top_left, sides, strict=True)])
            boxes.append([place * side for place, side in zip(mag.extent.bottom_right, sides, strict=True)])
    low = [min(corners) for corners in zip(*boxes, strict=True)] or [0, 0, 0]
    high = [max(corners) for corners in zip(*boxes, strict=True)] or [1, 1, 1]
    return BoundingBox(vec3(low), vec3([end - start for start, end in zip(low, high, strict=True)]))


def _array(volume: PackedVolume, mag: PackedMag) -> dict[str, Any]:
    """`zarr.json` of a mag."""
    side = volume.block_side or 0
    shape = [-(-end // factor) for end, factor in zip(_box(volume).bottom_right, mag.mag.xyz, strict=True)]
    blosc = {
        "cname": "lz4",
        "clevel": 5,
        "shuffle": "noshuffle",
        "typesize": ITEM_BYTES[volume.element_class or ""],
        "blocksize": 0,
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [1, *shape],
        "data_type": _dtype(volume),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, side, side, side]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": [
            {"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}},
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": blosc},
        ],
        "dimension_names": ["c", "x", "y", "z"],
    }


def _description(manifest: Manifest, volume: PackedVolume) -> dict[str, Any]:
    """`datasource-properties.json`."""
    size, box = manifest.voxel_size, _box(volume)
    layer = {
        "name": LAYER,
        "category": "segmentation",
        "boundingBox": {
            "topLeft": list(box.top_left),
            "width": box.size[0],
            "height": box.size[1],
            "depth": box.size[2],
        },
        "elementClass": volume.element_class,
        "dataFormat": "zarr3",
        "numChannels": 1,
        "largestSegmentId": volume.largest_segment_id,
        "mags": [{"mag": list(mag.mag.xyz), "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3}} for mag in volume.mags],
    }
    return {
        "id": {"name": "", "team": ""},
        "dataLayers": [{key: value for key, value in layer.items() if value is not None}],
        "scale": {
            "factor": [1.0, 1.0, 1.0] if size is None else list(size.factor),
            "unit": "nanometer" if size is None else size.unit,
        },
        "version": 1,
    }


def _dtype(volume: PackedVolume) -> str:
    return ELEMENT_CLASSES[volume.element_class or ""][0]


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()


@cache
def _zero_stream(block_bytes: int) -> bytes:
    return encode_lz4(bytes(block_bytes), high=False)
