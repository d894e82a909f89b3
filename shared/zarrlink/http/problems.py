"""The one table from errors to HTTP, and their bodies (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import dataclass
from typing import Final

from zarrlink import errors
from zarrlink.http.message import CORS, Headers, Response

LOG: Final = logging.getLogger("zarrlink")
PROBLEM_JSON: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """How a kind of error is answered and how loudly it is logged."""

    status: int
    slug: str
    title: str
    level: int = logging.DEBUG
    headers: Headers = ()


# A class is answered as its nearest ancestor here. 410, not 403 or 404, for a dead link: readers take those two for
# fill value. 503 makes them try again.
TABLE: Final[dict[type[BaseException], Problem]] = {
    errors.InvalidRequest: Problem(400, "invalid-request", "The request makes no sense"),
    errors.NotSignedIn: Problem(
        401, "not-signed-in", "A user token is needed", headers=((b"www-authenticate", b'Bearer realm="zarrlink"'),)
    ),
    errors.NotPermitted: Problem(403, "not-permitted", "This is for others to do"),
    errors.UnknownKey: Problem(404, "unknown-key", "There is nothing at this address"),
    errors.MethodNotAllowed: Problem(405, "method-not-allowed", "The method is not accepted here"),
    errors.LinkGone: Problem(410, "link-gone", "The link does not open this"),
    errors.SourceReplaced: Problem(410, "replaced", "The data behind the link was replaced"),
    errors.BodyTooLarge: Problem(413, "body-too-large", "The body of the request is too large"),
    # Not 500 or 503: readers would ask again, for the same.
    errors.AnswerTooLarge: Problem(413, "answer-too-large", "The answer is too large", logging.WARNING),
    errors.RangeNotSatisfiable: Problem(416, "range-not-satisfiable", "The range holds no byte of the object"),
    errors.UnsupportedLayer: Problem(422, "unsupported-layer", "The layer cannot be streamed"),
    errors.TooManyJobs: Problem(429, "too-many-jobs", "Too many jobs run at the same time"),
    errors.DamagedRow: Problem(500, "damaged-row", "A row of a table cannot be read", logging.ERROR),
    errors.CorruptFile: Problem(502, "damaged-source", "The stored data is damaged", logging.ERROR),
    errors.NotReady: Problem(503, "not-ready", "It is being made", logging.DEBUG, ((b"retry-after", b"5"),)),
    errors.SignInUnavailable: Problem(
        503, "sign-in-unavailable", "Nobody can be signed in", logging.ERROR, ((b"retry-after", b"5"),)
    ),
    errors.SourceChanged: Problem(
        503, "source-changing", "The stored data is being replaced", logging.WARNING, ((b"retry-after", b"2"),)
    ),
    errors.SourceUnavailable: Problem(
        503, "source-unavailable", "The stored data cannot be reached", logging.ERROR, ((b"retry-after", b"2"),)
    ),
}
UNEXPECTED: Final = Problem(500, "unexpected", "Something unexpected went wrong", logging.ERROR)


def problem_of(error: BaseException) -> Problem:
    """The row of the table for an error."""
    for ancestor in type(error).__mro__:
        if ancestor in TABLE:
            return TABLE[ancestor]
    return UNEXPECTED


def problem_body(problem: Problem, detail: str, instance: str) -> bytes:
    """The JSON of a problem; `instance` ties it to the log."""
    return json.dumps(
        {
            "type": f"about:blank#{problem.slug}",
            "title": problem.title,
            "status": problem.status,
            "detail": detail,
            "instance": instance,
            # Where WEBKNOSSOS's UI and library look for it.
            "messages": [{"error": detail}],
        }
    ).encode()


def reply(error: Exception, *, head: bool = False) -> Response:
    """The answer to an error: our sentence, never an upstream's text nor a traceback. It is logged without any address."""
    problem = problem_of(error)
    instance = f"urn:zarrlink:{secrets.token_hex(8)}"
    detail = str(error) if isinstance(error, errors.ZarrlinkError) else "the server has logged what happened"
    log(problem, error, instance)
    body = problem_body(problem, detail, instance)
    headers = (
        *CORS,
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *problem.headers,
    )
    if isinstance(error, errors.RangeNotSatisfiable):
        headers += ((b"content-range", b"bytes */%d" % error.length),)
    if isinstance(error, errors.MethodNotAllowed):
        headers += ((b"allow", ", ".join(error.allowed).encode()),)
    return Response(problem.status, headers, b"" if head else body)


def log(problem: Problem, error: BaseException, instance: str) -> None:
    """One line an error; a traceback only for what we did not expect. Facts go in, secrets do not."""
    names = ("reason", "key", "what", "expected", "found", "row_kind", "row_id")
    facts = {name: getattr(error, name) for name in names if hasattr(error, name)}
    expected = isinstance(error, errors.ZarrlinkError)
    LOG.log(
        problem.level,
        "%s %s %s %s",
        problem.status,
        problem.slug,
        instance,
        json.dumps(facts, default=str),
        exc_info=None if expected else error,
    )
