"""The clients of the table, by the names that it has them under: `python names.py NAME` ends with 2 where no client is called so."""

from __future__ import annotations

import sys
from collections.abc import Sequence

PYTHON_CLIENTS = (
    "zarr-python (fsspec)",
    "zarr-python (obstore)",
    "tensorstore",
    "tensorstore (auto)",
    "dask",
    "xarray (fsspec)",
    "xarray (obstore)",
    "ome-zarr-py",
    "napari-ome-zarr",
    "ngff-zarr (validate)",
    "ome-zarr-models",
    "cloud-volume",
    "GDAL (rasterio)",
)
# The oldest Python that we run on, whose newest zarr-python is another.
OLDEST_CLIENTS = ("zarr-python (fsspec)", "zarr-python (obstore)")
WEBKNOSSOS = "webknossos"
NEUROGLANCER = "Neuroglancer (Chromium)"
VIZARR = "vizarr (Chromium)"
ITK_VTK = "itk-vtk-viewer (Chromium)"
# What they read beside links.
STATIC = "A Zarr folder behind nginx"
JAVASCRIPT_CLIENTS = ("zarrita", "ome-zarr.js", "Viv's loader")
NAMES = (*PYTHON_CLIENTS, WEBKNOSSOS, NEUROGLANCER, VIZARR, ITK_VTK, *JAVASCRIPT_CLIENTS)


def named(part: str, names: Sequence[str]) -> list[str]:
    """Those that `part` names, whatever its case: all for ""."""
    return [name for name in names if part.casefold() in name.casefold()]


def main() -> None:
    part = sys.argv[1]
    if not named(part, NAMES):
        sys.stderr.write(f"no client has “{part}” in its name; there are: {', '.join(NAMES)}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
