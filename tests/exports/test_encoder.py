"""The same box, the same bytes: whatever was encoded before, and in whichever thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.export_runs import ArrayVolume, export, make_spec, random_voxels
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
