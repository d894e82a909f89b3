"""Metadata of the WEBKNOSSOS dialect: arrays (c, x, y, z) from voxel 0 in raw chunks of 32^3, in Zarr v2 and v3. Pure.

One array has the same chunks, by key and byte for byte, in both.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from zarrlink.formats.zarr_keys import Dialect
from zarrlink.formats.zarr_v2 import DTYPES, GROUP
from zarrlink.geometry import LENGTH_UNITS
from zarrlink.layer import Layer, Level

SIDE: Final = 32
# There is one: everybody who can sign in. The library asks for its name.
ORGANIZATION: Final = "zarrlink"
_AXES: Final = ("c", "x", "y", "z")
_LITTLE: Final = {"name": "bytes", "configuration": {"endian": "little"}}
Json = dict[str, Any]


def is_said(layer: Layer) -> bool:
    """Whether WEBKNOSSOS's library has words for a layer: one channel or red, green and blue, and no additional axis."""
    return not layer.leading and (layer.channels == 1 or (layer.channels, layer.dtype) == (3, "uint8"))


def array_documents(layer: Layer, level: Level, dialect: Dialect) -> dict[str, Json]:
    """The documents of a mag by their names."""
    shape, chunk = [layer.channels, *level.box_end], [layer.channels, SIDE, SIDE, SIDE]
    fill = 0.0 if layer.dtype.startswith("float") else 0
    if dialect == "v2":
        return {
            ".zarray": {
                "zarr_format": 2,
                "shape": shape,
                "chunks": chunk,
                "dtype": DTYPES[layer.dtype],
                "compressor": None,
                "fill_value": fill,
                "order": "F",
                "filters": None,
                "dimension_separator": ".",
            }
        }
    return {
        "zarr.json": {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": layer.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
            "fill_value": fill,
            "codecs": [{"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}, _LITTLE],
            "dimension_names": list(_AXES),
            "attributes": {},
        }
    }


def group_documents(layer: Layer, dialect: Dialect) -> dict[str, Json]:
    """The documents of a layer by their names: OME-NGFF 0.4 in v2, 0.5 in v3."""
    unit = layer.voxel_size.unit
    space = {"type": "space", "unit": unit} if unit in LENGTH_UNITS else {"type": "space"}
    multiscale = {
        "name": layer.name,
        "axes": [{"name": "c", "type": "channel"}, *({"name": name, **space} for name in _AXES[1:])],
        "datasets": [
            {
                "path": level.mag.literal,
                "coordinateTransformations": [
                    {
                        "type": "scale",
                        "scale": [
                            1.0,
                            *(a * b for a, b in zip(layer.voxel_size.factor, level.mag.xyz, strict=True)),
                        ],
                    }
                ],
            }
            for level in layer.levels
        ],
    }
    if dialect == "v2":
        return {".zgroup": GROUP, ".zattrs": {"multiscales": [{"version": "0.4", **multiscale}]}}
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}}


def data_source(name: str, layers: list[Layer], dialect: Dialect) -> Json:
    """The description of a dataset as its stream serves it, by layer and mag."""
    identity = {"name": name, "team": ORGANIZATION}
    if not layers:
        return {"id": identity, "status": "none of its layers can be read here"}
    size = layers[0].voxel_size
    unit = size.unit if size.unit in LENGTH_UNITS else "nanometer"
    return {
        "id": identity,
        "scale": {"factor": list(size.factor), "unit": unit},
        "dataLayers": [_layer(layer, dialect) for layer in layers],
    }


def _layer(layer: Layer, dialect: Dialect) -> Json:
    (x, y, z), (width, height, depth) = layer.box.top_left, layer.box.size
    return {
        "name": layer.name,
        "category": layer.category,
        "boundingBox": {"topLeft": [x, y, z], "width": width, "height": height, "depth": depth},
        "elementClass": "uint24" if layer.channels > 1 else layer.element_class,
        "numChannels": layer.channels,
        "dataFormat": "zarr" if dialect == "v2" else "zarr3",
        "mags": [
            {
                "mag": list(level.mag.xyz),
                # A part of an address, in which a name may hold what would end it or be decoded.
                "path": f"./{quote(layer.name, safe='')}/{level.mag.literal}",
                "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3},
            }
            for level in layer.levels
        ],
    }
