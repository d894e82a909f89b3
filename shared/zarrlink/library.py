"""Opening layers: catalogue, description and WKW headers to a served layer, kept while they stay the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from zarrlink.byte_range import ByteRange
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import (
    CorruptFile,
    InvalidRequest,
    LinkGone,
    RangeNotSatisfiable,
    SourceUnavailable,
    UnsupportedLayer,
)
from zarrlink.formats import datasource
from zarrlink.formats.datasource import DatasetDescription, LayerDescription, MagDescription
from zarrlink.formats.wkw import HEADER_BYTES, WkwHeader
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.layer import Layer, StoredMag, lay_out
from zarrlink.metadata import Documents, documents
from zarrlink.storage.interface import ByteSource
from zarrlink.transcode import ArrayForm
from zarrlink.view import View

MAX_OPEN_LAYERS: Final = 4096
MAX_DESCRIPTIONS: Final = 64


class OpenLayer:
    """A layer ready to be streamed.

    `witnesses`: key -> ETag of what it was made from (description and headers); `etag` sums them up.
    """

    def __init__(self, layer: Layer, record: DatasetRecord, source: ByteSource, witnesses: dict[str, str]) -> None:
        self.layer = layer
        self.record = record
        self.source = source
        self.witnesses = witnesses
        self.etag = hashlib.sha256(repr(sorted(witnesses.items())).encode()).hexdigest()[:16]
        self.fingerprint = layer.fingerprint()
        self.checked_s = 0.0
        self._documents: dict[Dialect, Documents] = {}
        self._forms: dict[Dialect, tuple[ArrayForm, ...]] = {}

    def documents(self, dialect: Dialect) -> Documents:
        if dialect not in self._documents:
            self._documents[dialect] = documents(self.layer, dialect)
        return self._documents[dialect]

    def forms(self, dialect: Dialect) -> tuple[ArrayForm, ...]:
        """The levels as arrays."""
        forms = self._forms.get(dialect)
        if forms is None:
            forms = tuple(ArrayForm(self.layer, level, dialect) for level in self.layer.levels)
            self._forms[dialect] = forms
        return forms


class Library:
    """Layers by view, opened once and looked at again when older than `freshness_s`."""

    def __init__(
        self,
        catalogue: Catalogue,
        open_source: Callable[[DatasetRecord], ByteSource],
        *,
        monotonic: Callable[[], float],
        freshness_s: float,
    ) -> None:
        self._catalogue = catalogue
        self._open_source = open_source
        self._monotonic = monotonic
        self._freshness_s = freshness_s
        self._open: OrderedDict[tuple[str, str], OpenLayer] = OrderedDict()
        self._descriptions: OrderedDict[str, tuple[str, DatasetDescription]] = OrderedDict()

    async def layer(self, view: View, name: str) -> OpenLayer:
        """The layer `name` within the limits of `view`.

        Raises LinkGone where the dataset is registered no more, UnsupportedLayer where the layer cannot be served
        (any more), CorruptFile and SourceUnavailable where its description or headers are damaged or out of reach.
        """
        key = view.id, name
        entry = self._open.get(key)
        now = self._monotonic()
        if entry is not None:
            if now - entry.checked_s < self._freshness_s:
                return entry
            if await self._is_unchanged(entry):
                entry.checked_s = now
                return entry
            self._open.pop(key, None)
        entry = await self._read(view, name)
        entry.checked_s = now
        self._open[key] = entry
        while len(self._open) > MAX_OPEN_LAYERS:
            self._open.popitem(last=False)
        return entry

    def doubt(self, view: View, name: str) -> None:
        """Something did not fit: look at the layer's sources again before it is used next."""
        entry = self._open.get((view.id, name))
        if entry is not None:
            entry.checked_s = float("-inf")

    async def describe(self, record: DatasetRecord) -> DatasetDescription:
        """What a dataset says of itself now."""
        return (await self._description(self._open_source(record), record))[1]

    async def _is_unchanged(self, entry: OpenLayer) -> bool:
        if self._catalogue.get(entry.record.id) != entry.record:
            return False
        found = await asyncio.gather(*(entry.source.stat(key) for key in entry.witnesses))
        return all(
            stat is not None and stat.etag == etag for stat, etag in zip(found, entry.witnesses.values(), strict=True)
        )

    async def _read(self, view: View, name: str) -> OpenLayer:
        record = self._catalogue.get(view.dataset)
        if record is None:
            raise LinkGone("the dataset is not registered any more")
        source = self._open_source(record)
        description_etag, description = await self._description(source, record)
        described = _find(description, name)
        mags = await asyncio.gather(*(_stored_mag(source, mag) for mag in described.mags))
        stored = [found[0] for found in mags if found is not None]
        notes = tuple(
            f"mag {mag.mag.literal} has no header.wkw and is left out"
            for mag, found in zip(described.mags, mags, strict=True)
            if found is None
        )
        layer = lay_out(described, description.voxel_size, stored, box=view.box, finest=view.finest, notes=notes)
        witnesses = {f"{found[0].folder}/header.wkw": found[1] for found in mags if found is not None}
        witnesses[datasource.FILE_NAME] = description_etag
        return OpenLayer(layer, record, source, witnesses)

    async def _description(self, source: ByteSource, record: DatasetRecord) -> tuple[str, DatasetDescription]:
        """The dataset's description with its ETag; parsed once, since it may speak of many layers."""
        known = self._descriptions.get(source.name)
        if known is not None:
            stat = await source.stat(datasource.FILE_NAME)
            if stat is not None and stat.etag == known[0]:
                return known
        found = await _read_description(source, record)
        self._descriptions[source.name] = found
        while len(self._descriptions) > MAX_DESCRIPTIONS:
            self._descriptions.popitem(last=False)
        return found


def _find(description: DatasetDescription, name: str) -> LayerDescription:
    if name in description.unreadable:
        raise UnsupportedLayer(f"layer {name!r}: {description.unreadable[name]}")
    for layer in description.layers:
        if layer.name == name:
            if layer.data_format != "wkw":
                raise UnsupportedLayer(f"layer {name!r}: it is stored as {layer.data_format}; streamed is wkw")
            return layer
    raise UnsupportedLayer(f"layer {name!r}: the dataset has no such layer")


async def _read_description(source: ByteSource, record: DatasetRecord) -> tuple[str, DatasetDescription]:
    try:
        blob = await source.read(datasource.FILE_NAME, ByteRange(0, datasource.MAX_BYTES + 1))
    except RangeNotSatisfiable as error:
        raise CorruptFile("the dataset's description is empty", key=datasource.FILE_NAME) from error
    if blob is None:
        raise SourceUnavailable("the dataset has no description (any more)", key=datasource.FILE_NAME)
    try:
        return blob.etag, datasource.parse_description(bytes(blob.data), name=record.name)
    except InvalidRequest as error:
        raise CorruptFile(str(error), key=datasource.FILE_NAME) from error


async def _stored_mag(source: ByteSource, described: MagDescription) -> tuple[StoredMag, str] | None:
    """The mag with its header's ETag, None where none of its folders holds a header."""
    for folder in described.folders:
        key = f"{folder}/header.wkw"
        try:
            blob = await source.read(key, ByteRange(0, HEADER_BYTES))
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW header is empty", key=key) from error
        if blob is not None:
            header = WkwHeader.from_bytes(bytes(blob.data), key=key)
            return StoredMag(described.mag, folder, header), blob.etag
    return None
