"""Volume annotations over a fallback layer, voxel by voxel and request by request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.door import Door, open_door
from builders.painted import REVERTED, PaintedLayer, annotation, painted_over
from builders.reading import expected_level, read_level
from builders.wkw_files import LayerFiles, Objects, Volume, dataset, noise, ramp
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.shard_index import index_bytes
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink.links.service import LinkRequest
from zarrlink.overlay_chunks import OverlayChunks

ONE = Mag(1, 1, 1)
SIDE = 8
GRID = (4, 3, 3)
SIZE = (32, 24, 24)


def block(seed: int, dtype: str = "uint32") -> Volume:
    """A block's voxels; seed 0 is an erased one."""
    values = np.random.default_rng(seed).integers(0, 200, (SIDE, SIDE, SIDE)).astype(dtype)
    return values * (seed > 0)


def segments(dtype: str = "uint32") -> Volume:
    return ramp(SIZE, dtype)


def door_over(painted: PaintedLayer, below: Volume | None = None, **kind: object) -> Door:
    layers = [LayerFiles("em", {ONE: ramp(SIZE)})]
    if below is not None:
        layers.append(LayerFiles("seg", {ONE: below}, category="segmentation", **{"file_side": 4, **kind}))
    return open_door(dataset(*layers), annotation=annotation(painted))


def assert_shows(door: Door, name: str, whole: Volume) -> None:
    """`whole`: from voxel 0."""
    level = door.opened(name).layer.levels[0]
    for dialect in ("v2", "v3"):
        expected = expected_level(whole, (0, 0, 0), level)
        np.testing.assert_array_equal(read_level(door, name, dialect), expected, err_msg=dialect)


places = st.dictionaries(
    st.tuples(*(st.integers(0, count - 1) for count in GRID)), st.integers(-1, 5), min_size=1, max_size=12
)


