"""Makes one unit of a gibibyte in a process of its own, and prints how much memory that took at most, in MiB."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray

from builders.export_runs import make_spec, places_for
from zarrlink.exports.plan import make_plan
from zarrlink.exports.request import Limits
from zarrlink.exports.steps import run_unit
from zarrlink.geometry import BoundingBox, Vec3

# Quickly encoded: how well it compresses changes nothing in memory.
NOISE = np.random.default_rng(0).integers(0, 2, 2**20, np.uint8)


class Made:
    """Voxels without a store: what is measured is the export."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    async def read(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> NDArray[Any]:
        shape = (1, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True)))
        out = np.empty(shape, self._dtype)
        for plane in out[0]:
            plane[...] = NOISE[: shape[3]]
        return out


def main(kind: str, dtype: str) -> None:
    limits = Limits(aimed_unit=2**30, smallest_unit=2**30)
    box = BoundingBox((0, 0, 0), (16384, 16384, 64))
    plan = make_plan(make_spec(box, dtype, kind=kind, limits=limits, chunk=(32, 32, 32)))
    with TemporaryDirectory() as folder:
        places = places_for(Path(folder) / "a", Path(folder) / "scratch")
        asyncio.run(run_unit(plan, 0, Made(dtype), places))
    # Not getrusage's, which begins with that of the process that started this one.
    peak = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert peak is not None
    print(int(peak[1]) // 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
