"""Coarser mags of a volume: means of images, modes of segmentations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zarrlink_local.tissue import Box

T = TypeVar("T", bound=np.generic)


def downsample_mean(volume: NDArray[T], factors_zyx: tuple[int, int, int]) -> NDArray[T]:
    """The mean of every cell of `factors_zyx` voxels of a (z, y, x) volume; halves are rounded up in integers.

    The shape of the result is ceil(size / factor); a cell cut by the end of the volume has the mean of what is there.
    Raises TypeError for 64-bit integers, whose sums could overflow.
    """
    whole = np.issubdtype(volume.dtype, np.integer)
    if whole and volume.dtype.itemsize > 4:
        raise TypeError("the mean of 64-bit integers is not supported")
    out = np.empty([-(-n // f) for n, f in zip(volume.shape, factors_zyx, strict=True)], volume.dtype)
    for box, members in _cells(volume, factors_zyx):
        total: NDArray[Any] = np.zeros(members[0].shape, np.int64 if whole else np.float64)
        for member in members:
            total += member
        n = len(members)
        out[box] = (2 * total + n) // (2 * n) if whole else total / n
    return out


def downsample_mode(volume: NDArray[T], factors_zyx: tuple[int, int, int]) -> NDArray[T]:
    """The most frequent value of every cell of `factors_zyx` voxels of a (z, y, x) volume, the smallest if several.

    The shape of the result is ceil(size / factor); a cell cut by the end of the volume counts what is there.
    """
    out = np.empty([-(-n // f) for n, f in zip(volume.shape, factors_zyx, strict=True)], volume.dtype)
    for box, members in _cells(volume, factors_zyx):
        mixed = np.zeros(members[0].shape, np.bool_)
        for member in members[1:]:
            mixed |= member != members[0]
        mode = members[0].copy()
        # Most cells lie inside one object. In the others the longest run of equal values, sorted, is looked for.
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
    """Parts of the output, each with its members: the first voxel of every cell, the second voxel, and so on.

    The cells of a part are of one size: the last along an axis may be cut, and are a part of their own.
    """
    parts = []
    for n, f in zip(volume.shape, factors, strict=True):
        full, rest = divmod(n, f)
        parts.append([(slice(0, full), 0, f)] * (full > 0) + [(slice(full, full + 1), full * f, rest)] * (rest > 0))
    for part in product(*parts):
        ends = [first + size * (box.stop - box.start) for box, first, size in part]
        members = [
            volume[tuple(slice(first + k, end, size) for (_, first, size), end, k in zip(part, ends, at, strict=True))]
            for at in product(*(range(size) for _, _, size in part))
        ]
        yield tuple(box for box, _, _ in part), members
