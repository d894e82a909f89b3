"""Addresses below a link, and how the edge rewrites them: `functions/edge/viewer_request.js` and this module say the same.

    /zarr/{token}[/{rest}]
    /data[/v{N}]/annotations/{zarr|zarr3_experimental}/{token}[/...]   rest: w2/... (zarr up to version 14) or w3/...

become, with the link's id instead of its token,

    /c/{view id}/{revision}/{rest}   a key below a layer, of a link that the edge's store knows: one address for all links
    /u/{link id}/{rest}              everything else of a link: the origin looks at the link itself

A token that the edge cannot check, since its store has lost the key, goes on as `/u/-/{rest}` with the token in the header
`x-zarrlink-token`: the origin checks it as it does without a CDN, and answers as for `/u/`. That the store has lost it, and
not that the token is made up, is seen from the entry `k:`, which names the ids of all keys (docs/decisions/0030).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from zarrlink.errors import InvalidRequest, LinkGone

UNCHECKED: Final = "-"
"""Stands for the link id in `/u/-/...`, where `TOKEN_HEADER` has the token."""
LINK_HEADER: Final = b"x-zarrlink-link"
TOKEN_HEADER: Final = b"x-zarrlink-token"
HOST_HEADER: Final = b"x-zarrlink-host"
SECRET_HEADER: Final = b"x-zarrlink-edge"

_ZARR: Final = "/zarr/"
_ADDRESS: Final = re.compile(
    r"/data(?:/v(?P<version>[0-9]{1,4}))?/annotations/(?P<word>zarr|zarr3_experimental)/(?P<token>[^/]*)(?P<below>/.*)?",
    re.ASCII | re.DOTALL,
)
_ID: Final = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)
_LAST_OF_ZARR_V2: Final = 14
_PINNED: Final = re.compile(r"(?:v[23]/[^/]*\.zarr|w[23]/[^/]+)/(?![0-9-]*/?\Z)", re.ASCII)
# Broken, or not as RFC 3986 would have it: lower-case digits, or for a character that needs none; or for a separator.
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-F]{2})|%(?:00|2[DEF]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5[CF]|7E)", re.ASCII)
# What must be escaped, as every client does.
_BARE: Final = re.compile(r'[^\x21-\x7e]|["#<>?\\`{}]', re.ASCII)
# Nearly every chunk's: canonical at a glance, which is worth it once a chunk. Possessive, so that it is linear.
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9_-]++[./]?)*+", re.ASCII)
_EMPTY_OR_DOTTED: Final = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)", re.ASCII)
# The CDN's own addresses, or what a server that is lax might take for one.
_INTERNAL: Final = re.compile(r"/(?:[cu](?:/|\Z)|/|[^/]*[%\\])|[^/]|\Z", re.ASCII | re.IGNORECASE)
_SEPARATOR: Final = r"(?:/|\\|%(?:25)*(?:2f|5c))"
_DOTTED: Final = re.compile(rf"{_SEPARATOR}(?:\.|%(?:25)*2e){{1,2}}(?:{_SEPARATOR}|\Z)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """What an address below a link says, unchecked.

    `rest`: `v3/color.zarr/0/c/0/0/0`, `v2/...`; in WEBKNOSSOS's dialect `w2/color/1/0.0.0.0` (Zarr v2), `w3/...`; "" is the
    link's page. `pinned`: whether it can be under /c/: a key below a layer, not a folder. `folder`: whether a page's address
    ends in a slash.
    """

    token: str
    rest: str
    pinned: bool
    folder: bool


def parse_address(path: str) -> LinkAddress | None:
    """What a path (percent-encoded, without query) says; None where it is not below a link. Never raises."""
    if path.startswith(_ZARR):
        # Nearly all are: without an expression it takes half the time.
        token, slash, rest = path[len(_ZARR) :].partition("/")
        return LinkAddress(token, rest, _PINNED.match(rest) is not None, slash != "")
    found = _ADDRESS.fullmatch(path)
    if found is None:
        return None
    token, below, word, version = found["token"], found["below"] or "", found["word"], found["version"]
    if _ID.fullmatch(token):
        return None
    old = word == "zarr" and version is not None and int(version) <= _LAST_OF_ZARR_V2
    rest = ("w2" if old else "w3") + below
    return LinkAddress(token, rest, _PINNED.match(rest) is not None, below != "")


def check_canonical(rest: str) -> None:
    """Raises InvalidRequest for what is no address of ours: segments that are empty, dotted, not UTF-8, escaped where
    they need not be or not where they must, or that hide a separator. One object, one address. A slash may end it."""
    if _PLAIN.fullmatch(rest):
        return
    if _EMPTY_OR_DOTTED.search(rest.removesuffix("/")) and rest:
        raise InvalidRequest("the address has empty or dotted segments")
    if _BARE.search(rest) or _BAD_ESCAPE.search(rest):
        raise InvalidRequest("the address has a broken, missing or needless escape, or an encoded separator")
    decode_segment(rest)


def decode_segment(text: str) -> str:
    """Percent-decoded, once. Raises InvalidRequest for what is not UTF-8."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest("the address is not UTF-8 in percent-encoding") from error


def check_other(path: str) -> None:
    """For a path that is not below a link. Raises LinkGone for `/c/...` and `/u/...` and what some server might read as
    these (`//c/`, `/%63/`, `/C/`), InvalidRequest for dotted segments in any encoding."""
    if _INTERNAL.match(path):
        raise LinkGone("internal address", "this address is not for readers: links begin with /zarr/")
    if _DOTTED.search(path):
        raise InvalidRequest("the address has empty or dotted segments")
