"""Smooth random fields on lattices, evaluated with cubic B-splines.

Only elementwise float32 arithmetic is used, without BLAS or transcendental functions, so that the same seed gives
the same bits whatever the processor, the number of its cores and the version of Python.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

F32 = np.float32
Floats = NDArray[np.float32]


def generator(*seed: int) -> np.random.Generator:
    """An independent random stream for every tuple of non-negative integers."""
    return np.random.Generator(np.random.PCG64(list(seed)))


@cache
def _taps(count: int, step: float) -> tuple[NDArray[np.intp], tuple[Floats, ...]]:
    position = np.arange(count, dtype=F32) / F32(step)
    base = position.astype(np.intp)
    t = position - base.astype(F32)
    s = F32(1) - t
    weights = (s * s * s, F32(4) - 3 * t * t * (F32(1) + s), F32(4) - 3 * s * s * (F32(1) + t), t * t * t)
    return base, tuple((w / F32(6)).astype(F32) for w in weights)


def spline(lattice: Floats, count: int, step: float, axis: int) -> Floats:
    """``count`` samples of a cubic B-spline along ``axis``, ``step`` of them from one node of the lattice to the next.

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


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], wavelength: tuple[float, ...], periodic: bool = False
) -> Floats:
    """Smooth noise of mean 0 and variance about 1; ``wavelength`` is the lattice spacing per axis, in samples.

    ``periodic`` noise wraps around, for which every wavelength must divide its axis.
    """
    sizes = list(zip(shape, wavelength, strict=True))
    field = rng.standard_normal([round(n / w) if periodic else int((n - 1) / w) + 4 for n, w in sizes], dtype=F32)
    if periodic:
        field = np.pad(field, [(0, 3)] * len(shape), mode="wrap")
    # The axis in which the samples are contiguous comes first, while the array is small, being the slowest.
    for axis, (n, w) in reversed(list(enumerate(sizes))):
        field = spline(field, n, w, axis)
    # A cubic B-spline keeps 151/315 of the variance of independent nodes per axis, on average over the positions.
    return field * F32((315 / 151) ** (len(shape) / 2))
