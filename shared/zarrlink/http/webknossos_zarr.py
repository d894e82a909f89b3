"""Datasets and annotations as WEBKNOSSOS streams them to its own library: Zarr v3 below /data, to whoever may read them.

Arrays (c, x, y, z) that begin at voxel 0, in raw chunks of 32^3: what `Dataset.open_remote` of the library reads. Links
serve the same voxels in fewer bytes. For one machine: a function on AWS has no route below /data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from numpy.typing import NDArray

from zarrlink.errors import CorruptFile, SourceChanged, UnknownKey, UnsupportedLayer
from zarrlink.geometry import Mag, vec3
from zarrlink.http.api_models import PROBLEM_ANSWERS
from zarrlink.http.found import StreamedAnnotation, StreamedDataset
from zarrlink.http.webknossos_api import data_source, is_said, open_layers
from zarrlink.layer import Layer, Level
from zarrlink.library import Library, Subject
from zarrlink.opening.opened import OpenLayer
from zarrlink.served_voxels import read_voxels

SIDE: Final = 32
_KEY: Final = re.compile(r"0\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})", re.ASCII)
_LITTLE: Final = {"name": "bytes", "configuration": {"endian": "little"}}
Json = dict[str, Any]


def create_zarr_routes(library: Library) -> APIRouter:
    """The routes, below /data."""
    routes = APIRouter(prefix="/data", responses=PROBLEM_ANSWERS)

    def dataset(subject: StreamedDataset) -> Subject:
        return subject

    def annotation(subject: StreamedAnnotation) -> Subject:
        return subject

    _add(routes, "/zarr/{dataset_id}", dataset, library)
    _add(routes, "/annotations/zarr/{annotation_id}", annotation, library)
    return routes


def _add(routes: APIRouter, prefix: str, find: Callable[..., Subject], library: Library) -> None:
    found = Depends(find)

    async def description(subject: Subject = found) -> Json:
        layers = [opened.layer for opened in (await open_layers(library, subject)).values()]
        name = subject.annotation.name if subject.annotation else subject.dataset.name if subject.dataset else ""
        return data_source(name, layers)

    async def array(layer: str, mag: str, subject: Subject = found) -> Json:
        opened = await _open(library, subject, layer)
        return _metadata(opened.layer, opened.layer.levels[_number(opened, mag)])

    async def chunk(layer: str, mag: str, key: str, subject: Subject = found) -> Response:
        place = _KEY.fullmatch(key)
        if place is None:
            raise UnknownKey("chunks are called 0.X.Y.Z")
        corner = [SIDE * int(index) for index in place.groups()]
        try:
            voxels = await _chunk(await _open(library, subject, layer), mag, corner)
        except (SourceChanged, CorruptFile):
            # As for the chunks of links: all is read anew, once.
            library.doubt(subject.view((layer,)), layer)
            voxels = await _chunk(await _open(library, subject, layer), mag, corner)
        if voxels is None:
            raise UnknownKey("there is nothing but fill value")
        return Response(voxels.tobytes(), media_type="application/octet-stream", headers={"cache-control": "no-store"})

    of_array = f"{prefix}/{{layer}}/{{mag}}"
    routes.get(f"{prefix}/datasource-properties.json", summary="What is streamed, in WEBKNOSSOS's words")(description)
    routes.get(f"{of_array}/zarr.json", summary="A mag of a layer as an array")(array)
    routes.get(f"{of_array}/{{key}}", summary="A chunk of it", response_class=Response)(chunk)


async def _open(library: Library, subject: Subject, name: str) -> OpenLayer:
    if name not in await library.layer_names(subject):
        raise UnknownKey(f"there is no layer {name!r}")
    opened = await library.layer(subject.view((name,)), name)
    if not is_said(opened.layer):
        raise UnsupportedLayer(f"layer {name!r} has channels or axes that WEBKNOSSOS has no words for")
    return opened


def _number(opened: OpenLayer, mag: str) -> int:
    wanted = Mag.parse(mag)
    for number, level in enumerate(opened.layer.levels):
        if level.mag == wanted:
            return number
    raise UnknownKey(f"layer {opened.layer.name!r} has no mag {wanted.literal}")


def _metadata(layer: Layer, level: Level) -> Json:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [layer.channels, *level.box_end],
        "data_type": layer.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [layer.channels, SIDE, SIDE, SIDE]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
        "fill_value": 0.0 if layer.dtype.startswith("float") else 0,
        "codecs": [{"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}, _LITTLE],
        "dimension_names": ["c", "x", "y", "z"],
        "attributes": {},
    }


async def _chunk(opened: OpenLayer, mag: str, corner: list[int]) -> NDArray[Any] | None:
    """The voxels of a chunk, shape (z, y, x, c), 0 outside of the layer's box; None where that is all of them."""
    number = _number(opened, mag)
    level = opened.layer.levels[number]
    low = vec3([max(at, first) for at, first in zip(corner, level.box_start, strict=True)])
    high = vec3([min(at + SIDE, end) for at, end in zip(corner, level.box_end, strict=True)])
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return None
    found = np.moveaxis(await read_voxels(opened, number, low, high), 0, -1)
    out = np.zeros((SIDE, SIDE, SIDE, opened.layer.channels), found.dtype)
    place = [slice(a - at, b - at) for a, b, at in zip(low, high, corner, strict=True)]
    out[tuple(place[::-1])] = found
    return out if out.any() else None
