"""Writing one mag's block pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zarrlink.annotations.blocks import FoundMag
from zarrlink.annotations.manifest import PackedMag, mag_prefix
from zarrlink.annotations.sink import PackSink
from zarrlink.formats.block_pack import IndexBuilder, Kind, block_position
from zarrlink.geometry import BoundingBox, Vec3, vec3


def write_mag(
    sink: PackSink, volume_place: int, found: FoundMag, block_bytes: int, done: Callable[[int], None]
) -> PackedMag:
    """Both objects of a mag, its blocks read one at a time. `block_bytes`: length of a decoded one."""
    prefix = mag_prefix(volume_place, found.mag)
    index = IndexBuilder(found.block_side, block_bytes)
    extent = _Extent()

    def streams() -> Iterator[bytes]:
        for block in found.blocks(done):
            index.add(block.morton, block.kind, len(block.stream))
            if block.kind is not Kind.REVERTED:
                extent.add(block_position(block.morton))
            if block.stream:
                yield block.stream

    data_bytes = sink.write(prefix + ".blocks", streams())
    sink.write(prefix + ".index", index.chunks())
    return PackedMag(found.mag, prefix, index.header.entries, data_bytes, extent.box())


class _Extent:
    """The smallest box around some blocks."""

    def __init__(self) -> None:
        self._low: Vec3 | None = None
        self._high: Vec3 = (0, 0, 0)

    def add(self, position: Vec3) -> None:
        low, high = self._low or position, self._high
        self._low = vec3([min(a, b) for a, b in zip(low, position, strict=True)])
        self._high = vec3([max(a, b + 1) for a, b in zip(high, position, strict=True)])

    def box(self) -> BoundingBox | None:
        if self._low is None:
            return None
        return BoundingBox(self._low, vec3([end - start for start, end in zip(self._low, self._high, strict=True)]))
