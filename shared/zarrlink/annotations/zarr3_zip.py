"""Volume data as WEBKNOSSOS's `zarr3` data zips have it: one layer's folder of mags, next to its description.

Names of chunks are taken in all forms there have been (`c.0.X.Y.Z` until mid 2025, then `0.X.Y.Z`, and both with
slashes), whatever `zarr.json` says; the array's shape is not believed, since older servers repeat that of mag 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from zarrlink.annotations.blocks import MAX_BLOCK_BYTES, FoundBlock, FoundMag
from zarrlink.annotations.manifest import ELEMENT_CLASS_OF, ITEM_BYTES
from zarrlink.annotations.safe_zip import SafeZip
from zarrlink.annotations.zarr3_chunks import ChunkForm, chunk_form
from zarrlink.annotations.zip_directory import ZipEntry
from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.block_pack import MORTON_BITS, block_code
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.geometry import Mag

MAX_JSON_BYTES: Final = 2**20
_NUMBER: Final = "(0|[1-9][0-9]{0,9})"
_CHUNK: Final = re.compile(rf"(?:c[./])?0([./]){_NUMBER}\1{_NUMBER}\1{_NUMBER}", re.ASCII)
_ARRAY: Final = "zarr.json"


@dataclass(slots=True)
class _MagFiles:
    folder: str
    array: ZipEntry | None = None
    chunks: dict[int, ZipEntry] = field(default_factory=dict)


def zarr3_mags(zip_file: SafeZip) -> list[FoundMag]:
    """The mags of a data zip. Raises InvalidRequest for files that do not belong there, or that do not fit together."""
    folders: dict[Mag, _MagFiles] = {}
    layers = set()
    for name, entry in zip_file.entries.items():
        if name == FILE_NAME:
            _check_description(zip_file, entry)
            continue
        layer, _, inner = name.partition("/")
        if _ARRAY in (name, inner):
            continue  # the metadata of a group
        folder, _, rest = inner.partition("/")
        layers.add(layer)
        chunk = _CHUNK.fullmatch(rest)
        if len(layers) > 1 or (rest != _ARRAY and chunk is None):
            raise InvalidRequest(f"{zip_file.label} has an unexpected file, {brief(name)}")
        mag = Mag.parse(folder)
        files = folders.setdefault(mag, _MagFiles(folder))
        if files.folder != folder:
            raise InvalidRequest(f"{zip_file.label} has mag {mag.literal} twice")
        if chunk is None:
            files.array = entry
            continue
        x, y, z = int(chunk[2]), int(chunk[3]), int(chunk[4])
        if max(x, y, z) >= 1 << MORTON_BITS:
            raise InvalidRequest(f"{brief(name)} in {zip_file.label} lies outside of any volume")
        if files.chunks.setdefault(block_code((x, y, z)), entry) is not entry:
            raise InvalidRequest(f"{zip_file.label} has a chunk twice, once as {brief(name)}")
    return [_mag(zip_file, mag, files) for mag, files in folders.items()]


def _mag(zip_file: SafeZip, mag: Mag, files: _MagFiles) -> FoundMag:
    if files.array is None:
        raise InvalidRequest(f"{zip_file.label} has no {_ARRAY} in the folder of mag {mag.literal}")
    dtype, form = _array(_json(zip_file, files.array), f"{brief(files.array.name)} in {zip_file.label}")

    def blocks(done: Callable[[int], None]) -> Iterator[FoundBlock]:
        for morton, entry in sorted(files.chunks.items()):
            yield form.block(morton, zip_file.read(entry, form.limit_bytes), key=entry.name)
            done(entry.packed_bytes)

    return FoundMag(mag, form.side, dtype, blocks)


def _array(document: dict[str, Any], label: str) -> tuple[str, ChunkForm]:
    """Data type and chunks of a `zarr.json`."""
    if document.get("zarr_format") != 3 or document.get("node_type") != "array":
        raise InvalidRequest(f"{label} does not describe a Zarr v3 array")
    dtype, shape, grid = document.get("data_type"), document.get("shape"), document.get("chunk_grid")
    if not isinstance(dtype, str) or dtype not in ELEMENT_CLASS_OF:
        raise InvalidRequest(f"{label} has the data type {brief(dtype)}, which a volume annotation cannot have")
    names = document.get("dimension_names")
    if not isinstance(shape, list) or len(shape) != 4 or names not in (None, ["c", "x", "y", "z"], [None] * 4):
        raise InvalidRequest(f"{label} has axes other than c, x, y, z: additional axes are not accepted")
    settings = grid.get("configuration") if isinstance(grid, dict) and grid.get("name") == "regular" else None
    sides = settings.get("chunk_shape") if isinstance(settings, dict) else None
    if not isinstance(sides, list) or len(sides) != 4 or not all(type(side) is int for side in sides):
        raise InvalidRequest(f"{label} has no regular chunks")
    side = sides[1]
    if sides != [1, side, side, side] or side < 1 or side & (side - 1):
        raise InvalidRequest(
            f"{label} has chunks of {brief(sides)} voxels; accepted are cubes with a power of two as side"
        )
    item_bytes = ITEM_BYTES[ELEMENT_CLASS_OF[dtype]]
    if side > MAX_BLOCK_BYTES or side**3 * item_bytes > MAX_BLOCK_BYTES:
        raise InvalidRequest(f"{label} has chunks of more than {MAX_BLOCK_BYTES} bytes")
    if document.get("fill_value") not in (0, None) or document.get("storage_transformers"):
        raise InvalidRequest(f"{label} has a fill value other than 0, or storage transformers")
    return dtype, chunk_form(document.get("codecs"), side, item_bytes, label)


def _check_description(zip_file: SafeZip, entry: ZipEntry) -> None:
    layers = _json(zip_file, entry).get("dataLayers")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        raise InvalidRequest(f"{brief(entry.name)} in {zip_file.label} does not describe one layer")
    if layers[0].get("additionalAxes"):
        raise InvalidRequest(f"{zip_file.label} has additional axes, which are not accepted")


def _json(zip_file: SafeZip, entry: ZipEntry) -> dict[str, Any]:
    try:
        document = json.loads(zip_file.read(entry, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{brief(entry.name)} in {zip_file.label} is not JSON") from error
    if not isinstance(document, dict):
        raise InvalidRequest(f"{brief(entry.name)} in {zip_file.label} is not a JSON object")
    return document
