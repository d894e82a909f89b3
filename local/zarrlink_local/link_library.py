"""A link of any zarrlink, read as a dataset: by its address alone, over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from numpy.typing import NDArray

from zarrlink.arrays.stores import Stores
from zarrlink.arrays.volume import StoredObject, Volume
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.errors import ExportFailed, InvalidRequest, SourceUnavailable, UnsupportedLayer, ZarrlinkError
from zarrlink.formats import source_zarr
from zarrlink.formats.datasource import ExtraAxis, LayerDescription, MagDescription
from zarrlink.formats.source_ngff import is_image, parse_image
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3
from zarrlink.http.page import layer_paths
from zarrlink.layer import LeadingAxis
from zarrlink.library import Library, Subject
from zarrlink.opening.foreign import read_foreign
from zarrlink.opening.volumes import LayerVolumes
from zarrlink.sources.documents import Documents
from zarrlink.sources.permission import parse_address
from zarrlink.sources.pyramid import axes_by_name
from zarrlink.storage.files import LocalFiles
from zarrlink.view import View
from zarrlink_local.link_answers import LinkUnavailable, ask, refusal, refusal_behind

_CLASSES: Final = {"float32": "float", "float64": "double"}


@dataclass(frozen=True, slots=True)
class LinkedLayer:
    """A layer as the link's page tells of it. `origin`: of all its arrays, in mag-1 voxels."""

    name: str
    category: str
    dtype: str
    channels: int
    mags: tuple[Mag, ...]
    origin: Vec3
    box: BoundingBox


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """`address`: the link's page, with a slash at its end; a secret."""

    address: str
    name: str
    created_ms: int
    voxel_size: VoxelSize
    layers: tuple[LinkedLayer, ...]


