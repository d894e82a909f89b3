"""How much one request, and one owner, may ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from zarrlink.errors import ExportTooLarge
from zarrlink.exports.request import ExportSpec, Limits
from zarrlink.geometry import Vec3

_MEGA: Final = 2**20
# What is said where no limit was set: the side of a picture that readers with signed numbers can count.
_MOST_EDGE_VX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What may be asked for. `volume_mvx`: voxels of a box in its mag, in 1024 * 1024; `edge_vx`: of its longest side; None
    for as many as the store takes.

    `running`: jobs of one owner at the same time. `store`: bounds of where results are kept. `workers`: how many work on
    one job at the same time, for estimates.
    """

    running: int = 10
    volume_mvx: int | None = None
    edge_vx: int | None = None
    store: Limits = field(default_factory=Limits)
    workers: int = 1

    @property
    def told_volume_mvx(self) -> int:
        """As WEBKNOSSOS's clients compare with it: always a number."""
        return self.store.object_bytes // _MEGA if self.volume_mvx is None else self.volume_mvx

    @property
    def told_edge_vx(self) -> int:
        return _MOST_EDGE_VX if self.edge_vx is None else self.edge_vx

    def check_size(self, spec: ExportSpec) -> None:
        """Raises ExportTooLarge for more than is allowed, naming the nearest coarser mag at which it would not be."""
        asked = spec.request.mag.xyz
        sentence = self._excess(spec, asked)
        if sentence is None:
            return
        coarser = [mag for mag in spec.source.mags if all(a >= b for a, b in zip(mag.xyz, asked, strict=True))]
        coarser.sort(key=lambda mag: (math.prod(mag.xyz), mag))
        fits = next((mag.literal for mag in coarser if self._excess(spec, mag.xyz) is None), None)
        raise ExportTooLarge(sentence, fits)

    def _excess(self, spec: ExportSpec, mag: Vec3) -> str | None:
        # As WEBKNOSSOS counts: each side by the mag, rounded up.
        size = [-(-side // step) for side, step in zip(spec.request.box.size, mag, strict=True)]
        volume, edge = math.prod(size), max(size)
        if self.volume_mvx is not None and volume > self.volume_mvx * _MEGA:
            return f"the box has {volume} voxels, more than the {self.volume_mvx * _MEGA} that are allowed here"
        if self.edge_vx is not None and edge > self.edge_vx:
            return f"the box's longest side has {edge} voxels, more than the {self.edge_vx} that are allowed here"
        return None
