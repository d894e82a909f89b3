"""Read an NML file. It may come from anybody: whatever it holds, memory and time stay within limits.

expat reads it piece by piece. No document type is accepted, so there are no entities to expand or to fetch; and the
values made of it are charged for by an estimate of their memory, so that a small file cannot fill a machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from xml.parsers import expat

from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.nml.drafts import Draft, Kind, Rows
from zarrlink.formats.nml.elements import ROOT, ROOT_NAME, VOLUME_NAME
from zarrlink.formats.nml.model import Document
from zarrlink.formats.nml.opaque import Element

# How deep elements may be nested; groups of groups are the only ones that go beyond 4 in real files.
MAX_DEPTH: Final = 128
MAX_ATTRIBUTES: Final = 10_000
# Longest tag, attributes included, comment or instruction. expat keeps an unfinished one whole.
MAX_TAG_BYTES: Final = 2**20
_PIECE_BYTES: Final = 2**16
# What values cost beyond the text in them; an upper bound, measured with tracemalloc (tests/formats/test_nml_hostile.py).
_ELEMENT_BYTES: Final = 300
_ATTRIBUTE_BYTES: Final = 60
_REST_BYTES: Final = 300
_TEXT_BYTES: Final = 64
_NAME_BYTES: Final = 500
_TOO_EARLY: Final = tuple(
    expat.errors.codes[name]
    for name in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may take."""

    file_bytes: int = 2**30
    memory_bytes: int = 2**31
    """Of the values made of it, as estimated: 191 for a node, 36 for an edge, some 500 for a comment, 1500 for a segment."""


DEFAULT_LIMITS: Final = Limits()


def parse(
    source: bytes | Iterable[bytes], limits: Limits = DEFAULT_LIMITS, *, volume_starts: list[int] | None = None
) -> Document:
    """The values of an NML file, given whole or as pieces of any length.

    `volume_starts`: takes in the byte at which the tag of each volume starts, for those who change nothing else.
    Raises InvalidRequest, with the line, where it is not NML, not UTF-8, damaged, cut short or beyond the limits. What
    is readable but makes no sense, such as edges to nowhere, is for `rules.check`.
    """
    names: dict[str, str] = {}
    reading = _Reading(limits.memory_bytes, names)
    # An encoding given here outweighs what the file declares, but not what its first bytes look like to expat.
    parser = expat.ParserCreate("UTF-8", None, names)
    parser.buffer_text = True
    parser.XmlDeclHandler = _check_declaration
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reading.start
    if volume_starts is not None:
        reading.on_volume = lambda: volume_starts.append(parser.CurrentByteIndex)
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        _feed(parser, reading, _pieces((source,) if isinstance(source, bytes) else source, limits.file_bytes))
    except expat.ExpatError as error:
        what = "it ends too early" if error.code in _TOO_EARLY else f"it is not XML: {expat.ErrorString(error.code)}"
        raise InvalidRequest(f"NML, line {error.lineno}: {what}") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"NML, line {parser.CurrentLineNumber}: {error}") from error
    finally:
        # It holds the parser, which holds it.
        reading.on_volume = None
    return reading.document()


def _feed(parser: expat.XMLParserType, reading: _Reading, pieces: Iterable[bytes]) -> None:
    fed = 0
    for piece in pieces:
        if fed == 0 and (piece.startswith(_UTF16_MARKS) or b"\0" in piece[:4]):
            raise InvalidRequest("its encoding is UTF-16 or the like, not UTF-8")
        parser.Parse(piece, False)
        fed += len(piece)
        reading.charge_names()
        if fed - parser.CurrentByteIndex > MAX_TAG_BYTES:
            raise InvalidRequest(f"a tag or comment is longer than {MAX_TAG_BYTES} bytes")
    parser.Parse(b"", True)


def _check_declaration(version: str, encoding: str | None, standalone: int) -> None:
    del version, standalone
    if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise InvalidRequest(f"its encoding is {brief(encoding)}, not UTF-8")


def _refuse_doctype(name: str, system_id: str | None, public_id: str | None, has_internal_subset: int) -> None:
    del name, system_id, public_id, has_internal_subset
    raise InvalidRequest("it has a document type (DOCTYPE), which NML has not")


