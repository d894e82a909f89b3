"""Boxes, mags and voxel sizes. Everything here is (x, y, z) unless a name says otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from zarrlink.errors import InvalidRequest, brief

Vec3 = tuple[int, int, int]

# Far above any volume there is (2^40 voxels a side), small enough that products stay exact in JSON readers.
MAX_COORDINATE: Final = 2**40
# The word forms that both WEBKNOSSOS and OME-NGFF (0.4, "axes") know; anything else is left out rather than guessed.
LENGTH_UNITS: Final = frozenset(
    [
        "yoctometer",
        "zeptometer",
        "attometer",
        "femtometer",
        "picometer",
        "angstrom",
        "nanometer",
        "micrometer",
        "millimeter",
        "centimeter",
        "decimeter",
        "meter",
        "hectometer",
        "kilometer",
        "megameter",
        "gigameter",
        "terameter",
        "petameter",
        "exameter",
        "zettameter",
        "yottameter",
        "inch",
        "foot",
        "yard",
        "mile",
        "parsec",
    ]
)
_MAG = re.compile(r"[1-9][0-9]{0,5}(-[1-9][0-9]{0,5}-[1-9][0-9]{0,5})?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Mag:
    """How many mag-1 voxels one voxel spans along each axis."""

    x: int
    y: int
    z: int

    def __post_init__(self) -> None:
        if not all(isinstance(side, int) and 1 <= side < 10**6 for side in self.xyz):
            raise InvalidRequest(f"a mag has three whole numbers from 1 to 999999, not {brief(self.xyz)}")

    @property
    def xyz(self) -> Vec3:
        return self.x, self.y, self.z

    @property
    def literal(self) -> str:
        """The shortest form: `2` where all factors agree, else `2-2-1`."""
        return str(self.x) if self.x == self.y == self.z else f"{self.x}-{self.y}-{self.z}"

    @property
    def dashed(self) -> str:
        return f"{self.x}-{self.y}-{self.z}"

    @classmethod
    def parse(cls, literal: str) -> Mag:
        """From `2` or `2-2-1`."""
        if not _MAG.fullmatch(literal):
            raise InvalidRequest(f"{literal[:40]!r} is not a mag; accepted are forms like 1 or 2-2-1")
        sides = [int(side) for side in literal.split("-")]
        return cls(*sides) if len(sides) == 3 else cls(sides[0], sides[0], sides[0])


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A half-open box: `top_left` lies inside, `bottom_right` does not."""

    top_left: Vec3
    size: Vec3

    def __post_init__(self) -> None:
        if len(self.top_left) != 3 or len(self.size) != 3:
            raise InvalidRequest("a box has a corner of three numbers and three side lengths")
        if any(side <= 0 for side in self.size):
            raise InvalidRequest(f"a box needs positive side lengths, not {brief(self.size)}")
        for number in (*self.top_left, *self.size):
            if abs(number) > MAX_COORDINATE:
                raise _too_large(str(number))

    @property
    def bottom_right(self) -> Vec3:
        (x, y, z), (width, height, depth) = self.top_left, self.size
        return x + width, y + height, z + depth

    def intersection(self, other: BoundingBox) -> BoundingBox | None:
        start = [max(a, b) for a, b in zip(self.top_left, other.top_left, strict=True)]
        end = [min(a, b) for a, b in zip(self.bottom_right, other.bottom_right, strict=True)]
        if any(low >= high for low, high in zip(start, end, strict=True)):
            return None
        return BoundingBox(vec3(start), vec3([high - low for low, high in zip(start, end, strict=True)]))

    def in_mag(self, mag: Mag) -> BoundingBox:
        """The box in voxels of `mag`, rounded outward: a voxel that holds any of the box belongs to it."""
        start = [corner // side for corner, side in zip(self.top_left, mag.xyz, strict=True)]
        end = [-(-corner // side) for corner, side in zip(self.bottom_right, mag.xyz, strict=True)]
        return BoundingBox(vec3(start), vec3([high - low for low, high in zip(start, end, strict=True)]))

    def to_list(self) -> list[int]:
        """[x, y, z, width, height, depth]."""
        return [*self.top_left, *self.size]

    @classmethod
    def from_list(cls, numbers: list[int]) -> BoundingBox:
        if len(numbers) != 6 or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
            raise InvalidRequest("a box is six whole numbers: x, y, z, width, height, depth in mag-1 voxels")
        return cls(vec3(numbers[:3]), vec3(numbers[3:]))

    @classmethod
    def parse(cls, text: str) -> BoundingBox:
        """From `x,y,z,width,height,depth`."""
        fields = text.split(",")
        if not all(re.fullmatch("-?[0-9]+", field.strip(), re.ASCII) for field in fields):
            raise InvalidRequest(f"{text[:80]!r} is not a box; accepted: x,y,z,width,height,depth in mag-1 voxels")
        for field in fields:
            # Python makes no number of thousands of digits.
            if len(field.strip()) > 16:
                raise _too_large(field.strip())
        return cls.from_list([int(field) for field in fields])


@dataclass(frozen=True, slots=True)
class VoxelSize:
    """Length of a mag-1 voxel along x, y, z, in `unit` (a word such as `nanometer`)."""

    factor: tuple[float, float, float]
    unit: str = "nanometer"

    def __post_init__(self) -> None:
        # Within bounds that no unit needs to leave, so that positions of any voxel stay finite.
        if len(self.factor) != 3 or not all(1e-30 < length < 1e30 for length in self.factor):
            raise InvalidRequest(f"a voxel size has three positive lengths, not {brief(self.factor)}")


def _too_large(number: str) -> InvalidRequest:
    return InvalidRequest(f"{brief(number)} is too large a number for a box: at most {MAX_COORDINATE} is accepted")


def vec3(numbers: list[int] | tuple[int, ...]) -> Vec3:
    """Three whole numbers as a tuple of that type."""
    x, y, z = numbers
    return x, y, z
