"""NML, WEBKNOSSOS's file of an annotation: bytes to values and back.

`parse` reads whatever is readable, `check` says what WEBKNOSSOS would refuse, `normalise` makes of it what WEBKNOSSOS
would on upload, `write` writes.
"""

from zarrlink.formats.nml.model import (
    AdditionalAxis,
    Branchpoint,
    Color,
    Comment,
    Document,
    Experiment,
    Group,
    Meta,
    MetadataEntry,
    NmlBox,
    Parameters,
    Scale,
    Segment,
    Skeleton,
    Tree,
    Volume,
)
from zarrlink.formats.nml.opaque import Element, Extra
from zarrlink.formats.nml.packed import Edge, Edges, Node, Nodes
from zarrlink.formats.nml.reader import Limits, parse
from zarrlink.formats.nml.rules import check, normalise
from zarrlink.formats.nml.writer import write

__all__ = [
    "AdditionalAxis",
    "Branchpoint",
    "Color",
    "Comment",
    "Document",
    "Edge",
    "Edges",
    "Element",
    "Experiment",
    "Extra",
    "Group",
    "Limits",
    "Meta",
    "MetadataEntry",
    "NmlBox",
    "Node",
    "Nodes",
    "Parameters",
    "Scale",
    "Segment",
    "Skeleton",
    "Tree",
    "Volume",
    "check",
    "normalise",
    "parse",
    "write",
]
