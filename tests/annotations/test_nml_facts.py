"""What an import reads of an NML, and what a download changes in it."""

from __future__ import annotations

import asyncio

import pytest

from builders.annotation_zips import TREE, Volume, nml
from zarrlink.annotations.nml_facts import NmlFacts, read_facts
from zarrlink.annotations.nml_tags import PIECE_BYTES, NewTag, read_nml
from zarrlink.errors import CorruptFile, InvalidRequest, SourceChanged
from zarrlink.formats.nml import Limits
from zarrlink.geometry import VoxelSize
from zarrlink.storage.memory import MemorySource

PROOFREAD = Volume(
    1,
    "b",
    "data_1_b.zip",
    format="zarr3",
    fallback_layer="segmentation",
    attributes='largestSegmentId="18446744073709551615" mappingName="agglo" mappingIsLocked="true" '
    'editedMappingEdgesLocation="editedMappingEdges_1_b.zip"',
)


def facts_of(data: bytes) -> NmlFacts:
    return read_facts(data, Limits())


def relocated(data: bytes, changes: dict[int, tuple[str | None, str | None]]) -> bytes:
    """With other `location` and `format` at some volumes, by their place."""
    volumes = facts_of(data).volumes
    tags = [NewTag(volumes[place].nml_offset, *change) for place, change in changes.items()]
    return asyncio.run(joined(MemorySource({"annotation.nml": data}), tags))


async def joined(source: MemorySource, tags: list[NewTag]) -> bytes:
    return b"".join([piece async for piece in read_nml(source, tags)])


def test_facts_are_read() -> None:
    facts = facts_of(nml(Volume(), PROOFREAD, skeleton=TREE))
    assert (facts.annotation_id, facts.username) == ("65a0c1f2e4b0a1b2c3d4e5f8", "Anna Sample")
    assert (facts.dataset_name, facts.organization) == ("sample_ds", "sample_org")
    assert facts.dataset_id == "65a0c1f2e4b0a1b2c3d4e5f6"
    assert facts.voxel_size == VoxelSize((11.0, 11.0, 28.0), "nanometer")
    assert (facts.trees, facts.nodes) == (1, 2)
    first, second = facts.volumes
    assert (first.id, first.name, first.location, first.format) == (0, "Volume", "data_Volume.zip", "wkw")
    assert (first.largest_segment_id, first.mapping_name, first.mapping_is_locked) == (None, None, False)
    assert (second.largest_segment_id, second.mapping_name) == (2**64 - 1, "agglo")
    assert (second.mapping_is_locked, second.edited_mapping_location) == (True, "editedMappingEdges_1_b.zip")


def test_a_scale_of_minus_one_is_unknown() -> None:
    assert facts_of(nml(scale='<scale x="-1" y="-1" z="-1" />')).voxel_size is None


def test_a_volume_without_an_id_has_its_place() -> None:
    assert [volume.id for volume in facts_of(b'<things><volume name="a"/><volume name="b"/></things>').volumes] == [
        0,
        1,
    ]


