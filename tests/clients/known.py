"""Failures that were looked into and are not ours: why, and what to do instead."""

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
        "Neuroglancer",
        "v.",
        "corresponding chunk dimension has extent",
        "It draws colours only where all channels lie in one chunk.",
    ),
    Reason(
        "webknossos",
        "v.",
        "datasource-properties.json",
        "The library reads datasets of a WEBKNOSSOS server, or folders with such a description.",
    ),
)


def reason_of(outcome: Outcome) -> Reason | None:
    """What is known of a failure, None where nobody has looked into it."""
    for reason in REASONS:
        if (
            re.match(reason.client, outcome.client)
            and re.fullmatch(reason.version, outcome.version)
            and re.search(reason.words, outcome.words)
        ):
            return reason
    return None
