"""A layer as voxels, made from the chunks that readers get: for answers in another form than theirs."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

from zarrlink.answers import GET, Ask
from zarrlink.errors import CorruptFile, SourceChanged
from zarrlink.geometry import Vec3, vec3
from zarrlink.opening.opened import OpenLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ASK: Final = Ask(GET, "", check=False)


async def read_voxels(opened: OpenLayer, number: int, start: Vec3, end: Vec3) -> NDArray[Any]:
    """Voxels [start, end) of level `number`, shape (c, z, y, x), little-endian; of a layer without additional axes.

    `start`, `end`: (x, y, z) in the level's own voxels, within its box. Raises CorruptFile, SourceChanged,
    SourceUnavailable.
    """
    import numpy as np

    from zarrlink.decoded_chunks import DecodedChunks
    from zarrlink.proxied_chunks import ProxiedChunks

    chunks = opened.chunks("v2")[number]
    if isinstance(chunks, ProxiedChunks):
        chunks = chunks.decoded
    if isinstance(chunks, DecodedChunks):
        return await chunks.volume.read(start, end)
    layer, level = opened.layer, opened.layer.levels[number]
    dtype = np.dtype(layer.dtype).newbyteorder("<")
    out = np.zeros((layer.channels, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), dtype)
    spans = [
        range((a - at) // side, -(-(b - at) // side))
        for a, b, at, side in zip(start, end, level.origin, level.chunk, strict=True)
    ]
    changed: SourceChanged | CorruptFile | None = None
    for place in product(*spans):
        position = (*((0,) if layer.channel_axis else ()), *place[::-1])
        try:
            served = await chunks.answer(position, _ASK)
        except (SourceChanged, CorruptFile) as error:
            # Chunks of other files may have been replaced as well: a second try shall find each as it is now.
            changed = changed or error
            continue
        if served is None or served.data is None:
            continue
        voxels = _decoded(served.data, layer.channels, level.chunk, dtype)
        corner = [at + n * side for at, n, side in zip(level.origin, place, level.chunk, strict=True)]
        low = vec3([max(a, b) for a, b in zip(start, corner, strict=True)])
        high = vec3([min(a, b + side) for a, b, side in zip(end, corner, level.chunk, strict=True)])
        target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))[::-1]
        source = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, corner, strict=True))[::-1]
        out[:, *target] = voxels[:, *source]
    if changed is not None:
        raise changed
    return out


def _decoded(frame: bytes, channels: int, chunk: Vec3, dtype: Any) -> NDArray[Any]:
    """The voxels of a v2 chunk, shape (c, z, y, x)."""
    import numpy as np

    from zarrlink.arrays.decoding import unblosc

    shape = channels, *chunk[::-1]
    try:
        return np.frombuffer(unblosc(frame, int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)
    except ValueError as error:
        raise CorruptFile("a block cannot be decoded", key="") from error
