from __future__ import annotations

import numpy as np
import pytest

from zarrlink_local.downsampling import downsample_mean, downsample_mode


def cells_of(volume, factors):
    """Every cell of the output, with its voxels, the slow way."""
    shape = [-(-n // f) for n, f in zip(volume.shape, factors, strict=True)]
    for at in np.ndindex(*shape):
        yield at, volume[tuple(slice(k * f, (k + 1) * f) for k, f in zip(at, factors, strict=True))]


CASES = [
    ((7, 9, 5), (2, 2, 2)),
    ((8, 6, 4), (2, 2, 2)),
    ((5, 7, 11), (1, 2, 2)),
    ((5, 4, 10), (3, 1, 4)),
    ((1, 1, 1), (2, 2, 2)),
    ((2, 3, 4), (1, 1, 1)),
    ((3, 2, 1), (5, 5, 5)),
]


@pytest.mark.parametrize(("shape", "factors"), CASES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.int16])
def test_downsample_mean_is_the_rounded_mean(shape, factors, dtype):
    info = np.iinfo(dtype)
    volume = np.random.default_rng(0).integers(info.min, info.max, shape, dtype, endpoint=True)
    out = downsample_mean(volume, factors)
    assert out.dtype == dtype
    assert out.shape == tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    for at, cell in cells_of(volume, factors):
        total = sum(cell.ravel().tolist())
        assert out[at] == (2 * total + cell.size) // (2 * cell.size)


def test_downsample_mean_of_floats():
    volume = np.random.default_rng(0).random((5, 6, 7), np.float32)
    out = downsample_mean(volume, (2, 2, 2))
    assert out.dtype == np.float32
    for at, cell in cells_of(volume, (2, 2, 2)):
        assert out[at] == pytest.approx(cell.mean())


def test_downsample_mean_refuses_what_could_overflow():
    with pytest.raises(TypeError):
        downsample_mean(np.zeros((2, 2, 2), np.uint64), (2, 2, 2))


@pytest.mark.parametrize(("shape", "factors"), CASES)
@pytest.mark.parametrize("labels", [[0, 1], [3, 7, 2**32 - 1], list(range(20))])
def test_downsample_mode_is_the_most_frequent_label_the_smallest_of_several(shape, factors, labels):
    volume = np.random.default_rng(0).choice(np.array(labels, np.uint32), shape)
    out = downsample_mode(volume, factors)
    assert out.dtype == np.uint32
    assert out.shape == tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    for at, cell in cells_of(volume, factors):
        values, counts = np.unique(cell, return_counts=True)
        assert out[at] == values[np.argmax(counts)]
