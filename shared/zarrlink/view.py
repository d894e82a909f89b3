"""A view: what a link opens. Its id is its content, so links to the same thing share one cache."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from zarrlink.errors import InvalidRequest
from zarrlink.geometry import BoundingBox, Mag


@dataclass(frozen=True, slots=True)
class View:
    """A dataset's `layers`, limited to `box` (mag-1 voxels) and to mags not finer than `finest`.

    `layers` are named one by one when the view is made: a layer that comes later is not opened by older links.
    `id`: 22 characters (132 bits) of the SHA-256 of the canonical JSON; absent limits are absent there.
    """

    dataset: str
    layers: tuple[str, ...]
    box: BoundingBox | None = None
    finest: Mag | None = None
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)):
            raise InvalidRequest("a view names its layers, each once, in order")
        digest = hashlib.sha256(self.to_json().encode()).digest()
        object.__setattr__(self, "id", base64.urlsafe_b64encode(digest)[:22].decode())

    def to_json(self) -> str:
        """The canonical form."""
        parts: dict[str, Any] = {"dataset": self.dataset, "layers": list(self.layers)}
        if self.box is not None:
            parts["box"] = self.box.to_list()
        if self.finest is not None:
            parts["finestMag"] = list(self.finest.xyz)
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> View:
        parts = json.loads(text)
        return cls(
            dataset=parts["dataset"],
            layers=tuple(parts["layers"]),
            box=BoundingBox.from_list(parts["box"]) if "box" in parts else None,
            finest=Mag(*parts["finestMag"]) if "finestMag" in parts else None,
        )
