"""Byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.byte_range import ByteRange, RangeRequest, parse_range
from zarrlink.errors import InvalidRequest, RangeNotSatisfiable

OBJECT = bytes(range(10))
offsets = st.integers(0, 30)


def part_of(header: str) -> bytes | None:
    """What a reader gets of a ten-byte object; None where the header is ignored."""
    wanted = parse_range(header)
    if wanted is None:
        return None
    found = wanted.resolve(len(OBJECT))
    return OBJECT[found.start : found.end]


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", OBJECT[:1]),
        ("bytes=2-4", OBJECT[2:5]),
        ("bytes=2-", OBJECT[2:]),
        ("bytes=0-", OBJECT),
        ("bytes=9-9", OBJECT[9:]),
        ("bytes=5-100", OBJECT[5:]),
        ("bytes=-3", OBJECT[7:]),
        ("bytes=-10", OBJECT),
        ("bytes=-100", OBJECT),
        ("Bytes=2-4", OBJECT[2:5]),
        ("bytes= 2-4 ", OBJECT[2:5]),
        ("bytes=0-999999999999999999", OBJECT),
    ],
)
def test_a_range_gives_its_part(header: str, part: bytes) -> None:
    assert part_of(header) == part


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=x",
        "bytes=5-2",
        "bytes=0-1,3-4",
        "bytes=1.0-2",
        "bytes=+1-2",
        "bytes=\u0661-2",
        "bytes=0x1-2",
        "bytes=1--2",
        "bytes=0-1\n",
        "items=0-1",
        "0-1",
        "bytes=" + "9" * 4001 + "-",
    ],
)
def test_what_makes_no_sense_is_ignored(header: str) -> None:
    assert part_of(header) is None


def test_no_header_is_no_range() -> None:
    assert parse_range(None) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_without_any_byte_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        part_of(header)
    assert refused.value.length == len(OBJECT)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_an_empty_object_satisfies_no_range(header: str) -> None:
    wanted = parse_range(header)
    assert wanted is not None
    with pytest.raises(RangeNotSatisfiable):
        wanted.resolve(0)


@given(offsets, offsets, st.integers(1, 30))
def test_a_range_from_to_is_what_slicing_gives(first: int, more: int, length: int) -> None:
    last = first + more
    wanted = parse_range(f"bytes={first}-{last}")
    assert wanted == RangeRequest(first, last)
    expected = list(range(length))[first : last + 1]
    if expected:
        found = wanted.resolve(length)
        assert list(range(found.start, found.end)) == expected
    else:
        with pytest.raises(RangeNotSatisfiable):
            wanted.resolve(length)


@given(st.integers(1, 40), st.integers(1, 30))
def test_a_suffix_is_what_slicing_gives(suffix: int, length: int) -> None:
    wanted = parse_range(f"bytes=-{suffix}")
    assert wanted is not None
    found = wanted.resolve(length)
    assert list(range(found.start, found.end)) == list(range(length))[-suffix:]


@given(st.text() | st.text(alphabet="bytes=0123456789-, \t").map("bytes={}".format), st.integers(0, 100))
def test_any_header_gives_bytes_inside_the_object(header: str, length: int) -> None:
    wanted = parse_range(header)
    if wanted is None:
        return
    try:
        found = wanted.resolve(length)
    except RangeNotSatisfiable:
        return
    assert 0 <= found.start < found.end <= length


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (0, 0), (2, 1)])
def test_a_byte_range_is_never_empty(start: int, end: int) -> None:
    with pytest.raises(InvalidRequest):
        ByteRange(start, end)


@given(offsets, st.integers(1, 30))
def test_the_length_of_a_byte_range_is_its_number_of_bytes(start: int, length: int) -> None:
    assert len(ByteRange(start, start + length)) == length
