"""Layers by view: opened once, and looked at again when they may have changed."""

from __future__ import annotations

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
from zarrlink.formats.datasource import DatasetDescription, LayerDescription
from zarrlink.jump_tables import JumpTables
from zarrlink.opening.opened import OpenLayer, Witness
from zarrlink.opening.wkw import open_wkw
from zarrlink.storage.interface import ByteSource
from zarrlink.view import View

MAX_OPEN_LAYERS: Final = 4096
MAX_DESCRIPTIONS: Final = 64


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
        self._tables = JumpTables(monotonic)
        self._open: OrderedDict[tuple[str, str], tuple[DatasetRecord, OpenLayer]] = OrderedDict()
        self._descriptions: OrderedDict[str, tuple[str, DatasetDescription]] = OrderedDict()

    async def layer(self, view: View, name: str) -> OpenLayer:
        """The layer `name` within the limits of `view`.

        Raises LinkGone where the dataset is registered no more, UnsupportedLayer where the layer cannot be served
        (any more), CorruptFile and SourceUnavailable where its description or headers are damaged or out of reach.
        """
        key = view.id, name
        known = self._open.get(key)
        now = self._monotonic()
        if known is not None:
            record, opened = known
            if now - opened.checked_s < self._freshness_s:
                return opened
            if self._catalogue.get(view.dataset) == record and await opened.is_unchanged():
                opened.checked_s = now
                return opened
            self._open.pop(key, None)
        record = self.record(view)
        opened = await self._read(view, record, name)
        opened.checked_s = now
        self._open[key] = record, opened
        while len(self._open) > MAX_OPEN_LAYERS:
            self._open.popitem(last=False)
        return opened

    def record(self, view: View) -> DatasetRecord:
        """The dataset that a view is of. Raises LinkGone where it is registered no more."""
        record = self._catalogue.get(view.dataset)
        if record is None:
            raise LinkGone("the dataset is not registered any more")
        return record

    def doubt(self, view: View, name: str) -> None:
        """Something did not fit: look at the layer's sources again before it is used next."""
        known = self._open.get((view.id, name))
        if known is not None:
            known[1].checked_s = float("-inf")

    async def describe(self, record: DatasetRecord) -> DatasetDescription:
        """What a dataset says of itself now."""
        return (await self._description(self._open_source(record), record))[1]

    async def _read(self, view: View, record: DatasetRecord, name: str) -> OpenLayer:
        source = self._open_source(record)
        etag, description = await self._description(source, record)
        described = _find(description, name)
        opened = await open_wkw(
            source, described, description.voxel_size, self._tables, box=view.box, finest=view.finest
        )
        return opened.with_witness(Witness(source, datasource.FILE_NAME, etag))

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
