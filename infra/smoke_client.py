"""A link seen from outside: requests below its address, and a metadata document, a chunk and a shard to try things on."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import google_crc32c
import numcodecs

# API Gateway gives up after 29 s.
_TIMEOUT_S: Final = 35.0
_ADDRESS: Final = re.compile(r"(/.*)?/zarr/([^/]+)(/.*)?", re.ASCII)
# Positions tried at a level before it counts as empty.
_TRIES: Final = 64
_ABSENT: Final = 2**64 - 1
_BLOSC_HEADER: Final = struct.Struct("<BBBBIII")
ORIGIN: Final = "https://viewer.example.org"


class BadAddress(Exception):
    """Not the address of a link, or of one that can be checked."""


class Failed(Exception):
    """What was expected and what came."""


def expect(what: str, expected: object, got: object) -> None:
    """Raises Failed where they differ."""
    if expected != got:
        raise Failed(f"{what}: expected {_short(expected)}, got {_short(got)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers`: lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Requests below a link's address. `base`: what stands before the token, `token`: the secret, printed nowhere."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        match = _ADDRESS.fullmatch(url.path)
        if url.scheme not in ("http", "https") or not url.hostname or match is None:
            raise BadAddress("give the address of a link: https://.../zarr/TOKEN/")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        try:
            self._connection = kind(url.hostname, url.port, timeout=_TIMEOUT_S)
        except ValueError as error:
            raise BadAddress(str(error)) from error
        self._base, self.token = f"{match[1] or ''}/zarr", match[2]

    def send(self, method: str, below: str, *, token: str | None = None, **headers: str) -> Answer:
        """The answer to a request below the link; names of headers with `_` for `-`. Raises OSError."""
        path = f"{self._base}/{token or self.token}/{below}"
        given = {"Origin": ORIGIN, "Accept-Encoding": "identity"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return self._exchange(method, path, given)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # A connection that was kept, and that the other side had closed meanwhile.
            self._connection.close()
            return self._exchange(method, path, given)

    def _exchange(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        try:
            self._connection.request(method, path, headers=headers)
            reply = self._connection.getresponse()
            body = reply.read()
        except (http.client.RemoteDisconnected, OSError):
            self._connection.close()
            raise
        except http.client.HTTPException as error:
            self._connection.close()
            raise Failed(f"an answer that can be read: {type(error).__name__}") from error
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, body)

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Sample:
    """Something to be read: what it is, where below the link, and the whole of it as first read."""

    kind: str
    path: str
    whole: Answer


@dataclass(frozen=True, slots=True)
class Site:
    """A link and its samples. `layer`: where its v3 tree lies below the link.

    `chunk_bytes` of a chunk in v2 and `frame_bytes` of one in v3, decoded; `chunks_per_shard` 0 where nothing is sharded.
    `frame`: the very chunk of `chunk` in v3. `comparable`: both hold its voxels in the same order (one channel).
    """

    client: Client
    layer: str
    metadata: Sample
    chunk: Sample
    shard: Sample
    chunk_bytes: int
    frame_bytes: int
    chunks_per_shard: int
    frame: bytes
    comparable: bool

    @property
    def samples(self) -> tuple[Sample, Sample, Sample]:
        return self.metadata, self.chunk, self.shard


def read_facts(client: Client) -> dict[str, Any]:
    """The link's facts. Raises OSError where nothing answers, BadAddress for a link that is not valid, Failed."""
    answer = client.send("GET", "", Accept="application/json")
    if answer.status == http.client.GONE:
        raise BadAddress("this link is not valid (any more): 410")
    expect("status", 200, answer.status)
    expect("content-type", "application/json", answer.headers.get("content-type"))
    facts: dict[str, Any] = json.loads(answer.body)
    if not isinstance(facts, dict) or not facts.get("layers"):
        raise Failed("expected a layer that can be read, got none")
    return facts