def _pieces(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Chunks of any length as pieces of one length, so that neither tiny nor huge ones cost more."""
    total = 0
    held = bytearray()
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise InvalidRequest(f"it is larger than {limit} bytes")
        for start in range(0, len(chunk), _PIECE_BYTES):
            held += memoryview(chunk)[start : start + _PIECE_BYTES]
            if len(held) >= _PIECE_BYTES:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)


class _Unknown:
    """An element that we do not know, while it is open. Texts beside each other become one."""

    __slots__ = ("attributes", "content", "name", "texts")
    children: Final[dict[str, Kind]] = {}

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.content: list[Element | str] = []
        self.texts: list[str] = []

    def add_unknown(self, element: Element) -> None:
        self._flush()
        self.content.append(element)

    def element(self) -> Element:
        self._flush()
        return Element(self.name, tuple(self.attributes.items()), tuple(self.content))

    def _flush(self) -> None:
        if self.texts:
            self.content.append("".join(self.texts))
            self.texts.clear()


class _Reading:
    """The elements that are open, outermost first, and what memory is left."""

    def __init__(self, memory_bytes: int, names: dict[str, str]) -> None:
        self._left = memory_bytes
        self._names = names
        self._names_charged = 0
        # An element above the root, so that the root is a child like any other.
        self._top = Draft("", Kind(lambda _: None, {ROOT_NAME: ROOT}), {})
        self._open: list[Draft | Rows | _Unknown] = [self._top]
        self.on_volume: Callable[[], None] | None = None

    def document(self) -> Document:
        document: Document = self._top.single(ROOT_NAME)
        return document

    def charge_names(self) -> None:
        """Names of elements and attributes stay with expat for good; `names` is its dictionary of them."""
        new = islice(reversed(self._names), len(self._names) - self._names_charged)
        self._names_charged = len(self._names)
        self._charge(sum(_NAME_BYTES + 2 * sys.getsizeof(name) for name in new), {})

    def start(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._open[-1]
        kind = parent.children.get(name)
        if len(self._open) > MAX_DEPTH:
            raise InvalidRequest(f"elements are nested more than {MAX_DEPTH} deep")
        if len(attributes) > MAX_ATTRIBUTES:
            raise InvalidRequest(f"an element has more than {MAX_ATTRIBUTES} attributes")
        if name == VOLUME_NAME and len(self._open) == 2 and self.on_volume is not None:
            self.on_volume()
        try:
            self._open.append(self._opened(parent, name, kind, attributes))
        except InvalidRequest as error:
            raise InvalidRequest(f"<{name[:40]}>: {error}") from error

    def _opened(
        self, parent: Draft | Rows | _Unknown, name: str, kind: Kind | None, attributes: dict[str, str]
    ) -> Draft | Rows | _Unknown:
        if kind is None or not isinstance(parent, Draft):
            if len(self._open) == 1:
                raise InvalidRequest(f"the root of an NML file is <{ROOT_NAME}>")
            self._charge(_ELEMENT_BYTES, attributes)
            return _Unknown(name, attributes)
        if kind.row:
            rows = parent.rows[parent.name]
            # Twice, since a tree's rows are copied when it ends, and what grows has some room to grow.
            self._charge(rows.record_bytes * 9 // 4, {})
            rows.add(attributes)
            if attributes:
                self._charge(_REST_BYTES, attributes)
                rows.add_rest(attributes)
            return rows
        self._charge(_ELEMENT_BYTES, attributes)
        draft = Draft(name, kind, attributes)
        if any(child.row for child in kind.children.values()):
            # A tree's own, so that a second <nodes> goes on with the first.
            draft.rows[name] = parent.rows.setdefault(name, Rows(name))
        return draft

    def end(self, name: str) -> None:
        ended = self._open.pop()
        parent = self._open[-1]
        if isinstance(ended, _Unknown):
            if isinstance(parent, Rows):
                self._charge(_REST_BYTES, {})
            parent.add_unknown(ended.element())
        elif isinstance(ended, Draft) and isinstance(parent, Draft):
            try:
                parent.add(ended)
            except InvalidRequest as error:
                raise InvalidRequest(f"<{name[:40]}>: {error}") from error

    def text(self, text: str) -> None:
        innermost = self._open[-1]
        if isinstance(innermost, _Unknown):
            # Twice, since the pieces of a text are joined when it ends.
            self._charge(_TEXT_BYTES + 2 * sys.getsizeof(text), {})
            innermost.texts.append(text)

    def _charge(self, cost: int, attributes: dict[str, str]) -> None:
        for value in attributes.values():
            cost += _ATTRIBUTE_BYTES + sys.getsizeof(value)
        self._left -= cost
        if self._left < 0:
            raise InvalidRequest("what it holds takes more memory than is given to it")
