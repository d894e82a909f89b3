"""Datasets and annotations as WEBKNOSSOS streams them to its own library: Zarr below /data, to whoever may read them.

Arrays (c, x, y, z) that begin at voxel 0, in raw chunks of 32^3: what `Dataset.open_remote` of the library reads. `zarr`
is Zarr v2 up to version 14 of the API and v3 from then on, `zarr3_experimental` v3 in any: as upstream. OME-Zarr below a link
is the same voxels in fewer bytes. With a link's token in place of the id, the data path answers: `below_link`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from zarrlink.answers import GET, Served
from zarrlink.errors import CorruptFile, LinkGone, SourceChanged, UnknownKey
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.formats.zarr_v2 import GROUP
from zarrlink.geometry import Mag
from zarrlink.http import webknossos_keys
from zarrlink.http.api_models import PROBLEM_ANSWERS
from zarrlink.http.found import StreamedAnnotation, StreamedDataset
from zarrlink.http.webknossos_api import readable_layers, spoken_dialect
from zarrlink.http.webknossos_documents import array_documents, data_source, group_documents
from zarrlink.library import Library, Subject
from zarrlink.opening.opened import OpenLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = dict[str, Any]


def create_zarr_routes(library: Library, answered: Callable[[Served | None], None] = lambda _: None) -> APIRouter:
    """The routes, below /data. `answered` is told every answer to a chunk, None for one that holds nothing."""
    routes = APIRouter(prefix="/data", responses=PROBLEM_ANSWERS)

    def dataset(subject: StreamedDataset) -> Subject:
        return subject

    def annotation(subject: StreamedAnnotation) -> Subject:
        return subject

    for word, dialect in (("zarr", spoken_dialect), ("zarr3_experimental", _zarr3)):
        _add(routes, f"/{word}/{{dataset_id}}", dataset, library, dialect, answered)
        _add(routes, f"/annotations/{word}/{{annotation_id}}", annotation, library, dialect, answered)
    return routes


def _zarr3(request: Request) -> Dialect:  # noqa: ARG001 (as `spoken_dialect`)
    return "v3"


def _add(
    routes: APIRouter,
    prefix: str,
    find: Callable[..., Subject],
    library: Library,
    find_dialect: Callable[[Request], Dialect],
    answered: Callable[[Served | None], None],
) -> None:
    found, spoken = Depends(find), Depends(find_dialect)

    async def description(subject: Subject = found, dialect: Dialect = spoken) -> Json:
        layers, unavailable = await readable_layers(library, subject)
        name = subject.annotation.name if subject.annotation else subject.dataset.name if subject.dataset else ""
        return {**data_source(name, layers, dialect), "unavailable": unavailable}

    def root(subject: Subject = found, dialect: Dialect = spoken) -> Json:  # noqa: ARG001 (must be there)
        return _document({".zgroup": GROUP} if dialect == "v2" else {}, ".zgroup")

    async def group(layer: str, document: str, subject: Subject = found, dialect: Dialect = spoken) -> Json:
        return _document(group_documents((await _open(library, subject, layer)).layer, dialect), document)

    async def key(
        layer: str, mag: str, key: str, subject: Subject = found, dialect: Dialect = spoken
    ) -> Response | Json:
        if key not in webknossos_keys.DOCUMENTS:
            return await chunk(layer, mag, key, subject)
        opened = await _open(library, subject, layer)
        return _document(array_documents(opened.layer, opened.layer.levels[_number(opened, mag)], dialect), key)

    async def chunk(layer: str, mag: str, key: str, subject: Subject) -> Response:
        position = webknossos_keys.chunk_position(key)
        if position is None:
            raise UnknownKey("chunks are called 0.X.Y.Z")
        try:
            voxels = await _read(library, subject, layer, mag, position)
        except UnknownKey as error:
            # Whoever asks for a chunk has read that there is such a layer and mag: 404 would be fill value to them.
            raise LinkGone("the layer or mag is not there any more") from error
        served = None if voxels is None else webknossos_keys.served_chunk(voxels, GET)
        answered(served)
        if served is None:
            raise UnknownKey("there is nothing but fill value")
        return Response(served.data, media_type=served.media_type, headers={"cache-control": "no-store"})

    routes.get(f"{prefix}/datasource-properties.json", summary="What is streamed, in WEBKNOSSOS's words")(description)
    routes.get(f"{prefix}/.zgroup", summary="All layers as a group of Zarr v2")(root)
    routes.get(f"{prefix}/{{layer}}/{{document}}", summary="A layer as a group of its mags")(group)
    of_array, summary = f"{prefix}/{{layer}}/{{mag}}/{{key}}", "A mag of a layer as an array: its metadata, or a chunk"
    routes.get(of_array, summary=summary, response_model=None)(key)


def _document(documents: dict[str, Json], name: str) -> Json:
    document = documents.get(name)
    if document is None:
        raise UnknownKey("there is no such document here")
    return document


async def _open(library: Library, subject: Subject, name: str) -> OpenLayer:
    if name not in await library.layer_names(subject):
        raise UnknownKey(f"there is no layer {name!r}")
    opened = await library.layer(subject.view((name,)), name)
    webknossos_keys.check_said(opened.layer)
    return opened


async def _read(
    library: Library, subject: Subject, name: str, mag: str, position: tuple[int, int, int, int]
) -> NDArray[Any] | None:
    try:
        opened = await _open(library, subject, name)
        return await webknossos_keys.read_chunk(opened, _number(opened, mag), position)
    except (SourceChanged, CorruptFile):
        # As for the chunks of links: all is read anew, once.
        library.doubt(subject.view((name,)), name)
        opened = await _open(library, subject, name)
        return await webknossos_keys.read_chunk(opened, _number(opened, mag), position)


def _number(opened: OpenLayer, mag: str) -> int:
    number = webknossos_keys.find_level(opened.layer, mag)
    if number is None:
        raise UnknownKey(f"layer {opened.layer.name!r} has no mag {Mag.parse(mag).literal}")
    return number
