"""The JSON API: WEBKNOSSOS's routes and field names where it has them, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request
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
from zarrlink.http.annotation_api import add_annotation_routes
from zarrlink.http.api_models import PROBLEM_ANSWERS, BuildInfo
from zarrlink.http.dataset_api import add_dataset_routes
from zarrlink.http.job_api import OpenResult, add_features, add_job_routes, create_result_routes
from zarrlink.http.link_api import add_link_routes
from zarrlink.http.openapi import describe
from zarrlink.http.upload_api import add_upload_routes
from zarrlink.http.versions import CURRENT_VERSION, OLDEST_VERSION
from zarrlink.jobs.service import JobService
from zarrlink.library import Library
from zarrlink.links.interface import LinkStore
from zarrlink.links.token import Tokens
from zarrlink.users.interface import Users
from zarrlink.users.vouching import Vouchers


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the API needs. `public_url`: what addresses begin with, without a slash at the end.

    `uploads` None: here uploads of any size come through the form. `jobs` None: none run here. `open_result`: where their
    results are fetched from this process; None where they have addresses of their own. `place_of`: the location, in the one
    form that the catalogue knows it by, of a folder or address that datasets may be registered at; it raises InvalidRequest for
    another. None: they are registered from the command line alone. `has_edge`: whether a CDN stands in front, which is to be told
    of revocations (`zarrlink.edge.sync`).
    """

    library: Library
    catalogue: Catalogue
    shelf: Shelf
    downloads: Downloads
    links: LinkStore
    users: Users
    keys: Tokens
    now_ms: Callable[[], int]
    public_url: str
    uploads: LargeUploads | None = None
    jobs: JobService | None = None
    open_result: OpenResult | None = None
    place_of: Callable[[str], str] | None = None
    vouchers: Vouchers = field(default_factory=Vouchers)
    has_edge: bool = False


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
    app.openapi = _described_once(app, services.public_url)  # type: ignore[method-assign]  # as the framework would have it
    return app


def _described_once(app: FastAPI, public_url: str) -> Callable[[], dict[str, Any]]:
    return cache(lambda: describe(app, public_url))


def _routes(services: ApiServices) -> APIRouter:
    api = APIRouter(prefix="/api", responses=PROBLEM_ANSWERS)

    @api.get("/buildinfo", summary="Which versions of the API are served, as WEBKNOSSOS's library asks before all else")
    def build_info() -> BuildInfo:
        return BuildInfo(
            httpApiVersioning={"currentApiVersion": CURRENT_VERSION, "oldestSupportedApiVersion": OLDEST_VERSION}
        )

    add_dataset_routes(api, services)
    add_link_routes(api, services)
    if services.uploads is not None:
        add_upload_routes(api, services, services.uploads)
    add_annotation_routes(api, services)
    add_features(api, services.jobs)
    if services.jobs is not None:
        add_job_routes(api, services.jobs, services.catalogue, services.now_ms)
    return api


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
