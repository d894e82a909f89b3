"""WEBKNOSSOS downloads as bytes, in each format and with each quirk, made by Python's `zipfile` and numcodecs.

Blocks are given decoded, by mag and position: `bytes` with x fastest, or the mark of a reverted block.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import lz4.block
import numcodecs
import numpy as np

REVERTED: Final = b"\0"
Blocks = Mapping[tuple[int, int, int], bytes]
Mags = Mapping[str, Blocks]
_ITEM: Final = {"uint8": (1, 1), "uint16": (2, 2), "uint32": (3, 4), "uint64": (4, 8), "int32": (9, 4), "float": (5, 4)}
_DTYPE: Final = {"float": "float32"}


def zip_of(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


EMPTY_ZIP: Final = zip_of({})


@dataclass(frozen=True)
class Volume:
    """A `<volume>` of an NML with what its data zip is called and holds; None: neither location nor zip."""

    id: int = 0
    name: str | None = "Volume"
    location: str | None = "data_Volume.zip"
    data: bytes | None = EMPTY_ZIP
    format: str | None = "wkw"
    fallback_layer: str | None = None
    attributes: str = ""


def nml(
    *volumes: Volume, skeleton: str = "", scale: str = '<scale x="11.0" y="11.0" z="28.0" unit="nanometer" />'
) -> bytes:
    """An NML as WEBKNOSSOS writes it."""
    elements = "\n".join(_volume_element(volume) for volume in volumes)
    return f"""<things>
  <meta name="writer" content="NmlWriter.scala" />
  <meta name="annotationId" content="65a0c1f2e4b0a1b2c3d4e5f8" />
  <meta name="username" content="Anna Sample" />
  <parameters>
    <experiment name="sample_ds" organization="sample_org" datasetId="65a0c1f2e4b0a1b2c3d4e5f6" description="" />
    {scale}
    <time ms="1763000000000" />
    <editPosition x="500" y="400" z="150" />
    <editRotation xRot="0.0" yRot="0.0" zRot="0.0" />
    <zoomLevel zoom="1.0" />
  </parameters>
  {skeleton}
  <branchpoints />
  <comments />
  <groups />
  {elements}
