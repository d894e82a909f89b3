"""What the `zarr.json` of a one-dimensional table says, as far as it is needed to read the table.

Source: Zarr v3 core and codec pages (bytes, crc32c, gzip, blosc, sharding_indexed 1.0; zstd of zarr-extensions).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from zarrlink.arrays.decoding import GZIP_STREAM, checked_crc32c, inflate, unblosc, unzstd
from zarrlink.arrays.table import MAX_CHUNK_BYTES, MAX_ENTRIES

COMPRESSORS: Final = frozenset(["gzip", "zstd", "blosc"])
DTYPES: Final = frozenset(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64))
# An index of 16 MiB: shards of a terabyte in chunks of 256 KB are far below.
MAX_CHUNKS_OF_SHARD: Final = 2**20
_INDEX_CODECS: Final = (["bytes"], ["bytes", "crc32c"])


class Unsupported(ValueError):
    """The table is stored in a way that is not read; the words say which."""


@dataclass(frozen=True, slots=True)
class Shards:
    """`chunks` inner chunks each. The index stands at the end, else at the start, `checked` by a crc32c."""

    chunks: int
    index_at_end: bool
    checked: bool

    @property
    def index_bytes(self) -> int:
        return 16 * self.chunks + (4 if self.checked else 0)


@dataclass(frozen=True, slots=True)
class TableForm:
    """`chunk_entries`: of the unit of compression. `codecs`: names after `bytes`, in the order of writing."""

    entries: int
    dtype: np.dtype[Any]
    chunk_entries: int
    codecs: tuple[str, ...]
    shards: Shards | None
    key_prefix: str

    @property
    def chunk_bytes(self) -> int:
        return self.chunk_entries * self.dtype.itemsize

    @property
    def chunks_per_object(self) -> int:
        return 1 if self.shards is None else self.shards.chunks

    @property
    def objects(self) -> int:
        return -(-self.entries // (self.chunk_entries * self.chunks_per_object))

    def decode(self, data: bytes) -> np.ndarray[Any, np.dtype[Any]]:
        """The entries of a stored chunk. Raises ValueError where it is damaged."""
        for position in reversed(range(len(self.codecs))):
            # At most one of them compresses, so what a codec has to make is known: a crc32c before it adds four bytes.
            expected = self.chunk_bytes + 4 * self.codecs[:position].count("crc32c")
            match self.codecs[position]:
                case "crc32c":
                    data = checked_crc32c(data)
                case "gzip":
                    data = inflate(data, expected, GZIP_STREAM)
                case "zstd":
                    data = unzstd(data, expected)
                case _:
                    data = unblosc(data, expected)
        if len(data) != self.chunk_bytes:
            raise ValueError("a chunk has the wrong length")
        return np.frombuffer(data, self.dtype)


def parse_table_form(data: bytes) -> TableForm:
    """Raises Unsupported for what is not read, ValueError where it is no metadata of an array."""
    try:
        document = json.loads(data)
        if document["zarr_format"] != 3 or document["node_type"] != "array":
            raise ValueError("it is not the metadata of a Zarr v3 array")
        return _form(document)
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("its metadata makes no sense") from error


def _form(document: dict[str, Any]) -> TableForm:
    grid, keys = document["chunk_grid"], document.get("chunk_key_encoding", {"name": "default"})
    if document["data_type"] not in DTYPES:
        raise Unsupported("it holds something else than whole numbers")
    if len(document["shape"]) != 1 or grid["name"] != "regular" or document.get("storage_transformers"):
        raise Unsupported("it is not a plain list of numbers")
    entries, chunk = _count(document["shape"][0], MAX_ENTRIES), _count(grid["configuration"]["chunk_shape"][0])
    codecs, shards, encoding = document["codecs"], None, "little"
    if codecs[0]["name"] == "sharding_indexed":
        if len(codecs) > 1:
            raise Unsupported("its shards are compressed as a whole")
        shards, codecs, chunk = _shards(codecs[0]["configuration"], chunk)
    if codecs[0]["name"] != "bytes":
        raise Unsupported(f"its first codec is {str(codecs[0]['name'])[:40]!r}")
    encoding = codecs[0].get("configuration", {}).get("endian", "little")
    names = tuple(codec["name"] for codec in codecs[1:])
    if not {*COMPRESSORS, "crc32c"}.issuperset(names) or sum(name in COMPRESSORS for name in names) > 1:
        raise Unsupported("it is compressed by other means than one of gzip, zstd and blosc")
    dtype = np.dtype(document["data_type"]).newbyteorder("<" if encoding == "little" else ">")
    if chunk * dtype.itemsize > MAX_CHUNK_BYTES:
        raise Unsupported(f"its chunks have {chunk} entries, too many to read for one segment")
    return TableForm(entries, dtype, chunk, names, shards, _key_prefix(keys))


def _shards(configuration: dict[str, Any], shard: int) -> tuple[Shards, list[dict[str, Any]], int]:
    chunk = _count(configuration["chunk_shape"][0])
    if shard % chunk or shard // chunk > MAX_CHUNKS_OF_SHARD or len(configuration["chunk_shape"]) != 1:
        raise ValueError("its shards do not consist of whole chunks")
    index_codecs = configuration["index_codecs"]
    names = [codec["name"] for codec in index_codecs]
    if names not in _INDEX_CODECS or index_codecs[0].get("configuration", {}).get("endian") != "little":
        raise Unsupported("the index of its shards has an unusual form")
    at_end = configuration.get("index_location", "end")
    if at_end not in ("start", "end"):
        raise ValueError("the index of its shards is nowhere")
    return Shards(shard // chunk, at_end == "end", len(names) == 2), configuration["codecs"], chunk


def _key_prefix(encoding: dict[str, Any]) -> str:
    """What stands before an object's number in its key."""
    separator = encoding.get("configuration", {}).get("separator", "/" if encoding["name"] == "default" else ".")
    if encoding["name"] not in ("default", "v2") or separator not in ("/", "."):
        raise Unsupported("its keys have an unusual form")
    return f"c{separator}" if encoding["name"] == "default" else ""


def _count(value: object, limit: int = MAX_ENTRIES) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
        raise ValueError("a length in its metadata makes no sense")
    return value
