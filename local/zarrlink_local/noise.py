"""Smooth random fields on lattices, evaluated with cubic B-splines.

Only elementwise arithmetic is used, without BLAS or transcendental functions, so that the same seed gives the same
bits whatever the processor, the number of its cores and the version of Python.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = np.float32
Floats = NDArray[np.floating[Any]]


def generator(*seed: int) -> np.random.Generator:
    """An independent random stream for every tuple of non-negative integers."""
    return np.random.Generator(np.random.PCG64(list(seed)))


def spline(lattice: Floats, count: int, step: float, axis: int) -> Floats:
    """`count` float32 samples of a cubic B-spline along `axis`, `step` of them from one node of `lattice` to the next.

    Sample 0 is at node 1: each sample needs one node before it and two after it, int((count - 1) / step) + 4 in all.
    """
    base, weights = _taps(count, step)
    shape = [1] * lattice.ndim
    shape[axis] = -1
    out = lattice.take(base, axis) * weights[0].reshape(shape)
    for k in (1, 2, 3):
        part = lattice.take(base + k, axis)
        part *= weights[k].reshape(shape)
        out += part
    return out


@lru_cache(256)
def _taps(count: int, step: float) -> tuple[NDArray[np.intp], tuple[Floats, ...]]:
    position = np.arange(count, dtype=F32) / F32(step)
    base = position.astype(np.intp)
    t = position - base.astype(F32)
    s = 1 - t
    weights = (s * s * s, 4 - 3 * t * t * (1 + s), 4 - 3 * s * s * (1 + t), t * t * t)
    return base, tuple((w / 6).astype(F32) for w in weights)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], wavelength: tuple[float, ...], *, periodic: bool = False
) -> Floats:
    """Smooth float32 noise of mean 0 and variance about 1; `wavelength` is the lattice spacing per axis, in samples.

    `periodic` noise wraps around, for which every wavelength must divide its axis.
    """
    sizes = list(zip(shape, wavelength, strict=True))
    nodes = [round(n / w) if periodic else int((n - 1) / w) + 4 for n, w in sizes]
    field: Floats = rng.standard_normal(nodes, dtype=F32)
    if periodic:
        field = np.pad(field, [(0, 3)] * len(shape), mode="wrap")
    # The last axis comes first, while the array is small: it is the slowest.
    for axis, (n, w) in reversed(list(enumerate(sizes))):
        field = spline(field, n, w, axis)
    # A cubic B-spline keeps 151/315 of the variance of independent nodes per axis, on average over the positions.
    return field * F32((315 / 151) ** (len(shape) / 2))
