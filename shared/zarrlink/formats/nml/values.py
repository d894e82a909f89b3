"""Numbers and flags as NML writes them: text to value, and value to text that reads back equal."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from zarrlink.errors import InvalidRequest, brief
from zarrlink.geometry import MAX_COORDINATE

Scalar = str | int | float | bool

# Names of attributes that come numbered, lettered or by axis.
COLOR: Final = ("color.r", "color.g", "color.b", "color.a")
COORDINATE_PREFIX: Final = "additionalCoordinate-"
LIST_PREFIX: Final = "stringListValue-"
# The attributes that every node and every edge is written with.
NODE_ATTRIBUTES: Final = frozenset(
    ("id", "radius", "x", "y", "z", "rotX", "rotY", "rotZ", "inVp", "inMag", "bitDepth", "interpolation", "time")
)
EDGE_ATTRIBUTES: Final = frozenset(("source", "target"))

# Identifiers: of nodes, trees and groups 32 bits at WEBKNOSSOS, of segments 64 without a sign.
MIN_ID: Final = -(2**63)
MAX_ID: Final = 2**64 - 1
# Longer than any float or int64 needs, short enough that no conversion takes long.
_LONGEST: Final = 64
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
# Nodes say the same of most things: this halves the time to read them. Only what is short enough is kept.
_KEPT: Final = 1024
_FLAGS: Final = {"true": True, "True": True, "TRUE": True, "1": True}
_FLAGS.update({"false": False, "False": False, "FALSE": False, "0": False})


def identity(text: str) -> int:
    """A whole number that names something."""
    if not _WHOLE.fullmatch(text):
        raise InvalidRequest(f"{brief(text)} is not a whole number" if text else "a whole number is missing")
    value = int(text)
    if not MIN_ID <= value <= MAX_ID:
        raise InvalidRequest(f"{text} has more than 64 bits")
    return value


@lru_cache(_KEPT)
def number(text: str) -> float:
    """A finite number. `NaN`, `Infinity` and numbers beyond a double are refused."""
    if len(text) <= _LONGEST and _NUMBER.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
    raise InvalidRequest(f"{brief(text)} is not a finite number" if text else "a number is missing")


@lru_cache(_KEPT)
def whole(text: str) -> int:
    """A whole number of at most 64 bits; one with decimals is rounded as WEBKNOSSOS does, halves upwards."""
    return identity(text) if _WHOLE.fullmatch(text) else identity(str(_rounded(number(text))))


def coordinate(text: str) -> int:
    """A position in voxels, within the bounds of geometry.py."""
    value = int(text) if _WHOLE.fullmatch(text) else _rounded(number(text))
    if not -MAX_COORDINATE <= value <= MAX_COORDINATE:
        raise InvalidRequest(f"{brief(text)} is out of range for a position")
    return value


def flag(text: str) -> bool:
    """`true` or `false`; Python's spelling and digits are read too."""
    try:
        return _FLAGS[text]
    except KeyError:
        raise InvalidRequest(f"{brief(text)} is neither true nor false") from None


def written(value: Scalar) -> str:
    """A value as text, unescaped. A float has the fewest digits that read back equal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _rounded(value: float) -> int:
    return math.floor(value) + (value - math.floor(value) >= 0.5)
