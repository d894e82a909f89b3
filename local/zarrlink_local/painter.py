"""How a grown tissue looks under an electron microscope.

The distance to the membrane is made of the difference between the distances to the two nearest surfaces; it gives the picture.

Lengths are in micrometres unless said otherwise, and every vector and shape is in (z, y, x) order.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zarrlink_local.noise import F32, Floats, generator, smooth_noise
from zarrlink_local.surfaces import TILE, Surfaces
from zarrlink_local.tissue import DENDRITE, GLIA, SHEATH, STEP, VOXEL, Indices, Tissue, Vector, outer_sum, unit

_PERIOD: Final = 32  # sections, period of the textures
_PX: Final = 512  # pixels, period of the textures


class Painter:
    """Draws slab by slab, then synapse by synapse, then section by section; `em` and `labels`, (z, y, x), are the result."""

    def __init__(self, shape: tuple[int, int, int], seed: int, tissue: Tissue) -> None:
        self.shape, self.seed, self.tissue = shape, seed, tissue
        self.em = np.zeros(shape, np.uint8)
        self.labels = np.zeros(shape, np.uint32)  # the numbers of the cells, in the end their ids
        self.depth = np.zeros(shape, np.uint8)  # nanometres to the nearest membrane, at most 255
        rng, kind = generator(seed, 1), np.array(tissue.kind)
        n = len(kind)
        self.ids = np.cumsum(rng.integers(1, 500, n)).astype(np.uint32)
        self.surfaces = Surfaces(tissue, rng)
        # The looks of the cells, by kind: glia, dendrite, axon, sheath.
        grey = 172 + 6 * rng.standard_normal(n) - 24 * (rng.random(n) < 0.06)
        self.kind, self.grey = kind, np.where(kind == GLIA, 186, grey).astype(F32)
        self.tubules = np.array([0, 46, 32, 0], F32)[kind]
        self.reticulum = np.array([18, 50, 12, 0], F32)[kind]
        self.grains = np.array([45, 24, 10, 0], F32)[kind]
        axis = np.array(tissue.axis)
        across = _cross(axis, rng.standard_normal((n, 3)))
        self.u, self.v = ((w * VOXEL / VOXEL[2]).astype(F32) for w in (across, _cross(axis, across)))
        # Textures that all cells share.
        self.bundle = _dots(rng, _PX, 2000)
        self.side = min(_PX, -(-max(shape[1:]) // 64) * 64)
        self.waves, self.clouds, self.speckle = (
            smooth_noise(rng, (_PERIOD, self.side, self.side), w, periodic=True)
            for w in ((4, 16, 16), (16, 64, 64), (2, 4, 4))
        )
        self.shine = 4 * smooth_noise(rng, (shape[0], shape[1] // 32 + 1, shape[2] // 32 + 1), (60, 7, 7))
        # The looks of the mitochondria; `crista` is how many folds there are per voxel of each axis.
        m = len(tissue.mito_cell)
        self.mito_grey = (126 + 9 * rng.standard_normal(m)).astype(F32)
        self.crista = (unit(rng.standard_normal((m, 3)) * (0.4, 1, 1)) * VOXEL / 0.055).astype(F32)

    def draw_slab(self, z0: int) -> None:
        """Draw sections `z0` to `z0` + TILE[0], without noise."""
        size = (min(int(TILE[0]), self.shape[0] - z0), *self.shape[1:])
        label, mito = np.empty(size, np.uint32), np.empty(size, np.uint32)
        gap, inside = np.empty(size, F32), np.empty(size, F32)
        for y, x in product(range(0, size[1], int(TILE[1])), range(0, size[2], int(TILE[2]))):
            low = np.array([z0, y, x])
            high = np.minimum(low + TILE, self.shape)
            here = (slice(None), slice(low[1], high[1]), slice(low[2], high[2]))
            parts = self.surfaces.tile(low // STEP, -(-high // STEP))
            for whole, part in zip((label, gap, mito, inside), parts, strict=True):
                whole[here] = part[tuple(map(slice, high - low))]
        self.labels[z0 : z0 + size[0]] = label
        # The gap grows from the membrane at a rate that depends on the angle between the two distance fields;
        # divided by its slope (0.002 per nanometre where they face each other) it is the distance to the membrane.
        rise = _slope(gap, 0) / 25
        for k in range(size[0]):
            slope = np.sqrt(rise[k] ** 2 + (_slope(gap[k], 0) ** 2 + _slope(gap[k], 1) ** 2) / 64)
            slope = np.clip(slope, 0.0004, 0.0022)
            depth, tilt = gap[k] / slope, rise[k] / slope
            self.em[z0 + k] = self.section(z0 + k, label[k].astype(np.intp), depth, tilt, mito[k], inside[k])
            self.depth[z0 + k] = np.where(inside[k] > -0.016, 0, np.minimum(depth, 255))

    def section(
        self, z: int, cell: Indices, depth: Floats, tilt: Floats, mito: NDArray[np.uint32], inside: Floats
    ) -> NDArray[np.uint8]:
        """Section `z`, (y, x). `depth` is in nanometres; `tilt` is 0 for a membrane cut across, 1 for one in plane."""
        ny, nx = cell.shape
        y, x = np.arange(ny, dtype=F32)[:, None], np.arange(nx, dtype=F32)
        waves, clouds, speckle = (self.texture(noise, z, ny, nx) for noise in (self.waves, self.clouds, self.speckle))
        other = self.texture(self.waves, z, ny, nx, 13)
        picture = self.grey.take(cell) + 3.5 * speckle + 2.5 * other
        # Microtubules: a picture of dots, extruded along the axis of each cell.
        u, v = (
            w[:, 0].take(cell) * F32(z) + w[:, 1].take(cell) * y + w[:, 2].take(cell) * x + 8 * clouds
            for w in (self.u, self.v)
        )
        dots = self.bundle[v.astype(np.intp) % _PX, u.astype(np.intp) % _PX]
        # Endoplasmic reticulum: flat sacs along the zero of a noise, where another noise is high.
        sac = np.abs(waves + 0.4 * clouds)
        wall = np.maximum(0, 1 - np.abs(sac - 0.28) * 6) + F32(0.3) * (sac < 0.28)
        wall *= np.clip((clouds + 0.4 * other - 0.35) * 3, 0, 1)
        ribosomes = np.clip(speckle * 2 - 3, 0, 1)
        inner = dots * self.tubules.take(cell) + wall * self.reticulum.take(cell) + ribosomes * self.grains.take(cell)
        picture -= np.clip((depth - 22) / 10, 0, 1) * inner
        # Mitochondria, kept clear of the membrane of their cell: an outer membrane, a gap, an inner one with folds.
        at = np.flatnonzero((inside > -0.016) & (depth > 12))
        number = mito.take(at)
        deep = np.minimum(inside.take(at) * 1000, depth.take(at) - 28)  # nanometres
        folds = self.crista[number]
        phase = folds[:, 0] * F32(z) + folds[:, 1] * (at // nx).astype(F32) + folds[:, 2] * (at % nx).astype(F32)
        phase += 0.7 * waves.take(at) + 0.2 * speckle.take(at)
        fold = np.clip((np.abs((phase - np.floor(phase)) * 2 - 1) - 0.55) * 5, 0, 1)
        fold *= np.clip(2 - other.take(at) * 2, 0, 1)
        body = self.mito_grey[number] - 42 * fold - 35 * np.clip(1 - np.abs(deep - 20) / 8, 0, 1)
        share = np.clip((deep - 4) / 12, 0, 1)
        outside = picture.take(at) - 75 * np.clip(1 - np.abs(deep) / 9, 0, 1)
        picture.put(at, share * body + (1 - share) * outside)
        # Myelin: layers too fine to be quite resolved.
        at = np.flatnonzero(self.kind.take(cell) == SHEATH)
        layer = depth.take(at) / 26
        picture.put(at, 62 + 56 * np.abs(layer - np.floor(layer) - 0.5) + 3 * other.take(at))
        # The two membranes and the cleft between them; the section's thickness smears the tilted ones.
        width = 9 + 14 * tilt
        edge = np.maximum(0, 1 - (np.maximum(0, np.abs(depth - 5) - 2) / width) ** 2)
        picture += edge * (9 / width) * np.minimum(0, 64 - picture)
        out: NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
        return out

    def texture(self, noise: Floats, z: int, ny: int, nx: int, shift: int = 0) -> Floats:
        """One section of a periodic noise, (y, x)."""
        rows, columns = np.arange(ny) + 13 * shift, np.arange(nx) + 23 * shift
        out: Floats = noise[(z + shift) % _PERIOD].take(rows % self.side, 0).take(columns % self.side, 1)
        return out

    def draw_synapse(self, number: int) -> None:
        """Vesicles in a bouton and, where it touches a dendrite or a spine, the dark density across the cleft."""
        (centre, owner), rng = self.tissue.boutons[number], generator(self.seed, 2, number)
        low = np.clip(centre / VOXEL - (12, 42, 42), 0, self.shape).astype(np.intp)
        high = np.clip(centre / VOXEL + (13, 43, 43), 0, self.shape).astype(np.intp)
        box = tuple(map(slice, low, high))
        label, depth = self.labels[box], self.depth[box]
        pre = label == owner
        touch = np.flatnonzero(_dilated(pre, (1, 1, 1)) & (self.kind.take(label) == DENDRITE))
        paired = len(touch) > 60
        if not pre.any() or (not paired and rng.random() < 0.7):
            return
        picture = self.em[box].astype(F32)
        active = centre / VOXEL - low
        if paired:
            spots = np.stack(np.unravel_index(touch, label.shape), 1)
            active = spots[int(np.argmin((((spots - active) * VOXEL) ** 2).sum(axis=1)))]
        away = outer_sum([((np.arange(label.shape[k]) - active[k]) * VOXEL[k])[None] ** 2 for k in range(3)])[0]
        away = np.sqrt(away)
        if paired:
            post = label == label[tuple(active)]
            close = np.mean([_dilated(pre, (1, n, n)) for n in (2, 4, 6)], axis=0, dtype=F32) * post
            dark = np.clip((rng.uniform(24, 42) - depth.astype(F32)) / 12, 0, 1) * close
            dark += 0.5 * np.clip((18 - depth.astype(F32)) / 10, 0, 1) * pre
            dark *= np.clip((rng.uniform(0.14, 0.24) - away) / 0.05, 0, 1)
            picture += dark * (52 - picture)
        # Vesicles of 40 nm on a jittered lattice, crowded towards the active zone.
        lattice = np.meshgrid(*(np.arange(0.02, side, 0.046) for side in (high - low) * VOXEL), indexing="ij")
        spot = np.stack(lattice, -1).reshape(-1, 3)
        spot = (spot + rng.uniform(-0.014, 0.014, spot.shape)) / VOXEL
        z, y, x = np.clip(np.rint(spot).astype(np.intp), 0, np.array(label.shape) - 1).T
        crowd = rng.uniform(1.0, 1.5) - away[z, y, x] / rng.uniform(0.2, 0.4)
        spot = spot[pre[z, y, x] & (depth[z, y, x] > 30) & (rng.random(len(spot)) < crowd)]
        stamp = np.array(list(product((-1, 0, 1), range(-3, 4), range(-3, 4))))
        voxel = np.rint(spot).astype(np.intp)[:, None] + stamp
        r = 1000 * np.sqrt((((voxel - spot[:, None]) * VOXEL) ** 2).sum(axis=-1))
        ring = 64 * np.clip(1 - np.abs(r - 17) / 9, 0, 1) - 10 * np.clip(1 - r / 12, 0, 1)
        fits = ((voxel >= 0) & (voxel < label.shape)).all(axis=-1)
        np.subtract.at(picture, tuple(voxel[fits].T), ring[fits].astype(F32))
        self.em[box] = np.clip(picture, 30, 255)

    def expose(self, z: int) -> None:
        """The microscope: blur, slow brightness variation, shot noise with a little correlation."""
        ny, nx = self.shape[1:]
        rng = generator(self.seed, 3, z)
        picture = np.pad(self.em[z], 1, mode="edge").astype(F32)
        picture = 0.6 * picture[1:-1] + 0.2 * (picture[:-2] + picture[2:])
        picture = 0.6 * picture[:, 1:-1] + 0.2 * (picture[:, :-2] + picture[:, 2:])
        white = rng.standard_normal((ny + 2, nx + 2), dtype=F32)
        noise = white[:-2] + 2 * white[1:-1] + white[2:]
        noise = 0.9 * (noise[:, :-2] + 2 * noise[:, 1:-1] + noise[:, 2:]) + 4 * white[1:-1, 1:-1]
        noise *= np.sqrt(picture / 160)
        shine = self.shine[z].repeat(32, 0)[:ny].repeat(32, 1)[:, :nx] + 1.5 * rng.standard_normal(dtype=F32)
        self.em[z] = np.clip(np.rint(picture + noise + shine), 0, 255)
        self.labels[z] = self.ids.take(self.labels[z])


def _slope(f: Floats, axis: int) -> Floats:
    """The steeper of the forward and backward differences: at a membrane one of them straddles the kink."""
    out = np.zeros_like(f)
    step = np.abs(np.diff(f, axis=axis))
    view = np.moveaxis(out, axis, 0)
    view[:-1] = np.moveaxis(step, axis, 0)
    np.maximum(view[1:], np.moveaxis(step, axis, 0), out=view[1:])
    return out


def _dilated(mask: NDArray[np.bool_], reach: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The mask grown by a box, `reach` voxels each way."""
    for axis, n in enumerate(reach):
        out = mask.copy()
        view, source = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
        for k in range(1, n + 1):
            view[k:] |= source[:-k]
            view[:-k] |= source[k:]
        mask = out
    return mask


def _cross(a: Vector, b: Vector) -> Vector:
    """Unit vectors (n, 3) at right angles to both."""
    return unit(np.roll(a, -1, 1) * np.roll(b, 1, 1) - np.roll(a, 1, 1) * np.roll(b, -1, 1))


def _dots(rng: np.random.Generator, size: int, count: int) -> Floats:
    """A periodic picture (size, size) of `count` soft dots, four pixels wide."""
    out = np.zeros((size, size), F32)
    y, x = rng.integers(0, size, (2, count))
    for dy, dx in product(range(-2, 3), repeat=2):
        np.maximum.at(out, ((y + dy) % size, (x + dx) % size), F32(max(0, 1 - (dy * dy + dx * dx) / 5)))
    return out
