"""One unit of a ZIP of TIFFs: whole planes, each a file of strips, as ImageJ opens them.

Planes of a layer are read together, in bands of rows, so that each stored chunk is read once; strips are put aside and
then copied file by file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

import numpy as np

from zarrlink.annotations.zip_writer import stored_header
from zarrlink.exports.encoder import compressor
from zarrlink.exports.pixels import Pixels
from zarrlink.exports.provenance import CREATOR, pixel_um
from zarrlink.exports.reading import ReadPixels
from zarrlink.exports.spill import Spill
from zarrlink.exports.stack_plan import StackPlan, StackUnit
from zarrlink.formats import tiff

NewSpill = Callable[[], Spill]


@dataclass(slots=True)
class _Strips:
    """Of one file: where each lies in what is put aside, and how long it is."""

    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


async def encode_stack_unit(
    plan: StackPlan,
    unit: StackUnit,
    read: ReadPixels,
    out: Spill,
    new_spill: NewSpill,
    *,
    check: Callable[[], None],
    least_bytes: int,
) -> list[tuple[int, int]]:
    """Write a unit's files to `out`, each behind its ZIP header; gives length and CRC-32 of each.

    The last is padded with zeros until the part has `least_bytes`, so that the ZIP has no gaps. A failed read ends the
    work: nothing is filled in.
    """
    told: list[tuple[int, int]] = []
    for layer in range(*unit.layers):
        first, end = plan.layers.start(layer), plan.layers.start(layer + 1)
        with new_spill() as aside:
            files = await _strips(plan, first, end, read, aside, check)
            for (z, channel), strips in files.items():
                check()
                last = layer + 1 == unit.layers[1] and (z, channel) == (end - 1, plan.form.planes - 1)
                least = least_bytes if last else 0
                told.append(await asyncio.to_thread(_file, plan, (z, channel), strips, aside, out, new_spill, least))
    return told


async def _strips(
    plan: StackPlan, first: int, end: int, read: ReadPixels, aside: Spill, check: Callable[[], None]
) -> dict[tuple[int, int], _Strips]:
    """Encode the planes [first, end) band by band."""
    pack, width = compressor(plan.spec.request.compression), plan.box.size[0]
    files = {(z, channel): _Strips() for z in range(first, end) for channel in range(plan.form.planes)}

    def encode(pixels: Pixels, *, last: bool) -> Pixels:
        """All whole strips; gives the rows that are left."""
        rows = pixels.shape[2]
        whole = rows if last else rows - rows % plan.strip
        for (z, channel), strips in files.items():
            for row in range(0, whole, plan.strip):
                stream = pack(np.ascontiguousarray(pixels[channel, z - first, row : min(row + plan.strip, whole)]).data)
                strips.offsets.append(aside.length)
                strips.lengths.append(len(stream))
                aside.write(stream)
        return pixels[:, :, whole:].copy()

    kept: Pixels | None = None
    for band in range(plan.band.count):
        check()
        pixels = await read((0, plan.band.start(band), first), (width, plan.band.start(band + 1), end))
        if kept is not None and kept.shape[2]:
            pixels = np.concatenate([kept, pixels], axis=2)
        kept = await asyncio.to_thread(encode, pixels, last=band + 1 == plan.band.count)
    return files


def _file(
    plan: StackPlan, which: tuple[int, int], strips: _Strips, aside: Spill, out: Spill, new_spill: NewSpill, least: int
) -> tuple[int, int]:
    """Copy one file behind its header; gives its length and CRC-32."""
    head = plane_head(plan, strips.lengths)
    name = plan.file_name(*which)
    with new_spill() as file:
        # Its checksum stands in front of it.
        file.write(head)
        for start, length in zip(strips.offsets, strips.lengths, strict=True):
            file.copy(aside, start, length)
        file.pad_to(least - out.length - len(stored_header(name, 0, 0)))
        out.write(stored_header(name, file.crc, file.length))
        out.copy(file)
        return file.length, file.crc


def plane_head(plan: StackPlan, lengths: list[int]) -> bytes:
    """Header and directory of a plane's TIFF, whose strips follow at once."""
    place = 8
    first = place + tiff.directory_bytes(_fields(plan, lengths, lengths), big=False)
    starts = [first + before for before in accumulate(lengths[:-1], initial=0)]
    return tiff.file_header(place, big=False) + tiff.directory(_fields(plan, starts, lengths), place, 0, big=False)


def _fields(plan: StackPlan, starts: list[int], lengths: list[int]) -> list[tiff.Field]:
    form, (width, height, _) = plan.form, plan.box.size
    bits, samples = form.dtype.itemsize * 8, form.samples
    size = pixel_um(plan.spec)
    # ImageJ: pixels per unit, and the unit by its own description ("ImageJ=" makes it look there).
    described, resolution = "ImageJ=1.53t\n", []
    if size is not None:
        described += f"unit=um\nspacing={float(size[2])!r}\n"
        resolution = [
            tiff.rational(tiff.X_RESOLUTION, 1 / Fraction(size[0])),
            tiff.rational(tiff.Y_RESOLUTION, 1 / Fraction(size[1])),
        ]
    return [
        tiff.longs(tiff.NEW_SUBFILE_TYPE, 0),
        tiff.longs(tiff.IMAGE_WIDTH, width),
        tiff.longs(tiff.IMAGE_LENGTH, height),
        tiff.shorts(tiff.BITS_PER_SAMPLE, *[bits] * samples),
        tiff.shorts(tiff.COMPRESSION, tiff.COMPRESSIONS[plan.spec.request.compression]),
        tiff.shorts(tiff.PHOTOMETRIC, tiff.RGB if samples == 3 else tiff.BLACK_IS_ZERO),
        tiff.text(tiff.IMAGE_DESCRIPTION, described),
        tiff.longs(tiff.STRIP_OFFSETS, *starts),
        tiff.shorts(tiff.SAMPLES_PER_PIXEL, samples),
        tiff.longs(tiff.ROWS_PER_STRIP, plan.strip),
        tiff.longs(tiff.STRIP_BYTE_COUNTS, *lengths),
        *resolution,
        tiff.shorts(tiff.PLANAR_CONFIGURATION, 1),
        tiff.shorts(tiff.RESOLUTION_UNIT, tiff.NO_UNIT),
        tiff.text(tiff.SOFTWARE, CREATOR),
        tiff.shorts(tiff.SAMPLE_FORMAT, *[tiff.SAMPLE_FORMATS[form.dtype.kind]] * samples),
    ]
