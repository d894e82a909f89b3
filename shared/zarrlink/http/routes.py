"""The data path: an address below a link to a reply. What runs per chunk is here, and nothing else.

Without a CDN in front, links are checked here: `/zarr/{token}/...`, and `/data/annotations/zarr/{token}/...` as WEBKNOSSOS has
it. Behind one they come checked, as `/c/...` and `/u/...` (see `zarrlink.edge.addresses`), and nothing else is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from zarrlink.answers import GET, Served, Want
from zarrlink.byte_range import parse_range
from zarrlink.edge.addresses import (
    LINK_HEADER,
    TOKEN_HEADER,
    UNCHECKED,
    LinkAddress,
    check_canonical,
    check_other,
    parse_address,
)
from zarrlink.errors import LinkGone, MethodNotAllowed, UnknownKey
from zarrlink.http import page, problems
from zarrlink.http.below_link import Found, find
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.http.listing import HTML
from zarrlink.http.message import CORS, PREFLIGHT, SECRET_PAGE, Request, Response
from zarrlink.http.pinned import PinnedLinks
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Link
from zarrlink.links.token import Tokens
from zarrlink.streaming import Pin, Streamer

# Metadata follows a dataset's description (contrast, names); chunks are what they are.
METADATA_MAX_AGE_S: Final = 60
# Datasets are copied file by file, and grow.
ABSENT_MAX_AGE_S: Final = 60
# A year: what a pinned address means never changes.
PINNED_MAX_AGE_S: Final = 31_536_000
_ALWAYS: Final = ("/zarr/", "/c/", "/u/")
_PINNED: Final = "/c/"
_UNPINNED: Final = "/u/"
_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_NOT_FOUND: Final = problems.problem_body(
    problems.TABLE[UnknownKey], "this chunk was never written: fill value", "about:blank"
)


def is_of_link(path: str) -> bool:
    """Whether the data path answers an address (percent-encoded, without query): one below a link, or of the CDN's own."""
    return path.startswith(_ALWAYS) or (path.startswith("/data/") and parse_address(path) is not None)


