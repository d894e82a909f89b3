"""Plans are arithmetic: every tile in one unit, once, at consecutive places."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.export_runs import SMALL, make_spec
from zarrlink.errors import ExportTooLarge, InvalidRequest, UnsupportedLayer
from zarrlink.exports.handover import place
from zarrlink.exports.part_sink import PartReceipt
from zarrlink.exports.plan import excess, lay_out, make_plan
from zarrlink.exports.request import ExportSpec, Limits
from zarrlink.exports.results import UnitResult
from zarrlink.exports.stack_plan import StackPlan
from zarrlink.exports.steps import tiers
from zarrlink.exports.tiff_front import TiffFront, find_tiles
from zarrlink.exports.tiff_part import leaf_boxes
from zarrlink.exports.tiff_plan import TiffPlan
from zarrlink.exports.walk import batches, cells
from zarrlink.geometry import BoundingBox, Mag

MIB = 2**20
side = st.integers(1, 700)


@st.composite
def specs(draw: st.DrawFn, kind: str = "ome_tiff") -> ExportSpec:
    corner = [draw(st.integers(-500, 500)) for _ in range(3)]
    box = BoundingBox((corner[0], corner[1], corner[2]), (draw(side), draw(side), draw(st.integers(1, 60))))
    mag = Mag(draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    least = draw(st.sampled_from([0, 2**12]))
    unit = draw(st.sampled_from([2**14, 2**18, 2**22]))
    limits = replace(SMALL, least_part=least, unit=unit, aimed_unit=unit // 2)
    chunk = draw(st.tuples(st.integers(1, 100), st.integers(1, 100), st.integers(1, 40)))
    dtype, channels = draw(st.sampled_from(["uint8", "uint16", "uint32", "float64"])), draw(st.integers(1, 3))
    levels = draw(st.one_of(st.none(), st.integers(1, 5))) if kind == "ome_tiff" else None
    return make_spec(
        box, dtype, channels=channels, mag=mag, kind=kind, tile=32, levels=levels, limits=limits, chunk=chunk,
        chunk_start=draw(st.tuples(*[st.integers(-9, 9)] * 3)), ratio=draw(st.sampled_from([0.01, 0.5, 1.0])),
    )  # fmt: skip


def tiff_plan(spec: ExportSpec) -> TiffPlan:
    plan = lay_out(spec)
    assert isinstance(plan, TiffPlan)
    return plan


@given(specs())
def test_units_hold_every_tile_once(spec: ExportSpec) -> None:
    plan = tiff_plan(spec)
    seen = [np.zeros((plan.box.size[2], level.tiles_y, level.tiles_x), int) for level in plan.levels]
    for number in range(plan.units):
        for batch in batches(plan, plan.unit(number)):
            (z0, z1), (y0, y1), (x0, x1) = batch.planes, batch.tiles_y, batch.tiles_x
            seen[batch.level][z0:z1, y0:y1, x0:x1] += 1
    assert all((level == 1).all() for level in seen)
    assert [number for units in tiers(plan) for number in units] == list(range(plan.units))


@given(specs())
def test_units_read_every_voxel_once(spec: ExportSpec) -> None:
    plan = tiff_plan(spec)
    for tier in plan.tiers:
        source = plan.levels[tier.source]
        seen = np.zeros((plan.box.size[2], source.height, source.width), np.uint8)
        for number in tier.units:
            for (x0, y0, z0), (x1, y1, z1) in leaf_boxes(plan, plan.unit(number)):
                assert 0 <= x0 < x1 <= source.width
                assert 0 <= y0 < y1 <= source.height
                seen[z0:z1, y0:y1, x0:x1] += 1
        assert (seen == 1).all()


@given(specs())
def test_what_is_handed_over_lies_where_it_is_looked_for(spec: ExportSpec) -> None:
    plan = tiff_plan(spec)
    for tier in plan.tiers[:-1]:
        level, tile = plan.levels[tier.last], plan.spec.request.tile
        for number in tier.units:
            at = 0
            for layer, cell in cells(plan.unit(number)):
                assert place(plan, tier, cell.x, cell.y, layer) == (number, at)
                width, height = (
                    min(tile, side - n * tile) for side, n in ((level.width, cell.x), (level.height, cell.y))
                )
                at += (plan.layers.start(layer + 1) - plan.layers.start(layer)) * width * height * plan.form.voxel_bytes


@given(specs(), st.integers(0, 2**32 - 1))
def test_places_are_consecutive_and_add_up(spec: ExportSpec, seed: int) -> None:
    """Made-up sizes: tiles lie in their part in its order, parts behind the front, and the front is as long as it said."""
    plan, random = tiff_plan(spec), np.random.default_rng(seed)
    results = []
    for number in range(plan.units):
        count = sum(
            plan.form.planes
            * (b.planes[1] - b.planes[0])
            * (b.tiles_y[1] - b.tiles_y[0])
            * (b.tiles_x[1] - b.tiles_x[0])
            for b in batches(plan, plan.unit(number))
        )
        sizes = random.integers(0, 3, count).astype(np.uint32)
        padded = max(int(sizes.sum()), spec.limits.least_part if number + 1 < plan.units else 1)
        result = UnitResult(number, PartReceipt(number + 2, padded, 0, "x"), sizes)
        again = UnitResult.from_bytes(result.to_bytes())
        assert again.receipt == result.receipt
        assert (again.numbers == sizes).all()
        results.append(again)
    tiles = find_tiles(plan, results)
    spans = sorted(
        (int(start), int(length))
        for level in tiles
        for start, length in zip(level.offsets.ravel(), level.lengths.ravel(), strict=True)
        if length
    )
    assert all(a + n <= b for (a, n), (b, _) in itertools.pairwise(spans))
    assert sum(length for _, length in spans) == sum(int(result.numbers.sum()) for result in results)
    starts = np.cumsum([0] + [result.receipt.part_bytes for result in results])
    assert all(start + length <= starts[-1] for start, length in spans)
    front = TiffFront(plan, int(starts[-1]), spec.limits.least_part)
    assert sum(len(piece) for piece in front.pieces(tiles)) == front.length >= spec.limits.least_part


@given(specs(kind="tiff_stack"))
def test_a_stack_has_every_plane_once_and_names_that_sort(spec: ExportSpec) -> None:
    plan = lay_out(spec)
    assert isinstance(plan, StackPlan)
    files = [file for number in range(plan.units) for file in plan.files_of(plan.unit(number))]
    assert sorted(files) == [(z, channel) for z in range(plan.box.size[2]) for channel in range(plan.form.planes)]
    names = [plan.file_name(z, channel) for z, channel in files]
    assert len(set(names)) == len(names) == plan.planes
    if plan.box.top_left[2] >= 0:
        first = [plan.file_name(z, 0) for z in range(plan.box.size[2])]
        assert first == sorted(first)
    rows = [plan.band.start(band) for band in range(plan.band.count + 1)]
    assert rows[0] == 0
    assert rows[-1] == plan.box.size[1]
    assert all(a < b for a, b in itertools.pairwise(rows))


@given(specs())
def test_a_spec_is_what_its_json_says(spec: ExportSpec) -> None:
    assert ExportSpec.from_json(spec.to_json()) == spec


@given(specs())
def test_each_level_covers_what_was_asked_for(spec: ExportSpec) -> None:
    plan, asked = tiff_plan(spec), spec.request.box
    for level in range(len(plan.levels)):
        covered = plan.level_box_mag1(level)
        assert covered.intersection(asked) == asked


def test_units_of_the_real_limits_are_at_most_a_gibibyte() -> None:
    for size, dtype, chunk in (
        ((1024, 1024, 256), "uint8", (32, 32, 32)),
        ((16384, 16384, 4096), "uint8", (32, 32, 32)),
        ((65536, 50000, 300), "uint16", (128, 128, 128)),
        ((30000, 70000, 50), "uint32", (1024, 1024, 1)),
        ((500_000, 400_000, 3), "uint8", (64, 64, 64)),
    ):
        plan = tiff_plan(make_spec(BoundingBox((0, 0, 0), size), dtype, limits=Limits(), chunk=chunk, ratio=0.7))
        assert plan.units < 10_000
        for tier in plan.tiers:
            source, unit = plan.levels[tier.source], plan.unit(tier.first_unit)
            tile = plan.spec.request.tile << (tier.last - tier.source)
            width = min(unit.cells_x[1] * tile, source.width) - unit.cells_x[0] * tile
            height = min(unit.cells_y[1] * tile, source.height) - unit.cells_y[0] * tile
            depth = max(
                plan.layers.start(plan.unit(number).layers[1]) - plan.layers.start(plan.unit(number).layers[0])
                for number in list(tier.units)[:2]
            )
            assert width * height * depth * plan.form.voxel_bytes <= 1024 * MIB


@pytest.mark.parametrize("kind", ["ome_tiff", "tiff_stack"])
def test_a_terabyte_is_planned_and_assembled(kind: str) -> None:
    """16384 x 16384 x 4096 voxels with made-up sizes; how long that takes is measured in `benchmarks`."""
    spec = make_spec(BoundingBox((0, 0, 0), (16384, 16384, 4096)), limits=Limits(), ratio=0.7, kind=kind)
    plan = make_plan(spec)
    assert 500 <= plan.units <= 5000
    if isinstance(plan, TiffPlan):
        results = [made_up_result(plan, number) for number in range(plan.units)]
        front = TiffFront(plan, sum(result.receipt.part_bytes for result in results), spec.limits.least_part)
        tiles = find_tiles(plan, results)
        assert sum(len(piece) for piece in front.pieces(tiles)) == front.length
        assert front.big
        assert front.length < 100 * MIB


def made_up_result(plan: TiffPlan, number: int) -> UnitResult:
    counts = [
        (b.planes[1] - b.planes[0]) * (b.tiles_y[1] - b.tiles_y[0]) * (b.tiles_x[1] - b.tiles_x[0])
        for b in batches(plan, plan.unit(number))
    ]
    sizes = np.full(sum(counts) * plan.form.planes, 180_000, np.uint32)
    return UnitResult(number, PartReceipt(number + 2, int(sizes.sum()), 0, "x"), sizes)


LAYER = BoundingBox((100, 100, 100), (4000, 4000, 400))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (
            BoundingBox((0, 0, 0), (50, 50, 50)),
            r"lies outside of layer 'em', which is \[100, 100, 100, 4000, 4000, 400\]",
        ),
        (BoundingBox((90, 100, 100), (50, 50, 50)), r"the part inside is \[100, 100, 100, 40, 50, 50\]"),
    ],
)
def test_a_box_outside_is_refused(box: BoundingBox, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        make_plan(replace(make_spec(LAYER), request=replace(make_spec(LAYER).request, box=box)))


def test_a_box_of_no_size_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="positive"):
        make_spec(BoundingBox((0, 0, 0), (0, 5, 5)))


def test_what_no_object_holds_is_refused_with_the_nearest_mag_that_fits() -> None:
    spec = make_spec(BoundingBox((0, 0, 0), (131072, 131072, 4096)), limits=Limits())
    with pytest.raises(ExportTooLarge, match="mag 4 fits") as refused:
        make_plan(spec)
    assert refused.value.fits == "4"
    make_plan(replace(spec, request=replace(spec.request, mag=Mag(4, 4, 4))))


def test_what_no_mag_holds_is_refused() -> None:
    spec = make_spec(BoundingBox((0, 0, 0), (2**40, 2**40, 2**40)), limits=Limits())
    with pytest.raises(ExportTooLarge, match="choose a smaller box"):
        make_plan(spec)


def test_a_limit_may_be_lower() -> None:
    spec = make_spec(LAYER, limits=replace(Limits(), object_bytes=10**9))
    with pytest.raises(ExportTooLarge, match="more than the 1000000000 of an object: mag 4 fits"):
        make_plan(spec)


def test_what_compresses_well_may_be_larger_up_to_the_number_of_parts() -> None:
    labels = make_spec(BoundingBox((0, 0, 0), (65536, 65536, 2048)), limits=Limits(), ratio=0.02)
    assert excess(make_plan(labels)) is None
    more = replace(labels, request=replace(labels.request, box=BoundingBox((0, 0, 0), (65536, 65536, 8192))))
    with pytest.raises(ExportTooLarge, match="parts"):
        make_plan(replace(more, source=replace(more.source, box=more.request.box)))


def test_a_plane_that_no_plain_tiff_holds_is_refused_for_a_stack() -> None:
    spec = make_spec(BoundingBox((0, 0, 0), (80_000, 80_000, 4)), limits=Limits(), kind="tiff_stack")
    with pytest.raises(ExportTooLarge, match="one plane"):
        make_plan(spec)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "png"},
        {"compression": "lzw"},
        {"levels": 0},
        {"kind": "tiff_stack", "levels": 2},
        {"tile": 100},
        {"wide": ""},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        make_spec(LAYER, **changes)


def test_a_mag_that_the_layer_does_not_have_is_refused() -> None:
    spec = make_spec(LAYER)
    with pytest.raises(InvalidRequest, match="has no mag 3; it has 1, 2, 4, 8, 16"):
        make_plan(replace(spec, request=replace(spec.request, mag=Mag(3, 3, 3))))


def test_a_type_that_no_tiff_has_is_refused() -> None:
    with pytest.raises(UnsupportedLayer, match="complex64"):
        make_plan(make_spec(LAYER, "complex64"))
