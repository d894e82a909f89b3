"""What the server of a link says, where it does not give what was asked for."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Final
from urllib.parse import urlsplit

from zarrlink.errors import ExportFailed, InvalidRequest, SourceUnavailable, ZarrlinkError
from zarrlink.http.problems import PROBLEM_JSON

_ANSWER_S: Final = 60
_MOST_BYTES: Final = 16 * 2**20
_MOST_DETAIL: Final = 500
# These may go better in a while; any other status will be the same again.
_FOR_A_WHILE: Final = frozenset({500, 502, 503, 504})
# As tensorstore words it (0.1.86).
_ADDRESS: Final = re.compile(r"Error reading .*?(https?://\S+?): ")
_STATUS: Final = re.compile(r"\[HTTP code (\d{3})\]")


class LinkUnavailable(SourceUnavailable):
    """A `SourceUnavailable` whose sentence tells what the server said: whoever has a link's address may know that."""

    def __init__(self, sentence: str, *, key: str = "") -> None:
        super().__init__(sentence, key=key)
        self.args = (sentence,)


def ask(address: str) -> bytes:
    """What lies at an http or https address. Raises OSError, of which urllib's HTTPError is one."""
    request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310 (as told)
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as reply:  # noqa: S310
        return bytes(reply.read(_MOST_BYTES))


def refusal(address: str, error: OSError) -> ZarrlinkError:
    """What `ask` met, as an error for the person who gave the address. LinkUnavailable: it may go better in a while."""
    host = urlsplit(address).netloc
    if not isinstance(error, urllib.error.HTTPError):
        return LinkUnavailable(f"{host} does not answer")
    with error:
        return _refusal(host, error.code, _detail(error))


def _refusal(host: str, status: int, detail: str) -> ZarrlinkError:
    said = f"{host} answered {status}" + (f": {detail}" if detail else "")
    if status == 410:
        return InvalidRequest("the link is dead: it has expired, was revoked, or its data was replaced")
    return LinkUnavailable(said) if status in _FOR_A_WHILE else ExportFailed(said)


def refusal_behind(failed: SourceUnavailable, page: str) -> ZarrlinkError:
    """A failed read of an array of the link at `page`, as `refusal`, with the chunk's key below that. Asks the server."""
    text = str(failed.__cause__)
    found, status = _ADDRESS.search(text), _STATUS.search(text)
    if found is None or not found[1].startswith(page):
        return failed
    told: ZarrlinkError
    try:
        ask(found[1])
        # Now it is there, so it is worth another try.
        host = urlsplit(page).netloc
        told = LinkUnavailable(f"{host} answered {status[1]}" if status else f"{host} does not answer")
    except OSError as error:
        told = refusal(found[1], error)
    if isinstance(told, LinkUnavailable):
        told.key = found[1].removeprefix(page)
    return told


def _detail(error: urllib.error.HTTPError) -> str:
    """The sentence of a problem+json; empty where it is none."""
    if error.headers.get_content_type() != PROBLEM_JSON:
        return ""
    try:
        found = json.loads(error.read(_MOST_BYTES)).get("detail")
    except (OSError, ValueError, AttributeError):
        return ""
    return " ".join(found.split())[:_MOST_DETAIL] if isinstance(found, str) else ""
