"""The JSON API: WEBKNOSSOS's routes and field names where it has them, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response as FastResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from zarrlink.annotations.downloads import Downloads
from zarrlink.annotations.large_uploads import LargeUploads
from zarrlink.annotations.shelf import Shelf
from zarrlink.catalogue.interface import Catalogue
from zarrlink.errors import InvalidRequest, MethodNotAllowed, UnknownKey
from zarrlink.http import problems
from zarrlink.http.annotation_api import add_routes
from zarrlink.http.api_models import (
    PROBLEM_ANSWERS,
    BuildInfo,
    DatasetBody,
    LinkBody,
    LinkChangeBody,
    Message,
    NewLinkBody,
    link_body,
)
from zarrlink.http.job_api import OpenResult, add_features, add_job_routes, create_result_routes
from zarrlink.http.sign_in import SignedIn, signed_in
from zarrlink.http.upload_api import add_upload_routes
from zarrlink.jobs.service import JobService
from zarrlink.library import Library, Subject
from zarrlink.links.interface import KEEP, LinkStore
from zarrlink.links.model import Link
from zarrlink.links.service import change_link, create_link
from zarrlink.links.token import KeyRing
from zarrlink.users.interface import User, Users

OLDEST_VERSION: Final = 10
CURRENT_VERSION: Final = 16


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the API needs. `public_url`: what addresses begin with, without a slash at the end.

    `uploads` None: here uploads of any size come through the form. `jobs` None: none run here. `open_result`: where their
    results are fetched from this process; None where they have addresses of their own.
    """

    library: Library
    catalogue: Catalogue
    shelf: Shelf
    downloads: Downloads
    links: LinkStore
    users: Users
    keys: KeyRing
    now_ms: Callable[[], int]
    public_url: str
    uploads: LargeUploads | None = None
    jobs: JobService | None = None
    open_result: OpenResult | None = None


