"""A made-up block of brain neuropil, as an electron microscope shows it, with its exact segmentation.

Cells are grown (`tissue`), every voxel is given to the one whose surface is nearest (`surfaces`), and drawn (`painter`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zarrlink_local.noise import generator
from zarrlink_local.painter import Painter
from zarrlink_local.surfaces import TILE
from zarrlink_local.tissue import VOXEL, Tissue


@dataclass(frozen=True, slots=True)
class Neuropil:
    """An image volume and its ground truth, both of shape (z, y, x), with voxels of 25 x 8 x 8 nm.

    `segmentation` gives every voxel the id of its cell; there is no background, and the ids are not consecutive.
    """

    em: NDArray[np.uint8]
    segmentation: NDArray[np.uint32]


def neuropil(
    shape_zyx: tuple[int, int, int] = (256, 512, 512), seed: int = 7, progress: Callable[[float], None] | None = None
) -> Neuropil:
    """A volume of `shape_zyx` voxels of 25 x 8 x 8 nm. The same shape and seed give the same bytes.

    `progress` is called now and then, in the calling thread, with the share of the work that is done, from 0 to 1.
    """
    report = progress or (lambda _: None)
    report(0.0)
    tissue = Tissue(np.array(shape_zyx) * VOXEL, generator(seed, 0))
    tissue.grow(lambda done: report(0.2 * done))
    painter = Painter(shape_zyx, seed, tissue)
    # More threads would only wait for each other between the short numpy calls of a slab.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        slabs = range(0, shape_zyx[0], int(TILE[0]))
        for i, _ in enumerate(pool.map(painter.draw_slab, slabs)):
            report(0.2 + 0.57 * (i + 1) / len(slabs))
        for i in range(len(tissue.boutons)):  # in turn: neighbours overlap
            painter.draw_synapse(i)
            if i % 64 == 0:
                report(0.77 + 0.18 * i / len(tissue.boutons))
        for i, _ in enumerate(pool.map(painter.expose, range(shape_zyx[0]))):
            report(0.95 + 0.05 * (i + 1) / shape_zyx[0])
    return Neuropil(painter.em, painter.labels)
