"""Failures that were looked into and are not ours: why, what to do instead, and in which cells of the table they are known.

In any other cell the same words are a failure that nobody has looked into: it may be our fault. What is said of the static
folder excuses no link: there, a client that reads on after the revocation is our fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from clients.matrix import Outcome

EVERY: Final = "*"
"""In place of layers: whatever there is of it."""


@dataclass(frozen=True)
class Reason:
    """`client`, `words`: patterns of what it is said of. `links`, `folder`: the cells that it is known of, on links and on the
    static folder, each a version and its layers: `v3 rgb ids`, or `v3 *` for every layer."""

    client: str
    words: str
    why: str
    instead: str = ""
    links: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()

    def is_of(self, outcome: Outcome, *, static: bool) -> bool:
        """Whether its cell is one of these, whatever came of it."""
        return bool(re.match(self.client, outcome.client)) and any(
            version == outcome.version and (outcome.layer in layers or EVERY in layers)
            for version, *layers in map(str.split, self.folder if static else self.links)
        )


_ONE_CHANNEL: Final = "em segmentation ids Volume"
# Of nginx, which gives 404 for what was taken away.
_ABSENT: Final = "fill value in place of voxels"
_WHY_ABSENT: Final = "nginx answers 404 where nothing lies, which in Zarr means fill value."
_NOT_ABSENT: Final = "What is taken away must be answered by another status, as links are by 410."
_CONSOLIDATED: Final = "Who writes the folder calls `zarr.consolidate_metadata`."
REASONS: Final = (
    Reason(
        "cloud-volume",
        "sharded volumes are not currently supported",
        "cloud-volume reads no sharded Zarr v3 arrays.",
        "Its users take the v2 address.",
        links=(f"v3 {_ONE_CHANNEL}",),
    ),
    Reason(
        "cloud-volume",
        "could not be broadcast",
        "cloud-volume reads no channels in v3.",
        "Its users take the v2 address.",
        links=("v3 rgb",),
        folder=("v3 rgb",),
    ),
    Reason(
        "GDAL",
        "sharding_indexed",
        "This GDAL knows no sharded Zarr v3 arrays.",
        "Its users take the v2 address.",
        links=("v3 *",),
    ),
    Reason(
        "napari-ome-zarr",
        "has no attribute 'root'",
        "Its reader looks for the image of a label layer on the local disk, and fails on any address "
        "([0010](decisions/0010-image-label-in-v3-only.md)).",
        "Labels are opened by the v2 address.",
        links=("v3 segmentation ids Volume",),
    ),
    Reason(
        "Viv",
        "Order length must match the number of dimensions",
        "zarrita 0.5, which it brings, cannot turn the axes of an array within a shard; zarrita 0.7 reads it.",
        "Colours are opened by the v2 address.",
        links=("v3 rgb",),
    ),
    Reason(
        r"ome-zarr\.js|Viv",
        "Cannot convert 0 to a BigInt",
        "zarrita 0.5, which it brings, fails at a chunk of 64-bit numbers that was never written; zarrita 0.7 reads it.",
        "Such labels are opened by the v3 address.",
        links=("v2 ids",),
        folder=("v2 ids",),
    ),
    Reason(
        "vizarr",
        "plane .* pixels",
        "The zarrita of 2024 that it brings turns the axes of an array within a shard wrongly, without an error; zarrita 0.7 does not.",
        "Colours are opened by the v2 address.",
        links=("v3 rgb",),
    ),
    Reason(
        "vizarr",
        "Unsupported viv dtype: U?[Ii]nt64",
        "It draws no numbers of 64 bits.",
        "Such labels are drawn by Neuroglancer.",
        links=("v2 ids", "v3 ids"),
        folder=("v2 ids", "v3 ids"),
    ),
    Reason(
        "itk-vtk-viewer",
        "status code 404",
        "It knows Zarr v2 only.",
        "Its users take the v2 address.",
        links=("v3 *",),
        folder=("v3 *",),
    ),
    Reason(
        "itk-vtk-viewer",
        "status code 404",
        "It takes a chunk that was never written for an error.",
        "A layer with such chunks is drawn by Neuroglancer.",
        links=("v2 ids",),
        folder=("v2 ids",),
    ),
    Reason(
        "itk-vtk-viewer",
        "is not a constructor",
        "It draws no numbers of 64 bits.",
        "Such labels are drawn by Neuroglancer.",
        # Whichever it meets first.
        links=("v2 ids",),
        folder=("v2 ids",),
    ),
    Reason(
        "zarr-python|tensorstore|dask|ome-zarr-py|napari-ome-zarr|ngff-zarr|ome-zarr-models|zarrita",
        _ABSENT,
        _WHY_ABSENT,
        _NOT_ABSENT,
        folder=("v2 *", "v3 *"),
    ),
    Reason(
        r"ome-zarr\.js|Viv",
        _ABSENT,
        _WHY_ABSENT,
        _NOT_ABSENT,
        # Of v2's ids they say an error after all: the one above, about BigInt.
        folder=("v2 em rgb segmentation Volume", "v3 *"),
    ),
    Reason(
        r"xarray \(fsspec\)",
        "403.*Forbidden",
        "Without consolidated metadata xarray asks for a listing of the group, which nginx refuses; links have such metadata.",
        _CONSOLIDATED,
        folder=("v2 *", "v3 *"),
    ),
    Reason(
        r"xarray \(obstore\)",
        "PROPFIND",
        "Without consolidated metadata xarray asks for a listing of the group by WebDAV, which nginx lacks; links have such metadata.",
        _CONSOLIDATED,
        folder=("v2 *", "v3 *"),
    ),
    Reason(
        "cloud-volume",
        "cannot reshape array",
        "cloud-volume takes the chunks of a finer level for those of a coarser one, and one channel for each chunk; zarr chooses "
        "chunks for each level.",
        "Who writes the folder gives all levels chunks of one shape, with all channels or one.",
        folder=("v2 *", f"v3 {_ONE_CHANNEL}"),
    ),
    Reason(
        "Neuroglancer",
        "corresponding chunk dimension has extent|channel",
        "It draws colours only where all channels lie in one chunk; zarr cuts between them.",
        "Who writes the folder gives chunks all channels.",
        folder=("v2 rgb", "v3 rgb"),
    ),
    Reason(
        "webknossos",
        "datasource-properties.json",
        "The library reads datasets of a WEBKNOSSOS server, or folders with such a description.",
        "Any other client of the table reads the folder.",
        folder=("v3 *",),
    ),
)


def reason_of(outcome: Outcome, *, static: bool = False) -> Reason | None:
    """What is known of a failure on a link (`static`: on a static folder), None where nobody has looked into it."""
    known = (reason for reason in REASONS if reason.is_of(outcome, static=static))
    return next((reason for reason in known if re.search(reason.words, outcome.words)), None)


def is_excused(outcome: Outcome, *, static: bool = False) -> bool:
    """Whether its cell is known to fail, whatever came of it."""
    return any(reason.is_of(outcome, static=static) for reason in REASONS)
