"""`annotation.json`: what it holds comes back, and what it cannot hold is damage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.annotations.manifest import EditedMapping, Manifest, PackedMag, PackedVolume
from zarrlink.errors import CorruptFile
from zarrlink.geometry import BoundingBox, Mag, VoxelSize

BARE = PackedVolume(3, None, "zarr3", None, None, None, None, False, None, None, ())
FULL = PackedVolume(
    id=0,
    name="Volume \u00e9",
    format="wkw",
    element_class="uint64",
    fallback_layer="segmentation",
    largest_segment_id=2**64 - 1,
    mapping_name="agglomerate_view_5",
    mapping_is_locked=True,
    edited_mapping=EditedMapping("volumes/0/edited-mapping.zip", "editedMappingEdges_Volume.zip", 22),
    block_side=32,
    mags=(
        PackedMag(Mag(1, 1, 1), "volumes/0/1-1-1", 3, 100, BoundingBox((0, 5, 0), (2, 1, 1))),
        PackedMag(Mag(2, 2, 1), "volumes/0/2-2-1", 0, 0, None),
    ),
)
GOOD = Manifest(
    "sample", "ds", "org", "65a0", "65a1", "Anna", VoxelSize((11.24, 11.24, 28.0)), (FULL, BARE), trees=2, nodes=7
)
BARE_AT_0 = Manifest("", None, None, None, None, None, None, (), trees=0, nodes=0)


@pytest.mark.parametrize("manifest", [GOOD, BARE_AT_0])
def test_a_manifest_round_trips(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_keys_of_a_mag_follow_from_its_prefix() -> None:
    mag = FULL.mags[1]
    assert (mag.index_key, mag.blocks_key) == ("volumes/0/2-2-1.index", "volumes/0/2-2-1.blocks")


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path] * bool(path) + [place for name, value in inner for place in places(value, (*path, name))]


def unchecked() -> Any:
    """As older imports wrote it: its check would tell of everything."""
    document = json.loads(GOOD.to_json())
    del document["check"]
    return document


PLACES = places(unchecked())
VALUES = [None, True, -1, 3, 1.5, 10**400, "../x", "", [], {}, [1, 1, 1], [0] * 6, "\ud800"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_any_value_at_any_place_is_a_manifest_that_writes_itself_or_damage(place: tuple[Any, ...]) -> None:
    for value in VALUES:
        document = unchecked()
        holder = document
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = value
        try:
            manifest = Manifest.from_json(json.dumps(document).encode())
        except CorruptFile:
            continue
        assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("version",), 2),
        (("volumes", 0, "mags", 0, "prefix"), "../../etc/passwd"),
        (("volumes", 0, "mags", 0, "prefix"), "volumes/1/1-1-1"),
        (("volumes", 0, "editedMapping", "key"), "other"),
        (("volumes", 0, "editedMapping", "name"), "../../x.zip"),
        (("volumes", 0, "blockSide"), 24),
        (("volumes", 0, "blockSide"), None),
        (("volumes", 0, "elementClass"), "uint24"),
        (("volumes", 0, "largestSegmentId"), 5),
        (("volumes", 0, "mags", 0, "extent"), None),
        (("volumes", 0, "mags", 0, "extent"), [-1, 0, 0, 5, 5, 5]),
        (("volumes", 0, "mags", 0, "extent"), [0, 0, 0, 2**22, 5, 5]),
        (("volumes", 0, "mags", 1, "mag"), [1, 1, 1]),
        (("voxelSize", "factor"), [1, 1, float("nan")]),
    ],
    ids=str,
)
def test_what_cannot_be_is_damage(place: tuple[Any, ...], value: object) -> None:
    document = unchecked()
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    with pytest.raises(CorruptFile, match="description of an annotation"):
        Manifest.from_json(json.dumps(document).encode())


def test_a_manifest_of_an_older_import_is_read_still() -> None:
    assert Manifest.from_json(json.dumps(unchecked()).encode()) == GOOD


@given(st.data())
def test_no_flipped_bit_says_something_else(data: st.DataObject) -> None:
    good = GOOD.to_json()
    at = data.draw(st.integers(0, len(good) - 1))
    flipped = good[:at] + bytes([good[at] ^ 1 << data.draw(st.integers(0, 7))]) + good[at + 1 :]
    try:
        assert Manifest.from_json(flipped) == GOOD
    except CorruptFile:
        return


@given(st.binary(max_size=50))
def test_any_bytes_are_damage(data: bytes) -> None:
    with pytest.raises(CorruptFile):
        Manifest.from_json(data)


@pytest.mark.parametrize("data", [b"[" * 100_000, b" " * (4 * 2**20 + 1)], ids=["deep", "long"])
def test_hostile_json_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptFile):
        Manifest.from_json(data)