def find_site(client: Client, facts: dict[str, Any]) -> Site:
    """The first chunk that is stored: of the finest level, else of the coarsest. Raises Failed."""
    layer = next((layer for layer in facts["layers"] if layer["channels"] == 1), facts["layers"][0])
    for level in dict.fromkeys((0, len(layer["shapes"]) - 1)):
        v3 = _json(client, f"{layer['v3']}/{level}/zarr.json")
        shard_shape = tuple(v3["chunk_grid"]["configuration"]["chunk_shape"])
        codec = v3["codecs"][0]
        sharded = codec["name"] == "sharding_indexed"
        chunk_shape = tuple(codec["configuration"]["chunk_shape"]) if sharded else shard_shape
        item_bytes = int(v3["data_type"].lstrip("uintfloa")) // 8
        grid = [math.ceil(length / side) for length, side in zip(v3["shape"], shard_shape, strict=True)]
        for position in _from_the_middle(grid):
            path = f"{layer['v3']}/{level}/c/{'/'.join(map(str, position))}"
            whole = client.send("GET", path)
            if whole.status == http.client.NOT_FOUND:
                continue
            expect(f"status of {path}", 200, whole.status)
            inner, frame = _first_frame(whole.body, shard_shape, chunk_shape) if sharded else (None, whole.body)
            place = position if inner is None else _place(position, inner, shard_shape, chunk_shape)
            v2_path = f"{layer['v2']}/{level}/{'/'.join(map(str, place))}"
            metadata_path = f"{layer['v3']}/zarr.json"
            return Site(
                client=client,
                layer=layer["v3"],
                metadata=Sample("metadata", metadata_path, client.send("GET", metadata_path)),
                chunk=Sample("chunk", v2_path, client.send("GET", v2_path)),
                shard=Sample("shard", path, whole),
                chunk_bytes=item_bytes * math.prod(_json(client, f"{layer['v2']}/{level}/.zarray")["chunks"]),
                frame_bytes=item_bytes * math.prod(chunk_shape),
                chunks_per_shard=math.prod(shard_shape) // math.prod(chunk_shape) if sharded else 0,
                frame=frame,
                comparable=layer["channels"] == 1,
            )
    raise Failed(f"expected a stored chunk of {layer['name']!r}, got 404 for all that were tried")


def _json(client: Client, path: str) -> Any:
    answer = client.send("GET", path)
    expect(f"status of {path}", 200, answer.status)
    return json.loads(answer.body)


def _from_the_middle(grid: list[int]) -> list[tuple[int, ...]]:
    """Some positions of a grid, the middle first: data lies there rather than in a corner."""
    spans = [sorted(range(length), key=lambda place, half=length // 2: abs(place - half))[:4] for length in grid]
    return list(itertools.islice(itertools.product(*spans), _TRIES))


def _first_frame(
    shard: bytes, shard_shape: tuple[int, ...], chunk_shape: tuple[int, ...]
) -> tuple[tuple[int, ...], bytes]:
    """The place in a shard and the bytes of its first chunk."""
    counts = [outer // inner for outer, inner in zip(shard_shape, chunk_shape, strict=True)]
    for inner, span in zip(itertools.product(*map(range, counts)), shard_index(shard, math.prod(counts)), strict=True):
        if span is not None:
            return inner, shard[span[0] : span[0] + span[1]]
    raise Failed("expected a chunk in a shard's index, got none")


def _place(position: tuple[int, ...], inner: tuple[int, ...], *shapes: tuple[int, ...]) -> tuple[int, ...]:
    per_shard = [outer // side for outer, side in zip(*shapes, strict=True)]
    return tuple(at * count + step for at, count, step in zip(position, per_shard, inner, strict=True))


def shard_index(shard: bytes, count: int) -> list[tuple[int, int] | None]:
    """(offset, length) in bytes of every chunk, None for one that is absent. Raises Failed for an index that is none."""
    size = 16 * count + 4
    if len(shard) < size:
        raise Failed(f"expected a shard of at least {size} bytes, got {len(shard)}")
    stored, checksum = shard[-size:-4], shard[-4:]
    expect("checksum of the index", struct.pack("<I", google_crc32c.value(stored)), checksum)
    numbers = struct.unpack(f"<{2 * count}Q", stored)
    return [
        None if start == _ABSENT else (start, length) for start, length in zip(numbers[::2], numbers[1::2], strict=True)
    ]


def decode_frame(frame: bytes, raw_bytes: int) -> bytes:
    """The voxels of a chunk, `raw_bytes` long. Raises Failed for what is no whole Blosc frame."""
    if len(frame) < _BLOSC_HEADER.size:
        raise Failed(f"expected a Blosc frame, got {len(frame)} bytes")
    version, _, _, _, nbytes, _, cbytes = _BLOSC_HEADER.unpack_from(frame)
    expect("Blosc format version", 2, version)
    expect("length that the Blosc header says, and its own", cbytes, len(frame))
    expect("bytes that the Blosc header decodes to", raw_bytes, nbytes)
    try:
        voxels = bytes(numcodecs.Blosc().decode(frame))
    except RuntimeError as error:
        raise Failed(f"expected a frame that decodes, got {error}") from error
    expect("bytes decoded", raw_bytes, len(voxels))
    return voxels
