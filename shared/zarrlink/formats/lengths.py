"""Voxel sizes in micrometres, which is what TIFF readers take any number for."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from zarrlink.geometry import VoxelSize

_PREFIXES: Final = {
    "yocto": -24, "zepto": -21, "atto": -18, "femto": -15, "pico": -12, "nano": -9, "micro": -6, "milli": -3,
    "centi": -2, "deci": -1, "": 0, "hecto": 2, "kilo": 3, "mega": 6, "giga": 9, "tera": 12, "peta": 15, "exa": 18,
    "zetta": 21, "yotta": 24,
}  # fmt: skip
_METRES: Final = {
    **{f"{prefix}meter": Fraction(10) ** power for prefix, power in _PREFIXES.items()},
    "angstrom": Fraction(1, 10**10),
    "inch": Fraction(254, 10**4),
    "foot": Fraction(3048, 10**4),
    "yard": Fraction(9144, 10**4),
    "mile": Fraction(1609344, 1000),
    "parsec": Fraction(30856775814913673),
}


def micrometres(size: VoxelSize) -> tuple[Fraction, Fraction, Fraction] | None:
    """Of a mag-1 voxel along x, y, z, exactly as its decimal digits say; None for a unit that nobody knows."""
    unit = _METRES.get(size.unit)
    if unit is None:
        return None
    # By way of its shortest digits: 11.24 is meant, not the binary fraction next to it.
    x, y, z = (Fraction(repr(float(length))) * unit * 10**6 for length in size.factor)
    return x, y, z
