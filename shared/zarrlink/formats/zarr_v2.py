"""Zarr v2 metadata documents. Source: Zarr storage specification version 2."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

DTYPES: Final = {
    "uint8": "|u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "int8": "|i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "float32": "<f4",
    "float64": "<f8",
}
GROUP: Final[Json] = {"zarr_format": 2}


def array_metadata(*, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> Json:
    """`.zarray` of an array in C order whose chunks are Blosc-1 frames; `dtype` as in Zarr v3."""
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": list(chunks),
        "dtype": DTYPES[dtype],
        # How a writer would make such frames; readers take codec and shuffle from each frame's own header.
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 0, "blocksize": 0},
        "fill_value": 0.0 if dtype.startswith("float") else 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def array_attributes(dimension_names: tuple[str, ...]) -> Json:
    """`.zattrs` of an array: its axes, under the name by which xarray finds them (without it, it opens no array).

    Source: docs.xarray.dev, "Zarr Encoding Specification".
    """
    return {"_ARRAY_DIMENSIONS": list(dimension_names)}


def consolidated(documents: dict[str, Json]) -> Json:
    """`.zmetadata` from the documents of a group by their keys."""
    return {"zarr_consolidated_format": 1, "metadata": documents}
