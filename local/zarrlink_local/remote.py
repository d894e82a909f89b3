"""The HTTP API of a running zarrlink, on one machine or deployed: requests, and refusals as errors in one line."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, NoReturn
from urllib.parse import urlencode, urljoin, urlsplit

from zarrlink.errors import InvalidRequest

_ANSWER_S: Final = 60
# A server of one machine answers an upload when all of it is imported.
_IMPORT_S: Final = 3600
_PIECE_BYTES: Final = 2**18
_MAX_PROBLEM_BYTES: Final = 65536
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5


class ApiRefusal(InvalidRequest):
    """The API said no. The sentence is its own; `status`: that of HTTP. `retry_after_s`: when to ask again, None for never."""

    def __init__(self, status: int, sentence: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after_s = retry_after_s


class Broken(InvalidRequest):
    """A connection that could not be made, or ended too early: it may work when it is tried again."""


class Reply:
    """An answer whose body is still to be read."""

    def __init__(self, answer: http.client.HTTPResponse, host: str) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._host = host

    def pieces(self) -> Iterator[bytes]:
        """The body. Raises Broken where it ends too early."""
        told, read = self.headers.get("Content-Length"), 0
        while piece := self._read():
            read += len(piece)
            yield piece
        if told is not None and read != int(told):
            raise Broken(f"{self._host} broke off after {read} of {told} bytes")

    def _read(self) -> bytes:
        try:
            return self._answer.read(_PIECE_BYTES)
        except (http.client.HTTPException, OSError) as error:
            raise Broken(f"{self._host} broke off: {_reason(error)}") from error

    def json(self) -> Any:
        try:
            return json.loads(b"".join(self.pieces()))
        except ValueError as error:
            raise InvalidRequest(f"what {self._host} answers is not of a zarrlink's API") from error


class Api:
    """`address`: what the addresses of its links begin with. `token`: a personal one, None for whoever is not signed in.

    The token goes to that host alone: not where a redirect leads elsewhere. Every call raises ApiRefusal, or InvalidRequest where
    nothing that is a zarrlink answers.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        parts = urlsplit(address)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise InvalidRequest("--api is the address of a zarrlink, such as https://links.example.org")
        if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
            raise InvalidRequest("the token is empty, or has characters that no token has")
        self.address = address.rstrip("/").removesuffix("/api")
        self.host = parts.netloc
        self._token = token
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, path: str, **query: object) -> Any:
        """The JSON below /api. Of `query` what is None is left out."""
        return self.send("GET", path, query=query)

    def send(self, method: str, path: str, *, body: object = None, query: Mapping[str, object] | None = None) -> Any:
        """The answer's JSON. `body`: JSON, None for none."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        with self.open(
            method, path, data=data, query=query, headers={"Accept": "application/json", **headers}
        ) as reply:
            return reply.json()

    def send_stream(self, path: str, pieces: Iterable[bytes], length: int, media_type: str) -> Any:
        """POST a body of that length, and the answer's JSON."""
        headers = {"Content-Type": media_type, "Content-Length": str(length)}
        with self.open("POST", path, data=pieces, headers=headers) as reply:
            return reply.json()

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        data: bytes | Iterable[bytes] | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Reply]:
        """The answer below /api with its body still to be read, from wherever redirects lead."""
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        address = f"{self.address}/api{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        for _ in range(_MOST_REDIRECTS):
            with closing(self._ask(method, address, data, headers or {})) as answer:
                if answer.status not in _REDIRECTS:
                    yield Reply(answer, urlsplit(address).netloc)
                    return
                before, address = address, urljoin(address, answer.headers.get("Location", ""))
                if method != "GET" or urlsplit(address).path == urlsplit(before).path:
                    # As from http to https: what is asked there would lack the token.
                    parts = urlsplit(address)
                    raise InvalidRequest(
                        f"{self.host} sends on to {parts.scheme}://{parts.netloc}: say that with --api"
                    )
        raise InvalidRequest(f"{self.host} sends from one address to the next")

    def put_elsewhere(self, address: str, data: bytes) -> str:
        """PUT to a presigned address, and the ETag of the answer. Raises as above; the address is a secret."""
        with closing(self._ask("PUT", address, data, {"Content-Type": "application/octet-stream"})) as answer:
            etag = answer.headers.get("ETag")
        if not etag:
            raise InvalidRequest("the store of uploads tells no ETag")
        return etag

    def _ask(
        self, method: str, address: str, data: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """An answer that is no refusal: of the kinds 2 and 3."""
        if urlsplit(address).scheme not in ("http", "https"):
            raise InvalidRequest(f"{self.host} sends to an address that is not of the web")
        own = {"X-Auth-Token": self._token} if self._token and self._is_ours(address) else {}
        host = urlsplit(address).netloc
        try:
            request = urllib.request.Request(address, data=data, headers={**headers, **own}, method=method)  # noqa: S310
            answer: http.client.HTTPResponse = self._opener.open(
                request, timeout=_ANSWER_S if data is None or isinstance(data, bytes) else _IMPORT_S
            )
        except urllib.error.HTTPError as error:
            if error.code in _REDIRECTS:
                return error  # type: ignore[return-value]  # an answer as well
            with error:
                _refuse(error, host)
        except urllib.error.URLError as error:
            raise Broken(f"{host} cannot be reached: {_reason(error.reason)}") from error
        except (http.client.HTTPException, OSError) as error:
            raise Broken(f"{host} broke off: {_reason(error)}") from error
        return answer

    def _is_ours(self, address: str) -> bool:
        mine, other = urlsplit(self.address), urlsplit(address)
        return (mine.scheme, mine.netloc) == (other.scheme, other.netloc)


def _refuse(error: urllib.error.HTTPError, host: str) -> NoReturn:
    try:
        problem = json.loads(error.read(_MAX_PROBLEM_BYTES))
        detail = problem.get("detail") or problem.get("title")
    except (ValueError, AttributeError, OSError, http.client.HTTPException):
        detail = None
    sentence = one_line(detail) if isinstance(detail, str) and detail else f"{host} answers {error.code}"
    if error.code == 401:
        sentence += " (here: --token, or ZARRLINK_TOKEN)"
    later = error.headers.get("Retry-After", "") if error.code == 503 else ""
    raise ApiRefusal(error.code, sentence, min(int(later), 60) if later.isdecimal() else None) from None


def one_line(text: str) -> str:
    """A server's words, fit for a terminal."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())[:1000]


def _text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    strerror = getattr(error, "strerror", None)
    return one_line(str(strerror or error or type(error).__name__))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """They are followed by hand: this one would take the token along."""

    def redirect_request(self, *_: object) -> None:
        return None
