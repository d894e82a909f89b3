"""What WEBKNOSSOS refuses of an NML file, and what it makes of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.nml_files import path_tree, sample
from zarrlink.errors import InvalidRequest
from zarrlink.formats.nml import (
    AdditionalAxis,
    Branchpoint,
    Comment,
    Document,
    Edge,
    Edges,
    Extra,
    Group,
    MetadataEntry,
    NmlBox,
    Node,
    Nodes,
    Parameters,
    Segment,
    Skeleton,
    Tree,
    Volume,
    check,
    normalise,
    parse,
    write,
)


def skeleton(*trees: Tree, **parts: object) -> Document:
    return Document(skeleton=replace(Skeleton(trees), **parts))


def tree(*edges: tuple[int, int], nodes: int = 3) -> Tree:
    """Nodes 1 to `nodes`, joined as given."""
    made = Nodes.of(Node(number, (number, 0, 0)) for number in range(1, nodes + 1))
    return Tree(1, nodes=made, edges=Edges.of(Edge(*ends) for ends in edges))


BOX = NmlBox((0, 0, 0), (1, 1, 1))
TWO_VALUES = MetadataEntry("k", "v", Extra((("numberValue", "1"),)))
REFUSED: dict[str, tuple[Document, str]] = {
    "a node id twice in a tree": (skeleton(replace(tree(), nodes=Nodes.of([Node(1, (0, 0, 0))] * 2))), "node id 1 is"),
    "a node id in two trees": (skeleton(path_tree(1, 1, 3), path_tree(2, 3, 2)), "node id 3 is there more than once"),
    "a tree id twice": (skeleton(path_tree(1, 1, 1), path_tree(1, 2, 1)), "tree id 1 is there 2 times"),
    "an edge to nowhere": (skeleton(tree((1, 9))), "edge of tree 1 is at node 9"),
    "an edge to another tree": (skeleton(tree((1, 5)), path_tree(2, 5, 1)), "edge of tree 1 is at node 5"),
    "an edge to itself": (skeleton(tree((2, 2))), "joins node 2 with itself"),
    "an edge twice": (skeleton(tree((1, 2), (2, 3), (1, 2))), "the edge from 1 to 2 more than once"),
    "a group id twice": (skeleton(groups=(Group(1, groups=(Group(1),)),)), "group id 1 is there 2 times"),
    "a group that is not there": (skeleton(path_tree(4, 1, 1, group_id=7)), "tree 4 is in group 7, which is not there"),
    "a comment at nowhere": (skeleton(tree(), comments=(Comment(8),)), "a comment is at node 8"),
    "a branchpoint at nowhere": (skeleton(tree(), branchpoints=(Branchpoint(8),)), "a branchpoint is at node 8"),
    "a volume name twice": (Document(volumes=(Volume(0, "a"), Volume(1, "a"))), "layer name 'a' is there 2 times"),
    "two volumes without name": (Document(volumes=(Volume(0), Volume(1))), "volume layer name None is there 2 times"),
    "a segment group twice": (Document(volumes=(Volume(groups=(Group(2), Group(2))),)), "group id 2 is there 2 times"),
    "an axis twice": (Document(parameters=Parameters(additional_axes=(AdditionalAxis("t", 0, 0, 1),) * 2)), "axis 't'"),
    "an empty box": (Document(parameters=Parameters(user_boxes=(replace(BOX, name="R", size=(1, 0, 1)),))), "box 'R'"),
    "an empty task box": (Document(parameters=Parameters(task_box=replace(BOX, size=(1, 1, -1)))), "bounding box None"),
    "two values of a tree": (skeleton(replace(tree(), metadata=(TWO_VALUES,))), "entry 'k' has more than one value"),
    "two values of a segment": (Document(volumes=(Volume(segments=(Segment(1, metadata=(TWO_VALUES,)),)),)), "'k'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_webknossos_refuses_is_named_though_it_can_be_read(case: str) -> None:
    document, sentence = REFUSED[case]
    assert parse(write(document)) == document
    with pytest.raises(InvalidRequest, match=sentence):
        check(document)
    with pytest.raises(InvalidRequest, match=sentence):
        normalise(document)


def test_a_sound_document_passes() -> None:
    check(sample())
    check(Document())
    assert normalise(Document()) == Document()


def test_a_task_box_becomes_the_users() -> None:
    parameters = normalise(sample()).parameters
    assert parameters.task_box is None
    assert parameters.user_boxes == (
        *sample().parameters.user_boxes,
        NmlBox((-1, -2, -3), (4, 5, 6), 2, "task bounding box"),
    )
    alone = normalise(Document(parameters=Parameters(task_box=BOX))).parameters.user_boxes
    assert alone == (replace(BOX, id=0, name="task bounding box"),)


def test_a_tree_in_one_piece_stays_as_it_is() -> None:
    whole = skeleton(tree((1, 2), (3, 2)), path_tree(2, 10, 0))
    assert normalise(whole) == whole
    again = normalise(sample())
    assert normalise(again) == again


def test_a_tree_of_several_pieces_becomes_several_in_a_new_group() -> None:
    pieces = replace(tree((1, 3), (4, 5), nodes=5), name="axon", color=(1.0, 0.0, 0.0, 1.0), group_id=2)
    groups = (Group(1, "outer", groups=(Group(2, "inner", groups=(Group(5),)),)), Group(3))
    document = skeleton(pieces, path_tree(7, 20, 2), groups=groups, comments=(Comment(4, "there"),))
    found = normalise(document)
    assert [(part.id, part.name, part.group_id) for part in found.trees] == [
        (8, "axon_0", 6),
        (9, "axon_1", 6),
        (10, "axon_2", 6),
        (7, "", None),
    ]
    assert [list(part.nodes.ids()) for part in found.trees] == [[1, 3], [2], [4, 5], [20, 21]]
    assert [list(part.edges.ends()) for part in found.trees] == [[(1, 3)], [], [(4, 5)], [(20, 21)]]
    assert {part.color for part in found.trees[:3]} == {pieces.color}
    assert found.skeleton is not None
    assert found.skeleton.comments == (Comment(4, "there"),)
    assert found.skeleton.groups == (
        Group(1, "outer", groups=(Group(2, "inner", groups=(Group(6, "axon"), Group(5))),)),
        Group(3),
    )
    check(found)


def test_pieces_of_a_tree_without_group_get_one_of_the_first_rank() -> None:
    found = normalise(skeleton(replace(tree(), name="t")))
    assert found.skeleton is not None
    assert found.skeleton.groups == (Group(1, "t"),)
    assert [part.name for part in found.trees] == ["t_0", "t_1", "t_2"]


@given(st.integers(1, 12), st.sets(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=14))
def test_every_node_and_edge_is_in_one_connected_tree(nodes: int, ends: set[tuple[int, int]]) -> None:
    edges = sorted(pair for pair in ends if pair[0] != pair[1] and max(pair) <= nodes)
    found = normalise(skeleton(tree(*edges, nodes=nodes)))
    assert sorted(number for part in found.trees for number in part.nodes.ids()) == list(range(1, nodes + 1))
    assert sorted(pair for part in found.trees for pair in part.edges.ends()) == edges
    for part in found.trees:
        reached = {next(part.nodes.ids())}
        for _ in range(nodes):
            reached |= {end for pair in part.edges.ends() if reached & set(pair) for end in pair}
        assert reached == set(part.nodes.ids())
    check(found)


def test_what_is_unknown_of_a_node_goes_with_it_when_a_tree_is_split() -> None:
    new = Extra((("new", "1"),))
    made = Nodes.of([Node(1, (0, 0, 0)), Node(2, (0, 0, 0), extra=new)])
    first, second = normalise(skeleton(Tree(1, nodes=made))).trees
    assert [node.extra for node in (*first.nodes, *second.nodes)] == [Extra(), new]
