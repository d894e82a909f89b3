"""Values as XML: lines of text, one for each tag, and the check that they can be written at all."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Final

from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.nml.model import Parameters, Segment
from zarrlink.formats.nml.opaque import NOTHING, Element, Extra
from zarrlink.formats.nml.packed import Packed
from zarrlink.formats.nml.values import Scalar, written

# XML 1.0, section 2.2: what may not stand in a document, not even escaped.
_NOT_A_CHARACTER: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Section 2.3, names of elements, attributes and axes; exact for ASCII. Beyond it letters are not told from signs; names of that kind come from files only.
_NAME: Final = re.compile("[A-Za-z_:\xb7-\U0010ffff][-A-Za-z0-9_.:\xb7-\U0010ffff]*")
# Line ends and tabs too, which a reader would turn into spaces in attributes, and \r in text.
_IN_ATTRIBUTES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_IN_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
# Above what the reader takes; here it only keeps recursion from failing half way.
_MAX_DEPTH: Final = 150

INDENT: Final = "  "

Pairs = Mapping[str, Scalar | None]


def lines(depth: int, name: str, pairs: Pairs, *children: Iterable[str], extra: Extra = NOTHING) -> Iterator[str]:
    """The lines of an element, indented `depth` times, after it those of its children, then what is unknown in it."""
    inner = chain.from_iterable(children)
    first = next(inner, None)
    start = f"{INDENT * depth}<{name}{attributes(pairs, extra)}"
    if first is None and not extra.elements:
        yield f"{start} />\n"
        return
    yield f"{start}>\n"
    if first is not None:
        yield first
    yield from inner
    for element in extra.elements:
        yield f"{INDENT * (depth + 1)}{unknown(element)}\n"
    yield f"{INDENT * depth}</{name}>\n"


def attributes(pairs: Pairs, extra: Extra = NOTHING) -> str:
    """Attributes as they stand in a tag, without those that are None; unknown ones never stand in for known ones."""
    known = [(name, value) for name, value in pairs.items() if value is not None]
    if extra.attributes:
        taken = {name for name, _ in known}
        known += [(name, value) for name, value in extra.attributes if name not in taken]
    return "".join(f' {name}="{written(value).translate(_IN_ATTRIBUTES)}"' for name, value in known)


def without(extra: Extra, names: Collection[str]) -> Extra:
    """The same without the attributes of these names."""
    return Extra(tuple(pair for pair in extra.attributes if pair[0] not in names), extra.elements)


def unknown(element: Element) -> str:
    """An element that we do not know, on one line if it has no line ends itself: spaces in it would be text."""
    content = "".join(part.translate(_IN_TEXT) if isinstance(part, str) else unknown(part) for part in element.content)
    start = f"<{element.name}{attributes(dict(element.attributes))}"
    return f"{start}>{content}</{element.name}>" if content else f"{start} />"


def check_writable(value: object, depth: int = 0) -> None:
    """Look through values. Raises InvalidRequest where a text or number is one that XML or NML cannot hold."""
    match value:
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise InvalidRequest(f"{value} is not a number that NML can hold")
        case Packed():
            for coordinates, extra in value.rests.values():
                _check_names(coordinates)
                check_writable(extra, depth)
        case tuple():
            for item in value:
                check_writable(item, depth)
        case _ if is_dataclass(value):
            if depth > _MAX_DEPTH:
                raise InvalidRequest(f"elements are nested more than {_MAX_DEPTH} deep")
            _check_all_names(value)
            for part in fields(value):
                check_writable(getattr(value, part.name), depth + 1)


def _check_text(text: str) -> None:
    found = _NOT_A_CHARACTER.search(text)
    if found:
        raise InvalidRequest(f"{brief(text)} has the character {found[0]!r}, which XML cannot hold")


def _check_all_names(value: object) -> None:
    """What of a value becomes names of elements and attributes."""
    match value:
        case Element(name, attributes, _):
            _check_names(((name, name), *attributes))
        case Extra(attributes, _):
            _check_names(attributes)
        case Segment():
            _check_names(value.additional_coordinates)
        case Parameters():
            _check_names(value.edit_additional_coordinates)


def _check_names(pairs: Iterable[tuple[str, object]]) -> None:
    for name, _ in pairs:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(f"{brief(name)} cannot be a name in XML")
