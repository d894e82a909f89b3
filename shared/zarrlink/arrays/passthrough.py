"""Stored Zarr chunks that can go out byte for byte. Pure.

A chunk fits where its decoded bytes lie in memory as the dialect says, C order of ([extra axes], [c], z, y, x), whatever
order its own array names the axes in: axes along which the chunk has one voxel can stand anywhere. So the usual
WEBKNOSSOS chunk, (c, x, y, z) in order F with one channel, fits as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from zarrlink.arrays.object_keys import object_key
from zarrlink.arrays.stored import StoredArray
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.formats.zarr_codecs import configuration
from zarrlink.formats.zarr_keys import Dialect

Json = dict[str, Any]

# Codecs that every client reads (tests/end_to_end, and Neuroglancer, dask, Fiji's n5-zarr by their documentation); zlib has no name in v3, crc32c none in v2.
_V2_CODECS: Final = ("blosc", "gzip", "zlib", "zstd")
_V3_CODECS: Final = ("blosc", "gzip", "zstd", "crc32c")
_BLOSC: Final = ("lz4", "lz4hc", "blosclz", "zlib", "zstd")
_SHUFFLES: Final = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}
_LITTLE: Final[Json] = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC: Final[Json] = {"name": "crc32c"}


@dataclass(frozen=True, slots=True)
class Passthrough:
    """How a stored array is served as it is. Tuples in served axis order, `axes` their names.

    `chunk`, `shard`: voxels of a chunk, and of a shard where there are any. `codecs`: of `zarr.json` (v3), complete
    with the sharding; `compressor`: of `.zarray` (v2). `fill_value` as it stands in JSON.
    """

    stored: StoredArray
    axes: tuple[str, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    codecs: tuple[Json, ...]
    compressor: Json | None
    fill_value: int | float | str
    _positions: tuple[int | None, ...]

    def key(self, position: tuple[int, ...]) -> str:
        """The key, below the array's source, of the object at a grid position in served axis order.

        Counted from the array's first voxel, along additional axes too, in steps of `shard` or else `chunk`.
        """
        stored, array = self.stored, self.stored.array
        indices = [0] * len(array.chunk)
        if stored.axes.c is not None and stored.channel_index is not None:
            indices[stored.axes.c] = stored.channel_index
        for axis, at in zip(self._positions, position, strict=True):
            if axis is not None:
                indices[axis] = at
        return object_key(stored, tuple(indices))


def fits(stored: StoredArray, dialect: Dialect) -> Passthrough | None:
    """How the array's chunks go out unchanged in a dialect, None where they have to be decoded."""
    array = stored.array
    if not isinstance(array, ZarrArray) or (array.big_endian and stored.item_bytes > 1):
        return None
    if array.boolean:
        # Whether a byte is a truth value is seen by decoding alone; for numbers any would do.
        return None
    axes, positions = _served(stored)
    encoded = _encoded(array)
    if encoded is None or not _lies_as_served(array, [axis for axis in positions if axis is not None], encoded[0]):
        return None
    chunk = _along(positions, array.chunk)
    shard = None if array.shard is None else _along(positions, array.shard)
    codecs: list[Json] | None = []
    compressor = None
    if dialect == "v2":
        compressor = _v2_compressor(encoded[1])
        if shard is not None or compressor == {}:
            return None
    else:
        codecs = _v3_codecs(array, encoded[1], stored.item_bytes)
        if codecs is None:
            return None
        if shard is not None:
            inner = {
                "chunk_shape": list(chunk),
                "codecs": codecs,
                "index_codecs": [_LITTLE, _CRC],
                "index_location": "end",
            }
            codecs = [{"name": "sharding_indexed", "configuration": inner}]
    return Passthrough(
        stored=stored,
        axes=axes,
        chunk=chunk,
        shard=shard,
        codecs=tuple(codecs or ()),
        compressor=compressor,
        fill_value=json_fill(stored.fill_value),
        _positions=positions,
    )


