"""Layers as OME-Zarr 0.4 and 0.5, as people write them with zarr and ome-zarr-py and their defaults: `python write_static.py FOLDER`.

`FOLDER/LAYER/0.npy`, `1.npy`, ... become `FOLDER/LAYER/v2.zarr` and `v3.zarr`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_multiscales_metadata

# As in the dataset: nanometres across z, y, x at mag 1, and the mags.
VOXEL_SIZE = (25.0, 8.0, 8.0)
MAGS = ((1, 1, 1), (1, 2, 2), (2, 4, 4))


def write(folder: Path) -> None:
    levels = [np.load(folder / f"{number}.npy") for number in range(len(MAGS))]
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    channels = levels[0].ndim - 3
    axes = [{"name": "c", "type": "channel"}] * channels + axes
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0] * channels + [a * b for a, b in zip(VOXEL_SIZE, mag, strict=True)]}
            ],
        }
        for number, mag in enumerate(MAGS)
    ]
    for version, form, zarr_format in (("v2", FormatV04(), 2), ("v3", FormatV05(), 3)):
        group = zarr.open_group(folder / f"{version}.zarr", mode="w", zarr_format=zarr_format)
        names = None if zarr_format == 2 else [axis["name"] for axis in axes]
        for number, level in enumerate(levels):
            # OME-Zarr asks for this separator, and for names of the axes in v3.
            keys = {"name": "v2", "separator": "/"} if zarr_format == 2 else None
            group.create_array(str(number), data=level, chunk_key_encoding=keys, dimension_names=names)
        write_multiscales_metadata(group, datasets, fmt=form, axes=axes)


if __name__ == "__main__":
    for found in sorted(Path(sys.argv[1]).iterdir()):
        write(found)
