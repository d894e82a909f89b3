"""What an import needs to know of an NML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zarrlink.annotations.manifest import UNNAMED
from zarrlink.errors import InvalidRequest
from zarrlink.formats.nml import Document, Limits, Volume, check, parse
from zarrlink.geometry import VoxelSize

MAX_VOLUMES: Final = 100
_EDITED: Final = "editedMappingEdgesLocation"
_MAX_SEGMENT: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """One `<volume>`, whose tag starts at byte `nml_offset`. `id`: its place where the NML names none."""

    id: int
    name: str | None
    location: str | None
    format: str
    fallback_layer: str | None
    largest_segment_id: int | None
    mapping_name: str | None
    mapping_is_locked: bool
    edited_mapping_location: str | None
    nml_offset: int


@dataclass(frozen=True, slots=True)
class NmlFacts:
    """`voxel_size` is None where it is absent or -1. `trees`, `nodes`: how many."""

    annotation_id: str | None
    username: str | None
    dataset_name: str | None
    organization: str | None
    dataset_id: str | None
    voxel_size: VoxelSize | None
    trees: int
    nodes: int
    volumes: tuple[VolumeFacts, ...]


def read_facts(nml: bytes | Iterable[bytes], limits: Limits) -> NmlFacts:
    """The facts of an NML. Raises InvalidRequest for what is none, for what is beyond the limits, and where WEBKNOSSOS
    would refuse it (docs/decisions/0020)."""
    starts: list[int] = []
    document = parse(nml, limits, volume_starts=starts)
    check(document)
    if len(document.volumes) > MAX_VOLUMES:
        raise InvalidRequest(f"the NML has more than {MAX_VOLUMES} volume layers")
    volumes = tuple(_volume(volume, place, starts[place]) for place, volume in enumerate(document.volumes))
    if len({volume.id for volume in volumes}) != len(volumes):
        raise InvalidRequest("the NML has two volume layers of one id")
    # A link names its layers: one without a name is called so there.
    if len({volume.name or UNNAMED for volume in volumes}) != len(volumes):
        raise InvalidRequest("the NML has two volume layers of one name")
    return NmlFacts(
        annotation_id=document.meta("annotationId"),
        username=document.meta("username"),
        dataset_name=document.dataset_name,
        organization=document.organization,
        dataset_id=document.dataset_id,
        voxel_size=_voxel_size(document),
        trees=len(document.trees),
        nodes=document.node_count,
        volumes=volumes,
    )


def _voxel_size(document: Document) -> VoxelSize | None:
    try:
        return document.voxel_size
    except InvalidRequest as error:
        raise InvalidRequest(f"the NML's scale: {error}") from error


def _volume(volume: Volume, place: int, nml_offset: int) -> VolumeFacts:
    number = place if volume.id is None else volume.id
    largest = volume.largest_segment_id
    if not 0 <= number < _MAX_SEGMENT or not (largest is None or 0 <= largest <= _MAX_SEGMENT):
        raise InvalidRequest("a volume layer of the NML has a number below 0 as its id, or as its largestSegmentId")
    return VolumeFacts(
        id=number,
        name=volume.name or None,
        location=volume.location or None,
        format=volume.format,
        fallback_layer=volume.fallback_layer or None,
        largest_segment_id=largest,
        mapping_name=volume.mapping_name or None,
        mapping_is_locked=volume.mapping_is_locked is True,
        edited_mapping_location=dict(volume.extra.attributes).get(_EDITED) or None,
        nml_offset=nml_offset,
    )
