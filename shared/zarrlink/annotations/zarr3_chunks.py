"""Decoding the chunks of volume annotations in Zarr v3, by the codecs that WEBKNOSSOS and its library write."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final, Literal

from zarrlink.annotations.blocks import REVERTED, FoundBlock, block_of_stream, block_of_voxels
from zarrlink.errors import CorruptFile, InvalidRequest, brief
from zarrlink.formats.blosc1 import FrameHeader, lz4_stream

Packing = Literal["none", "blosc", "gzip"]
# What a transpose codec may say: "F" and "C" are of an early draft. The first axis has one channel.
_X_FASTEST: Final = ("F", [3, 2, 1, 0], [0, 3, 2, 1])
_Z_FASTEST: Final = (None, "C", [0, 1, 2, 3])
_BLOSC_SLACK_BYTES: Final = 2**16


@dataclass(frozen=True, slots=True)
class ChunkForm:
    """How chunks of side^3 voxels are stored. `x_fastest`: else z is."""

    side: int
    item_bytes: int
    x_fastest: bool
    packing: Packing

    @property
    def chunk_bytes(self) -> int:
        """Length of a decoded chunk."""
        return self.side**3 * self.item_bytes

    @property
    def limit_bytes(self) -> int:
        """More than any stored chunk can need."""
        return self.chunk_bytes + self.chunk_bytes // 64 + _BLOSC_SLACK_BYTES

    def block(self, morton: int, data: bytes, *, key: str) -> FoundBlock:
        """The block of a stored chunk. Raises CorruptFile."""
        if data == REVERTED:
            return block_of_voxels(morton, data, self.chunk_bytes, key=key)
        if self.packing == "blosc":
            header = FrameHeader.from_bytes(data, key=key)
            # Before anything is decoded: this is how much the decoder will allocate.
            if header.nbytes not in (len(REVERTED), self.chunk_bytes):
                raise CorruptFile("a chunk has the wrong size", key=key, expected=self.chunk_bytes, found=header.nbytes)
            stream = lz4_stream(data) if self.x_fastest else None
            if stream is not None:
                return block_of_stream(morton, stream, self.chunk_bytes, key=key)
            voxels = _unblosc(data, key)
        elif self.packing == "gzip":
            voxels = _gunzip(data, self.chunk_bytes, key)
        else:
            voxels = data
        if not self.x_fastest and len(voxels) == self.chunk_bytes:
            voxels = _x_fastest(voxels, self.side, self.item_bytes)
        return block_of_voxels(morton, voxels, self.chunk_bytes, key=key)


def chunk_form(codecs: object, side: int, item_bytes: int, label: str) -> ChunkForm:
    """From the `codecs` of a `zarr.json`. Raises InvalidRequest, naming it, for a codec that is not known here."""
    order: object = None
    packing: Packing = "none"
    stage = 0
    for codec in codecs if isinstance(codecs, list) else [None]:
        name = codec.get("name") if isinstance(codec, dict) else codec
        settings: Any = codec.get("configuration", {}) if isinstance(codec, dict) else {}
        if not isinstance(settings, dict):
            raise InvalidRequest(f"{label} has a codec whose configuration is no object")
        if name == "transpose" and stage == 0:
            stage, order = 1, settings.get("order")
        elif name == "bytes" and stage <= 1:
            stage = 2
            if settings.get("endian", "little") != "little":
                raise InvalidRequest(f"{label} stores big-endian voxels, which are not accepted")
        elif name in ("blosc", "gzip") and stage == 2:
            stage, packing = 3, "blosc" if name == "blosc" else "gzip"
        else:
            raise InvalidRequest(f"{label} has the codec {brief(name)}, here or at all not accepted")
    if stage < 2 or (order not in _X_FASTEST and order not in _Z_FASTEST):
        raise InvalidRequest(f"{label} has codecs without 'bytes', or an order of axes that is not accepted")
    return ChunkForm(side, item_bytes, order in _X_FASTEST, packing)


def _unblosc(data: bytes, key: str) -> bytes:
    # Late: only uploads in this form need it.
    from numcodecs import Blosc

    try:
        return bytes(Blosc().decode(data))
    except (RuntimeError, ValueError) as error:
        raise CorruptFile("a Blosc frame cannot be decoded", key=key) from error


def _gunzip(data: bytes, limit_bytes: int, key: str) -> bytes:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        voxels = inflate.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise CorruptFile("a gzip stream cannot be decoded", key=key) from error
    if not inflate.eof or inflate.unused_data:
        raise CorruptFile("a gzip stream has the wrong size", key=key, expected=limit_bytes)
    return voxels


def _x_fastest(voxels: bytes, side: int, item_bytes: int) -> bytes:
    """Voxels with z fastest as voxels with x fastest."""
    import numpy as np

    return np.frombuffer(voxels, f"V{item_bytes}").reshape(side, side, side).transpose(2, 1, 0).tobytes()
