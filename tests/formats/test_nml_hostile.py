"""NML from strangers: refused with one sentence, and neither memory nor time run away."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable, Iterator
from functools import lru_cache

import pytest

from builders.nml_files import NODE, nml, thing
from zarrlink.errors import InvalidRequest
from zarrlink.formats.nml import Limits, parse
from zarrlink.formats.nml.reader import MAX_ATTRIBUTES, MAX_DEPTH, MAX_TAG_BYTES

MIB = 2**20
# A tag of the longest accepted length, several times over: expat's copy, its attributes' and ours.
PEAK_BYTES = 24 * MIB
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10))


def refusal(source: bytes | Iterable[bytes], limits: Limits | None = None, peak_bytes: int = PEAK_BYTES) -> str:
    """The sentence with which a file is refused; and memory stays below a peak, expat's own included."""
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest) as refused:
            parse(source, limits or Limits())
        assert tracemalloc.get_traced_memory()[1] < peak_bytes
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 300
    return str(refused.value)


def endless(before: bytes, item: bytes) -> Iterator[bytes]:
    """A file that never ends, with some KiB at a time; `@` becomes a number."""
    yield before
    count = itertools.count()
    while True:
        yield b"".join(item.replace(b"@", b"%d" % number) for number in itertools.islice(count, 500))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "ends too early"),
        (b" \n", "ends too early"),
        (b"<things>", "ends too early"),
        (b"<things><meta na", "ends too early"),
        (b"<things><a>\xc3", "ends too early"),
        (b"<things><a><![CDATA[", "ends too early"),
        (b"hello", "it is not XML"),
        (b"<things/><things/>", "it is not XML"),
        (b"<things><a></b></things>", "it is not XML"),
        (b"<things a='1' a='2'/>", "it is not XML"),
        (b"<things a='\x01'/>", "it is not XML"),
        (b"<things a='&#0;'/>", "it is not XML"),
        (b"PK\x03\x04", "it is not XML"),
        (b"<nml/>", "root of an NML file is <things>"),
        (b"<html><things/></html>", "root of an NML file is <things>"),
        (b"<a:things xmlns:a='urn:a'/>", "root of an NML file is <things>"),
    ],
)
def test_what_is_not_nml_is_refused(data: bytes, sentence: str) -> None:
    assert sentence in refusal(data)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE things><things/>",
        b'<!DOCTYPE things SYSTEM "http://example.org/things.dtd"><things/>',
        b'<!DOCTYPE things [<!ENTITY a "b">]><things>&a;</things>',
        b'<!DOCTYPE things [<!ENTITY a SYSTEM "file:///etc/passwd">]><things><meta name="&a;"/></things>',
        b'<!DOCTYPE things [<!ENTITY % a SYSTEM "http://example.org/a"> %a;]><things/>',
        b'<!DOCTYPE things [<!ENTITY l0 "lol">' + LAUGHS + b"]><things>&l9;</things>",
        b'<!DOCTYPE things [<!ENTITY a "' + b"a" * 10**5 + b'">]><things>' + b"&a;" * 10**5 + b"</things>",
        b'<!DOCTYPE things [<!ATTLIST node radius CDATA "5">]><things/>',
    ],
)
def test_a_document_type_is_refused_before_anything_in_it_counts(data: bytes) -> None:
    assert "DOCTYPE" in refusal(data, peak_bytes=MIB)


