"""The front of an OME-TIFF: header, every directory, OME-XML and one blank tile. Known once all units are done.

All directories in the first bytes let a remote reader have them with one ranged request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.errors import CorruptFile
from zarrlink.exports.provenance import CREATOR, image_description, pixel_um
from zarrlink.exports.results import UnitResult
from zarrlink.exports.tiff_part import tile_encoder
from zarrlink.exports.tiff_plan import TiffLevel, TiffPlan
from zarrlink.exports.walk import batches
from zarrlink.formats import tiff

_ALIGNED: Final = 16


@dataclass(frozen=True, slots=True)
class Tiles:
    """Where the tiles of a level lie, counted from the end of the front, and how long they are; shape (plane, tile).

    A length of 0 is the blank tile. uint64 and uint32.
    """

    offsets: NDArray[Any]
    lengths: NDArray[Any]


def find_tiles(plan: TiffPlan, results: Sequence[UnitResult]) -> list[Tiles]:
    """For each level, out of the units' results in their order. Raises CorruptFile for one of another plan."""
    depth, channels = plan.box.size[2], plan.form.planes
    shapes = [(channels, depth, level.tiles_y, level.tiles_x) for level in plan.levels]
    offsets = [np.zeros(shape, np.uint64) for shape in shapes]
    lengths = [np.zeros(shape, np.uint32) for shape in shapes]
    base = 0
    for result in results:
        ends = np.cumsum(result.numbers, dtype=np.uint64)
        starts = ends - result.numbers + np.uint64(base)
        at = 0
        for batch in batches(plan, plan.unit(result.unit)):
            (z0, z1), (y0, y1), (x0, x1) = batch.planes, batch.tiles_y, batch.tiles_x
            shape = (channels, z1 - z0, y1 - y0, x1 - x0)
            count = channels * (z1 - z0) * (y1 - y0) * (x1 - x0)
            if at + count > len(starts):
                raise CorruptFile("the result of a unit", expected=at + count, found=len(starts))
            offsets[batch.level][:, z0:z1, y0:y1, x0:x1] = starts[at : at + count].reshape(shape)
            lengths[batch.level][:, z0:z1, y0:y1, x0:x1] = result.numbers[at : at + count].reshape(shape)
            at += count
        if at != len(starts) or (at and int(ends[-1]) > result.receipt.part_bytes):
            raise CorruptFile("the result of a unit", expected=at, found=len(starts))
        base += result.receipt.part_bytes
    return [
        Tiles(level.reshape(depth * channels, -1), sizes.reshape(depth * channels, -1))
        for level, sizes in zip(offsets, lengths, strict=True)
    ]


