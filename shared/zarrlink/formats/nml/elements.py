"""Which elements an NML file has, what may be in which, and how each becomes a value.

Source: WEBKNOSSOS's documentation, "NML files", and real files. The order of elements does not matter.
"""

from __future__ import annotations

from typing import Any, Final

from zarrlink.errors import InvalidRequest
from zarrlink.formats.nml.drafts import Draft, Kind, Rows
from zarrlink.formats.nml.model import (
    AdditionalAxis,
    Branchpoint,
    Comment,
    Document,
    Experiment,
    Group,
    Meta,
    MetadataEntry,
    MetadataValue,
    NmlBox,
    Parameters,
    Scale,
    Segment,
    Skeleton,
    Tree,
    Volume,
)

ROOT_NAME: Final = "things"
VOLUME_NAME: Final = "volume"
_SKELETON_PARTS: Final = ("thing", "branchpoints", "comments", "groups")


def _document(draft: Draft) -> Document:
    has_skeleton = any(name in draft.items for name in _SKELETON_PARTS)
    skeleton = Skeleton(
        trees=draft.many("thing"),
        branchpoints=draft.joined("branchpoints"),
        comments=draft.joined("comments"),
        groups=draft.joined("groups"),
    )
    return Document(
        metas=draft.many("meta"),
        parameters=draft.single("parameters") or Parameters(),
        skeleton=skeleton if has_skeleton else None,
        volumes=draft.many("volume"),
        extra=draft.extra(),
    )


def _meta(draft: Draft) -> Meta:
    return Meta(draft.text("name") or "", draft.text("content") or "", draft.extra())


def _parameters(draft: Draft) -> Parameters:
    edit_position, edit_additional_coordinates = draft.single("editPosition") or (None, ())
    return Parameters(
        experiment=draft.single("experiment"),
        scale=draft.single("scale"),
        offset=draft.single("offset"),
        time_ms=draft.single("time"),
        edit_position=edit_position,
        edit_additional_coordinates=edit_additional_coordinates,
        edit_rotation=draft.single("editRotation"),
        zoom_level=draft.single("zoomLevel"),
        active_node_id=draft.single("activeNode"),
        user_boxes=draft.many("userBoundingBox"),
        task_box=draft.single("taskBoundingBox"),
        additional_axes=draft.joined("additionalAxes"),
        extra=draft.extra(),
    )


def _experiment(draft: Draft) -> Experiment:
    return Experiment(
        name=draft.text("name") or "",
        organization=draft.text("organization"),
        dataset_id=draft.text("datasetId"),
        description=draft.text("description"),
        wk_url=draft.text("wkUrl"),
        extra=draft.extra(),
    )


def _scale(draft: Draft) -> Scale:
    factor = draft.vec3_float(("x", "y", "z"))
    if factor is None:
        raise InvalidRequest("it needs x, y and z")
    return Scale(factor, draft.word("unit"), draft.extra())


def _edit_position(draft: Draft) -> tuple[Any, Any]:
    return draft.vec3(("x", "y", "z")), draft.coordinates()


def _box(draft: Draft) -> NmlBox:
    return NmlBox(
        top_left=(draft.coordinate("topLeftX"), draft.coordinate("topLeftY"), draft.coordinate("topLeftZ")),
        size=(draft.coordinate("width"), draft.coordinate("height"), draft.coordinate("depth")),
        id=draft.whole("id"),
        name=draft.text("name"),
        is_visible=draft.flag("isVisible"),
        color=draft.color(),
        extra=draft.extra(),
    )


def _axis(draft: Draft) -> AdditionalAxis:
    name = draft.text("name") or ""
    return AdditionalAxis(name, draft.id("index"), draft.id("start"), draft.id("end"), draft.extra())


def _metadata_entry(draft: Draft) -> MetadataEntry:
    """The first kind of value there is; one of another kind beside it counts as unknown."""
    key, value = draft.text("key") or "", _metadata_value(draft)
    return MetadataEntry(key, value, draft.extra())


def _metadata_value(draft: Draft) -> MetadataValue:
    string = draft.text("stringValue")
    if string is not None:
        return string
    flag = draft.flag("boolValue")
    if flag is not None:
        return flag
    number = draft.number("numberValue")
    return draft.string_list() if number is None else number


