"""Which cell of a tissue a voxel belongs to, and how far it is from the next one.

A voxel belongs to the tube of the tissue whose surface, roughened by noise, is nearest; what is far from every tube
is an astrocyte, which therefore has the concave, sheet-like shape of the real one.

Lengths are in micrometres unless said otherwise, and every vector and shape is in (z, y, x) order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink_local.noise import F32, Floats, smooth_noise, spline
from zarrlink_local.tissue import MYELIN, NODES, SHEATH, STEP, Box, Indices, Tissue, Tubes

TILE: Final = np.array([16, 256, 256])  # voxels whose distances are computed at a time
_CORE: Final = 0.16  # the tubes hold the space around their axes against the others
_GLIA_LEVEL: Final = 0.1  # the astrocyte begins this far from the surface of every tube
_NEAR: Final = 0.1  # a second tube this much further than the first has no part in the membrane
_ROUGH: Final = 48  # lattice cells, period of the roughness


class Surfaces:
    """The surfaces of a grown tissue's cells and mitochondria. `rng` roughens them."""

    def __init__(self, tissue: Tissue, rng: np.random.Generator) -> None:
        self.tissue, self.kind = tissue, np.array(tissue.kind)
        self.mito_cell = np.array(tissue.mito_cell, dtype=np.intp)
        # The roughness of the surfaces: one periodic noise, in which every cell has a place of its own.
        coarse, fine = (smooth_noise(rng, (_ROUGH,) * 3, (w, w, w), periodic=True) for w in (6, 3))
        self.rough = np.pad(
            np.clip(0.9 * coarse + 0.4 * fine, -1, 2), [(0, int(n)) for n in TILE // STEP + NODES], mode="wrap"
        )
        self.phase = rng.integers(0, _ROUGH, (len(self.kind), 3))

    def tile(self, low: Indices, high: Indices) -> tuple[NDArray[Any], ...]:
        """Of the voxels of lattice cells [low, high): the label, by how much the second nearest cell is further than
        the nearest, the mitochondrion, and the depth in it, negative outside."""
        size = tuple((high - low) * STEP)
        label, mito = np.full(size, self.tissue.astrocyte, np.uint32), np.zeros(size, np.uint32)
        best, second, inside = np.full(size, _GLIA_LEVEL, F32), np.full(size, 1, F32), np.full(size, -1, F32)
        # What nowhere comes close to being nearest, on the lattice, need not be computed for the voxels.
        fields = [(owner, box, _nodes(box), f) for owner, box, f in self.fields(self.tissue.tubes, low, high)]
        limit = np.full(tuple(high - low + NODES), _GLIA_LEVEL + _NEAR, F32)
        for _, _, nodes, f in fields:
            np.minimum(limit[nodes], f + _NEAR, out=limit[nodes])
        for owner, box, nodes, f in fields:
            if (f < limit[nodes]).any():
                voxels, g = _voxels(box), _refined(f)
                _compete(label[voxels], best[voxels], second[voxels], owner, g)
                if self.kind[owner] == SHEATH:  # the axon inside it wins where g < -MYELIN
                    _compete(label[voxels], best[voxels], second[voxels], owner + 1, 2 * g + MYELIN)
        for number, box, f in self.fields(self.tissue.mitochondria, low, high):
            if f.min() < 0.02:
                voxels, g = _voxels(box), -_refined(f)
                taken = (g > inside[voxels]) & (label[voxels] == self.mito_cell[number])
                np.copyto(mito[voxels], number, where=taken)
                np.copyto(inside[voxels], g, where=taken)
        return label, second - best, mito, inside

    def fields(self, tubes: Tubes, low: Indices, high: Indices) -> Iterator[tuple[int, Box, Floats]]:
        """The distance fields of `tubes`, roughened, but not around their axes, where a thin one would be cut in two."""
        cells = tubes is self.tissue.tubes
        for owner, box, f, line in tubes.fields(low, high):
            place, sway = (self.phase[owner], self.tissue.sway[owner]) if cells else (0, 0.012)
            at = (low + [s.start for s in box] + place) % _ROUGH
            rough = f + sway * self.rough[tuple(map(slice, at, at + f.shape))]
            if cells and self.kind[owner] == SHEATH:  # steep outside: it does not fill the gaps around it
                np.maximum(rough, 4 * rough, out=rough)
            yield owner, box, np.minimum(rough, 2 * line - _CORE)


def _compete(label: NDArray[np.uint32], best: Floats, second: Floats, owner: int, distance: Floats) -> None:
    """Update, in place, whose surface is nearest, and the two smallest distances."""
    np.copyto(label, owner, where=distance < best)
    np.minimum(second, np.maximum(best, distance), out=second)
    np.minimum(best, distance, out=best)


def _nodes(cells: Box) -> Box:
    """The nodes that a range of lattice cells needs."""
    return tuple(slice(s.start, s.stop + n) for s, n in zip(cells, NODES.tolist(), strict=True))


def _voxels(cells: Box) -> Box:
    """The voxels of a range of lattice cells."""
    return tuple(slice(s.start * n, s.stop * n) for s, n in zip(cells, STEP.tolist(), strict=True))


def _refined(f: Floats) -> Floats:
    """From the nodes of the lattice to voxels: cubic in y and x, where the eye would see the nodes; linear in z."""
    nz, ny, nx = ((np.array(f.shape) - NODES) * STEP).tolist()
    f = spline(spline(f, nx, int(STEP[2]), 2), ny, int(STEP[1]), 1)
    out = np.empty((nz, ny, nx), F32)
    out[0::2] = f[:-1]
    odd = np.add(f[:-1], f[1:], out=out[1::2])
    odd *= 0.5
    return out
