"""WEBKNOSSOS's `datasource-properties.json`, old and new forms.

Source: webknossos-libs, docs/src/webknossos-py/spec/datasource_properties.md, and real files. Old forms: `scale` as
three nanometres, `wkwResolutions` with `resolution` (a number or three) and `cubeLength`, mags without `path`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from zarrlink.errors import InvalidRequest, ZarrlinkError, brief
from zarrlink.formats.agglomerates import Attachment, parse_attachments
from zarrlink.formats.datasource_mags import (
    MAX_MAGS,
    AxisOrder,
    ExtraAxis,
    MagDescription,
    parse_extra_axes,
    parse_mags,
    parse_mappings,
)
from zarrlink.formats.json_values import is_number, is_text, is_whole
from zarrlink.geometry import BoundingBox, VoxelSize, vec3

__all__ = [
    "DATA_FORMATS",
    "ELEMENT_CLASSES",
    "FILE_NAME",
    "MAX_BYTES",
    "MAX_LAYERS",
    "MAX_MAGS",
    "AxisOrder",
    "DatasetDescription",
    "ExtraAxis",
    "LayerDescription",
    "MagDescription",
    "check_layer_name",
    "is_text",
    "parse_description",
]

FILE_NAME: Final = "datasource-properties.json"
MAX_BYTES: Final = 16 * 2**20
MAX_LAYERS: Final = 1000
DATA_FORMATS: Final = ("wkw", "zarr", "zarr3", "n5", "neuroglancerPrecomputed")
# element class -> (name as in Zarr v3, channels that the class itself means)
ELEMENT_CLASSES: Final[dict[str, tuple[str, int]]] = {
    **{name: (name, 1) for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")},
    "uint24": ("uint8", 3),
    "float": ("float32", 1),
    "double": ("float64", 1),
}
# As some scripts write them.
_ALIASES: Final = {"float32": "float", "float64": "double"}


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """A layer as described; `channels` is None where the description does not say. `mags`: finest first.

    `data_format`: one of DATA_FORMATS. `extra_axes`: in the order of their array axes. `mappings`: names of mappings;
    `agglomerates`: mapping files. `transformed`: it has coordinateTransformations, which zarrlink does not apply.
    `notes`: sentences for whoever looks at the layer.
    """

    name: str
    category: Literal["color", "segmentation"]
    box: BoundingBox
    element_class: str
    data_format: str
    channels: int | None
    mags: tuple[MagDescription, ...]
    view: dict[str, Any]
    extra_axes: tuple[ExtraAxis, ...] = ()
    mappings: tuple[str, ...] = ()
    agglomerates: tuple[Attachment, ...] = ()
    largest_segment_id: int | None = None
    transformed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def dtype(self) -> str:
        return ELEMENT_CLASSES[self.element_class][0]


@dataclass(frozen=True, slots=True)
class DatasetDescription:
    """`unreadable`: layer name -> why that layer cannot be used; the others are fine."""

    name: str
    voxel_size: VoxelSize
    layers: tuple[LayerDescription, ...]
    unreadable: dict[str, str] = field(default_factory=dict)


def parse_description(data: bytes, *, name: str = "") -> DatasetDescription:
    """Parse a description. `name` stands in where it holds none. Raises InvalidRequest naming the field."""
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"{FILE_NAME} is larger than {MAX_BYTES} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{FILE_NAME} is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("dataLayers"), list):
        raise InvalidRequest(f"{FILE_NAME} has no list of dataLayers")
    if len(document["dataLayers"]) > MAX_LAYERS:
        raise InvalidRequest(f"{FILE_NAME} has more than {MAX_LAYERS} layers")
    identity = document.get("id")
    found = identity.get("name") if isinstance(identity, dict) else None
    layers: dict[str, LayerDescription] = {}
    unreadable: dict[str, str] = {}
    for position, entry in enumerate(document["dataLayers"]):
        label = entry.get("name") if isinstance(entry, dict) else None
        label = label if isinstance(label, str) and label else f"#{position + 1}"
        if label in layers or label in unreadable:
            # Two layers of one name would share one address: neither may be served.
            layers.pop(label, None)
            unreadable[label] = "its name is used twice"
            continue
        try:
            layers[label] = _layer(entry, label)
        except ZarrlinkError as error:
            unreadable[label] = str(error)
    return DatasetDescription(
        name=found if isinstance(found, str) and found else name,
        voxel_size=_voxel_size(document.get("scale")),
        layers=tuple(layers.values()),
        unreadable=unreadable,
    )


def check_layer_name(name: str) -> None:
    """A layer's name is one segment of an address. Raises InvalidRequest for one that cannot be."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not is_text(name) or len(name) > 255:
        raise InvalidRequest(f"{name[:40]!r} cannot be a layer name")


