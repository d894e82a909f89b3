"""Trees, groups and metadata as lines of XML: what skeletons have, and volumes in part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zarrlink.formats.nml.model import Color, Group, MetadataEntry, Tree
from zarrlink.formats.nml.opaque import Extra
from zarrlink.formats.nml.packed import AdditionalCoordinates, Edges, Nodes
from zarrlink.formats.nml.values import COLOR, COORDINATE_PREFIX, EDGE_ATTRIBUTES, LIST_PREFIX, NODE_ATTRIBUTES
from zarrlink.formats.nml.xml_text import INDENT, Pairs, attributes, lines, unknown, without


def tree_lines(tree: Tree) -> Iterator[str]:
    """A `<thing>`."""
    extra = tree.extra
    pairs: Pairs = {
        "id": tree.id,
        **color_pairs(tree.color),
        "name": tree.name,
        "groupId": tree.group_id,
        "type": tree.type,
        "isVisible": tree.is_visible,
    }
    parts = (
        lines(2, "nodes", {}, _node_lines(tree.nodes), extra=extra.inside("nodes")),
        lines(2, "edges", {}, _edge_lines(tree.edges), extra=extra.inside("edges")),
        metadata_lines(2, tree.metadata, extra),
    )
    return lines(1, "thing", pairs, *parts, extra=extra.beside(("nodes", "edges", "metadata")))


def groups_lines(depth: int, groups: tuple[Group, ...], extra: Extra) -> Iterator[str]:
    """`<groups>`, of trees or of segments; `extra` is that of the element around them."""
    inner = (line for group in groups for line in _group(depth + 1, group))
    return lines(depth, "groups", {}, inner, extra=extra.inside("groups"))


def _group(depth: int, group: Group) -> Iterator[str]:
    pairs: Pairs = {"name": group.name, "id": group.id, "isExpanded": group.is_expanded}
    inner = (line for child in group.groups for line in _group(depth + 1, child))
    return lines(depth, "group", pairs, inner, extra=group.extra)


def metadata_lines(depth: int, entries: tuple[MetadataEntry, ...], extra: Extra) -> Iterator[str]:
    """`<metadata>`, if there is any; `extra` is that of the element around it."""
    rest = extra.inside("metadata")
    if entries or rest:
        inner = (line for entry in entries for line in _metadata_entry(depth + 1, entry))
        yield from lines(depth, "metadata", {}, inner, extra=rest)


def _metadata_entry(depth: int, entry: MetadataEntry) -> Iterator[str]:
    pairs: dict[str, str | bool | float] = {"key": entry.key}
    match entry.value:
        case str(text):
            pairs["stringValue"] = text
        case bool(flag):
            pairs["boolValue"] = flag
        case tuple(texts):
            pairs.update((f"{LIST_PREFIX}{index}", text) for index, text in enumerate(texts))
        case number:
            pairs["numberValue"] = number
    return lines(depth, "metadataEntry", pairs, extra=entry.extra)


def _node_lines(nodes: Nodes) -> Iterator[str]:
    """Written out for speed: there may be millions."""
    indent, rests = INDENT * 3, nodes.rests
    for index, record in enumerate(nodes.records()):
        id_, x, y, z, time_ms, radius, rot_x, rot_y, rot_z, viewport, mag, depth, flag = record
        line = (
            f'{indent}<node id="{id_}" radius="{radius!r}" x="{x}" y="{y}" z="{z}" rotX="{rot_x!r}" rotY="{rot_y!r}" '
            f'rotZ="{rot_z!r}" inVp="{viewport}" inMag="{mag}" bitDepth="{depth}" '
            f'interpolation="{"true" if flag else "false"}" time="{time_ms}"'
        )
        if index in rests:
            coordinates, extra = rests[index]
            line += attributes(coordinate_pairs(coordinates), without(extra, NODE_ATTRIBUTES))
            yield _with_inside(line, "node", extra)
        else:
            yield f"{line} />\n"


def _edge_lines(edges: Edges) -> Iterator[str]:
    indent, rests = INDENT * 3, edges.rests
    for index, (source, target) in enumerate(edges.records()):
        line = f'{indent}<edge source="{source}" target="{target}"'
        if index in rests:
            extra = rests[index][1]
            line += attributes({}, without(extra, EDGE_ATTRIBUTES))
            yield _with_inside(line, "edge", extra)
        else:
            yield f"{line} />\n"


def _with_inside(line: str, name: str, extra: Extra) -> str:
    """A node or edge, to which the start of its tag is given, with what is unknown in it."""
    inside = "".join(map(unknown, extra.elements))
    return f"{line}>{inside}</{name}>\n" if inside else f"{line} />\n"


def vec_pairs(names: Iterable[str], values: Iterable[float] | None) -> dict[str, float]:
    """Values as attributes of these names; none where there is no value."""
    return {} if values is None else dict(zip(names, values, strict=True))


def color_pairs(color: Color | None) -> dict[str, float]:
    """A colour as attributes."""
    return vec_pairs(COLOR, color)


def coordinate_pairs(coordinates: AdditionalCoordinates) -> dict[str, int]:
    """Coordinates along additional axes as attributes."""
    return {f"{COORDINATE_PREFIX}{axis}": value for axis, value in coordinates}
