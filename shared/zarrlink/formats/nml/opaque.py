"""What an NML file holds beyond what we know of: kept as it is, so that it survives a round trip.

Text directly inside an element that we know, comments and processing instructions are not kept: they carry nothing in
NML. Namespaces mean nothing here either: `xmlns` is an attribute like any other, and `a:b` a name like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Element:
    """An element that we do not know, with all that is in it; text stands where it stood."""

    name: str
    attributes: Attributes = ()
    content: tuple[Element | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extra:
    """Attributes and child elements of an element we know that we do not know.

    Children that have no value of their own in the model (`nodes`, `groups`, `time`, ...) leave what is unknown in
    them here too, as an element of that name; the writer puts it back where it was.
    """

    attributes: Attributes = ()
    elements: tuple[Element, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.attributes or self.elements)

    def inside(self, name: str) -> Extra:
        """What is unknown in the child of this name."""
        for element in self.elements:
            if element.name == name:
                return Extra(element.attributes, tuple(part for part in element.content if isinstance(part, Element)))
        return NOTHING

    def beside(self, names: Iterable[str]) -> Extra:
        """The same without the children of these names."""
        return Extra(self.attributes, tuple(element for element in self.elements if element.name not in names))


NOTHING = Extra()
