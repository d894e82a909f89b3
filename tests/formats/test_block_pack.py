"""Block packs: Morton codes of 21 bits an axis, the index, and what of its damage is seen."""

from __future__ import annotations

import struct
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile
from zarrlink.formats.block_pack import (
    ENTRY_BYTES,
    HEADER_BYTES,
    MORTON_BITS,
    PAGE_ENTRIES,
    Columns,
    Entry,
    IndexBuilder,
    Kind,
    PackHeader,
    PackIndex,
    block_code,
    block_position,
    encode_index,
    find,
    stored_range,
)
from zarrlink.formats.wkw import morton_index, stored_bytes_bound

SIDE, BLOCK_BYTES = 2, 8
CHECK_BYTES = 4
LONGEST = stored_bytes_bound(BLOCK_BYTES)
coordinates = st.integers(0, 2**MORTON_BITS - 1)
kinds = st.one_of(
    st.tuples(st.just(Kind.DATA), st.integers(1, LONGEST)), st.sampled_from([(Kind.ERASED, 0), (Kind.REVERTED, 0)])
)
packs = st.dictionaries(st.integers(0, 5000), kinds, max_size=1500)


def index_of(blocks: dict[int, tuple[Kind, int]]) -> bytes:
    return encode_index(SIDE, BLOCK_BYTES, [(code, *blocks[code]) for code in sorted(blocks)])


def opened(data: bytes) -> PackIndex:
    return PackIndex.from_bytes(data, index_bytes=len(data), key="k")


def read_all(data: bytes) -> tuple[Entry, ...]:
    index = opened(data)
    pages = range(index.header.pages)
    part = index.page_range(pages)
    return index.read_pages(pages, b"" if part is None else data[part.start : part.end])


# --- Morton codes ---


@given(st.tuples(coordinates, coordinates, coordinates))
def test_a_block_and_its_code_are_inverse_up_to_21_bits(position: tuple[int, int, int]) -> None:
    code = block_code(position)
    assert 0 <= code < 2**63
    assert block_position(code) == position


@given(st.tuples(*[st.integers(0, 2**15 - 1)] * 3))
def test_codes_are_those_of_wkw_files(position: tuple[int, int, int]) -> None:
    assert block_code(position) == morton_index(*position)


def test_x_has_the_lowest_bit_and_z_the_highest() -> None:
    top = 2**20
    assert [block_code(p) for p in ((1, 0, 0), (0, 1, 0), (0, 0, 1))] == [1, 2, 4]
    assert [block_code(p) for p in ((top, 0, 0), (0, top, 0), (0, 0, top))] == [2**60, 2**61, 2**62]


@pytest.mark.parametrize("position", [(2**21, 0, 0), (0, -1, 0)])
def test_a_block_outside_of_21_bits_has_no_code(position: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="21 bits"):
        block_code(position)


# --- index ---


@given(packs)
def test_an_index_round_trips(blocks: dict[int, tuple[Kind, int]]) -> None:
    entries = read_all(index_of(blocks))
    assert {entry.morton: (entry.kind, entry.length) for entry in entries} == blocks
    assert [entry.morton for entry in entries] == sorted(blocks)
    assert [entry.offset for entry in entries] == [sum(e.length for e in entries[:n]) for n in range(len(entries))]


@given(packs, st.integers(0, 5200), st.integers(1, 600))
def test_a_run_of_blocks_is_found_in_the_pages_that_it_touches(
    blocks: dict[int, tuple[Kind, int]], first: int, count: int
) -> None:
    data = index_of(blocks)
    index = opened(data)
    pages = index.pages_of(first, count)
    part = index.page_range(pages)
    page_bytes = b"" if part is None else data[part.start : part.end]
    expected = [code for code in sorted(blocks) if first <= code < first + count]

    found = find(index.read_pages(pages, page_bytes), first, count)

    assert [entry.morton for entry in found] == expected
    assert Columns.from_bytes(page_bytes).spans(first, count) == {
        entry.morton: (entry.offset, entry.end) if entry.kind is Kind.DATA else None
        for entry in found
        if entry.kind is not Kind.REVERTED
    }
    assert len(pages) <= 1 + count // PAGE_ENTRIES + 1
    part = stored_range(found)
    assert (0 if part is None else len(part)) == sum(blocks[code][1] for code in expected)


