"""The Lambda door: API Gateway's proxy events (REST API, payload version 1.0) to requests, and replies back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from zarrlink.errors import AnswerTooLarge
from zarrlink.http import problems
from zarrlink.http.message import Request, Response

# Lambda refuses answers above 6,291,556 bytes, JSON and base64 included (seen in the runtime emulator): 4/3 of this and
# some kilobytes of headers stay below.
MAX_BODY_BYTES: Final = 4_700_000


def request_of(event: Mapping[str, Any]) -> Request:
    """The request that an event speaks of; its path is without the stage."""
    headers = event.get("headers") or {}
    return Request(
        event["httpMethod"],
        event["path"],
        {name.lower().encode("latin-1"): value.encode("latin-1", "replace") for name, value in headers.items()},
    )


def reply_of(response: Response) -> dict[str, Any]:
    """What Lambda answers API Gateway with. A body that Lambda would not carry becomes an error of ours."""
    if len(response.body) > MAX_BODY_BYTES:
        response = problems.reply(AnswerTooLarge(len(response.body), MAX_BODY_BYTES))
    return {
        "statusCode": response.status,
        "headers": response.text_headers(),
        "isBase64Encoded": True,
        "body": base64.b64encode(response.body).decode("ascii"),
    }
