"""Write an NML file: the order of elements and attributes is WEBKNOSSOS's, and the same values give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from zarrlink.formats.nml.model import Document, Experiment, NmlBox, Parameters, Segment, Skeleton, Volume
from zarrlink.formats.nml.opaque import Extra
from zarrlink.formats.nml.tree_lines import (
    color_pairs,
    coordinate_pairs,
    groups_lines,
    metadata_lines,
    tree_lines,
    vec_pairs,
)
from zarrlink.formats.nml.xml_text import INDENT, Pairs, check_writable, lines

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NO_LOCATION: Final = f"{INDENT * 2}<!-- The data of this volume was left out of this download. -->\n"
_CHUNK_CHARACTERS: Final = 2**16
_XYZ: Final = ("x", "y", "z")
_SKELETON_CONTAINERS: Final = ("branchpoints", "comments", "groups")
_AXES: Final = "additionalAxes"
_SINGLE_PARAMETERS: Final = ("offset", "time", "editPosition", "editRotation", "zoomLevel", "activeNode")


def write(document: Document) -> Iterator[bytes]:
    """The file in pieces of some 64 KiB.

    Raises InvalidRequest at once, not half way, where a text has characters that XML cannot hold or a number is not
    finite. What is unknown stands after what is known in its element.
    """
    check_writable(document)
    return _chunks(_document(document))


def _chunks(text: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    length = 0
    for line in text:
        held.append(line)
        length += len(line)
        if length >= _CHUNK_CHARACTERS:
            yield "".join(held).encode()
            held.clear()
            length = 0
    yield "".join(held).encode()


def _document(document: Document) -> Iterator[str]:
    extra = document.extra
    metas = (line for meta in document.metas for line in _meta(meta.name, meta.content, meta.extra))
    skeleton = _skeleton(document.skeleton, extra) if document.skeleton is not None else ()
    volumes = (line for volume in document.volumes for line in _volume(volume))
    rest = extra if document.skeleton is None else extra.beside(_SKELETON_CONTAINERS)
    yield _DECLARATION
    yield from lines(0, "things", {}, metas, _parameters(document.parameters), skeleton, volumes, extra=rest)


def _meta(name: str, content: str, extra: Extra) -> Iterator[str]:
    return lines(1, "meta", {"name": name, "content": content}, extra=extra)


def _parameters(parameters: Parameters) -> Iterator[str]:
    extra = parameters.extra
    return lines(1, "parameters", {}, _parameter_lines(parameters), extra=extra.beside((*_SINGLE_PARAMETERS, _AXES)))


def _parameter_lines(parameters: Parameters) -> Iterator[str]:
    if parameters.experiment is not None:
        yield from _experiment(parameters.experiment)
    if parameters.scale is not None:
        pairs: Pairs = {**vec_pairs(_XYZ, parameters.scale.factor), "unit": parameters.scale.unit}
        yield from lines(2, "scale", pairs, extra=parameters.scale.extra)
    singles: dict[str, Pairs] = {
        "offset": vec_pairs(_XYZ, parameters.offset),
        "time": {"ms": parameters.time_ms},
        "editPosition": {
            **vec_pairs(_XYZ, parameters.edit_position),
            **coordinate_pairs(parameters.edit_additional_coordinates),
        },
        "editRotation": vec_pairs(("xRot", "yRot", "zRot"), parameters.edit_rotation),
        "zoomLevel": {"zoom": parameters.zoom_level},
        "activeNode": {"id": parameters.active_node_id},
    }
    for name in _SINGLE_PARAMETERS:
        extra = parameters.extra.inside(name)
        if extra or any(value is not None for value in singles[name].values()):
            yield from lines(2, name, singles[name], extra=extra)
    for box in parameters.user_boxes:
        yield from _box("userBoundingBox", box)
    if parameters.task_box is not None:
        yield from _box("taskBoundingBox", parameters.task_box)
    axes = parameters.extra.inside(_AXES)
    if parameters.additional_axes or axes:
        yield from lines(2, _AXES, {}, _axis_lines(parameters), extra=axes)


def _axis_lines(parameters: Parameters) -> Iterator[str]:
    for axis in parameters.additional_axes:
        pairs: Pairs = {"name": axis.name, "index": axis.index, "start": axis.start, "end": axis.end}
        yield from lines(3, "additionalAxis", pairs, extra=axis.extra)


def _experiment(experiment: Experiment) -> Iterator[str]:
    pairs = {
        "name": experiment.name,
        "organization": experiment.organization,
        "datasetId": experiment.dataset_id,
        "description": experiment.description,
        "wkUrl": experiment.wk_url,
    }
    return lines(2, "experiment", pairs, extra=experiment.extra)


def _box(name: str, box: NmlBox) -> Iterator[str]:
    pairs: Pairs = {
        "id": box.id,
        "name": box.name,
        "isVisible": box.is_visible,
        **color_pairs(box.color),
        **vec_pairs(("topLeftX", "topLeftY", "topLeftZ"), box.top_left),
        **vec_pairs(("width", "height", "depth"), box.size),
    }
    return lines(2, name, pairs, extra=box.extra)


def _skeleton(skeleton: Skeleton, extra: Extra) -> Iterator[str]:
    for tree in skeleton.trees:
        yield from tree_lines(tree)
    yield from lines(1, "branchpoints", {}, _branchpoint_lines(skeleton), extra=extra.inside("branchpoints"))
    yield from lines(1, "comments", {}, _comment_lines(skeleton), extra=extra.inside("comments"))
    yield from groups_lines(1, skeleton.groups, extra)


def _branchpoint_lines(skeleton: Skeleton) -> Iterator[str]:
    for point in skeleton.branchpoints:
        yield from lines(2, "branchpoint", {"id": point.node_id, "time": point.time_ms}, extra=point.extra)


def _comment_lines(skeleton: Skeleton) -> Iterator[str]:
    for comment in skeleton.comments:
        yield from lines(2, "comment", {"node": comment.node_id, "content": comment.content}, extra=comment.extra)


def _volume(volume: Volume) -> Iterator[str]:
    extra = volume.extra
    pairs: Pairs = {
        "id": volume.id,
        "name": volume.name,
        "location": volume.location,
        "format": None if volume.location is None and volume.format == "wkw" else volume.format,
        "fallbackLayer": volume.fallback_layer,
        "largestSegmentId": volume.largest_segment_id,
        "mappingName": volume.mapping_name,
        "mappingIsLocked": volume.mapping_is_locked,
    }
    comment = (_NO_LOCATION,) if volume.location is None else ()
    segments: Iterable[str] = ()
    if volume.segments or extra.inside("segments"):
        inner = (line for segment in volume.segments for line in _segment(segment))
        segments = lines(2, "segments", {}, inner, extra=extra.inside("segments"))
    groups = groups_lines(2, volume.groups, extra) if volume.groups or extra.inside("groups") else ()
    return lines(1, "volume", pairs, comment, segments, groups, extra=extra.beside(("segments", "groups")))


def _segment(segment: Segment) -> Iterator[str]:
    pairs: Pairs = {
        "id": segment.id,
        "name": segment.name,
        "created": segment.created_ms,
        **vec_pairs(("anchorPositionX", "anchorPositionY", "anchorPositionZ"), segment.anchor),
        **coordinate_pairs(segment.additional_coordinates),
        **color_pairs(segment.color),
        "groupId": segment.group_id,
    }
    metadata = metadata_lines(4, segment.metadata, segment.extra)
    return lines(3, "segment", pairs, metadata, extra=segment.extra.beside(("metadata",)))
