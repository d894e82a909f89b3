"""Failures that were looked into and are not ours: why, and what to do instead.

What is said of a static folder only must not excuse a link: there, a client that reads on after the revocation is our fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from clients.matrix import Outcome


@dataclass(frozen=True)
class Reason:
    """`client`, `version`, `words`: patterns of what it is said of."""

    client: str
    version: str
    words: str
    why: str
    instead: str = ""


REASONS: Final = (
    Reason(
        "cloud-volume",
        "v3",
        "sharded volumes are not currently supported|could not be broadcast",
        "cloud-volume reads no sharded Zarr v3 arrays, and no channels in v3.",
        "Its users take the v2 address.",
    ),
    Reason(
        "GDAL",
        "v3",
        "sharding_indexed",
        "This GDAL knows no sharded Zarr v3 arrays.",
        "Its users take the v2 address.",
    ),
    Reason(
        "napari-ome-zarr",
        "v3",
        "has no attribute 'root'",
        "Its reader looks for the image of a label layer on the local disk, and fails on any address "
        "([0010](decisions/0010-image-label-in-v3-only.md)).",
        "Labels are opened by the v2 address.",
    ),
    Reason(
        r"ome-zarr\.js|Viv",
        "v3",
        "Order length must match the number of dimensions",
        "zarrita 0.5, which it brings, cannot turn the axes of an array within a shard; zarrita 0.7 reads it.",
        "Colours are opened by the v2 address.",
    ),
    Reason(
        r"ome-zarr\.js|Viv",
        "v2",
        "Cannot convert 0 to a BigInt",
        "zarrita 0.5, which it brings, fails at a chunk of 64-bit numbers that was never written; zarrita 0.7 reads it.",
        "Such labels are opened by the v3 address.",
    ),
    Reason(
        "vizarr",
        "v3",
        "plane .* pixels",
        "The zarrita of 2024 that it brings turns the axes of an array within a shard wrongly, without an error; zarrita 0.7 does not.",
        "Colours are opened by the v2 address.",
    ),
    Reason(
        "vizarr",
        "v.",
        "Unsupported viv dtype: U?[Ii]nt64",
        "It draws no numbers of 64 bits.",
        "Such labels are drawn by Neuroglancer.",
    ),
    Reason(
        "itk-vtk-viewer",
        "v3",
        "status code 404",
        "It knows Zarr v2 only.",
        "Its users take the v2 address.",
    ),
    Reason(
        "itk-vtk-viewer",
        "v2",
        "status code 404",
        "It takes a chunk that was never written for an error.",
        "A layer with such chunks is drawn by Neuroglancer.",
    ),
    Reason(
        "itk-vtk-viewer",
        "v2",
        "is not a constructor",
        "It draws no numbers of 64 bits.",
        "Such labels are drawn by Neuroglancer.",
    ),
)
STATIC_REASONS: Final = (
    *REASONS,
    Reason(
        ".*",
        "v.",
        "fill value in place of voxels|nothing is drawn, and no error|opened anew: no error",
        "nginx answers 404 where nothing lies, which in Zarr means fill value.",
        "What is taken away must be answered by another status, as links are by 410.",
    ),
    Reason(
        r"xarray \(fsspec\)",
        "v.",
        "403.*Forbidden",
        "Without consolidated metadata xarray asks for a listing of the group, which nginx refuses; links have such metadata.",
        "Who writes the folder calls `zarr.consolidate_metadata`.",
    ),
    Reason(
        r"xarray \(obstore\)",
        "v.",
        "PROPFIND",
        "Without consolidated metadata xarray asks for a listing of the group by WebDAV, which nginx lacks; links have such metadata.",
        "Who writes the folder calls `zarr.consolidate_metadata`.",
    ),
    Reason(
        "cloud-volume",
        "v.",
        "cannot reshape array",
        "cloud-volume takes the chunks of a finer level for those of a coarser one, and one channel for each chunk; zarr chooses "
        "chunks for each level.",
        "Who writes the folder gives all levels chunks of one shape, with all channels or one.",
    ),
    Reason(
        "Neuroglancer",
        "v.",
        "corresponding chunk dimension has extent|channel",
        "It draws colours only where all channels lie in one chunk; zarr cuts between them.",
        "Who writes the folder gives chunks all channels.",
    ),
    Reason(
        "webknossos",
        "v.",
        "datasource-properties.json",
        "The library reads datasets of a WEBKNOSSOS server, or folders with such a description.",
        "Any other client of the table reads the folder.",
    ),
)


def reason_of(outcome: Outcome, *, static: bool = False) -> Reason | None:
    """What is known of a failure on a link (`static`: on a static folder), None where nobody has looked into it."""
    for reason in STATIC_REASONS if static else REASONS:
        if (
            re.match(reason.client, outcome.client)
            and re.fullmatch(reason.version, outcome.version)
            and re.search(reason.words, outcome.words)
        ):
            return reason
    return None
