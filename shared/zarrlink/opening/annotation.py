"""Opening the volume layers of an imported annotation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from zarrlink.annotations.manifest import MANIFEST_KEY, UNNAMED, Manifest, PackedVolume
from zarrlink.answers import Chunks
from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.formats.datasource import ELEMENT_CLASSES, DatasetDescription, LayerDescription, check_layer_name
from zarrlink.formats.wkw import VOXEL_TYPES, BlockType, WkwHeader
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3
from zarrlink.jump_tables import JumpTables
from zarrlink.layer import StoredMag, WkwLevel, lay_out
from zarrlink.opening.opened import OpenLayer, Witness
from zarrlink.opening.wkw import Outside, stored_mags
from zarrlink.overlay_chunks import OverlayChunks, PlanCache
from zarrlink.packed_blocks import PackedBlocks, PageCache
from zarrlink.storage.interface import ByteSource
from zarrlink.transcode import ArrayForm
from zarrlink.view import View
from zarrlink.wkw_chunks import WkwChunks

# Where there is no file to stay in, the side of one that a run of blocks must not leave, in blocks.
_FILE_SIDE = 32


@dataclass(frozen=True, slots=True)
class Below:
    """The dataset under an annotation; `description` is None where it is not registered here."""

    source: ByteSource | None = None
    witnesses: tuple[Witness, ...] = ()
    description: DatasetDescription | None = None

    def layer(self, volume: str, name: str) -> tuple[ByteSource, LayerDescription]:
        """A layer of it. Raises UnsupportedLayer naming the volume layer that needs it."""
        if self.description is None or self.source is None:
            raise UnsupportedLayer(
                f"layer {volume!r}: the dataset of its fallback layer {name!r} is not registered here"
            )
        for layer in self.description.layers:
            if layer.name == name:
                return self.source, layer
        raise UnsupportedLayer(f"layer {volume!r}: the dataset has no readable layer {name!r}, its fallback layer")


@dataclass(frozen=True, slots=True)
class Annotation:
    """An imported annotation and what it lies over. `source`: the folder of its present revision."""

    source: ByteSource
    etag: str
    manifest: Manifest
    below: Below

    @property
    def voxel_size(self) -> VoxelSize:
        """The dataset's, else what the NML says. Raises UnsupportedLayer where nothing says."""
        if self.below.description is not None:
            return self.below.description.voxel_size
        if self.manifest.voxel_size is None:
            raise UnsupportedLayer("the annotation's dataset is not registered here, and its NML has no voxel size")
        return self.manifest.voxel_size

    @property
    def witnesses(self) -> list[Witness]:
        """What every layer of it is made from."""
        return [Witness(self.source, MANIFEST_KEY, self.etag), *self.below.witnesses]

    def volume(self, name: str) -> PackedVolume | None:
        return next((volume for volume in self.manifest.volumes if volume_name(volume) == name), None)


Decoder = Callable[[Annotation, PackedVolume, LayerDescription, WkwHeader | None, View], Awaitable[OpenLayer]]
"""Opens a volume layer whose blocks cannot be merged as they are stored."""


def volume_name(volume: PackedVolume) -> str:
    """What a volume layer is called: old files leave it out."""
    return volume.name or UNNAMED


async def open_volume(
    annotation: Annotation,
    volume: PackedVolume,
    view: View,
    tables: JumpTables,
    pages: PageCache,
    plans: PlanCache,
    outside: Outside,
    decode: Decoder,
) -> OpenLayer:
    """A volume layer over its fallback layer: merged block by block where both are stored alike, else by `decode`.

    Raises UnsupportedLayer, CorruptFile, SourceUnavailable.
    """
    name = volume_name(volume)
    described, header, fallback = volume_parts(annotation, volume)
    if fallback is None:
        if view.mapping(name):
            raise UnsupportedLayer(f"layer {name!r}: a mapping is of a fallback layer, and it has none")
        return _merge(annotation, volume, described, _own_mags(volume, header), view, pages, plans)
    source, below = fallback
    if below.data_format != "wkw" or volume.mapping_name or view.mapping(name):
        return await decode(annotation, volume, described, header, view)
    stored = await stored_mags(source, below, outside)
    if header is not None and not all(_alike(mag.header, header) for mag in stored.mags):
        return await decode(annotation, volume, described, header, view)
    shared, notes = _shared(volume, stored.mags)
    opened = _merge(annotation, volume, described, shared, view, pages, plans, notes, (stored.sources, below, tables))
    return opened.with_witnesses(stored.witnesses)


