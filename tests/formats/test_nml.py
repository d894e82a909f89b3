"""NML: read, written, and read again equal; by hand, by hypothesis, and real files."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.nml_files import NODE, documents, nml, path_tree, sample, thing
from zarrlink.errors import InvalidRequest
from zarrlink.formats.nml import (
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
    Node,
    Nodes,
    Parameters,
    Scale,
    Skeleton,
    Tree,
    Volume,
    parse,
    write,
)
from zarrlink.geometry import BoundingBox, VoxelSize

TESTDATA = Path(__file__).parents[3] / "shared" / "testdata"
NO_TESTDATA = "no real files: ../shared/testdata is not there"


def written(document: Document) -> bytes:
    return b"".join(write(document))


def real_files() -> Iterator[tuple[str, bytes]]:
    """Those of ../shared/testdata, by name."""
    for path in sorted(TESTDATA.glob("nmls/*.nml")):
        yield path.name, path.read_bytes()
    for path in sorted(TESTDATA.glob("annotations/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".nml"):
                    yield path.name, archive.read(name)


REAL = dict(real_files()) or {"none": b""}


@pytest.fixture(params=REAL, ids=str)
def real(request: pytest.FixtureRequest) -> bytes:
    if not REAL[request.param]:
        pytest.skip(NO_TESTDATA)
    return REAL[request.param]


# --- round trips ---


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(documents, st.integers(1, 100))
def test_whatever_is_written_reads_back_equal(document: Document, step: int) -> None:
    data = written(document)
    assert parse(data) == document
    assert parse(data[start : start + step] for start in range(0, len(data), step)) == document
    assert ET.fromstring(data).tag == "things"


def test_a_document_with_everything_reads_back_equal() -> None:
    assert parse(written(sample())) == sample()


def test_the_same_document_gives_the_same_bytes() -> None:
    assert written(parse(written(sample()))) == written(sample())


def test_a_real_file_reads_back_equal(real: bytes) -> None:
    document = parse(real)
    assert parse(written(document)) == document
    assert written(parse(written(document))) == written(document)


def test_a_real_file_loses_nothing(real: bytes) -> None:
    """Each element and attribute is there again, but for how numbers are written and for defaults that are said."""

    def facts(data: bytes) -> set[tuple[str, ...]]:
        return {
            (element.tag, name, value if name in ("name", "content", "location") else "")
            for element in ET.fromstring(data).iter()
            for name, value in element.attrib.items()
        }

    assert facts(real) - facts(written(parse(real))) == set()
    assert {tag for tag, *_ in facts(written(parse(real)))} == {tag for tag, *_ in facts(real)}


def test_a_real_file_holds_what_it_says() -> None:
    if not TESTDATA.is_dir():
        pytest.skip(NO_TESTDATA)
    document = parse(REAL["test_a.nml"])
    assert document.dataset_name == "ds_name"
    assert document.organization == "orga"
    assert document.voxel_size == VoxelSize((4.0, 4.0, 35.0), "micrometer")
    assert [tree.id for tree in document.trees] == [3, 2, 1]
    assert [tree.group_id for tree in document.trees] == [2, 2, None]
    assert list(document.trees[0].nodes) == [
        Node(3, (199480, 199906, 3593), 1.0, (0.0, 0.0, 0.0), 0, 1, 8, True, 1644425546725)
    ]
    assert document.skeleton is not None
    assert document.skeleton.groups == (Group(1, "Group 1", groups=(Group(2, "Group 2"),)),)


def test_real_volumes_are_found_by_their_location() -> None:
    if not TESTDATA.is_dir():
        pytest.skip(NO_TESTDATA)
    document = parse(REAL["multi_volume_example_CREMI.zip"])
    assert [(volume.location, volume.name, volume.format) for volume in document.volumes] == [
        ("data_0_Volume_2.zip", "Volume_2", "wkw"),
        ("data_1_Volume.zip", "Volume", "wkw"),
    ]
    assert parse(REAL["l4_sample__explorational__suser__94b271.zip"]).volumes[0].format == "zarr3"


# --- reading ---


def test_a_node_that_says_little_has_the_defaults_of_webknossos() -> None:
    (tree,) = parse(nml(thing(NODE))).trees
    assert list(tree.nodes) == [Node(1, (0, 0, 0))]
    assert tree.nodes[0].radius == 1.0
    assert tree == Tree(1, nodes=Nodes.of([Node(1, (0, 0, 0))]))


def test_positions_with_decimals_are_rounded_halves_upwards() -> None:
    (tree,) = parse(
        nml(thing('<node id="1" x="0.5" y="-0.5" z="1.2e1" /><node id="2" x="2.49" y="-1.51" z="3." />'))
    ).trees
    assert [node.position for node in tree.nodes] == [(1, 0, 12), (2, -2, 3)]


def test_the_order_of_elements_does_not_matter() -> None:
    parts = [
        '<meta name="a" content="b" />',
        '<parameters><scale z="3" y="2" x="1" /><experiment name="ds" /></parameters>',
        "<volume id='0' />",
        '<comments><comment node="1" content="c" /></comments>',
        '<branchpoints><branchpoint time="5" id="1" /></branchpoints>',
        '<groups><group id="4" /></groups>',
        f'<thing id="1"><edges><edge source="1" target="2" /></edges><nodes>{NODE}</nodes></thing>',
    ]
    assert parse(nml(*parts)) == parse(nml(*reversed(parts)))
    document = parse(nml(*parts))
    assert document.parameters == Parameters(Experiment("ds"), Scale((1.0, 2.0, 3.0)))
    assert document.skeleton == Skeleton(
        (Tree(1, nodes=Nodes.of([Node(1, (0, 0, 0))]), edges=Edges.of([Edge(1, 2)])),),
        (Branchpoint(1, 5),),
        (Comment(1, "c"),),
        (Group(4),),
    )


def test_containers_that_come_twice_are_read_as_one() -> None:
    (tree,) = parse(nml(f"<thing id='1'><nodes a='1'>{NODE}</nodes><nodes b='2'>{NODE}<x /></nodes></thing>")).trees
    assert len(tree.nodes) == 2
    assert tree.extra == Extra(elements=(Element("nodes", (("a", "1"), ("b", "2")), (Element("x"),)),))
    document = parse(nml("<comments><comment node='1' /></comments><comments><comment node='2' /></comments>"))
    assert document.skeleton is not None
    assert [comment.node_id for comment in document.skeleton.comments] == [1, 2]


def test_an_old_volume_is_read() -> None:
    assert parse(nml('<volume id="1" location="data.zip"/>')) == Document(volumes=(Volume(1, location="data.zip"),))


def test_a_file_without_skeleton_parts_has_no_skeleton() -> None:
    assert parse(nml("<volume />")).skeleton is None
    assert b"<branchpoints" not in written(parse(nml("<volume />")))
    assert parse(nml("<branchpoints />")).skeleton == Skeleton()
    assert parse(written(Document(skeleton=Skeleton()))).skeleton == Skeleton()


def test_colours_are_read_whole_or_not_at_all() -> None:
    whole, unset, part = parse(
        nml(
            '<thing id="1" color.r="0" color.g="0.5" color.b="1" color.a="1" />',
            '<thing id="2" color.r="" color.g="" color.b="" color.a="" groupId="" />',
            '<thing id="3" color.r="0.5" />',
        )
    ).trees
    assert (whole.color, unset.color, part.color) == ((0.0, 0.5, 1.0, 1.0), None, None)
    assert unset == Tree(2)
    assert part.extra.attributes == (("color.r", "0.5"),)


def test_metadata_of_each_kind() -> None:
    entries = """<metadata><metadataEntry key="s" stringValue="" /><metadataEntry key="b" boolValue="true" />
    <metadataEntry key="n" numberValue="1e3" /><metadataEntry stringListValue-1="B" stringListValue-0="A" key="l" />
    <metadataEntry key="e" /><metadataEntry key="two" numberValue="1" stringValue="x" /></metadata>"""
    (tree,) = parse(nml(thing(rest=entries))).trees
    assert tree.metadata == (
        MetadataEntry("s", ""),
        MetadataEntry("b", True),
        MetadataEntry("n", 1000.0),
        MetadataEntry("l", ("A", "B")),
        MetadataEntry("e", ()),
        MetadataEntry("two", "x", Extra((("numberValue", "1"),))),
    )


def test_additional_coordinates_and_axes() -> None:
    axes = '<additionalAxes><additionalAxis name="t" index="0" start="1" end="9" /></additionalAxes>'
    position = '<editPosition x="1" y="2" z="3" additionalCoordinate-t="4" />'
    node = '<node id="1" x="0" y="0" z="0" additionalCoordinate-t="5" additionalCoordinate-u="-6" />'
    document = parse(nml(f"<parameters>{axes}{position}</parameters>", thing(node)))
    assert [(axis.name, axis.index, axis.start, axis.end) for axis in document.parameters.additional_axes] == [
        ("t", 0, 1, 9)
    ]
    assert document.parameters.edit_additional_coordinates == (("t", 4),)
    assert document.trees[0].nodes[0].additional_coordinates == (("t", 5), ("u", -6))


def test_what_is_unknown_survives_wherever_it_is() -> None:
    new = '<new b="&lt;1&gt;">text <inner /> more &amp; more<!-- gone --></new>'
    document = parse(
        nml(
            f'<meta name="a" new="1">{new}</meta>',
            f'<parameters new="2"><time ms="5" new="3">{new}</time>{new}</parameters>',
            f'<thing id="1" new="4"><nodes new="5"><node id="1" x="0" y="0" z="0" new="6">{new}</node>{new}</nodes>',
            f'<edges><edge source="1" target="1" new="7">{new}</edge></edges>{new}</thing>',
            f'<groups new="8"><group id="1">{new}</group></groups>',
            f'<volume><segments new="9"><segment id="1">{new}</segment></segments></volume>',
            f'<newer xmlns:a="urn:a" a:b="10">{new}</newer>',
        )
    )
    data = written(document)
    assert parse(data) == document
    assert data.count(new.replace("<!-- gone -->", "").encode()) == 10
    for number in range(2, 10):
        assert f' new="{number}"'.encode() in data
    assert b'<newer xmlns:a="urn:a" a:b="10">' in data
    assert b'<time ms="5" new="3">' in data


def test_a_byte_order_mark_a_declaration_and_cdata_are_read() -> None:
    document = parse(
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\n<things><a><![CDATA[<&]]></a><?pi?></things>\n'
    )
    assert document.extra == Extra(elements=(Element("a", (), ("<&",)),))


# --- writing ---


def test_text_is_escaped() -> None:
    name = "<&>\"'\r\n\t]]> ü 🧠"
    document = Document(metas=(Meta("a", name),), extra=Extra(elements=(Element("b", (("c", name),), (name,)),)))
    root = ET.fromstring(written(document))
    assert root[0].get("content") == name
    assert root.findtext("b") == name
    assert parse(written(document)) == document


@pytest.mark.parametrize("text", ["\x00", "\x1b", "\ud800", "\ufffe"], ids=ascii)
def test_what_xml_cannot_hold_is_refused_before_the_first_byte(text: str) -> None:
    with pytest.raises(InvalidRequest, match="XML cannot hold"):
        write(Document(skeleton=Skeleton(comments=(Comment(1, f"a{text}"),))))


@pytest.mark.parametrize(
    "document",
    [
        Document(parameters=Parameters(zoom_level=float("nan"))),
        Document(parameters=Parameters(scale=Scale((1.0, float("inf"), 1.0)))),
        Document(extra=Extra(elements=(Element("a b"),))),
        Document(extra=Extra((("a='1' b", "2"),))),
        Document(parameters=Parameters(edit_additional_coordinates=(("a b", 1),))),
        Document(
            skeleton=Skeleton((Tree(1, nodes=Nodes.of([Node(1, (0, 0, 0), additional_coordinates=(('"', 1),))])),))
        ),
    ],
)
def test_what_nml_cannot_hold_is_refused_before_the_first_byte(document: Document) -> None:
    with pytest.raises(InvalidRequest):
        write(document)


@pytest.mark.parametrize(
    "node",
    [
        Node(1, (0, 0, 0), radius=float("nan")),
        Node(1, (0, 0, 0), rotation=(0.0, float("inf"), 0.0)),
        Node(2**63, (0, 0, 0)),
        Node(1, (2**41, 0, 0)),
        Node(1, (0, 0, 0), viewport=2**31),
    ],
)
def test_a_node_that_cannot_be_kept_is_refused(node: Node) -> None:
    with pytest.raises(InvalidRequest):
        Nodes.of([node])


def test_unknown_attributes_never_stand_in_for_known_ones() -> None:
    node = Node(1, (0, 0, 0), extra=Extra((("id", "9"), ("new", "1"))))
    tree = Tree(1, nodes=Nodes.of([node]), color=(0.0, 0.0, 0.0, 1.0), extra=Extra((("color.r", "1"),)))
    (found,) = parse(written(Document(skeleton=Skeleton((tree,))))).trees
    assert found.color == (0.0, 0.0, 0.0, 1.0)
    assert list(found.nodes) == [replace(node, extra=Extra((("new", "1"),)))]


def test_a_long_file_comes_in_pieces() -> None:
    pieces = list(write(Document(skeleton=Skeleton((path_tree(1, 1, 5000),)))))
    assert max(map(len, pieces)) < 2**17
    assert len(pieces) > 5


def test_volume_data_left_out_is_said_so() -> None:
    document = sample().without_volume_locations()
    data = written(document)
    assert b"location=" not in data
    assert data.count(b"<!-- The data of this volume was left out of this download. -->") == 2
    assert parse(data) == document
    assert b"<!--" not in written(sample())


# --- what consumers ask ---


def test_what_a_document_says_of_itself() -> None:
    document = sample()
    assert document.meta("annotationId") == "65a0c1f2e4b0a1b2c3d4e5f8"
    assert document.meta("taskId") is None
    assert document.dataset_id == "65a0c1f2e4b0a1b2c3d4e5f6"
    assert document.node_count == 4
    assert document.parameters.user_boxes[0].bounding_box == BoundingBox((1, 2, 3), (4, 5, 6))
    assert document.replace_volumes([]).volumes == ()
    nothing = parse(nml())
    assert (nothing.dataset_name, nothing.organization, nothing.dataset_id, nothing.voxel_size) == (None,) * 4


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ('<scale x="1" y="2" z="3" />', VoxelSize((1.0, 2.0, 3.0), "nanometer")),
        ('<scale x="1" y="2" z="3" unit="" />', VoxelSize((1.0, 2.0, 3.0), "nanometer")),
        ('<scale x="1" y="2" z="3" unit="micrometer" />', VoxelSize((1.0, 2.0, 3.0), "micrometer")),
        ('<scale x="-1" y="-1" z="-1" />', None),
        ("", None),
    ],
)
def test_the_voxel_size(scale: str, expected: VoxelSize | None) -> None:
    assert parse(nml(f"<parameters>{scale}</parameters>")).voxel_size == expected


def test_packed_nodes_are_a_sequence() -> None:
    made = [
        Node(number, (number, 0, 0), extra=Extra((("a", str(number)),) if number == 3 else ())) for number in range(6)
    ]
    nodes = Nodes.of(made)
    assert list(nodes) == made
    assert nodes[-1] == made[-1]
    assert nodes[1:3] == tuple(made[1:3])
    assert list(nodes.ids()) == list(range(6))
    assert list(nodes.pick([3, 1])) == [made[3], made[1]]
    assert nodes == Nodes.of(made)
    assert hash(nodes) == hash(Nodes.of(made))
    assert nodes != Nodes.of(made[1:])
    assert nodes != Edges()
    assert len({parse(written(sample())), sample()}) == 1
    with pytest.raises(IndexError):
        _ = nodes[6]


def test_pieces_of_any_size_and_kind_are_read() -> None:
    data = written(sample())
    assert parse(io.BytesIO(data)) == sample()
    assert parse([data, b""]) == sample()
    assert parse(data[place : place + 1] for place in range(len(data))) == sample()
