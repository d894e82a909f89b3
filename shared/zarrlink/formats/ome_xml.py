"""OME-XML of one image, as it stands in an OME-TIFF's first directory.

Source: OME schema 2016-06 and the OME-TIFF specification (docs.openmicroscopy.org). Planes are in the order XYZCT, so a
single `TiffData` tells all of them: one for each plane would slow every reader of large stacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from xml.sax.saxutils import quoteattr

_NAMESPACE: Final = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<!-- Warning: this comment is an OME-XML metadata block, which contains crucial dimensional parameters and other"
    " important metadata. Please edit cautiously (if at all), and back up the original data before doing so. -->\n"
)


@dataclass(frozen=True, slots=True)
class OmeChannel:
    """`color` as RRGGBB; "" for none. `samples` of each of its pixels."""

    name: str
    color: str
    samples: int


@dataclass(frozen=True, slots=True)
class OmeImage:
    """`size`: (x, y, z) in pixels. `pixel_type`: OME's word. `pixel_um`: (x, y, z), None where it is not known.

    `acquired`: ISO 8601. `facts`: what the map annotation says, in this order.
    """

    name: str
    description: str
    uuid: str
    creator: str
    size: tuple[int, int, int]
    pixel_type: str
    pixel_um: tuple[Fraction, Fraction, Fraction] | None
    channels: Sequence[OmeChannel]
    acquired: str
    facts: Mapping[str, str]


def ome_xml(image: OmeImage) -> str:
    """The document, the same for the same image."""
    x, y, z = image.size
    channels = sum(channel.samples for channel in image.channels)
    pixels = {
        "ID": "Pixels:0",
        "DimensionOrder": "XYZCT",
        "Type": image.pixel_type,
        "BigEndian": "false",
        "Interleaved": "true" if image.channels[0].samples > 1 else "false",
        "SizeX": x,
        "SizeY": y,
        "SizeZ": z,
        "SizeC": channels,
        "SizeT": 1,
        **_physical(image),
    }
    lines = [
        f"{_HEAD}<OME{_attributes({'xmlns': _NAMESPACE, 'UUID': f'urn:uuid:{image.uuid}', 'Creator': image.creator})}>",
        f"<Image{_attributes({'ID': 'Image:0', 'Name': image.name})}>",
        *([f"<AcquisitionDate>{_text(image.acquired)}</AcquisitionDate>"] if image.acquired else []),
        f"<Description>{_text(image.description)}</Description>",
        f"<Pixels{_attributes(pixels)}>",
        *(_channel(number, channel) for number, channel in enumerate(image.channels)),
        f'<TiffData IFD="0" PlaneCount="{z * len(image.channels)}"/>',
        "</Pixels>",
        '<AnnotationRef ID="Annotation:0"/>',
        "</Image>",
        "<StructuredAnnotations>",
        '<MapAnnotation ID="Annotation:0" Namespace="zarrlink/export">',
        "<Value>",
        *(f"<M{_attributes({'K': key})}>{_text(value)}</M>" for key, value in image.facts.items()),
        "</Value>",
        "</MapAnnotation>",
        "</StructuredAnnotations>",
        "</OME>",
    ]
    return "\n".join(lines)


def _physical(image: OmeImage) -> dict[str, object]:
    if image.pixel_um is None:
        return {}
    known: dict[str, object] = {}
    for axis, length in zip("XYZ", image.pixel_um, strict=True):
        # Without an exponent where that is short, since some readers know none.
        number = float(length)
        shown = f"{number:.15f}".rstrip("0").rstrip(".") if 1e-9 < number < 1e9 else repr(number)
        known |= {f"PhysicalSize{axis}": shown, f"PhysicalSize{axis}Unit": "µm"}
    return known


def _channel(number: int, channel: OmeChannel) -> str:
    facts: dict[str, object] = {"ID": f"Channel:0:{number}", "Name": channel.name, "SamplesPerPixel": channel.samples}
    if channel.color:
        # Red, green, blue and opacity, as one signed number (schema, "Color").
        value = int(channel.color, 16) << 8 | 0xFF
        facts["Color"] = value - 2**32 if value >= 2**31 else value
    return f"<Channel{_attributes(facts)}/>"


def _attributes(facts: Mapping[str, object]) -> str:
    return "".join(f" {key}={quoteattr(_printable(str(value)))}" for key, value in facts.items())


def _text(value: str) -> str:
    return _printable(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _printable(value: str) -> str:
    """Without what no XML document may hold, escaped or not (XML 1.0, "Char")."""
    return "".join(
        sign
        for sign in value
        if sign in "\t\n\r" or " " <= sign <= "\ud7ff" or "\ue000" <= sign <= "\ufffd" or sign >= "\U00010000"
    )
