"""An NML file as values: a WEBKNOSSOS annotation's skeleton, boxes and what it says of its volumes.

Positions and boxes are (x, y, z) in mag-1 voxels. `None` means that the file does not say. `extra` keeps what we do not
know. Source: WEBKNOSSOS's documentation, "NML files", and real files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from zarrlink.formats.nml.opaque import NOTHING, Extra
from zarrlink.formats.nml.packed import AdditionalCoordinates, Edges, Nodes, Vec3Float
from zarrlink.geometry import BoundingBox, Vec3, VoxelSize

Color = tuple[float, float, float, float]
"""Red, green, blue, alpha, each from 0 to 1."""
MetadataValue = str | bool | float | tuple[str, ...]

NANOMETER: Final = "nanometer"


@dataclass(frozen=True, slots=True)
class Meta:
    """`name`, such as `annotationId`, `username`, `timestamp` (ms), `writer`, `taskId`."""

    name: str
    content: str = ""
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Experiment:
    """The dataset that was annotated; `name` is its name."""

    name: str = ""
    organization: str | None = None
    dataset_id: str | None = None
    description: str | None = None
    wk_url: str | None = None
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Scale:
    """The voxel size as written: -1 along each axis where it is not known, no unit where it is nanometres."""

    factor: Vec3Float
    unit: str | None = None
    extra: Extra = NOTHING

    @property
    def voxel_size(self) -> VoxelSize | None:
        """None where it is not known. Raises InvalidRequest where no voxel is that large or small."""
        if any(length <= 0 for length in self.factor):
            return None
        return VoxelSize(self.factor, self.unit or NANOMETER)


@dataclass(frozen=True, slots=True)
class NmlBox:
    """A bounding box of a user, or of a task (then without id and the like). It may be empty, as files have such."""

    top_left: Vec3
    size: Vec3
    id: int | None = None
    name: str | None = None
    is_visible: bool | None = None
    color: Color | None = None
    extra: Extra = NOTHING

    @property
    def bounding_box(self) -> BoundingBox:
        """Raises InvalidRequest where the box is empty."""
        return BoundingBox(self.top_left, self.size)


@dataclass(frozen=True, slots=True)
class AdditionalAxis:
    """An axis beyond x, y and z, from `start` (inside) to `end` (not inside)."""

    name: str
    index: int
    start: int
    end: int
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Parameters:
    """Where the annotation lies and what its user looked at last."""

    experiment: Experiment | None = None
    scale: Scale | None = None
    offset: Vec3 | None = None
    time_ms: int | None = None
    """Since 1970."""
    edit_position: Vec3 | None = None
    edit_additional_coordinates: AdditionalCoordinates = ()
    edit_rotation: Vec3Float | None = None
    """In degrees."""
    zoom_level: float | None = None
    active_node_id: int | None = None
    user_boxes: tuple[NmlBox, ...] = ()
    task_box: NmlBox | None = None
    additional_axes: tuple[AdditionalAxis, ...] = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    """A word of a user about a tree or segment. A list without items and no value at all are written alike: `()`."""

    key: str
    value: MetadataValue = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Tree:
    """`<thing>`: nodes joined by edges. `type`: `DEFAULT` or `AGGLOMERATE`."""

    id: int
    name: str = ""
    color: Color | None = None
    group_id: int | None = None
    type: str = "DEFAULT"
    is_visible: bool | None = None
    nodes: Nodes = field(default_factory=Nodes)
    edges: Edges = field(default_factory=Edges)
    metadata: tuple[MetadataEntry, ...] = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Branchpoint:
    """A node from which there is more to follow."""

    node_id: int
    time_ms: int | None = None
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Comment:
    """A user's words at a node."""

    node_id: int
    content: str = ""
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Group:
    """A group of trees or of segments, and the groups in it."""

    id: int
    name: str = ""
    is_expanded: bool | None = None
    groups: tuple[Group, ...] = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Trees and what is said of their nodes; branchpoints newest first."""

    trees: tuple[Tree, ...] = ()
    branchpoints: tuple[Branchpoint, ...] = ()
    comments: tuple[Comment, ...] = ()
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """What is said of one segment of a volume; `anchor` is a voxel in it."""

    id: int
    name: str | None = None
    created_ms: int | None = None
    anchor: Vec3 | None = None
    additional_coordinates: AdditionalCoordinates = ()
    color: Color | None = None
    group_id: int | None = None
    metadata: tuple[MetadataEntry, ...] = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume layer; its voxels are not in the NML.

    `id` is its index; old files have no `name`. `location` names the zip beside the NML, None where volume data was
    left out. `format`: `wkw` or `zarr3`. `mapping_is_locked` is not said of editable mappings.
    """

    id: int | None = None
    name: str | None = None
    location: str | None = None
    format: str = "wkw"
    fallback_layer: str | None = None
    largest_segment_id: int | None = None
    mapping_name: str | None = None
    mapping_is_locked: bool | None = None
    segments: tuple[Segment, ...] = ()
    groups: tuple[Group, ...] = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Document:
    """A whole NML file. `skeleton` is None where it has no skeleton parts at all, which is not an empty skeleton."""

    metas: tuple[Meta, ...] = ()
    parameters: Parameters = field(default_factory=Parameters)
    skeleton: Skeleton | None = None
    volumes: tuple[Volume, ...] = ()
    extra: Extra = NOTHING

    def meta(self, name: str) -> str | None:
        """The content of the first meta of this name."""
        return next((meta.content for meta in self.metas if meta.name == name), None)

    @property
    def dataset_name(self) -> str | None:
        return (self.parameters.experiment.name or None) if self.parameters.experiment else None

    @property
    def organization(self) -> str | None:
        return self.parameters.experiment.organization if self.parameters.experiment else None

    @property
    def dataset_id(self) -> str | None:
        return self.parameters.experiment.dataset_id if self.parameters.experiment else None

    @property
    def voxel_size(self) -> VoxelSize | None:
        """None where it is not known. Raises InvalidRequest where no voxel is that large or small."""
        return self.parameters.scale.voxel_size if self.parameters.scale else None

    @property
    def trees(self) -> tuple[Tree, ...]:
        return self.skeleton.trees if self.skeleton else ()

    @property
    def node_count(self) -> int:
        return sum(len(tree.nodes) for tree in self.trees)

    def replace_volumes(self, volumes: Iterable[Volume]) -> Document:
        """The same with other volumes."""
        return replace(self, volumes=tuple(volumes))

    def without_volume_locations(self) -> Document:
        """The same as it goes out without volume data; the writer says so in a comment in each volume."""
        return self.replace_volumes(replace(volume, location=None) for volume in self.volumes)
