"""The dataset that is measured on: EM-like neuropil as WKW, LZ4HC, blocks of 32^3, one mag."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.wkw import BlockType, WkwHeader
from zarrlink.formats.wkw_writer import wkw_header
from zarrlink.geometry import Vec3
from zarrlink.library import Subject
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.neuropil import neuropil
from zarrlink_local.sample import write_volume

NAME = "bench"
LAYERS = {
    "em": "uint8 EM with its noise, which LZ4 cannot compress",
    "grey32": "the same in 32 grey levels",
    "segmentation": "uint32 segmentation",
}
BLOCK, SHARD = 32, 128
# Whole shards, and not at voxel 0, as a cutout of a large volume is not.
_TOP_LEFT = (1024, 2048, 256)
_FILE_SIDE = 32


def write_dataset(folder: Path, size_xyz: Vec3) -> Path:
    """The dataset NAME in `folder`; `voxels` of it lie beside it."""
    dataset = folder / NAME
    made = neuropil(size_xyz[::-1])
    described = []
    for name, volume in (("em", made.em), ("grey32", made.em >> 3), ("segmentation", made.segmentation)):
        voxel_type = {"uint8": 1, "uint32": 3}[volume.dtype.name]
        write_volume(dataset / name / "1", wkw_of(voxel_type), volume, _TOP_LEFT)
        np.save(folder / f"{name}.npy", volume)
        described.append(_description(name, volume.dtype.name, size_xyz))
    _describe(dataset, described)
    return dataset


def voxels(dataset: Path, layer: str) -> Any:
    """What was written as a layer, shape (z, y, x), mapped into memory."""
    return np.load(dataset.parent / f"{layer}.npy", mmap_mode="r")


def write_array(dataset: Path, layer: str, volume: Any) -> Path:
    """A dataset beside `dataset` with one uint8 layer, `volume` of shape (z, y, x) in whole shards, as `write_dataset` writes."""
    made = dataset.parent / f"{NAME}-{layer}"
    write_volume(made / layer / "1", wkw_of(1), volume, _TOP_LEFT)
    _describe(made, [_description(layer, volume.dtype.name, volume.shape[::-1])])
    return made


def wkw_of(voxel_type: int) -> WkwHeader:
    """The header of files as these: LZ4HC, blocks of 32^3, 32^3 of them in a file."""
    return wkw_header(block_side=BLOCK, file_side=_FILE_SIDE, block_type=BlockType.LZ4HC, voxel_type=voxel_type)


def _describe(dataset: Path, layers: list[dict[str, object]]) -> None:
    source = {"id": {"name": dataset.name, "team": ""}, "scale": {"factor": [8, 8, 25], "unit": "nanometer"}}
    (dataset / FILE_NAME).write_text(json.dumps({**source, "dataLayers": layers}))


def _description(name: str, element_class: str, size_xyz: Vec3) -> dict[str, object]:
    width, height, depth = size_xyz
    return {
        "name": name,
        "category": "segmentation" if name == "segmentation" else "color",
        "boundingBox": {"topLeft": list(_TOP_LEFT), "width": width, "height": height, "depth": depth},
        "elementClass": element_class,
        "dataFormat": "wkw",
        "mags": [{"mag": [1, 1, 1], "path": f"./{name}/1"}],
    }


@dataclass(frozen=True, slots=True)
class Linked:
    """A machine in this process that has the dataset, and a link to all of it."""

    machine: Machine
    link: Link
    token: str


def linked(dataset: Path, state: Path) -> Linked:
    machine = open_machine(state)
    record = machine.catalogue.register(NAME, str(dataset.resolve()), now_ms())
    made = create_link(machine.library, machine.links, Subject(record), "operator", LinkRequest(), now_ms())
    link = asyncio.run(made).link
    return Linked(machine, link, machine.keys.token(link.id))