def test_the_bytes_are_those_of_the_module_s_map() -> None:
    data = encode_index(32, 131072, [(5, Kind.DATA, 700), (6, Kind.ERASED, 0), (9, Kind.REVERTED, 0)])
    start = struct.pack("<4sHHIIQQ", b"ZLIX", 2, 32, 512, 131072, 3, 700) + struct.pack("<Q", 5)
    entries = [struct.pack("<QQIB", *fields) for fields in ((5, 0, 700, 0), (6, 700, 0, 1), (9, 700, 0, 2))]
    checked = [entry + struct.pack("<I", zlib.crc32(entry))[:3] for entry in entries]
    assert data == start + struct.pack("<I", zlib.crc32(start)) + b"".join(checked)


def without_checks(data: bytes) -> bytes:
    """An index as it was written before there were checks."""
    start = HEADER_BYTES + 8 * opened(data).header.pages
    entries = [data[at : at + ENTRY_BYTES - 3] + bytes(3) for at in range(start + 4, len(data), ENTRY_BYTES)]
    return data[:4] + b"\1\0" + data[6:start] + b"".join(entries)


@given(packs)
def test_an_index_without_checks_is_read_still(blocks: dict[int, tuple[Kind, int]]) -> None:
    data = index_of(blocks)
    assert read_all(without_checks(data)) == read_all(data)


@given(packs.filter(bool), st.randoms(use_true_random=False))
def test_no_flipped_bit_is_taken_for_another_block(blocks: dict[int, tuple[Kind, int]], random: Random) -> None:
    data = index_of(blocks)
    at = random.randrange(len(data))
    with pytest.raises(CorruptFile):
        read_all(data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :])


def test_an_index_without_entries_is_its_header() -> None:
    data = encode_index(32, 32768, [])
    assert len(data) == HEADER_BYTES + CHECK_BYTES
    index = opened(data)
    assert (index.pages_of(0, 100), index.page_range(range(0))) == (range(0), None)
    assert stored_range(()) is None


def test_header_and_directory_tell_where_pages_lie() -> None:
    blocks = {2 * code: (Kind.DATA, 1) for code in range(PAGE_ENTRIES + 1)}
    index = opened(index_of(blocks))
    start = HEADER_BYTES + 16 + CHECK_BYTES
    assert index.pages_of(0, 2) == range(1)
    assert index.pages_of(2 * PAGE_ENTRIES, 1) == range(1, 2)
    assert index.pages_of(2 * PAGE_ENTRIES - 2, 4) == range(2)
    assert index.page_range(range(1, 2)) == ByteRange(
        start + PAGE_ENTRIES * ENTRY_BYTES, start + (PAGE_ENTRIES + 1) * ENTRY_BYTES
    )


# --- writing what cannot be ---