def volume_parts(
    annotation: Annotation, volume: PackedVolume
) -> tuple[LayerDescription, WkwHeader | None, tuple[ByteSource, LayerDescription] | None]:
    """A volume layer in the words of a dataset, the form of its blocks (None: it has none), its fallback layer.

    Raises UnsupportedLayer for one that cannot be shown.
    """
    name = volume_name(volume)
    try:
        check_layer_name(name)
    except InvalidRequest as error:
        raise UnsupportedLayer(f"layer {name!r}: {error}, as addresses hold it") from error
    if volume.edited_mapping is not None:
        raise UnsupportedLayer(
            f"layer {name!r}: it holds proofreading edits, which zarrlink keeps but cannot apply; "
            "its segments would be shown unedited"
        )
    header = _header(volume)
    fallback = None if volume.fallback_layer is None else annotation.below.layer(name, volume.fallback_layer)
    if fallback is None and header is None:
        raise UnsupportedLayer(f"layer {name!r}: nothing was ever painted in it, and it has no fallback layer")
    return _described(annotation, volume, None if fallback is None else fallback[1]), header, fallback


def _merge(
    annotation: Annotation,
    volume: PackedVolume,
    described: LayerDescription,
    stored: list[StoredMag],
    view: View,
    pages: PageCache,
    plans: PlanCache,
    notes: tuple[str, ...] = (),
    fallback: tuple[dict[Mag, ByteSource], LayerDescription, JumpTables] | None = None,
) -> OpenLayer:
    layer = lay_out(described, annotation.voxel_size, stored, box=view.box, finest=view.finest, notes=notes)
    packs = {mag.mag: mag for mag in volume.mags}

    def chunks(level: WkwLevel, dialect: Dialect) -> Chunks:
        below = None
        if fallback is not None:
            sources, described_below, tables = fallback
            form = ArrayForm(layer, _within(level, described_below.box), dialect)
            below = WkwChunks(form, sources[level.mag], tables)
            if level.mag not in packs:
                return below
        painted = PackedBlocks(annotation.source, packs[level.mag], pages)
        return OverlayChunks(ArrayForm(layer, level, dialect), painted, below, plans)

    def make_chunks(dialect: Dialect) -> tuple[Chunks, ...]:
        return tuple(chunks(level, dialect) for level in layer.levels if isinstance(level, WkwLevel))

    return OpenLayer(layer, annotation.witnesses, make_chunks)


def _header(volume: PackedVolume) -> WkwHeader | None:
    """Of the blocks as the import packed them; None where there are none to tell."""
    if volume.element_class is None or volume.block_side is None:
        return None
    dtype = ELEMENT_CLASSES[volume.element_class][0]
    voxel_type, item_bytes = next((number, size) for number, (name, size) in VOXEL_TYPES.items() if name == dtype)
    return WkwHeader(volume.block_side, _FILE_SIDE, BlockType.LZ4, voxel_type, item_bytes, 0)


def _alike(below: WkwHeader, painted: WkwHeader) -> bool:
    return (below.block_side, below.voxel_type, below.voxel_bytes) == (
        painted.block_side,
        painted.voxel_type,
        painted.voxel_bytes,
    )


def _own_mags(volume: PackedVolume, header: WkwHeader | None) -> list[StoredMag]:
    return [] if header is None else [StoredMag(mag.mag, "", header) for mag in volume.mags]


