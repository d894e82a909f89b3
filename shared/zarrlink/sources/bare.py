"""Folders without `datasource-properties.json`: what they are, described as if they had one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.formats import source_n5, source_precomputed, source_zarr
from zarrlink.formats.datasource import AxisOrder, DatasetDescription, LayerDescription, check_layer_name
from zarrlink.geometry import VoxelSize
from zarrlink.sources.bare_ome import MAX_IMAGES, image_layer, labels_of, read_image, size_of
from zarrlink.sources.documents import Documents
from zarrlink.sources.pyramid import (
    NO_UNIT,
    Axes,
    FoundLevel,
    axes_by_name,
    make_layer,
    unit_word,
    voxel_size,
)
from zarrlink.sources.recognise import MAX_PROBE_BYTES, PROBES, Kind, kind_of
from zarrlink.storage.interface import ByteSource

_SUFFIXES: Final = (".ome.zarr", ".zarr", ".n5", ".precomputed")
_MAX_LEVELS: Final = 32
# What WEBKNOSSOS and others take the axes of a nameless array for, by their number.
_ZARR_AXES: Final = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
_N5_AXES: Final = {2: "xy", 3: "xyz", 4: "cxyz"}
_NO_SIZE: Final = VoxelSize((1.0, 1.0, 1.0), NO_UNIT)


@dataclass(frozen=True, slots=True)
class BareDataset:
    """A folder's description, and key -> ETag of the documents that it was made from."""

    description: DatasetDescription
    witnesses: dict[str, str]


async def find_kind(source: ByteSource) -> Kind | None:
    """What the folder is, None where it is nothing that zarrlink knows. Raises SourceUnavailable."""
    documents = Documents(source)
    found: dict[str, bytes] = {}
    for key in PROBES:
        try:
            data = await documents.read(key, MAX_PROBE_BYTES)
        except CorruptFile:
            continue
        if data is not None:
            found[key] = data
    return kind_of(found)


async def describe_bare(source: ByteSource, *, name: str) -> BareDataset | None:
    """The description of a folder without one, None where the folder is nothing that zarrlink knows.

    `name`: the dataset's, which names its layer as well where nothing else does. Boxes in mag-1 voxels from the array's
    first voxel (Precomputed: from `voxel_offset`). A layer that cannot be read stands in `unreadable`, with the reason.
    Raises CorruptFile where nothing of the folder can be described, SourceUnavailable.
    """
    kind = await find_kind(source)
    if kind is None:
        return None
    documents = Documents(source)
    own = _layer_name(name)
    if kind in ("ome", "collection"):
        description = await _ome(documents, name, own, collection=kind == "collection")
    else:
        try:
            match kind:
                case "zarr":
                    size, layer = await _zarr(documents, own)
                case "precomputed":
                    size, layer = await _precomputed(documents, own)
                case _:
                    size, layer = await _n5(documents, own, group=kind == "n5 group")
            description = DatasetDescription(name, size, (layer,))
        except (UnsupportedLayer, InvalidRequest) as error:
            description = DatasetDescription(name, _NO_SIZE, (), {own: str(error)})
    return BareDataset(description, documents.witnesses)


class _Images:
    """The layers of images as they are found. Mags are relative to the first image's finest level."""

    def __init__(self, documents: Documents, own: str) -> None:
        self._documents = documents
        self._own = own
        self.layers: dict[str, LayerDescription] = {}
        self.unreadable: dict[str, str] = {}
        self.mag1: VoxelSize | None = None

    async def add(self, prefix: str, name: str | None, *, label: bool = False) -> bool:
        """Add the image below `prefix`, named as it names itself where `name` is None. False where there is none."""
        shown = self._own if name is None else name
        try:
            image = await read_image(self._documents, prefix)
            if image is None and not label:
                return False
            if image is None:
                raise UnsupportedLayer("it holds no image")  # noqa: TRY301 (told as all the others)
            shown = self._free(_layer_name(image.name or "", self._own) if name is None else name)
            self.mag1 = self.mag1 or size_of(image)
            layer = await image_layer(self._documents, prefix, shown, image, self.mag1, label=label)
            self.layers[shown] = layer
        except (UnsupportedLayer, CorruptFile, InvalidRequest) as error:
            self.unreadable[self._free(shown)] = str(error)
        for folder in () if label else await labels_of(self._documents, prefix):
            label_name = folder.rpartition("/")[2]
            await self.add(f"{prefix}{folder}/", self._free(_layer_name(label_name, "label")), label=True)
        return True

    def _free(self, name: str) -> str:
        """The name, with a number where it is taken: two layers of one name would share one address."""
        free, number = name, 2
        while free in self.layers or free in self.unreadable:
            free, number = f"{name}-{number}", number + 1
        return free


