"""The index at the end of a Zarr v3 shard (`sharding_indexed`, index codecs `bytes` little-endian and `crc32c`)."""

from __future__ import annotations

import struct
from typing import Final

import google_crc32c

ABSENT: Final = (2**64 - 1, 2**64 - 1)


def index_bytes(chunks: int) -> int:
    """Length of the index of a shard of that many inner chunks."""
    return 16 * chunks + 4


def encode_index(places: list[tuple[int, int]]) -> bytes:
    """The index from (offset, length) of each inner chunk in C order of the shard's grid; ABSENT where there is none."""
    body = struct.pack(f"<{2 * len(places)}Q", *[number for place in places for number in place])
    return body + struct.pack("<I", google_crc32c.value(body))
