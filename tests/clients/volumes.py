"""What the clients are shown: a dataset in WKW, an annotation of it, and every voxel that they must see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from builders import annotation_zips
from builders.wkw_files import LayerFiles, dataset, pyramid, write_tree
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink_local.sample import MAGS, sample_layers

Volume = NDArray[Any]
DATASET: Final = "neuropil"
VOXEL_SIZE_NM: Final = (8.0, 8.0, 25.0)
# Whole blocks and no whole shards: clients must cope with arrays that end within a shard and within a chunk.
CORNER: Final = (1024, 2048, 256)
SIZE: Final = (200, 152, 72)
BLOCK_SIDE: Final = 32
# Blocks a side of a file of the wide ids: so a shard of them, of at most 4 MiB, is longer along x than along y.
_IDS_FILE_SIDE: Final = 4
_SEED: Final = 7
# Of colours, from an odd voxel on: what aligning the origin adds before the box reads as zero.
_ODD_CORNER: Final = (1030, 2051, 257)


@dataclass(frozen=True)
class Shown:
    """A layer as a client must see it.

    `levels`: mag -> voxels, shape (z, y, x) or (z, y, x, c), the first one of which lies at `corner` (mag-1 voxels).
    `annotation`: it is that layer of the annotation and not the dataset's.
    """

    name: str
    what: str
    category: str
    levels: Mapping[Mag, Volume]
    corner: Vec3 = CORNER
    annotation: bool = False

    def expected(self, number: int, shape_zyx: tuple[int, ...], origin: Vec3) -> Volume:
        """Level `number` of an array of this shape whose first voxel lies at `origin`: zero outside of the box, channels in front."""
        mag, volume = list(self.levels.items())[number]
        whole = np.zeros((*shape_zyx, *volume.shape[3:]), volume.dtype)
        start = [
            corner // side - first // side for corner, first, side in zip(self.corner, origin, mag.xyz, strict=True)
        ]
        ends = [
            min(at + length, limit)
            for at, length, limit in zip(start, volume.shape[2::-1], shape_zyx[::-1], strict=True)
        ]
        box = tuple(slice(at, end) for at, end in zip(start, ends, strict=True))[::-1]
        whole[box] = volume[tuple(slice(part.stop - part.start) for part in box)]
        return np.moveaxis(whole, 3, 0) if whole.ndim == 4 else whole


def shown_layers() -> list[Shown]:
    """The layers, in the order of the table."""
    em, labels = (layer.volumes for layer in sample_layers(SIZE, _SEED))
    colours = np.stack([em[MAGS[0]], 255 - em[MAGS[0]], em[MAGS[0]] // 2], axis=-1)
    wide = {mag: _as_wide_ids(volume) for mag, volume in labels.items()}
    return [
        Shown("em", "grey uint8", "color", em),
        Shown("rgb", "RGB", "color", pyramid(colours, MAGS, _ODD_CORNER), _ODD_CORNER),
        Shown("segmentation", "labels uint32", "segmentation", labels),
        Shown("ids", "labels uint64", "segmentation", wide),
        Shown("Volume", "annotation", "segmentation", _painted(labels), annotation=True),
    ]


def write_dataset(layers: list[Shown], folder: Path) -> Path:
    """The dataset's layers below `folder`, and the annotation's download beside it; gives the download."""
    files = [
        LayerFiles(
            layer.name,
            layer.levels,
            layer.corner,
            BoundingBox(layer.corner, SIZE),
            category=layer.category,
            block_side=BLOCK_SIDE,
            file_side=_IDS_FILE_SIDE if layer.name == "ids" else 32,
        )
        for layer in layers
        if not layer.annotation
    ]
    objects = dataset(*files, name=DATASET, scale={"factor": list(VOXEL_SIZE_NM), "unit": "nanometer"})
    # Nothing but zeros lies in these: without them there are absent chunks, which must read as 0 as long as the link lives.
    never_written = f"x{CORNER[0] // (_IDS_FILE_SIDE * BLOCK_SIDE)}.wkw"
    kept = {
        key: data for key, data in objects.items() if not (key.startswith("ids/1/") and key.endswith(never_written))
    }
    write_tree(kept, folder / DATASET)
    painted = next(layer for layer in layers if layer.annotation)
    volume = annotation_zips.Volume(
        name=painted.name,
        fallback_layer="segmentation",
        data=annotation_zips.zip_of(annotation_zips.wkw_data(_painted_blocks(painted), side=BLOCK_SIDE)),
    )
    scale = '<scale x="{}" y="{}" z="{}" unit="nanometer" />'.format(*VOXEL_SIZE_NM)
    nml = annotation_zips.nml(volume, skeleton=annotation_zips.TREE, scale=scale)
    download = folder.with_name("annotation.zip")
    download.write_bytes(annotation_zips.zip_of({"cells.nml": nml, "data_Volume.zip": volume.data or b""}))
    return download


def _as_wide_ids(labels: Volume) -> Volume:
    """Ids that no 32 bits and no double can hold; nothing in the first file's planes across x, which are never stored."""
    wide = np.where(labels == 0, 0, labels.astype("uint64") + 2**53 + 1)
    wide[:, :, : wide.shape[2] * _IDS_FILE_SIDE * BLOCK_SIDE // SIZE[0]] = 0
    return wide


def _painted(labels: Mapping[Mag, Volume]) -> dict[Mag, Volume]:
    """One box of whole blocks at each mag is painted over; elsewhere the segmentation is seen."""
    painted = {}
    for mag, volume in labels.items():
        over = volume.copy()
        over[_place(volume)] += 100_000
        painted[mag] = over
    return painted


def _place(volume: Volume) -> tuple[slice, ...]:
    """The first block across each axis, or the second where there is one."""
    starts = [BLOCK_SIDE if length >= 2 * BLOCK_SIDE else 0 for length in volume.shape]
    return tuple(slice(start, start + BLOCK_SIDE) for start in starts)


def _painted_blocks(layer: Shown) -> dict[str, dict[tuple[int, int, int], bytes]]:
    """The one block that is stored at each mag, x fastest, by its place in blocks of that mag."""
    mags = {}
    for mag, volume in layer.levels.items():
        place = _place(volume)
        block = np.zeros((BLOCK_SIDE,) * 3, volume.dtype)
        inner = volume[place]
        block[tuple(map(slice, inner.shape))] = inner
        corner = [at // side // BLOCK_SIDE for at, side in zip(layer.corner, mag.xyz, strict=True)]
        x, y, z = (at + part.start // BLOCK_SIDE for at, part in zip(corner, place[::-1], strict=True))
        mags[mag.literal] = {(x, y, z): np.ascontiguousarray(block).tobytes()}
    return mags
