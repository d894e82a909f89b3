"""What entries look like."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.link_store import link
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.edge.entries import base36, key_entries, link_entry, link_id_of, link_key
from zarrlink.edge.revision import revision_of, source_revision
from zarrlink.library import Subject
from zarrlink.links.model import MAX_TIME_MS, new_link_id
from zarrlink.links.token import KeyRing

ONE = link(1)
GEOMETRY = {"em": "a", "seg": "b"}


@given(st.integers(0, MAX_TIME_MS))
def test_a_number_is_written_as_javascript_does(number: int) -> None:
    text = base36(number)
    assert int(text, 36) == number
    assert text == text.lower()
    assert text == "0" or not text.startswith("0")


def test_a_number_below_zero_is_refused() -> None:
    """And not written for ever: a damaged row keeps no other link waiting."""
    with pytest.raises(ValueError, match="1970"):
        base36(-1)


def test_an_entry_is_expiry_view_and_revision() -> None:
    assert link_entry(ONE, "9cXk_aB-0zQ", 0) == f"{base36(ONE.expires_ms or 0)} {ONE.view.id}/9cXk_aB-0zQ"
    assert link_entry(link(1, expires_ms=None), "9cXk_aB-0zQ", 0) == f"- {ONE.view.id}/9cXk_aB-0zQ"
    assert link_entry(link(1, expires_ms=0), "9cXk_aB-0zQ", 0) == f"0 {ONE.view.id}/9cXk_aB-0zQ"


def test_a_revoked_link_is_a_dash_whatever_it_opened() -> None:
    assert link_entry(link(1, revoked_ms=5), "9cXk_aB-0zQ", 6) == "-"
    assert link_entry(link(1, revoked_ms=5), None, 6) == "-"
    assert link_entry(link(1, revoked_ms=5, expires_ms=None), None, 6) == "-"


def test_a_revoked_link_that_has_expired_needs_no_entry() -> None:
    assert link_entry(link(1, revoked_ms=5, expires_ms=9), "9cXk_aB-0zQ", 9) == "-"
    assert link_entry(link(1, revoked_ms=5, expires_ms=9), "9cXk_aB-0zQ", 10) is None


def test_a_link_to_what_is_gone_has_none() -> None:
    assert link_entry(ONE, None, 0) is None


@given(st.builds(new_link_id))
def test_a_link_has_one_key(link_id: str) -> None:
    key = link_key(link_id)
    assert key == f"l:{link_id}"
    assert link_id_of(key) == link_id


@pytest.mark.parametrize(
    "link_id", ["", "short", "x" * 17, "../../etc/passwd", "0123456789abcde\n", "0123456789abcd\u00e9f"]
)
def test_what_is_no_link_has_no_key(link_id: str) -> None:
    assert link_key(link_id) is None
    assert link_id_of(f"l:{link_id}") is None


def test_keys_are_in_base64() -> None:
    ring = KeyRing({"a": bytes(range(32)), "B": b"\xff" * 40}, "B")
    entries = key_entries(ring)
    ids = entries.pop("k:")
    assert {key: base64.b64decode(value, validate=True) for key, value in entries.items()} == {
        "k:a": bytes(range(32)),
        "k:B": b"\xff" * 40,
    }
    assert ids == "Ba"


# --- revisions ---


def dataset(revision: int) -> DatasetRecord:
    return DatasetRecord("1" * 24, "em", "/em", 7, revision=revision)


def annotation(revision: str) -> AnnotationRecord:
    return AnnotationRecord("2" * 24, "cells", "", "anna", "", "/a", revision, "", 7, 7)


def test_a_revision_has_eleven_url_safe_characters_and_is_for_good() -> None:
    # Written down: what it is made of must not change while caches live.
    assert revision_of(("1", ""), GEOMETRY) == revision_of(("1", ""), dict(reversed(GEOMETRY.items())))
    assert revision_of(("1", ""), GEOMETRY) == "AgpuUtsmp0A"


def test_all_that_an_answer_depends_on_makes_another_revision() -> None:
    subjects = [
        Subject(dataset(1)),
        Subject(dataset(2)),
        Subject(dataset(1), annotation("1")),
        Subject(dataset(1), annotation("2")),
        Subject(None, annotation("1")),
    ]
    geometries = [GEOMETRY, {"em": "a"}, {"em": "a", "seg": "c"}]
    found = {revision_of(source_revision(subject), geometry) for subject in subjects for geometry in geometries}
    assert len(found) == len(subjects) * len(geometries)
    assert all(len(revision) == 11 for revision in found)
