"""Elements while they are being read: attributes not yet taken, and the values of the children so far."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.nml.model import Color
from zarrlink.formats.nml.opaque import NOTHING, Element, Extra
from zarrlink.formats.nml.packed import EDGE, NODE, AdditionalCoordinates, Edges, Nodes, Rest, Vec3Float
from zarrlink.formats.nml.values import (
    COLOR,
    COORDINATE_PREFIX,
    LIST_PREFIX,
    coordinate,
    flag,
    identity,
    number,
    whole,
)
from zarrlink.geometry import Vec3

_LIST_INDEX: Final = re.compile(LIST_PREFIX + r"(0|[1-9][0-9]{0,8})", re.ASCII)

Texts = dict[str, str]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Kind:
    """An element that we know. `children`: which may be in it. `build` makes its value when it ends.

    `row`: a node or an edge. `shared`: its value stands in its parent's, so what is unknown in it is kept there.
    """

    build: Callable[[Draft], Any]
    children: Mapping[str, Kind] = field(default_factory=dict)
    row: bool = False
    shared: bool = False


class Draft:
    """One element. What a method reads it also takes, so that what remains is unknown."""

    __slots__ = ("attributes", "children", "items", "kind", "name", "rows", "unknown")

    def __init__(self, name: str, kind: Kind, attributes: Texts) -> None:
        self.name = name
        self.kind = kind
        self.children = kind.children
        self.attributes = attributes
        self.items: dict[str, list[Any]] = {}
        self.unknown: list[Element] = []
        self.rows: dict[str, Rows] = {}

    def add(self, draft: Draft) -> None:
        """Take in a child that has ended."""
        value = draft.kind.build(draft)
        self.items.setdefault(draft.name, []).append(value)
        if draft.kind.shared and (draft.attributes or draft.unknown):
            self.unknown.append(Element(draft.name, tuple(draft.attributes.items()), tuple(draft.unknown)))

    def add_unknown(self, element: Element) -> None:
        self.unknown.append(element)

    def many(self, name: str) -> tuple[Any, ...]:
        return tuple(self.items.get(name, ()))

    def joined(self, name: str) -> tuple[Any, ...]:
        """The items of a container, or of all of that name."""
        return tuple(item for items in self.items.get(name, ()) for item in items)

    def single(self, name: str) -> Any:
        """The value of a child that may be there once; None where it is not."""
        values = self.items.get(name, [None])
        if len(values) > 1:
            raise InvalidRequest(f"it has {len(values)} <{name}> elements, where one is read")
        return values[0]

    def text(self, name: str) -> str | None:
        return self.attributes.pop(name, None)

    def word(self, name: str) -> str | None:
        """A text that is not empty."""
        return self.attributes.pop(name, None) or None

    def id(self, name: str) -> int:
        return named(name, identity, self.attributes.pop(name, ""))

    def coordinate(self, name: str) -> int:
        return named(name, coordinate, self.attributes.pop(name, ""))

    def whole(self, name: str) -> int | None:
        text = self.attributes.pop(name, "")
        return named(name, whole, text) if text else None

    def number(self, name: str) -> float | None:
        text = self.attributes.pop(name, "")
        return named(name, number, text) if text else None

    def flag(self, name: str) -> bool | None:
        text = self.attributes.pop(name, "")
        return named(name, flag, text) if text else None

    def vec3(self, names: tuple[str, str, str]) -> Vec3 | None:
        texts = self._complete(names)
        if texts is None:
            return None
        x, y, z = (named(name, coordinate, text) for name, text in texts)
        return x, y, z

    def vec3_float(self, names: tuple[str, str, str]) -> Vec3Float | None:
        texts = self._complete(names)
        if texts is None:
            return None
        x, y, z = (named(name, number, text) for name, text in texts)
        return x, y, z

    def color(self) -> Color | None:
        texts = self._complete(COLOR)
        if texts is None:
            return None
        red, green, blue, alpha = (named(name, number, text) for name, text in texts)
        return red, green, blue, alpha

    def coordinates(self) -> AdditionalCoordinates:
        return take_coordinates(self.attributes)

    def string_list(self) -> tuple[str, ...]:
        """The numbered strings of a metadata entry, in the order of their numbers."""
        found = {int(match[1]): name for name in self.attributes if (match := _LIST_INDEX.fullmatch(name))}
        return tuple(self.attributes.pop(found[index]) for index in sorted(found))

    def extra(self) -> Extra:
        """What has not been taken. Elements of one name that stand for one container are put together."""
        if not self.attributes and not self.unknown:
            return NOTHING
        shared = {name for name, kind in self.children.items() if kind.shared}
        return Extra(tuple(self.attributes.items()), merged(self.unknown, shared))

    def _complete(self, names: tuple[str, ...]) -> list[tuple[str, str]] | None:
        """Attributes that count only together. Some without the others stay what they are: unknown."""
        texts = [self.attributes.get(name, "") for name in names]
        if any(texts) and not all(texts):
            return None
        for name in names:
            self.attributes.pop(name, None)
        return list(zip(names, texts, strict=True)) if all(texts) else None


class Rows:
    """Nodes or edges of a tree while they are read. As an open element it is the last of them."""

    __slots__ = ("_count", "_pack", "_packed", "_rests", "_unknown", "record_bytes")
    children: Mapping[str, Kind] = {}

    def __init__(self, name: str) -> None:
        self._pack, self.record_bytes = (pack_node, NODE.size) if name == "nodes" else (pack_edge, EDGE.size)
        self._packed = bytearray()
        self._count = 0
        self._rests: dict[int, Rest] = {}
        self._unknown: dict[int, list[Element]] = {}

    def add(self, attributes: Texts) -> None:
        """Take in a node or an edge. What it has beyond the usual stays in `attributes`."""
        self._packed += self._pack(attributes)
        self._count += 1

    def add_rest(self, attributes: Texts) -> None:
        """What remained of the last one's attributes, as an entry of its own."""
        coordinates = take_coordinates(attributes)
        self._rests[self._count - 1] = coordinates, Extra(tuple(attributes.items())) if attributes else NOTHING

    def add_unknown(self, element: Element) -> None:
        self._unknown.setdefault(self._count - 1, []).append(element)

    def nodes(self) -> Nodes:
        return Nodes(bytes(self._packed), self._all_rests())

    def edges(self) -> Edges:
        return Edges(bytes(self._packed), self._all_rests())

    def _all_rests(self) -> dict[int, Rest]:
        for index, elements in self._unknown.items():
            coordinates, extra = self._rests.get(index, ((), NOTHING))
            self._rests[index] = coordinates, Extra(extra.attributes, tuple(elements))
        return self._rests


