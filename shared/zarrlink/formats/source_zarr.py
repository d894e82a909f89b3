"""Zarr arrays that others wrote: `.zarray` (version 2) and `zarr.json` (version 3) as values.

Source: Zarr storage specification version 2; Zarr core specification version 3 with the codecs `bytes`, `transpose`,
`blosc`, `gzip`, `zstd`, `crc32c` and `sharding_indexed`. What is read here is the array's whole truth for tensorstore as
well: it is opened with `ZarrArray.document`, not by reading the metadata a second time.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final, Literal

from zarrlink.errors import CorruptFile, UnsupportedLayer, brief
from zarrlink.formats.datasource_mags import MAX_AXES
from zarrlink.formats.json_values import is_number, is_whole, parse_object, whole_numbers
from zarrlink.formats.zarr_codecs import chunk_shape, named, read_codecs
from zarrlink.formats.zarr_v2 import DTYPES
from zarrlink.geometry import MAX_COORDINATE

Json = dict[str, Any]

MAX_BYTES: Final = 4 * 2**20
V2_COMPRESSORS: Final = ("blosc", "zlib", "gzip", "bz2", "zstd")
_V2_DTYPE: Final = re.compile(r"([<>|])(b1|[uif][1248])", re.ASCII)
_BOOL: Final = "bool"
_NAMES: Final = {"b1": _BOOL, **{short[1:]: name for name, short in DTYPES.items()}}
_LARGEST: Final = 2**1023
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """A stored array. Shapes in its own axis order.

    `chunk`: what is decoded at once, the inner chunk where there are shards; `shard`: the outer chunk, None where there
    are none. `dtype` as in Zarr v3; of a `boolean` array uint8, which its bytes, 0 and 1, are as well. `order`: of a v2 chunk's bytes; v3 says it by `codecs`. `compressor`: v2 only.
    `separator` and `c_prefix` make the keys. `names`: of the axes, as far as they are given. `document`: the metadata
    that tensorstore is given.
    """

    version: Literal[2, 3]
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    dtype: str
    big_endian: bool
    fill_value: int | float
    order: Literal["C", "F"]
    compressor: Json | None
    codecs: tuple[Json, ...]
    separator: str
    c_prefix: bool
    names: tuple[str | None, ...] | None
    attributes: Json
    document: Json
    boolean: bool = False


def document_name(version: Literal[2, 3]) -> str:
    return ".zarray" if version == 2 else "zarr.json"


def chunk_key(array: ZarrArray, indices: tuple[int, ...]) -> str:
    """The key, below the array's folder, of the chunk (where there are shards: shard) at `indices` of the grid."""
    numbers = array.separator.join(map(str, indices))
    return f"c{array.separator}{numbers}" if array.c_prefix else numbers


def parse_v2(data: bytes, *, key: str = "") -> ZarrArray:
    """An array from its `.zarray`. Raises CorruptFile, or UnsupportedLayer with the reason."""
    what = "a .zarray"
    document = parse_object(data, what, max_bytes=MAX_BYTES, key=key)
    # Some writers put it as text.
    if document.get("zarr_format") not in (2, "2"):
        raise CorruptFile(f"{what} is not of version 2", key=key, expected=2, found=brief(document.get("zarr_format")))
    shape, chunk = _shape(document.get("shape"), what, key), chunk_shape(document.get("chunks"), what, key)
    if len(chunk) != len(shape):
        raise CorruptFile(f"{what} has chunks of other dimensions than its shape", key=key)
    found = document.get("dtype")
    kind = _V2_DTYPE.fullmatch(found) if isinstance(found, str) else None
    dtype = _NAMES.get(kind[2]) if kind else None
    if kind is None or dtype is None or (kind[1] == "|" and kind[2][1] != "1"):
        raise UnsupportedLayer(f"it is stored as Zarr of the type {brief(found)}")
    compressor, order = document.get("compressor"), document.get("order", "C")
    if compressor is not None and not (isinstance(compressor, dict) and compressor.get("id") in V2_COMPRESSORS):
        name = compressor.get("id") if isinstance(compressor, dict) else compressor
        raise UnsupportedLayer(f"its Zarr chunks are compressed as {brief(name)}; read: {', '.join(V2_COMPRESSORS)}")
    if document.get("filters") not in (None, []):
        raise UnsupportedLayer("its Zarr chunks have filters, which zarrlink does not undo")
    if order not in ("C", "F"):
        raise CorruptFile(f"{what} has an order that is neither C nor F", key=key)
    separator = document.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise CorruptFile(f"{what} has a dimension_separator that is neither . nor /", key=key)
    fill = _truth(document.get("fill_value"), dtype)
    return ZarrArray(
        version=2,
        shape=shape,
        chunk=chunk,
        shard=None,
        dtype=_served(dtype),
        boolean=dtype == _BOOL,
        big_endian=kind[1] == ">",
        fill_value=_fill(dtype != _BOOL and 0 if fill is None else fill, dtype, what, key),
        order=order,
        compressor=compressor,
        codecs=(),
        separator=separator,
        c_prefix=False,
        names=None,
        attributes={},
        document={
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(chunk),
            "dtype": found,
            "compressor": compressor,
            "fill_value": fill,
            "order": order,
            "filters": None,
            "dimension_separator": separator,
        },
    )


