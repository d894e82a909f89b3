"""A made-up block of brain neuropil, as an electron microscope shows it, with its exact segmentation.

Axons, dendrites with spines and myelinated axons are grown as tubes (chains of capsules) that seek the free space
left by the earlier ones.  A voxel belongs to the tube whose surface, roughened by noise, is nearest; what is far from
every tube is an astrocyte, which therefore has the concave, sheet-like shape of the real one.  The difference between
the two smallest distances gives the distance to the membrane, and so the picture.

Lengths are in micrometres unless said otherwise, and every vector and shape is in (z, y, x) order.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .noise import F32, Floats, generator, smooth_noise, spline

VOXEL = np.array([0.025, 0.008, 0.008])
STEP = np.array([2, 8, 8])  # voxels per cell of the lattice on which the distances to the tubes are computed
BEFORE, NODES = np.array([0, 1, 1]), np.array([1, 3, 3])  # nodes needed before the first cell, and beside the cells
TILE = np.array([16, 256, 256])  # voxels drawn at a time
GLIA_LEVEL = 0.05  # the astrocyte begins this far from the surface of every tube
NEAR = 0.1  # a second tube this much further than the first has no part in the membrane
REACH = 0.2  # more than GLIA_LEVEL + NEAR: tubes do not matter beyond it
MYELIN = 0.08  # thickness of a sheath
GLIA, DENDRITE, AXON, SHEATH = range(4)
Vector = NDArray[np.float64]
Box = tuple[slice, ...]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Neuropil:
    """An image volume and its ground truth, both of shape (z, y, x), with voxels of 25 x 8 x 8 nm.

    ``segmentation`` gives every voxel the id of its cell; there is no background, and the ids are not consecutive.
    """

    em: NDArray[np.uint8]
    segmentation: NDArray[np.uint32]


class _Tubes:
    """Capsules a-b of radius ra-rb, in chains that each have an owner."""

    def __init__(self) -> None:
        self.chains: list[Vector] = []
        self.owners: list[int] = []

    def add(self, owner: int, nodes: Vector, radii: Vector) -> None:
        """Owners come in ascending order."""
        self.chains.append(np.column_stack([nodes[:-1], nodes[1:], radii[:-1], radii[1:]]))
        self.owners += [owner] * (len(nodes) - 1)

    def freeze(self) -> None:
        rows = np.concatenate([np.zeros((0, 8)), *self.chains])
        self.owner = np.array(self.owners, dtype=np.intp)
        self.a, self.e = rows[:, 0:3], rows[:, 3:6] - rows[:, 0:3]
        self.ra, self.grow = rows[:, 6].astype(F32), (rows[:, 7] - rows[:, 6]).astype(F32)
        reach = rows[:, 6:8].max(axis=1)[:, None] + REACH
        self.start = np.floor((np.minimum(rows[:, 0:3], rows[:, 3:6]) - reach) / (VOXEL * STEP)).astype(int)
        self.stop = np.ceil((np.maximum(rows[:, 0:3], rows[:, 3:6]) + reach) / (VOXEL * STEP)).astype(int)

    def fields(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> Iterator[tuple[int, Box, Floats]]:
        """For each owner near the lattice cells [low, high): its number, the range of those that it may reach, counted
        from ``low``, and the distances of their nodes from its surface."""
        pitch = VOXEL * STEP
        nodes = [(np.arange(low[k], high[k] + NODES[k]) - BEFORE[k]) * pitch[k] for k in range(3)]
        near = np.flatnonzero(((self.start < high) & (self.stop > low)).all(axis=1))
        for i, j in pairwise([*np.flatnonzero(np.diff(self.owner[near], prepend=-1)), len(near)]):
            s = near[i:j]
            first = (np.maximum(self.start[s].min(axis=0), low) - low).tolist()
            last = (np.minimum(self.stop[s].max(axis=0), high) - low).tolist()
            d = [nodes[k][first[k] : last[k] + NODES[k]] - self.a[s, k, None] for k in range(3)]
            square = (self.e[s] ** 2).sum(axis=1)[:, None] + 1e-9
            along = _outer([d[k] * self.e[s, k, None] / square for k in range(3)])
            q = _outer([d[k] ** 2 for k in range(3)])
            t = np.minimum(np.maximum(along, 0), 1)
            along *= -2
            along += t
            along *= t
            along *= square.astype(F32)[:, :, None, None]
            q += along
            f = np.sqrt(np.maximum(q, 0, out=q), out=q)
            t *= self.grow[s, None, None, None]
            f -= t
            f -= self.ra[s, None, None, None]
            yield int(self.owner[s[0]]), tuple(map(slice, first, last)), f.min(axis=0)


class _Tissue:
    """Grows the cells of a box of ``extent`` micrometres."""

    def __init__(self, extent: Vector, rng: np.random.Generator) -> None:
        self.extent, self.rng = extent, rng
        self.tubes, self.mitochondria = _Tubes(), _Tubes()
        self.kind, self.sway = [GLIA], [0.0]  # per cell: what it is, and how rough its surface
        self.axis = [np.array([1.0, 0.0, 0.0])]
        self.mito_cell: list[int] = []
        self.boutons: list[tuple[Vector, int]] = []
        self.margin, self.pitch = 0.25, 0.05
        # Distance to the nearest surface so far, on a grid: what is large is free space.
        self.free = np.full(tuple(np.ceil((extent + 2 * self.margin) / self.pitch).astype(int) + 1), 1.0, F32)

    def space(self, points: Vector) -> Vector:
        index = np.rint((points + self.margin) / self.pitch).astype(np.intp)
        index = np.minimum(np.maximum(index, 0), np.array(self.free.shape) - 1)
        return self.free[index[..., 0], index[..., 1], index[..., 2]].astype(np.float64)

    def occupy(self, nodes: Vector, radii: Vector) -> None:
        for node, radius in zip(nodes, radii, strict=True):
            reach = radius + 0.3
            low = np.maximum(np.ceil((node - reach + self.margin) / self.pitch).astype(int), 0)
            high = np.minimum(np.floor((node + reach + self.margin) / self.pitch).astype(int) + 1, self.free.shape)
            if (high <= low).any():
                continue
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            z, y, x = (
                ((np.arange(a, b) * self.pitch - self.margin - c) ** 2).astype(F32)
                for a, b, c in zip(low, high, node, strict=True)
            )
            d = np.sqrt(z[:, None, None] + y[:, None] + x) - F32(radius)
            np.minimum(self.free[box], d, out=self.free[box])

    def emptiest(self, tries: int) -> Vector:
        points = self.rng.random((tries, 3)) * (self.extent + self.margin) - self.margin / 2
        return points[np.argmax(self.space(points))]

    def walk(self, start: Vector, way: Vector, radius: float, wander: float) -> list[Vector]:
        """Nodes from ``start`` on, each step towards the freest of some directions, until the box or the space ends."""
        nodes, p, stride = [start], start, 0.08 + radius / 4
        for _ in range(int(12 / stride)):
            tries = _unit(way + wander * self.rng.standard_normal((10, 3)))
            room = np.minimum(self.space(p + tries * (stride + radius / 2)), radius + 0.05)
            best = int(np.argmax(room + 0.05 * (tries * way).sum(axis=1)))
            if room[best] < -0.4 * radius:
                break
            way = _unit(0.6 * way + 0.4 * tries[best])
            p = p + way * stride
            nodes.append(p)
            if ((p < -self.margin) | (p > self.extent + self.margin)).any():
                break
        return nodes

    def cell(self, kind: int, start: Vector, radius: float, wander: float) -> None:
        """One process through ``start`` both ways, with what is inside and on it."""
        rng, way, stride = self.rng, _unit(self.rng.standard_normal(3) * (0.9, 1.0, 1.0)), 0.08 + radius / 4
        nodes = np.array(self.walk(start, -way, radius, wander)[:0:-1] + self.walk(start, way, radius, wander))
        owner, n = len(self.kind), len(nodes)
        if n < 4:
            return
        radii = radius * np.clip(1 + 0.22 * smooth_noise(rng, (n,), (0.4 / stride,)), 0.55, 1.6)
        stations = np.arange(rng.uniform(0, 1.5) / stride, n, 2.4 / stride).astype(int) if kind == AXON else []
        for i in stations:  # varicosities
            swell = np.maximum(0, 1 - ((np.arange(n) - i) * stride / rng.uniform(0.3, 0.55)) ** 2)
            radii += swell * max(0.0, rng.uniform(0.12, 0.26) - radius / 2)
            self.boutons.append((nodes[i], owner))
        radii = np.minimum(radii, np.maximum(self.space(nodes) + 0.03, 0.04 if kind == AXON else 0.1))
        self.tubes.add(owner, nodes, radii)
        self.occupy(nodes, radii)
        self.register(kind, radius, nodes)
        if kind == SHEATH:
            self.register(AXON, radius, nodes)
            radii = radii - MYELIN
        starts = [max(0, i - int(rng.uniform(0, 0.4) / stride)) for i in stations if rng.random() < 0.5]
        for _ in range(1 + int(radius / 0.3)):
            starts += np.arange(rng.uniform(0, 1) / stride, n - 2, rng.uniform(1.3, 2.2) / stride).astype(int).tolist()
        for i in starts:
            self.mitochondrion(len(self.kind) - 1, nodes[i:], radii[i:], stride)
        if kind == DENDRITE:
            for i in rng.integers(0, n, max(1, int(n * stride * 1.8))):
                self.spine(owner, nodes[i], radii[i])

    def register(self, kind: int, radius: float, nodes: Vector) -> None:
        self.kind.append(kind)
        self.sway.append(float(np.clip(radius / 3 + 0.02, 0.04, 0.1)))
        self.axis.append(_unit(nodes[-1] - nodes[0]))

    def mitochondrion(self, cell: int, nodes: Vector, radii: Vector, stride: float) -> None:
        n = int(self.rng.uniform(0.5, 2.2) / stride) + 2
        nodes, radii = nodes[:n], radii[:n]
        r = np.minimum(self.rng.uniform(0.11, 0.2), radii.min() * 0.8)
        if len(nodes) < 2 or r < 0.075:
            return
        offset = _unit(self.rng.standard_normal(3)) * self.rng.random() * max(0.0, radii.min() - r - 0.04)
        self.mitochondria.add(len(self.mito_cell), nodes + offset, r * self.rng.uniform(0.85, 1.15, len(nodes)))
        self.mito_cell.append(cell)

    def spine(self, owner: int, root: Vector, radius: float) -> None:
        ways = _unit(self.rng.standard_normal((12, 3)))
        length = radius + self.rng.uniform(0.35, 0.8)
        tip = self.space(root + ways * length)
        way, head = ways[int(np.argmax(tip))], self.rng.uniform(0.13, 0.24)
        if tip.max() < 0.08:
            return
        bend = root + way * (radius + 0.1) + 0.08 * self.rng.standard_normal(3)
        nodes = np.array([root, bend, root + way * length, root + way * (length + head * 0.6)])
        radii = np.array([0.09, 0.055, min(head, tip.max() + 0.05), head * 0.7])
        self.tubes.add(owner, nodes, radii)
        self.occupy(nodes[1:], radii[1:])

    def grow(self, progress: Callable[[float], None]) -> None:
        rng, volume = self.rng, float(np.prod(self.extent))
        widest = 0.22 * float(self.extent.min())  # a small box still holds several cells
        for i in range(max(1, round(volume / 11))):
            kind = SHEATH if i % 6 == 2 else DENDRITE
            radius = min(widest, (0.85, 0.55, 0.4)[i] if i < 3 else rng.uniform(0.24, 0.5))
            self.cell(kind, self.emptiest(60), radius, 0.12)
        first, last = float((self.free > 0.02).mean()), 0.13
        for tries in range(60 + int(40 * volume)):
            radius = min(widest, 0.065 + 0.1 * rng.random() * rng.random())
            self.cell(AXON, self.emptiest(24), radius, 0.33)
            if tries % 16 == 15:
                left = float((self.free > 0.02).mean())
                progress(min(1.0, (first - left) / max(first - last, 1e-6)))
                if left < last:
                    break
        self.tubes.freeze()
        self.mitochondria.freeze()


class _Painter:
    """Draws a grown tissue, tile by tile, then synapse by synapse, then section by section."""

    def __init__(self, shape: tuple[int, int, int], seed: int, tissue: _Tissue) -> None:
        self.shape, self.seed, self.tissue = shape, seed, tissue
        self.em = np.zeros(shape, np.uint8)
        self.labels = np.zeros(shape, np.uint32)  # the numbers of the cells, at last their ids
        self.depth = np.zeros(shape, np.uint8)  # nanometres to the nearest membrane, at most 255
        rng, kind = generator(seed, 1), np.array(tissue.kind)
        n = len(kind)
        # Roughness of the surfaces, each cell having its own place in a periodic noise.
        waves = ((6, 6, 6), 0.9), ((3, 3, 3), 0.4)
        rough = sum((F32(a) * smooth_noise(rng, (48, 48, 48), w, periodic=True) for w, a in waves), F32(0))
        self.rough = np.pad(np.clip(rough, -2, 2), [(0, 40)] * 3, mode="wrap")
        self.phase = rng.integers(0, 48, (n, 3))
        # Looks of the cells.
        base = 172 + 6 * rng.standard_normal(n) - 24 * (rng.random(n) < 0.06)
        self.kind, self.base = kind, np.where(kind == GLIA, 186, base).astype(F32)
        axis = np.array(tissue.axis)
        across = _cross(axis, rng.standard_normal((n, 3)))
        self.u, self.v = ((w * VOXEL / VOXEL[2]).astype(F32) for w in (across, _cross(axis, across)))
        self.tubules = np.array([0, 46, 32, 0], F32)[kind]
        self.reticulum = np.array([18, 50, 12, 0], F32)[kind]
        self.grains = np.array([45, 24, 10, 0], F32)[kind]
        self.bundle = _dots(rng, 512, 2000)
        self.side = min(512, -(-max(shape[1:]) // 64) * 64)
        self.waves, self.clouds, self.speckle = (
            smooth_noise(rng, (32, self.side, self.side), w, periodic=True)
            for w in ((4, 16, 16), (16, 64, 64), (2, 4, 4))
        )
        self.shine = 4 * smooth_noise(rng, (shape[0], *(n // 32 + 1 for n in shape[1:])), (60, 7, 7))
        self.ids = np.cumsum(rng.integers(1, 500, n)).astype(np.uint32)
        # Looks of the mitochondria.
        m = len(tissue.mito_cell)
        self.mito_cell = np.array(tissue.mito_cell, dtype=np.intp)
        self.mito_base = (116 + 9 * rng.standard_normal(m)).astype(F32)
        self.crista = (_unit(rng.standard_normal((m, 3)) * (0.4, 1, 1)) * VOXEL / 0.055).astype(F32)

    def near(self, tubes: _Tubes, low: NDArray[np.intp], high: NDArray[np.intp]) -> list[tuple[int, Box, Floats]]:
        """The distance fields near the cells of a tile, roughened."""
        out = []
        for owner, box, f in tubes.fields(low, high):
            cell = owner if tubes is self.tissue.tubes else 0
            at = [(low[k] + box[k].start + self.phase[cell, k]) % 48 for k in range(3)]
            sway = F32(self.tissue.sway[cell] or 0.012)
            out.append((owner, box, f + sway * self.rough[tuple(slice(a, a + n) for a, n in zip(at, f.shape))]))
        return out

    def tile(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> tuple[NDArray[Any], ...]:
        """Of lattice cells [low, high): per voxel the label, by how much the second nearest tube is further than the
        nearest, the mitochondrion, and the depth in it."""
        size = tuple((high - low) * STEP)
        best, second = np.full(size, GLIA_LEVEL, F32), np.full(size, 1.0, F32)
        label, mito, inside = np.zeros(size, np.uint32), np.zeros(size, np.uint16), np.full(size, -1, F32)
        fields = self.near(self.tissue.tubes, low, high)
        nearest = np.full(tuple(high - low + NODES), GLIA_LEVEL + NEAR, F32)
        spans = [tuple(slice(s.start, s.stop + int(n)) for s, n in zip(box, NODES)) for _, box, _ in fields]
        for span, (_, _, f) in zip(spans, fields):
            np.minimum(nearest[span], f + F32(NEAR), out=nearest[span])
        for span, (owner, box, f) in zip(spans, fields):
            if not (f < nearest[span]).any():
                continue
            g = _refine(f)
            layers = [(owner, g)]
            if self.kind[owner] == SHEATH:  # the axon inside is the next cell; it wins where g < -MYELIN
                layers.append((owner + 1, 2 * g + F32(MYELIN)))
            voxels = tuple(slice(s.start * n, s.stop * n) for s, n in zip(box, STEP.tolist()))
            for number, g in layers:
                b, s = best[voxels], second[voxels]
                np.copyto(label[voxels], number, where=g < b)
                np.minimum(s, np.maximum(b, g), out=s)
                np.minimum(b, g, out=b)
        for number, box, f in self.near(self.tissue.mitochondria, low, high):
            if f.min() < 0.02:
                g = -_refine(f)
                voxels = tuple(slice(s.start * n, s.stop * n) for s, n in zip(box, STEP.tolist()))
                take = (g > inside[voxels]) & (label[voxels] == self.mito_cell[number])
                np.copyto(mito[voxels], number, where=take)
                np.copyto(inside[voxels], g, where=take)
        second -= best
        return label, second, mito, inside

    def slab(self, z0: int) -> None:
        """Draws TILE[0] sections."""
        size = np.minimum(np.array(self.shape) - (z0, 0, 0), (TILE[0], *self.shape[1:]))
        label, gap, mito, inside = (np.empty(size, t) for t in (np.uint32, F32, np.uint16, F32))
        for y, x in product(range(0, size[1], TILE[1]), range(0, size[2], TILE[2])):
            here = (slice(None), slice(y, y + TILE[1]), slice(x, x + TILE[2]))
            low = np.array([z0, y, x])
            high = -(-np.minimum(low + TILE, self.shape) // STEP)
            for whole, part in zip((label, gap, mito, inside), self.tile(low // STEP, high)):
                whole[here] = part[tuple(map(slice, whole[here].shape))]
        self.labels[z0 : z0 + size[0]] = label
        # The gap grows from the membrane at a rate that depends on the angle between the two distance fields;
        # divided by its slope it is the distance to the membrane.
        rise = _slope(gap, 0) / F32(25)
        for k in range(size[0]):
            slope = np.sqrt(rise[k] ** 2 + (_slope(gap[k], 0) ** 2 + _slope(gap[k], 1) ** 2) / F32(64))
            np.clip(slope, F32(0.0004), F32(0.0022), out=slope)  # 0.002 if they face each other
            depth, tilt = gap[k] / slope, rise[k] / slope
            self.em[z0 + k] = self.shade(z0 + k, label[k].astype(np.intp), depth, tilt, mito[k], inside[k])
            self.depth[z0 + k] = np.where(inside[k] > -0.016, 0, np.minimum(depth, 255))

    def shade(
        self, z: int, cell: NDArray[np.intp], depth: Floats, tilt: Floats, mito: NDArray[np.uint16], inside: Floats
    ) -> NDArray[np.uint8]:
        """One noiseless section; ``depth`` in nanometres, ``tilt`` 0 for a membrane cut across, 1 for one in plane."""
        ny, nx = cell.shape
        y, x = np.arange(ny), np.arange(nx)
        waves, other, clouds, speckle = (
            noise[(z + shift) % 32].take((y + 13 * shift) % self.side, 0).take((x + 23 * shift) % self.side, 1)
            for noise, shift in ((self.waves, 0), (self.waves, 13), (self.clouds, 0), (self.speckle, 0))
        )
        picture = self.base.take(cell) + F32(3.5) * speckle + F32(2.5) * other
        clear = np.clip((depth - F32(22)) / F32(10), 0, 1)
        # Microtubules: a picture of dots, extruded along the axis of each cell.
        u, v = (
            w[:, 0].take(cell) * F32(z)
            + w[:, 1].take(cell) * y.astype(F32)[:, None]
            + w[:, 2].take(cell) * x.astype(F32)
            for w in (self.u, self.v)
        )
        u += 8 * clouds
        v += 8 * clouds
        dots = self.bundle[v.astype(np.intp) & 511, u.astype(np.intp) & 511]
        # Endoplasmic reticulum: pairs of membranes along the zero of a noise, where another noise is high.
        wall = np.maximum(0, 1 - np.abs(np.abs(waves + F32(0.4) * clouds) - F32(0.28)) * F32(6))
        wall += F32(0.3) * (np.abs(waves + F32(0.4) * clouds) < 0.28)
        wall *= np.clip((clouds + F32(0.4) * other - F32(0.35)) * 3, 0, 1)
        picture -= clear * (
            dots * self.tubules.take(cell)
            + wall * self.reticulum.take(cell)
            + np.clip(speckle * 2 - F32(3), 0, 1) * self.grains.take(cell)
        )
        # Mitochondria, kept clear of the membrane of their cell.
        flat = picture.ravel()
        at = np.flatnonzero((inside > -0.016) & (depth > 12))
        m = mito.ravel()[at]
        deep = np.minimum(inside.ravel()[at] * F32(1000), depth.ravel()[at] - F32(28))  # nanometres
        c = self.crista[m]
        bent = c[:, 0] * F32(z) + c[:, 1] * (at // nx) + c[:, 2] * (at % nx)
        bent = (bent + F32(0.7) * waves.ravel()[at] + F32(0.2) * speckle.ravel()[at]).astype(F32)
        fold = np.clip((np.abs((bent - np.floor(bent)) * 2 - 1) - F32(0.55)) * 5, 0, 1)
        fold *= np.clip(F32(2) - other.ravel()[at] * 2, 0, 1)
        body = self.mito_base[m] + 10 - F32(42) * fold - np.clip(F32(1) - np.abs(deep - 20) / 8, 0, 1) * F32(35)
        blend = np.clip((deep - F32(4)) / F32(12), 0, 1)
        flat[at] += blend * (body - flat[at]) - (1 - blend) * np.clip(1 - np.abs(deep) / F32(9), 0, 1) * F32(75)
        # Myelin: lamellae, too fine to be quite resolved.
        at = np.flatnonzero(self.kind.take(cell) == SHEATH)
        flat[at] = F32(62) + F32(56) * np.abs((depth.ravel()[at] / F32(26)) % 1 - F32(0.5)) + 3 * other.ravel()[at]
        # The two membranes and the cleft between them; the section's thickness smears the tilted ones.
        width = F32(9) + F32(14) * tilt
        edge = np.maximum(0, 1 - (np.maximum(0, np.abs(depth - F32(5)) - F32(2)) / width) ** 2)
        picture += edge * (F32(9) / width) * np.minimum(0, F32(64) - picture)
        return np.clip(picture, 0, 255).astype(np.uint8)

    def synapse(self, number: int) -> None:
        """Vesicles in a bouton and, where it touches a dendrite or a spine, the dark density across the cleft."""
        (centre, owner), rng = self.tissue.boutons[number], generator(self.seed, 2, number)
        low = np.clip(centre / VOXEL - (12, 42, 42), 0, self.shape).astype(int)
        high = np.clip(centre / VOXEL + (13, 43, 43), 0, self.shape).astype(int)
        box = tuple(map(slice, low, high))
        label, depth, em = self.labels[box], self.depth[box], self.em[box]
        pre = label == owner
        touch = np.flatnonzero(_grown(pre, (1, 1, 1)) & (self.kind.take(label) == DENDRITE))
        paired = len(touch) > 60
        if not pre.any() or (not paired and rng.random() < 0.7):
            return
        active = centre / VOXEL - low
        if paired:
            spots = np.stack(np.unravel_index(touch, label.shape), 1)
            active = spots[np.argmin((((spots - active) * VOXEL) ** 2).sum(axis=1))]
        away = np.sqrt(_outer([((np.arange(n) - c) * s)[None] ** 2 for n, c, s in zip(label.shape, active, VOXEL)])[0])
        picture = em.astype(F32)
        if paired:
            post = label == label[tuple(active)]
            close = sum((_grown(pre, (1, n, n)).astype(F32) for n in (2, 4, 6)), F32(0)) / F32(3) * post
            dark = np.clip((F32(rng.uniform(24, 42)) - depth) / 12, 0, 1) * close
            dark += F32(0.5) * np.clip((F32(18) - depth) / 10, 0, 1) * pre
            dark *= np.clip((F32(rng.uniform(0.14, 0.24)) - away) / F32(0.05), 0, 1)
            picture += dark * (F32(52) - picture)
        # Vesicles on a jittered lattice, crowded towards the active zone.
        grid = np.stack(np.meshgrid(*(np.arange(0.02, s, 0.046) for s in (high - low) * VOXEL), indexing="ij"), -1)
        spot = (grid + rng.uniform(-0.014, 0.014, grid.shape)).reshape(-1, 3) / VOXEL
        at = tuple(np.minimum(np.rint(spot).astype(int), np.array(label.shape) - 1).T)
        crowd = rng.uniform(1.0, 1.5) - away[at] / rng.uniform(0.2, 0.4)
        spot = spot[pre[at] & (depth[at] > 30) & (rng.random(len(spot)) < crowd)]
        stamp = np.stack(np.meshgrid((-1, 0, 1), range(-3, 4), range(-3, 4), indexing="ij"), -1).reshape(-1, 3)
        voxel = np.rint(spot).astype(int)[:, None] + stamp
        r = 1000 * np.sqrt((((voxel - spot[:, None]) * VOXEL) ** 2).sum(axis=-1))
        ring = 64 * np.clip(1 - np.abs(r - 17) / 9, 0, 1) - 10 * np.clip(1 - r / 12, 0, 1)
        fits = ((voxel >= 0) & (voxel < label.shape)).all(axis=-1)
        np.subtract.at(picture, tuple(voxel[fits].T), ring[fits].astype(F32))
        em[...] = np.clip(picture, 30, 255)

    def expose(self, z: int) -> None:
        """The microscope: blur, slow brightness variation, shot noise with a little correlation."""
        ny, nx = self.shape[1:]
        rng = generator(self.seed, 3, z)
        picture = np.pad(self.em[z], 1, mode="edge").astype(F32)
        picture = F32(0.6) * picture[1:-1] + F32(0.2) * (picture[:-2] + picture[2:])
        picture = F32(0.6) * picture[:, 1:-1] + F32(0.2) * (picture[:, :-2] + picture[:, 2:])
        white = rng.standard_normal((ny + 2, nx + 2), dtype=F32)
        shine = self.shine[z].repeat(32, 0)[:ny].repeat(32, 1)[:, :nx]
        grain = white[:-2] + white[1:-1] * 2 + white[2:]
        grain = (grain[:, :-2] + grain[:, 1:-1] * 2 + grain[:, 2:]) * F32(0.9) + F32(4) * white[1:-1, 1:-1]
        picture += grain * np.sqrt(picture / F32(160)) + shine + F32(1.5) * rng.standard_normal(dtype=F32)
        self.em[z] = np.clip(np.rint(picture), 0, 255)
        self.labels[z] = self.ids.take(self.labels[z])


def _unit(v: Vector) -> Vector:
    return v / np.sqrt((v * v).sum(axis=-1, keepdims=True) + 1e-12)


def _cross(a: Vector, b: Vector) -> Vector:
    return _unit(np.roll(a, -1, 1) * np.roll(b, 1, 1) - np.roll(a, 1, 1) * np.roll(b, -1, 1))


def _outer(parts: list[Vector]) -> Floats:
    """z[i, :], y[i, :], x[i, :] -> (i, z, y, x), their sums."""
    z, y, x = (p.astype(F32) for p in parts)
    return (z[:, :, None] + y[:, None, :])[..., None] + x[:, None, None, :]


def _refine(f: Floats) -> Floats:
    """From the nodes of the lattice to voxels: cubic in y and x, where the eye would see the nodes; linear in z."""
    nz, ny, nx = (np.array(f.shape) - NODES) * STEP
    f = spline(spline(f, int(nx), 8, 2), int(ny), 8, 1)
    out = np.empty((nz, ny, nx), F32)
    out[0::2] = f[:-1]
    odd = np.add(f[:-1], f[1:], out=out[1::2])
    odd *= F32(0.5)
    return out


def _slope(f: Floats, axis: int) -> Floats:
    """The steeper of the forward and backward differences, for at a membrane one of them straddles the kink."""
    out = np.zeros_like(f)
    step = np.abs(np.diff(f, axis=axis))
    low, high = (tuple(s if a == axis else slice(None) for a in range(f.ndim)) for s in (slice(-1), slice(1, None)))
    out[low] = step
    np.maximum(out[high], step, out=out[high])
    return out


def _grown(mask: NDArray[np.bool_], reach: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The mask dilated by a box."""
    for axis, n in enumerate(reach):
        out = mask.copy()
        view, source = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
        for k in range(1, n + 1):
            view[k:] |= source[:-k]
            view[:-k] |= source[k:]
        mask = out
    return mask


