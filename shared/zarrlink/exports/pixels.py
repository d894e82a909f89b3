"""How the voxels of a layer become the pixels of a TIFF. Arrays of pixels have the shape (c, z, y, x, s).

`s` are the samples of a pixel: 3 for colour pictures, else 1. `c` are the other channels, each with planes of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.exports.request import ExportRequest, ExportSource

Pixels = NDArray[Any]
# OME (schema 2016-06, "PixelType") has no 64-bit integers, and Bio-Formats refuses them.
OME_TYPES: Final = {
    **{name: name for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32")},
    "float32": "float",
    "float64": "double",
}
_SUMS: Final = {"uint8": "u2", "int8": "i2", "uint16": "u4", "int16": "i4", "uint32": "u8", "int32": "i8"}
_NARROW: Final = {"uint64": "uint32", "int64": "int32"}


@dataclass(frozen=True, slots=True)
class PixelForm:
    """`dtype` of a sample as it is written, little-endian; `planes`: how many channels have planes of their own.

    `ome_type`: the word of OME, None where it has none. `renumbered`: ids are replaced by those of a table first.
    """

    stored: str
    dtype: np.dtype[Any]
    planes: int
    samples: int
    ome_type: str | None
    mean: bool
    predictor: bool
    renumbered: bool

    @property
    def voxel_bytes(self) -> int:
        """Of all channels of a voxel."""
        return self.dtype.itemsize * self.planes * self.samples

    @property
    def read_bytes(self) -> int:
        """The most that a voxel takes on its way from the store to the file, of all channels."""
        return max(np.dtype(self.stored).itemsize, self.dtype.itemsize) * self.planes * self.samples

    def take(self, voxels: NDArray[Any]) -> Pixels:
        """Pixels of voxels of the shape (channels, z, y, x). Raises InvalidRequest for a number that does not fit."""
        if voxels.dtype != self.dtype and not self.renumbered and voxels.dtype.itemsize > self.dtype.itemsize:
            known = np.iinfo(self.dtype)
            if voxels.size and (int(voxels.max()) > known.max or int(voxels.min()) < known.min):
                raise InvalidRequest(
                    f"the box holds 64-bit numbers that do not fit {known.bits} bits: choose renumber for 'wide',"
                    " or keep for a TIFF that few programs read"
                )
        wanted = voxels.astype(self.dtype, copy=False)
        if self.samples == 1:
            return wanted[..., None]
        return np.ascontiguousarray(np.moveaxis(wanted, 0, -1))[None]


def pixel_form(source: ExportSource, request: ExportRequest) -> PixelForm:
    """Raises UnsupportedLayer for a type that no TIFF holds."""
    stored = np.dtype(source.dtype)
    if stored.kind not in "uif" or stored.itemsize not in (1, 2, 4, 8) or stored.name == "float16":
        raise UnsupportedLayer(f"layer {source.layer!r}: {stored.name} is no type of a TIFF's samples")
    name = stored.name
    renumbered = name in _NARROW and request.wide == "renumber"
    if renumbered:
        name = "uint32"
    elif request.wide != "keep":
        name = "uint32" if name == "int64" and source.is_labels else _NARROW.get(name, name)
    # ImageJ takes 8 bits for unsigned, whatever the file says.
    if request.kind == "tiff_stack" and name == "int8":
        name = "int16"
    dtype = np.dtype(name).newbyteorder("<")
    colour = source.is_rgb and source.channels == 3 and name == "uint8"
    return PixelForm(
        stored=stored.name,
        dtype=dtype,
        planes=1 if colour else source.channels,
        samples=3 if colour else 1,
        ome_type=OME_TYPES.get(name),
        mean=not source.is_labels,
        # ImageJ shows wrong pixels where strips have a predictor, without a word; nobody has one for floats or 64 bits.
        predictor=request.kind == "ome_tiff"
        and dtype.kind in "ui"
        and dtype.itemsize < 8
        and request.compression != "none",
        renumbered=renumbered,
    )


def halve(pixels: Pixels, *, mean: bool) -> Pixels:
    """The next level of a pyramid: 2 x 2 pixels of each plane become their mean, or the one at their corner.

    Sides are rounded up; where there is no second row or column, the last one counts twice. Means of integers are
    rounded half up.
    """
    if not mean:
        return np.ascontiguousarray(pixels[:, :, ::2, ::2])
    channels, depth, height, width, samples = pixels.shape
    out = np.empty((channels, depth, -(-height // 2), -(-width // 2), samples), pixels.dtype)
    wide = _SUMS.get(pixels.dtype.name, pixels.dtype.name)
    # Plane by plane, so that what lies between fits the processor's cache.
    for source, target in zip(pixels.reshape(-1, height, width, samples), out.reshape(-1, *out.shape[2:]), strict=True):
        last = source[-1:] if height % 2 else source[:0]
        upper, lower = source[::2], np.concatenate([source[1::2], last]) if height % 2 else source[1::2]
        rows = np.add(upper, lower, dtype=wide)
        right = rows[:, 1::2]
        if width % 2:
            right = np.concatenate([right, rows[:, -1:]], axis=1)
        total = rows[:, ::2] + right
        if pixels.dtype.kind == "f":
            np.multiply(total, 0.25, out=target, casting="unsafe")
        else:
            total += 2
            np.right_shift(total, 2, out=target, casting="unsafe")
    return out
