"""API Gateway, as far as it goes here: an ASGI application that turns requests into events, and answers into replies."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from builders.lambda_door import rest_event
from zarrlink.http.asgi import Receive, Scope, Send
from zarrlink.http.message import Request

Invoke = Callable[[dict[str, Any]], dict[str, Any]]


class Gateway:
    """`routes`: which function answers below which first folder of an address. What a function raises becomes a 500."""

    def __init__(self, routes: Mapping[str, Invoke]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        request = Request(scope["method"], path, dict(scope["headers"]))
        invoke = self._routes.get(path.split("/")[1])
        if invoke is None:
            await _send(send, 404, {"access-control-allow-origin": "*"}, b"")
            return
        # In a thread, as a handler runs a loop of its own.
        answer = await asyncio.to_thread(invoke, json.loads(json.dumps(rest_event(request, body))))
        content = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        await _send(send, answer["statusCode"], answer["headers"], b"" if request.method == "HEAD" else content)


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