async def _ome(documents: Documents, name: str, own: str, *, collection: bool) -> DatasetDescription:
    images = _Images(documents, own)
    if collection:
        # Images are numbered without a gap.
        for number in range(MAX_IMAGES):
            if not await images.add(f"{number}/", str(number)):
                break
    else:
        await images.add("", None)
    return DatasetDescription(name, images.mag1 or _NO_SIZE, tuple(images.layers.values()), images.unreadable)


async def _zarr(documents: Documents, own: str) -> tuple[VoxelSize, LayerDescription]:
    array = await documents.zarr_array("")
    if array is None:
        raise CorruptFile("the metadata of an array are gone", key=source_zarr.document_name(2))
    names = [] if array.names is None else [(name or "").lower() for name in array.names]
    axes = axes_by_name(names) if {"x", "y"} <= set(names) else _axes_by_rank(len(array.shape), _ZARR_AXES)
    level = FoundLevel(".", array.shape, array.dtype, (1.0, 1.0, 1.0))
    return _NO_SIZE, make_layer(own, "zarr" if array.version == 2 else "zarr3", axes, [level])


async def _precomputed(documents: Documents, own: str) -> tuple[VoxelSize, LayerDescription]:
    data = await documents.read(source_precomputed.FILE_NAME, source_precomputed.MAX_BYTES)
    if data is None:
        raise CorruptFile("the info of a volume is gone", key=source_precomputed.FILE_NAME)
    volume = source_precomputed.parse_info(data, key=source_precomputed.FILE_NAME)
    scales = sorted(volume.scales, key=lambda scale: scale.resolution[0] * scale.resolution[1] * scale.resolution[2])
    finest = scales[0]
    levels = []
    for scale in scales:
        x, y, z = (length / unit for length, unit in zip(scale.resolution, finest.resolution, strict=True))
        levels.append(FoundLevel(scale.key, (*scale.size, volume.channels), volume.dtype, (x, y, z)))
    axes = Axes(AxisOrder(3, 0, 1, 2), ())
    segmentation = volume.kind == "segmentation"
    layer = make_layer(own, "neuroglancerPrecomputed", axes, levels, segmentation=segmentation, corner=finest.offset)
    return voxel_size(finest.resolution, "nanometer"), layer


async def _n5(documents: Documents, own: str, *, group: bool) -> tuple[VoxelSize, LayerDescription]:
    limit = source_n5.MAX_BYTES
    attributes = await documents.object(source_n5.FILE_NAME, limit) or {}
    said = source_n5.parse_group(attributes)
    if not group:
        scales: list[tuple[str, tuple[float, ...] | None]] = [(".", None)]
    elif said.scales:
        scales = [(scale.folder, scale.factors) for scale in said.scales]
    else:
        scales = [(f"s{level}", None) for level in range(_MAX_LEVELS)]
    levels: list[tuple[str, source_n5.N5Array, tuple[float, ...] | None]] = []
    for folder, factors in scales:
        key = source_n5.FILE_NAME if folder == "." else f"{folder}/{source_n5.FILE_NAME}"
        data = await documents.read(key, limit)
        if data is None or not source_n5.is_array(source_n5.parse_attributes(data, key=key)):
            break
        own_attributes = source_n5.parse_attributes(data, key=key)
        if not levels and said.resolution is None:
            own_said = source_n5.parse_group(own_attributes)
            said = source_n5.N5Group(said.scales, said.axes or own_said.axes, own_said.resolution, own_said.unit)
        levels.append((folder, source_n5.parse_array(data, key=key), factors or source_n5.own_factors(own_attributes)))
    if not levels:
        raise UnsupportedLayer("it has no level s0 that is an array")
    first = levels[0][1]
    rank = len(first.shape)
    names = first.axes or said.axes
    axes = axes_by_name(names) if names is not None and len(names) == rank else _axes_by_rank(rank, _N5_AXES)
    found = [FoundLevel(folder, array.shape, array.dtype, _spatial(axes, factors)) for folder, array, factors in levels]
    # The lengths may be those of x, y, z alone.
    size = None if said.resolution is None else _spatial(axes, said.resolution)
    unit = unit_word(said.unit)
    return (_NO_SIZE if size is None else voxel_size(size, unit)), make_layer(own, "n5", axes, found)


def _spatial(axes: Axes, numbers: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    """(x, y, z) of numbers that are given for each axis, or for x, y, z alone; None where they are neither."""
    if numbers is None:
        return None
    count = len(axes.order.positions) + len(axes.others)
    if len(numbers) == count:
        return axes.xyz(numbers)
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _axes_by_rank(rank: int, usual: dict[int, str]) -> Axes:
    """The axes of an array that does not name them, as they usually are for so many."""
    if rank not in usual:
        raise UnsupportedLayer(f"its array has {rank} axes and does not name them")
    return axes_by_name(list(usual[rank]))


def _layer_name(text: str, otherwise: str = "image") -> str:
    """A name that a layer can have, from a folder's name or what an image calls itself."""
    for suffix in _SUFFIXES:
        text = text.removesuffix(suffix)
    try:
        check_layer_name(text)
    except InvalidRequest:
        return otherwise
    return text