def pack_node(attributes: Texts) -> bytes:
    """A node's record, taken from its attributes. It is written out for speed: there may be millions."""
    take = attributes.pop
    try:
        return NODE.pack(
            identity(take("id", "")),
            coordinate(take("x", "")),
            coordinate(take("y", "")),
            coordinate(take("z", "")),
            whole(take("time", "") or "0"),
            number(take("radius", "") or "1"),
            number(take("rotX", "") or "0"),
            number(take("rotY", "") or "0"),
            number(take("rotZ", "") or "0"),
            whole(take("inVp", "") or "0"),
            whole(take("inMag", "") or "0"),
            whole(take("bitDepth", "") or "0"),
            flag(take("interpolation", "") or "false"),
        )
    except struct.error as error:
        raise InvalidRequest("a number of it has too many bits") from error


def pack_edge(attributes: Texts) -> bytes:
    """An edge's record, taken from its attributes."""
    try:
        return EDGE.pack(identity(attributes.pop("source", "")), identity(attributes.pop("target", "")))
    except struct.error as error:
        raise InvalidRequest("an id of it has too many bits") from error


def take_coordinates(attributes: Texts) -> AdditionalCoordinates:
    """The coordinates along additional axes, in the file's order."""
    found = [name for name in attributes if name.startswith(COORDINATE_PREFIX)]
    return tuple((name[len(COORDINATE_PREFIX) :], named(name, whole, attributes.pop(name))) for name in found)


def named(name: str, read: Callable[[str], Value], text: str) -> Value:
    """Read a value; a refusal says of which attribute."""
    try:
        return read(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"attribute {brief(name)}: {error}") from error


def merged(elements: Iterable[Element], names: set[str]) -> tuple[Element, ...]:
    """Elements of these names put together, one for each, in front; then the others as they are."""
    together: dict[str, tuple[Texts, list[Element | str]]] = {}
    others: list[Element] = []
    for element in elements:
        if element.name in names:
            attributes, content = together.setdefault(element.name, ({}, []))
            for name, value in element.attributes:
                attributes.setdefault(name, value)
            content += element.content
        else:
            others.append(element)
    joined = [Element(name, tuple(found.items()), tuple(content)) for name, (found, content) in together.items()]
    return (*joined, *others)
