"""The ASGI door of one machine: the data path straight, everything else to the applications behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zarrlink.edge.addresses import check_other
from zarrlink.http import problems
from zarrlink.http.message import Request, Response
from zarrlink.http.routes import DataPath, is_of_link

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Door:
    """An ASGI application: what is below a link to the data path, the rest to `others`; behind a CDN neither without its
    secret. `others` takes the address that the CDN was reached by, None where there is no CDN or it does not say."""

    def __init__(self, data_path: DataPath, others: Callable[[str | None], App]) -> None:
        self._data_path = data_path
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(None)(scope, receive, send)
            return
        request = _request(scope)
        if is_of_link(request.path):
            await _send(await self._data_path.respond(request), send)
            return
        try:
            public_url = self._admit(request)
        except Exception as error:  # noqa: BLE001 (as the data path does)
            await _send(problems.reply(error, head=request.method == "HEAD"), send)
            return
        await self._others(public_url)(scope, receive, send)

    def _admit(self, request: Request) -> str | None:
        edge = self._data_path.edge
        if edge is None:
            check_other(request.path)
            return None
        edge.check(request.headers)
        return edge.public_url(request.headers)


def _request(scope: Scope) -> Request:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    # Servers differ in whether the query is part of it.
    return Request(scope["method"], raw.partition(b"?")[0].decode("latin-1"), dict(scope["headers"]))


async def _send(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": list(response.headers)})
    await send({"type": "http.response.body", "body": response.body})
