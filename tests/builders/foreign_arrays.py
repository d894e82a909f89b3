"""Small arrays in the formats of others, written by tensorstore and read back by it: the product's own code has no part.

Data is in the array's own axis order. `CZYX` volumes (c, z, y, x) are what readers of ours return.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

Json = dict[str, Any]
Array = NDArray[Any]

BLOSC_V2: Json = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
BLOSC_V3: Json = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 1, "blocksize": 0},
}
LITTLE: Json = {"name": "bytes", "configuration": {"endian": "little"}}
BIG: Json = {"name": "bytes", "configuration": {"endian": "big"}}
INDEX: list[Json] = [LITTLE, {"name": "crc32c"}]


def numbered(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> Array:
    """Random numbers of a type, hardly any of them 0 or 7."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(max(limits.min, -(2**40)), min(limits.max, 2**40), shape).astype(dtype)


def _create(spec: Json, data: Array) -> None:
    array = ts.open(spec, create=True, delete_existing=True).result()
    array.write(data).result()


def store(folder: Path) -> Json:
    return {"driver": "file", "path": f"{folder}/"}


def write_zarr2(
    folder: Path,
    data: Array,
    chunks: tuple[int, ...],
    *,
    dtype: str | None = None,
    compressor: Json | None = None,
    order: str = "C",
    fill_value: Any = 0,
    separator: str = ".",
) -> None:
    """`dtype` as Zarr v2 writes it, such as `>u2`."""
    metadata: Json = {
        "zarr_format": 2,
        "shape": list(data.shape),
        "chunks": list(chunks),
        "dtype": dtype or np.dtype(data.dtype).str,
        "compressor": compressor,
        "order": order,
        "fill_value": fill_value,
        "filters": None,
        "dimension_separator": separator,
    }
    _create({"driver": "zarr", "kvstore": store(folder), "metadata": metadata}, data)


def write_zarr3(
    folder: Path,
    data: Array,
    chunk: tuple[int, ...],
    *,
    codecs: list[Json] | None = None,
    shard: tuple[int, ...] | None = None,
    fill_value: Any = 0,
    names: list[str] | None = None,
    key_encoding: Json | None = None,
    index_location: str = "end",
    index_codecs: list[Json] | None = None,
) -> None:
    """`codecs`: of the (inner) chunks."""
    inner = codecs or [LITTLE]
    if shard is not None:
        sharding = {
            "chunk_shape": list(chunk),
            "codecs": inner,
            "index_codecs": index_codecs or INDEX,
            "index_location": index_location,
        }
        inner = [{"name": "sharding_indexed", "configuration": sharding}]
    metadata: Json = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(data.shape),
        "data_type": data.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard or chunk)}},
        "chunk_key_encoding": key_encoding or {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value,
        "codecs": inner,
    }
    if names is not None:
        metadata["dimension_names"] = names
    _create({"driver": "zarr3", "kvstore": store(folder), "metadata": metadata}, data)


def write_n5(
    folder: Path, data: Array, block: tuple[int, ...], *, compression: Json | None = None, more: Json | None = None
) -> None:
    """`more`: attributes besides, such as `downsamplingFactors`."""
    metadata = {
        "dimensions": list(data.shape),
        "blockSize": list(block),
        "dataType": data.dtype.name,
        "compression": compression or {"type": "gzip"},
        **(more or {}),
    }
    _create({"driver": "n5", "kvstore": store(folder), "metadata": metadata}, data)


def write_precomputed(
    folder: Path,
    levels: Mapping[str, Array],
    *,
    chunk: tuple[int, int, int] = (8, 8, 8),
    offset: tuple[int, int, int] = (0, 0, 0),
    encoding: str = "raw",
    sharding: Json | None = None,
    kind: str = "image",
    resolution: tuple[float, float, float] = (4.0, 4.0, 40.0),
) -> None:
    """Levels (x, y, z, channel) by key, each half as fine as the one before; `offset` in voxels of each."""
    for number, (key, data) in enumerate(levels.items()):
        scale: Json = {
            "key": key,
            "size": list(data.shape[:3]),
            "voxel_offset": list(offset),
            "chunk_size": list(chunk),
            "resolution": [length * 2**number for length in resolution],
            "encoding": encoding,
        }
        if encoding == "compressed_segmentation":
            scale["compressed_segmentation_block_size"] = [4, 4, 4]
        if sharding is not None:
            scale["sharding"] = sharding
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": store(folder),
            "multiscale_metadata": {"type": kind, "data_type": data.dtype.name, "num_channels": data.shape[3]},
            "scale_metadata": scale,
        }
        array = ts.open(spec, create=True).result()
        array.write(data).result()


def ome_attributes(
    names: str,
    levels: Mapping[str, list[float]],
    *,
    unit: str | None = "nanometer",
    version: str = "0.4",
    image_name: str | None = None,
    more: Json | None = None,
) -> Json:
    """OME-NGFF attributes: axes by the letters of `names`, scales by path."""
    kinds = {"c": "channel", "t": "time"}
    axes = [
        {"name": name, "type": kinds.get(name, "space"), **({"unit": unit} if unit and name in "xyz" else {})}
        for name in names
    ]
    datasets = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for path, scale in levels.items()
    ]
    image: Json = {"axes": axes, "datasets": datasets}
    if image_name is not None:
        image["name"] = image_name
    if version == "0.4":
        return {"multiscales": [{"version": "0.4", **image}], **(more or {})}
    return {"ome": {"version": version, "multiscales": [image], **(more or {})}}