def _dots(rng: np.random.Generator, size: int, count: int) -> Floats:
    """A periodic picture of ``count`` soft dots four pixels wide."""
    out = np.zeros((size, size), F32)
    y, x = rng.integers(0, size, (2, count))
    for dy, dx in product(range(-2, 3), repeat=2):
        soft = F32(max(0.0, 1 - (dy * dy + dx * dx) / 5))
        np.maximum.at(out, ((y + dy) % size, (x + dx) % size), soft)
    return out


def neuropil(
    shape_zyx: tuple[int, int, int] = (256, 512, 512), seed: int = 7, progress: Callable[[float], None] | None = None
) -> Neuropil:
    """A volume of ``shape_zyx`` voxels of 25 x 8 x 8 nm; the same shape and seed give the same bytes.

    ``progress`` is called now and then, in the calling thread, with the share of the work done, from 0 to 1.
    """
    report = progress or (lambda done: None)
    report(0.0)
    tissue = _Tissue(np.array(shape_zyx) * VOXEL, generator(seed, 0))
    tissue.grow(lambda done: report(0.2 * done))
    painter = _Painter(shape_zyx, seed, tissue)
    # The many short numpy calls of a slab hold each other up if more than a few threads make them.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        slabs = range(0, shape_zyx[0], int(TILE[0]))
        for i, _ in enumerate(pool.map(painter.slab, slabs)):
            report(0.22 + 0.55 * (i + 1) / len(slabs))
        for i in range(len(tissue.boutons)):  # one after the other, for neighbours overlap
            painter.synapse(i)
            if i % 64 == 0:
                report(0.77 + 0.18 * i / len(tissue.boutons))
        for i, _ in enumerate(pool.map(painter.expose, range(shape_zyx[0]))):
            report(0.95 + 0.05 * (i + 1) / shape_zyx[0])
    return Neuropil(painter.em, painter.labels)


