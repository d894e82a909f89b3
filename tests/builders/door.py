"""The data path over objects in memory: requests in, replies out, reads of the store counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zarrlink.byte_range import ByteRange
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_memory import MemoryAnnotations
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.http.message import Request, Response
from zarrlink.http.routes import DataPath
from zarrlink.library import Library, Subject
from zarrlink.links.interface import LinkStore
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink.links.token import KeyRing
from zarrlink.opening.opened import OpenLayer
from zarrlink.storage.interface import Blob, ByteSource, Stat
from zarrlink.storage.memory import MemorySource
from zarrlink.streaming import Streamer

NOW_MS = 1_763_000_000_000


class Backend:
    """What doors are made of, and how a request reaches one: here, objects in memory and a plain call."""

    location = "memory"

    def source(self, objects: dict[str, bytes]) -> ByteSource:
        return MemorySource(objects)

    def catalogue(self) -> Catalogue:
        return MemoryCatalogue()

    def links(self) -> LinkStore:
        return MemoryLinks()

    def send(self, path: DataPath, request: Request) -> Response:
        return asyncio.run(path.respond(request))


# Exchanged where a whole suite is run through another door (tests/functions).
BACKENDS = [Backend()]


class CountingSource:
    """A source that notes each request to it, and fails where it is told to."""

    def __init__(self, inner: ByteSource, requests: list[tuple[str, str]] | None = None) -> None:
        self.inner = inner
        self.name = inner.name
        self.absence_trust_s = inner.absence_trust_s
        self.requests: list[tuple[str, str]] = [] if requests is None else requests
        self.failures: dict[str, Exception] = {}

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        self._note("read", key)
        return await self.inner.read(key, part, if_match=if_match, head_bytes=head_bytes)

    async def stat(self, key: str) -> Stat | None:
        self._note("stat", key)
        return await self.inner.stat(key)

    def _note(self, kind: str, key: str) -> None:
        self.requests.append((kind, key))
        for ending, failure in self.failures.items():
            if key.endswith(ending):
                raise failure


@dataclass
class Clock:
    """Two clocks that stand still until moved."""

    now_ms: int = NOW_MS
    monotonic_s: float = 100.0


@dataclass
class Door:
    """A data path over one dataset."""

    source: CountingSource
    record: DatasetRecord
    library: Library
    links: LinkStore
    path: DataPath
    clock: Clock
    catalogue: Catalogue
    annotations: MemoryAnnotations
    subject: Subject
    places: dict[str, ByteSource]
    link: Link = field(init=False)

    def make_link(self, wish: LinkRequest | None = None) -> str:
        """Make a link (it becomes the current one) and give its token."""
        made = create_link(self.library, self.links, self.subject, "ann", wish or LinkRequest(), self.clock.now_ms)
        self.link = asyncio.run(made).link
        return self.path.keys.token(self.link.id)

    def make_source(self, objects: dict[str, bytes]) -> ByteSource:
        return CountingSource(BACKENDS[-1].source(objects), self.source.requests)

    @property
    def base(self) -> str:
        return f"/zarr/{self.path.keys.token(self.link.id)}"

    def send(self, method: str, path: str, **headers: str) -> Response:
        """The reply to a request; header names with `_` for `-`."""
        given = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        return BACKENDS[-1].send(self.path, Request(method, path, given))

    def get(self, below: str, **headers: str) -> Response:
        """The reply to GET below the current link."""
        return self.send("GET", f"{self.base}/{below}", **headers)

    def head(self, below: str, **headers: str) -> Response:
        return self.send("HEAD", f"{self.base}/{below}", **headers)

    def opened(self, layer: str) -> OpenLayer:
        return asyncio.run(self.library.layer(self.link.view, layer))

    @contextmanager
    def counted(self) -> Iterator[list[tuple[str, str]]]:
        """The requests to the store made inside."""
        self.source.requests.clear()
        seen: list[tuple[str, str]] = []
        yield seen
        seen.extend(self.source.requests)


def open_door(
    objects: dict[str, bytes],
    *,
    annotation: dict[str, bytes] | None = None,
    freshness_s: float = 1e9,
    wish: LinkRequest | None = None,
) -> Door:
    """A door to a dataset of those objects, or to an annotation of it, with a link."""
    backend = BACKENDS[-1]
    painted = None if annotation is None else backend.source(annotation)
    return door_to(backend.source(objects), painted=painted, freshness_s=freshness_s, wish=wish)


def door_to(
    inner: ByteSource,
    *,
    painted: ByteSource | None = None,
    freshness_s: float = 1e9,
    wish: LinkRequest | None = None,
    check_blocks: bool = False,
    **options: Any,
) -> Door:
    """A door to a dataset of any source, or to an annotation of it, with a link; `options`: of the library."""
    backend = BACKENDS[-1]
    source, clock, catalogue, links = CountingSource(inner), Clock(), backend.catalogue(), backend.links()
    annotations = MemoryAnnotations()
    places: dict[str, ByteSource] = {backend.location: source}
    record = catalogue.register("ds", backend.location, NOW_MS)
    subject = Subject(record)
    if painted is not None:
        subject = Subject(record, annotation_record(record.id))
        annotations.add(annotation_record(record.id))
        places[annotation_record(record.id).location] = CountingSource(painted, source.requests)
    library = Library(
        catalogue,
        places.__getitem__,
        monotonic=lambda: clock.monotonic_s,
        freshness_s=freshness_s,
        annotations=annotations,
        **options,
    )
    path = DataPath(
        keys=KeyRing({"a": b"k" * 32}, "a"),
        links=links,
        streamer=Streamer(library, check_blocks=check_blocks),
        now_ms=lambda: clock.now_ms,
        page_html=b"<!doctype html><title>page</title>",
    )
    door = Door(source, record, library, links, path, clock, catalogue, annotations, subject, places)
    door.make_link(wish)
    return door


def annotation_record(dataset: str) -> AnnotationRecord:
    return AnnotationRecord(
        "a" * 24, "cells", "", "ann", dataset, "memory/annotation", "r1", "", created_ms=NOW_MS, modified_ms=NOW_MS
    )


def header(response: Response, name: str) -> str | None:
    """A header of a reply."""
    return response.text_headers().get(name)
