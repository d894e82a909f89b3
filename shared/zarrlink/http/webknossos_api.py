"""What the `webknossos` library asks of a server before it reads: who one is, and what a dataset consists of.

The voxels that follow (`cutout_api`, `webknossos_zarr`) are for one machine. A dataset is described by what can be read of
it here, without the folders that it lies in.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Depends

from zarrlink.access import Act, may
from zarrlink.annotations.nml_identity import DatasetIdentity, Identity
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import UnknownKey, UnsupportedLayer
from zarrlink.geometry import LENGTH_UNITS
from zarrlink.http.api_models import PROBLEM_ANSWERS
from zarrlink.http.catalogue_models import DatasetBody, UnopenedDatasetBody
from zarrlink.http.dataset_api import dataset_body
from zarrlink.http.found import ReadableDataset
from zarrlink.http.sign_in import SignedIn, SignedInOrNot, not_signed_in, signed_in
from zarrlink.layer import Layer
from zarrlink.library import Library, Subject
from zarrlink.opening.opened import OpenLayer

# There is one: everybody who can sign in. The library asks for its name.
ORGANIZATION: Final = "zarrlink"
STORE_NAME: Final = "zarrlink"
Json = dict[str, Any]


def create_webknossos_routes(library: Library, catalogue: Catalogue, public_url: str) -> APIRouter:
    """The routes, below /api. `public_url`: as in ApiServices."""
    routes = APIRouter(prefix="/api", responses=PROBLEM_ANSWERS)

    @routes.get("/user", summary="Who you are")
    def user(user: SignedIn) -> Json:
        return {
            "id": user.name,
            "email": "",
            "firstName": user.name,
            "lastName": "",
            "organization": ORGANIZATION,
            "created": user.created_ms,
            "lastActivity": user.created_ms,
            "isActive": True,
            "isAdmin": user.is_admin,
            "isDatasetManager": False,
            "teams": [],
            "experiences": {},
        }

    @routes.get("/datasets/{dataset_id}", summary="A dataset and its layers, as far as they can be read")
    async def one(record: ReadableDataset, who: SignedInOrNot) -> Json:
        layers = [opened.layer for opened in (await open_layers(library, Subject(record))).values()]
        return {
            **dataset_body(record, who).model_dump(),
            "owningOrganization": ORGANIZATION,
            "allowedTeams": [],
            "folderId": "",
            "metadata": [],
            "dataStore": _store(public_url),
            "dataSource": data_source(record.name, layers),
        }

    @routes.get("/datasets/disambiguate/{organization}/{name}/toId", summary="The dataset of a name")
    def to_id(organization: str, name: str, who: SignedInOrNot) -> Json:
        readable = [record for record in catalogue.all() if may(who, Act.READ, record)]
        named = [record for record in readable if record.name == name and organization == ORGANIZATION]
        if not named:
            raise not_signed_in() if who is None else UnknownKey("there is no such dataset")
        record = named[0]
        return {"id": record.id, "name": name, "directoryName": name, "organization": ORGANIZATION}

    @routes.get("/datastores", summary="Where voxels are read", dependencies=[Depends(signed_in)])
    def stores() -> list[Json]:
        return [_store(public_url)]

    @routes.get("/tracingstore", summary="Where annotations are read", dependencies=[Depends(signed_in)])
    def tracing_store() -> Json:
        return {"name": STORE_NAME, "url": public_url}

    return routes


def identity_of(record: AnnotationRecord, dataset: DatasetRecord | None) -> Identity:
    """The ids by which the library opens an annotation from here."""
    named = None if dataset is None else DatasetIdentity(dataset.id, dataset.name, ORGANIZATION)
    return Identity(record.id, record.owner, named)


def unopened(body: DatasetBody, public_url: str) -> UnopenedDatasetBody:
    """A dataset in a list, where it costs too much to open each."""
    identity = {"name": body.name, "team": ORGANIZATION}
    return UnopenedDatasetBody(
        **body.model_dump(),
        owningOrganization=ORGANIZATION,
        folderId="",
        allowedTeams=[],
        dataStore=_store(public_url),
        dataSource={"id": identity, "status": "its layers are told where it is asked for alone"},
    )


def _store(public_url: str) -> Json:
    return {
        "name": STORE_NAME,
        "url": public_url,
        "isScratch": False,
        "allowsUpload": False,
        "jobsEnabled": False,
        "jobsSupportedByAvailableWorkers": [],
    }


async def open_layers(library: Library, subject: Subject) -> dict[str, OpenLayer]:
    """The layers of a dataset or annotation that WEBKNOSSOS has words for, by name; what cannot be read is left out.

    Raises CorruptFile, SourceUnavailable.
    """

    async def opened(name: str) -> OpenLayer | None:
        try:
            return await library.layer(subject.view((name,)), name)
        except UnsupportedLayer:
            return None

    names = await library.layer_names(subject)
    found = await asyncio.gather(*map(opened, names))
    return {name: layer for name, layer in zip(names, found, strict=True) if layer is not None and is_said(layer.layer)}


def is_said(layer: Layer) -> bool:
    """Whether WEBKNOSSOS's library has words for a layer: one channel or red, green and blue, and no additional axis."""
    return not layer.leading and (layer.channels == 1 or (layer.channels, layer.dtype) == (3, "uint8"))


def data_source(name: str, layers: list[Layer]) -> Json:
    """The description of a dataset as its stream serves it: arrays of Zarr v3, by layer and mag."""
    identity = {"name": name, "team": ORGANIZATION}
    if not layers:
        return {"id": identity, "status": "none of its layers can be read here"}
    size = layers[0].voxel_size
    unit = size.unit if size.unit in LENGTH_UNITS else "nanometer"
    return {
        "id": identity,
        "scale": {"factor": list(size.factor), "unit": unit},
        "dataLayers": [_layer(layer) for layer in layers],
    }


def _layer(layer: Layer) -> Json:
    (x, y, z), (width, height, depth) = layer.box.top_left, layer.box.size
    return {
        "name": layer.name,
        "category": layer.category,
        "boundingBox": {"topLeft": [x, y, z], "width": width, "height": height, "depth": depth},
        "elementClass": "uint24" if layer.channels > 1 else layer.element_class,
        "numChannels": layer.channels,
        "dataFormat": "zarr3",
        "mags": [
            {
                "mag": list(level.mag.xyz),
                "path": f"./{layer.name}/{level.mag.literal}",
                "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3},
            }
            for level in layer.levels
        ],
    }
