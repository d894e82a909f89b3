"""The cases of the edge's function (functions/edge/cases), and what they are about as rows, keys and an ASGI request."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from builders.door import Door, open_door
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.answers import Want
from zarrlink.geometry import Mag
from zarrlink.http.asgi import Door as AsgiDoor
from zarrlink.http.routes import DataPath
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest
from zarrlink.links.token import KeyRing
from zarrlink.streaming import Answer, Keys, Pin, Place, Streamer

EDGE: Final = Path(__file__).parents[2] / "functions/edge"
HOST: Final = "zarr.example.org"
_NAME: Final = re.compile(r"\{([a-z-]+(?:\.id)?)\}")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and what the function is to make of it: functions/edge/README.md says what the fields are.

    `entries`: all of the store. `failing`: entries that cannot be read. `row`: fields of the link's row, where they are not
    as in the store; `taken_out`: ids of keys that are no longer in the ring.
    """

    name: str
    request: Json
    expected: Json
    entries: dict[str, str]
    now_ms: int
    failing: list[str] = field(default_factory=list)
    row: Json = field(default_factory=dict)
    taken_out: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        """As tests/edge/batch.mjs takes it."""
        return {"request": self.request, "entries": self.entries, "failing": self.failing, "now_ms": self.now_ms}


def load_world() -> Json:
    """What all cases share: `now_ms`, `entries`, `names`."""
    found: Json = json.loads((EDGE / "cases/world.json").read_text())
    return found


def load_cases() -> list[Case]:
    """All cases, with their names filled in."""
    world = load_world()
    return list(_cases(world))


def _cases(world: Json) -> Iterator[Case]:
    for path in sorted((EDGE / "cases").glob("*.json")):
        if path.name == "world.json":
            continue
        for raw in json.loads(path.read_text()):
            given = _filled(raw, world["names"])
            entries = {**({} if given.get("lost") else world["entries"]), **given.get("entries", {})}
            yield Case(
                f"{path.stem}: {given['name']}",
                given["request"],
                given["expected"],
                {key: value for key, value in entries.items() if value is not None},
                given.get("now_ms", world["now_ms"]),
                given.get("failing", []),
                given.get("row", {}),
                given.get("taken_out", []),
            )


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _NAME.sub(lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [_filled(inner, names) for inner in value]
    if isinstance(value, dict):
        return {_filled(key, names): _filled(inner, names) for key, inner in value.items()}
    return value


@dataclass
class Seen:
    """What the self-check made of a request. `link`: the row that was asked for. `place`: what was opened below it:
    `v3/color.zarr/0/c/0/0/0`. `passed`: address and query, where the request went on to what is not below a link."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    link: str | None = None
    place: str | None = None
    passed: tuple[str, str] | None = None


class SelfCheck:
    """A server without a CDN that has the cases' links: `color` and `Zellen 100% ä` are open, and `secret` is not."""

    def __init__(self) -> None:
        mags = {Mag(1, 1, 1): ramp((40, 40, 40)), Mag(2, 2, 2): ramp((20, 20, 20))}
        objects = dataset(*(LayerFiles(name, mags) for name in ("color", "secret", "Zellen 100% ä")))
        del objects["color/1/z1/y1/x1.wkw"]
        world = load_world()
        self._names: dict[str, str] = world["names"]
        self._entries: dict[str, str] = world["entries"]
        self._door = open_door(objects, wish=LinkRequest(layers=("Zellen 100% ä", "color"), expires_ms=None))
        keys = {key[2:]: base64.b64decode(text) for key, text in self._entries.items() if key[:2] == "k:" and key[2:]}
        self._keys = KeyRing(keys, "b")
        self._links = _Links()
        for name, link_id in self._names.items():
            if name.endswith(".id"):
                self._links.add(self._row(link_id, world["now_ms"]))
        self._streamer = _Streamer(self._door.library)

    @property
    def door(self) -> Door:
        return self._door

    def _row(self, link_id: str, now_ms: int) -> Link:
        """The row that the sync would have made the entry of; one without an entry never ends."""
        entry = self._entries.get(f"l:{link_id}", "- ")
        expiry = entry.partition(" ")[0]
        return replace(
            self._door.link,
            id=link_id,
            expires_ms=None if expiry == "-" else int(expiry, 36),
            revoked_ms=now_ms - 1 if entry == "-" else None,
        )

    def send(self, case: Case) -> Seen:
        """What the server makes of a case's request."""
        seen = Seen()
        self._links.seen = self._streamer.seen = seen
        self._links.changed = case.row
        kept = {key_id: key for key_id, key in self._keys.keys.items() if key_id not in case.taken_out}
        path = DataPath(
            keys=KeyRing(kept, "b"),
            links=self._links,
            streamer=self._streamer,
            now_ms=lambda: case.now_ms,
            page_html=b"<!doctype html><title>page</title>",
        )
        asyncio.run(_ask(path, case.request, seen))
        return seen


async def _ask(path: DataPath, request: Json, seen: Seen) -> None:
    async def others(scope: MutableMapping[str, Any], _receive: Any, _send: Any) -> None:
        seen.passed = scope["raw_path"].decode(), scope["query_string"].decode()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            seen.status = message["status"]
            seen.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}

    headers: list[tuple[bytes, bytes]] = []
    for name, value in {"host": HOST, **request.get("headers", {})}.items():
        headers += [(name.lower().encode(), one.encode()) for one in (value if isinstance(value, list) else [value])]
    scope = {
        "type": "http",
        "method": request.get("method", "GET"),
        "path": request["uri"],
        "raw_path": request["uri"].encode("utf-8", "surrogatepass"),
        "query_string": request.get("query", "").encode(),
        "headers": headers,
    }
    await AsgiDoor(path, lambda _: others)(scope, receive, send)


class _Links(MemoryLinks):
    seen = Seen()
    changed: Mapping[str, Any] = {}

    def get(self, link_id: str) -> Link | None:
        self.seen.link = link_id
        found = super().get(link_id)
        return None if found is None else replace(found, **self.changed)


class _Streamer(Streamer):
    seen = Seen()

    async def answer_by(self, keys: Keys, place: Place, want: Want, pin: Pin | None) -> Answer:
        said = keys != self.zarr_key
        layer = place.layer if said else f"{place.layer}.zarr"
        self.seen.place = f"{place.dialect.replace('v', 'w') if said else place.dialect}/{layer}/{place.key}"
        return await super().answer_by(keys, place, want, pin)
