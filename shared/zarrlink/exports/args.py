"""What an export is asked for, before anybody has looked at its source. Kept as JSON with its job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from zarrlink.exports.request import Compression, Wide
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.jobs.model import Job
from zarrlink.rows import reads


@dataclass(frozen=True, slots=True)
class ExportArgs:
    """`box` in mag-1 voxels, None for the whole layer; `mag` None for the finest.

    `wide`: what becomes of 64-bit numbers, None for narrow where the layer says that all fit, else renumbered (labels)
    or narrow. `levels` None: as many as are useful. `extra`: coordinates by the name of their additional axis; an axis
    that is not named is at its first one. `mapping`: by which segment ids are shown. `volume_format`: of the data zips
    in the download of an annotation, which heeds nothing else here.
    """

    layer: str = ""
    box: BoundingBox | None = None
    mag: Mag | None = None
    compression: Compression = "deflate"
    wide: Wide | None = None
    levels: int | None = None
    extra: tuple[tuple[str, int], ...] = ()
    mapping: str | None = None
    volume_format: Literal["wkw", "zarr3"] = "wkw"

    def to_json(self) -> str:
        """Canonical: equal for equal arguments."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found |= {
            "box": None if self.box is None else self.box.to_list(),
            "mag": None if self.mag is None else list(self.mag.xyz),
            "extra": dict(self.extra),
        }
        return json.dumps(found, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ExportArgs:
        found = json.loads(text)
        found["box"] = None if found["box"] is None else BoundingBox.from_list(found["box"])
        found["mag"] = None if found["mag"] is None else Mag(*found["mag"])
        found["extra"] = tuple(sorted(found["extra"].items()))
        return cls(**found)


@reads("job", attrgetter("id"))
def args_of(job: Job) -> ExportArgs:
    """What a job was asked for. Raises DamagedRow."""
    return ExportArgs.from_json(job.args)
