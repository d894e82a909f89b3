"""What is below a link, for the description of the API: the framework knows nothing of the data path."""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

TAG: Final = ("zarr", "Zarr below a link, for whoever has its address. Every address takes HEAD as well.")
_ABOUT: Final = "The secret part of the link's address."
_HTML: Final = "text/html"
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
# Of what lies below: no such word, another layer or a dead link, a range behind its end, stored data damaged or out of reach.
_BELOW: Final = (400, 404, 405, 410, 416, 500, 502, 503)
_NUMBER: Final[Json] = {"type": "integer", "minimum": 0}
_SCHEMAS: Final[dict[str, Json]] = {
    "token": {"type": "string", "description": _ABOUT},
    "layer": {"type": "string"},
    "level": {**_NUMBER, "description": "0 is the finest."},
    "document": {"type": "string", "enum": [".zgroup", ".zattrs", ".zmetadata"]},
    **dict.fromkeys("zyx", _NUMBER),
}
_PLACES: Final[dict[str, tuple[str, str]]] = {
    "v3/{layer}.zarr/zarr.json": ("OME-Zarr 0.5: a layer with its levels", _JSON),
    "v3/{layer}.zarr/{level}/zarr.json": ("OME-Zarr 0.5: a level as an array (z, y, x)", _JSON),
    "v3/{layer}.zarr/{level}/c/{z}/{y}/{x}": ("OME-Zarr 0.5: a shard; of several channels /c/{c}/{z}/{y}/{x}", _BYTES),
    "v2/{layer}.zarr/{document}": ("OME-Zarr 0.4: a layer with its levels", _JSON),
    "v2/{layer}.zarr/{level}/.zarray": ("OME-Zarr 0.4: a level as an array (z, y, x)", _JSON),
    "v2/{layer}.zarr/{level}/{z}/{y}/{x}": ("OME-Zarr 0.4: a chunk; of several channels /{c}/{z}/{y}/{x}", _BYTES),
}
_OF_ANNOTATIONS: Final = "/data/annotations/"
_ID: Final = "annotation_id"


def link_paths() -> dict[str, Json]:
    """The addresses below /zarr/{token}."""
    page = _operation("/zarr/{token}/", "A link's page, or what it opens as JSON", (400, 405, 410, 500, 502, 503))
    page["responses"]["200"] = {"description": "The page.", "content": {_HTML: {}, _JSON: {}}}
    # People are told by the page itself.
    page["responses"]["410"] = {
        "description": "The link is dead.",
        "content": {_HTML: {}, "application/problem+json": {}},
    }
    found = {"/zarr/{token}": {"get": _without_slash(page)}, "/zarr/{token}/": {"get": page}}
    for below, (summary, media_type) in _PLACES.items():
        path = f"/zarr/{{token}}/{below}"
        operation = _operation(path, summary, _BELOW)
        _add_parts(operation, media_type)
        found[path] = {"get": operation}
    return found


def describe_tokens(path: str, operation: Json) -> None:
    """Say of a route of annotations below /data that a link's token may stand in place of the id."""
    if not path.startswith(_OF_ANNOTATIONS):
        return
    for parameter in operation["parameters"]:
        if parameter["name"] == _ID:
            parameter["description"] = "Its id, or the token of a link: then nobody needs to be signed in."
    content = operation["responses"]["200"].setdefault("content", {})
    # A mag without anything behind it is a folder.
    content.setdefault(_HTML, {})
    operation["responses"] |= {str(status): {} for status in (410, 416, 500)}
    operation["responses"]["206"] = {"description": "A range of it, of a link's.", "content": content}
    operation["responses"]["304"] = {"description": "It is what the client has, of a link's."}


def _without_slash(page: Json) -> Json:
    """The page's address without its last slash: programs get the same JSON, people are sent to the page."""
    responses = {
        **page["responses"],
        "200": {"description": "What it opens, where JSON is asked for.", "content": {_JSON: {}}},
        "308": {
            "description": "To the page, without the query.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
    }
    return {
        **page,
        "summary": "The page's address without its last slash",
        "operationId": "below_a_link_zarr_token_without_slash",
        "parameters": [dict(parameter) for parameter in page["parameters"]],
        "responses": responses,
    }


def _operation(path: str, summary: str, problems: tuple[int, ...]) -> Json:
    names = [name for name in _SCHEMAS if f"{{{name}}}" in path]
    return {
        "summary": summary,
        "operationId": f"below_a_link_{'_'.join(part.strip('{}.') for part in path.split('/') if part)}",
        "parameters": [{"name": name, "in": "path", "required": True, "schema": _SCHEMAS[name]} for name in names],
        # Whoever has the address.
        "security": [],
        "responses": {str(status): {} for status in problems},
    }


def _add_parts(operation: Json, media_type: str) -> None:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} if media_type == _BYTES else {}}
    headers = {"ETag": {"schema": {"type": "string"}}}
    operation["responses"] |= {
        "200": {"description": "The whole.", "content": content, "headers": headers},
        "206": {"description": "A range of it.", "content": content, "headers": headers},
        "304": {"description": "It is what the client has."},
    }
