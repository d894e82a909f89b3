"""In which shard a chunk of a sharded Precomputed scale lies.

Source: neuroglancer, src/datasource/precomputed/sharded.md.
"""

from __future__ import annotations

from typing import Any, Final

from zarrlink.formats.source_precomputed import PrecomputedScale
from zarrlink.geometry import Vec3

_MASK_32: Final = 2**32 - 1
_MASK_64: Final = 2**64 - 1


def shard_key(scale: PrecomputedScale, position: Vec3) -> str:
    """The key, below the volume, of the shard with the chunk at `position` of a scale that tensorstore has opened."""
    sharding: dict[str, Any] = scale.document["sharding"]
    number = _compressed_morton(scale, position) >> sharding["preshift_bits"]
    if sharding["hash"] != "identity":
        number = _murmur3_x86_128(number)
    shard = (number >> sharding["minishard_bits"]) & ((1 << sharding["shard_bits"]) - 1)
    digits = -(-sharding["shard_bits"] // 4)
    return f"{scale.key}/{format(shard, 'x').rjust(digits, '0')}.shard"


def _compressed_morton(scale: PrecomputedScale, position: Vec3) -> int:
    """Bits of x, y, z in turn, of each axis as many as its grid needs."""
    needed = [(-(-size // side) - 1).bit_length() for size, side in zip(scale.size, scale.chunk, strict=True)]
    code = place = 0
    for bit in range(max(needed)):
        for at, bits in zip(position, needed, strict=True):
            if bit < bits:
                code |= (at >> bit & 1) << place
                place += 1
    return code


def _murmur3_x86_128(number: int) -> int:
    """The first 64 bits of MurmurHash3_x86_128 of a number's eight bytes, seed 0."""
    number &= _MASK_64
    low = _rotated(number * 0x239B961B, 15) * 0xAB0E9789 & _MASK_32
    high = _rotated((number >> 32) * 0xAB0E9789, 16) * 0x38B34AE5 & _MASK_32
    state = [low ^ 8, high ^ 8, 8, 8]
    state = [_finished(word) for word in _summed(state)]
    first, second, *_ = _summed(state)
    return first | second << 32


def _summed(state: list[int]) -> list[int]:
    first = sum(state) & _MASK_32
    return [first, *((word + first) & _MASK_32 for word in state[1:])]


def _rotated(word: int, bits: int) -> int:
    word &= _MASK_32
    return (word << bits | word >> 32 - bits) & _MASK_32


def _finished(word: int) -> int:
    word = (word ^ word >> 16) * 0x85EBCA6B & _MASK_32
    word = (word ^ word >> 13) * 0xC2B2AE35 & _MASK_32
    return word ^ word >> 16
