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
    """`layers` of a dataset or annotation, limited to `box` (mag-1 voxels) and to mags not finer than `finest`.

    `annotation`: its volume layers hide layers of the same name of `dataset`, which is "" where that is not registered.
    `layers` are named one by one when the view is made: a layer that comes later is not opened by older links.
    `mappings`: (layer, name of the mapping that its segment ids are shown by), by layer.
    `id`: 22 characters (132 bits) of the SHA-256 of the canonical JSON; absent limits are absent there.
    """

    dataset: str
    layers: tuple[str, ...]
    box: BoundingBox | None = None
    finest: Mag | None = None
    annotation: str = ""
    mappings: tuple[tuple[str, str], ...] = ()
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not self.layers or list(self.layers) != sorted(set(self.layers)):
            raise InvalidRequest("a view names its layers, each once, in order")
        mapped = [layer for layer, _ in self.mappings]
        if mapped != sorted(set(mapped)) or not set(mapped) <= set(self.layers):
            raise InvalidRequest("a mapping is named for a layer that the view opens, once")
        digest = hashlib.sha256(self.to_json().encode()).digest()
        object.__setattr__(self, "id", base64.urlsafe_b64encode(digest)[:22].decode())

    def to_json(self) -> str:
        """The canonical form."""
        parts: dict[str, Any] = {"dataset": self.dataset, "layers": list(self.layers)}
        if self.box is not None:
            parts["box"] = self.box.to_list()
        if self.finest is not None:
            parts["finestMag"] = list(self.finest.xyz)
        if self.annotation:
            parts["annotation"] = self.annotation
        if self.mappings:
            parts["mappings"] = dict(self.mappings)
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))

    def mapping(self, layer: str) -> str | None:
        """The mapping that a layer's ids are shown by, None for the ids as they are stored."""
        return dict(self.mappings).get(layer)

    @classmethod
    def from_json(cls, text: str) -> View:
        parts = json.loads(text)
        return cls(
            dataset=parts["dataset"],
            layers=tuple(parts["layers"]),
            box=BoundingBox.from_list(parts["box"]) if "box" in parts else None,
            finest=Mag(*parts["finestMag"]) if "finestMag" in parts else None,
            annotation=parts.get("annotation", ""),
            mappings=tuple(parts.get("mappings", {}).items()),
        )
