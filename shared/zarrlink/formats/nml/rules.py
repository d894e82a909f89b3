"""What WEBKNOSSOS asks of an NML file that is uploaded, and what it makes of it.

Source: how its server answers and what comes out of it; its sentences and ours differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeVar

from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.nml.model import Document, Group, MetadataEntry, NmlBox, Skeleton, Tree
from zarrlink.formats.nml.packed import Edges, Nodes
from zarrlink.formats.nml.values import LIST_PREFIX

TASK_BOX_NAME: Final = "task bounding box"
_VALUES: Final = ("stringValue", "boolValue", "numberValue", LIST_PREFIX)
Key = TypeVar("Key", bound=Hashable)


def check(document: Document) -> None:
    """Raises InvalidRequest, naming what is wrong, where WEBKNOSSOS would refuse the file.

    Ids of nodes are unique in the file; edges join two nodes of their tree, each pair once; ids of trees and of groups are
    unique, and what is named exists: groups by trees, nodes by comments and branchpoints. Volumes and additional axes
    have names of their own; boxes hold voxels; a metadata entry has one value.
    """
    parameters = document.parameters
    _unique("the volume layer name", (volume.name for volume in document.volumes))
    _unique("the additional axis", (axis.name for axis in parameters.additional_axes))
    for box in (*parameters.user_boxes, *((parameters.task_box,) if parameters.task_box else ())):
        _check_box(box)
    if document.skeleton is not None:
        _check_skeleton(document.skeleton)
    for tree in document.trees:
        _check_metadata(tree.metadata)
    for volume in document.volumes:
        for segment in volume.segments:
            _check_metadata(segment.metadata)
        _unique(f"in volume {volume.name!r} the group id", (group.id for group in _all_groups(volume.groups)))


def normalise(document: Document) -> Document:
    """The annotation that WEBKNOSSOS makes of an upload that belongs to no task: checked, each tree in one piece, and a
    task's box as one of the user's. Raises InvalidRequest as `check` does."""
    check(document)
    parameters = document.parameters
    if parameters.task_box is not None:
        highest = max((box.id for box in parameters.user_boxes if box.id is not None), default=-1)
        box = replace(parameters.task_box, id=highest + 1, name=TASK_BOX_NAME)
        parameters = replace(parameters, user_boxes=(*parameters.user_boxes, box), task_box=None)
    skeleton = None if document.skeleton is None else _split(document.skeleton)
    return replace(document, parameters=parameters, skeleton=skeleton)


def _unique(what: str, keys: Iterable[Key]) -> None:
    for key, count in Counter(keys).items():
        if count > 1:
            raise InvalidRequest(f"{what} {brief(key)} is there {count} times")


def _check_box(box: NmlBox) -> None:
    try:
        _ = box.bounding_box
    except InvalidRequest as error:
        raise InvalidRequest(f"bounding box {brief(box.name or box.id)}: {error}") from error


def _check_metadata(entries: Iterable[MetadataEntry]) -> None:
    for entry in entries:
        if any(name.startswith(_VALUES) for name, _ in entry.extra.attributes):
            raise InvalidRequest(f"the metadata entry {brief(entry.key)} has more than one value")


def _check_skeleton(skeleton: Skeleton) -> None:
    _unique("the tree id", (tree.id for tree in skeleton.trees))
    groups = [group.id for group in _all_groups(skeleton.groups)]
    _unique("the group id", groups)
    known_groups = set(groups)
    homes: dict[int, int] = {}
    for tree in skeleton.trees:
        if tree.group_id is not None and tree.group_id not in known_groups:
            raise InvalidRequest(f"tree {tree.id} is in group {tree.group_id}, which is not there")
        _check_tree(tree, homes)
    for what, node_ids in (
        ("branchpoint", (point.node_id for point in skeleton.branchpoints)),
        ("comment", (comment.node_id for comment in skeleton.comments)),
    ):
        for node_id in node_ids:
            if node_id not in homes:
                raise InvalidRequest(f"a {what} is at node {node_id}, which is not there")


def _check_tree(tree: Tree, homes: dict[int, int]) -> None:
    """Check its nodes and edges. `homes`: ids of nodes so far -> ids of their trees; its own are added."""
    for node_id in tree.nodes.ids():
        if node_id in homes:
            raise InvalidRequest(f"the node id {node_id} is there more than once")
        homes[node_id] = tree.id
    seen: set[int] = set()
    for source, target in tree.edges.ends():
        for end in (source, target):
            if homes.get(end) != tree.id:
                raise InvalidRequest(f"an edge of tree {tree.id} is at node {end}, which is not in that tree")
        if source == target:
            raise InvalidRequest(f"an edge of tree {tree.id} joins node {source} with itself")
        # Both in one number: half the memory of a pair.
        pair = source * 2**64 + target
        if pair in seen:
            raise InvalidRequest(f"tree {tree.id} has the edge from {source} to {target} more than once")
        seen.add(pair)


def _all_groups(groups: Iterable[Group]) -> Iterator[Group]:
    for group in groups:
        yield group
        yield from _all_groups(group.groups)


def _split(skeleton: Skeleton) -> Skeleton:
    """Trees of several pieces become as many trees, in a new group of the tree's name in the tree's group."""
    next_tree = max((tree.id for tree in skeleton.trees), default=0) + 1
    next_group = max((group.id for group in _all_groups(skeleton.groups)), default=0) + 1
    trees: list[Tree] = []
    groups = skeleton.groups
    for tree in skeleton.trees:
        pieces = _pieces(tree)
        if len(pieces) <= 1:
            trees.append(tree)
            continue
        groups = _with_group(groups, tree.group_id, Group(next_group, tree.name))
        for number, (nodes, edges) in enumerate(pieces):
            name = f"{tree.name}_{number}"
            trees.append(replace(tree, id=next_tree, name=name, group_id=next_group, nodes=nodes, edges=edges))
            next_tree += 1
        next_group += 1
    return replace(skeleton, trees=tuple(trees), groups=groups)


def _with_group(groups: tuple[Group, ...], parent: int | None, new: Group) -> tuple[Group, ...]:
    """Groups with a new one, first in its parent, or first of all."""
    if parent is None:
        return (new, *groups)
    return tuple(
        replace(group, groups=(new, *group.groups) if group.id == parent else _with_group(group.groups, parent, new))
        if group.id == parent or group.groups
        else group
        for group in groups
    )


def _pieces(tree: Tree) -> list[tuple[Nodes, Edges]]:
    """Its connected pieces, in the order of their first nodes. Nothing is copied where there is only one."""
    places = {node_id: place for place, node_id in enumerate(tree.nodes.ids())}
    parents = list(range(len(places)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    for source, target in tree.edges.ends():
        one, other = root(places[source]), root(places[target])
        parents[max(one, other)] = min(one, other)
    roots = [root(place) for place in range(len(parents))]
    if len(set(roots)) <= 1:
        return [(tree.nodes, tree.edges)]
    nodes: dict[int, list[int]] = {}
    for place, found in enumerate(roots):
        nodes.setdefault(found, []).append(place)
    edges: dict[int, list[int]] = {}
    for place, (source, _) in enumerate(tree.edges.ends()):
        edges.setdefault(roots[places[source]], []).append(place)
    return [(tree.nodes.pick(own), tree.edges.pick(edges.get(found, []))) for found, own in nodes.items()]