@pytest.mark.parametrize(
    ("morton", "kind", "length"),
    [
        pytest.param(4, Kind.DATA, 1, id="backwards"),
        pytest.param(5, Kind.DATA, 1, id="twice"),
        pytest.param(2**63, Kind.DATA, 1, id="beyond-63-bits"),
        pytest.param(6, Kind.DATA, 0, id="data-without-bytes"),
        pytest.param(6, Kind.ERASED, 1, id="erased-with-bytes"),
        pytest.param(6, Kind.DATA, LONGEST + 1, id="longer-than-lz4-can-be"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(morton: int, kind: Kind, length: int) -> None:
    builder = IndexBuilder(SIDE, BLOCK_BYTES)
    builder.add(5, Kind.DATA, 3)
    with pytest.raises(ValueError, match=r"Morton order|stored in"):
        builder.add(morton, kind, length)


# --- damage ---

# Without checks, which would tell of everything: what else tells is what old indexes have.
GOOD = without_checks(index_of(dict.fromkeys(range(0, 2 * (PAGE_ENTRIES + 2), 2), (Kind.DATA, 4))))
PAGES_START = HEADER_BYTES + 16


def wounded(at: int, data: bytes) -> bytes:
    return GOOD[:at] + data + GOOD[at + len(data) :]


def entry_at(number: int) -> int:
    return PAGES_START + number * ENTRY_BYTES


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param(GOOD[:31], "cut short", id="header-cut-short"),
        pytest.param(GOOD[:-1], "wrong length", id="cut-short"),
        pytest.param(GOOD + b"\0", "wrong length", id="too-long"),
        pytest.param(wounded(0, b"ZLIY"), "known version", id="magic"),
        pytest.param(wounded(4, b"\3"), "known version", id="version"),
        pytest.param(wounded(6, b"\3"), "block side", id="side-no-power-of-two"),
        pytest.param(wounded(6, b"\0"), "block side", id="side-zero"),
        pytest.param(wounded(8, b"\0\1"), "known version", id="page-entries"),
        pytest.param(wounded(12, b"\7"), "block length", id="block-bytes"),
        pytest.param(wounded(12, b"\0"), "block length", id="no-block-bytes"),
        pytest.param(wounded(16, b"\xff" * 8), "wrong length", id="entries"),
        pytest.param(wounded(24, b"\xff"), "wrong end", id="data-bytes"),
        pytest.param(wounded(30, b"\xff"), "more bytes", id="more-data-bytes-than-blocks-can-need"),
        pytest.param(encode_index(2, 8, [])[:24] + b"\1" + bytes(11), "more bytes", id="data-bytes-without-entries"),
        pytest.param(wounded(HEADER_BYTES + 8, bytes(8)), "not sorted", id="directory-not-sorted"),
        pytest.param(wounded(HEADER_BYTES, b"\1"), "directory", id="directory-of-other-entries"),
        pytest.param(wounded(entry_at(3), b"\4"), "not sorted", id="entry-twice"),
        pytest.param(wounded(entry_at(3), b"\xff\xff"), "not sorted", id="entry-above-its-page"),
        pytest.param(wounded(entry_at(3) + 7, b"\x80"), "position", id="entry-beyond-63-bits"),
        pytest.param(wounded(entry_at(3) + 8, b"\x0b"), "overlap", id="overlap"),
        pytest.param(wounded(entry_at(3) + 8, b"\x0d"), "overlap", id="gap"),
        pytest.param(wounded(entry_at(0) + 8, b"\x01"), "overlap", id="first-not-at-the-start"),
        pytest.param(wounded(entry_at(3) + 16, b"\0"), "length", id="data-without-bytes"),
        pytest.param(wounded(entry_at(3) + 16, b"\xff"), "length", id="longer-than-lz4-can-be"),
        pytest.param(wounded(entry_at(3) + 20, b"\1"), "length", id="erased-with-bytes"),
        pytest.param(wounded(entry_at(3) + 20, b"\3"), "kind", id="unknown-kind"),
        pytest.param(wounded(entry_at(3) + 21, b"\1"), "kind", id="padding"),
    ],
)
def test_visible_damage_is_corrupt(data: bytes, named: str) -> None:
    with pytest.raises(CorruptFile, match=named):
        read_all(data)


def test_the_last_entry_of_a_page_is_below_the_next_page() -> None:
    data = wounded(entry_at(PAGE_ENTRIES - 1), struct.pack("<Q", 2 * PAGE_ENTRIES))
    index = opened(data)
    part = index.page_range(range(1))
    assert part is not None
    with pytest.raises(CorruptFile, match="not sorted"):
        index.read_pages(range(1), data[part.start : part.end])


def test_a_page_cut_short_is_corrupt() -> None:
    index = opened(GOOD)
    with pytest.raises(CorruptFile, match="cut short"):
        index.read_pages(range(1), GOOD[PAGES_START : PAGES_START + 24])


def test_a_directory_cut_short_is_corrupt() -> None:
    with pytest.raises(CorruptFile, match="directory is cut short"):
        PackIndex.from_bytes(GOOD[: HEADER_BYTES + 8], index_bytes=len(GOOD))


@given(
    st.tuples(st.sampled_from((b"\1", b"\2")), st.binary(min_size=HEADER_BYTES, max_size=200)).map(
        lambda drawn: b"ZLIX" + drawn[0] + b"\0" + drawn[1][6:]
    )
)
def test_any_bytes_are_an_index_that_reads_or_damage(data: bytes) -> None:
    try:
        header = PackHeader.from_bytes(data, index_bytes=len(data))
        entries = read_all(data)
    except CorruptFile:
        return
    assert len(entries) == header.entries