def test_an_entity_without_a_document_type_is_refused() -> None:
    assert "undefined entity" in refusal(nml("<a>&lol;</a>"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("<things/>".encode("utf-16"), "UTF-16"),
        ("<?xml version='1.0' encoding='utf-16'?><things/>".encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + "<things/>".encode("utf-16-be"), "UTF-16"),
        ("<things/>".encode("utf-16-le"), "UTF-16"),
        ("<things/>".encode("utf-16-be"), "UTF-16"),
        ("<things/>".encode("utf-32"), "UTF-16"),
        (b"<?xml version='1.0' encoding='utf-16'?><things/>", "'utf-16', not UTF-8"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><things a='\xe4'/>", "'ISO-8859-1', not UTF-8"),
        (b"<?xml version='1.0' encoding='UTF-7'?><things/>", "'UTF-7', not UTF-8"),
        (b"<things a='\xff'/>", "it is not XML"),
        (b"<things a='\xc0\xaf'/>", "it is not XML"),
        (b"<things a='\xed\xa0\x80'/>", "it is not XML"),
    ],
)
def test_another_encoding_is_refused(data: bytes, sentence: str) -> None:
    assert sentence in refusal(data)
    assert sentence in refusal(data[place : place + 1] for place in range(len(data)))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (thing('<node id="1" x="NaN" y="0" z="0" />'), "<node>: 'NaN' is not a finite number"),
        (thing('<node id="1" x="inf" y="0" z="0" />'), "'inf' is not a finite number"),
        (thing('<node id="1" x="-Infinity" y="0" z="0" />'), "'-Infinity' is not a finite number"),
        (thing('<node id="1" x="1e999" y="0" z="0" />'), "'1e999' is not a finite number"),
        (thing('<node id="1" x="1e15" y="0" z="0" />'), "out of range"),
        (thing('<node id="1" x="1099511627777" y="0" z="0" />'), "out of range"),
        (thing('<node id="1" x="0" y="0" />'), "a number is missing"),
        (thing('<node x="0" y="0" z="0" />'), "a whole number is missing"),
        (thing('<node id="1.5" x="0" y="0" z="0" />'), "'1.5' is not a whole number"),
        (thing('<node id="1_0" x="0" y="0" z="0" />'), "'1_0' is not a whole number"),
        (thing('<node id="\u0661" x="0" y="0" z="0" />'), "is not a whole number"),
        (thing('<node id=" 1" x="0" y="0" z="0" />'), "is not a whole number"),
        (thing('<node id="9223372036854775808" x="0" y="0" z="0" />'), "too many bits"),
        (thing('<node id="1" x="0" y="0" z="0" inVp="5000000000" />'), "too many bits"),
        (thing('<node id="1" x="0" y="0" z="0" radius="0x10" />'), "'0x10' is not a finite number"),
        (thing('<node id="1" x="0" y="0" z="0" interpolation="maybe" />'), "neither true nor false"),
        (thing('<node id="1" x="0" y="0" z="0" additionalCoordinate-t="b" />'), "'additionalCoordinate-t'"),
        (thing(f'<node id="{"9" * 10**6}" x="0" y="0" z="0" />'), "is not a whole number"),
        (thing(f'<node id="1" x="{"9" * 10**6}" y="0" z="0" />'), "is not a finite number"),
        (thing(f'<node id="1" x="0" y="0" z="0" radius="0.{"9" * 10**6}" />'), "is not a finite number"),
        (thing(f'<node id="1" x="0" y="0" z="0" radius="1e{"9" * 10**6}" />'), "is not a finite number"),
        (thing(edges='<edge source="1" />'), "<edge>: a whole number is missing"),
        (thing(edges=f'<edge source="1" target="{2**64 - 1}" />'), "too many bits"),
        ("<thing />", "<thing>: attribute 'id': a whole number is missing"),
        (f"<thing id='{2**65}' />", "more than 64 bits"),
        ("<parameters><time ms='soon' /></parameters>", "<time>: attribute 'ms': 'soon' is not a finite number"),
        ("<parameters><scale x='1' y='nan' z='1' /></parameters>", "attribute 'y': 'nan' is not a finite number"),
        ("<parameters><scale x='1' /></parameters>", "<scale>: it needs x, y and z"),
        ("<parameters><zoomLevel zoom='1' /><zoomLevel zoom='2' /></parameters>", "it has 2 <zoomLevel> elements"),
        ("<parameters /><parameters />", "it has 2 <parameters> elements"),
        ("<parameters><userBoundingBox topLeftX='1' /></parameters>", "'topLeftY': a number is missing"),
        ("<comments><comment /></comments>", "<comment>: attribute 'node'"),
        ("<groups><group id='a' /></groups>", "<group>: attribute 'id'"),
    ],
    ids=lambda value: value[:60],
)
def test_what_cannot_be_read_is_named(parts: str, sentence: str) -> None:
    told = refusal(nml(parts))
    assert sentence in told
    assert told.startswith("NML, line 1: ")


def test_the_line_is_named() -> None:
    assert refusal(nml("\n\n<thing\n id='x'/>")).startswith("NML, line 4: ")


# --- too much of something ---


@lru_cache
def attributes(count: int) -> str:
    return " ".join(f'a{number}=""' for number in range(count))


@pytest.mark.parametrize(
    "where",
    [
        "<a {} />",
        "<thing id='1'><nodes><node id='1' x='0' y='0' z='0' {} /></nodes></thing>",
        "<meta {} />",
        "<comments {} />",
    ],
)
def test_an_element_of_a_million_attributes_is_refused(where: str) -> None:
    assert "attributes" in refusal(nml(where.format(attributes(MAX_ATTRIBUTES + 1))))
    assert "longer than" in refusal(nml(where.format(attributes(10**6))))


@pytest.mark.parametrize(
    "item",
    [b"<meta name='", b"<", b"<a ", b"<!--", b"<?pi ", b"<things ", b"</", b"<a b"],
    ids=ascii,
)
def test_a_tag_or_comment_without_end_is_refused(item: bytes) -> None:
    """And in linear time: expat looks at an unfinished tag anew with each piece."""
    before = b"" if item == b"<things " else b"<things>"
    letter = b" " if item == b"<a " else b"x"
    assert "longer than" in refusal(itertools.chain([before, item], itertools.repeat(letter * 1000)))
    assert MAX_TAG_BYTES < 2 * MIB


def test_a_long_text_is_fine_until_memory_is_spent() -> None:
    assert parse(nml(f"<a>{'x' * 3 * MIB}</a>")).extra.elements[0].content == ("x" * 3 * MIB,)
    limits = Limits(memory_bytes=4 * MIB)
    assert "memory" in refusal(endless(b"<things><a>", b"x" * 200), limits, 6 * MIB)
    assert "memory" in refusal(endless(b"<things><a>", b"<![CDATA[x]]>&#1234;"), limits, 6 * MIB)


