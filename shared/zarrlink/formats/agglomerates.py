"""Agglomerate files, WEBKNOSSOS's segment mappings: how they are named and where they lie.

Sources: webknossos-libs, docs/src/webknossos-py/spec/agglomerate_attachment.md (version 4: the Zarr form, and what the
arrays mean in both); webknossos, Hdf5AgglomerateService.scala, ZarrAgglomerateService.scala, DataLayerAttachments.scala.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from zarrlink.errors import InvalidRequest, UnsupportedLayer, brief
from zarrlink.formats.json_values import is_text
from zarrlink.geometry import Mag

TABLE: Final = "segment_to_agglomerate"
"""The array that says which agglomerate a segment belongs to: entry `segment id`, for every id from 0 on."""
FOLDER: Final = "agglomerates"
MAX_ATTACHMENTS: Final = 1000
# MaxMagForAgglomerateMapping of BinaryDataService.scala.
WEBKNOSSOS_MAX_MAG: Final = 16


@dataclass(frozen=True, slots=True)
class Attachment:
    """An entry of a layer's `attachments.agglomerates`, as it stands there; `path` may be anything."""

    name: str
    path: str
    data_format: str


@dataclass(frozen=True, slots=True)
class MappingFile:
    """Where a mapping may lie. `path`, relative to the dataset: an HDF5 file, or the folder of a Zarr v3 group."""

    form: Literal["hdf5", "zarr3"]
    path: str


def applies_in_webknossos(mag: Mag) -> bool:
    """Whether WEBKNOSSOS itself maps segments of this mag: up to 16 along every axis, coarser ones it sends unmapped.

    zarrlink maps every mag (docs/decisions/0013): a pyramid whose coarse levels have other ids than its fine ones is no
    pyramid, and whoever reads a coarse level alone would take raw segment ids for agglomerates.
    """
    return max(mag.xyz) <= WEBKNOSSOS_MAX_MAG


def check_mapping_name(name: str) -> None:
    """A mapping's name is one segment of a path. Raises InvalidRequest for one that cannot be."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or not is_text(name) or len(name) > 200:
        raise InvalidRequest(f"{brief(name)} cannot be the name of a mapping")


def parse_attachments(attachments: object) -> tuple[Attachment, ...]:
    """The agglomerate files of a layer's `attachments` as parsed from JSON; entries that make no sense are left out."""
    listed = attachments.get(FOLDER) if isinstance(attachments, dict) else None
    found = []
    for entry in listed[:MAX_ATTACHMENTS] if isinstance(listed, list) else []:
        fields = [entry.get(word) for word in ("name", "path", "dataFormat")] if isinstance(entry, dict) else []
        texts = [field for field in fields if isinstance(field, str)]
        if len(texts) == 3:
            found.append(Attachment(*texts))
    return tuple(found)


def candidates(layer_name: str, mapping_name: str, attachments: Iterable[Attachment]) -> tuple[MappingFile, ...]:
    """Where to look for a mapping, in this order; the first that is there counts.

    A mapping that the layer's description names lies where that says, and nowhere else: another file that happens to
    have its name would be another mapping. Else the classic places beside the layer's mags.
    Raises InvalidRequest for a name that cannot be one, UnsupportedLayer where the described place cannot be read.
    """
    check_mapping_name(mapping_name)
    for attachment in attachments:
        if attachment.name == mapping_name:
            return (_described(layer_name, attachment),)
    place = f"{layer_name}/{FOLDER}/{mapping_name}"
    return MappingFile("hdf5", f"{place}.hdf5"), MappingFile("zarr3", place)


def _described(layer_name: str, attachment: Attachment) -> MappingFile:
    what = f"layer {layer_name!r}: its mapping {brief(attachment.name)}"
    path = posixpath.normpath(attachment.path)
    outside = "://" in attachment.path or path.startswith("/") or path.split("/")[0] in ("..", ".")
    if outside or not is_text(attachment.path):
        raise UnsupportedLayer(f"{what} lies outside the dataset's folder, where zarrlink does not read")
    match attachment.data_format.lower():
        case "hdf5":
            return MappingFile("hdf5", path)
        case "zarr3":
            return MappingFile("zarr3", path)
    raise UnsupportedLayer(f"{what} has the format {brief(attachment.data_format)}; read are hdf5 and zarr3")
