"""Tiles and strips as a TIFF stores them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import deflate
import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from zarrlink.exports.request import LAYOUT_VERSION, Compression

# libdeflate's fastest. isal is several times faster, but the same tile does not always give the same bytes by it
# (docs/decisions/0021), and then neither does the same export.
_LEVEL: Final = 1
_ZSTD_LEVEL: Final = 1
_MOST_MEMORY: Final = 9
# Places that tell by what a stream is packed, and of each two pieces, a 2048th of the stream or this many bytes; how much
# shorter libdeflate must make all these to be worth its time; and packed by runs to which of their length they tell nothing,
# since there is nearly nothing in them.
_PLACES: Final = 16
_PIECE_SHARE: Final = 2048
_LEAST_PIECE: Final = 32
_WORTH: Final = 0.95
_TELLING: Final = 0.25


def encoder_version(compression: Compression) -> str:
    """What encodes here, as it stands in an export's spec: other versions may give other bytes for the same pixels."""
    if compression == "deflate":
        return f"{LAYOUT_VERSION} libdeflate {version('deflate')} zlib-ng {version('zlib-ng')}"
    if compression == "zstd":
        return f"{LAYOUT_VERSION} numcodecs {version('numcodecs')}"
    return LAYOUT_VERSION


def compressor(compression: Compression) -> Callable[[Any], bytes]:
    """From a contiguous array, whose first axis is that of its rows, or bytes to a stream."""
    if compression == "none":
        return bytes
    if compression == "zstd":
        from numcodecs import zstd

        return lambda data: bytes(zstd.compress(data, _ZSTD_LEVEL))
    return _deflated


def _deflated(data: Any) -> bytes:
    """A zlib stream, by what suits the data: of which some pieces are packed both ways first.

    Noise, as nearly all microscopy is, holds no repetitions worth a search: looking for runs alone packs it twice as fast, and
    no longer. Segment ids repeat themselves, and of what is blank where we looked nothing is known.
    """
    view = memoryview(data)
    probe = _probe(view.cast("B"), view.strides[0] if view.strides and view.ndim > 1 else None)
    runs = len(_runs(probe))
    if runs < _TELLING * len(probe) or len(deflate.zlib_compress(probe, _LEVEL)) < _WORTH * runs:
        return bytes(deflate.zlib_compress(view, _LEVEL))
    return _runs(view)


def _probe(view: memoryview, row: int | None) -> bytes:
    """Pieces from all over it, each with the one below it, `row` bytes on; None for the one behind it.

    Unevenly spaced: what recurs must not be met at the same place each time.
    """
    step = len(view) // _PLACES
    piece = max(len(view) // _PIECE_SHARE, _LEAST_PIECE)
    starts = [at * step + at * 7 % _PLACES * step // _PLACES for at in range(_PLACES)]
    below = piece if row is None else row
    return b"".join(view[start : start + piece] for first in starts for start in (first, first + below))


def _runs(data: bytes | memoryview) -> bytes:
    """A zlib stream of runs and single bytes."""
    packer = zlib_ng.compressobj(1, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS, _MOST_MEMORY, zlib_ng.Z_RLE)
    return packer.compress(data) + packer.flush()


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
        raw = self._rows(tile)
        return self._pack(raw) if raw.any() else b""

    def blank(self) -> bytes:
        """The stream of a tile of zeros, which all that are not stored share."""
        return self._pack(self._rows(np.zeros(self._shape, self._dtype)))

    def _rows(self, tile: NDArray[Any]) -> NDArray[np.uint8]:
        """Its bytes, shape (y, bytes of a row)."""
        return tile.reshape(self._shape[0], -1).view(np.uint8)
