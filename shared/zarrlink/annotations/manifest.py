"""`annotation.json`: what an imported annotation consists of, and where in its folder it lies."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from zarrlink.annotations.json_fields import Fields, damaged
from zarrlink.annotations.zip_names import check_name
from zarrlink.errors import CorruptFile, InvalidRequest
from zarrlink.formats.block_pack import MAX_BLOCK_SIDE, MORTON_BITS
from zarrlink.formats.datasource import ELEMENT_CLASSES
from zarrlink.geometry import BoundingBox, Mag, VoxelSize

MANIFEST_KEY: Final = "annotation.json"
NML_KEY: Final = "annotation.nml"
VERSION: Final = 1
UNNAMED: Final = "Volume"
"""What a volume layer is called that has no name, as in old files."""
MAX_BYTES: Final = 4 * 2**20
_CHECK: Final = "check"
_FORMATS: Final = ("wkw", "zarr3")
# What JSON readers keep exact, and what a segment id of 64 bits may need.
_MAX_COUNT: Final = 2**53
_MAX_SEGMENT: Final = 2**64
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PackedMag:
    """One mag's block pack. `blocks`: how many entries; `data_bytes`: of its stored blocks; `extent`: the smallest box
    around the blocks that have data or are erased, in blocks, None where there are none."""

    mag: Mag
    prefix: str
    blocks: int
    data_bytes: int
    extent: BoundingBox | None

    @property
    def index_key(self) -> str:
        return self.prefix + ".index"

    @property
    def blocks_key(self) -> str:
        return self.prefix + ".blocks"


@dataclass(frozen=True, slots=True)
class EditedMapping:
    """A proofreading file, kept as it came: where it lies here, and what it is called in a download."""

    key: str
    name: str
    file_bytes: int


@dataclass(frozen=True, slots=True)
class PackedVolume:
    """One volume layer. `id`, `name`, ... as in the NML (`name` None in old ones); `format`: the one it came in.

    `element_class` and `block_side` are None where there was no volume data to tell them. `mags`: finest first.
    `nml_offset`: the byte of the NML at which its tag starts.
    """

    id: int
    name: str | None
    format: str
    element_class: str | None
    fallback_layer: str | None
    largest_segment_id: int | None
    mapping_name: str | None
    mapping_is_locked: bool
    edited_mapping: EditedMapping | None
    block_side: int | None
    mags: tuple[PackedMag, ...]
    nml_offset: int = 0

    @property
    def block_bytes(self) -> int:
        """Length of a decoded block. Only where there are mags."""
        if self.block_side is None or self.element_class is None:
            raise CorruptFile("a volume without data has no blocks", key=MANIFEST_KEY)
        return self.block_side**3 * ITEM_BYTES[self.element_class]


@dataclass(frozen=True, slots=True)
class Manifest:
    """An imported annotation. The dataset's facts are the NML's; `voxel_size` None where it names none."""

    name: str
    dataset_name: str | None
    organization: str | None
    dataset_id: str | None
    annotation_id: str | None
    username: str | None
    voxel_size: VoxelSize | None
    volumes: tuple[PackedVolume, ...]
    trees: int
    nodes: int

    def to_json(self) -> bytes:
        document = {
            "version": VERSION,
            "name": self.name,
            "dataset": {"name": self.dataset_name, "organization": self.organization, "id": self.dataset_id},
            "annotationId": self.annotation_id,
            "username": self.username,
            "voxelSize": self.voxel_size and {"factor": list(self.voxel_size.factor), "unit": self.voxel_size.unit},
            "skeleton": {"trees": self.trees, "nodes": self.nodes},
            "volumes": [_volume_json(volume) for volume in self.volumes],
        }
        return json.dumps({**document, _CHECK: _check(document)}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes | bytearray) -> Manifest:
        """Raises CorruptFile, naming the field, for anything that `to_json` does not write."""
        if len(data) > MAX_BYTES:
            raise damaged("its size")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise damaged("its JSON") from error
        top = Fields(document, "it")
        if top.whole("version", VERSION + 1) != VERSION:
            raise damaged("its version")
        # Not in those of older imports. A digit that flipped is a digit still: another block count, another fallback layer.
        if document.pop(_CHECK, None) not in (None, _check(document)):
            raise damaged("its check")
        dataset, skeleton = top.fields("dataset"), top.fields("skeleton")
        volumes = tuple(_volume(Fields(entry, "a volume"), place) for place, entry in enumerate(top.items("volumes")))
        return cls(
            name=top.text("name"),
            dataset_name=dataset.text_or_none("name"),
            organization=dataset.text_or_none("organization"),
            dataset_id=dataset.text_or_none("id"),
            annotation_id=top.text_or_none("annotationId"),
            username=top.text_or_none("username"),
            voxel_size=_voxel_size(top),
            volumes=volumes,
            trees=skeleton.whole("trees", _MAX_COUNT),
            nodes=skeleton.whole("nodes", _MAX_COUNT),
        )


# element class -> bytes of a voxel, for those that a volume annotation can have
ITEM_BYTES: Final = {
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float": 4,
    "double": 8,
}
ELEMENT_CLASS_OF: Final = {ELEMENT_CLASSES[name][0]: name for name in ITEM_BYTES}
"""Name as in Zarr v3 -> element class."""


def mag_prefix(volume_place: int, mag: Mag) -> str:
    """Where the two objects of a mag lie; `volume_place` is the volume's in the NML."""
    return f"volumes/{volume_place}/{mag.dashed}"