def _shared(volume: PackedVolume, below: list[StoredMag]) -> tuple[list[StoredMag], tuple[str, ...]]:
    """The mags of a fallback layer that the annotation has as well, and a note for every other one.

    A level with the annotation alone would hide the layer below, one without it would hide the annotation.
    """
    if not volume.mags:
        return below, ()
    painted, stored = {mag.mag for mag in volume.mags}, {mag.mag for mag in below}
    notes = [f"mag {mag.literal} is left out: the fallback layer lacks it" for mag in sorted(painted - stored)]
    notes += [f"mag {mag.literal} is left out: the annotation lacks it" for mag in sorted(stored - painted)]
    return [mag for mag in below if mag.mag in painted], tuple(notes)


def _described(annotation: Annotation, volume: PackedVolume, below: LayerDescription | None) -> LayerDescription:
    """The volume layer in the words of a dataset: within the dataset's boxes, and wherever else something is painted."""
    name = volume_name(volume)
    description = annotation.below.description
    boxes = [] if description is None else [layer.box for layer in description.layers]
    hull = _hull(boxes) if boxes else None
    for mag in volume.mags:
        box = _painted_box(volume, mag.mag, mag.extent)
        # Blocks reach out of a dataset at its faces. Without a dataset nothing tells where they end: all is shown.
        if box is not None and (not boxes or hull is None or not _covers(hull, box, volume.block_side or 1, mag.mag)):
            hull = _hull([box] if hull is None else [hull, box])
    if hull is None:
        raise UnsupportedLayer(f"layer {name!r}: nothing is painted in it, and its dataset is not registered here")
    element_class = volume.element_class or (below.element_class if below else "")
    return LayerDescription(
        name=name,
        category="segmentation",
        box=hull,
        element_class=element_class,
        data_format="wkw",
        channels=1,
        mags=(),
        view={} if below is None else below.view,
    )


def _painted_box(volume: PackedVolume, mag: Mag, extent: BoundingBox | None) -> BoundingBox | None:
    """Where blocks of a mag lie, in mag-1 voxels."""
    if extent is None or volume.block_side is None:
        return None
    sides = [volume.block_side * side for side in mag.xyz]
    return BoundingBox(_times(extent.top_left, sides), _times(extent.size, sides))


def _covers(hull: BoundingBox, box: BoundingBox, block_side: int, mag: Mag) -> bool:
    """Whether no whole block of `box` lies outside of `hull`: those at its faces reach out of it."""
    sides = [block_side * side for side in mag.xyz]
    return all(
        low // side * side <= start and end <= -(-high // side) * side
        for low, high, start, end, side in zip(
            hull.top_left, hull.bottom_right, box.top_left, box.bottom_right, sides, strict=True
        )
    )


def _hull(boxes: list[BoundingBox]) -> BoundingBox:
    start = [max(0, min(box.top_left[axis] for box in boxes)) for axis in range(3)]
    end = [max(box.bottom_right[axis] for box in boxes) for axis in range(3)]
    if any(low >= high for low, high in zip(start, end, strict=True)):
        raise CorruptFile("the boxes of a dataset lie below voxel 0")
    return BoundingBox(vec3(start), vec3([high - low for low, high in zip(start, end, strict=True)]))


def _times(numbers: Vec3, factors: list[int]) -> Vec3:
    return vec3([number * factor for number, factor in zip(numbers, factors, strict=True)])


def _within(level: WkwLevel, box: BoundingBox) -> WkwLevel:
    """The level within a layer's own box (mag-1 voxels) as well."""
    inside = box.in_mag(level.mag)
    return replace(
        level,
        box_start=vec3([max(a, b) for a, b in zip(level.box_start, inside.top_left, strict=True)]),
        box_end=vec3([min(a, b) for a, b in zip(level.box_end, inside.bottom_right, strict=True)]),
    )
