"""Reading the documents of a folder, and remembering what was read."""

from __future__ import annotations

from typing import Final

from zarrlink.formats import source_zarr
from zarrlink.formats.json_values import Json, parse_object
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.storage.documents import read_document
from zarrlink.storage.interface import ByteSource

_V3: Final = source_zarr.document_name(3)
_V2: Final = source_zarr.document_name(2)


class Documents:
    """Documents of a source. `witnesses`: key -> ETag of all that were there."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.witnesses: dict[str, str] = {}

    async def read(self, key: str, max_bytes: int) -> bytes | None:
        """The bytes of a document, at most one more than `max_bytes`; None where there is none.

        Raises CorruptFile where it is empty, SourceChanged, SourceUnavailable.
        """
        blob = await read_document(self._source, key, max_bytes)
        if blob is None:
            return None
        self.witnesses[key] = blob.etag
        return bytes(blob.data)

    async def object(self, key: str, max_bytes: int) -> Json | None:
        data = await self.read(key, max_bytes)
        return None if data is None else parse_object(data, "a document of metadata", max_bytes=max_bytes, key=key)

    async def zarr_attributes(self, prefix: str, max_bytes: int) -> Json | None:
        """The attributes of the Zarr group below `prefix` ("" or with a slash at its end), of either version."""
        group = await self.object(prefix + _V3, max_bytes)
        if group is None:
            return await self.object(f"{prefix}.zattrs", max_bytes)
        attributes = group.get("attributes")
        return attributes if isinstance(attributes, dict) else {}

    async def zarr_array(self, prefix: str) -> ZarrArray | None:
        """The Zarr array below `prefix`, of either version. Raises CorruptFile, UnsupportedLayer."""
        data = await self.read(prefix + _V3, source_zarr.MAX_BYTES)
        if data is not None:
            return source_zarr.parse_v3(data, key=prefix + _V3)
        data = await self.read(prefix + _V2, source_zarr.MAX_BYTES)
        return None if data is None else source_zarr.parse_v2(data, key=prefix + _V2)
