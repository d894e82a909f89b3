"""N5 arrays and their multiscale groups: `attributes.json` as values.

Source: github.com/saalfeldlab/n5, "File-system specification"; the n5-viewer's and BigDataViewer's conventions for
scales (`scales`, `downsamplingFactors`, `pixelResolution`), and the COSEM one (`multiscales` with `transform`).
All lists of an array are in its own axis order, which has the fastest axis first: usually x, y, z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from zarrlink.errors import CorruptFile, UnsupportedLayer, brief
from zarrlink.formats.datasource_mags import MAX_AXES, MAX_MAGS
from zarrlink.formats.json_values import numbers, parse_object, short_text, whole_numbers
from zarrlink.formats.zarr_v2 import DTYPES
from zarrlink.geometry import MAX_COORDINATE

Json = dict[str, Any]

FILE_NAME: Final = "attributes.json"
MAX_BYTES: Final = 4 * 2**20
COMPRESSIONS: Final = ("raw", "gzip", "bzip2", "xz", "blosc", "zstd")


@dataclass(frozen=True, slots=True)
class N5Array:
    """A stored array. `shape` and `chunk` in its own axis order; numbers are stored big-endian.

    `axes`: names of the axes, None where they are not given. `document`: the metadata that tensorstore is given.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...] | None
    document: Json


@dataclass(frozen=True, slots=True)
class N5Scale:
    """A level of a multiscale group: its folder below the group, and how many voxels of the finest level one of its
    voxels spans along each array axis (None where the group does not say)."""

    folder: str
    factors: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class N5Group:
    """What attributes say of sizes. `scales` may be empty: then levels are looked for by name (`s0`, `s1`, ...).

    `resolution` and `unit` of a voxel of the finest level, in array axis order, None where they are not given.
    """

    scales: tuple[N5Scale, ...]
    axes: tuple[str, ...] | None
    resolution: tuple[float, ...] | None
    unit: str | None


def chunk_key(indices: tuple[int, ...]) -> str:
    """The key, below the array's folder, of the block at `indices` of the grid."""
    return "/".join(map(str, indices))


def parse_attributes(data: bytes, *, key: str = "") -> Json:
    """The attributes of an array or group. Raises CorruptFile."""
    return parse_object(data, "an attributes.json", max_bytes=MAX_BYTES, key=key)


def is_array(attributes: Json) -> bool:
    return "dimensions" in attributes and "blockSize" in attributes


def parse_array(data: bytes, *, key: str = "") -> N5Array:
    """An array from its `attributes.json`. Raises CorruptFile, or UnsupportedLayer with the reason."""
    what = "an attributes.json"
    attributes = parse_attributes(data, key=key)
    shape = whole_numbers(attributes.get("dimensions"), least=0, most=MAX_COORDINATE, at_most=MAX_AXES)
    chunk = whole_numbers(attributes.get("blockSize"), least=1, most=2**31 - 1, at_most=MAX_AXES)
    if shape is None or chunk is None or len(shape) != len(chunk):
        raise CorruptFile(f"{what} has no dimensions and blockSize that fit each other", key=key)
    if 0 in shape:
        raise UnsupportedLayer("its array has no voxels")
    dtype, compression = attributes.get("dataType"), attributes.get("compression")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UnsupportedLayer(f"it is stored as N5 of the type {brief(dtype)}")
    if compression is None and isinstance(attributes.get("compressionType"), str):
        # Before N5 1.0.
        compression = {"type": attributes["compressionType"]}
    name = compression.get("type") if isinstance(compression, dict) else compression
    if not isinstance(compression, dict) or name not in COMPRESSIONS:
        raise UnsupportedLayer(f"its N5 blocks are compressed as {brief(name)}; read: {', '.join(COMPRESSIONS)}")
    axes = _axes(attributes.get("axes"))
    return N5Array(
        shape=shape,
        chunk=chunk,
        dtype=dtype,
        axes=axes if axes is not None and len(axes) == len(shape) else None,
        document={
            "dimensions": list(shape),
            "blockSize": list(chunk),
            "dataType": dtype,
            "compression": _compression(compression),
        },
    )


def parse_group(attributes: Json) -> N5Group:
    """What attributes, of a group or of the array of the finest level, say of scales and sizes."""
    cosem = _cosem(attributes)
    if cosem is not None:
        return cosem
    found = attributes.get("scales", attributes.get("downsamplingFactors"))
    factors = [numbers(item) for item in found[:MAX_MAGS]] if isinstance(found, list) else []
    scales = tuple(N5Scale(f"s{level}", item) for level, item in enumerate(factors) if item is not None)
    resolution: Any = attributes.get("pixelResolution", attributes.get("resolution"))
    unit: Any = None
    if isinstance(resolution, dict):
        resolution, unit = resolution.get("dimensions"), resolution.get("unit")
    units = attributes.get("units")
    if unit is None and isinstance(units, list) and units:
        unit = units[0]
    return N5Group(scales, _axes(attributes.get("axes")), _positive(resolution), short_text(unit))


def own_factors(attributes: Json) -> tuple[float, ...] | None:
    """The `downsamplingFactors` of a level's own array, None where it has none."""
    return _positive(attributes.get("downsamplingFactors"))


def _cosem(attributes: Json) -> N5Group | None:
    """`multiscales` as OpenOrganelle writes it: each dataset with a `transform`, whose lists are in C order (z, y, x)."""
    multiscales = attributes.get("multiscales")
    first = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    fields = first if isinstance(first, dict) else {}
    datasets = fields.get("datasets")
    if not isinstance(datasets, list):
        return None
    scales: list[N5Scale] = []
    finest: tuple[float, ...] | None = None
    axes, unit = None, None
    for dataset in datasets[:MAX_MAGS]:
        fields = dataset if isinstance(dataset, dict) else {}
        folder, transform = short_text(fields.get("path")), fields.get("transform")
        if folder is None or not isinstance(transform, dict):
            return None
        scale = _positive(transform.get("scale"))
        if scale is None:
            return None
        if finest is None:
            finest, axes, units = scale, _axes(transform.get("axes")), transform.get("units")
            unit = short_text(units[0]) if isinstance(units, list) and units else None
        if len(scale) != len(finest):
            return None
        factors = tuple(length / unit_length for length, unit_length in zip(scale, finest, strict=True))
        scales.append(N5Scale(folder, factors[::-1]))
    if finest is None:
        return None
    return N5Group(tuple(scales), None if axes is None else axes[::-1], finest[::-1], unit)


def _compression(compression: Json) -> Json:
    """Without what tensorstore does not know: other writers add options of their own."""
    known = {
        "raw": (),
        "gzip": ("level", "useZlib"),
        "bzip2": ("blockSize",),
        "xz": ("preset",),
        "blosc": ("cname", "clevel", "shuffle", "blocksize"),
        "zstd": ("level",),
    }[compression["type"]]
    return {"type": compression["type"]} | {name: compression[name] for name in known if name in compression}


def _axes(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not value or len(value) > MAX_AXES:
        return None
    names = [name.lower() for name in value if isinstance(name, str)]
    return tuple(names) if len(set(names)) == len(value) else None


def _positive(value: object) -> tuple[float, ...] | None:
    found = numbers(value)
    return found if found is not None and all(number > 0 for number in found) else None
