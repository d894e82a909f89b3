"""One contestant of the TIFF benchmark, in a process of its own: prints what it took, as JSON."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from zarrlink.arrays.volume import Volume
from zarrlink.exports.encoder import encoder_version
from zarrlink.exports.part_files import FileParts
from zarrlink.exports.part_sink import PartReceipt
from zarrlink.exports.pixels import halve
from zarrlink.exports.places import Places
from zarrlink.exports.plan import make_plan
from zarrlink.exports.request import ExportRequest, ExportSource, ExportSpec, Limits
from zarrlink.exports.results import UnitResult
from zarrlink.exports.scratch import ScratchFolder
from zarrlink.exports.steps import finish, run_unit
from zarrlink.exports.tiff_front import TiffFront, find_tiles
from zarrlink.exports.walk import batches
from zarrlink.formats.datasource import FILE_NAME, LayerDescription, parse_description
from zarrlink.geometry import BoundingBox, Mag, VoxelSize
from zarrlink.jump_tables import JumpTables
from zarrlink.opening.volumes import wkw_volumes
from zarrlink.storage.files import LocalFiles

MAG1 = Mag(1, 1, 1)
LEVELS = 3
_SLICES = 32


def described(folder: Path) -> LayerDescription:
    return parse_description((folder / FILE_NAME).read_bytes()).layers[0]


async def opened(folder: Path) -> Volume:
    source = LocalFiles(folder)
    found = await wkw_volumes(source, described(folder), JumpTables(), lambda _: source)
    return found.volumes[MAG1]


def spec_of(box: BoundingBox, chunk: int = 32) -> ExportSpec:
    source = ExportSource(
        dataset="bench", layer="em", box=box, mags=(MAG1,), dtype="uint8", channels=1,
        voxel_size=VoxelSize((8.0, 8.0, 25.0)), revision="1", revised_at="2026-01-01T00:00:00Z",
        chunk=(chunk, chunk, chunk),
    )  # fmt: skip
    request = ExportRequest("ome_tiff", box, MAG1, levels=LEVELS)
    return ExportSpec(request, source, encoder_version("deflate"), Limits(least_part=0), 0.7)


def unit(folder: str, target: str, upload: str, number: int) -> float:
    """In a process of the pool; gives its peak memory, in MiB."""
    places = _places(Path(target), upload)
    plan = make_plan(spec_of(described(Path(folder)).box))

    async def run() -> None:
        await run_unit(plan, number, await opened(Path(folder)), places)

    asyncio.run(run())
    return peak_mib()


def peak_mib() -> float:
    """Of this process. Not `getrusage`, which tells of the process that started it as well."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


def ours(folder: Path, target: Path, pool: ProcessPoolExecutor | None) -> float:
    plan = make_plan(spec_of(described(folder).box))
    upload = FileParts(target).begin()
    jobs = [(str(folder), str(target), upload, number) for number in range(plan.units)]
    run = map if pool is None else pool.map
    peak = max(run(unit, *zip(*jobs, strict=True)))
    places = _places(target, upload)
    finish(plan, places)
    places.scratch.clear()
    return peak


def sequential(folder: Path, target: Path, _pool: ProcessPoolExecutor | None) -> float:
    """tifffile's own way: tiles from a generator, the levels below from memory."""
    import tifffile

    box = described(folder).box
    width, height, depth = box.size
    x, y, z = box.top_left
    volume, below = asyncio.run(opened(folder)), []

    def tiles(planes: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for plane in planes:
            for top in range(0, plane.shape[0], 512):
                for left in range(0, plane.shape[1], 512):
                    yield np.ascontiguousarray(plane[top : top + 512, left : left + 512])

    def finest() -> Iterator[np.ndarray]:
        for start in range(0, depth, _SLICES):
            end = min(start + _SLICES, depth)
            slab = asyncio.run(volume.read((x, y, z + start), (x + width, y + height, z + end)))
            below.append(halve(slab[..., None], mean=True)[0, ..., 0])
            yield from slab[0]

    options = {"tile": (512, 512), "compression": "zlib", "predictor": True, "maxworkers": 1}
    with tifffile.TiffWriter(target, bigtiff=True, ome=True) as file:
        shape = (depth, height, width)
        file.write(tiles(finest()), shape=shape, dtype=np.uint8, subifds=LEVELS - 1, **options)
        level = np.concatenate(below)
        for number in range(1, LEVELS):
            file.write(tiles(iter(level)), shape=level.shape, dtype=np.uint8, subfiletype=1, **options)
            if number + 1 < LEVELS:
                level = halve(level[None, ..., None], mean=True)[0, ..., 0]
    return peak_mib()


def terabyte(_folder: Path, target: Path, _pool: ProcessPoolExecutor | None) -> float:
    """The last step of 16384 x 16384 x 4096 voxels, whose tiles' sizes are made up."""
    plan = make_plan(spec_of(BoundingBox((0, 0, 0), (16384, 16384, 4096))))
    results = []
    for number in range(plan.units):
        count = sum(
            (one.planes[1] - one.planes[0]) * (one.tiles_y[1] - one.tiles_y[0]) * (one.tiles_x[1] - one.tiles_x[0])
            for one in batches(plan, plan.unit(number))
        )
        sizes = np.full(count, 180_000, np.uint32)
        results.append(UnitResult(number, PartReceipt(number + 2, int(sizes.sum()), 0, ""), sizes))
    begun = time.process_time()
    tiles = find_tiles(plan, results)
    front = TiffFront(plan, sum(result.receipt.part_bytes for result in results), 5 * 2**20)
    with target.open("wb") as file:
        for piece in front.pieces(tiles):
            file.write(piece)
    facts = {"units": plan.units, "front_mb": front.length / 1e6, "assembly_s": time.process_time() - begun}
    target.with_suffix(".json").write_text(json.dumps(facts))
    return peak_mib()


def _places(target: Path, upload: str) -> Places:
    return Places(FileParts(target), upload, ScratchFolder(target.with_name(target.name + ".scratch")), target.parent)


CONTESTANTS: dict[str, Callable[[Path, Path, ProcessPoolExecutor | None], float]] = {
    "ours": ours,
    "tifffile": sequential,
    "terabyte": terabyte,
}


def main(name: str, folder: str, target: str, workers: int) -> None:
    started = _started_pool(workers) if workers > 1 else nullcontext()
    with started as pool:
        begun = time.perf_counter()
        peak = CONTESTANTS[name](Path(folder), Path(target), pool)
        wall_s = time.perf_counter() - begun
    # Children are counted once they have ended; so all start-up is in it.
    print(json.dumps({"wall_s": wall_s, "cpu_s": _cpu(), "rss_mib": max(peak, peak_mib())}))


@contextmanager
def _started_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes all run, as those of a server do."""
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=context.Barrier(workers).wait) as pool:
        list(pool.map(abs, range(workers)))
        yield pool


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
