"""Where the time of one chunk goes: the application in this process, whole and stage by stage."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data import linked
from measure import Scale, interleaved, medians
from report import Table

from zarrlink.answers import Served
from zarrlink.byte_range import ByteRange
from zarrlink.formats.zarr_keys import chunk_key, parse_key
from zarrlink.http.routes import reply_served
from zarrlink.jump_tables import JumpTables
from zarrlink.streaming import Streamer
from zarrlink.transcode import ArrayForm, ChunkPlan, ChunkShape, Stored
from zarrlink.wkw_chunks import WkwChunks
from zarrlink_local.machine import now_ms
from zarrlink_local.server import create_app

LAYER, DIALECT = "em", "v2"
NOTE = (
    "Where the time goes: CPU time of each stage called alone, over random chunks, in this process; `the rest of the"
    " application` is what the whole needs beyond them (routing, ETag, ASGI messages, awaits), the last stage what a request"
    " costs zarrlink on uvicorn at concurrency 16 beyond the whole application in this process."
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request for one chunk and everything that is found on the way to its answer."""

    scope: dict[str, Any]
    key: str
    position: tuple[int, int, int]
    shape: ChunkShape
    spans: tuple[int, ...]
    plan: ChunkPlan
    stored: Stored
    served: Served


class Application:
    """The application over a dataset, and `calls` random requests to it."""

    def __init__(self, dataset: Path, state: Path, calls: int) -> None:
        self.linked = linked(dataset, state)
        machine = self.linked.machine
        self.app = create_app(machine, "http://127.0.0.1")
        self.streamer = Streamer(machine.library)
        self.tables = JumpTables()
        self.calls = asyncio.run(self._calls(calls))

    async def _calls(self, count: int) -> list[Call]:
        link = self.linked.link
        opened = await self.streamer.open(link.view, link.geometry, LAYER)
        chunks = opened.chunks(DIALECT)[0]
        assert isinstance(chunks, WkwChunks)
        self.source, self.form = chunks.source, chunks.form
        depth, height, width = self.form.grid[::-1]
        known = {place: await self._call(place) for place in product(range(width), range(height), range(depth))}
        return random.Random(7).choices(list(known.values()), k=count)

    async def _call(self, position: tuple[int, int, int]) -> Call:
        key = chunk_key(DIALECT, 0, position[::-1])
        shape = self.form.shape(position)
        run = await self.tables.locate(self.source, self.form.level, shape, look=False)
        assert run is not None
        plan = self.form.plan(shape, run.spans)
        blob = await self.source.read(run.key, ByteRange(run.spans[0], run.spans[-1]))
        assert blob is not None
        stored = Stored(bytes(blob.data), run.spans[0], run.key)
        data = self.form.assemble(plan, ByteRange(0, plan.length), stored)
        served = Served("application/octet-stream", f'"{position}"', plan.length, None, data, False, "chunk")
        path = f"/zarr/{self.linked.token}/{DIALECT}/{LAYER}.zarr/{key}"
        return Call(_scope(path), key, position, shape, run.spans, plan, stored, served)

    def whole(self, call: Call) -> Awaitable[None]:
        return self.app(call.scope, _receive, _send)

    def stages(self) -> dict[str, Callable[[Call], object]]:
        """What each stage does for a call; a coroutine is awaited."""
        machine, link, token, form = self.linked.machine, self.linked.link, self.linked.token, self.form
        source = self.source

        def plan(form: ArrayForm, call: Call) -> ChunkPlan:
            return form.plan(call.shape, call.spans)

        async def located(call: Call) -> ChunkPlan:
            await self.tables.locate(source, form.level, call.shape, look=False)
            return plan(form, call)

        async def placed(call: Call) -> ChunkShape:
            await self.streamer.open(link.view, link.geometry, LAYER)
            parse_key(DIALECT, call.key)
            return form.shape(call.position)

        return {
            "token check": lambda _: machine.keys.link_id(token),
            "link look-up (SQLite)": lambda _: machine.links.get(link.id).check(now_ms()),
            "layer, key, place in the grid": placed,
            "jump table, plan": located,
            "read of the file": lambda call: source.read(call.stored.key, ByteRange(call.spans[0], call.spans[-1])),
            "assemble": lambda call: form.assemble(call.plan, ByteRange(0, call.plan.length), call.stored),
            "reply's headers": lambda call: reply_served(call.served, b"private, max-age=300"),
        }

    def timed(self, work: Callable[[Call], object]) -> Callable[[], float]:
        """A contestant: us of CPU time a call."""

        async def all_calls() -> float:
            waits = asyncio.iscoroutine(first := work(self.calls[0]))
            if waits:
                await first
            started = time.process_time()
            for call in self.calls:
                if waits:
                    await work(call)
                else:
                    work(call)
            return (time.process_time() - started) / len(self.calls) * 1e6

        return lambda: asyncio.run(all_calls())


def _scope(path: str) -> dict[str, Any]:
    """As uvicorn makes it for wrk's request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 40000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8080")],
        "state": {},
    }


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: dict[str, Any]) -> None:
    assert message.get("status", 200) == 200


def table(dataset: Path, scale: Scale, *, server_cpu_us: float) -> Table:
    """Where the time of a chunk goes, down to the CPU time that the server was seen to need for it."""
    with TemporaryDirectory() as scratch:
        application = Application(dataset, Path(scratch) / "state.sqlite", scale.calls)
        works = {"whole": application.whole, **application.stages()}
        us = medians(interleaved({name: application.timed(work) for name, work in works.items()}, scale.rounds))
    whole = us.pop("whole")
    us["the rest of the application"] = whole - sum(us.values())
    us["server, sockets, colder caches"] = server_cpu_us - whole
    rows = [[name, f"{spent:.1f}", f"{spent / server_cpu_us:.0%}"] for name, spent in us.items()]
    rows += [
        ["**the whole application**", f"{whole:.1f}", f"{whole / server_cpu_us:.0%}"],
        ["**CPU a request, measured**", f"{server_cpu_us:.1f}", "100%"],
    ]
    return Table(f"Where the time goes: {LAYER}, v2 chunk 32^3, us a request", ("stage", "us", "share"), rows)


def profile(dataset: Path, scale: Scale) -> None:
    """Print us a request, and the 25 functions in which most of it is spent."""
    with TemporaryDirectory() as scratch:
        application = Application(dataset, Path(scratch) / "state.sqlite", scale.calls)
        once = application.timed(application.whole)
        once()
        print(f"{medians({'us': [once() for _ in range(5)]})['us']:.1f} us a request, without profiler")
        profiler = cProfile.Profile()
        profiler.runcall(once)
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(25)
