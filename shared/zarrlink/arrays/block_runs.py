"""The blocks of a box, in runs that lie together in their file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from zarrlink.formats.wkw import WkwHeader, morton_index
from zarrlink.geometry import Vec3, vec3
from zarrlink.jump_tables import PAGE_BLOCKS

# What one request brings at most, decoded: enough that its latency does not count, little enough to have several.
_RUN_BYTES: Final = 4 * 2**20


class BlockRun(NamedTuple):
    """Blocks with the numbers `first`, `first` + 1, ... of a file. `places`: (x, y, z) of each, counted from voxel 0."""

    first: int
    places: list[Vec3]


class FileRuns(NamedTuple):
    """The runs of one file in the order of their numbers."""

    file_xyz: Vec3
    runs: list[BlockRun]


def file_boxes(header: WkwHeader, low: Vec3, high: Vec3) -> Iterator[Vec3]:
    """The files (x, y, z) that voxels [low, high) lie in."""
    side = header.block_side * header.file_side
    return (vec3(xyz[::-1]) for xyz in product(*_cells(low, high, side)))


def block_runs(header: WkwHeader, low: Vec3, high: Vec3) -> Iterator[FileRuns]:
    """Each block that voxels [low, high) touch, once; runs are no longer than one request should be.

    None crosses a page of the jump table.
    """
    longest = max(1, min(PAGE_BLOCKS, _RUN_BYTES // header.block_bytes))
    files = header.file_side
    first_block = [at // header.block_side for at in low]
    end_block = [-(-at // header.block_side) for at in high]
    for file_xyz in file_boxes(header, low, high):
        corner = [at * files for at in file_xyz]
        spans = [range(max(a, c), min(b, c + files)) for a, b, c in zip(first_block, end_block, corner, strict=True)]
        # The number of a block is the sum of what each axis adds to it.
        xs, ys, zs = (
            [(morton_index(*vec3([at - c if axis == n else 0 for n in range(3)])), at) for at in span]
            for axis, (span, c) in enumerate(zip(spans, corner, strict=True))
        )
        numbered = sorted((x[0] + y[0] + z[0], (x[1], y[1], z[1])) for z in zs for y in ys for x in xs)
        yield FileRuns(file_xyz, list(_runs(numbered, longest)))


def _runs(numbered: list[tuple[int, Vec3]], longest: int) -> Iterator[BlockRun]:
    run: BlockRun | None = None
    for number, place in numbered:
        if (
            run is not None
            and number == run.first + len(run.places)
            and number % PAGE_BLOCKS
            and len(run.places) < longest
        ):
            run.places.append(place)
            continue
        if run is not None:
            yield run
        run = BlockRun(number, [place])
    if run is not None:
        yield run


def _cells(low: Vec3, high: Vec3, side: int) -> list[range]:
    """Of a grid the cells along z, y and x; none where the box is empty."""
    return [range(a // side, -(-b // side)) if a < b else range(0) for a, b in zip(low[::-1], high[::-1], strict=True)]
