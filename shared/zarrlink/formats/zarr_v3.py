"""Zarr v3 metadata documents. Source: Zarr core specification version 3, `sharding_indexed` version 1.0."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def array_metadata(
    *,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    shard: tuple[int, ...] | None,
    dtype: str,
    item_bytes: int,
    stored_axes: tuple[int, ...] | None,
    dimension_names: tuple[str, ...],
    attributes: Json,
) -> Json:
    """`zarr.json` of an array whose chunks are Blosc-1 frames.

    `stored_axes`: the order of the array's axes in a chunk's bytes where it is not C order (a `transpose` codec).
    `shard`: outer chunk, a multiple of `chunk` along each axis; the index lies at the end, the only place that
    zarrita looks. Nothing is ever `null`: tensorstore refuses `"dimension_names": null`.
    """
    codecs: list[Json] = []
    if stored_axes is not None:
        codecs.append({"name": "transpose", "configuration": {"order": list(stored_axes)}})
    codecs.append({"name": "bytes", "configuration": {"endian": "little"}})
    blosc = {"typesize": item_bytes, "cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}
    codecs.append({"name": "blosc", "configuration": blosc})
    if shard is not None:
        sharding = {
            "chunk_shape": list(chunk),
            "codecs": codecs,
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard or chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0 if dtype.startswith("float") else 0,
        "codecs": codecs,
        "dimension_names": list(dimension_names),
        "attributes": attributes,
    }


def group_metadata(*, attributes: Json, arrays: dict[str, Json]) -> Json:
    """`zarr.json` of a group, with the metadata of its arrays consolidated as zarr-python writes it."""
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
    }
