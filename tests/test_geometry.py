"""Boxes, mags and voxel sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import InvalidRequest
from zarrlink.geometry import MAX_COORDINATE, BoundingBox, Mag, Vec3, VoxelSize

sides = st.integers(1, 999_999)
mags = st.builds(Mag, sides, sides, sides)
small_mags = st.builds(Mag, *[st.integers(1, 9)] * 3)
corners = st.tuples(*[st.integers(-40, 40)] * 3)
sizes = st.tuples(*[st.integers(1, 30)] * 3)
boxes = st.builds(BoundingBox, corners, sizes)
large_boxes = st.builds(
    BoundingBox,
    st.tuples(*[st.integers(-MAX_COORDINATE, MAX_COORDINATE)] * 3),
    st.tuples(*[st.integers(1, MAX_COORDINATE)] * 3),
)


def holds(box: BoundingBox, voxel: Vec3) -> bool:
    return all(a <= v < b for a, v, b in zip(box.top_left, voxel, box.bottom_right, strict=True))


# --- mags ---


@given(mags)
def test_a_mag_is_read_from_both_of_its_forms(mag: Mag) -> None:
    assert Mag.parse(mag.literal) == Mag.parse(mag.dashed) == mag


def test_the_literal_of_a_mag_is_its_shortest_form() -> None:
    assert (Mag(2, 2, 2).literal, Mag(2, 2, 1).literal, Mag(2, 2, 2).dashed) == ("2", "2-2-1", "2-2-2")


@pytest.mark.parametrize(
    "literal",
    [
        "",
        "0",
        "01",
        "-1",
        "+1",
        "1.0",
        " 1",
        "1\n",
        "1-1",
        "1-1-1-1",
        "1-1-0",
        "1-1-",
        "a",
        "\u0661",
        "1000000",
        "1-1-1000000",
    ],
)
def test_what_is_no_mag_is_refused(literal: str) -> None:
    with pytest.raises(InvalidRequest):
        Mag.parse(literal)


@given(st.text())
def test_any_text_is_a_mag_that_is_written_so_or_refused(text: str) -> None:
    try:
        mag = Mag.parse(text)
    except InvalidRequest:
        return
    assert text in (mag.literal, mag.dashed)


@pytest.mark.parametrize("side", [0, -1, 10**6, 1.5, "1", None])
def test_a_mag_has_whole_positive_factors(side: object) -> None:
    with pytest.raises(InvalidRequest):
        Mag(1, side, 1)  # type: ignore[arg-type]


# --- boxes ---


@given(large_boxes)
def test_a_box_round_trips_through_six_numbers(box: BoundingBox) -> None:
    assert BoundingBox.from_list(box.to_list()) == box
    assert BoundingBox.parse(",".join(map(str, box.to_list()))) == box


@given(large_boxes)
def test_a_box_ends_where_its_sides_do(box: BoundingBox) -> None:
    assert [b - a for a, b in zip(box.top_left, box.bottom_right, strict=True)] == list(box.size)


@given(boxes, boxes, corners)
def test_an_intersection_holds_what_both_boxes_hold(one: BoundingBox, other: BoundingBox, voxel: Vec3) -> None:
    common = one.intersection(other)
    assert (common is not None and holds(common, voxel)) == (holds(one, voxel) and holds(other, voxel))


@given(boxes, boxes)
def test_an_intersection_has_no_order(one: BoundingBox, other: BoundingBox) -> None:
    assert one.intersection(other) == other.intersection(one)


@given(boxes)
def test_a_box_is_its_intersection_with_itself(box: BoundingBox) -> None:
    assert box.intersection(box) == box


def test_boxes_that_only_touch_have_no_intersection() -> None:
    assert BoundingBox((0, 0, 0), (4, 4, 4)).intersection(BoundingBox((4, 0, 0), (4, 4, 4))) is None


@given(boxes, small_mags)
def test_a_voxel_that_holds_any_of_the_box_belongs_to_it_in_a_mag(box: BoundingBox, mag: Mag) -> None:
    inside = box.in_mag(mag)
    for axis in range(3):
        touched = {voxel // mag.xyz[axis] for voxel in range(box.top_left[axis], box.bottom_right[axis])}
        assert touched == set(range(inside.top_left[axis], inside.bottom_right[axis]))


@given(boxes)
def test_a_box_is_itself_in_mag_1(box: BoundingBox) -> None:
    assert box.in_mag(Mag(1, 1, 1)) == box


@pytest.mark.parametrize("size", [(0, 1, 1), (1, -1, 1), (1, 1, MAX_COORDINATE + 1), (1, 1)])
def test_a_box_needs_positive_sides(size: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest):
        BoundingBox((0, 0, 0), size)  # type: ignore[arg-type]


@pytest.mark.parametrize("corner", [(MAX_COORDINATE + 1, 0, 0), (0, 0, -MAX_COORDINATE - 1), (0, 0), (0, 0, 0, 0)])
def test_the_corner_of_a_box_is_in_range(corner: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest):
        BoundingBox(corner, (1, 1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1,2,3,4,5",
        "1,2,3,4,5,6,7",
        "1,2,3,4,5,0",
        "a,b,c,d,e,f",
        "1.0,2,3,4,5,6",
        "+1,2,3,4,5,6",
        "1,2,3,4,5,-6",
        "1,,3,4,5,6",
    ],
)
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        BoundingBox.parse(text)


@pytest.mark.parametrize("number", [MAX_COORDINATE + 1, -MAX_COORDINATE - 1, -(10**20), 10**5000], ids=lambda _: "")
@pytest.mark.parametrize("at", range(6))
def test_a_number_that_is_too_large_for_a_box_is_said_to_be(number: int, at: int) -> None:
    """Only a corner may be negative."""
    if number < 0 and at > 2:
        return
    fields = ["1"] * 6
    fields[at] = "1" + "0" * 5000 if number == 10**5000 else str(number)
    with pytest.raises(InvalidRequest, match=f"too large a number for a box: at most {MAX_COORDINATE} is accepted"):
        BoundingBox.parse(",".join(fields))


@given(st.text(alphabet="0123456789,-+. e\u0660", max_size=40) | st.text())
def test_any_text_is_a_box_or_refused(text: str) -> None:
    try:
        BoundingBox.parse(text)
    except InvalidRequest:
        return


@pytest.mark.parametrize("numbers", [[], [1] * 5, [1] * 7, [1.0] * 6, [True] * 6, [None] * 6, ["1"] * 6], ids=str)
def test_a_list_is_a_box_only_as_six_whole_numbers(numbers: list[int]) -> None:
    with pytest.raises(InvalidRequest):
        BoundingBox.from_list(numbers)


# --- voxel size ---


@pytest.mark.parametrize("length", [0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("axis", range(3))
def test_a_voxel_has_positive_finite_lengths(length: float, axis: int) -> None:
    factor = [1.0, 1.0, 1.0]
    factor[axis] = length
    with pytest.raises(InvalidRequest):
        VoxelSize((factor[0], factor[1], factor[2]))