@dataclass(frozen=True, slots=True)
class DataPath:
    """What the data path needs. `now_ms`: ms since 1970. `viewer_max_age_s`: how long a browser may keep a chunk.
    `page_html`: the link page, which fetches its facts as JSON from its own address. `opened` is told the link's id at each
    answered GET of a metadata document of a layer (see `Uses`), never at a chunk. `edge`: where a CDN stands in front.
    `answered` is told every answer to a key of a layer, None for a chunk that holds nothing."""

    keys: Tokens
    links: LinkStore
    streamer: Streamer
    now_ms: Callable[[], int]
    page_html: bytes
    viewer_max_age_s: int = 300
    opened: Callable[[str], None] | None = None
    edge: EdgeDoor | None = None
    pinned: PinnedLinks = field(default_factory=PinnedLinks)
    answered: Callable[[Served | None], None] | None = None

    async def respond(self, request: Request) -> Response:
        """The reply to any request that `is_of_link`. Never raises."""
        try:
            if self.edge is not None:
                self.edge.check(request.headers)
                return await self._answer(request, None)
            return await self._answer(request, _address(request.path))
        except Exception as error:  # noqa: BLE001 (the last door: whatever it is, the reader must see a failure)
            return problems.reply(error, head=request.method == "HEAD")

    async def _answer(self, request: Request, address: LinkAddress | None) -> Response:
        if request.method == "OPTIONS":
            return Response(204, PREFLIGHT)
        if request.method not in _METHODS:
            raise MethodNotAllowed(request.method, _METHODS)
        if address is not None:
            return await self._of_link(address, request, is_checked=False)
        if request.path.startswith(_PINNED):
            return await self._of_view(request)
        if request.path.startswith(_UNPINNED):
            link_id, _, rest = request.path[len(_UNPINNED) :].partition("/")
            is_checked = link_id != UNCHECKED
            named = link_id if is_checked else request.header(TOKEN_HEADER) or ""
            address = LinkAddress(named, rest, pinned=False, folder=True)
            return await self._of_link(address, request, is_checked=is_checked)
        raise LinkGone("past the edge", "this server is reached through its public address alone")

    async def _of_link(self, address: LinkAddress, request: Request, *, is_checked: bool) -> Response:
        """`is_checked`: the edge has, and names the link's id where else its token is."""
        if address.rest == "" and not page.wants_facts(request):
            return self._page(address, request, is_checked=is_checked)
        link = self._open(address.token, is_checked=is_checked)
        if address.rest == "":
            return await page.link_facts(link, self.streamer, request)
        check_canonical(address.rest)
        return await self._below(link, address.rest, request, None)

    async def _of_view(self, request: Request) -> Response:
        view, _, below = request.path[len(_PINNED) :].partition("/")
        revision, _, rest = below.partition("/")
        known = self.pinned.get(self.links, request.header(LINK_HEADER) or "", view)
        return await self._below(known.link, rest, request, known.pin(revision))

    def _page(self, address: LinkAddress, request: Request, *, is_checked: bool) -> Response:
        """A person with a dead link gets the page all the same: it says so better than JSON does."""
        try:
            self._open(address.token, is_checked=is_checked)
        except LinkGone:
            return page.html_page(410, self.page_html, request)
        return page.html_page(200, self.page_html, request) if address.folder else page.to_folder(address.token)

    def _open(self, token: str, *, is_checked: bool) -> Link:
        link = self.links.get(token if is_checked else self.keys.link_id(token))
        if link is None:
            raise LinkGone("unknown")
        link.check(self.now_ms())
        return link

    async def _below(self, link: Link, rest: str, request: Request, pin: Pin | None) -> Response:
        want = want_of(request)
        found = await find(self.streamer, link, rest, request.path, want, pin)
        cache_control = self._cache_control(found, pin)
        served = found.served
        if self.answered is not None and found.is_kept:
            self.answered(served)
        if served is None:
            return _absent(cache_control, head=not want.body)
        if served.kind == "metadata" and found.is_kept and want.body and self.opened is not None:
            self.opened(link.id)
        return reply_served(served, cache_control)

    def _cache_control(self, found: Found, pin: Pin | None) -> bytes:
        if not found.is_kept or (pin is not None and not found.is_pinned):
            return b"no-store"
        limit = self.viewer_max_age_s
        # A chunk that was never written is an answer like any other, but not for a year: its file may be on its way.
        if pin is not None and found.served is None:
            return b"public, max-age=%d, s-maxage=%d" % (min(limit, ABSENT_MAX_AGE_S), ABSENT_MAX_AGE_S)
        if found.served is None or found.served.kind == "chunk":
            if pin is not None:
                return b"public, max-age=%d, s-maxage=%d, immutable" % (limit, PINNED_MAX_AGE_S)
        else:
            limit = min(limit, METADATA_MAX_AGE_S)
            if pin is not None:
                return b"public, max-age=%d, s-maxage=%d" % (limit, METADATA_MAX_AGE_S)
        return b"private, max-age=%d" % limit if limit > 0 else b"private, no-cache"


def _address(path: str) -> LinkAddress:
    found = parse_address(path)
    if found is None:
        check_other(path)
        raise UnknownKey("there is nothing at this address")
    return found


def _absent(cache_control: bytes, *, head: bool) -> Response:
    headers = (
        *CORS,
        (b"content-type", problems.PROBLEM_JSON.encode()),
        (b"content-length", b"%d" % len(_NOT_FOUND)),
        (b"cache-control", cache_control),
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
    if served.media_type == HTML:
        described = (*described, *SECRET_PAGE)
    part, data = served.part, served.data or b""
    if part is None:
        return Response(200, (*described, (b"content-length", b"%d" % served.length)), data)
    content_range = (b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, served.length))
    return Response(206, (*described, (b"content-length", b"%d" % len(part)), content_range), data)
