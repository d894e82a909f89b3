"""Layers by view: opened once, and looked at again when they may have changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from zarrlink.annotations.manifest import MANIFEST_KEY, MAX_BYTES, Manifest
from zarrlink.byte_range import ByteRange
from zarrlink.catalogue.annotations import AnnotationRecord, Annotations
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
from zarrlink.formats.wkw import WkwHeader
from zarrlink.geometry import VoxelSize
from zarrlink.jump_tables import JumpTables
from zarrlink.layer import MAX_CHUNK_BYTES
from zarrlink.opening.annotation import Annotation, Below, open_volume, volume_name, volume_parts
from zarrlink.opening.opened import OpenLayer, Witness, are_unchanged
from zarrlink.opening.wkw import open_wkw
from zarrlink.overlay_chunks import PLANS_BYTES, PlanCache
from zarrlink.packed_blocks import CACHE_BYTES, PageCache
from zarrlink.sources.bare import describe_bare
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.documents import read_document
from zarrlink.storage.interface import ByteSource
from zarrlink.view import View

if TYPE_CHECKING:
    from zarrlink.annotations.manifest import PackedVolume
    from zarrlink.opening.painted import VoxelTools
    from zarrlink.opening.volumes import LayerVolumes
    from zarrlink.storage.reach import Reach

MAX_OPEN_LAYERS: Final = 4096
MAX_DESCRIPTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """What a view is of. `dataset` None: an annotation whose dataset is not registered here."""

    dataset: DatasetRecord | None
    annotation: AnnotationRecord | None = None

    def view(self, layers: tuple[str, ...]) -> View:
        """All of these layers."""
        return View(
            "" if self.dataset is None else self.dataset.id,
            layers,
            annotation="" if self.annotation is None else self.annotation.id,
        )


class Library:
    """Layers by view, opened once and looked at again when older than `freshness_s`.

    `open_source`: from a record's location to what is stored there. `allowed`: what may be read outside of datasets'
    folders. `reach`: where files of a folder outside may really lie. `most_bytes`: of a foreign shard that may go out as it is; by default what any door can carry whole. It is part of
    the geometry: libraries that share links must agree.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        open_source: Callable[[str], ByteSource],
        *,
        monotonic: Callable[[], float],
        freshness_s: float,
        annotations: Annotations | None = None,
        allowed: AllowedSources | None = None,
        reach: Reach | None = None,
        most_bytes: int = MAX_CHUNK_BYTES,
    ) -> None:
        self._catalogue = catalogue
        self._annotations = annotations
        self._allowed = allowed or AllowedSources()
        self._reach = reach
        self._most_bytes = most_bytes
        self._open_source = open_source
        self._monotonic = monotonic
        self._freshness_s = freshness_s
        self._tables = JumpTables()
        self._pages = PageCache(CACHE_BYTES)
        self._plans = PlanCache(PLANS_BYTES)
        self._voxel_tools: VoxelTools | None = None
        self._open: OrderedDict[tuple[str, str], tuple[Subject, OpenLayer]] = OrderedDict()
        self._descriptions: OrderedDict[str, tuple[tuple[Witness, ...], DatasetDescription]] = OrderedDict()

    async def layer(self, view: View, name: str) -> OpenLayer:
        """The layer `name` within the limits of `view`.

        Raises LinkGone where the dataset or annotation is known no more, UnsupportedLayer where the layer cannot be
        served (any more), CorruptFile and SourceUnavailable where its description or headers are damaged or out of
        reach.
        """
        return (await self.opened(view, name))[1]

    async def opened(self, view: View, name: str) -> tuple[Subject, OpenLayer]:
        """As `layer`, with what the view was of when the layer was opened."""
        key = view.id, name
        known = self._open.get(key)
        now = self._monotonic()
        if known is not None and now - known[1].checked_s < self._freshness_s:
            return known
        subject = self.subject(view)
        if known is not None:
            if known[0] == subject and await known[1].is_unchanged():
                known[1].checked_s = now
                return known
            self._open.pop(key, None)
        opened = await self._read(view, subject, name)
        opened.checked_s = now
        self._open[key] = found = subject, opened
        while len(self._open) > MAX_OPEN_LAYERS:
            self._open.popitem(last=False)
        return found

    def subject(self, view: View) -> Subject:
        """What a view is of, as it stands now. Raises LinkGone where that is known no more."""
        dataset = self._catalogue.get(view.dataset) if view.dataset else None
        if view.dataset and dataset is None:
            raise LinkGone("the dataset is not registered any more")
        if not view.annotation:
            return Subject(dataset)
        annotation = None if self._annotations is None else self._annotations.get(view.annotation)
        if annotation is None:
            raise LinkGone("the annotation is not there any more")
        return Subject(dataset, annotation)

    def doubt(self, view: View, name: str) -> None:
        """Something did not fit: look at the layer's sources again before it is used next."""
        known = self._open.get((view.id, name))
        if known is not None:
            known[1].checked_s = float("-inf")

    async def describe(self, record: DatasetRecord) -> DatasetDescription:
        """What a dataset says of itself now."""
        return (await self._description(self._open_source(record.location), record))[1]

    async def layer_names(self, subject: Subject) -> list[str]:
        """Every layer, readable or not: an annotation's volume layers hide those of the same name below."""
        names: set[str] = set()
        if subject.dataset is not None:
            description = await self.describe(subject.dataset)
            names = {layer.name for layer in description.layers} | set(description.unreadable)
        if subject.annotation is not None:
            manifest = (await self._annotation(subject)).manifest
            names |= {volume_name(volume) for volume in manifest.volumes}
        return sorted(names)

    async def volumes(self, subject: Subject, name: str, mapping: str | None = None) -> LayerVolumes:
        """A layer as voxels, its ids by `mapping` if one is named. Raises as `layer` does."""
        from zarrlink.opening.painted import mapped_volumes, painted_volumes

        if subject.annotation is not None:
            annotation = await self._annotation(subject)
            volume = annotation.volume(name)
            if volume is not None:
                described, header, fallback = volume_parts(annotation, volume)
                if fallback is None and mapping is not None:
                    raise UnsupportedLayer(f"layer {name!r}: a mapping is of a fallback layer, and it has none")
                return await painted_volumes(annotation, volume, described, header, mapping, self._tools())
        if subject.dataset is None:
            raise UnsupportedLayer(f"layer {name!r}: there is no such layer")
        source = self._open_source(subject.dataset.location)
        witnesses, description = await self._description(source, subject.dataset)
        found = await mapped_volumes(source, find_layer(description, name), mapping, self._tools())
        return replace(found, witnesses=[*found.witnesses, *witnesses])

    async def voxel_size(self, subject: Subject) -> VoxelSize:
        """Of mag 1. Raises UnsupportedLayer where nothing tells it."""
        if subject.annotation is not None:
            return (await self._annotation(subject)).voxel_size
        if subject.dataset is None:
            raise UnsupportedLayer("there is no such dataset")
        return (await self.describe(subject.dataset)).voxel_size

    async def holdings(self, record: AnnotationRecord) -> tuple[ByteSource, Manifest]:
        """An annotation's folder, and what it consists of. Raises CorruptFile, SourceUnavailable."""
        return await self.manifest(Subject(None, record))

    async def manifest(self, subject: Subject) -> tuple[ByteSource, Manifest]:
        """What an annotation consists of, and the folder with it. Raises CorruptFile, SourceUnavailable."""
        annotation = await self._annotation(subject)
        return annotation.source, annotation.manifest

    async def _read(self, view: View, subject: Subject, name: str) -> OpenLayer:
        if subject.annotation is not None:
            annotation = await self._annotation(subject)
            volume = annotation.volume(name)
            if volume is not None:
                return await open_volume(
                    annotation, volume, view, self._tables, self._pages, self._plans, self._outside, self._decode
                )
        if subject.dataset is None:
            raise UnsupportedLayer(f"layer {name!r}: there is no such layer")
        source = self._open_source(subject.dataset.location)
        witnesses, description = await self._description(source, subject.dataset)
        described = find_layer(description, name)
        mapping = view.mapping(name)
        if described.data_format == "wkw" and mapping is None:
            opened = await open_wkw(
                source,
                described,
                description.voxel_size,
                self._tables,
                self._outside,
                box=view.box,
                finest=view.finest,
            )
        else:
            from zarrlink.opening.painted import open_decoded

            opened = await open_decoded(source, described, description.voxel_size, view, self._tools())
        return opened.with_witnesses(witnesses)

    async def _annotation(self, subject: Subject) -> Annotation:
        if subject.annotation is None:
            raise LinkGone("not an annotation")
        below = Below()
        if subject.dataset is not None:
            dataset = self._open_source(subject.dataset.location)
            below = Below(dataset, *await self._description(dataset, subject.dataset))
        source = self._open_source(subject.annotation.location)
        try:
            blob = await source.read(MANIFEST_KEY, ByteRange(0, MAX_BYTES + 1))
        except RangeNotSatisfiable as error:
            raise CorruptFile("the description of an annotation is empty", key=MANIFEST_KEY) from error
        if blob is None:
            raise SourceUnavailable("an annotation has no description (any more)", key=MANIFEST_KEY)
        return Annotation(source, blob.etag, Manifest.from_json(blob.data), below)

    async def _decode(
        self,
        annotation: Annotation,
        volume: PackedVolume,
        described: LayerDescription,
        header: WkwHeader | None,
        view: View,
    ) -> OpenLayer:
        from zarrlink.opening.painted import open_painted

        return await open_painted(annotation, volume, described, header, view, self._tools())

    def _tools(self) -> VoxelTools:
        """Made when first needed: NumPy comes with it."""
        if self._voxel_tools is None:
            from zarrlink.opening.painted import VoxelTools

            self._voxel_tools = VoxelTools.made(
                self._tables, self._pages, self._outside, self._allowed, self._reach, self._most_bytes
            )
        return self._voxel_tools

    def _outside(self, address: str) -> ByteSource:
        """A place outside of a dataset's folder. Raises UnsupportedLayer where it may not be read."""
        found = self._allowed.check(address)
        if found.scheme not in ("file", "s3"):
            raise UnsupportedLayer(f"WKW is not read over {found.scheme}")
        return self._open_source(found.text)

    async def _description(
        self, source: ByteSource, record: DatasetRecord
    ) -> tuple[tuple[Witness, ...], DatasetDescription]:
        """The dataset's description and what it was made from; parsed once, since it may speak of many layers."""
        known = self._descriptions.get(source.name)
        if known is not None and await are_unchanged(known[0]):
            return known
        found = await _read_description(source, record)
        self._descriptions[source.name] = found
        while len(self._descriptions) > MAX_DESCRIPTIONS:
            self._descriptions.popitem(last=False)
        return found


def find_layer(description: DatasetDescription, name: str) -> LayerDescription:
    """A layer of a dataset. Raises UnsupportedLayer where it is not there or cannot be read."""
    if name in description.unreadable:
        raise UnsupportedLayer(f"layer {name!r}: {description.unreadable[name]}")
    for layer in description.layers:
        if layer.name == name:
            return layer
    raise UnsupportedLayer(f"layer {name!r}: the dataset has no such layer")


async def _read_description(
    source: ByteSource, record: DatasetRecord
) -> tuple[tuple[Witness, ...], DatasetDescription]:
    blob = await read_document(source, datasource.FILE_NAME, datasource.MAX_BYTES)
    if blob is None:
        bare = await describe_bare(source, name=record.name)
        if bare is None:
            raise SourceUnavailable("the dataset has no description (any more)", key=datasource.FILE_NAME)
        return tuple(Witness(source, key, etag) for key, etag in bare.witnesses.items()), bare.description
    try:
        description = datasource.parse_description(bytes(blob.data), name=record.name)
    except InvalidRequest as error:
        raise CorruptFile(str(error), key=datasource.FILE_NAME) from error
    return (Witness(source, datasource.FILE_NAME, blob.etag),), description