def read_link(address: str) -> LinkFacts:
    """What the link of an http or https address opens. Raises InvalidRequest for a link that is dead or is none,
    ExportFailed with what its server said."""
    parts = urlsplit(address)
    if parts.query or parts.fragment or parts.path.strip("/").split("/")[-2:-1] != ["zarr"]:
        raise InvalidRequest("a link's address ends in /zarr/TOKEN/")
    page = address.rstrip("/") + "/"
    try:
        return _facts(page, json.loads(ask(page)))
    except urllib.error.HTTPError as error:
        if error.code not in (404, 405, 422):
            raise _final(refusal(page, error)) from error
        error.close()
        raise InvalidRequest(f"{parts.netloc} answers {error.code} there: is it the address of a link?") from error
    except OSError as error:
        raise _final(refusal(page, error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"what {parts.netloc} answers there is no link of a zarrlink") from error


def _final(error: ZarrlinkError) -> ZarrlinkError:
    """Nothing was begun, so nothing is waited for."""
    return ExportFailed(str(error)) if isinstance(error, LinkUnavailable) else error


def _facts(page: str, document: dict[str, Any]) -> LinkFacts:
    dataset, size = document["dataset"] or document["annotation"] or {}, document["voxelSize"]
    x, y, z = size["factor"]
    return LinkFacts(
        address=page,
        name=str(dataset.get("name") or document["name"]),
        created_ms=int(datetime.fromisoformat(document["created"]).timestamp() * 1000),
        voxel_size=VoxelSize((x, y, z), size["unit"]),
        layers=tuple(
            LinkedLayer(
                name=layer["name"],
                category=layer["category"],
                dtype=layer["dtype"],
                channels=layer["channels"],
                mags=tuple(Mag.parse(mag) for mag in layer["mags"]),
                origin=vec3(layer["origin"]),
                box=BoundingBox.from_list(layer["box"]),
            )
            for layer in document["layers"]
        ),
    )


class LinkLibrary(Library):
    """The layers of one link as voxels, for exports. Each subject is that link."""

    def __init__(self, facts: LinkFacts) -> None:
        super().__init__(MemoryCatalogue(), _no_folder, monotonic=time.monotonic, freshness_s=0)
        self._facts = facts
        self._stores = Stores()

    def subject(self, view: View) -> Subject:  # noqa: ARG002 (there is but one)
        return Subject(DatasetRecord("link", self._facts.name, "", self._facts.created_ms))

    async def voxel_size(self, subject: Subject) -> VoxelSize:  # noqa: ARG002
        return self._facts.voxel_size

    async def volumes(self, subject: Subject, name: str, mapping: str | None = None) -> LayerVolumes:  # noqa: ARG002
        """Its mags' voxels lie where they do in the dataset, whatever part of it the link opens.

        Raises LinkUnavailable where the server fails, which may go better in a while.
        """
        try:
            return await self._volumes(name, mapping)
        except SourceUnavailable as error:
            raise await asyncio.to_thread(refusal_behind, error, self._facts.address) from error

    async def _volumes(self, name: str, mapping: str | None) -> LayerVolumes:
        if mapping is not None:
            raise InvalidRequest("a link shows its ids as it was made to: no mapping can be chosen")
        layer = next((layer for layer in self._facts.layers if layer.name == name), None)
        if layer is None:
            known = ", ".join(layer.name for layer in self._facts.layers)
            raise UnsupportedLayer(f"the link opens no layer {name!r}; it opens {known}")
        source = self._stores.source(parse_address(self._facts.address + layer_paths(name)["v3"]))
        documents = Documents(source)
        array = await documents.zarr_array("0/")
        if array is None:
            raise SourceUnavailable("the array of a mag is gone", key="0/zarr.json")
        axes = axes_by_name(array.names or ())
        starts = await _first_coordinates(documents)
        extra = tuple(ExtraAxis(axis, 0, array.shape[at], at) for axis, at in axes.others if array.shape[at] > 1)
        colour = layer.dtype == "uint8" and layer.channels == 3 and layer.category == "color"
        described = LayerDescription(
            name=name,
            category="segmentation" if layer.category == "segmentation" else "color",
            box=layer.box,
            element_class="uint24" if colour else _CLASSES.get(layer.dtype, layer.dtype),
            data_format="zarr3",
            channels=layer.channels,
            mags=tuple(MagDescription(mag, (str(k),), None, axes.order) for k, mag in enumerate(layer.mags)),
            view={},
            extra_axes=extra,
        )
        found = (await read_foreign(source, described, self._stores)).volumes
        if len(found.stored) < len(layer.mags):
            raise SourceUnavailable("the array of a mag is gone", key="zarr.json")
        leading = tuple(LeadingAxis(axis.name, starts.get(axis.name, 0), axis.end) for axis in extra)
        return _placed(replace(found, leading=leading), layer.origin, self._facts.address)


def _placed(found: LayerVolumes, origin: Vec3, page: str) -> LayerVolumes:
    def corner(mag: Mag) -> Vec3:
        return vec3([start // side for start, side in zip(origin, mag.xyz, strict=True)])

    first = tuple(axis.start for axis in found.leading)
    moved = found.changed(lambda mag, volume: _PlacedVolume(volume, corner(mag), first, page))
    return replace(moved, stored=[replace(stored, start=corner(stored.mag)) for stored in found.stored])


class _PlacedVolume:
    """A volume of the link at `page`, whose first voxel is `corner`, and whose additional axes begin at `first`."""

    def __init__(self, volume: Volume, corner: Vec3, first: tuple[int, ...], page: str) -> None:
        self._volume = volume
        self._corner = corner
        self._first = first
        self._page = page

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        low = vec3([at - corner for at, corner in zip(start, self._corner, strict=True)])
        high = vec3([at - corner for at, corner in zip(end, self._corner, strict=True)])
        index = tuple(at - first for at, first in zip(extra, self._first, strict=True))
        try:
            return await self._volume.read(low, high, index, channels)
        except SourceUnavailable as error:
            raise await asyncio.to_thread(refusal_behind, error, self._page) from error

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:  # noqa: ARG002
        """None: a server would have to send them whole."""
        return iter(())


async def _first_coordinates(documents: Documents) -> dict[str, int]:
    """By the name of an additional axis; of a group without OME metadata nothing."""
    attributes = await documents.zarr_attributes("", source_zarr.MAX_BYTES)
    if attributes is None or not is_image(attributes):
        return {}
    image = parse_image(attributes)
    shift = image.levels[0].translation
    return {} if shift is None else {axis.name: round(at) for axis, at in zip(image.axes, shift, strict=True)}


def _no_folder(location: str) -> LocalFiles:
    raise InvalidRequest(f"{location} is not read here")