def _tree(draft: Draft) -> Tree:
    nodes, edges = draft.rows.get("nodes"), draft.rows.get("edges")
    return Tree(
        id=draft.id("id"),
        name=draft.text("name") or "",
        color=draft.color(),
        group_id=draft.whole("groupId"),
        type=draft.word("type") or "DEFAULT",
        is_visible=draft.flag("isVisible"),
        nodes=nodes.nodes() if nodes else Rows("nodes").nodes(),
        edges=edges.edges() if edges else Rows("edges").edges(),
        metadata=draft.joined("metadata"),
        extra=draft.extra(),
    )


def _branchpoint(draft: Draft) -> Branchpoint:
    return Branchpoint(draft.id("id"), draft.whole("time"), draft.extra())


def _comment(draft: Draft) -> Comment:
    return Comment(draft.id("node"), draft.text("content") or "", draft.extra())


def _group(draft: Draft) -> Group:
    name, is_expanded = draft.text("name") or "", draft.flag("isExpanded")
    return Group(draft.id("id"), name, is_expanded, draft.many("group"), draft.extra())


def _segment(draft: Draft) -> Segment:
    return Segment(
        id=draft.id("id"),
        name=draft.text("name"),
        created_ms=draft.whole("created"),
        anchor=draft.vec3(("anchorPositionX", "anchorPositionY", "anchorPositionZ")),
        additional_coordinates=draft.coordinates(),
        color=draft.color(),
        group_id=draft.whole("groupId"),
        metadata=draft.joined("metadata"),
        extra=draft.extra(),
    )


def _volume(draft: Draft) -> Volume:
    return Volume(
        id=draft.whole("id"),
        name=draft.text("name"),
        location=draft.word("location"),
        format=draft.word("format") or "wkw",
        fallback_layer=draft.word("fallbackLayer"),
        largest_segment_id=draft.whole("largestSegmentId"),
        mapping_name=draft.word("mappingName"),
        mapping_is_locked=draft.flag("mappingIsLocked"),
        segments=draft.joined("segments"),
        groups=draft.joined("groups"),
        extra=draft.extra(),
    )


def _container(name: str, kind: Kind) -> Kind:
    return Kind(lambda draft: draft.many(name), {name: kind}, shared=True)


def _rows(name: str) -> Kind:
    return Kind(lambda _: None, {name: Kind(lambda _: None, row=True)}, shared=True)


_GROUP_CHILDREN: Final[dict[str, Kind]] = {}
_GROUP: Final = Kind(_group, _GROUP_CHILDREN)
_GROUP_CHILDREN["group"] = _GROUP
_GROUPS: Final = _container("group", _GROUP)
_METADATA: Final = _container("metadataEntry", Kind(_metadata_entry))
_PARAMETERS: Final = Kind(
    _parameters,
    {
        "experiment": Kind(_experiment),
        "scale": Kind(_scale),
        "offset": Kind(lambda draft: draft.vec3(("x", "y", "z")), shared=True),
        "time": Kind(lambda draft: draft.whole("ms"), shared=True),
        "editPosition": Kind(_edit_position, shared=True),
        "editRotation": Kind(lambda draft: draft.vec3_float(("xRot", "yRot", "zRot")), shared=True),
        "zoomLevel": Kind(lambda draft: draft.number("zoom"), shared=True),
        "activeNode": Kind(lambda draft: draft.whole("id"), shared=True),
        "userBoundingBox": Kind(_box),
        "taskBoundingBox": Kind(_box),
        "additionalAxes": _container("additionalAxis", Kind(_axis)),
    },
)
_TREE: Final = Kind(_tree, {"nodes": _rows("node"), "edges": _rows("edge"), "metadata": _METADATA})
_SEGMENT: Final = Kind(_segment, {"metadata": _METADATA})
_VOLUME: Final = Kind(_volume, {"segments": _container("segment", _SEGMENT), "groups": _GROUPS})
ROOT: Final = Kind(
    _document,
    {
        "meta": Kind(_meta),
        "parameters": _PARAMETERS,
        "thing": _TREE,
        "branchpoints": _container("branchpoint", Kind(_branchpoint)),
        "comments": _container("comment", Kind(_comment)),
        "groups": _GROUPS,
        "volume": _VOLUME,
    },
)
