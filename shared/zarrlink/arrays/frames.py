"""From voxels to a chunk's bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zarrlink.formats import blosc1
from zarrlink.formats.lz4_block import encode_lz4
from zarrlink.geometry import Vec3


def chunk_frame(voxels: NDArray[Any], dtype: str, chunk: Vec3, offset: Vec3) -> bytes | None:
    """A Blosc frame of a chunk of `chunk` voxels (x, y, z) that holds `voxels`, shape (c, z, y, x), at `offset`.

    Zero elsewhere; None where all of it is zero, which is what an absent chunk reads as.
    """
    if not voxels.any() and not (voxels.dtype.kind == "f" and np.signbit(voxels).any()):
        return None
    x, y, z = offset
    channels, depth, height, width = voxels.shape
    little = np.dtype(dtype).newbyteorder("<")
    whole = voxels.astype(little, copy=False)
    if (width, height, depth) != chunk:
        whole = np.zeros((channels, *chunk[::-1]), little)
        whole[:, z : z + depth, y : y + height, x : x + width] = voxels
    raw = whole.tobytes()
    stream = encode_lz4(raw, high=False)
    if len(stream) >= len(raw):
        return blosc1.raw_frame_header(len(raw), little.itemsize) + raw
    return blosc1.lz4_frame_header(len(raw), little.itemsize, len(stream)) + stream
