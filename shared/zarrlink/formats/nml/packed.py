"""Nodes and edges, packed: a skeleton may have millions, and an object for each would take five times the memory.

`Nodes` and `Edges` are immutable sequences over one bytes object each; items are made when asked for.
"""

from __future__ import annotations

import math
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Self, TypeVar, overload

from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.nml.opaque import NOTHING, Extra
from zarrlink.geometry import MAX_COORDINATE, Vec3

# Coordinates along axes beyond x, y and z: (axis name, value).
AdditionalCoordinates = tuple[tuple[str, int], ...]
Vec3Float = tuple[float, float, float]
# What an item has that most have not.
Rest = tuple[AdditionalCoordinates, Extra]

# id, x, y, z, time in ms; radius, rotations; viewport, mag, bit depth; interpolation. Little-endian, no padding.
NODE: Final = struct.Struct("<qqqqqddddiii?")
EDGE: Final = struct.Struct("<qq")
_NO_REST: Final[Rest] = ((), NOTHING)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree. Defaults: what WEBKNOSSOS reads where a file says nothing."""

    id: int
    position: Vec3
    """(x, y, z) in mag-1 voxels."""
    radius: float = 1.0
    """In nanometres."""
    rotation: Vec3Float = (0.0, 0.0, 0.0)
    """Of the view, around x, y, z, in degrees."""
    viewport: int = 0
    """Where it was set: 0 XY, 1 YZ, 2 XZ, 3 in 3D."""
    mag: int = 0
    """`inMag`: the mag that was shown."""
    bit_depth: int = 0
    interpolation: bool = False
    time_ms: int = 0
    """When it was set, since 1970."""
    additional_coordinates: AdditionalCoordinates = ()
    extra: Extra = NOTHING


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge between two nodes, named by their ids."""

    source: int
    target: int
    extra: Extra = NOTHING


Item = TypeVar("Item", Node, Edge)


class Packed(ABC, Generic[Item]):
    """Items in records of one length, and for the few that have more: their rest, by index."""

    __slots__ = ("_packed", "_rests")
    _record: ClassVar[struct.Struct]

    def __init__(self, packed: bytes = b"", rests: Mapping[int, Rest] | None = None) -> None:
        self._packed = packed
        self._rests = dict(rests) if rests else _EMPTY

    @classmethod
    def of(cls, items: Iterable[Item]) -> Self:
        """Pack items. Raises InvalidRequest where a number is not finite or has too many bits."""
        packed = bytearray()
        rests: dict[int, Rest] = {}
        for index, item in enumerate(items):
            try:
                packed += cls._pack(item)
            except (struct.error, TypeError) as error:
                raise InvalidRequest(f"{brief(item)} cannot be kept: {error}") from error
            rest = cls._rest(item)
            if rest != _NO_REST:
                rests[index] = rest
        return cls(bytes(packed), rests)

    @staticmethod
    @abstractmethod
    def _pack(item: Item) -> bytes: ...

    @staticmethod
    @abstractmethod
    def _rest(item: Item) -> Rest: ...

    @abstractmethod
    def _item(self, index: int) -> Item: ...

    @property
    def rests(self) -> Mapping[int, Rest]:
        """Index -> what that item has beyond its record."""
        return self._rests

    def pick(self, indexes: Iterable[int]) -> Self:
        """Those at some indexes, in the order given."""
        size, packed, rests = self._record.size, bytearray(), {}
        for count, index in enumerate(indexes):
            packed += self._packed[index * size : (index + 1) * size]
            if index in self._rests:
                rests[count] = self._rests[index]
        return type(self)(bytes(packed), rests)

    def records(self) -> Iterator[tuple[int | float | bool, ...]]:
        """The records as they are packed; fast."""
        return self._record.iter_unpack(self._packed)

    def __len__(self) -> int:
        return len(self._packed) // self._record.size

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(map(self._item, range(len(self))[index]))
        return self._item(range(len(self))[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._packed == other._packed and self._rests == other._rests

    def __hash__(self) -> int:
        return hash(self._packed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)}>"


_EMPTY: Final[dict[int, Rest]] = {}


class Nodes(Packed[Node]):
    """The nodes of a tree, in the file's order."""

    __slots__ = ()
    _record = NODE

    @staticmethod
    def _pack(item: Node) -> bytes:
        if not all(map(math.isfinite, (item.radius, *item.rotation))):
            raise InvalidRequest(f"node {item.id} has a number that is not finite")
        if not all(-MAX_COORDINATE <= place <= MAX_COORDINATE for place in item.position):
            raise InvalidRequest(f"node {item.id} is at {brief(item.position)}, out of range")
        looks = (item.viewport, item.mag, item.bit_depth, item.interpolation)
        return NODE.pack(item.id, *item.position, item.time_ms, item.radius, *item.rotation, *looks)

    @staticmethod
    def _rest(item: Node) -> Rest:
        return item.additional_coordinates, item.extra

    def _item(self, index: int) -> Node:
        found = NODE.unpack_from(self._packed, index * NODE.size)
        number, x, y, z, time_ms, radius, rot_x, rot_y, rot_z, viewport, mag, depth, flag = found
        rotation, rest = (rot_x, rot_y, rot_z), self._rests.get(index, _NO_REST)
        return Node(number, (x, y, z), radius, rotation, viewport, mag, depth, flag, time_ms, *rest)

    def ids(self) -> Iterator[int]:
        """Their ids, in order; without making nodes."""
        for record in NODE.iter_unpack(self._packed):
            yield record[0]


class Edges(Packed[Edge]):
    """The edges of a tree, in the file's order."""

    __slots__ = ()
    _record = EDGE

    @staticmethod
    def _pack(item: Edge) -> bytes:
        return EDGE.pack(item.source, item.target)

    @staticmethod
    def _rest(item: Edge) -> Rest:
        return (), item.extra

    def _item(self, index: int) -> Edge:
        source, target = EDGE.unpack_from(self._packed, index * EDGE.size)
        return Edge(source, target, self._rests.get(index, _NO_REST)[1])

    def ends(self) -> Iterator[tuple[int, int]]:
        """(source, target) of each; without making edges."""
        yield from EDGE.iter_unpack(self._packed)
