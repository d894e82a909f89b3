"""OME-NGFF metadata that others wrote: multiscales, channels and labels as values.

Source: ngff.openmicroscopy.org, 0.1 to 0.5. In Zarr v2 they are `.zattrs`, in v3 the `attributes` of `zarr.json`, below
`ome` since 0.5. Versions before 0.4 have no transformations, before 0.3 no axes: (t, c, z, y, x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from zarrlink.errors import CorruptFile
from zarrlink.formats.datasource_mags import MAX_AXES, MAX_MAGS
from zarrlink.formats.json_values import is_number, is_whole, numbers, short_text

Json = dict[str, Any]

MAX_BYTES: Final = 16 * 2**20
MAX_LABELS: Final = 200
_TYPES: Final = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True, slots=True)
class Axis:
    """`kind`: `space`, `time`, `channel` or what else is given; `unit`: a word, None where none is given."""

    name: str
    kind: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class ImageLevel:
    """A dataset of a multiscale image. `scale`, `translation`: in axis order, in units; None where not given."""

    path: str
    scale: tuple[float, ...] | None
    translation: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A multiscale image, levels as listed, the finest first. `view`: what `omero` says of showing a single channel."""

    name: str | None
    axes: tuple[Axis, ...]
    levels: tuple[ImageLevel, ...]
    is_label: bool
    view: Json


def ome_attributes(attributes: Json) -> Json:
    """The part of a group's attributes that is OME-NGFF's."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def is_image(attributes: Json) -> bool:
    multiscales = ome_attributes(attributes).get("multiscales")
    return isinstance(multiscales, list) and bool(multiscales) and isinstance(multiscales[0], dict)


def is_collection(attributes: Json) -> bool:
    """Whether it is a group of images `0`, `1`, ... as bioformats2raw writes it."""
    return ome_attributes(attributes).get("bioformats2raw.layout") == 3


def label_names(attributes: Json) -> tuple[str, ...]:
    """The folders that a `labels` group lists."""
    labels = ome_attributes(attributes).get("labels")
    found = [short_text(label) for label in labels[:MAX_LABELS]] if isinstance(labels, list) else []
    return tuple(dict.fromkeys(label for label in found if label is not None and is_folder(label)))


def is_folder(path: str) -> bool:
    """Whether it is a plain path below where it stands."""
    return not {"", ".", ".."} & set(path.split("/")) and "\\" not in path


def parse_image(attributes: Json, *, key: str = "") -> SourceImage:
    """The first multiscale image of a group. Raises CorruptFile."""
    ome = ome_attributes(attributes)
    multiscale = ome["multiscales"][0]
    datasets = multiscale.get("datasets")
    if not isinstance(datasets, list) or not 1 <= len(datasets) <= MAX_MAGS:
        raise CorruptFile("an OME-NGFF image has no list of datasets, or a very long one", key=key)
    axes = _axes(multiscale.get("axes"), key)
    common = _transformations(multiscale.get("coordinateTransformations"), len(axes))
    levels = []
    for dataset in datasets:
        fields = dataset if isinstance(dataset, dict) else {}
        path = short_text(fields.get("path"))
        if path is None or not is_folder(path):
            raise CorruptFile("an OME-NGFF image has a dataset whose path is no folder below it", key=key)
        scale, translation = _transformations(fields.get("coordinateTransformations"), len(axes))
        if scale is not None and common[0] is not None:
            # Those of the whole come after those of the dataset.
            outer = common[0]
            scale = tuple(a * b for a, b in zip(scale, outer, strict=True))
            if translation is not None:
                translation = tuple(a * b for a, b in zip(translation, outer, strict=True))
        levels.append(ImageLevel(path, scale, translation or common[1]))
    return SourceImage(
        name=short_text(multiscale.get("name")),
        axes=axes,
        levels=tuple(levels),
        is_label="image-label" in ome,
        view=_view(ome.get("omero")),
    )


def _axes(value: object, key: str) -> tuple[Axis, ...]:
    items = list("tczyx") if value is None else value
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_AXES:
        raise CorruptFile("an OME-NGFF image has no list of axes", key=key)
    axes = []
    for item in items:
        fields = {"name": item} if isinstance(item, str) else item if isinstance(item, dict) else {}
        name = short_text(fields.get("name"), at_most=100)
        if name is None:
            raise CorruptFile("an OME-NGFF image has an axis without a name", key=key)
        kind = short_text(fields.get("type")) or _TYPES.get(name, "")
        axes.append(Axis(name, kind, short_text(fields.get("unit"))))
    if len({axis.name for axis in axes}) < len(axes):
        raise CorruptFile("an OME-NGFF image has two axes of one name", key=key)
    return tuple(axes)


def _transformations(value: object, axes: int) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """(scale, translation) of a list of transformations; what does not fit is as if not given."""
    scale = translation = None
    for item in value[:8] if isinstance(value, list) else ():
        if isinstance(item, dict) and item.get("type") == "scale":
            found = numbers(item.get("scale"), length=axes)
            scale = found if found is not None and min(found) > 0 else None
        elif isinstance(item, dict) and item.get("type") == "translation":
            translation = numbers(item.get("translation"), length=axes)
    return scale, translation


def _view(omero: object) -> Json:
    """The window and colour of an image of one channel, in the words of WEBKNOSSOS's view configuration."""
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or len(channels) != 1 or not isinstance(channels[0], dict):
        return {}
    view: Json = {}
    window, color = channels[0].get("window"), channels[0].get("color")
    if isinstance(window, dict) and all(is_number(window.get(side)) for side in ("start", "end")):
        view["intensityRange"] = [window["start"], window["end"]]
        view |= {side: window[side] for side in ("min", "max") if is_number(window.get(side))}
    if isinstance(color, str) and len(color) == 6 and color.isascii() and color.isalnum():
        try:
            view["color"] = list(bytes.fromhex(color))
        except ValueError:
            return view
    if is_whole(channels[0].get("inverted")) or channels[0].get("inverted") is True:
        view["isInverted"] = channels[0]["inverted"] is True
    return view