def _lies_as_served(array: ZarrArray, served: list[int], memory: list[int]) -> bool:
    """Whether chunks (and the chunks of a shard) come in the order of the `served` array axes.

    `memory`: the array axes of a decoded chunk from the slowest to the fastest.
    """
    outer = array.shard or array.chunk
    counts = tuple(length // part for length, part in zip(outer, array.chunk, strict=True))
    return (
        # What is not served must not take up room in a chunk; a channel chosen among several must have its own.
        all(outer[axis] == 1 for axis in range(len(outer)) if axis not in served)
        and _longer(memory, array.chunk) == _longer(served, array.chunk)
        # A shard's index is in C order of the array's own axes.
        and _longer(list(range(len(outer))), counts) == _longer(served, counts)
    )


def json_fill(value: float) -> int | float | str:
    """A fill value as both versions of Zarr write it in JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _served(stored: StoredArray) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """Names of the served axes, and the array axis of each (None: there is none, and it has one voxel)."""
    axes = stored.axes
    extra = [(axis.name, axis.index) for axis in stored.extra_axes]
    channel = [("c", axes.c)] if stored.channels > 1 else []
    served: list[tuple[str, int | None]] = [*extra, *channel, ("z", axes.z), ("y", axes.y), ("x", axes.x)]
    return tuple(name for name, _ in served), tuple(axis for _, axis in served)


def _encoded(array: ZarrArray) -> tuple[list[int], list[Json]] | None:
    """(array axes of a decoded chunk from the slowest to the fastest, what its bytes are packed by), None where a
    shard is not of the usual making. v2's compressor stands as it is, v3's codecs likewise."""
    rank = len(array.chunk)
    if array.version == 2:
        memory = list(range(rank)) if array.order == "C" else list(range(rank))[::-1]
        return memory, [] if array.compressor is None else [array.compressor]
    codecs = list(array.codecs)
    if array.shard is not None:
        options = configuration(codecs[0])
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        usual = options.get("index_codecs") == index and options.get("index_location", "end") == "end"
        if not usual or len(codecs) > 1 or any(codec["name"] == "sharding_indexed" for codec in options["codecs"]):
            return None
        codecs = options["codecs"]
    memory = list(range(rank))
    for codec in codecs:
        if codec["name"] == "transpose":
            memory = [memory[axis] for axis in configuration(codec)["order"]]
    return memory, [codec for codec in codecs if codec["name"] not in ("transpose", "bytes")]


def _v3_codecs(array: ZarrArray, packed: list[Json], item_bytes: int) -> list[Json] | None:
    if array.version == 3:
        known = all(codec["name"] in _V3_CODECS and _is_read(codec["name"], configuration(codec)) for codec in packed)
        return [_LITTLE, *packed] if known else None
    codecs = [_v3_of(compressor, item_bytes) for compressor in packed]
    return [_LITTLE, *[codec for codec in codecs if codec is not None]] if None not in codecs else None


def _is_read(name: str, options: Json) -> bool:
    """Whether a codec is one that all clients have: of Blosc's own codecs some builds lack snappy."""
    return name != "blosc" or options.get("cname", "lz4") in _BLOSC


def _v3_of(compressor: Json, item_bytes: int) -> Json | None:
    match compressor["id"]:
        case "blosc" if _is_read("blosc", compressor):
            # Readers take codec and shuffle from each frame; here they only have to be well-formed.
            shuffle = compressor.get("shuffle", 1)
            automatic = "bitshuffle" if item_bytes == 1 else "shuffle"
            options = {
                "typesize": item_bytes,
                "cname": compressor.get("cname", "lz4"),
                "clevel": compressor.get("clevel", 5),
                "shuffle": _SHUFFLES.get(shuffle, automatic) if isinstance(shuffle, int) else automatic,
                "blocksize": compressor.get("blocksize", 0),
            }
            return {"name": "blosc", "configuration": options}
        case "gzip":
            return {"name": "gzip", "configuration": {"level": compressor.get("level", 1)}}
        case "zstd":
            return {"name": "zstd", "configuration": {"level": compressor.get("level", 0), "checksum": False}}
        case _:
            return None


def _v2_compressor(packed: list[Json]) -> Json | None:
    """v2's compressor; None where chunks are not packed, {} where v2 has no word for it."""
    if not packed:
        return None
    (first, *rest) = packed
    if rest:
        return {}
    if "id" in first:
        return first if first["id"] in _V2_CODECS and _is_read(first["id"], first) else {}
    options = configuration(first)
    match first["name"]:
        case "blosc" if _is_read("blosc", options):
            numbers = {name: number for number, name in _SHUFFLES.items()}
            shuffle = numbers.get(options.get("shuffle", "noshuffle"), 0)
            kept: Json = {name: options[name] for name in ("cname", "clevel", "blocksize") if name in options}
            return {"id": "blosc", "cname": "lz4", "clevel": 5, "blocksize": 0, **kept, "shuffle": shuffle}
        case "gzip" | "zstd":
            return {"id": first["name"], "level": options.get("level", 1)}
        case _:
            return {}


def _longer(axes: list[int], lengths: tuple[int, ...]) -> list[int]:
    """Those axes along which there is more than one."""
    return [axis for axis in axes if lengths[axis] > 1]


def _along(positions: tuple[int | None, ...], lengths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis is None else lengths[axis] for axis in positions)
