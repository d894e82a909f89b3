"""The `Volume` protocol: one mag of a layer as voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from zarrlink.geometry import Vec3

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Volume(Protocol):
    """One mag of a layer."""

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        """Voxels [start, end) as a C-ordered array of the shape (channels, z, y, x), little-endian.

        `start`, `end`: (x, y, z) in this mag's own voxels, counted from WKW voxel 0; they may lie outside of what is
        stored, below 0 as well. What is not stored is the fill value. `extra`: one coordinate for each additional axis,
        in the order of `StoredArray.extra_axes`. `channels`: first and end of those wanted, None for all.

        Raises CorruptFile, SourceUnavailable; never fills in for a failure.
        """
        ...
