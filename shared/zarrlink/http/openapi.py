"""The description of the API that it serves of itself: what the framework knows of the routes, and what it cannot know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from zarrlink.http.api_models import ProblemBody
from zarrlink.http.openapi_links import TAG, describe_tokens, link_paths
from zarrlink.http.problems import PROBLEM_JSON
from zarrlink.http.sign_in import signed_in, signed_in_anyway

Json = dict[str, Any]
T = TypeVar("T")
# The first that an address begins with.
_TAGS: Final = {
    "/zarr": TAG,
    "/api/datasets": ("datasets", "Find, describe, share and forget datasets, and look at them."),
    "/api/annotations": ("annotations", "Import and download annotations, describe, share and remove them."),
    "/api/zarrPrivateLinks": ("links", "Private, expiring, revocable addresses of Zarr data."),
    "/api/jobs": ("exports", "Long jobs, and what they made."),
    "/data/exports": ("exports", ""),
    "/data": ("voxels", "Voxels as WEBKNOSSOS's own library reads them. Links are what other tools read."),
    "/api": ("server", "What this server is, and who you are."),
}
# Beside what the routers say that every route may answer.
_ALSO: Final[dict[str, tuple[int, ...]]] = {
    "/data/exports": (410, 416),
    "/data": (410,),
    "/api/jobs": (410, 429),
    "/api/annotations": (410, 429),
}
_BYTES: Final = "application/octet-stream"
_CHUNK: Final = "/{key}"
# What is no JSON, by address; chunks as well.
_FILES: Final[dict[str, tuple[str, ...]]] = {
    "/api/annotations/{annotation_id}/download": ("application/xml", "application/zip"),
    "/data/datasets/{dataset_id}/layers/{layer}/data": (_BYTES,),
    "/data/exports/{job_id}/download": ("image/tiff", "application/zip", "application/xml"),
}
_UPLOAD: Final[Json] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "NAME.nml or NAME.zip"},
                    "datasetId": {"type": "string", "description": "Absent: the dataset that the NML names."},
                },
            }
        }
    },
}


def describe(app: FastAPI, public_url: str) -> Json:
    """The OpenAPI document (3.1)."""
    routes = [route for route in app.state.routes if isinstance(route, APIRoute)]
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": public_url}],
        tags=[{"name": name, "description": text} for name, text in _TAGS.values() if text],
    )
    required = {(route.path_format, method) for route in routes for method in route.methods or () if _needs_user(route)}
    problems: set[int] = set()
    document["paths"] |= link_paths()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["tags"] = [_of(path, _TAGS, ("server", ""))[0]]
            _describe_answers(path, operation)
            describe_tokens(path, operation)
            problems |= _describe_problems(path, operation)
            if operation.get("security") and (path, method.upper()) not in required:
                # What is public, anybody gets.
                operation["security"].append({})
    document["paths"]["/api/annotations/upload"]["post"]["requestBody"] = _UPLOAD
    components = document["components"]
    components["responses"] = {str(status): _problem(status) for status in sorted(problems)}
    components["schemas"]["ProblemBody"] = ProblemBody.model_json_schema()
    return document


def _describe_answers(path: str, operation: Json) -> None:
    answers = operation["responses"]
    media_types = (_BYTES,) if path.endswith(_CHUNK) else _FILES.get(path)
    if media_types:
        file = {media: {"schema": {"type": "string", "format": "binary"}} for media in media_types}
        answers["200"] = {"description": "The bytes.", "content": file}
    if path.startswith("/data/exports"):
        answers["206"] = {**answers["200"], "description": "A range of the bytes."}
        answers["304"] = {"description": "They are what the client has."}
    if path == "/api/annotations/{annotation_id}/download":
        answers["303"] = {"description": "It lies at another address, for some minutes."}
    if "303" in answers:
        answers["303"].pop("content", None)
        answers["303"]["headers"] = {"Location": {"schema": {"type": "string"}}}


def _describe_problems(path: str, operation: Json) -> set[int]:
    """One description of a status for all routes; gives those that this one has."""
    answers = operation["responses"]
    found = {int(status) for status in answers if status.isdigit() and int(status) >= 400}
    found |= set(_of(path, _ALSO, ()))
    for status in found:
        if "text/html" in answers.get(str(status), {}).get("content", {}):
            continue
        answers[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return found


def _problem(status: int) -> Json:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _of(path: str, table: Mapping[str, T], default: T) -> T:
    return next((value for prefix, value in table.items() if path.startswith(prefix)), default)


def _needs_user(route: APIRoute) -> bool:
    return any(call in (signed_in, signed_in_anyway) for call in _calls(route.dependant))


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
