"""The `Volume` protocol: one mag of a layer as voxels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zarrlink.geometry import Vec3
from zarrlink.storage.interface import ByteSource

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StoredObject(NamedTuple):
    """An object by its key, in the source that knows it."""

    source: ByteSource
    key: str


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

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        """The stored objects behind voxels [start, end), always in the same order; some may never have been written.

        Those are left out of which no ETag can be had without reading them, and those that never change.
        """
        ...
