"""The Lambda door: API Gateway's proxy events (REST API, payload version 1.0) to requests, and replies back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from zarrlink.errors import AnswerTooLarge
from zarrlink.http import problems
from zarrlink.http.message import Request, Response

# What a function may answer, as JSON, base64 included; Lambda fails for more (seen in the runtime emulator, 2026-11).
MAX_ANSWER_BYTES: Final = 6_291_556
# 4/3 of this and some kilobytes of headers stay below that.
MAX_BODY_BYTES: Final = 4_700_000


def request_of(event: Mapping[str, Any]) -> Request:
    """The request that an event speaks of; its path is without the stage."""
    headers = event.get("headers") or {}
    return Request(
        event["httpMethod"],
        event["path"],
        {name.lower().encode("latin-1"): value.encode("latin-1", "replace") for name, value in headers.items()},
    )


def sendable(response: Response) -> Response:
    """The reply, or an error of ours where Lambda would not carry its body."""
    length = len(response.body)
    if length <= MAX_BODY_BYTES:
        return response
    return problems.reply(AnswerTooLarge(length, MAX_BODY_BYTES, "ask for parts of it, with a Range header"))


def reply_of(response: Response) -> dict[str, Any]:
    """What Lambda answers API Gateway with."""
    response = sendable(response)
    return {
        "statusCode": response.status,
        "headers": response.text_headers(),
        "isBase64Encoded": True,
        "body": base64.b64encode(response.body).decode("ascii"),
    }


def body_bytes(answer: Mapping[str, Any]) -> int:
    """How many bytes the body of such an answer has."""
    body: str = answer.get("body") or ""
    if answer.get("isBase64Encoded"):
        return len(body) // 4 * 3 - body[-2:].count("=")
    return len(body.encode())


def carried(answer: dict[str, Any], way: str) -> dict[str, Any]:
    """An answer that another framework made, or an error of ours where Lambda would not carry it.

    `way`: what to ask for instead.
    """
    # With escapes, as we write JSON here, it is never shorter than Lambda's.
    length = len(json.dumps(answer))
    if length <= MAX_ANSWER_BYTES:
        return answer
    return reply_of(problems.reply(AnswerTooLarge(length, MAX_ANSWER_BYTES, way)))
