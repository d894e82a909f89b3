"""The data path: `/zarr/{token}/...` to a reply. What runs per chunk is here, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from zarrlink.answers import GET, Served, Want, serve_bytes
from zarrlink.byte_range import parse_range
from zarrlink.errors import InvalidRequest, LinkGone, MethodNotAllowed, UnknownKey
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.http import listing, page, problems
from zarrlink.http.message import CORS, PREFLIGHT, Request, Response
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Link
from zarrlink.links.token import KeyRing
from zarrlink.streaming import Place, Streamer

PREFIX: Final = "/zarr/"
# Metadata follows a dataset's description (contrast, names); chunks are what they are.
METADATA_MAX_AGE_S: Final = 60
_DIALECTS: Final[dict[str, Dialect]] = {"v2": "v2", "v3": "v3"}
_FOLDER: Final = re.compile(r"|(?:0|[1-9][0-9]{0,3})/?", re.ASCII)
# Broken, or not as RFC 3986 would have it: lower-case digits, or for a character that needs none. One object, one URL.
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-F]{2})|%(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)")
_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_NOT_FOUND: Final = problems.problem_body(
    problems.TABLE[UnknownKey], "this chunk was never written: fill value", "about:blank"
)


@dataclass(frozen=True, slots=True)
class DataPath:
    """What the data path needs. `now_ms`: ms since 1970. `viewer_max_age_s`: how long a browser may keep a chunk.
    `page_html`: the link page, which fetches its facts as JSON from its own address. `opened` is told the link's id at each
    answered GET of a metadata document of a layer (see `Uses`), never at a chunk. `answered` is told every answer to a key of a
    layer, None for a chunk that holds nothing."""

    keys: KeyRing
    links: LinkStore
    streamer: Streamer
    now_ms: Callable[[], int]
    page_html: bytes
    viewer_max_age_s: int = 300
    opened: Callable[[str], None] | None = None
    answered: Callable[[Served | None], None] | None = None

    async def respond(self, request: Request) -> Response:
        """The reply to any request below /zarr/. Never raises."""
        if request.method == "OPTIONS":
            return Response(204, PREFLIGHT)
        if request.method not in _METHODS:
            return problems.reply(MethodNotAllowed(request.method, _METHODS))
        try:
            token, slash, rest = request.path[len(PREFIX) :].partition("/")
            if rest == "" and not page.wants_facts(request):
                return self._page(token, request, folder=slash != "")
            link = self._open(token)
            if rest == "":
                return await page.link_facts(link, self.streamer, request)
            return await self._below(link, rest, request)
        except Exception as error:  # noqa: BLE001 (the last door: whatever it is, the reader must see a failure)
            return problems.reply(error, head=request.method == "HEAD")

    def _page(self, token: str, request: Request, *, folder: bool) -> Response:
        """A person with a dead link gets the page all the same: it says so better than JSON does."""
        try:
            self._open(token)
        except LinkGone:
            return page.html_page(410, self.page_html, request)
        return page.html_page(200, self.page_html, request) if folder else page.to_folder(token)

    def _open(self, token: str) -> Link:
        link = self.links.get(self.keys.link_id(token))
        if link is None:
            raise LinkGone("unknown")
        link.check(self.now_ms())
        return link

    async def _below(self, link: Link, rest: str, request: Request) -> Response:
        folder, _, below = rest.partition("/")
        dialect = _DIALECTS.get(folder)
        if dialect is None:
            _check_canonical(rest)
            raise UnknownKey("below a link there are v3 and v2")
        if below == "":
            return reply_served(
                serve_bytes(*listing.of_dialect(link, dialect, request.path), want_of(request)), b"no-store"
            )
        segment, _, key = below.partition("/")
        name = _layer_name(segment)
        if name is None:
            _check_canonical(below)
            raise UnknownKey("layers are addressed as NAME.zarr")
        want = want_of(request)
        if _FOLDER.fullmatch(key):
            opened = await self.streamer.open(link.view, link.geometry, name)
            return reply_served(
                serve_bytes(*listing.of_layer(opened.layer, dialect, key, request.path), want), b"no-store"
            )
        served = await self.streamer.answer(Place(link.view, link.geometry, dialect, name, key), want)
        if self.answered is not None:
            self.answered(served)
        if served is None:
            return self._absent(head=not want.body)
        if served.kind == "metadata" and want.body and self.opened is not None:
            self.opened(link.id)
        return reply_served(served, self._cache_control(served.kind))

    def _cache_control(self, kind: Literal["metadata", "chunk"]) -> bytes:
        limit = self.viewer_max_age_s
        seconds = limit if kind == "chunk" else min(limit, METADATA_MAX_AGE_S)
        return b"private, max-age=%d" % seconds if seconds > 0 else b"private, no-cache"

    def _absent(self, *, head: bool) -> Response:
        headers = (
            *CORS,
            (b"content-type", problems.PROBLEM_JSON.encode()),
            (b"content-length", b"%d" % len(_NOT_FOUND)),
            # A chunk that was never written is an answer like any other.
            (b"cache-control", self._cache_control("chunk")),
        )
        return Response(404, headers, b"" if head else _NOT_FOUND)


def want_of(request: Request) -> Want:
    """The conditions that a request carries."""
    headers = request.headers
    if request.method == "GET" and not (b"range" in headers or b"if-none-match" in headers):
        return GET
    listed = request.header(b"if-none-match")
    return Want(
        body=request.method != "HEAD",
        part=parse_range(request.header(b"range")) if request.method == "GET" else None,
        etags=tuple(etag.strip() for etag in listed.split(",")) if listed else (),
        range_etag=request.header(b"if-range"),
    )


def reply_served(served: Served, cache_control: bytes) -> Response:
    """200, 206 or 304."""
    common = (*CORS, (b"etag", served.etag.encode()), (b"cache-control", cache_control), (b"accept-ranges", b"bytes"))
    if served.unchanged:
        return Response(304, common)
    described = (*common, (b"content-type", served.media_type.encode()))
    part, data = served.part, served.data or b""
    if part is None:
        return Response(200, (*described, (b"content-length", b"%d" % served.length)), data)
    content_range = (b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, served.length))
    return Response(206, (*described, (b"content-length", b"%d" % len(part)), content_range), data)


def _layer_name(segment: str) -> str | None:
    """The layer that `NAME.zarr` names, None where it is no such form."""
    if "%" in segment:
        segment = _decoded(segment)
    if not segment.endswith(".zarr"):
        return None
    return segment.removesuffix(".zarr")


def _decoded(text: str) -> str:
    """Percent-decoded. Raises InvalidRequest for what is not UTF-8 or hides a separator."""
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest("the address is not UTF-8 in percent-encoding") from error
    if _BAD_ESCAPE.search(text) or any(separator in decoded for separator in "/\\\0"):
        raise InvalidRequest("the address has a broken or needless escape, or an encoded separator")
    return decoded


def _check_canonical(path: str) -> None:
    """Raises InvalidRequest for empty, dotted or badly encoded segments: nothing of ours is addressed so."""
    segments = path.removesuffix("/").split("/")
    if any(segment == "" or _decoded(segment) in (".", "..") for segment in segments):
        raise InvalidRequest("the address has empty or dotted segments")