def create_api(services: ApiServices, *others: APIRouter) -> FastAPI:
    """The API as an ASGI application, answering below /api; `others`: what else this zarrlink answers."""
    app = FastAPI(
        title="zarrlink",
        version="0.1.0",
        description="Private, expiring, revocable Zarr links. Sign in with a personal token in `X-Auth-Token`. "
        f"Every route also answers below /api/vN for N from {OLDEST_VERSION} to {CURRENT_VERSION}.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        # It would send the viewer to whatever Host the request named; `ApiDoor` takes both forms.
        redirect_slashes=False,
    )
    app.state.services = services
    routers = [_routes(services), *others]
    if services.jobs is not None and services.open_result is not None:
        routers.append(create_result_routes(services.jobs, services.open_result))
    app.state.routes = [route for router in routers for route in router.routes]
    for router in routers:
        app.include_router(router)
    for kind in (*problems.TABLE, Exception):
        app.add_exception_handler(kind, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    return app


def _routes(services: ApiServices) -> APIRouter:  # noqa: C901 (a list of routes)
    def show(link: Link, left_out: Sequence[str] = ()) -> LinkBody:
        return link_body(link, services.keys, services.public_url, left_out)

    api = APIRouter(prefix="/api", responses=PROBLEM_ANSWERS)

    @api.get("/buildinfo", summary="Which versions of the API are served, as WEBKNOSSOS's library asks before all else")
    def build_info() -> BuildInfo:
        return BuildInfo(
            httpApiVersioning={"currentApiVersion": CURRENT_VERSION, "oldestSupportedApiVersion": OLDEST_VERSION}
        )

    @api.get("/datasets", summary="The datasets that links can be made to", dependencies=[Depends(signed_in)])
    def datasets() -> list[DatasetBody]:
        return [DatasetBody(id=record.id, name=record.name) for record in services.catalogue.all()]

    @api.get("/zarrPrivateLinks", summary="Your links, newest first; expired ones are among them")
    def links(user: SignedIn) -> list[LinkBody]:
        return [show(link) for link in services.links.of_owner(user.name)]

    @api.get("/zarrPrivateLinks/byAnnotation/{source_id}", summary="Your links to an annotation or dataset")
    @api.get("/zarrPrivateLinks/byDataset/{source_id}", summary="Your links to a dataset")
    def links_to(source_id: str, user: SignedIn) -> list[LinkBody]:
        mine = services.links.of_owner(user.name)
        return [show(link) for link in mine if source_id in (link.view.dataset, link.view.annotation)]

    @api.post("/zarrPrivateLinks", summary="Make a link")
    async def create(body: NewLinkBody, user: SignedIn) -> LinkBody:
        new = await create_link(
            services.library, services.links, _subject(services, body, user), user.name, body.wish(), services.now_ms()
        )
        return show(new.link, new.left_out)

    @api.get("/zarrPrivateLinks/{link_id}", summary="One of your links, expired or not")
    def one(link_id: str, user: SignedIn) -> LinkBody:
        link = services.links.get(link_id)
        if link is None or link.owner != user.name or link.revoked_ms is not None:
            raise _no_link()
        return show(link)

    @api.put("/zarrPrivateLinks/{link_id}", summary="Rename, extend or shorten a link")
    def change(link_id: str, body: LinkChangeBody, user: SignedIn) -> LinkBody:
        link = one(link_id, user)
        for source in (body.dataset, body.annotation):
            if source is not None and source not in (link.dataset, link.annotation):
                raise InvalidRequest("what a link opens is fixed when it is made: make a new link")
        given = body.model_fields_set
        changed = change_link(
            services.links,
            link_id,
            user.name,
            name=body.name if "name" in given else KEEP,
            note=body.note if "note" in given else KEEP,
            expires_ms=body.expirationDateTime if "expirationDateTime" in given else KEEP,
        )
        if changed is None:
            raise _no_link()
        return show(changed)

    @api.delete("/zarrPrivateLinks/{link_id}", summary="Revoke a link, at once and for good")
    def revoke(link_id: str, user: SignedIn) -> Message:
        if services.links.revoke(link_id, user.name, services.now_ms()) is None:
            raise _no_link()
        return Message(messages=[{"success": "privateLink deleted"}])

    if services.uploads is not None:
        add_upload_routes(api, services.uploads, services.catalogue, services.now_ms)
    add_routes(api, services.shelf, services.library, services.downloads, services.now_ms)
    add_features(api, services.jobs)
    if services.jobs is not None:
        add_job_routes(api, services.jobs, services.catalogue, services.now_ms)
    return api


def _no_link() -> UnknownKey:
    return UnknownKey("you have no such link")


def _subject(services: ApiServices, body: NewLinkBody, user: User) -> Subject:
    """What a link is asked for. An annotation is its owner's alone."""
    given = [source for source in (body.dataset, body.annotation) if source is not None]
    if len(given) != 1:
        raise InvalidRequest("name either a dataset or an annotation")
    if body.annotation is not None:
        annotation = services.shelf.annotations.get(body.annotation)
        if annotation is not None and annotation.owner == user.name:
            return Subject(services.catalogue.get(annotation.dataset) if annotation.dataset else None, annotation)
    record = services.catalogue.get(given[0])
    if record is None:
        raise UnknownKey("there is no such dataset or annotation")
    return Subject(record)


async def _on_error(
    request: Request,  # noqa: ARG001 (the framework's form)
    error: Exception,
) -> FastResponse:
    response = problems.reply(error)
    return FastResponse(response.body, response.status, response.text_headers())


async def _on_invalid(request: Request, error: Exception) -> FastResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    # The place and the rule, never the value: it may be a secret.
    faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return await _on_error(request, InvalidRequest("; ".join(faults[:8])))


async def _on_http(request: Request, error: Exception) -> FastResponse:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        return await _on_error(request, MethodNotAllowed(request.method, _methods_at(request)))
    if error.status_code == 404:
        return await _on_error(request, UnknownKey("there is no such route"))
    return await _on_error(request, InvalidRequest("the request cannot be read"))


def _methods_at(request: Request) -> tuple[str, ...]:
    """What the address takes; the framework names only the methods of the first route that fits."""
    fitting = [
        route
        for route in request.app.state.routes
        if isinstance(route, Route) and route.path_regex.match(request.url.path)
    ]
    methods = {method for route in fitting for method in route.methods or ()}
    if "GET" in methods:
        methods.add("HEAD")  # `ApiDoor` answers it
    return tuple(sorted(methods))
