"""What a folder without a description is, from a few of its documents. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from zarrlink.formats import source_n5, source_ngff, source_precomputed

Json = dict[str, Any]
Kind = Literal["ome", "collection", "zarr", "n5 group", "n5", "precomputed"]

# The documents that tell, by their keys below the folder.
PROBES: Final = (".zattrs", ".zarray", "zarr.json", "info", "attributes.json", "s0/attributes.json")
MAX_PROBE_BYTES: Final = source_ngff.MAX_BYTES
GROUPS: Final[frozenset[Kind]] = frozenset({"ome", "collection", "n5 group", "precomputed"})
"""Kinds that are a dataset wherever they are found; a single array is one where it is named."""


def kind_of(found: Mapping[str, bytes]) -> Kind | None:
    """What the folder with these PROBES is; None where zarrlink does not know such a folder. Never raises."""
    documents = {key: document for key, data in found.items() if (document := _object(data)) is not None}
    zarr3 = documents.get("zarr.json", {})
    attributes = zarr3.get("attributes", {}) if zarr3 else documents.get(".zattrs", {})
    kind: Kind | None = None
    if isinstance(attributes, dict) and source_ngff.is_image(attributes):
        kind = "ome"
    elif isinstance(attributes, dict) and source_ngff.is_collection(attributes):
        kind = "collection"
    elif "shape" in documents.get(".zarray", {}) or zarr3.get("node_type") == "array":
        kind = "zarr"
    elif source_precomputed.is_volume(documents.get("info", {})):
        kind = "precomputed"
    elif source_n5.is_array(documents.get("attributes.json", {})):
        kind = "n5"
    elif source_n5.is_array(documents.get("s0/attributes.json", {})) or (
        "attributes.json" in documents and source_n5.parse_group(documents["attributes.json"]).scales
    ):
        kind = "n5 group"
    return kind


def _object(data: bytes) -> Json | None:
    try:
        document = json.loads(data) if len(data) <= MAX_PROBE_BYTES else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
