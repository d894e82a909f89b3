"""Read an NML file with the `webknossos` library, print what it holds as JSON, and write it anew with that library.

Run by test_nml_webknossos.py, with a Python that has the library: it is AGPL, and its pins (click, rich, networkx)
clash with ours.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import webknossos


def tree_facts(tree: Any) -> dict[str, Any]:
    nodes = sorted(tree.nodes, key=lambda node: node.id)
    return {
        "id": tree.id,
        "name": tree.name,
        "color": tree.color,
        "group": None if isinstance(tree.group, webknossos.Skeleton) else tree.group.id,
        "metadata": tree.metadata,
        "edges": sorted(sorted((one.id, other.id)) for one, other in tree.edges),
        "nodes": [
            {
                "id": node.id,
                "position": list(node.position),
                "radius": node.radius,
                "rotation": list(node.rotation),
                "in": [node.inVp, node.inMag, node.bitDepth],
                "time": node.time,
                "comment": node.comment,
                "branchpoint": [node.is_branchpoint, node.branchpoint_time],
            }
            for node in nodes
        ],
    }


def group_facts(group: Any) -> list[Any]:
    return sorted([inner.id, inner.name, group_facts(inner)] for inner in group.groups)


def main() -> None:
    source, target = sys.argv[1:]
    annotation = webknossos.Annotation.load(source)
    print(
        json.dumps(
            {
                "dataset": annotation.dataset_name,
                "dataset_id": annotation.dataset_id,
                "organization": annotation.organization_id,
                "annotation_id": annotation.annotation_id,
                "username": annotation.owner_name,
                "voxel_size_nm": list(annotation.voxel_size),
                "edit_position": list(annotation.edit_position or ()),
                "trees": sorted(
                    (tree_facts(tree) for tree in annotation.skeleton.flattened_trees()), key=lambda tree: tree["id"]
                ),
                "groups": group_facts(annotation.skeleton),
                "boxes": [
                    [box.name, list(box.topleft), list(box.size), list(box.color or ()), box.is_visible]
                    for box in annotation.user_bounding_boxes
                ],
                "task_box": [list(annotation.task_bounding_box.topleft), list(annotation.task_bounding_box.size)]
                if annotation.task_bounding_box
                else None,
                "volumes": sorted(annotation.get_volume_layer_names()),
            }
        )
    )
    # It writes a zip of it where there are volumes.
    if not annotation.get_volume_layer_names():
        annotation.save(target)


if __name__ == "__main__":
    main()
