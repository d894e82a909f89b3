"""Pass-through against decode + encode: what a chunk costs once its stored bytes are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numcodecs
from data import LAYERS, linked
from measure import Scale, interleaved, medians, microseconds
from numcodecs import blosc
from report import Part, Table, at_least

from zarrlink.byte_range import ByteRange
from zarrlink.formats.blosc1 import lz4_frame_header
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.jump_tables import JumpTables
from zarrlink.library import OpenLayer
from zarrlink.transcode import ArrayForm, ChunkShape, Stored
from zarrlink.wkw_chunks import WkwChunks

AIM = 50
_CHUNKS, _SHARDS = 64, 4
_CODEC = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=0)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A chunk or shard whose table and stored bytes have been read."""

    form: ArrayForm
    shape: ChunkShape
    spans: tuple[int, ...]
    stored: Stored

    def pass_through(self) -> bytes:
        plan = self.form.plan(self.shape, self.spans)
        return self.form.assemble(plan, ByteRange(0, plan.length), self.stored)

    def bare_frames(self) -> bytes:
        """Only what cannot be left out: a header before each block, and one copy."""
        header, first = self.form.header, self.spans[0]
        window, out = memoryview(self.stored.data), []
        for start, end in zip(self.spans, self.spans[1:], strict=False):
            out += (
                lz4_frame_header(header.block_bytes, header.item_bytes, end - start),
                window[start - first : end - first],
            )
        return b"".join(out)

    def recode(self) -> bytes:
        """What a server does that knows blocks only as voxels (a shard's index left out)."""
        size, first = self.form.header.block_bytes, self.spans[0]
        window = memoryview(self.stored.data)
        return b"".join(
            _CODEC.encode(decode_lz4(window[start - first : end - first], size))
            for start, end in zip(self.spans, self.spans[1:], strict=False)
        )

    def check(self) -> None:
        """All three must decode to the same voxels. Raises AssertionError."""
        ours, bare, theirs = self.pass_through(), self.bare_frames(), self.recode()
        assert ours[: len(bare)] == bare
        assert _voxels(ours, self.shape.blocks) == _voxels(theirs, self.shape.blocks)


def _voxels(frames: bytes, count: int) -> list[bytes]:
    """The decoded Blosc frames that stand one behind the other."""
    found = []
    for _ in range(count):
        length = int.from_bytes(frames[12:16], "little")
        found.append(bytes(_CODEC.decode(frames[:length])))
        frames = frames[length:]
    return found


async def fetch(opened: OpenLayer, dialect: Dialect, count: int) -> list[Fetched]:
    """The first `count` chunks (v3: shards) of the finest level."""
    chunks, tables, found = opened.chunks(dialect)[0], JumpTables(), []
    assert isinstance(chunks, WkwChunks)
    form = chunks.form
    for z, y, x in list(product(*map(range, form.grid[::-1])))[:count]:
        shape = form.shape((x, y, z))
        run = await tables.locate(chunks.source, form.level, shape, look=False)
        assert run is not None
        blob = await chunks.source.read(run.key, ByteRange(run.spans[0], run.spans[-1]))
        assert blob is not None
        found.append(Fetched(form, shape, run.spans, Stored(blob.data, run.spans[0], run.key)))
    return found


def run(dataset: Path, scale: Scale) -> Part:
    # One core for both.
    blosc.use_threads = False
    part = Part(
        "A chunk's bytes: pass-through against decode + encode",
        "Pass-through: `ArrayForm.plan` + `assemble` of stored LZ4HC blocks, in memory. Bare frames: Blosc headers and one"
        " join, nothing else. Decode + encode: lz4, then `numcodecs.Blosc(cname='lz4', clevel=5, shuffle=0)`, one thread."
        " All three were decoded and compared first.",
    )
    with TemporaryDirectory() as scratch:
        ours = linked(dataset, Path(scratch) / "state.sqlite")
        shards = ("v3", "shard 128^3 (uint32: 128x128x64)", _SHARDS)
        for dialect, what, count in (("v2", "chunk 32^3", _CHUNKS), shards):
            rows = []
            for layer in LAYERS:
                opened = asyncio.run(ours.machine.library.layer(ours.link.view, layer))
                fetched = asyncio.run(fetch(opened, dialect, count))
                rows.append(_row(layer, fetched, scale, aim=dialect == "v2"))
            head = ("layer", "stored bytes", "pass-through", "bare frames", "decode + encode", "ratio", "bare ratio")
            part.tables.append(Table(f"us a {what}", head, rows))
    part.notes = [f"{name}: {what}" for name, what in LAYERS.items()]
    return part


def _row(layer: str, fetched: list[Fetched], scale: Scale, *, aim: bool) -> list[str]:
    for one in fetched:
        one.check()
    repeats = max(1, scale.calls // 20 // sum(one.shape.blocks for one in fetched))

    def each(work: Callable[[Fetched], bytes]) -> Callable[[], float]:
        def all_of_them() -> None:
            for _ in range(repeats):
                for one in fetched:
                    work(one)

        return microseconds(all_of_them, repeats * len(fetched))

    contestants = {work.__name__: each(work) for work in (Fetched.pass_through, Fetched.bare_frames, Fetched.recode)}
    us = medians(interleaved(contestants, 3 * scale.rounds))
    ratio, bare = us["recode"] / us["pass_through"], us["recode"] / us["bare_frames"]
    stored = sum(len(one.stored.data) for one in fetched) // len(fetched)
    shown = [f"{us[name]:.2f}" for name in contestants]
    return [layer, str(stored), *shown, at_least(ratio, AIM) if aim else f"{ratio:.3g}", f"{bare:.3g}"]
