"""Keys: one object, one address."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zarrlink.errors import InvalidRequest, UnknownKey
from zarrlink.formats.zarr_keys import ArrayKey, ChunkKey, Dialect, GroupKey, Key, chunk_key, parse_key

DIALECTS: tuple[Dialect, ...] = ("v2", "v3")
dialects = st.sampled_from(DIALECTS)
# What is nearly a key: the grammar's own pieces, and look-alikes of them.
words = (
    "0 1 2 00 01 +0 -0 -1 0x1 1e0 0_0 999999999999999 1000000000000000 c c. .c c- C labels . .. ... %2e%2e %30 0.0.0"
)
documents = "zarr.json .zarray .zattrs .zgroup .zmetadata 0.0.0.0 c.0.0.0"
other_digits = ("\u0660", "\uff10", "\u00b2", "\u2460")
pieces = st.sampled_from([*words.split(), *documents.split(), *other_digits, "", " ", "0 ", "\n", "0\n", "\0"])
near_keys = st.builds(lambda parts, joint: joint.join(parts), st.lists(pieces, max_size=6), st.sampled_from("/./\\"))
numbers = st.integers(0, 10**15 - 1)


def encoded(dialect: Dialect, key: Key) -> set[str]:
    """Every address of a key: one, and for a level's listing the same with a slash."""
    match key:
        case GroupKey(document):
            return {document}
        case ArrayKey(level, ""):
            return {f"{level}", f"{level}/"}
        case ArrayKey(level, document):
            return {f"{level}/{document}"}
        case ChunkKey(level, position):
            return {chunk_key(dialect, level, position)}


@given(dialects, st.text() | near_keys)
@example("v3", "0/c/0/0/0")
@example("v2", "0/0/0/0")
@example("v3", "0/c/0/0/0\n")
@example("v2", "0/0/0/0\n")
def test_any_text_is_the_address_of_its_key_or_refused(dialect: Dialect, key: str) -> None:
    try:
        parsed = parse_key(dialect, key)
    except (InvalidRequest, UnknownKey):
        return
    assert key in encoded(dialect, parsed)


@given(dialects, numbers, st.lists(numbers, min_size=1, max_size=6).map(tuple))
def test_a_chunk_key_round_trips(dialect: Dialect, level: int, position: tuple[int, ...]) -> None:
    assert parse_key(dialect, chunk_key(dialect, level, position)) == ChunkKey(level, position)


@pytest.mark.parametrize(
    ("dialect", "key", "meaning"),
    [
        ("v3", "", GroupKey("")),
        ("v3", "zarr.json", GroupKey("zarr.json")),
        ("v3", "0", ArrayKey(0, "")),
        ("v3", "12/", ArrayKey(12, "")),
        ("v3", "0/zarr.json", ArrayKey(0, "zarr.json")),
        ("v3", "1/c/0/20/3", ChunkKey(1, (0, 20, 3))),
        ("v3", "1/c/0/0/0/0", ChunkKey(1, (0, 0, 0, 0))),
        ("v2", "", GroupKey("")),
        ("v2", ".zgroup", GroupKey(".zgroup")),
        ("v2", ".zattrs", GroupKey(".zattrs")),
        ("v2", ".zmetadata", GroupKey(".zmetadata")),
        ("v2", "0/.zarray", ArrayKey(0, ".zarray")),
        ("v2", "0/.zattrs", ArrayKey(0, ".zattrs")),
        ("v2", "3/0/20/3", ChunkKey(3, (0, 20, 3))),
    ],
)
def test_what_a_key_means(dialect: Dialect, key: str, meaning: Key) -> None:
    assert parse_key(dialect, key) == meaning


# Readers probe for these: absent, not refused.
@pytest.mark.parametrize(
    ("dialect", "key"),
    [
        ("v3", ".zgroup"),
        ("v3", ".zattrs"),
        ("v3", ".zmetadata"),
        ("v3", ".zarray"),
        ("v3", "0/.zarray"),
        ("v3", "0/.zattrs"),
        ("v3", "labels/zarr.json"),
        ("v3", "labels/0/zarr.json".replace("0", "seg")),
        ("v3", "0/zarr.json/"),
        ("v3", "OME/METADATA.ome.xml"),
        ("v2", "zarr.json"),
        ("v2", ".zarray"),
        ("v2", "0/zarr.json"),
        ("v2", "0/.zgroup"),
        ("v2", "labels/.zattrs"),
        ("v2", "labels"),
        ("v2", "attributes.json"),
        ("v2", "info"),
    ],
)
def test_a_word_that_is_not_there_is_absent(dialect: Dialect, key: str) -> None:
    with pytest.raises(UnknownKey):
        parse_key(dialect, key)


# A reader would take 404 for fill value: whatever may be meant as a chunk is refused instead.
@pytest.mark.parametrize(
    ("dialect", "key"),
    [
        ("v3", "c"),
        ("v3", "c/"),
        ("v3", "c."),
        ("v3", "c/0/0/0"),
        ("v3", "c.0.0.0"),
        ("v3", "0/c"),
        ("v3", "0/c/"),
        ("v3", "0/c//0/0"),
        ("v3", "0/c/0/0/0/"),
        ("v3", "0/c/0/0/"),
        ("v3", "0/c.0.0.0"),
        ("v3", "0/c/0.0.0"),
        ("v3", "0/c/00/1"),
        ("v3", "0/c/00/1/1"),
        ("v3", "0/c/+0/1/1"),
        ("v3", "0/c/-0/1/1"),
        ("v3", "0/c/-1/1/1"),
        ("v3", "0/c/1_0/1/1"),
        ("v3", "0/c/0x1/1/1"),
        ("v3", "0/c/1e0/1/1"),
        ("v3", "0/c/ 1/1/1"),
        ("v3", "0/c/\u0661/1/1"),
        ("v3", "0/c/\uff11/1/1"),
        ("v3", "0/c/\u00b2/1/1"),
        ("v3", "0/c/1/1/1\n"),
        ("v3", "0/c/" + "9" * 5000),
        ("v3", "0/0/0/0"),
        ("v3", "0/0.0.0"),
        ("v3", "0//c/0/0/0"),
        ("v3", "/0/c/0/0/0"),
        ("v3", "0/c/0/../0/0"),
        ("v3", "0/c/%30/0/0"),
        ("v3", "00/c/0/0/0"),
        ("v3", "+0/c/0/0/0"),
        ("v3", "\u0660/c/0/0/0"),
        ("v2", "0/c/0/0/0"),
        ("v2", "0/0.0.0"),
        ("v2", "0.0.0"),
        ("v2", "0/0/0/0/"),
        ("v2", "0/0//0"),
        ("v2", "0/00/0/0"),
        ("v2", "0/0/0/0\n"),
        ("v2", "0/\u0660/0/0"),
        ("v2", "/"),
        ("v2", "//"),
        ("v2", "0//"),
        ("v2", "/.zattrs"),
        ("v2", ".zattrs//"),
        ("v2", "."),
        ("v2", ".."),
        ("v2", "../.zattrs"),
        ("v2", "labels/../.zattrs"),
        ("v2", "0/../.zattrs"),
        ("v2", "%2e%2e/.zattrs"),
        ("v2", "%2e"),
        ("v2", "0\\0\\0"),
        ("v2", "0/0/0/0\0"),
        ("v2", "x" * 256),
    ],
)
def test_what_may_be_meant_as_a_chunk_is_refused(dialect: Dialect, key: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_key(dialect, key)


def test_the_sentence_of_a_refusal_does_not_repeat_the_key() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_key("v3", "0/c/<script>")
    assert "script" not in str(refused.value)