def downsample_mean(volume: NDArray[T], factors_zyx: tuple[int, int, int]) -> NDArray[T]:
    """The mean of every cell of ``factors_zyx`` voxels of a (z, y, x) volume; halves are rounded up in integers.

    The shape of the result is ceil(size / factor); a cell cut by the end of the volume has the mean of what is there.
    Integers have at most 32 bits.
    """
    whole = np.issubdtype(volume.dtype, np.integer)
    if whole and volume.dtype.itemsize > 4:
        raise TypeError("the sums of 64-bit integers could overflow")
    out = np.empty([-(-n // f) for n, f in zip(volume.shape, factors_zyx, strict=True)], volume.dtype)
    for box, members in _cells(volume, factors_zyx):
        total: NDArray[Any] = np.zeros(members[0].shape, np.int64 if whole else np.float64)
        for member in members:
            total += member
        n = len(members)
        out[box] = (2 * total + n) // (2 * n) if whole else total / n
    return out


def downsample_mode(volume: NDArray[T], factors_zyx: tuple[int, int, int]) -> NDArray[T]:
    """The most frequent value of every cell of ``factors_zyx`` voxels of a (z, y, x) volume, the smallest if several.

    The shape of the result is ceil(size / factor); a cell cut by the end of the volume counts what is there.
    """
    out = np.empty([-(-n // f) for n, f in zip(volume.shape, factors_zyx, strict=True)], volume.dtype)
    for box, members in _cells(volume, factors_zyx):
        mixed = np.zeros(members[0].shape, np.bool_)
        for member in members[1:]:
            mixed |= member != members[0]
        mode = members[0].copy()
        # Most cells are inside one object; in the others, the longest run of equal values after sorting is counted.
        values = np.sort(np.stack([member[mixed] for member in members]), axis=0)
        best, run = values[0].copy(), np.ones(values.shape[1], np.intp)
        longest = run.copy()
        for before, value in pairwise(values):
            run = np.where(value == before, run + 1, 1)
            np.copyto(best, value, where=run > longest)
            np.maximum(longest, run, out=longest)
        mode[mixed] = best
        out[box] = mode
    return out


def _cells(volume: NDArray[T], factors: tuple[int, int, int]) -> Iterator[tuple[Box, list[NDArray[T]]]]:
    """Parts of the output, and for each its members: the first voxel of every cell, the second, and so on.

    The cells of a part are of one size: the inner ones have all of their voxels, the last along an axis perhaps not.
    """
    parts = []
    for n, f in zip(volume.shape, factors, strict=True):
        full, rest = divmod(n, f)
        parts.append([(slice(0, full), 0, f)] * (full > 0) + [(slice(full, full + 1), full * f, rest)] * (rest > 0))
    for part in product(*parts):
        members = []
        for offset in product(*(range(size) for _, _, size in part)):
            steps = zip(part, offset, strict=True)
            members.append(volume[tuple(slice(a + k, a + s * (box.stop - box.start), s) for (box, a, s), k in steps)])
        yield tuple(box for box, _, _ in part), members