def parse_v3(data: bytes, *, key: str = "") -> ZarrArray:
    """An array from its `zarr.json`. Raises CorruptFile, or UnsupportedLayer with the reason."""
    what = "a zarr.json"
    document = parse_object(data, what, max_bytes=MAX_BYTES, key=key)
    if document.get("zarr_format") != 3 or document.get("node_type") != "array":
        raise CorruptFile(f"{what} is not that of an array of version 3", key=key)
    shape, dtype = _shape(document.get("shape"), what, key), document.get("data_type")
    if not isinstance(dtype, str) or (dtype not in DTYPES and dtype != _BOOL):
        raise UnsupportedLayer(f"it is stored as Zarr of the type {brief(dtype)}")
    grid = named(document.get("chunk_grid"), what, key)
    if grid[0] != "regular":
        raise UnsupportedLayer(f"its Zarr chunks form a grid of the kind {brief(grid[0])}")
    outer = chunk_shape(grid[1].get("chunk_shape"), what, key)
    if len(outer) != len(shape):
        raise CorruptFile(f"{what} has chunks of other dimensions than its shape", key=key)
    separator, c_prefix = _key_encoding(document.get("chunk_key_encoding"), what, key)
    chunk, big_endian, codecs = read_codecs(document.get("codecs"), outer, what, key)
    names = document.get("dimension_names")
    if names is not None and not (
        isinstance(names, list)
        and len(names) == len(shape)
        and all(name is None or isinstance(name, str) for name in names)
    ):
        raise CorruptFile(f"{what} has dimension_names that do not fit its shape", key=key)
    if document.get("storage_transformers") not in (None, []):
        raise UnsupportedLayer("its Zarr array has storage transformers")
    attributes = document.get("attributes")
    fill = _truth(document.get("fill_value"), dtype)
    kept = ("shape", "data_type", "chunk_grid", "chunk_key_encoding")
    return ZarrArray(
        version=3,
        shape=shape,
        chunk=chunk,
        shard=outer if any(codec["name"] == "sharding_indexed" for codec in codecs) else None,
        dtype=_served(dtype),
        boolean=dtype == _BOOL,
        big_endian=big_endian,
        fill_value=_fill(fill, dtype, what, key),
        order="C",
        compressor=None,
        codecs=tuple(codecs),
        separator=separator,
        c_prefix=c_prefix,
        names=None if names is None else tuple(names),
        attributes=attributes if isinstance(attributes, dict) else {},
        document={
            "zarr_format": 3,
            "node_type": "array",
            "fill_value": fill,
            "codecs": codecs,
            **{field: document[field] for field in kept},
        },
    )


def _key_encoding(value: object, what: str, key: str) -> tuple[str, bool]:
    """(separator, whether keys begin with `c`)."""
    name, options = named(value, what, key)
    separator = options.get("separator", "/" if name == "default" else ".")
    if name not in ("default", "v2") or separator not in (".", "/"):
        raise UnsupportedLayer(f"its Zarr keys are made in the way {brief(name)} with {brief(separator)}")
    return separator, name == "default"


def _shape(value: object, what: str, key: str) -> tuple[int, ...]:
    shape = whole_numbers(value, least=0, most=MAX_COORDINATE, at_most=MAX_AXES)
    if shape is None:
        raise CorruptFile(f"{what} has no shape of 1 to {MAX_AXES} whole numbers", key=key)
    if 0 in shape:
        raise UnsupportedLayer("its array has no voxels")
    return shape


def _served(dtype: str) -> str:
    return "uint8" if dtype == _BOOL else dtype


def _truth(fill: object, dtype: str) -> object:
    """A fill value as the specifications have it: some writers put 0 and 1 for truth values."""
    return bool(fill) if dtype == _BOOL and is_whole(fill) and fill in (0, 1) else fill


def _fill(value: object, dtype: str, what: str, key: str) -> int | float:
    wrong = CorruptFile(f"{what} has a fill value that is no {dtype}", key=key, found=brief(value))
    if dtype == _BOOL:
        if not isinstance(value, bool):
            raise wrong
        return int(value)
    if dtype.startswith("float"):
        bits = int(dtype[5:])
        if isinstance(value, str) and value in _SPECIAL:
            return _SPECIAL[value]
        if isinstance(value, str) and re.fullmatch(rf"0x[0-9A-Fa-f]{{{bits // 4}}}", value, re.ASCII):
            (number,) = struct.unpack(">f" if bits == 32 else ">d", bytes.fromhex(value[2:]))
            return float(number)
        # Compared, since converting a whole number of hundreds of digits fails.
        if not is_number(value) or (is_whole(value) and abs(value) > _LARGEST):
            raise wrong
        return float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    bits = int(dtype.lstrip("uint"))
    low, high = (0, 2**bits) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    if not is_whole(value) or not low <= value < high:
        raise wrong
    return value
