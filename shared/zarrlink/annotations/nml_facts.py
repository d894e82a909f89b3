"""What an import needs to know of an NML, and the little that a download changes in it.

The small stand-in for `zarrlink.formats.nml`: the NML itself is kept byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from zarrlink.errors import InvalidRequest, brief

MAX_DEPTH: Final = 100
MAX_VOLUMES: Final = 100
_SPACE: Final = b" \t\r\n"
_ATTRIBUTE: Final = re.compile(rb"""\s+([^\s=<>"'/]+)\s*=\s*("[^"]*"|'[^']*')""")
_WHOLE: Final = re.compile(r"[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """One `<volume>`. Everything as it stands in the NML, None where it does not."""

    id: int
    name: str | None
    location: str | None
    format: str | None
    fallback_layer: str | None
    largest_segment_id: int | None
    mapping_name: str | None
    mapping_is_locked: bool
    edited_mapping_location: str | None


@dataclass(slots=True)
class NmlFacts:
    """`scale`: voxel size in `unit`, None where it is absent or -1. `trees`, `nodes`: how many."""

    annotation_id: str | None = None
    username: str | None = None
    dataset_name: str | None = None
    organization: str | None = None
    dataset_id: str | None = None
    scale: tuple[float, float, float] | None = None
    unit: str = "nanometer"
    trees: int = 0
    nodes: int = 0
    volumes: list[VolumeFacts] = field(default_factory=list)


def read_facts(data: bytes) -> NmlFacts:
    """The facts of an NML. Raises InvalidRequest for what is none, and for one that declares entities or a DTD."""
    facts = NmlFacts()
    path: list[str] = []

    def start(_: int, name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        if len(path) > MAX_DEPTH:
            raise InvalidRequest(f"the NML is nested more than {MAX_DEPTH} elements deep")
        _take(facts, path, attributes)

    def end(_: str) -> None:
        path.pop()

    _parse(data, start, end)
    if len(facts.volumes) > MAX_VOLUMES:
        raise InvalidRequest(f"the NML has more than {MAX_VOLUMES} volume layers")
    ids = [volume.id for volume in facts.volumes]
    names = [volume.name for volume in facts.volumes if volume.name is not None]
    if len(set(ids)) != len(ids) or len(set(names)) != len(names):
        raise InvalidRequest("the NML has two volume layers of one id or name")
    return facts


def relocate(data: bytes, changes: Mapping[int, tuple[str | None, str | None]]) -> bytes:
    """The NML with other `location` and `format` at some of its volumes, by their place in it; else unchanged."""
    starts: list[int] = []
    depth = 0

    def start(at: int, name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 2 and name == "volume":
            starts.append(at)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    _parse(data, start, end)
    pieces, done = [], 0
    for place, at in enumerate(starts):
        if place not in changes:
            continue
        location, volume_format = changes[place]
        stop = at + len(b"<volume")
        kept = b""
        while (found := _ATTRIBUTE.match(data, stop)) is not None:
            stop = found.end()
            if found[1] not in (b"location", b"format"):
                kept += found[0]
        for name, value in (("location", location), ("format", volume_format)):
            if value is not None:
                kept += f" {name}={quoteattr(value)}".encode()
        pieces += [data[done:at], b"<volume", kept]
        done = stop
    return b"".join([*pieces, data[done:]])


def _parse(data: bytes, start: Callable[[int, str, dict[str, str]], None], end: Callable[[str], None]) -> None:
    head = data.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE)
    declared = re.match(rb"""<\?xml[^>]*?encoding\s*=\s*["']([^"']*)""", head)
    if not head.startswith(b"<") or (declared and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii")):
        raise InvalidRequest("the NML is not XML in UTF-8")
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: start(parser.CurrentByteIndex, name, attributes)
    parser.EndElementHandler = end
    # Without a DTD there are no entities but the five of XML: nothing can grow, nothing can be fetched.
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InvalidRequest(f"the NML is not well-formed XML (line {error.lineno})") from error
    finally:
        # Lambdas that hold the parser would keep it alive in a circle.
        parser.StartElementHandler = None


def _refuse(*_: object) -> None:
    raise InvalidRequest("the NML declares a document type, which is not accepted")


def _take(facts: NmlFacts, path: list[str], attributes: dict[str, str]) -> None:
    match path:
        case [root] if root != "things":
            raise InvalidRequest(f"this is no NML: its first element is {brief(root)}, not 'things'")
        case ["things", "meta"]:
            _take_meta(facts, attributes)
        case ["things", "parameters", "experiment"]:
            facts.dataset_name = attributes.get("name")
            facts.organization = attributes.get("organization")
            facts.dataset_id = attributes.get("datasetId")
        case ["things", "parameters", "scale"]:
            facts.scale = _scale(attributes)
            facts.unit = attributes.get("unit", "nanometer")
        case ["things", "thing"]:
            facts.trees += 1
        case ["things", "thing", "nodes", "node"]:
            facts.nodes += 1
        case ["things", "volume"]:
            facts.volumes.append(_volume(attributes))


def _take_meta(facts: NmlFacts, attributes: dict[str, str]) -> None:
    if attributes.get("name") == "annotationId":
        facts.annotation_id = attributes.get("content")
    elif attributes.get("name") == "username":
        facts.username = attributes.get("content")


def _scale(attributes: dict[str, str]) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(attributes.get(axis, "-1")) for axis in "xyz")
    except ValueError as error:
        raise InvalidRequest("the NML's scale is not three numbers") from error
    return (x, y, z) if min(x, y, z) > 0 else None


def _volume(attributes: dict[str, str]) -> VolumeFacts:
    identity, largest = attributes.get("id", ""), attributes.get("largestSegmentId") or None
    if not _WHOLE.fullmatch(identity) or (largest is not None and not _WHOLE.fullmatch(largest)):
        raise InvalidRequest("a volume layer of the NML has no whole number as its id, or as its largestSegmentId")
    return VolumeFacts(
        id=int(identity),
        name=attributes.get("name") or None,
        location=attributes.get("location") or None,
        format=attributes.get("format") or None,
        fallback_layer=attributes.get("fallbackLayer") or None,
        largest_segment_id=None if largest is None else int(largest),
        mapping_name=attributes.get("mappingName") or None,
        mapping_is_locked=attributes.get("mappingIsLocked") == "true",
        edited_mapping_location=attributes.get("editedMappingEdgesLocation") or None,
    )
