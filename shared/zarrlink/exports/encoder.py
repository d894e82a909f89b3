"""Tiles and strips as a TIFF stores them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.exports.request import LAYOUT_VERSION, Compression

isal_zlib: Any = None
# Without it deflate is seven times slower, and as right.
with suppress(ImportError):
    isal_zlib = import_module("isal.isal_zlib")

# isal's level 1 is smaller than zlib's on microscopy, 0 larger than nothing at all.
_LEVEL: Final = 1
_ZSTD_LEVEL: Final = 1


def encoder_version(compression: Compression) -> str:
    """What encodes here, as it stands in an export's spec: other versions may give other bytes for the same pixels."""
    if compression == "deflate":
        return f"{LAYOUT_VERSION} {'zlib ' + zlib.ZLIB_RUNTIME_VERSION if isal_zlib is None else 'isal ' + _isal()}"
    if compression == "zstd":
        from importlib.metadata import version

        return f"{LAYOUT_VERSION} numcodecs {version('numcodecs')}"
    return LAYOUT_VERSION


def _isal() -> str:
    from importlib.metadata import version

    return version("isal")


def compressor(compression: Compression) -> Callable[[Any], bytes]:
    """From a contiguous array or bytes to a stream."""
    if compression == "none":
        return bytes
    if compression == "zstd":
        from numcodecs import zstd

        return lambda data: bytes(zstd.compress(data, _ZSTD_LEVEL))
    if isal_zlib is None:
        return lambda data: zlib.compress(data, _LEVEL)
    pack = isal_zlib.compress
    return lambda data: bytes(pack(data, _LEVEL))


class TileEncoder:
    """Encodes tiles of one size and type. Safe for several threads."""

    def __init__(
        self, side: int, samples: int, dtype: np.dtype[Any], compression: Compression, *, predictor: bool
    ) -> None:
        self._shape = (side, side, samples)
        self._dtype = dtype
        self._pack = compressor(compression)
        self._predictor = predictor

    def encode(self, pixels: NDArray[Any]) -> bytes:
        """The stream of a tile, of which `pixels`, shape (y, x, s), are what lies within the picture.

        What is in the rest is nobody's business. Empty where all bits are zero: such a tile is not stored.
        """
        # Bits, not values: -0.0 is no zero to whoever compares files.
        whole = pixels.shape == self._shape
        if self._predictor:
            tile = np.empty(self._shape, self._dtype) if whole else np.zeros(self._shape, self._dtype)
            height, width = pixels.shape[:2]
            tile[:height, 0] = pixels[:, 0]
            # TIFF 6.0, section 14: each sample less the one to its left, which wraps around.
            np.subtract(pixels[:, 1:], pixels[:, :-1], out=tile[:height, 1:width])
        elif whole:
            tile = np.ascontiguousarray(pixels)
        else:
            tile = np.zeros(self._shape, self._dtype)
            tile[: pixels.shape[0], : pixels.shape[1]] = pixels
        raw = tile.reshape(-1).view(np.uint8)
        return self._pack(raw) if raw.any() else b""

    def blank(self) -> bytes:
        """The stream of a tile of zeros, which all that are not stored share."""
        return self._pack(np.zeros(self._shape, self._dtype).reshape(-1).view(np.uint8))
