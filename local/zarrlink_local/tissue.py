"""Growing neuropil: where the cells of a made-up block of brain are, before any voxel is drawn.

Axons, dendrites with spines and myelinated axons are tubes that seek the free space left by the earlier ones.
Lengths are in micrometres, and every vector and shape is in (z, y, x) order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zarrlink_local.noise import F32, Floats, smooth_noise

VOXEL: Final = np.array([0.025, 0.008, 0.008])
STEP: Final = np.array([2, 8, 8])  # voxels per cell of the lattice on which the distances to the tubes are computed
BEFORE: Final = np.array([0, 1, 1])  # lattice nodes needed before the first cell
NODES: Final = np.array([1, 3, 3])  # lattice nodes needed in all, less the number of cells
REACH: Final = 0.2  # distances larger than this are of no interest
MYELIN: Final = 0.1  # thickness of a sheath
GLIA, DENDRITE, AXON, SHEATH = range(4)
_THINNEST: Final = {DENDRITE: 0.1, AXON: 0.04, SHEATH: 0.28}  # radii that hold however little space is left
Vector = NDArray[np.float64]
Indices = NDArray[np.intp]
Box = tuple[slice, ...]


class Tubes:
    """Chains of capsules, each chain with an owner: from `a` to `a + e`, of radius `ra` growing by `grow`."""

    def __init__(self) -> None:
        self.chains: list[Vector] = []
        self.owners: list[int] = []

    def add(self, owner: int, nodes: Vector, radii: Vector) -> None:
        """Owners come in ascending order."""
        self.chains.append(np.column_stack([nodes[:-1], nodes[1:], radii[:-1], radii[1:]]))
        self.owners += [owner] * (len(nodes) - 1)

    def freeze(self) -> None:
        """To be called between the last `add` and the first `fields`."""
        rows = np.concatenate([np.zeros((0, 8)), *self.chains])
        a, b = rows[:, 0:3], rows[:, 3:6]
        self.owner = np.array(self.owners, dtype=np.intp)
        self.a, self.e = a, b - a
        self.ra, self.grow = rows[:, 6].astype(F32), (rows[:, 7] - rows[:, 6]).astype(F32)
        reach = rows[:, 6:8].max(axis=1)[:, None] + REACH
        self.start = np.floor((np.minimum(a, b) - reach) / (VOXEL * STEP)).astype(np.intp)
        self.stop = np.ceil((np.maximum(a, b) + reach) / (VOXEL * STEP)).astype(np.intp)

    def fields(self, low: Indices, high: Indices) -> Iterator[tuple[int, Box, Floats, Floats]]:
        """For each owner near the lattice cells [low, high): its number, the range of the cells that it may reach,
        counted from `low`, and the distances of their nodes from its surface, negative inside, and from its axis."""
        pitch = VOXEL * STEP
        nodes = [(np.arange(low[k], high[k] + NODES[k]) - BEFORE[k]) * pitch[k] for k in range(3)]
        near = np.flatnonzero(((self.start < high) & (self.stop > low)).all(axis=1))
        for i, j in pairwise([*np.flatnonzero(np.diff(self.owner[near], prepend=-1)), len(near)]):
            s = near[i:j]
            first = (np.maximum(self.start[s].min(axis=0), low) - low).tolist()
            last = (np.minimum(self.stop[s].max(axis=0), high) - low).tolist()
            d = [nodes[k][first[k] : last[k] + NODES[k]] - self.a[s, k, None] for k in range(3)]
            square = (self.e[s] ** 2).sum(axis=1)[:, None] + 1e-9
            # |d - t e|^2 with the nearest t of the capsule is |d|^2 + t (t - 2 along) |e|^2. In place, for speed.
            along = outer_sum([d[k] * self.e[s, k, None] / square for k in range(3)])
            f = outer_sum([d[k] ** 2 for k in range(3)])
            t = np.minimum(np.maximum(along, 0), 1)
            along *= -2
            along += t
            along *= t
            along *= square.astype(F32)[:, :, None, None]
            f += along
            np.sqrt(np.maximum(f, 0, out=f), out=f)
            line = f.min(axis=0)
            t *= self.grow[s, None, None, None]
            f -= t
            f -= self.ra[s, None, None, None]
            yield int(self.owner[s[0]]), tuple(map(slice, first, last)), f.min(axis=0), line


class Tissue:
    """The cells of a box of `extent` micrometres.

    Cell `astrocyte` gets what the others leave, too. The cell after a SHEATH is the axon inside it, which has no tubes
    of its own.
    """

    def __init__(self, extent: Vector, rng: np.random.Generator) -> None:
        self.extent, self.rng = extent, rng
        self.tubes, self.mitochondria = Tubes(), Tubes()
        # Per cell: what it is, how rough its surface is, and where it leads.
        self.kind: list[int] = []
        self.sway: list[float] = []
        self.axis: list[Vector] = []
        self.mito_cell: list[int] = []
        self.boutons: list[tuple[Vector, int]] = []
        # The distance to the nearest surface so far, on a grid: where it is large there is free space.
        self.margin, self.pitch = 0.25, 0.05
        shape = np.ceil((extent + 2 * self.margin) / self.pitch).astype(int) + 1
        self.free: Floats = np.full(tuple(shape), 1, F32)

    def grow(self, progress: Callable[[float], None]) -> None:
        """From the large cells to the small ones. `progress` gets the share of the work that is done."""
        rng, volume = self.rng, float(self.extent[0] * self.extent[1] * self.extent[2])
        widest = 0.22 * float(self.extent.min())  # a small box holds several cells too
        for i in range(max(1, round(volume / 11))):
            radius = min(widest, (0.85, 0.55, 0.4)[i] if i < 3 else rng.uniform(0.24, 0.5))
            self.add_cell(SHEATH if i % 6 == 2 else DENDRITE, self.emptiest(60), radius, 0.12)
        self.add_astrocyte(min(widest, 0.2), int(0.6 * volume) + 1)
        first, last = float((self.free > 0.02).mean()), 0.17
        for tries in range(60 + int(40 * volume)):
            self.add_cell(AXON, self.emptiest(24), min(widest, 0.07 + 0.12 * rng.random() * rng.random()), 0.33)
            if tries % 16 == 15:
                left = float((self.free > 0.02).mean())
                if left <= last:
                    break
                progress((first - left) / (first - last))
        self.tubes.freeze()
        self.mitochondria.freeze()

    def add_cell(self, kind: int, start: Vector, radius: float, wander: float) -> None:
        """One process that passes through `start`, with what is inside and on it."""
        rng, way, stride = self.rng, unit(self.rng.standard_normal(3) * (0.9, 1, 1)), 0.08 + radius / 4
        nodes = np.array(self.walk(start, -way, radius, wander)[:0:-1] + self.walk(start, way, radius, wander))
        owner, n = len(self.kind), len(nodes)
        if n < 4:
            return
        radii: Vector = radius * np.clip(1 + 0.22 * smooth_noise(rng, (n,), (0.4 / stride,)).astype(float), 0.55, 1.6)
        swellings = self.spaced(rng.uniform(0, 1.5), 1.8, n, stride) if kind == AXON else []
        for i in swellings:
            bump = np.maximum(0, 1 - ((np.arange(n) - i) * stride / rng.uniform(0.3, 0.55)) ** 2)
            radii = radii + bump * max(0.0, rng.uniform(0.14, 0.3) - radius / 2)
            self.boutons.append((nodes[i], owner))
        radii = np.minimum(radii, np.maximum(self.space(nodes) + 0.03, _THINNEST[kind]))
        self.tubes.add(owner, nodes, radii)
        self.occupy(nodes, radii)
        for each in (SHEATH, AXON) if kind == SHEATH else (kind,):
            self.register(each, min(max(radius / 3 + 0.02, 0.04), 0.1), nodes[-1] - nodes[0])
        starts = [max(0, i - int(rng.uniform(0, 0.4) / stride)) for i in swellings if rng.random() < 0.5]
        for _ in range(1 + int(radius / 0.3)):
            starts += self.spaced(rng.uniform(0, 1), rng.uniform(1.3, 2.2), n - 2, stride)
        for i in starts:
            self.add_mitochondrion(nodes[i:], radii[i:] - (MYELIN if kind == SHEATH else 0), stride)
        if kind == DENDRITE:
            for i in rng.integers(0, n, max(1, int(n * stride * 1.8))):
                self.add_spine(owner, nodes[i], float(radii[i]))

    def add_astrocyte(self, radius: float, branches: int) -> None:
        """A stem with branches that are rough, and end where they meet others."""
        rng, start = self.rng, self.emptiest(60)
        self.astrocyte = len(self.kind)
        chains = [np.array([start, start + 0.01])]
        for i in range(branches):
            chain = chains[int(rng.integers(len(chains)))]
            root, r = chain[int(rng.integers(len(chain)))], radius * (1 if i < 2 else rng.uniform(0.3, 0.7))
            chains.append(np.array([root, *self.walk(root, unit(rng.standard_normal(3)), r, 0.5)]))
            self.tubes.add(self.astrocyte, chains[-1], np.linspace(r, 0.6 * r, len(chains[-1])))
        for chain in chains:
            self.occupy(chain, np.full(len(chain), 0.5 * radius))
        self.register(GLIA, 0.1, np.ones(3))

    def register(self, kind: int, sway: float, direction: Vector) -> None:
        """The looks of the cell whose tubes were added last."""
        self.kind.append(kind)
        self.sway.append(sway)
        self.axis.append(unit(direction))

    def add_mitochondrion(self, nodes: Vector, radii: Vector, stride: float) -> None:
        """A mitochondrion of the last cell, from the first of `nodes` on."""
        rng = self.rng
        n = int(rng.uniform(0.5, 2.2) / stride) + 2
        nodes, room = nodes[:n], float(radii[:n].min())
        r = min(rng.uniform(0.11, 0.2), room * 0.8)
        if len(nodes) < 2 or r < 0.075:
            return
        aside = unit(rng.standard_normal(3)) * rng.random() * max(0.0, room - r - 0.04)
        nodes, cell = nodes + aside, len(self.kind) - 1
        for other in (
            chain for chain, owner in zip(self.mitochondria.chains, self.mito_cell, strict=True) if owner == cell
        ):
            if ((other[:, None, :3] - nodes) ** 2).sum(axis=-1).min() < (r + other[:, 6].max() + 0.1) ** 2:
                return
        self.mitochondria.add(len(self.mito_cell), nodes, r * rng.uniform(0.85, 1.15, len(nodes)))
        self.mito_cell.append(cell)

    def add_spine(self, owner: int, root: Vector, radius: float) -> None:
        """A thin neck and a head, where there is room for them."""
        rng = self.rng
        ways, length, head = (
            unit(rng.standard_normal((12, 3))),
            radius + rng.uniform(0.35, 0.8),
            rng.uniform(0.13, 0.24),
        )
        room = self.space(root + ways * length)
        best = int(np.argmax(room))
        if room[best] < 0.08:
            return
        way = ways[best]
        bend = root + way * (radius + 0.1) + 0.08 * rng.standard_normal(3)
        nodes = np.array([root, bend, root + way * length, root + way * (length + head * 0.6)])
        radii = np.array([0.09, 0.055, min(head, room[best] + 0.05), head * 0.7])
        self.tubes.add(owner, nodes, radii)
        self.occupy(nodes[1:], radii[1:])

    def walk(self, start: Vector, way: Vector, radius: float, wander: float) -> list[Vector]:
        """Nodes from `start` on, each step the freest of some directions, to the end of the box or of the space."""
        nodes, p, stride = [start], start, 0.08 + radius / 4
        for _ in range(int(12 / stride)):
            tries = unit(way + wander * self.rng.standard_normal((10, 3)))
            room = np.minimum(self.space(p + tries * (stride + radius / 2)), radius + 0.05)
            best = int(np.argmax(room + 0.05 * (tries * way).sum(axis=1)))
            if room[best] < -0.01 - 0.1 * radius:
                break
            way = unit(0.6 * way + 0.4 * tries[best])
            p = p + way * stride
            nodes.append(p)
            if ((p < -0.1) | (p > self.extent + 0.1)).any():
                break
        return nodes

    def emptiest(self, tries: int) -> Vector:
        """Of some random points, the one with the most space around it."""
        points = self.rng.random((tries, 3)) * self.extent
        best: Vector = points[int(np.argmax(self.space(points)))]
        return best

    def space(self, points: Vector) -> Vector:
        """The distances of `points` (n, 3) from the nearest surface, negative inside a tube."""
        index = np.rint((points + self.margin) / self.pitch).astype(np.intp)
        z, y, x = np.minimum(np.maximum(index, 0), np.array(self.free.shape) - 1).T
        distance: Vector = self.free[z, y, x].astype(np.float64)
        return distance

    def occupy(self, nodes: Vector, radii: Vector) -> None:
        """Take the space of the spheres at `nodes`."""
        for node, radius in zip(nodes, radii, strict=True):
            centre, reach = (node + self.margin) / self.pitch, (radius + 0.3) / self.pitch
            low = np.maximum(np.ceil(centre - reach).astype(int), 0)
            high = np.minimum(np.floor(centre + reach).astype(int) + 1, self.free.shape)
            if (low < high).all():
                box = self.free[tuple(map(slice, low, high))]
                axes = [((np.arange(low[k], high[k]) - centre[k]) * self.pitch)[None] ** 2 for k in range(3)]
                np.minimum(box, np.sqrt(outer_sum(axes)[0]) - F32(radius), out=box)

    @staticmethod
    def spaced(first: float, gap: float, n: int, stride: float) -> list[int]:
        """Numbers below n of nodes `stride` apart, one every `gap` micrometres."""
        return [int(i) for i in np.arange(first / stride, n, gap / stride)]


def unit(v: Vector) -> Vector:
    """Vectors of length 1, along the last axis."""
    out: Vector = v / np.sqrt((v * v).sum(axis=-1, keepdims=True) + 1e-12)
    return out


def outer_sum(axes: list[Vector]) -> Floats:
    """From z (n, nz), y (n, ny) and x (n, nx) the sums z + y + x (n, nz, ny, nx), in float32."""
    z, y, x = (axis.astype(F32) for axis in axes)
    out: Floats = (z[:, :, None] + y[:, None, :])[..., None] + x[:, None, None, :]
    return out
