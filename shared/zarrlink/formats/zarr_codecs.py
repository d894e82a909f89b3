"""Codecs of Zarr v3 chunks that others wrote: checked, and turned into the one way of writing them down.

Source: Zarr core specification version 3, "Codecs", and the pages of `bytes`, `transpose`, `blosc`, `gzip`, `zstd`,
`crc32c` and `sharding_indexed`.
"""

from __future__ import annotations

import math
from typing import Any, Final

from zarrlink.errors import CorruptFile, UnsupportedLayer, brief
from zarrlink.formats.datasource_mags import MAX_AXES
from zarrlink.formats.json_values import whole_numbers
from zarrlink.geometry import MAX_COORDINATE

Json = dict[str, Any]

# The index of a shard is read whole: 16 bytes a chunk.
MAX_SHARD_CHUNKS: Final = 2**20
V3_CODECS: Final = ("bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed")


def configuration(codec: Json) -> Json:
    """What a codec of an accepted array says besides its name."""
    found = codec.get("configuration")
    return found if isinstance(found, dict) else {}


def read_codecs(
    value: object, outer: tuple[int, ...], what: str, key: str, depth: int = 0
) -> tuple[tuple[int, ...], bool, list[Json]]:
    """(what is decoded at once, whether numbers are big-endian, the codecs) of chunks of the shape `outer`.

    Shapes in the array's own axis order, also where shards are transposed before they are cut into chunks.
    """
    if not isinstance(value, list) or not value or len(value) > 16 or depth > 1:
        raise CorruptFile(f"{what} has no list of codecs that can be read", key=key)
    chunk, big_endian = outer, False
    # The array axis behind each axis of what the next codec is given.
    axes = list(range(len(outer)))
    codecs: list[Json] = []
    for name, options in [named(codec, what, key) for codec in value]:
        if name not in V3_CODECS:
            raise UnsupportedLayer(f"its Zarr chunks are encoded as {brief(name)}; read: {', '.join(V3_CODECS)}")
        if name == "bytes":
            big_endian = options.get("endian") == "big"
        if name == "transpose":
            order = options.get("order")
            if not isinstance(order, list) or _sorted_axes(order) != list(range(len(outer))):
                raise CorruptFile(f"{what} has a transpose that is no order of its axes", key=key)
            axes = [axes[axis] for axis in order]
        if name == "sharding_indexed":
            if any(codec["name"] != "transpose" for codec in codecs):
                raise CorruptFile(f"{what} has shards of what is encoded already", key=key)
            part = _part_shape(options, tuple(outer[axis] for axis in axes), what, key)
            part, big_endian, inner = read_codecs(options.get("codecs"), part, what, key, depth + 1)
            chunk = tuple(part[axes.index(axis)] for axis in range(len(outer)))
            codecs.append({"name": name, "configuration": {**options, "codecs": inner}})
            continue
        codecs.append({"name": name, "configuration": options} if options else {"name": name})
    return chunk, big_endian, codecs


def _part_shape(options: Json, shard: tuple[int, ...], what: str, key: str) -> tuple[int, ...]:
    """The shape of the chunks that a shard is cut into."""
    part = chunk_shape(options.get("chunk_shape"), what, key)
    if len(part) != len(shard) or any(whole % side for whole, side in zip(shard, part, strict=True)):
        raise CorruptFile(f"{what} has shards that are no whole number of chunks", key=key)
    if math.prod(whole // side for whole, side in zip(shard, part, strict=True)) > MAX_SHARD_CHUNKS:
        raise UnsupportedLayer(f"its Zarr shards have more than {MAX_SHARD_CHUNKS} chunks")
    return part


def named(value: object, what: str, key: str) -> tuple[str, Json]:
    """(name, configuration) of an extension point. A name alone stands for one without configuration."""
    if isinstance(value, str):
        return value, {}
    name = value.get("name") if isinstance(value, dict) else None
    options = value.get("configuration", {}) if isinstance(value, dict) else None
    if not isinstance(name, str) or not isinstance(options, dict):
        raise CorruptFile(f"{what} has a part without a name or configuration", key=key)
    return name, options


def chunk_shape(value: object, what: str, key: str) -> tuple[int, ...]:
    chunk = whole_numbers(value, least=1, most=MAX_COORDINATE, at_most=MAX_AXES)
    if chunk is None:
        raise CorruptFile(f"{what} has no chunk shape of 1 to {MAX_AXES} positive numbers", key=key)
    return chunk


def _sorted_axes(order: object) -> list[int] | None:
    """The numbers of a `transpose`, sorted; None where it has none."""
    found = whole_numbers(order, least=0, most=MAX_AXES, at_most=MAX_AXES)
    return None if found is None else sorted(found)
