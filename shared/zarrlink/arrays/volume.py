"""The `Volume` protocol."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from zarrlink.geometry import Vec3


class Volume(Protocol):
    """One mag of a layer as voxels."""

    async def read(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> NDArray[Any]:
        """Voxels [start, end), (x, y, z) in this mag's own voxels counted from WKW voxel 0; shape (c, z, y, x).

        `extra`: one coordinate for each additional axis. What lies outside of what is stored is fill value.
        Raises CorruptFile, SourceChanged, SourceUnavailable; never fills in for a failure.
        """
        ...
