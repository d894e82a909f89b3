"""Layers over foreign arrays, opened as the product opens them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from zarrlink.arrays.foreign import OpenArray, Stores, open_array
from zarrlink.formats.datasource import AxisOrder, ExtraAxis, LayerDescription, MagDescription
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink.storage.files import LocalFiles

ONE = Mag(1, 1, 1)
_CLASS = {"float32": "float", "float64": "double"}


def layer(
    data_format: str,
    dtype: str = "uint8",
    *,
    folder: str = "a/1",
    address: str | None = None,
    order: str | None = None,
    channels: int | None = None,
    channel_index: int | None = None,
    extra: tuple[ExtraAxis, ...] = (),
    element_class: str | None = None,
) -> LayerDescription:
    """`order`: the letters of the array's axes; those besides c, x, y, z are nothing here."""
    axes = None
    if order is not None:
        places = {name: place for place, name in enumerate(order)}
        axes = AxisOrder(places.get("c"), places["x"], places["y"], places.get("z"))
    mag = MagDescription(ONE, () if address else (folder,), address, axes, channel_index)
    return LayerDescription(
        name="a",
        category="color",
        box=BoundingBox((0, 0, 0), (100, 100, 100)),
        element_class=element_class or _CLASS.get(dtype, dtype),
        data_format=data_format,
        channels=channels,
        mags=(mag,),
        view={},
        extra_axes=extra,
    )


def opened(root: Path, described: LayerDescription, stores: Stores | None = None) -> OpenArray:
    """The first mag of a layer of a local dataset."""
    found = asyncio.run(
        open_array(LocalFiles(root), str(root), described, described.mags[0], stores or Stores(reads_at_once=2))
    )
    if found is None:
        raise AssertionError("the mag was not found")
    return found


def read(array: OpenArray, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Any:
    return asyncio.run(array.volume.read(start, end, extra))