def test_a_volume_within_something_else_is_none() -> None:
    data = b'<things><thing id="1"><volume id="0" /></thing><volume id="3" /></things>'
    facts = facts_of(data)
    assert [(volume.id, volume.nml_offset) for volume in facts.volumes] == [(3, data.index(b'<volume id="3"'))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<things>",
        b"<other />",
        b'<!DOCTYPE things [<!ENTITY a "aaa">]><things>&a;</things>',
        b'<!DOCTYPE things SYSTEM "http://localhost/x.dtd"><things />',
        b'<!DOCTYPE things [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><things />',
        b"<things>&undefined;</things>",
        '<?xml version="1.0" encoding="utf-16"?><things />'.encode("utf-16"),
        b'<?xml version="1.0" encoding="iso-8859-1"?><things />',
        b"<things>" * 200,
        b"<things>" + b"\xff" + b"</things>",
        b'<things><volume id="x" /></things>',
        b'<things><volume id="-1" /></things>',
        b'<things><volume id="0" largestSegmentId="-5" /></things>',
        b'<things><volume id="0" name="a" /><volume id="0" name="b" /></things>',
        b'<things><volume id="0" name="a" /><volume id="1" name="a" /></things>',
        b'<things><volume id="0" name="Volume" /><volume id="1" /></things>',
        b"<things>" + b"".join(b'<volume id="%d" name="%d" />' % (n, n) for n in range(101)) + b"</things>",
        b'<things><parameters><scale x="a" y="1" z="1" /></parameters></things>',
        b'<things><parameters><scale x="1e300" y="1" z="1" /></parameters></things>',
        # What WEBKNOSSOS refuses.
        nml(skeleton=TREE.replace('target="2"', 'target="3"')),
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_no_nml_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        facts_of(data)


def test_only_location_and_format_change() -> None:
    data = nml(Volume(), PROOFREAD, skeleton=TREE)
    changed = relocated(data, {0: ("new & <odd>.zip", "zarr3"), 1: (None, "wkw")})
    first, second = facts_of(changed).volumes
    assert (first.location, first.format) == ("new & <odd>.zip", "zarr3")
    assert (second.location, second.format) == (None, "wkw")
    assert (second.mapping_name, second.fallback_layer) == ("agglo", "segmentation")
    assert changed.count(b"\n") == data.count(b"\n")
    assert changed.split(b"<volume")[0] == data.split(b"<volume")[0]
    assert changed.split(b"<segments")[-1] == data.split(b"<segments")[-1]


@pytest.mark.parametrize("filling", [0, PIECE_BYTES - 40, 3 * PIECE_BYTES])
def test_without_changes_every_byte_stays(filling: int) -> None:
    data = nml(Volume(), PROOFREAD, skeleton="\n" * filling + TREE)
    assert relocated(data, {}) == data
    again = relocated(relocated(data, {0: ("a", "zarr3")}), {0: ("data_Volume.zip", "wkw")})
    assert len(again) == len(data)
    assert facts_of(again) == facts_of(data)


@pytest.mark.parametrize(
    "element",
    [
        b"<volume id='0' location='it is \"a.zip\"' name='a > b'/>",
        b'<volume\n  id = "0"\n\tlocation="a.zip"\r\n  name="x" ></volume>',
        b'<volume id="0" name="location=1" format="zarr3"/>',
        b'<volume id="0"/>',
        b"<volume/>",
        b'<volume id="0" name="' + b"long" * 5000 + b'"/>',
    ],
    ids=lambda element: repr(element[:60]),
)
def test_any_way_to_write_an_element_is_understood(element: bytes) -> None:
    data = (
        b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8"?><!-- <volume id="9"> --><things>' + element + b"</things>"
    )
    before = facts_of(data).volumes[0]
    after = facts_of(relocated(data, {0: ("b.zip", "wkw")})).volumes[0]
    assert (after.location, after.format, after.id, after.name) == ("b.zip", "wkw", 0, before.name)


def test_characters_beyond_ascii_do_not_shift_anything() -> None:
    data = '<things><meta name="\u00e9\u4e2d\U0001f600" content="x" /><volume id="0" name="\u00e9" location="a" /></things>'
    after = relocated(data.encode(), {0: (None, None)}).decode()
    assert after == data.replace(' location="a"', "")


@pytest.mark.parametrize("offset", [0, 3, 10**6])
def test_an_nml_that_is_not_the_imported_one_is_damage(offset: int) -> None:
    source = MemorySource({"annotation.nml": nml(Volume())})
    with pytest.raises(CorruptFile):
        asyncio.run(joined(source, [NewTag(offset, None, None)]))


def test_an_nml_that_changes_on_the_way_is_not_mixed() -> None:
    source = MemorySource({"annotation.nml": bytes(3 * PIECE_BYTES)})

    async def read() -> None:
        async for _ in read_nml(source):
            source.objects["annotation.nml"] = b"x" * 3 * PIECE_BYTES

    with pytest.raises(SourceChanged):
        asyncio.run(read())