</things>
""".encode()


TREE: Final = """<thing id="1" color.r="0.6" color.g="0.1" color.b="0.0" color.a="1.0" name="tree_001" groupId="" type="DEFAULT">
    <nodes>
      <node id="1" radius="1.0" x="120" y="130" z="50" rotX="0.0" rotY="0.0" rotZ="0.0" inVp="0" inMag="1" bitDepth="8" interpolation="true" time="1763000001000" />
      <node id="2" radius="2.0" x="140" y="150" z="52" rotX="0.0" rotY="0.0" rotZ="0.0" inVp="0" inMag="1" bitDepth="8" interpolation="true" time="1763000002000" />
    </nodes>
    <edges><edge source="1" target="2" /></edges>
  </thing>"""


def annotation_zip(
    *volumes: Volume, extra: Mapping[str, bytes] | None = None, skeleton: str = TREE, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """A download: `sample__explorational.nml` and the data zips that it names."""
    files = {"sample__explorational.nml": nml(*volumes, skeleton=skeleton)}
    files |= {volume.location: volume.data for volume in volumes if volume.location and volume.data is not None}
    return zip_of({**files, **(extra or {})}, method=method)


def wkw_file(blocks: list[bytes], element_class: str = "uint32", *, side: int = 32, compressed: bool = True) -> bytes:
    """A WKW file of some blocks in Morton order, one or eight or ..."""
    voxel_type, item_bytes = _ITEM[element_class]
    file_log2 = (len(blocks).bit_length() - 1) // 3
    sides = (side.bit_length() - 1) | file_log2 << 4
    start = 16 + (8 * len(blocks) if compressed else 0)
    header = struct.pack("<3sBBBBBQ", b"WKW", 1, sides, 2 if compressed else 1, voxel_type, item_bytes, start)
    stored = [
        lz4.block.compress(block, store_size=False) if compressed and block != REVERTED else block for block in blocks
    ]
    ends = [start + sum(len(data) for data in stored[: n + 1]) for n in range(len(stored))] if compressed else []
    return header + struct.pack(f"<{len(ends)}Q", *ends) + b"".join(stored)


def wkw_header(element_class: str = "uint32", *, side: int = 32, file_side: int = 1) -> bytes:
    voxel_type, item_bytes = _ITEM[element_class]
    sides = (side.bit_length() - 1) | (file_side.bit_length() - 1) << 4
    return struct.pack("<3sBBBBBQ", b"WKW", 1, sides, 2, voxel_type, item_bytes, 0)


def wkw_data(mags: Mags, element_class: str = "uint32", *, side: int = 32, compressed: bool = True) -> dict[str, bytes]:
    """The files of a `wkw` data zip, one block in each."""
    files = {}
    for mag, blocks in mags.items():
        for (x, y, z), block in blocks.items():
            files[f"{mag}/z{z}/y{y}/x{x}.wkw"] = wkw_file([block], element_class, side=side, compressed=compressed)
        files[f"{mag}/header.wkw"] = wkw_header(element_class, side=side)
    return files


def zarr_json(element_class: str = "uint32", *, side: int = 32, codecs: Any = None, **changed: Any) -> dict[str, Any]:
    """As older WEBKNOSSOS servers write it."""
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 1, "blocksize": 0}
    usual = [
        {"name": "transpose", "configuration": {"order": "F"}},
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "blosc", "configuration": blosc},
    ]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [1, 4096, 4096, 1536],
        "data_type": _DTYPE.get(element_class, element_class),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, side, side, side]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": usual if codecs is None else codecs,
        "dimension_names": ["c", "x", "y", "z"],
        **changed,
    }


def blosc(block: bytes, *, shuffle: int = numcodecs.Blosc.SHUFFLE) -> bytes:
    return bytes(numcodecs.Blosc("lz4", 5, shuffle).encode(np.frombuffer(block, "u1")))


def zarr3_data(
    mags: Mags,
    element_class: str = "uint32",
    *,
    side: int = 32,
    name: str = "c.0.{x}.{y}.{z}",
    array: dict[str, Any] | None = None,
    pack: Any = blosc,
) -> dict[str, bytes]:
    """The files of a `zarr3` data zip."""
    layer = {"name": "volumeAnnotationData", "elementClass": element_class, "mags": [{"mag": [1, 1, 1]}]}
    files = {"datasource-properties.json": json.dumps({"id": {"name": ""}, "dataLayers": [layer]}).encode()}
    document = json.dumps(zarr_json(element_class, side=side) if array is None else array).encode()
    for mag, blocks in mags.items():
        files[f"volumeAnnotationData/{mag}/zarr.json"] = document
        for (x, y, z), block in blocks.items():
            stored = block if block == REVERTED else pack(block)
            files[f"volumeAnnotationData/{mag}/{name.format(x=x, y=y, z=z)}"] = stored
    return files


def voxels(seed: int, element_class: str = "uint32", *, side: int = 32) -> bytes:
    """A block that looks like a segmentation: few values in patches, none of them 0."""
    item_bytes = _ITEM[element_class][1]
    random = np.random.default_rng(seed)
    patches = random.integers(1, 100, (max(1, side // 4),) * 3).astype(f"u{item_bytes}")
    scale = side // patches.shape[0]
    return np.kron(patches, np.ones((scale,) * 3, patches.dtype)).astype(patches.dtype).tobytes()


def _volume_element(volume: Volume) -> str:
    facts = {
        "name": volume.name,
        "location": volume.location,
        "format": volume.format,
        "fallbackLayer": volume.fallback_layer,
    }
    written = " ".join(f'{name}="{value}"' for name, value in facts.items() if value is not None)
    return f'<volume id="{volume.id}" {written} {volume.attributes}><segments /><groups /></volume>'
