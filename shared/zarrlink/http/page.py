"""The link's page: what it opens, as HTML for people and as JSON for the page itself and for programs."""

from __future__ import annotations

import asyncio
import json
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import ZarrlinkError
from zarrlink.geometry import BoundingBox, vec3
from zarrlink.http.listing import HTML
from zarrlink.http.message import CORS, SECRET_PAGE, Headers, Request, Response
from zarrlink.http.webknossos_documents import is_said
from zarrlink.layer import Layer
from zarrlink.links.model import Link, iso_time
from zarrlink.metadata import shown_window
from zarrlink.opening.opened import OpenLayer
from zarrlink.streaming import Streamer

# The address is a secret: it must not lie in a cache.
_HTML_HEADERS: Final[Headers] = (
    (b"content-type", HTML.encode()),
    (b"cache-control", b"no-store"),
    (b"vary", b"Accept"),
    *SECRET_PAGE,
)


def read_page_html() -> bytes:
    """The page itself, which comes with the package."""
    return resources.files("zarrlink_web").joinpath("link.html").read_bytes()


def wants_facts(request: Request) -> bool:
    """Whether `Accept` asks for JSON and not for HTML."""
    accept = request.header(b"accept") or ""
    return "application/json" in accept and "text/html" not in accept


def html_page(status: int, page_html: bytes, request: Request) -> Response:
    """The page, which asks for its facts itself: with status 410 it is the one that says so."""
    headers = (*CORS, *_HTML_HEADERS, (b"content-length", b"%d" % len(page_html)))
    return Response(status, headers, b"" if request.method == "HEAD" else page_html)


def to_folder(token: str) -> Response:
    """To the same address with a slash at its end, from which the page's relative addresses start.

    They are relative since a stage name may stand before everything (API Gateway).
    """
    headers = ((b"location", f"./{token}/".encode()), (b"content-length", b"0"), (b"cache-control", b"no-store"))
    return Response(308, (*CORS, *headers, (b"referrer-policy", b"no-referrer")))


async def link_facts(link: Link, streamer: Streamer, request: Request) -> Response:
    """What the page shows, as JSON."""
    body = json.dumps(await describe_link(link, streamer)).encode()
    headers = (
        *CORS,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept"),
    )
    return Response(200, headers, b"" if request.method == "HEAD" else body)


async def describe_link(link: Link, streamer: Streamer) -> dict[str, Any]:
    """What the page shows. Addresses are relative to it; a layer that cannot be opened is named with the reason.

    Raises as Streamer.open does where no layer can be opened.
    """
    names = link.view.layers
    found = await asyncio.gather(
        *(streamer.open(link.view, link.geometry, name) for name in names), return_exceptions=True
    )
    opened = [layer for layer in found if isinstance(layer, OpenLayer)]
    failures = {name: error for name, error in zip(names, found, strict=True) if isinstance(error, BaseException)}
    for error in failures.values():
        if not opened or not isinstance(error, ZarrlinkError):
            raise error
    first, subject = opened[0], streamer.library.subject(link.view)
    return {
        "name": link.name,
        "note": link.note,
        "dataset": _named(subject.dataset),
        "annotation": _named(subject.annotation),
        "created": iso_time(link.created_ms),
        "expires": None if link.expires_ms is None else iso_time(link.expires_ms),
        "voxelSize": {"factor": list(first.layer.voxel_size.factor), "unit": first.layer.voxel_size.unit},
        "box": _hull([layer.layer.box for layer in opened]).to_list(),
        "layers": [_layer(layer.layer) for layer in opened],
        "unavailable": [{"name": name, "reason": str(error)} for name, error in failures.items()],
    }


def _named(record: DatasetRecord | AnnotationRecord | None) -> dict[str, str] | None:
    return None if record is None else {"id": record.id, "name": record.name}


def _hull(boxes: list[BoundingBox]) -> BoundingBox:
    """The smallest box around all boxes."""
    start = vec3([min(box.top_left[axis] for box in boxes) for axis in range(3)])
    end = [max(box.bottom_right[axis] for box in boxes) for axis in range(3)]
    return BoundingBox(start, vec3([high - low for low, high in zip(start, end, strict=True)]))


def layer_paths(name: str) -> dict[str, str]:
    """Where a layer lies below its link, by dialect."""
    segment = quote(name, safe="")
    return {"v3": f"v3/{segment}.zarr", "v2": f"v2/{segment}.zarr"}


def layer_addresses(page: str, name: str) -> dict[str, str]:
    """Complete addresses of a layer of the link that has its page there, by dialect. `webknossos`: of the arrays that
    WEBKNOSSOS's own library reads, in the latest version of its API."""
    above, _, token = page.removesuffix("/").rpartition("/zarr/")
    below = {dialect: page + path for dialect, path in layer_paths(name).items()}
    return {**below, "webknossos": f"{above}/data/annotations/zarr/{token}/{quote(name, safe='')}"}


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "category": layer.category,
        "dtype": layer.dtype,
        "channels": layer.channels,
        "mags": [level.mag.literal for level in layer.levels],
        "shapes": [list(reversed(level.shape)) for level in layer.levels],
        "origin": list(layer.origin),
        "box": layer.box.to_list(),
        "window": shown_window(layer),
        "notes": list(layer.notes),
        **layer_paths(layer.name),
        # Beside the link's page and not below it; null where that dialect has no words for the layer.
        "webknossos": quote(layer.name, safe="") if is_said(layer) else None,
    }
