"""The metadata documents of a served layer, in both OME dialects."""

from __future__ import annotations

import json
from typing import Any, Final

from zarrlink.formats import ngff, zarr_v2, zarr_v3
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import vec3
from zarrlink.layer import Layer, Level

Json = dict[str, Any]
MAX_SHOWN_VALUE: Final = 1e300
Documents = dict[str, bytes]
"""Key below the layer, such as `.zattrs` or `0/zarr.json` -> the document."""


def documents(layer: Layer, dialect: Dialect) -> Documents:
    """All metadata of a layer."""
    image = _image(layer) if layer.is_image else None
    if dialect == "v2":
        attributes = {} if image is None else ngff.attributes_v04(image)
        parts: dict[str, Json] = {".zgroup": zarr_v2.GROUP, ".zattrs": attributes}
        dimensions = zarr_v2.array_attributes(layer.axis_names)
        for k, level in enumerate(layer.levels):
            parts |= {f"{k}/.zarray": _array_v2(layer, level), f"{k}/.zattrs": dimensions}
        parts[".zmetadata"] = zarr_v2.consolidated(dict(parts))
    else:
        arrays = {str(k): _array_v3(layer, level) for k, level in enumerate(layer.levels)}
        parts = {f"{k}/zarr.json": array for k, array in arrays.items()}
        attributes = {} if image is None else ngff.attributes_v05(image)
        parts["zarr.json"] = zarr_v3.group_metadata(attributes=attributes, arrays=arrays)
    return {key: json.dumps(part, separators=(",", ":"), allow_nan=False).encode() for key, part in parts.items()}


def shown_window(layer: Layer) -> list[float] | None:
    """The stored values that viewers show as black and white, None where nothing is known of them."""
    window = None if layer.category == "segmentation" else _window(layer)
    return None if window is None else [window[0], window[1]]


def _array_v2(layer: Layer, level: Level) -> Json:
    array = zarr_v2.array_metadata(
        shape=layer.array_shape(level.shape),
        chunks=layer.chunk_shape(level.chunk, level.chunk_channels),
        dtype=layer.dtype,
    )
    if level.v2 is None:
        return array
    return {**array, "compressor": json.loads(level.v2.codec), "fill_value": json.loads(level.v2.fill_value)}


def _array_v3(layer: Layer, level: Level) -> Json:
    array = zarr_v3.array_metadata(
        shape=layer.array_shape(level.shape),
        chunk=layer.chunk_shape(level.chunk, level.chunk_channels),
        shard=None if level.shard is None else layer.chunk_shape(level.shard, level.chunk_channels),
        dtype=layer.dtype,
        item_bytes=layer.item_bytes,
        # In C order a block of WKW is (z, y, x, c).
        stored_axes=(1, 2, 3, 0) if layer.channels_last else None,
        dimension_names=layer.axis_names,
        attributes={"mag": list(level.mag.xyz)},
    )
    if level.v3 is None:
        return array
    return {**array, "codecs": json.loads(level.v3.codec), "fill_value": json.loads(level.v3.fill_value)}


def _image(layer: Layer) -> ngff.Image:
    finest = layer.levels[0]
    return ngff.Image(
        leading=tuple((axis.name, axis.start) for axis in layer.leading),
        name=layer.name,
        voxel_size=layer.voxel_size,
        origin=layer.origin,
        mags=tuple(level.mag for level in layer.levels),
        channel_axis=layer.channel_axis,
        is_label=layer.category == "segmentation",
        channels=_channels(layer),
        default_z=(finest.box_start[2] + finest.box_end[2]) // 2 - finest.origin[2],
        provenance={
            "mags": [level.mag.literal for level in layer.levels],
            "boundingBox": layer.box.to_list(),
            "origin": list(layer.origin),
            "elementClass": layer.element_class,
        },
    )


def _channels(layer: Layer) -> tuple[ngff.Channel, ...]:
    """How to show each channel, where that is known: for 8-bit data, or as the dataset's view configuration says.

    Else nothing is said, and viewers look at the data: a full-range window would show 12-bit data as black.
    """
    window = _window(layer)
    if window is None or layer.category == "segmentation":
        return ()
    start, end, minimum, maximum = window
    rgb = layer.channels == 3 and layer.dtype == "uint8"
    colour = _colour(layer.view.get("color"))
    mixed = ("FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF")
    labels = ("red", "green", "blue") if rgb else tuple(f"channel {n}" for n in range(layer.channels))
    return tuple(
        ngff.Channel(
            label=label if layer.channel_axis else layer.name,
            color=mixed[n % len(mixed)] if layer.channel_axis else colour,
            start=start,
            end=end,
            minimum=minimum,
            maximum=maximum,
            inverted=layer.view.get("isInverted") is True,
        )
        for n, label in enumerate(labels)
    )


def _window(layer: Layer) -> tuple[float, float, float, float] | None:
    limits = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0)}.get(layer.dtype)
    chosen = layer.view.get("intensityRange")
    if isinstance(chosen, list) and len(chosen) == 2 and all(_finite(value) for value in chosen):
        low, high = float(chosen[0]), float(chosen[1])
        if low < high:
            least, most = limits or (low, high)
            minimum, maximum = layer.view.get("min", least), layer.view.get("max", most)
            least = float(minimum) if _finite(minimum) else least
            most = float(maximum) if _finite(maximum) else most
            return low, high, min(least, low), max(most, high)
    return None if limits is None else (*limits, *limits)


def _colour(value: object) -> str:
    if isinstance(value, list) and len(value) == 3:
        try:
            red, green, blue = vec3(value)
            return bytes((red, green, blue)).hex().upper()
        except (TypeError, ValueError):
            return "FFFFFF"
    return "FFFFFF"


def _finite(value: Any) -> bool:
    """Whether it is a number that JSON readers can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_SHOWN_VALUE
