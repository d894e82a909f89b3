"""Datasets of any size with a few chunks in them, the data path over one in this process, and state files of many links."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data import BLOCK

from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.formats.wkw import BlockType, file_key, morton_position
from zarrlink.formats.wkw_writer import wkw_header, write_wkw_file
from zarrlink.geometry import Vec3
from zarrlink.http.message import Request
from zarrlink.http.routes import DataPath
from zarrlink.library import Library, Subject
from zarrlink.links.interface import LinkStore
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink.links.token import KeyRing
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.metered import Meter, metered
from zarrlink.streaming import Streamer

KEYS = KeyRing({"a": b"k" * 32}, "a")
# So many chunks hold something, however large the rest is.
CHUNKS = 64


@dataclass(slots=True)
class Origin:
    """The data path in this process over one layer `em`, and `paths` to ask for. `meter`: of the requests to the source."""

    catalogue: MemoryCatalogue
    library: Library
    subject: Subject
    meter: Meter
    links: LinkStore
    path: DataPath
    requests: list[Request] = field(default_factory=list)

    def ask(self, tokens: Sequence[str], keys: Sequence[str], calls: int, dialect: str = "v2") -> None:
        """Choose the requests: any of the links, any of the keys."""
        chosen = random.Random(7)
        self.requests = [
            Request("GET", f"/zarr/{chosen.choice(tokens)}/{dialect}/em.zarr/{chosen.choice(keys)}", {})
            for _ in range(calls)
        ]

    async def answer(self, request: Request) -> None:
        reply = await self.path.respond(request)
        assert reply.status == 200, f"status {reply.status}"

    def timed(self) -> float:
        """us of CPU time a request."""

        async def all_of_them() -> float:
            started = time.process_time()
            for request in self.requests:
                await self.answer(request)
            return (time.process_time() - started) / len(self.requests) * 1e6

        return asyncio.run(all_of_them())

    def fresh(self) -> Origin:
        """Another with the same links and requests that has read nothing yet."""
        return replace(origin(Path(self.subject.dataset.location), self.links, self.catalogue), requests=self.requests)

    def reads(self) -> list[int]:
        """Requests to the source for the first chunk that anybody asks for; where the layer is open; and for it again."""

        async def counted(what: Origin, *, opened: bool) -> int:
            if opened:
                await what.library.layer(what.subject.view(("em",)), "em")
            what.meter.reset()
            await what.answer(what.requests[0])
            return what.meter.requests

        first, second = self.fresh(), self.fresh()
        runs = ((first, False), (second, True), (second, True))
        return [asyncio.run(counted(what, opened=opened)) for what, opened in runs]


def origin(dataset: Path, links: LinkStore | None = None, catalogue: MemoryCatalogue | None = None) -> Origin:
    meter, catalogue = Meter(), catalogue or MemoryCatalogue()
    store = MemoryLinks() if links is None else links
    record = catalogue.register("bench", str(dataset), 0)
    library = Library(
        catalogue,
        lambda location: metered(LocalFiles(Path(location)), meter),
        monotonic=time.monotonic,
        freshness_s=1e9,
    )
    path = DataPath(keys=KEYS, links=store, streamer=Streamer(library), now_ms=lambda: 0, page_html=b"")
    return Origin(catalogue, library, Subject(record), meter, store, path)


def new_link(one: Origin) -> Link:
    return asyncio.run(create_link(one.library, one.links, one.subject, "x", LinkRequest(), 0)).link


def write_layer(
    folder: Path,
    block: bytes,
    files: Sequence[Vec3],
    *,
    file_side: int,
    side: int = 0,
    block_type: BlockType = BlockType.LZ4HC,
) -> list[str]:
    """A dataset of one layer with `files` (x, y, z), and the v2 keys of some chunks that hold `block`.

    `side`: of the layer, in voxels; at least what the files take.
    """
    header = wkw_header(block_side=BLOCK, file_side=file_side, block_type=block_type, voxel_type=1)
    mag = folder / "em" / "1"
    mag.mkdir(parents=True)
    (mag / "header.wkw").write_bytes(header.to_bytes())
    present = {morton_position(index) for index in range(min(header.blocks, max(1, CHUNKS // len(files))))}
    written, keys = None, []
    for place in files:
        path = Path(file_key(str(mag), place))
        path.parent.mkdir(parents=True, exist_ok=True)
        if written is None:
            with path.open("wb") as out:
                write_wkw_file(out, header, lambda at: block if at in present else None)
            written = path
        else:
            shutil.copyfile(written, path)
        corners = [[n * file_side + at for n, at in zip(place, inner, strict=True)] for inner in sorted(present)]
        keys += ["/".join(map(str, ("0", *corner[::-1]))) for corner in corners]
    least = BLOCK * file_side * (1 + max(max(place) for place in files))
    size = max(side, least)
    layer = {
        "name": "em",
        "category": "color",
        "boundingBox": {"topLeft": [0, 0, 0], "width": size, "height": size, "depth": size},
        "elementClass": "uint8",
        "dataFormat": "wkw",
        "mags": [{"mag": [1, 1, 1], "path": "./em/1"}],
    }
    source = {"id": {"name": "growth", "team": ""}, "scale": [8, 8, 25], "dataLayers": [layer]}
    (folder / FILE_NAME).write_text(json.dumps(source))
    return keys


def fill(state: Path, link_id: str, count: int) -> list[str]:
    """Copies of a link in a state file until there are `count` of it; the ids of all."""
    ids = [link_id, *(f"{random.Random(n).getrandbits(96):024x}"[:16] for n in range(count - 1))]
    with sqlite3.connect(state) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(links)") if row[1] != "id"]
        others = ", ".join(names)
        connection.executemany(
            f"INSERT INTO links (id, {others}) SELECT ?1, {others} FROM links WHERE id = ?2",
            ((copy, link_id) for copy in ids[1:]),
        )
    connection.close()
    return ids
