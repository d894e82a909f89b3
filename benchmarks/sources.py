"""What a chunk costs that is not simply a WKW block: an annotation over its fallback layer, and arrays of other formats."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numcodecs
import numpy as np
import tensorstore as ts
from measure import Scale, interleaved, medians
from painting import paint
from report import Part, Table, at_most

from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_memory import MemoryAnnotations
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.http.message import Request, Response
from zarrlink.http.routes import DataPath
from zarrlink.library import Library, Subject
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.service import LinkRequest, create_link
from zarrlink.links.token import KeyRing
from zarrlink.overlay_chunks import PlanCache
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.metered import Meter, metered
from zarrlink.streaming import Streamer
from zarrlink_local.neuropil import neuropil

AIM = 1.3
# One of so many blocks lies in the annotation.
PAINTED_OF = 4
_SIDE = 64
_CODEC = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=0)
_BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 0, "blocksize": 0}


@dataclass(slots=True)
class Reader:
    """Somebody who asks for chunks of one layer, in this process. `requests`: to the source, while measuring."""

    library: Library
    subject: Subject
    layer: str
    dialect: Dialect
    meter: Meter
    path: DataPath
    keys: list[str] = field(default_factory=list)
    _requests: list[Request] = field(default_factory=list)

    async def find(self, count: int) -> None:
        """Choose chunks at random, of those that hold something."""
        view = self.subject.view((self.layer,))
        opened = await self.library.layer(view, self.layer)
        layer, level = opened.layer, opened.layer.levels[0]
        front = (0,) if layer.channel_axis else ()
        keys = [
            chunk_key(self.dialect, 0, (*front, *place))
            for place in product(*map(range, level.grid(self.dialect)[::-1]))
        ]
        wish = LinkRequest(layers=(self.layer,))
        link = (await create_link(self.library, self.path.links, self.subject, "x", wish, 0)).link
        base = f"/zarr/{self.path.keys.token(link.id)}/{self.dialect}/{quote(self.layer)}.zarr/"
        self.keys = random.Random(7).choices(keys, k=count)
        self._requests = [Request("GET", base + key, {}) for key in self.keys]

    async def read_all(self) -> list[Response]:
        return [await self.path.respond(request) for request in self._requests]

    def timed(self) -> float:
        """us of CPU time a chunk."""

        async def measured() -> float:
            started = time.process_time()
            await self.read_all()
            return (time.process_time() - started) / len(self.keys) * 1e6

        return asyncio.run(measured())

    def requests(self) -> float:
        """A chunk, when all is known that can be."""
        self.meter.reset()
        asyncio.run(self.read_all())
        return self.meter.requests / len(self.keys)


def reader(
    dataset: Path,
    layer: str,
    dialect: Dialect,
    count: int,
    annotation: Path | None = None,
    *,
    keeps_plans: bool = True,
) -> Reader:
    meter, catalogue, annotations = Meter(), MemoryCatalogue(), MemoryAnnotations()
    record = catalogue.register("bench", str(dataset), 0)
    subject = Subject(record)
    if annotation is not None:
        made = AnnotationRecord(
            "a" * 24, "a", "", "x", record.id, str(annotation), "1", "", created_ms=0, modified_ms=0
        )
        annotations.add(made)
        subject = Subject(record, made)
    library = Library(
        catalogue,
        lambda location: metered(LocalFiles(Path(location)), meter),
        monotonic=time.monotonic,
        freshness_s=1e9,
        annotations=annotations,
    )
    if not keeps_plans:
        library._plans = PlanCache(0)  # noqa: SLF001 (then every request of a shard is the first one)
    path = DataPath(
        keys=KeyRing({"a": b"k" * 32}, "a"),
        links=MemoryLinks(),
        streamer=Streamer(library),
        now_ms=lambda: 0,
        page_html=b"",
    )
    found = Reader(library, subject, layer, dialect, meter, path)
    asyncio.run(found.find(count))
    return found


def run(dataset: Path, scale: Scale) -> Part:
    part = Part(
        "Annotations and other formats",
        "The data path in this process, without sockets, links in memory: random chunks in the same order, files in the page cache, CPU time of all"
        f" threads, {scale.rounds} rounds. Annotation: every {PAINTED_OF}th block of 32^3 uint32 painted, over the WKW layer that it"
        " is compared with. Other formats: EM of uint8; the re-encoder opens the array by tensorstore with a cache of the same"
        " size, reads a chunk and packs it by `numcodecs.Blosc(cname='lz4', clevel=5, shuffle=0)`, and does nothing else;"
        " what both give was compared first.",
    )
    count = max(8, scale.calls // 20)
    with TemporaryDirectory() as scratch:
        annotation = paint(dataset, Path(scratch) / "annotation", every=PAINTED_OF)
        part.tables.append(_annotation_table(dataset, annotation, scale, count))
        part.tables.append(_formats_table(Path(scratch) / "formats", scale, max(8, count // 4)))
    part.notes = [
        "A v2 chunk is one block, the annotation's or the fallback's; a v3 shard merges both: one read more.",
        "A merged shard's plan is made by its first request and kept for the next, as clients ask in ranges; a WKW shard's is made every time.",
        "Requests: to the source, a chunk, once tables and indexes are known; not among them are tensorstore's own reads.",
    ]
    return part


def _annotation_table(dataset: Path, annotation: Path, scale: Scale, count: int) -> Table:
    rows = []
    kinds: tuple[tuple[Dialect, str, int], ...] = (
        ("v2", "v2 chunk 32^3", count),
        ("v3", "v3 shard 128x128x64", count // 8),
    )
    for dialect, what, calls in kinds:
        readers = {
            "the WKW layer alone": reader(dataset, "segmentation", dialect, calls),
            "annotation over it": reader(dataset, "painted", dialect, calls, annotation),
        }
        if dialect == "v3":
            first = reader(dataset, "painted", dialect, calls, annotation, keeps_plans=False)
            readers["annotation over it, the first request of a shard"] = first
        for one in readers.values():
            one.timed()
        us = medians(interleaved({name: one.timed for name, one in readers.items()}, scale.rounds))
        plain = us["the WKW layer alone"]
        for name, one in readers.items():
            ratio = us[name] / plain
            shown = "1" if us[name] == plain else at_most(ratio, AIM)
            rows.append([what, name, f"{us[name]:.1f}", shown, f"{one.requests():.2f}"])
    return Table("us of CPU a chunk", ("chunk", "layer", "us", "of the plain layer", "requests"), rows)


def _formats_table(folder: Path, scale: Scale, count: int) -> Table:
    volume = neuropil(scale.size_xyz[::-1]).em >> 3
    specs = _write_formats(folder, volume)
    rows = []
    for name, spec in specs.items():
        ours = reader(folder, name, "v3", count)
        peer = Recoder(spec, ours.keys, turned=name not in ("zarr, as it is", "zarr, big endian"))
        _compare(ours, peer)
        us = medians(interleaved({"ours": ours.timed, "peer": peer.timed}, scale.rounds))
        rows.append(
            [name, f"{us['ours']:.0f}", f"{us['peer']:.0f}", f"{us['ours'] / us['peer']:.3g}", f"{ours.requests():.2f}"]
        )
    head = ("stored as", "zarrlink us", "re-encoder us", "of the re-encoder", "requests")
    return Table(f"us of CPU a chunk {_SIDE}^3, v3", head, rows)


def _write_formats(folder: Path, volume: Any) -> dict[str, dict[str, Any]]:
    """Arrays of the volume in `folder` with a description of them; spec by layer."""
    turned = np.ascontiguousarray(volume.T)
    zarr2 = {"zarr_format": 2, "chunks": [_SIDE] * 3, "compressor": _BLOSC, "fill_value": 0, "filters": None}
    made: dict[str, tuple[str, str, Any, dict[str, Any]]] = {
        "zarr, as it is": ("zarr", "zyx", volume, {**zarr2, "dtype": "|u1", "order": "C"}),
        "zarr, axes turned": ("zarr", "xyz", turned, {**zarr2, "dtype": "|u1", "order": "C"}),
        "zarr, big endian": ("zarr", "zyx", volume.astype(">u2"), {**zarr2, "dtype": ">u2", "order": "C"}),
        "n5, gzip": (
            "n5",
            "xyz",
            turned,
            {"blockSize": [_SIDE] * 3, "dataType": "uint8", "compression": {"type": "gzip"}},
        ),
    }
    layers, specs = [], {}
    for name, (driver, order, data, metadata) in made.items():
        place = folder / name
        shape = {"shape": list(data.shape)} if driver == "zarr" else {"dimensions": list(data.shape)}
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{place}/"}, "metadata": metadata | shape}
        ts.open(spec, create=True).result().write(data).result()
        specs[name] = spec
        size = dict(zip(("width", "height", "depth"), volume.shape[::-1], strict=True))
        axes = {axis: order.index(axis) for axis in "xyz"}
        layers.append(
            {
                "name": name,
                "category": "color",
                "boundingBox": {"topLeft": [0, 0, 0], **size},
                "elementClass": "uint16" if data.dtype.itemsize == 2 else "uint8",
                "dataFormat": driver,
                "mags": [{"mag": [1, 1, 1], "path": name, "axisOrder": axes}],
            }
        )
    document = {"id": {"name": "formats", "team": ""}, "scale": [8, 8, 25], "dataLayers": layers}
    (folder / FILE_NAME).write_text(json.dumps(document))
    return specs


class Recoder:
    """A server that knows arrays only as voxels, without all that is a server: open, read, pack."""

    def __init__(self, spec: dict[str, Any], keys: list[str], *, turned: bool) -> None:
        context = ts.Context({"cache_pool": {"total_bytes_limit": 64 * 2**20}})
        array = ts.open(spec, context=context, open=True, read=True).result()
        self._array = array.transpose([2, 1, 0]) if turned else array
        self._places = [tuple(map(int, key.split("/")[2:])) for key in keys]

    async def chunk(self, place: tuple[int, ...]) -> bytes:
        box = tuple(slice(n * _SIDE, (n + 1) * _SIDE) for n in place)
        voxels = await self._array[box].read(order="C")
        packed: bytes = _CODEC.encode(voxels.astype(voxels.dtype.newbyteorder("<"), copy=False))
        return packed

    async def read_all(self) -> list[bytes]:
        return [await self.chunk(place) for place in self._places]

    def timed(self) -> float:
        async def measured() -> float:
            started = time.process_time()
            await self.read_all()
            return (time.process_time() - started) / len(self._places) * 1e6

        return asyncio.run(measured())


def _compare(ours: Reader, peer: Recoder) -> None:
    """Raises AssertionError where the two give other voxels."""
    decode: Callable[[bytes], bytes] = numcodecs.Blosc().decode
    for served, packed in zip(asyncio.run(ours.read_all()), asyncio.run(peer.read_all()), strict=True):
        if served.status == 404:
            assert not any(decode(packed))
        else:
            assert served.status == 200
            assert decode(served.body) == decode(packed)
