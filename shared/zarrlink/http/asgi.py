"""The ASGI door of one machine: the data path straight, everything else to the applications behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zarrlink.http.message import Request, Response
from zarrlink.http.routes import PREFIX, DataPath

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Door:
    """An ASGI application: `/zarr/...` to the data path, the rest to `others`."""

    def __init__(self, data_path: DataPath, others: App) -> None:
        self._data_path = data_path
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            response = await self._data_path.respond(_request(scope))
            await _send(response, send)
        else:
            await self._others(scope, receive, send)


def _request(scope: Scope) -> Request:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    # Servers differ in whether the query is part of it.
    return Request(scope["method"], raw.partition(b"?")[0].decode("latin-1"), dict(scope["headers"]))


async def _send(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": list(response.headers)})
    await send({"type": "http.response.body", "body": response.body})