def edited_mapping_key(volume_place: int) -> str:
    return f"volumes/{volume_place}/edited-mapping.zip"


def _volume_json(volume: PackedVolume) -> dict[str, Any]:
    edited = volume.edited_mapping
    return {
        "id": volume.id,
        "name": volume.name,
        "format": volume.format,
        "elementClass": volume.element_class,
        "fallbackLayer": volume.fallback_layer,
        # As text: 64 bits are more than JSON readers keep exact.
        "largestSegmentId": None if volume.largest_segment_id is None else str(volume.largest_segment_id),
        "mappingName": volume.mapping_name,
        "mappingIsLocked": volume.mapping_is_locked,
        "editedMapping": edited and {"key": edited.key, "name": edited.name, "bytes": edited.file_bytes},
        "nmlOffset": volume.nml_offset,
        "blockSide": volume.block_side,
        "mags": [
            {
                "mag": list(mag.mag.xyz),
                "prefix": mag.prefix,
                "blocks": mag.blocks,
                "dataBytes": mag.data_bytes,
                "extent": mag.extent and mag.extent.to_list(),
            }
            for mag in volume.mags
        ],
    }


def _volume(fields: Fields, place: int) -> PackedVolume:
    largest = fields.text_or_none("largestSegmentId")
    if largest is not None and not (largest.isascii() and largest.isdigit() and len(largest) <= 20):
        raise damaged("a volume's largestSegmentId")
    mags = tuple(_mag(Fields(entry, "a mag"), place) for entry in fields.items("mags"))
    side, element_class = fields.value("blockSide"), fields.text_or_none("elementClass")
    if side is not None:
        side = fields.whole("blockSide", MAX_BLOCK_SIDE + 1)
        if side & (side - 1) or side == 0:
            raise damaged("a volume's blockSide")
    if fields.text("format") not in _FORMATS or (element_class is not None and element_class not in ITEM_BYTES):
        raise damaged("a volume's format or elementClass")
    if (mags and (side is None or element_class is None)) or len({mag.mag for mag in mags}) != len(mags):
        raise damaged("a volume's mags")
    return PackedVolume(
        id=fields.whole("id", _MAX_SEGMENT),
        name=fields.text_or_none("name"),
        format=fields.text("format"),
        element_class=element_class,
        fallback_layer=fields.text_or_none("fallbackLayer"),
        largest_segment_id=None if largest is None else int(largest),
        mapping_name=fields.text_or_none("mappingName"),
        mapping_is_locked=fields.flag("mappingIsLocked"),
        edited_mapping=_edited_mapping(fields, place),
        block_side=side,
        mags=mags,
        nml_offset=fields.whole("nmlOffset", _MAX_COUNT),
    )


def _edited_mapping(fields: Fields, place: int) -> EditedMapping | None:
    if fields.value("editedMapping") is None:
        return None
    edited = fields.fields("editedMapping")
    if edited.text("key") != edited_mapping_key(place):
        raise damaged("the key of an edited mapping")
    _checked("the name of an edited mapping", lambda: check_name(edited.text("name")))
    return EditedMapping(edited.text("key"), edited.text("name"), edited.whole("bytes", _MAX_COUNT))


def _mag(fields: Fields, place: int) -> PackedMag:
    mag = _checked("a mag", lambda: Mag(*fields.items("mag")))
    extent = None
    if fields.value("extent") is not None:
        numbers = fields.items("extent")
        extent = _checked("the extent of a mag", lambda: BoundingBox.from_list(numbers))
        if min(extent.top_left) < 0 or max(extent.bottom_right) > 1 << MORTON_BITS:
            raise damaged("the extent of a mag")
    blocks, data_bytes = fields.whole("blocks", _MAX_COUNT), fields.whole("dataBytes", _MAX_COUNT)
    if (extent is None and data_bytes) or (extent is not None and not blocks):
        raise damaged("the extent of a mag")
    if fields.text("prefix") != mag_prefix(place, mag):
        raise damaged("the prefix of a mag")
    return PackedMag(mag, fields.text("prefix"), blocks, data_bytes, extent)


def _voxel_size(top: Fields) -> VoxelSize | None:
    if top.value("voxelSize") is None:
        return None
    fields = top.fields("voxelSize")
    factor = fields.items("factor")
    if not all(isinstance(length, int | float) and not isinstance(length, bool) for length in factor):
        raise damaged("its voxel size")
    return _checked("its voxel size", lambda: VoxelSize(tuple(factor), fields.text("unit")))


def _check(document: dict[str, Any]) -> int:
    """CRC-32 of all that is said, in whatever order."""
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())


def _checked(label: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except (InvalidRequest, TypeError, OverflowError) as error:
        raise damaged(label) from error
