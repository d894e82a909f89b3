"""Datasets whose layers are stored as Zarr, N5 or Precomputed, on disk, with a door to them, and what must be seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from builders.door import Door, door_to
from builders.reading import fetch_level, read_level_twice
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, Vec3, vec3
from zarrlink.layer import Layer, Level
from zarrlink.links.service import LinkRequest
from zarrlink.storage.files import LocalFiles

Json = dict[str, Any]
Array = NDArray[Any]
ONE = Mag(1, 1, 1)
ELEMENT_CLASS = {"float32": "float", "float64": "double"}


def entry(
    name: str,
    data_format: str,
    dtype: str,
    size: Vec3,
    *,
    corner: Vec3 = (0, 0, 0),
    order: str | None = None,
    mags: Mapping[Mag, str] | None = None,
    **more: Any,
) -> Json:
    """A layer's entry in `dataLayers`. `order`: letters of the array's axes; `more`: keys of the entry besides, with
    `mag_facts` for each of its mags."""
    facts: Json = dict(more.pop("mag_facts", {}))
    if order is not None:
        facts["axisOrder"] = {axis: order.index(axis) for axis in "cxyz" if axis in order}
    folders = mags or {ONE: f"{name}/1"}
    return {
        "name": name,
        "category": "color",
        "boundingBox": {"topLeft": list(corner), "width": size[0], "height": size[1], "depth": size[2]},
        "elementClass": ELEMENT_CLASS.get(dtype, dtype),
        "dataFormat": data_format,
        "mags": [{"mag": list(mag.xyz), "path": folder, **facts} for mag, folder in folders.items()],
        **more,
    }


def describe(folder: Path, *layers: Json) -> Path:
    """Write the description of a dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = {"factor": [4.0, 5.0, 40.0], "unit": "nanometer"}
    document = {"version": 1, "id": {"name": "ds", "team": ""}, "scale": scale, "dataLayers": layers}
    (folder / FILE_NAME).write_text(json.dumps(document))
    return folder


def door_on(folder: Path, box: BoundingBox | None = None, finest: Mag | None = None, **options: Any) -> Door:
    """A door to a folder on disk, with a link to all of it that lies in `box`."""
    return door_to(LocalFiles(folder), wish=LinkRequest(box=box, finest=finest), **options)


def shown(layer: Layer, level: Level, stored: Array, *, offset: Vec3 = (0, 0, 0), fill: Any = 0) -> Array:
    """What a level must hold. `stored`: the mag's array in served axis order, its first voxel at `offset`."""
    out = np.zeros(layer.array_shape(level.shape), stored.dtype)
    out[_index(level.box_start, level.box_end, level.origin)] = fill
    low = [max(a, b) for a, b in zip(level.box_start, offset, strict=True)]
    ends = [corner + length for corner, length in zip(offset, stored.shape[:-4:-1], strict=True)]
    high = [min(a, b) for a, b in zip(level.box_end, ends, strict=True)]
    if all(a < b for a, b in zip(low, high, strict=True)):
        out[_index(vec3(low), vec3(high), level.origin)] = stored[_index(vec3(low), vec3(high), offset)]
    return out


def _index(start: Vec3, end: Vec3, origin: Vec3) -> tuple[Any, ...]:
    """A box (x, y, z) of an array whose last axes are z, y, x and begin at `origin`."""
    return (..., *[slice(a - o, b - o) for a, b, o in zip(start, end, origin, strict=True)][::-1])


def assert_served(
    door: Door, name: str, stored: Mapping[Mag, Array], *, offset: Vec3 = (0, 0, 0), fill: Any = 0
) -> None:
    """Every level in both dialects, by zarr-python and by tensorstore, bit by bit. Raises AssertionError."""
    layer = door.opened(name).layer
    assert {level.mag for level in layer.levels} <= set(stored)
    for number, level in enumerate(layer.levels):
        expected = shown(layer, level, stored[level.mag], offset=offset, fill=fill)
        for dialect in ("v2", "v3"):
            found = read_level_twice(door, name, dialect, number)
            assert found.dtype == expected.dtype.newbyteorder("<"), (dialect, number)
            np.testing.assert_array_equal(found, expected, err_msg=f"{dialect} level {number}")


def beyond(door: Door, name: str, dialect: Dialect, number: int = 0) -> Array:
    """A level with all that its chunks hold beyond its shape, as somebody reads it who changes the metadata."""
    objects = fetch_level(door, name, dialect, number)
    key = f"{number}/{'.zarray' if dialect == 'v2' else 'zarr.json'}"
    document = json.loads(objects.pop(key))
    chunk = document["chunks"] if dialect == "v2" else document["chunk_grid"]["configuration"]["chunk_shape"]
    document["shape"] = [-(-length // side) * side for length, side in zip(document["shape"], chunk, strict=True)]
    store = ts.KvStore.open("memory://").result()
    for path, data in {**objects, key: json.dumps(document).encode()}.items():
        store.write(path, data).result()
    driver = {"v2": "zarr", "v3": "zarr3"}[dialect]
    return np.asarray(ts.open({"driver": driver}, kvstore=store / f"{number}/", open=True).result().read().result())