def test_text_that_says_nothing_costs_nothing() -> None:
    limits = Limits(file_bytes=8 * MIB, memory_bytes=MIB)
    assert "larger than" in refusal(endless(b"<things>", b" \n<!-- a -->text"), limits, MIB)


@pytest.mark.parametrize(
    "nested",
    [
        ("<a>", "</a>"),
        ("<groups>", "</groups>"),
        ("<thing id='1'>", "</thing>"),
    ],
)
def test_deep_nesting_is_refused(nested: tuple[str, str]) -> None:
    start, end = nested
    assert "deep" in refusal(nml(start * MAX_DEPTH, end * MAX_DEPTH))
    assert "deep" in refusal(endless(b"<things>", start.encode()))


def test_groups_as_deep_as_allowed_are_read() -> None:
    levels = MAX_DEPTH - 2
    assert parse(nml("<groups>", "<group id='1'>" * levels, "</group>" * levels, "</groups>")).skeleton is not None
    assert "deep" in refusal(nml("<groups>", "<group id='1'>" * (levels + 1), "</group>" * (levels + 1), "</groups>"))


def test_a_file_without_end_is_refused() -> None:
    limits = Limits(file_bytes=2 * MIB)
    assert "larger than 2097152 bytes" in refusal(endless(b"<things>", b"     \n"), limits)
    assert "larger than 2097152 bytes" in refusal(b" " * (2 * MIB + 1), limits)


FLOODED = Limits(memory_bytes=MIB)
# What expat and the pieces take, whatever the file.
FIXED_BYTES = MIB // 2
FLOODS: dict[str, tuple[str, str]] = {
    "nodes": ("<thing id='1'><nodes>", NODE),
    "nodes with an unknown attribute": ("<thing id='1'><nodes>", "<node id='@' x='0' y='0' z='0' a=''/>"),
    "nodes with coordinates": ("<thing id='1'><nodes>", "<node id='@' x='0' y='0' z='0' additionalCoordinate-a='@'/>"),
    "nodes with an unknown child": ("<thing id='1'><nodes>", "<node id='@' x='0' y='0' z='0'><a/></node>"),
    "children of one node": ("<thing id='1'><nodes><node id='1' x='0' y='0' z='0'>", "<a/>"),
    "edges": ("<thing id='1'><edges>", "<edge source='@' target='@'/>"),
    "trees": ("", "<thing id='@'/>"),
    "trees of one node": ("", "<thing id='@'><nodes><node id='@' x='0' y='0' z='0'/></nodes><edges/></thing>"),
    "unknown elements": ("", "<a/>"),
    "unknown elements in unknown ones": ("<a>", "<a/>"),
    "unknown elements and texts": ("<a>", "\u00e4<a/>"),
    "unknown names": ("", "<a@/>"),
    "unknown attributes": ("", "<a b@=''/>"),
    "names of list items": ("", "<thing id='1'><metadata><metadataEntry stringListValue-@=''/></metadata></thing>"),
    "metadata": ("<thing id='1'><metadata>", "<metadataEntry/>"),
    "comments": ("<comments>", "<comment node='@'/>"),
    "branchpoints": ("<branchpoints>", "<branchpoint id='@'/>"),
    "groups": ("<groups>", "<group id='@'/>"),
    "metas": ("", "<meta/>"),
    "boxes": (
        "<parameters>",
        "<userBoundingBox topLeftX='999' topLeftY='999' topLeftZ='999' width='999' height='999' depth='999'/>",
    ),
    "segments": (
        "<volume><segments>",
        "<segment id='@' anchorPositionX='9@' anchorPositionY='9@' anchorPositionZ='9@' created='9@' name='@'/>",
    ),
    "volumes": ("", "<volume/>"),
    "containers": ("", "<comments/>"),
    "containers with something unknown": ("", "<comments a='@'><a/></comments>"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_refused_when_its_memory_is_spent(flood: str) -> None:
    """The estimate is an upper bound: what is really used stays below it, but for what expat holds by itself."""
    before, item = FLOODS[flood]
    file = endless(f"<things>{before}".encode(), item.encode())
    assert "memory" in refusal(file, FLOODED, FLOODED.memory_bytes + FIXED_BYTES)


@pytest.mark.parametrize("flood", FLOODS)
def test_as_many_as_fit_are_read_within_that_memory(flood: str) -> None:
    """At its end a tree is packed and the document built, which takes more memory for a moment."""
    before, item = FLOODS[flood]
    names = [part.split(" ")[0].rstrip(">") for part in before.split("<")[1:]]
    after = "".join(f"</{name}>" for name in reversed(names))
    count = 30_000
    while True:
        file = nml(before, *(item.replace("@", str(number)) for number in range(count)), after)
        try:
            parse(file, FLOODED)
        except InvalidRequest:
            count = count * 3 // 4
        else:
            break
    assert reading_peak(file, FLOODED) < FLOODED.memory_bytes + FIXED_BYTES


def reading_peak(file: bytes, limits: Limits) -> int:
    """The most memory that was in use while a file was read."""
    tracemalloc.start()
    try:
        parse(file, limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
