"""What is read of the edge's log files."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.edge_logs import log_text, row
from zarrlink.errors import CorruptFile
from zarrlink.links.edge_log import FIELDS, read_openings
from zarrlink.links.model import Uses

ONE, TWO = "link-00000000001", "link-00000000002"
TEN_MS = 1_795_428_000_000  # 2026-11-23T10:00:00Z


def read(text: str) -> dict[str, Uses]:
    return read_openings(text.splitlines(keepends=True))


def test_openings_add_up_and_the_last_counts_wherever_it_stands() -> None:
    text = log_text(row(ONE, "10:00:07"), row(TWO), row(ONE, "10:00:03"), row(ONE, "10:00:05"))
    assert read(text) == {ONE: Uses(3, TEN_MS + 7000), TWO: Uses(1, TEN_MS)}


@pytest.mark.parametrize(
    ("other", "openings"),
    [
        (row(), 0),
        (row(ONE, method="HEAD"), 0),
        (row(ONE, method="OPTIONS"), 0),
        (row(ONE, status=410), 0),
        (row(ONE, status=503), 0),
        (row(ONE, status=0), 0),
        (row("short"), 0),
        (row(ONE + "%0A"), 0),
        (row(ONE, status=304), 1),
        (row(ONE, status=206), 1),
    ],
)
def test_what_counts(other: tuple[str, ...], openings: int) -> None:
    assert read(log_text(other)) == ({ONE: Uses(1, TEN_MS)} if openings else {})


def test_fields_are_found_by_their_names() -> None:
    fields = ("x-edge-location", *reversed(FIELDS))
    assert read(log_text(("FRA2", *reversed(row(ONE))), fields=fields)) == {ONE: Uses(1, TEN_MS)}


def test_an_empty_log_holds_nothing() -> None:
    assert read(log_text()) == {}
    assert read("") == {}
    assert read(log_text() + "\r\n\n") == {}


@pytest.mark.parametrize(
    "text",
    [
        "no log at all\n",
        "\t".join(row(ONE)) + "\n",
        log_text(row(ONE)[1:], fields=FIELDS[1:]),
        log_text(row(ONE)[:-1]),
        log_text((*row(ONE), "more")),
        log_text(row(ONE, date="23/11/2026")),
        log_text(row(ONE, "25:00:00")),
    ],
)
def test_what_is_no_log_is_refused(text: str) -> None:
    with pytest.raises(CorruptFile):
        read(text)


@given(st.text())
def test_whatever_it_is_it_is_read_or_refused(text: str) -> None:
    for given_text in (text, log_text() + text):
        with contextlib.suppress(CorruptFile):
            read(given_text)


@given(st.lists(st.sampled_from([ONE, TWO, "-"])))
def test_as_many_openings_as_lines_name_a_link(ids: list[str]) -> None:
    found = read(log_text(*(row(link_id) for link_id in ids)))
    assert {link_id: uses.openings for link_id, uses in found.items()} == {
        link_id: ids.count(link_id) for link_id in {ONE, TWO} & set(ids)
    }
