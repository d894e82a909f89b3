"""The sample dataset: EM-like neuropil with its segmentation, as WKW, three mags."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.wkw import BlockType, WkwHeader, file_key
from zarrlink.formats.wkw_writer import wkw_header, write_wkw_file
from zarrlink.geometry import Mag, Vec3
from zarrlink_local.downsampling import downsample_mean, downsample_mode
from zarrlink_local.neuropil import neuropil

NAME: Final = "neuropil"
MAGS: Final = (Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 2))
# Not at voxel 0, as cutouts of a large volume are not; whole shards at every mag.
TOP_LEFT: Final = (1024, 2048, 256)
VOXEL_SIZE_NM: Final = (8.0, 8.0, 25.0)
_BLOCK_SIDE: Final = 32
_FILE_SIDE: Final = 32
Volume = NDArray[Any]


def _silent(_done: float) -> None:
    """No progress shown."""


@dataclass(frozen=True, slots=True)
class SampleLayer:
    """A layer's volumes by mag, each (z, y, x)."""

    name: str
    category: str
    element_class: str
    voxel_type: int
    volumes: dict[Mag, Volume]


def sample_layers(size_xyz: Vec3, seed: int, progress: Callable[[float], None] = _silent) -> list[SampleLayer]:
    """The ground truth of the sample: layers `em` (uint8) and `segmentation` (uint32)."""
    made = neuropil(size_xyz[::-1], seed, progress)
    em: dict[Mag, Volume] = {MAGS[0]: made.em}
    segmentation: dict[Mag, Volume] = {MAGS[0]: made.segmentation}
    for finer, mag in pairwise(MAGS):
        factors = (mag.z // finer.z, mag.y // finer.y, mag.x // finer.x)
        em[mag] = downsample_mean(em[finer], factors)
        segmentation[mag] = downsample_mode(segmentation[finer], factors)
    return [
        SampleLayer("em", "color", "uint8", 1, em),
        SampleLayer("segmentation", "segmentation", "uint32", 3, segmentation),
    ]


def write_sample(
    folder: Path, *, size_xyz: Vec3, seed: int, progress: Callable[[float], None] = _silent
) -> list[SampleLayer]:
    """Write the sample to `folder` and return its ground truth. The folder appears whole or not at all.

    Raises FileExistsError where it is there already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already")
    layers = sample_layers(size_xyz, seed, lambda done: progress(0.7 * done))
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    volumes = [(layer, mag) for layer in layers for mag in MAGS]
    for done, (layer, mag) in enumerate(volumes):
        header = wkw_header(
            block_side=_BLOCK_SIDE, file_side=_FILE_SIDE, block_type=BlockType.LZ4HC, voxel_type=layer.voxel_type
        )
        top_left = tuple(corner // side for corner, side in zip(TOP_LEFT, mag.xyz, strict=True))
        write_volume(
            draft / layer.name / mag.literal, header, layer.volumes[mag], (top_left[0], top_left[1], top_left[2])
        )
        progress(0.7 + 0.3 * (done + 1) / len(volumes))
    (draft / FILE_NAME).write_text(json.dumps(_description(layers, size_xyz), indent=2))
    draft.rename(folder)
    return layers


def write_volume(folder: Path, header: WkwHeader, volume: Volume, top_left: Vec3) -> None:
    """Write a volume, shape (z, y, x) or (z, y, x, c), whose first voxel lies at `top_left` (x, y, z), as WKW files."""
    folder.mkdir(parents=True)
    (folder / "header.wkw").write_bytes(header.to_bytes())
    side = header.block_side * header.file_side
    end = [corner + length for corner, length in zip(top_left, volume.shape[2::-1], strict=True)]
    files = [
        (x, y, z)
        for z in range(top_left[2] // side, -(-end[2] // side))
        for y in range(top_left[1] // side, -(-end[1] // side))
        for x in range(top_left[0] // side, -(-end[0] // side))
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda file: _write_file(folder, header, volume, top_left, file), files))


def _write_file(folder: Path, header: WkwHeader, volume: Volume, top_left: Vec3, file: Vec3) -> None:
    def block_at(block: Vec3) -> bytes | None:
        side = header.block_side
        start = [(f * header.file_side + b) * side - corner for f, b, corner in zip(file, block, top_left, strict=True)]
        low = [max(0, first) for first in start]
        high = [min(length, first + side) for first, length in zip(start, volume.shape[2::-1], strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            return None
        cut = volume[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        if cut.shape[:3] != (side, side, side):
            whole = np.zeros((side, side, side, *cut.shape[3:]), cut.dtype)
            inner = tuple(slice(a - first, b - first) for a, b, first in zip(low, high, start, strict=True))[::-1]
            whole[inner] = cut
            cut = whole
        return np.ascontiguousarray(cut).tobytes()

    path = Path(file_key(str(folder), file))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        write_wkw_file(out, header, block_at)


def _description(layers: list[SampleLayer], size_xyz: Vec3) -> dict[str, Any]:
    return {
        "version": 1,
        "id": {"name": NAME, "team": ""},
        "scale": {"factor": list(VOXEL_SIZE_NM), "unit": "nanometer"},
        "dataLayers": [_layer(layer, size_xyz) for layer in layers],
    }


def _layer(layer: SampleLayer, size_xyz: Vec3) -> dict[str, Any]:
    width, height, depth = size_xyz
    described: dict[str, Any] = {
        "name": layer.name,
        "category": layer.category,
        "boundingBox": {"topLeft": list(TOP_LEFT), "width": width, "height": height, "depth": depth},
        "elementClass": layer.element_class,
        "numChannels": 1,
        "dataFormat": "wkw",
        "mags": [{"mag": list(mag.xyz), "path": f"./{layer.name}/{mag.literal}"} for mag in MAGS],
    }
    if layer.category == "segmentation":
        described["largestSegmentId"] = int(layer.volumes[MAGS[0]].max())
    return described
