"""The same box, the same bytes: whatever was encoded before, and in whichever thread."""

from __future__ import annotations

import zlib
from pathlib import Path

import deflate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.export_runs import ArrayVolume, export, make_spec, random_voxels
from zarrlink.exports.encoder import compressor
from zarrlink.exports.request import Compression
from zarrlink.geometry import BoundingBox


@pytest.mark.parametrize("compression", ["deflate", "zstd"])
def test_exported_again_and_again(tmp_path: Path, compression: Compression) -> None:
    voxels = random_voxels((1, 20, 700, 900), "uint8")
    spec = make_spec(BoundingBox((0, 0, 0), (900, 700, 20)), compression=compression)
    files = []
    for number in range(5):
        export(spec, ArrayVolume(voxels), tmp_path / f"{number}.ome.tif")
        files.append((tmp_path / f"{number}.ome.tif").read_bytes())
    assert files.count(files[0]) == len(files)


@given(
    st.one_of(
        st.binary(max_size=5000),
        st.builds(lambda part, times: part * times, st.binary(max_size=40), st.integers(0, 900)),
    )
)
def test_a_stream_unpacks_to_what_was_packed(data: bytes) -> None:
    assert zlib.decompress(compressor("deflate")(data)) == data


def test_what_repeats_itself_is_searched_for_repetitions() -> None:
    """Noise is not, which would take twice the time for nothing; nothing becomes longer by it."""
    noise = random_voxels((1, 1, 512, 512), "uint8").tobytes()
    pattern = noise[-1000:] * 300
    pack = compressor("deflate")

    assert len(pack(pattern)) < len(pattern) / 50
    assert len(pack(noise)) <= len(deflate.zlib_compress(noise, 1)) * 1.001
