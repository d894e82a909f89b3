"""Views: their id is their content."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import InvalidRequest
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.view import View

DATASET = "65a1f0c2b3d4e5f607182930"
layer_names = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=4).map(lambda names: tuple(sorted(names)))
small = st.integers(1, 4)
views = st.builds(
    View,
    st.sampled_from([DATASET, "0" * 24]),
    st.sampled_from([("a",), ("a", "b")]) | layer_names,
    st.none() | st.builds(BoundingBox, st.tuples(small, small, small), st.tuples(small, small, small)),
    st.none() | st.builds(Mag, small, small, small),
)


# Ids stand in link tables and in caches: a change of these two ends every link's cache.
def test_the_id_of_a_plain_view_is_fixed() -> None:
    assert View(DATASET, ("em",)).id == "KviMlePON9BM0nGwk2_xl4"


def test_the_id_of_a_limited_view_is_fixed() -> None:
    view = View(DATASET, ("em", "segmentation"), BoundingBox((1, 2, 3), (4, 5, 6)), Mag(2, 2, 1))
    assert view.id == "dWGYx_Pt2BMwwLN-wfLj5z"


def test_the_canonical_form_is_fixed() -> None:
    view = View(DATASET, ("em",), BoundingBox((1, 2, 3), (4, 5, 6)), Mag(2, 2, 1))
    assert view.to_json() == f'{{"box":[1,2,3,4,5,6],"dataset":"{DATASET}","finestMag":[2,2,1],"layers":["em"]}}'


@given(views, views)
def test_two_views_have_one_id_exactly_if_they_open_the_same(one: View, other: View) -> None:
    assert (one.id == other.id) == (one == other)


@given(views)
def test_a_view_round_trips_through_json(view: View) -> None:
    again = View.from_json(view.to_json())
    assert again == view
    assert again.id == view.id


@given(views)
def test_an_id_is_22_characters_that_an_address_can_hold(view: View) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", view.id, re.ASCII)


@pytest.mark.parametrize("layers", [(), ("b", "a"), ("a", "a")])
def test_layers_are_named_each_once_in_order(layers: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        View(DATASET, layers)
