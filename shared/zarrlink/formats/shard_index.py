"""The index at the end of a Zarr v3 shard (`sharding_indexed`, index codecs `bytes` little-endian and `crc32c`)."""

from __future__ import annotations

import struct
from typing import Final

import google_crc32c

from zarrlink.errors import CorruptFile

ABSENT: Final = (2**64 - 1, 2**64 - 1)


def index_bytes(chunks: int) -> int:
    """Length of the index of a shard of that many inner chunks."""
    return 16 * chunks + 4


def check_index(index: bytes | memoryview, *, key: str = "") -> None:
    """Raises CorruptFile where the bytes are not those that the checksum at their end was made from."""
    if google_crc32c.value(bytes(index[:-4])) != int.from_bytes(index[-4:], "little"):
        raise CorruptFile("the index of a shard is damaged, or the shard cut short", key=key)


def encode_index(places: list[tuple[int, int]]) -> bytes:
    """The index from (offset, length) of each inner chunk in C order of the shard's grid; ABSENT where there is none."""
    body = struct.pack(f"<{2 * len(places)}Q", *[number for place in places for number in place])
    return body + struct.pack("<I", google_crc32c.value(body))
