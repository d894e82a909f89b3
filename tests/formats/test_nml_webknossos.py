"""What we write, as the `webknossos` library reads it; and what it writes, as we do.

Runs where `make setup-webknossos` made an environment for the library, which cannot live beside our pins.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.nml_files import path_tree, sample
from builders.webknossos_library import NOT_THERE, PYTHON
from zarrlink.formats.nml import Document, Edge, Edges, Group, Node, Nodes, Skeleton, Tree, parse, write

READ = Path(__file__).with_name("read_with_webknossos.py")
TESTDATA = Path(__file__).parents[3] / "shared" / "testdata" / "nmls"
NANOMETRES = {None: 1.0, "nanometer": 1.0, "micrometer": 1000.0}
# The library draws a colour where a tree has none, and wants distinct ids for the nodes and trees it makes itself.
WHITE = (1.0, 1.0, 1.0, 1.0)

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=NOT_THERE)


def read_by_webknossos(document: Document, folder: Path) -> tuple[dict[str, Any], Document | None]:
    """What the library finds in what we write of a document; and the document that it then writes, if it does."""
    (folder / "ours.nml").write_bytes(b"".join(write(document)))
    command = [str(PYTHON), str(READ), str(folder / "ours.nml"), str(folder / "theirs.nml")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stderr
    theirs = folder / "theirs.nml"
    return json.loads(run.stdout.splitlines()[-1]), parse(theirs.read_bytes()) if theirs.exists() else None


def expected(document: Document) -> dict[str, Any]:
    """What there is to find."""
    parameters, skeleton = document.parameters, document.skeleton or Skeleton()
    comments = {comment.node_id: comment.content for comment in skeleton.comments}
    points = {point.node_id: point.time_ms for point in skeleton.branchpoints}
    scale = parameters.scale
    assert scale is not None
    return {
        "dataset": document.dataset_name,
        "dataset_id": document.dataset_id,
        "organization": document.organization,
        "annotation_id": document.meta("annotationId"),
        "username": document.meta("username"),
        "voxel_size_nm": [length * NANOMETRES[scale.unit] for length in scale.factor],
        "edit_position": list(parameters.edit_position or ()),
        "trees": sorted((tree_facts(tree, comments, points) for tree in skeleton.trees), key=lambda tree: tree["id"]),
        "groups": group_facts(skeleton.groups),
        "boxes": [
            [box.name, list(box.top_left), list(box.size), list(box.color or ()), box.is_visible]
            for box in parameters.user_boxes
        ],
        "task_box": [list(parameters.task_box.top_left), list(parameters.task_box.size)]
        if parameters.task_box
        else None,
        "volumes": sorted(volume.name or "Volume" for volume in document.volumes),
    }


def tree_facts(tree: Tree, comments: dict[int, str], points: dict[int, int | None]) -> dict[str, Any]:
    return {
        "id": tree.id,
        "name": tree.name,
        "color": list(tree.color or ()),
        "group": tree.group_id,
        "metadata": {
            entry.key: list(entry.value) if isinstance(entry.value, tuple) else entry.value for entry in tree.metadata
        },
        "edges": sorted(sorted(ends) for ends in tree.edges.ends()),
        "nodes": [
            {
                "id": node.id,
                "position": list(node.position),
                "radius": node.radius,
                "rotation": list(node.rotation),
                "in": [node.viewport, node.mag, node.bit_depth],
                "time": node.time_ms,
                "comment": comments.get(node.id),
                "branchpoint": [node.id in points, points.get(node.id)],
            }
            for node in sorted(tree.nodes, key=lambda node: node.id)
        ],
    }


def group_facts(groups: tuple[Group, ...]) -> list[Any]:
    return sorted([group.id, group.name, group_facts(group.groups)] for group in groups)


def skeleton_of(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("dataset", "voxel_size_nm", "trees", "groups", "boxes", "task_box")}


def coloured(document: Document) -> Document:
    if document.skeleton is None:
        return document
    trees = tuple(replace(tree, color=tree.color or WHITE) for tree in document.skeleton.trees)
    return replace(document, skeleton=replace(document.skeleton, trees=trees))


def test_an_annotation_with_everything(tmp_path: Path) -> None:
    # The library (4.3.3) takes the groups of segments for groups of trees.
    volumes = [replace(volume, groups=()) for volume in sample().without_volume_locations().volumes]
    document = coloured(sample().replace_volumes(volumes))
    found, theirs = read_by_webknossos(document, tmp_path)
    assert found == expected(document)
    if theirs is not None:
        assert skeleton_of(expected(theirs)) == skeleton_of(expected(document))


@pytest.mark.parametrize("name", sorted(path.name for path in TESTDATA.glob("*.nml")) or ["none"])
def test_a_real_file(name: str, tmp_path: Path) -> None:
    if name == "none":
        pytest.skip("no real files: ../shared/testdata is not there")
    document = parse((TESTDATA / name).read_bytes())
    found, theirs = read_by_webknossos(document, tmp_path)
    assert found == expected(document)
    if theirs is not None:
        assert skeleton_of(expected(theirs)) == skeleton_of(expected(document))


def test_a_thousand_trees_in_a_hundred_groups(tmp_path: Path) -> None:
    groups = tuple(Group(5000 + number, f"g{number}", groups=(Group(6000 + number, "inner"),)) for number in range(50))
    ids = [group.id for outer in groups for group in (outer, *outer.groups)]
    trees = [
        path_tree(number, 10_000 + 10 * number, number % 10, name=f"t{number}", color=WHITE, group_id=ids[number % 100])
        for number in range(1, 1000)
    ]
    star = Tree(
        4000,
        "star",
        (0.1, 0.2, 0.3, 0.4),
        nodes=Nodes.of(
            Node(30_000 + turn, (turn, -turn, 2**31 - 1 - turn), turn / 7, (turn / 3, 0.0, -1e-7), turn % 4, 2, 8, True)
            for turn in range(50)
        ),
        edges=Edges.of(Edge(30_000 + turn, 30_000) for turn in range(1, 50)),
    )
    document = replace(sample(), skeleton=Skeleton((*trees, star), groups=groups), volumes=())
    found, theirs = read_by_webknossos(document, tmp_path)
    assert found == expected(document)
    if theirs is not None:
        assert skeleton_of(expected(theirs)) == skeleton_of(expected(document))