def _voxel_size(scale: object) -> VoxelSize:
    factor, unit = (scale.get("factor"), scale.get("unit")) if isinstance(scale, dict) else (scale, None)
    if not isinstance(factor, list) or len(factor) != 3 or not all(is_number(length) for length in factor):
        raise InvalidRequest(f"{FILE_NAME}: scale is neither three numbers nor an object with factor and unit")
    x, y, z = (float(length) if abs(length) < 1e300 else float("inf") for length in factor)
    return VoxelSize((x, y, z), unit if isinstance(unit, str) else "nanometer")


def _layer(entry: object, name: str) -> LayerDescription:
    if not isinstance(entry, dict):
        raise InvalidRequest("it is not an object")
    check_layer_name(name)
    category, element_class = entry.get("category", "color"), entry.get("elementClass")
    if category not in ("color", "segmentation"):
        raise InvalidRequest(f"its category is {brief(category)}, neither color nor segmentation")
    if isinstance(element_class, str):
        element_class = _ALIASES.get(element_class, element_class)
    if not isinstance(element_class, str) or element_class not in ELEMENT_CLASSES:
        raise InvalidRequest(f"its elementClass {brief(element_class)} is unknown; known: {', '.join(ELEMENT_CLASSES)}")
    channels = entry.get("numChannels")
    if channels is None and ELEMENT_CLASSES[element_class][1] > 1:
        channels = ELEMENT_CLASSES[element_class][1]
    if channels is not None and (not is_whole(channels) or not 1 <= channels <= 255):
        raise InvalidRequest(f"its numChannels is {brief(channels)}, not a number from 1 to 255")
    view = entry.get("defaultViewConfiguration")
    transformed = bool(entry.get("coordinateTransformations"))
    data_format = entry.get("dataFormat", "wkw")
    if data_format not in DATA_FORMATS:
        raise InvalidRequest(f"its dataFormat is {brief(data_format)}; known: {', '.join(DATA_FORMATS)}")
    mags = parse_mags(entry, name)
    if not mags:
        raise InvalidRequest("it has no mags")
    return LayerDescription(
        name=name,
        category=category,
        box=_box(entry.get("boundingBox")),
        element_class=element_class,
        data_format=data_format,
        channels=channels,
        mags=mags,
        view=view if isinstance(view, dict) else {},
        extra_axes=parse_extra_axes(entry.get("additionalAxes")),
        mappings=parse_mappings(entry),
        agglomerates=parse_attachments(entry.get("attachments")),
        largest_segment_id=_segment_id(entry.get("largestSegmentId")),
        transformed=transformed,
        notes=("its coordinateTransformations are not applied",) if transformed else (),
    )


def _segment_id(value: object) -> int | None:
    return value if is_whole(value) and 0 <= value < 2**64 else None


def _box(entry: object) -> BoundingBox:
    if not isinstance(entry, dict):
        raise InvalidRequest("it has no boundingBox")
    corner = entry.get("topLeft")
    size = [entry.get(side) for side in ("width", "height", "depth")]
    if not isinstance(corner, list) or len(corner) != 3 or not all(is_whole(n) for n in [*corner, *size]):
        raise InvalidRequest("its boundingBox needs topLeft (three whole numbers), width, height and depth")
    return BoundingBox(vec3(corner), vec3([side for side in size if side is not None]))
