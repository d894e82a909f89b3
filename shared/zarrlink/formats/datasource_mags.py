"""Where the mags of a layer lie and how their arrays are turned: the part of a description that speaks of storage.

Source: webknossos-libs, docs/src/webknossos-py/spec/datasource_properties.md: `mags`, `axisOrder`, `channelIndex`,
`additionalAxes`.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any, Final

from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.json_values import is_text, is_whole, short_text
from zarrlink.geometry import MAX_COORDINATE, Mag

MAX_MAGS: Final = 64
MAX_EXTRA_AXES: Final = 8
MAX_MAPPINGS: Final = 1000
# As many as tensorstore has.
MAX_AXES: Final = 32
SCHEMES: Final = ("s3", "gs", "https", "http", "file")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://.+", re.ASCII)


@dataclass(frozen=True, slots=True)
class AxisOrder:
    """Which axis of the stored array is which. `c` None: no axis of channels; `z` None: a single plane."""

    c: int | None
    x: int
    y: int
    z: int | None

    @property
    def positions(self) -> tuple[int, ...]:
        """Those that are there, as (c, x, y, z)."""
        return tuple(position for position in (self.c, self.x, self.y, self.z) if position is not None)


@dataclass(frozen=True, slots=True)
class ExtraAxis:
    """An axis besides c, x, y, z, such as t: coordinates [start, end) are indices of array axis `index`."""

    name: str
    start: int
    end: int
    index: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class MagDescription:
    """A mag and where it lies: `folders`, relative to the dataset ("." for its own), tried in this order.

    `address`: an absolute folder or URL outside the dataset; then `folders` is empty, and whether it may be read is
    for `sources/permission.py` to say. `axis_order` None: the last axes are c, x, y, z (WKW: always None).
    `channel_index`: the one channel of the array that the layer is, None for all of them.
    """

    mag: Mag
    folders: tuple[str, ...]
    address: str | None = None
    axis_order: AxisOrder | None = None
    channel_index: int | None = None


def parse_mags(entry: dict[str, Any], name: str) -> tuple[MagDescription, ...]:
    """The mags of a layer, finest first. Both lists may be there; `mags` counts. Raises InvalidRequest."""
    items = entry.get("mags")
    if not isinstance(items, list):
        items = entry.get("wkwResolutions")
    if not isinstance(items, list) or len(items) > MAX_MAGS:
        raise InvalidRequest(f"it needs a list of at most {MAX_MAGS} mags")
    described: dict[Mag, MagDescription] = {}
    for item in items:
        literal = item.get("mag", item.get("resolution")) if isinstance(item, dict) else None
        sides = [literal] * 3 if is_whole(literal) else literal
        if not isinstance(sides, list) or len(sides) != 3 or not all(is_whole(side) for side in sides):
            raise InvalidRequest(f"a mag of it is {brief(literal)}, not a whole number or three")
        mag = Mag(*sides)
        if mag in described:
            raise InvalidRequest(f"mag {mag.literal} is listed twice")
        described[mag] = _mag(item, name, mag)
    return tuple(described[mag] for mag in sorted(described, key=lambda mag: (mag.x * mag.y * mag.z, mag)))


def _mag(item: dict[str, Any], name: str, mag: Mag) -> MagDescription:
    path, channel = item.get("path"), item.get("channelIndex")
    if channel is not None and not (is_whole(channel) and 0 <= channel < MAX_COORDINATE):
        raise InvalidRequest(f"the channelIndex of mag {mag.literal} is {brief(channel)}, not a whole number")
    order = _axis_order(item.get("axisOrder"), mag)
    if path is None:
        folders = tuple(dict.fromkeys((f"{name}/{mag.literal}", f"{name}/{mag.dashed}")))
        return MagDescription(mag, folders, None, order, channel)
    folder, address = _place(path, f"mag {mag.literal}")
    return MagDescription(mag, () if folder is None else (folder,), address, order, channel)


def _place(path: object, whose: str) -> tuple[str | None, str | None]:
    """(folder relative to the dataset, None) or (None, address outside). Raises InvalidRequest."""
    if not isinstance(path, str) or not is_text(path):
        raise InvalidRequest(f"the path of {whose} is not text")
    if "://" in path:
        url = _URL.fullmatch(path)
        if url is None or url[1].lower() not in SCHEMES:
            raise InvalidRequest(f"the path of {whose} is an address of none of the kinds {', '.join(SCHEMES)}")
        return None, path
    folder = posixpath.normpath(path)
    if folder.startswith("/"):
        return None, path
    if folder.split("/")[0] == "..":
        raise InvalidRequest(
            f"{whose} lies outside the dataset's folder, by a relative path that zarrlink does not read"
        )
    return folder, None


def _axis_order(value: object, mag: Mag) -> AxisOrder | None:
    if value is None:
        return None
    refused = InvalidRequest(f"the axisOrder of mag {mag.literal} is {brief(value)}, not different axes for c, x, y, z")
    if not isinstance(value, dict):
        raise refused
    c, x, y, z = (value.get(axis) for axis in ("c", "x", "y", "z"))
    given = [position for position in (c, x, y, z) if position is not None]
    if not all(is_whole(position) and 0 <= position < MAX_AXES for position in given) or len(set(given)) < len(given):
        raise refused
    if x is None or y is None:
        raise refused
    return AxisOrder(c, x, y, z)


def parse_extra_axes(value: object) -> tuple[ExtraAxis, ...]:
    """`additionalAxes` of a layer, in the order of their array axes. Raises InvalidRequest."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_EXTRA_AXES:
        raise InvalidRequest(f"its additionalAxes are not a list of at most {MAX_EXTRA_AXES}")
    axes = [_extra_axis(item) for item in value]
    if len({axis.name for axis in axes}) < len(axes) or len({axis.index for axis in axes}) < len(axes):
        raise InvalidRequest("two of its additionalAxes have one name or one index")
    return tuple(sorted(axes, key=lambda axis: axis.index))


def _extra_axis(item: object) -> ExtraAxis:
    item = item if isinstance(item, dict) else {}
    name, bounds, index = short_text(item.get("name"), at_most=100), item.get("bounds"), item.get("index")
    if name is None or name in ("c", "x", "y", "z"):
        raise InvalidRequest(f"an additional axis of it is named {brief(item.get('name'))}")
    if not (
        isinstance(bounds, list)
        and len(bounds) == 2
        and all(is_whole(bound) for bound in bounds)
        and 0 <= bounds[0] < bounds[1] <= MAX_COORDINATE
    ):
        raise InvalidRequest(f"the bounds of its additional axis {name!r} are {brief(bounds)}, not [first, end]")
    if not is_whole(index) or not 0 <= index < MAX_AXES:
        raise InvalidRequest(f"the index of its additional axis {name!r} is {brief(index)}")
    return ExtraAxis(name, bounds[0], bounds[1], index)


def parse_mappings(entry: dict[str, Any]) -> tuple[str, ...]:
    """The names of a layer's `mappings`; what is no name is left out."""
    items = entry.get("mappings")
    names = [short_text(item) for item in items[:MAX_MAPPINGS]] if isinstance(items, list) else []
    return tuple(name for name in names if name is not None)
