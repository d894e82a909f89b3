"""NML: whole documents for hypothesis, a small one by hand, and files as text."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from zarrlink.formats.nml import (
    AdditionalAxis,
    Branchpoint,
    Comment,
    Document,
    Edge,
    Edges,
    Element,
    Experiment,
    Extra,
    Group,
    Meta,
    MetadataEntry,
    NmlBox,
    Node,
    Nodes,
    Parameters,
    Scale,
    Segment,
    Skeleton,
    Tree,
    Volume,
)
from zarrlink.geometry import MAX_COORDINATE

NODE: Final = '<node id="1" x="0" y="0" z="0" />'


def nml(*parts: str) -> bytes:
    """A file of these parts."""
    return f"<things>{''.join(parts)}</things>".encode()


def thing(nodes: str = "", edges: str = "", attributes: str = 'id="1"', rest: str = "") -> str:
    """A tree as text."""
    return f"<thing {attributes}><nodes>{nodes}</nodes><edges>{edges}</edges>{rest}</thing>"


def path_tree(tree_id: int, first: int, length: int, **described: Any) -> Tree:
    """A tree that is a path of nodes with ids in a row."""
    nodes = Nodes.of(Node(first + step, (10 * step, 20, tree_id), time_ms=1000 + step) for step in range(length))
    edges = Edges.of(Edge(first + step, first + step + 1) for step in range(length - 1))
    return Tree(tree_id, nodes=nodes, edges=edges, **described)


def sample() -> Document:
    """An annotation that holds some of everything, and that WEBKNOSSOS would take."""
    entries = (MetadataEntry("seen by", "A & B"), MetadataEntry("size", 2.5), MetadataEntry("tags", ("a", "b")))
    skeleton = Skeleton(
        trees=(
            path_tree(1, 1, 3, name="axon <1>", color=(0.25, 0.5, 0.75, 1.0), group_id=2, metadata=entries),
            path_tree(2, 10, 1, name='"dendrite"', type="AGGLOMERATE", is_visible=False),
            path_tree(3, 20, 0, name="empty", group_id=1),
        ),
        branchpoints=(Branchpoint(2, 1700000000000), Branchpoint(1)),
        comments=(Comment(3, "end\n\tof it"), Comment(10, "süß 🧠")),
        groups=(Group(1, "outer", is_expanded=True, groups=(Group(2, "inner"),)),),
    )
    segments = (
        Segment(7, "cell A", 1700000000001, (1, 2, 3), (("t", 4),), (0.5, 0.25, 0.125, 1.0), 5, entries[:1]),
        Segment(2**64 - 1),
    )
    return Document(
        metas=(Meta("annotationId", "65a0c1f2e4b0a1b2c3d4e5f8"), Meta("username", "Sample User")),
        parameters=Parameters(
            experiment=Experiment("sample_ds", "sample_org", "65a0c1f2e4b0a1b2c3d4e5f6", "", "https://wk.example.org"),
            scale=Scale((11.24, 11.24, 28.0), "nanometer"),
            offset=(0, 0, 0),
            time_ms=1700000000000,
            edit_position=(500, 400, 150),
            edit_additional_coordinates=(("t", 3),),
            edit_rotation=(0.0, 90.0, 0.5),
            zoom_level=1.5,
            active_node_id=3,
            user_boxes=(NmlBox((1, 2, 3), (4, 5, 6), 1, "ROI", is_visible=True, color=(1.0, 0.0, 0.0, 1.0)),),
            task_box=NmlBox((-1, -2, -3), (4, 5, 6)),
            additional_axes=(AdditionalAxis("t", 0, 0, 10),),
        ),
        skeleton=skeleton,
        volumes=(
            Volume(
                0, "Volume", "data_0_Volume.zip", "zarr3", "seg", 2504698, "agg", True, segments, (Group(5, "cells"),)
            ),
            Volume(1, "Other", "data_1_Other.zip"),
        ),
    )


# --- for hypothesis: anything that can be kept ---

# XML's characters (1.0, section 2.2): the writer refuses all others.
texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r")
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True).map(lambda name: f"new-{name}")
ids = st.integers(-(2**63), 2**63 - 1)
small = st.integers(-(2**31), 2**31 - 1)
places = st.integers(-MAX_COORDINATE, MAX_COORDINATE)
positions = st.tuples(places, places, places)
numbers = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.tuples(numbers, numbers, numbers)
colors = st.none() | st.tuples(numbers, numbers, numbers, numbers)
flags = st.none() | st.booleans()
words = st.none() | texts.filter(bool)
coordinates = st.lists(
    st.tuples(st.from_regex(r"[a-z]{1,3}", fullmatch=True), ids), max_size=2, unique_by=lambda c: c[0]
)
_attributes = st.dictionaries(names, texts, max_size=2).map(lambda found: tuple(found.items()))


def _content(parts: list[Element | str]) -> tuple[Element | str, ...]:
    """Without empty texts and texts beside each other, which a reader could not tell apart."""
    kept: list[Element | str] = []
    for part in parts:
        if part and not (isinstance(part, str) and kept and isinstance(kept[-1], str)):
            kept.append(part)
    return tuple(kept)


elements = st.recursive(
    st.builds(Element, names, _attributes),
    lambda inner: st.builds(Element, names, _attributes, st.lists(inner | texts, max_size=3).map(_content)),
    max_leaves=4,
)
extras = st.just(Extra()) | st.builds(Extra, _attributes, st.lists(elements, max_size=2).map(tuple))


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=3).map(tuple)


nodes = st.builds(
    Node, ids, positions, numbers, vectors, small, small, small, st.booleans(), ids, coordinates.map(tuple), extras
)
edges = st.builds(Edge, ids, ids, extras)
metadata = several(st.builds(MetadataEntry, texts, texts | st.booleans() | numbers | several(texts), extras))
groups = st.recursive(
    several(st.builds(Group, ids, texts, flags, extra=extras)),
    lambda inner: several(st.builds(Group, ids, texts, flags, inner, extras)),
    max_leaves=3,
)
boxes = st.builds(NmlBox, positions, positions, st.none() | ids, st.none() | texts, flags, colors, extras)
trees = st.builds(
    Tree,
    ids,
    texts,
    colors,
    st.none() | ids,
    texts.filter(bool),
    flags,
    st.lists(nodes, max_size=4).map(Nodes.of),
    st.lists(edges, max_size=4).map(Edges.of),
    metadata,
    extras,
)
segments = st.builds(
    Segment,
    st.integers(0, 2**64 - 1),
    st.none() | texts,
    st.none() | ids,
    st.none() | positions,
    coordinates.map(tuple),
    colors,
    st.none() | ids,
    metadata,
    extras,
)
volumes = st.builds(
    Volume,
    st.none() | ids,
    st.none() | texts,
    words,
    texts.filter(bool),
    words,
    st.none() | st.integers(0, 2**64 - 1),
    words,
    flags,
    several(segments),
    groups,
    extras,
)
parameters = st.builds(
    Parameters,
    st.none() | st.builds(Experiment, texts, *[st.none() | texts] * 4, extras),
    st.none() | st.builds(Scale, vectors, words, extras),
    st.none() | positions,
    st.none() | ids,
    st.none() | positions,
    coordinates.map(tuple),
    st.none() | vectors,
    st.none() | numbers,
    st.none() | ids,
    several(boxes),
    st.none() | boxes,
    several(st.builds(AdditionalAxis, texts, ids, ids, ids, extras)),
    extras,
)
skeletons = st.builds(
    Skeleton,
    several(trees),
    several(st.builds(Branchpoint, ids, st.none() | ids, extras)),
    several(st.builds(Comment, ids, texts, extras)),
    groups,
)
documents = st.builds(
    Document,
    several(st.builds(Meta, texts, texts, extras)),
    parameters,
    st.none() | skeletons,
    several(volumes),
    extras,
)