@given(places=places, compressed=st.booleans(), with_below=st.booleans(), file_side=st.sampled_from([1, 2, 4]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_present_block_else_the_one_below_else_fill(
    places: dict[Vec3, int], *, compressed: bool, with_below: bool, file_side: int
) -> None:
    blocks = {place: REVERTED if seed < 0 else block(seed) for place, seed in places.items()}
    painted = PaintedLayer("cells", {ONE: blocks}, "seg" if with_below else None)
    below = segments()
    door = door_over(
        painted,
        below if with_below else None,
        block_type=BlockType.LZ4 if compressed else BlockType.RAW,
        file_side=file_side,
    )

    assert isinstance(door.opened("cells").chunks("v3")[0], OverlayChunks)
    assert_shows(door, "cells", painted_over(below * with_below, blocks, SIDE, "uint32"))


@given(places=places)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize(("painted_dtype", "below_dtype"), [("uint32", "uint16"), ("uint16", "uint64")])
@pytest.mark.parametrize("below_side", [4, 8, 16])
def test_other_types_and_block_sides_are_reconciled(
    places: dict[Vec3, int], painted_dtype: str, below_dtype: str, below_side: int
) -> None:
    blocks = {place: REVERTED if seed < 0 else block(seed, painted_dtype) for place, seed in places.items()}
    painted = PaintedLayer("cells", {ONE: blocks}, "seg", dtype=painted_dtype)
    below = segments(below_dtype)
    door = door_over(painted, below, block_side=below_side)

    widest = max(painted_dtype, below_dtype, key=lambda dtype: np.dtype(dtype).itemsize)
    assert isinstance(door.opened("cells").chunks("v3")[0], DecodedChunks)
    assert door.opened("cells").layer.dtype == widest
    assert_shows(door, "cells", painted_over(below, blocks, SIDE, widest))


def test_types_that_no_type_holds_are_refused_by_name() -> None:
    painted = annotation(PaintedLayer("cells", {ONE: {(0, 0, 0): block(1, "int32")}}, "seg", dtype="int32"))
    stored = dataset(LayerFiles("seg", {ONE: segments()}, category="segmentation"))
    with pytest.raises(UnsupportedLayer, match=r"layer 'cells': painted as int32 over a fallback layer of uint32"):
        open_door(stored, annotation=painted, wish=LinkRequest(layers=("cells",)))


def test_the_fallback_is_cut_at_its_own_box_and_the_painting_is_not() -> None:
    below = segments()
    seg = LayerFiles(
        "seg", {ONE: below}, category="segmentation", box=BoundingBox((3, 2, 5), (20, 15, 13)), block_side=SIDE
    )
    blocks = {(0, 0, 0): block(1), (3, 2, 2): block(2)}
    door = open_door(
        dataset(LayerFiles("em", {ONE: ramp(SIZE)}), seg),
        annotation=annotation(PaintedLayer("cells", {ONE: blocks}, "seg")),
    )

    inside = np.zeros_like(below)
    inside[5:18, 2:17, 3:23] = below[5:18, 2:17, 3:23]
    assert_shows(door, "cells", painted_over(inside, blocks, SIDE, "uint32"))


def test_what_is_painted_outside_of_every_box_is_shown() -> None:
    blocks = {(0, 0, 0): block(1), (6, 3, 4): block(2)}
    door = door_over(PaintedLayer("cells", {ONE: blocks}, "seg"), segments())

    whole = np.zeros((40, 32, 56), "uint32")
    whole[:24, :24, :32] = segments()
    assert door.opened("cells").layer.box == BoundingBox((0, 0, 0), (56, 32, 40))
    assert_shows(door, "cells", painted_over(whole, blocks, SIDE, "uint32"))


def test_layers_of_an_annotation_hide_those_of_the_dataset_and_leave_the_others() -> None:
    blocks = {(1, 1, 1): block(3)}
    door = door_over(PaintedLayer("seg", {ONE: blocks}, "seg"), segments())

    assert door.link.view.layers == ("em", "seg")
    assert_shows(door, "em", ramp(SIZE))
    assert_shows(door, "seg", painted_over(segments(), blocks, SIDE, "uint32"))


def test_a_layer_in_which_nothing_was_painted_is_its_fallback() -> None:
    assert_shows(door_over(PaintedLayer("cells", {}, "seg"), segments()), "cells", segments())


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (PaintedLayer("cells", {}), "nothing was ever painted in it, and it has no fallback layer"),
        (PaintedLayer("cells", {}, "gone"), "no readable layer 'gone', its fallback layer"),
        (PaintedLayer("cells", {ONE: {(0, 0, 0): block(1)}}, "gone"), "no readable layer 'gone', its fallback layer"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(layer: PaintedLayer, reason: str) -> None:
    with pytest.raises(UnsupportedLayer, match=reason):
        open_door(
            dataset(LayerFiles("em", {ONE: ramp(SIZE)})),
            annotation=annotation(layer),
            wish=LinkRequest(layers=("cells",)),
        )


def test_mags_that_only_one_side_has_are_left_out_by_name() -> None:
    two, four = Mag(2, 2, 2), Mag(4, 4, 4)
    seg = LayerFiles("seg", {ONE: segments(), two: segments()[::2, ::2, ::2]}, category="segmentation")
    blocks = {(0, 0, 0): block(1)}
    door = open_door(dataset(seg), annotation=annotation(PaintedLayer("cells", {two: blocks, four: blocks}, "seg")))

    layer = door.opened("cells").layer
    assert [level.mag for level in layer.levels] == [two]
    assert layer.notes == (
        "mag 4 is left out: the fallback layer lacks it",
        "mag 1 is left out: the annotation lacks it",
    )


@given(start=st.integers(0, 40_000), length=st.integers(1, 3000), from_end=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranges_and_lengths_are_those_of_the_whole(merged: Door, start: int, length: int, *, from_end: bool) -> None:
    whole = merged.get(SHARD)
    assert merged.head(SHARD).text_headers()["content-length"] == str(len(whole.body))
    asked = f"bytes=-{length}" if from_end else f"bytes={start}-{start + length - 1}"
    answer = merged.get(SHARD, range=asked)
    if not from_end and start >= len(whole.body):
        assert answer.status == 416
    else:
        expected = whole.body[-length:] if from_end else whole.body[start : start + length]
        assert (answer.status, answer.body) == (206, expected)


def test_an_etag_is_strong_and_conditions_hold(merged: Door) -> None:
    whole = merged.get(SHARD)
    etag = whole.text_headers()["etag"]
    assert merged.get(SHARD, if_none_match=etag).status == 304
    assert merged.get(SHARD, range="bytes=0-9", if_range='"another"').status == 200


SHARD = "v3/cells.zarr/0/c/0/0/0"


@pytest.fixture(scope="module")
def merged() -> Door:
    blocks = {(0, 0, 0): block(1), (1, 0, 0): block(0), (2, 1, 1): block(2), (1, 1, 0): REVERTED}
    return door_over(PaintedLayer("cells", {ONE: blocks}, "seg"), segments(), file_side=4)


def test_a_merged_shard_costs_two_requests_and_those_of_the_fallback() -> None:
    blocks = {(0, 0, 0): block(1), (1, 0, 0): block(0), (2, 1, 1): block(2)}
    door = door_over(PaintedLayer("cells", {ONE: blocks}, "seg"), segments())
    with door.counted() as cold:
        assert door.get(SHARD).status == 200
    assert sorted(key for _, key in cold) == [
        "seg/1/z0/y0/x0.wkw",
        "seg/1/z0/y0/x0.wkw",
        "volumes/0/1-1-1.blocks",
        "volumes/0/1-1-1.index",
    ]
    with door.counted() as warm:
        assert door.get(SHARD).status == 200
    assert sorted(key for _, key in warm) == ["seg/1/z0/y0/x0.wkw", "volumes/0/1-1-1.blocks"]


@pytest.mark.parametrize("what", ["all", "the index", "a painted chunk", "a chunk below"])
def test_a_plan_is_not_used_when_the_fallback_was_replaced(what: str) -> None:
    painted = annotation(PaintedLayer("cells", {ONE: {(0, 0, 0): block(1), (1, 1, 1): block(2)}}, "seg"))

    def stored(seg: Volume) -> Objects:
        return dataset(LayerFiles("seg", {ONE: seg}, category="segmentation", file_side=4))

    objects, others = stored(segments()), stored(noise(SIZE, "uint32"))
    door, fresh = open_door(objects, annotation=painted), open_door(others, annotation=painted)
    old, after = door.get(SHARD), fresh.get(SHARD).body
    before = old.body
    slots = 64
    places = np.frombuffer(after[-index_bytes(slots) : -4], "<u8").reshape(-1, 2)
    # In C order of the 4 x 4 x 4 chunks of the shard.
    start, length = {
        "all": (0, len(after)),
        "the index": (len(after) - index_bytes(slots), index_bytes(slots)),
        "a painted chunk": places[16 + 4 + 1],
        "a chunk below": places[1],
    }[what]
    assert before[start : start + length] != after[start : start + length]

    objects.update(others)

    # By its place from the end, as clients ask for an index.
    asked = f"bytes=-{length}" if what == "the index" else f"bytes={start}-{start + length - 1}"
    answer = door.get(SHARD, range=asked)
    assert (answer.status, answer.body) == (206, after[start : start + length])
    assert answer.text_headers()["etag"] != old.text_headers()["etag"]


def test_where_all_is_painted_the_fallback_is_not_asked() -> None:
    blocks = {(x, y, z): block(1 + x) for x in range(4) for y in range(3) for z in range(3)}
    door = door_over(PaintedLayer("cells", {ONE: blocks}, "seg"), segments())
    with door.counted() as asked:
        assert door.get("v2/cells.zarr/0/0/0/0").status == 200
    assert not any(key.startswith("seg") for _, key in asked)


def test_an_erased_block_is_absent_and_hides_what_lies_below() -> None:
    door = door_over(PaintedLayer("cells", {ONE: {(0, 0, 0): block(0)}}, "seg"), segments())
    assert door.get("v2/cells.zarr/0/0/0/0").status == 404
    assert door.get("v2/cells.zarr/0/0/0/1").status == 200


DAMAGE = {
    "gone": lambda data: None,
    "cut short": lambda data: data[:-9],
    "other bytes": lambda data: b"\xff" + data[1:-1] + b"\xff",
}


@pytest.mark.parametrize(
    ("ending", "damage"),
    # A data file of WKW that is gone was never written.
    [(e, d) for e in (".index", ".blocks", ".wkw", "annotation.json") for d in DAMAGE if (e, d) != (".wkw", "gone")],
)
def test_damage_is_never_a_wrong_voxel(ending: str, damage: str) -> None:
    layer = PaintedLayer("cells", {ONE: {(0, 0, 0): block(1), (2, 1, 1): block(2)}}, "seg")
    seg = LayerFiles("seg", {ONE: segments()}, category="segmentation")
    whole = open_door(dataset(seg), annotation=annotation(layer)).get(SHARD).body
    stored = dataset(seg), annotation(layer)
    door = open_door(stored[0], annotation=stored[1], freshness_s=0.0)
    for objects in stored:
        for key in [key for key in objects if key.endswith(ending) and "header" not in key]:
            damaged = DAMAGE[damage](objects.pop(key))
            if damaged is not None:
                objects[key] = damaged
    answer = door.get(SHARD)
    # A stored block has no checksum: it goes out as it is stored, and it is for the reader's decoder to refuse.
    passed_through = damage == "other bytes" and ending in (".blocks", ".wkw")
    assert answer.status in (410, 502, 503) or (passed_through and len(answer.body) == len(whole))


def test_a_link_follows_another_revision_of_the_same_geometry() -> None:
    first, second = ({(0, 0, 0): block(seed)} for seed in (1, 2))
    door = door_over(PaintedLayer("cells", {ONE: first}, "seg"), segments())
    objects = annotation(PaintedLayer("cells", {ONE: second}, "seg"))
    revise(door, objects)
    assert_shows(door, "cells", painted_over(segments(), second, SIDE, "uint32"))


def test_a_revision_of_another_geometry_ends_the_link() -> None:
    door = door_over(PaintedLayer("cells", {ONE: {(0, 0, 0): block(1)}}, "seg"), segments())
    revise(door, annotation(PaintedLayer("cells", {ONE: {(0, 0, 0): block(1, "uint16")}}, dtype="uint16")))
    assert door.get("v2/cells.zarr/0/0/0/0").status == 410
    revise(door, annotation(PaintedLayer("others", {ONE: {(0, 0, 0): block(1)}}, "seg")))
    assert door.get("v2/cells.zarr/0/0/0/0").status == 410


def test_a_removed_annotation_ends_its_links() -> None:
    door = door_over(PaintedLayer("cells", {ONE: {(0, 0, 0): block(1)}}, "seg"), segments())
    door.annotations.remove("a" * 24)
    door.clock.monotonic_s += 1e10
    assert door.get("v2/cells.zarr/0/0/0/0").status == 410
    assert door.get("v2/em.zarr/0/0/0/0").status == 410


def revise(door: Door, objects: Objects) -> None:
    """The annotation has another revision, in a place of its own."""
    record = door.annotations.get("a" * 24)
    assert record is not None
    location = f"{record.location}+"
    door.places[location] = door.make_source(objects)
    assert door.annotations.revise(replace(record, revision=location, location=location), record.revision)
    door.clock.monotonic_s += 1e10
