"""What the `webknossos` library asks of a server before it reads: who one is, and what a dataset consists of.

The voxels that follow (`cutout_api`, `webknossos_zarr`) are for one machine. A dataset is described by what can be read of
it here, without the folders that it lies in.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Depends, Request

from zarrlink.access import Act, may
from zarrlink.catalogue.interface import Catalogue
from zarrlink.errors import UnknownKey, UnsupportedLayer, ZarrlinkError
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.http.api_models import PROBLEM_ANSWERS
from zarrlink.http.dataset_api import dataset_body
from zarrlink.http.found import ReadableDataset
from zarrlink.http.sign_in import SignedIn, SignedInOrNot, not_signed_in, signed_in
from zarrlink.http.versions import API_VERSION
from zarrlink.http.webknossos_documents import ORGANIZATION, data_source, is_said
from zarrlink.http.webknossos_facts import STORE_NAME, store_facts
from zarrlink.http.webknossos_keys import NO_WORDS
from zarrlink.layer import Layer
from zarrlink.library import Library, Subject

# Up to this version of the API, arrays below /data/zarr are of Zarr v2.
_LAST_OF_ZARR_V2: Final = 14
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
    async def one(request: Request, record: ReadableDataset, who: SignedInOrNot) -> Json:
        layers, unavailable = await readable_layers(library, Subject(record))
        return {
            **dataset_body(record, who).model_dump(),
            "owningOrganization": ORGANIZATION,
            "allowedTeams": [],
            "folderId": "",
            "metadata": [],
            "dataStore": store_facts(public_url),
            "dataSource": data_source(record.name, layers, spoken_dialect(request)),
            "unavailable": unavailable,
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
        return [store_facts(public_url)]

    @routes.get("/tracingstore", summary="Where annotations are read", dependencies=[Depends(signed_in)])
    def tracingstore_facts() -> Json:
        return {"name": STORE_NAME, "url": public_url}

    return routes


def spoken_dialect(request: Request) -> Dialect:
    """What `zarr` means in the version of the API that a request names; without one, in the latest."""
    version: int | None = request.scope.get(API_VERSION)
    return "v3" if version is None or version > _LAST_OF_ZARR_V2 else "v2"


async def readable_layers(library: Library, subject: Subject) -> tuple[list[Layer], list[Json]]:
    """The layers of a dataset or annotation that WEBKNOSSOS has words for, and `name` and `reason` of every other one.

    Raises CorruptFile or SourceUnavailable where no layer is left and one of them is the reason.
    """
    names = await library.layer_names(subject)
    found = await asyncio.gather(
        *(library.layer(subject.view((name,)), name) for name in names), return_exceptions=True
    )
    layers: list[Layer] = []
    unavailable: list[Json] = []
    failures: list[BaseException] = []
    for name, opened in zip(names, found, strict=True):
        if isinstance(opened, BaseException):
            if not isinstance(opened, ZarrlinkError):
                raise opened
            if not isinstance(opened, UnsupportedLayer):
                failures.append(opened)
            unavailable.append({"name": name, "reason": str(opened)})
        elif is_said(opened.layer):
            layers.append(opened.layer)
        else:
            unavailable.append({"name": name, "reason": NO_WORDS})
    if failures and not layers:
        raise failures[0]
    return layers, unavailable
