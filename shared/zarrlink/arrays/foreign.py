"""Opening the array behind a mag: Zarr v2 and v3, N5 and Precomputed, by tensorstore.

This module loads NumPy and tensorstore: import it where an array is opened, not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import tensorstore as ts

from zarrlink.arrays.compressed_names import check_names
from zarrlink.arrays.failures import FAILURES, failure
from zarrlink.arrays.object_keys import object_key
from zarrlink.arrays.stored import StoredArray, key_in, stored_array, stored_volume
from zarrlink.arrays.stores import Stores
from zarrlink.arrays.volume import Volume
from zarrlink.arrays.volumes import TensorstoreVolume
from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.formats import source_n5, source_precomputed, source_zarr
from zarrlink.formats.datasource import LayerDescription, MagDescription
from zarrlink.formats.source_n5 import N5Array
from zarrlink.formats.source_precomputed import PrecomputedScale, PrecomputedVolume
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.sources.permission import Address
from zarrlink.storage.documents import read_document
from zarrlink.storage.interface import ByteSource

__all__ = ["OpenArray", "StoredArray", "Stores", "Volume", "open_array"]

# A scale's key may have slashes, so the `info` may lie further up than one folder.
_INFO_ABOVE: Final = 4


@dataclass(frozen=True, slots=True)
class OpenArray:
    """A mag ready to be read. `source`: the one that its keys are of, the dataset's own or that of an outside address.

    `witnesses`: key in `source` -> ETag of what it was opened from. `reads_parts`: whether a part of an object of `source`
    can be read without the rest.
    """

    stored: StoredArray
    volume: Volume
    source: ByteSource
    witnesses: dict[str, str]
    reads_parts: bool


async def open_array(
    source: ByteSource, location: str, described: LayerDescription, mag: MagDescription, stores: Stores
) -> OpenArray | None:
    """The array of `mag`, None where none of its folders has one.

    `source`, `location`: of the dataset, one and the same place.
    Raises UnsupportedLayer naming layer, mag and reason; CorruptFile, SourceUnavailable.
    """
    try:
        if mag.address is not None:
            address = stores.allowed.check(mag.address)
            return await _open_outside(address, described, mag, stores)
        address = stores.place(location)
        for folder in mag.folders:
            found = await _open_folder(source, address, folder, described, mag, stores)
            if found is not None:
                return found
    except (UnsupportedLayer, InvalidRequest) as error:
        raise UnsupportedLayer(f"layer {described.name!r}, mag {mag.mag.literal}: {error}") from error
    return None


def metadata_places(
    source: ByteSource, described: LayerDescription, mag: MagDescription, stores: Stores
) -> list[tuple[ByteSource, str]]:
    """Where the array of a mag of Zarr or N5 would say what it is: source and key.

    Of Precomputed none: the mags of a volume share their `info`, without which there is no layer. A volume of its own at an
    outside address is not looked for.
    """
    if described.data_format == "neuroglancerPrecomputed":
        return []
    name = _metadata(described.data_format)[0]
    if mag.address is not None:
        return [(stores.source(stores.allowed.check(mag.address)), name)]
    return [(source, key_in(folder, name)) for folder in mag.folders]


async def _open_outside(
    address: Address, described: LayerDescription, mag: MagDescription, stores: Stores
) -> OpenArray | None:
    if described.data_format != "neuroglancerPrecomputed":
        return await _open_folder(stores.source(address), address, ".", described, mag, stores)
    bases = [
        (Address(address.scheme, address.host, address.segments[:-above]), "/".join(address.segments[-above:]))
        for above in range(1, min(_INFO_ABOVE, len(address.segments)) + 1)
    ]
    # What was allowed is the scale's folder; its `info` lies above.
    permitted = [(base, key) for base, key in bases if stores.allowed.permits(base)]
    if not permitted:
        raise UnsupportedLayer(f"its info file lies above the folder that zarrlink may read at {address.shown}")
    for base, key in permitted:
        found = await _open_scale(stores.source(base), base, source_precomputed.FILE_NAME, key, described, mag, stores)
        if found is not None:
            return found
    return None


async def _open_folder(
    source: ByteSource, address: Address, folder: str, described: LayerDescription, mag: MagDescription, stores: Stores
) -> OpenArray | None:
    if described.data_format == "neuroglancerPrecomputed":
        segments = folder.split("/")
        for above in range(1, min(_INFO_ABOVE, len(segments)) + 1):
            base = "/".join(segments[:-above]) or "."
            info, key = key_in(base, source_precomputed.FILE_NAME), "/".join(segments[-above:])
            found = await _open_scale(source, address, info, key, described, mag, stores)
            if found is not None:
                return found
        return None
    name, limit = _metadata(described.data_format)
    key = key_in(folder, name)
    document = await read_document(source, key, limit)
    if document is None:
        return None
    stored = stored_array(described, mag, _parse(described.data_format, bytes(document.data), key), folder, key)
    driver = {"zarr": "zarr", "zarr3": "zarr3", "n5": "n5"}[described.data_format]
    spec = {"driver": driver, "kvstore": stores.spec(address, folder), "metadata": _document(stored)}
    return await _opened(spec, stored, source, {key: document.etag}, stores)


async def _open_scale(
    source: ByteSource,
    address: Address,
    info: str,
    scale_key: str,
    described: LayerDescription,
    mag: MagDescription,
    stores: Stores,
) -> OpenArray | None:
    """The scale of a volume whose `info` has the key `info`; None where there is no such file, or no such scale."""
    document = await read_document(source, info, source_precomputed.MAX_BYTES)
    if document is None:
        return None
    volume: PrecomputedVolume = source_precomputed.parse_info(bytes(document.data), key=info)
    scale = volume.scale(scale_key)
    if scale is None:
        return None
    stored = stored_volume(described, mag, volume, scale, info)
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": stores.spec(address, stored.folder),
        "multiscale_metadata": volume.document,
        "scale_metadata": scale.document,
    }
    first = object_key(stored, (0, 0, 0))
    if not scale.sharded and await source.stat(first) is None:
        # Said before anybody reads. In folders every chunk that is missed is looked for under such names.
        await check_names(stored, source, [first])
    return await _opened(spec, stored, source, {info: document.etag}, stores)


async def _opened(
    spec: dict[str, Any], stored: StoredArray, source: ByteSource, witnesses: dict[str, str], stores: Stores
) -> OpenArray:
    try:
        # The metadata that was checked is the metadata that is used.
        opened = await ts.open(spec, context=stores.context, open=True, read=True, assume_metadata=True)
    except FAILURES as error:
        found = failure(error, stored.metadata_key)
        if isinstance(found, CorruptFile) or ":" not in str(error)[:30]:
            raise UnsupportedLayer("the metadata of its array say something that zarrlink cannot read") from error
        raise found from error
    return OpenArray(
        stored, TensorstoreVolume(stored, opened, source, stores), source, witnesses, stores.reads_parts(source)
    )


def _metadata(data_format: str) -> tuple[str, int]:
    """(name, longest) of the metadata object of an array."""
    if data_format == "n5":
        return source_n5.FILE_NAME, source_n5.MAX_BYTES
    if data_format == "zarr":
        return source_zarr.document_name(2), source_zarr.MAX_BYTES
    if data_format == "zarr3":
        return source_zarr.document_name(3), source_zarr.MAX_BYTES
    raise UnsupportedLayer(f"it is stored as {data_format}, which is none of the array formats")


def _parse(data_format: str, data: bytes, key: str) -> ZarrArray | N5Array:
    if data_format == "n5":
        return source_n5.parse_array(data, key=key)
    return source_zarr.parse_v2(data, key=key) if data_format == "zarr" else source_zarr.parse_v3(data, key=key)


def _document(stored: StoredArray) -> dict[str, Any]:
    array = stored.array
    if isinstance(array, PrecomputedScale):
        raise TypeError("a scale has documents of another form")
    return array.document
