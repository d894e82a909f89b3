"""What a reader makes of an answer, written from the specifications and with numcodecs alone: nothing of zarrlink's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import google_crc32c
import numcodecs

ABSENT = 2**64 - 1
_BLOSC = numcodecs.Blosc()


class Refused(Exception):
    """What every reader refuses: it raises, and nobody sees a voxel."""


@dataclass(frozen=True, slots=True)
class Form:
    """How an array's objects are read. `inner`: chunks in a shard, 0 where objects are chunks; `blosc`: frames of Blosc.

    `chunk_bytes`: of a decoded chunk.
    """

    inner: int
    chunk_bytes: int
    blosc: bool = True

    @property
    def index_bytes(self) -> int:
        return 16 * self.inner + 4


def decode(data: bytes, form: Form) -> bytes:
    """The voxels of a chunk. Raises Refused."""
    if not form.blosc:
        return data
    if len(data) < 16 or int.from_bytes(data[12:16], "little") != len(data):
        # A frame of another length than its own header says: a flipped jump table, read by somebody with the index of a
        # sound one. tensorstore looks, numcodecs does not: docs/security.md has it among the limits.
        raise Refused
    try:
        voxels = bytes(_BLOSC.decode(data))
    except (RuntimeError, ValueError) as error:
        raise Refused from error
    if len(voxels) != form.chunk_bytes:
        raise Refused
    return voxels


def shard_index(tail: bytes, form: Form) -> list[tuple[int, int]]:
    """(offset, length) of each inner chunk. Raises Refused."""
    if len(tail) != form.index_bytes or google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
        raise Refused
    numbers = struct.unpack(f"<{2 * form.inner}Q", tail[:-4])
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def voxels_of(data: bytes | None, form: Form) -> tuple[bytes | None, ...]:
    """What a whole object shows, chunk by chunk: None where there is fill value. Raises Refused for a shard's index.

    A chunk that cannot be decoded is b"": readers raise.
    """
    if data is None:
        return (None,) * max(1, form.inner)
    if not form.inner:
        return (_or_nothing(data, form),)
    shown: list[bytes | None] = []
    for offset, length in shard_index(data[-form.index_bytes :], form):
        shown.append(None if offset == ABSENT else _or_nothing(data[offset : offset + length], form))
    return tuple(shown)


def _or_nothing(data: bytes, form: Form) -> bytes:
    try:
        return decode(data, form)
    except Refused:
        return b""
