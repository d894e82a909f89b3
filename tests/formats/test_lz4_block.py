"""LZ4 blocks: whole and of the right size, or damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import CorruptFile
from zarrlink.formats.lz4_block import decode_lz4, encode_lz4

# Runs and noise: what compresses and what does not.
contents = st.lists(
    st.binary(min_size=1, max_size=40)
    | st.builds(lambda byte, n: byte * n, st.binary(min_size=1, max_size=1), st.integers(1, 400)),
    min_size=1,
    max_size=8,
).map(b"".join)
SAMPLE = bytes(range(200)) + bytes(300)


@given(data=contents, high=st.booleans())
def test_a_block_round_trips(data: bytes, *, high: bool) -> None:
    assert decode_lz4(encode_lz4(data, high=high), len(data)) == data


@given(contents)
def test_a_view_of_bytes_decodes_like_the_bytes(data: bytes) -> None:
    stream = b"before" + encode_lz4(data, high=False) + b"after"
    assert decode_lz4(memoryview(stream)[6:-5], len(data)) == data


@pytest.mark.parametrize("high", [False, True])
def test_a_stream_that_is_cut_short_is_damage(*, high: bool) -> None:
    stream = encode_lz4(SAMPLE, high=high)
    for length in range(len(stream)):
        with pytest.raises(CorruptFile):
            decode_lz4(stream[:length], len(SAMPLE))


@pytest.mark.parametrize("expected", [1, len(SAMPLE) - 1, len(SAMPLE) + 1, 10 * len(SAMPLE)])
def test_a_stream_of_another_size_is_damage(expected: int) -> None:
    with pytest.raises(CorruptFile):
        decode_lz4(encode_lz4(SAMPLE, high=False), expected)


def test_a_stream_with_bytes_behind_it_is_damage() -> None:
    with pytest.raises(CorruptFile):
        decode_lz4(encode_lz4(SAMPLE, high=False) + b"\0", len(SAMPLE))


@given(st.binary(max_size=200), st.integers(1, 4096))
def test_any_bytes_are_a_block_of_that_size_or_damage(stream: bytes, expected: int) -> None:
    try:
        decoded = decode_lz4(stream, expected)
    except CorruptFile:
        return
    assert len(decoded) == expected


@pytest.mark.parametrize("expected", [2**31 - 1, 2**31, 2**45])
def test_a_size_that_no_block_has_is_damage(expected: int) -> None:
    # A header may promise blocks of 2^15 voxels a side.
    with pytest.raises(CorruptFile):
        decode_lz4(encode_lz4(SAMPLE, high=False), expected)


def test_damage_names_its_file_in_the_log_and_not_in_the_sentence() -> None:
    with pytest.raises(CorruptFile) as refused:
        decode_lz4(b"\xff", 8, key="secret/x0.wkw")
    assert refused.value.key == "secret/x0.wkw"
    assert "secret" not in str(refused.value)
