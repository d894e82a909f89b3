"""WEBKNOSSOS's `datasource-properties.json`, old and new forms.

Source: webknossos-libs, docs/src/webknossos-py/spec/datasource_properties.md, and real files. Old forms: `scale` as
three nanometres, `wkwResolutions` with `resolution` (a number or three) and `cubeLength`, mags without `path`.
"""

from __future__ import annotations

import json
import posixpath
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from zarrlink.errors import InvalidRequest, ZarrlinkError, brief
from zarrlink.geometry import BoundingBox, Mag, VoxelSize, vec3

FILE_NAME: Final = "datasource-properties.json"
MAX_BYTES: Final = 16 * 2**20
MAX_LAYERS: Final = 1000
MAX_MAGS: Final = 64
# element class -> (name as in Zarr v3, channels that the class itself means)
ELEMENT_CLASSES: Final[dict[str, tuple[str, int]]] = {
    **{name: (name, 1) for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")},
    "uint24": ("uint8", 3),
    "float": ("float32", 1),
    "double": ("float64", 1),
}


@dataclass(frozen=True, slots=True)
class MagDescription:
    """A mag and the folders, relative to the dataset, in which it may lie (tried in this order)."""

    mag: Mag
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """A layer as described; `channels` is None where the description does not say. `mags`: finest first."""

    name: str
    category: Literal["color", "segmentation"]
    box: BoundingBox
    element_class: str
    data_format: str
    channels: int | None
    mags: tuple[MagDescription, ...]
    view: dict[str, Any]

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


def is_text(text: str) -> bool:
    """Whether it is made of letters, marks, signs and spaces: nothing that controls, hides or is half a character."""
    return all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in text)


def check_layer_name(name: str) -> None:
    """A layer's name is one segment of an address. Raises InvalidRequest for one that cannot be."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not is_text(name) or len(name) > 255:
        raise InvalidRequest(f"{name[:40]!r} cannot be a layer name")


def _voxel_size(scale: object) -> VoxelSize:
    factor, unit = (scale.get("factor"), scale.get("unit")) if isinstance(scale, dict) else (scale, None)
    if not isinstance(factor, list) or len(factor) != 3 or not all(_is_number(length) for length in factor):
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
    if not isinstance(element_class, str) or element_class not in ELEMENT_CLASSES:
        raise InvalidRequest(f"its elementClass {brief(element_class)} is unknown; known: {', '.join(ELEMENT_CLASSES)}")
    channels = entry.get("numChannels")
    if channels is None and ELEMENT_CLASSES[element_class][1] > 1:
        channels = ELEMENT_CLASSES[element_class][1]
    if channels is not None and (not _is_whole(channels) or not 1 <= channels <= 255):
        raise InvalidRequest(f"its numChannels is {brief(channels)}, not a number from 1 to 255")
    view = entry.get("defaultViewConfiguration")
    mags = _mags(entry, name)
    if not mags:
        raise InvalidRequest("it has no mags")
    return LayerDescription(
        name=name,
        category=category,
        box=_box(entry.get("boundingBox")),
        element_class=element_class,
        data_format=str(entry.get("dataFormat", "wkw")),
        channels=channels,
        mags=mags,
        view=view if isinstance(view, dict) else {},
    )


def _box(entry: object) -> BoundingBox:
    if not isinstance(entry, dict):
        raise InvalidRequest("it has no boundingBox")
    corner = entry.get("topLeft")
    size = [entry.get(side) for side in ("width", "height", "depth")]
    if not isinstance(corner, list) or len(corner) != 3 or not all(_is_whole(n) for n in [*corner, *size]):
        raise InvalidRequest("its boundingBox needs topLeft (three whole numbers), width, height and depth")
    return BoundingBox(vec3(corner), vec3([side for side in size if side is not None]))


def _mags(entry: dict[str, Any], name: str) -> tuple[MagDescription, ...]:
    """Finest first. Both lists may be there; `mags` counts."""
    items = entry.get("mags")
    if not isinstance(items, list):
        items = entry.get("wkwResolutions")
    if not isinstance(items, list) or len(items) > MAX_MAGS:
        raise InvalidRequest(f"it needs a list of at most {MAX_MAGS} mags")
    described: dict[Mag, MagDescription] = {}
    for item in items:
        literal = item.get("mag", item.get("resolution")) if isinstance(item, dict) else None
        sides = [literal] * 3 if _is_whole(literal) else literal
        if not isinstance(sides, list) or len(sides) != 3 or not all(_is_whole(side) for side in sides):
            raise InvalidRequest(f"a mag of it is {brief(literal)}, not a whole number or three")
        mag = Mag(*sides)
        if mag in described:
            raise InvalidRequest(f"mag {mag.literal} is listed twice")
        described[mag] = MagDescription(mag, _folders(item.get("path"), name, mag))
    return tuple(described[mag] for mag in sorted(described, key=lambda mag: (mag.x * mag.y * mag.z, mag)))


def _folders(path: object, name: str, mag: Mag) -> tuple[str, ...]:
    if path is None:
        return tuple(dict.fromkeys((f"{name}/{mag.literal}", f"{name}/{mag.dashed}")))
    if not isinstance(path, str) or not is_text(path):
        raise InvalidRequest(f"the path of mag {mag.literal} is not text")
    folder = posixpath.normpath(path)
    if "://" in path or folder.startswith("/") or folder.split("/")[0] == "..":
        raise InvalidRequest(f"mag {mag.literal} lies outside the dataset's folder, where zarrlink does not read")
    return (folder,)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