class TiffFront:
    """The front of a file whose parts behind it have `parts_bytes` together; BigTIFF where classic TIFF ends.

    `least_bytes`: what it is padded to. `length`: with that.
    """

    def __init__(self, plan: TiffPlan, parts_bytes: int, least_bytes: int) -> None:
        self._plan = plan
        self._description = image_description(plan.spec, plan.box, plan.form)
        self._blank = tile_encoder(plan).blank()
        self.big = False
        self._lay_out(least_bytes)
        if self.length + parts_bytes > tiff.CLASSIC_BYTES:
            self.big = True
            self._lay_out(least_bytes)

    def _lay_out(self, least_bytes: int) -> None:
        big, levels = self.big, self._plan.levels
        zeros = [bytes(level.tiles_x * level.tiles_y * (8 if big else 4)) for level in levels]
        self._fixed = [self._facts(number, level) for number, level in enumerate(levels)]
        measured = [
            tiff.directory_bytes(self._fields(number, zero, zero[: len(zero) // (2 if big else 1)], [0] * (len(levels) - 1), first=False), big=big)
            for number, zero in enumerate(zeros)
        ]  # fmt: skip
        counts = zeros[0][: len(zeros[0]) // (2 if big else 1)]
        first = tiff.directory_bytes(self._fields(0, zeros[0], counts, [0] * (len(levels) - 1), first=True), big=big)
        self._begin = 16 if big else 8
        # From the main directory of a plane to those of its coarser levels, and to the next plane.
        self._steps = [sum(measured[:number]) for number in range(len(levels) + 1)]
        self._more = first - measured[0]
        self._blank_at = self._begin + self._more + self._steps[-1] * self._plan.planes
        end = self._blank_at + len(self._blank)
        self.length = max(end + -end % _ALIGNED, least_bytes)

    def pieces(self, tiles: Sequence[Tiles]) -> Iterator[bytes]:
        """Its bytes, a plane at a time."""
        big, steps, planes = self.big, self._steps, self._plan.planes
        yield tiff.file_header(self._begin, big=big)
        word = np.dtype("<u8" if big else "<u4")
        for plane in range(planes):
            # The first directory is longer, for its description.
            at = self._begin + plane * steps[-1] + (self._more if plane else 0)
            below = at + (0 if plane else self._more)
            places = [below + step for step in steps[1:-1]]
            for number, level in enumerate(tiles):
                stored = level.lengths[plane]
                offsets = level.offsets[plane] + np.uint64(self.length)
                if not stored.all():
                    offsets = np.where(stored, offsets, np.uint64(self._blank_at))
                    stored = np.where(stored, stored, np.uint32(len(self._blank)))
                fields = self._fields(number, offsets.astype(word).tobytes(), stored.tobytes(), places, first=not plane)
                following = at + (0 if plane else self._more) + steps[-1] if number == 0 and plane + 1 < planes else 0
                yield tiff.directory(fields, places[number - 1] if number else at, following, big=big)
        yield self._blank
        left = self.length - self._blank_at - len(self._blank)
        while left > 0:
            yield bytes(min(left, 2**20))
            left -= 2**20

    def _facts(self, number: int, level: TiffLevel) -> list[tiff.Field]:
        """What is the same in all directories of a level."""
        request, form = self._plan.spec.request, self._plan.form
        bits, samples = form.dtype.itemsize * 8, form.samples
        return [
            tiff.longs(tiff.NEW_SUBFILE_TYPE, tiff.REDUCED if number else 0),
            tiff.longs(tiff.IMAGE_WIDTH, level.width),
            tiff.longs(tiff.IMAGE_LENGTH, level.height),
            tiff.shorts(tiff.BITS_PER_SAMPLE, *[bits] * samples),
            tiff.shorts(tiff.COMPRESSION, tiff.COMPRESSIONS[request.compression]),
            tiff.shorts(tiff.PHOTOMETRIC, tiff.RGB if samples == 3 else tiff.BLACK_IS_ZERO),
            tiff.shorts(tiff.SAMPLES_PER_PIXEL, samples),
            *self._resolution(number),
            tiff.shorts(tiff.PLANAR_CONFIGURATION, 1),
            tiff.text(tiff.SOFTWARE, CREATOR),
            *([tiff.shorts(tiff.PREDICTOR, 2)] if form.predictor else []),
            tiff.longs(tiff.TILE_WIDTH, request.tile),
            tiff.longs(tiff.TILE_LENGTH, request.tile),
            tiff.shorts(tiff.SAMPLE_FORMAT, *[tiff.SAMPLE_FORMATS[form.dtype.kind]] * samples),
        ]

    def _resolution(self, number: int) -> list[tiff.Field]:
        size = pixel_um(self._plan.spec)
        if size is None:
            return [tiff.shorts(tiff.RESOLUTION_UNIT, tiff.NO_UNIT)]
        per_cm = [Fraction(10_000) / (length * 2**number) for length in size[:2]]
        return [
            tiff.rational(tiff.X_RESOLUTION, per_cm[0]),
            tiff.rational(tiff.Y_RESOLUTION, per_cm[1]),
            tiff.shorts(tiff.RESOLUTION_UNIT, tiff.CENTIMETRE),
        ]

    def _fields(
        self, number: int, offsets: bytes, counts: bytes, places: Sequence[int], *, first: bool
    ) -> list[tiff.Field]:
        fields = [
            *self._fixed[number],
            tiff.offsets(tiff.TILE_OFFSETS, offsets, big=self.big),
            tiff.Field(tiff.TILE_BYTE_COUNTS, tiff.LONG, len(counts) // 4, counts),
        ]
        if number == 0 and places:
            fields.append(tiff.directories(tiff.SUB_IFDS, places, big=self.big))
        if number == 0 and first:
            fields.append(tiff.text(tiff.IMAGE_DESCRIPTION, self._description))
        return sorted(fields, key=lambda field: field.tag)
