"""Randomised reads of a world whose store fails, each judged: right, refused, or wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Final

from faults.clients import ABSENT, Form, Refused, decode, shard_index, voxels_of
from faults.worlds import World

# What Zarr's readers raise on. 404 and 403 they take for fill value; 400 and 500 would be our own mistakes.
RAISED: Final = (410, 416, 422, 502, 503)
AT_ONCE: Final = 12
_NOTHING: Final = object()


class Wrong(AssertionError):
    """An answer that shows a reader what is not there, or hides what is."""


@dataclass
class Storm:
    """`lying`: whether a store that says of an object that it is not there, while it is, is believed (it must be: see
    docs/security.md); such answers are counted."""

    world: World
    random: Random
    lying: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    known: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    _shown: list[int] = field(default_factory=list)

    def run(self, reads: int, *, rate: float = 0.12) -> Counter[str]:
        """So many reads, with faults for a share of the store's requests. Raises Wrong."""
        asyncio.run(self._run(reads, rate))
        return self.outcomes

    async def _run(self, reads: int, rate: float) -> None:
        world, addresses = self.world, sorted(self.world.answers[0])
        self._shown = [world.present]
        done = 0
        while done < reads:
            # Now and then nothing fails for a while, so that something is remembered that may then prove stale.
            world.fail(self.random.choice((0.0, rate, rate, 4 * rate)))
            count = min(AT_ONCE, reads - done)
            self._shown = [world.present]
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._read(self.random.choice(addresses)))
                # What nobody may be shown does not stay for long.
                if len(world.versions) > 1 and self.random.random() < (
                    0.1 if world.answers[world.present].keys() >= world.forms.keys() else 0.7
                ):
                    group.create_task(self._exchange())
            done += count
            world.door.clock.monotonic_s += self.random.choice((0.0, 0.3, 1.5))
            if self.random.random() < 0.02:
                world.forget()

    async def _exchange(self) -> None:
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)
        others = [version for version in range(len(self.world.versions)) if version != self.world.present]
        version = self.random.choice(others)
        self.world.show(version)
        self._shown.append(version)

    async def _read(self, address: str) -> None:
        form = self.world.forms.get(address)
        since = len(self._shown) - 1
        way = self.random.random()
        if address.startswith("/data/") or way < 0.45:
            outcome = await self._get(address, form, since, b"")
        elif way < 0.55:
            outcome = await self._head(address, since)
        elif way < 0.63 and self.known:
            outcome = await self._ask_again(address, form, since)
        elif form is not None and form.inner and way < 0.8:
            outcome = await self._inner_chunk(address, form, since)
        else:
            outcome = await self._get(address, form, since, self._range(address))
        self.outcomes[outcome] += 1

    def _right(self, address: str, since: int) -> list[bytes | None]:
        """What may be said: by any version that was in the store meanwhile."""
        found = []
        for version in self._shown[since:]:
            answers = self.world.answers[version]
            if address in answers:
                found.append(answers[address])
            else:
                # What lies outside of all boxes is nothing without a look at the store.
                found += [None for answers in self.world.answers if answers.get(address, b"") is None]
        if address not in self.world.forms:
            # A description may be as old as it may be.
            found += [answers[address] for answers in self.world.answers if address in answers]
        return found

    def _range(self, address: str) -> bytes:
        length = max(len(answers.get(address) or b"") for answers in self.world.answers) or 10
        first = self.random.randrange(length)
        last = first + self.random.randrange(length)
        return self.random.choice((f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last + 1}")).encode()

    async def _get(self, address: str, form: Form | None, since: int, wanted: bytes) -> str:
        status, headers, body = await self.world.ask("GET", address, {b"range": wanted} if wanted else {})
        refused = self._refused(address, status, since)
        if refused:
            return refused
        right = self._right(address, since)
        start = int(headers["content-range"].split()[1].partition("-")[0]) if status == 206 else 0
        if status == 200 and body in right:
            if "etag" in headers:
                self.known[address, headers["etag"]] = body
            return "right"
        if status == 206 and any(one is not None and one[start : start + len(body)] == body for one in right):
            return "right"
        if form is None:
            # JSON has no checksum: a digit that was flipped on its way may be another digit. Geometry is held by the link.
            return self._document(address, right, body) if status == 200 else "a part of other words"
        if status == 200:
            return self._judge(address, form, body, since)
        return self._judge_part(address, form, body, start, headers, since)

    def _refused(self, address: str, status: int, since: int) -> str:
        if status in RAISED:
            return f"raised {status}"
        if status == 404:
            if None in self._right(address, since):
                return "right"
            if self._is_described_otherwise(address):
                return "described otherwise"
            if self.lying:
                return "hidden by a store that says 404"
            raise Wrong(f"{address}: 404 for data that exists")
        if status == 400 and any(source.touched for source in self.world.sources):
            # By flipped metadata it is an array of more or fewer axes than it was.
            return "raised 400"
        if status not in (200, 206):
            raise Wrong(f"{address}: {status}")
        return ""

    def _is_described_otherwise(self, address: str) -> bool:
        """JSON has no checksum: a digit that was flipped on its way may be another digit. A link knows the geometry that it
        was made for, and would end; whoever reads without a link is shown what the description says."""
        return address.startswith("/data/") and any(
            not key.endswith((".wkw", ".index")) for source in self.world.sources for key in source.touched
        )

    def _document(self, address: str, right: list[bytes | None], body: bytes) -> str:
        import json

        for one in right:
            if one is None:
                continue
            ours, theirs = json.loads(body), json.loads(one)
            if _geometry(ours) == _geometry(theirs):
                return "a document of other words"
        raise Wrong(f"{address}: another array is described")

    def _judge(self, address: str, form: Form, body: bytes, since: int) -> str:
        """An answer of bytes that no version has: whatever a reader sees of it must be right."""
        try:
            seen = voxels_of(body, form)
        except Refused:
            return "refused by the reader"
        for one in self._right(address, since):
            true = voxels_of(one, form)
            if all(mine in (b"", his) for mine, his in zip(seen, true, strict=True)):
                return "refused by the reader, in part" if b"" in seen else "right in other bytes"
        if self._is_described_otherwise(address):
            return "described otherwise"
        raise Wrong(f"{address}: other voxels ({self._shown[since:]} in the store)")

    def _judge_part(self, address: str, form: Form, body: bytes, start: int, headers: dict[str, str],
                    since: int) -> str:  # fmt: skip
        """A part of such an answer, put into its place of a right one: what a reader may hold beside it."""
        length = int(headers["content-range"].rpartition("/")[2])
        for one in self._right(address, since):
            if one is not None and len(one) == length:
                return self._judge(address, form, one[:start] + body + one[start + len(body) :], since)
        # Nobody can hold the rest: it comes with the same length, and no version has that.
        return "of another length"

    async def _head(self, address: str, since: int) -> str:
        status, headers, body = await self.world.ask("HEAD", address, {})
        refused = self._refused(address, status, since)
        if refused:
            return refused
        if body or int(headers["content-length"]) not in [len(one) for one in self._right(address, since) if one]:
            # A length from a flipped table: the index is read from where it says, and does not fit its checksum.
            return "of another length"
        return "right"

    async def _ask_again(self, address: str, form: Form | None, since: int) -> str:
        """Whether what a reader holds is still right."""
        address, etag = self.random.choice(list(self.known)) if self.random.random() < 0.5 else (address, "")
        if not etag:
            return await self._get(address, self.world.forms.get(address), since, b"")
        status, _, _ = await self.world.ask("GET", address, {b"if-none-match": etag.encode()})
        if status == 304:
            if self.known[address, etag] not in self._right(address, since):
                raise Wrong(f"{address}: what is held is not right any more")
            return "right"
        return self._refused(address, status, since) or "right"

    async def _inner_chunk(self, address: str, form: Form, since: int) -> str:
        """As readers of shards do: the index first, then a chunk by it."""
        suffix = f"bytes=-{form.index_bytes}".encode()
        status, _, tail = await self.world.ask("GET", address, {b"range": suffix})
        refused = self._refused(address, status, since)
        if refused:
            return refused
        try:
            index = shard_index(tail, form)
        except Refused:
            return "refused by the reader"
        slot = self.random.randrange(form.inner)
        offset, length = index[slot]
        seen: bytes | None = None
        if offset != ABSENT:
            wanted = f"bytes={offset}-{offset + length - 1}".encode()
            status, _, body = await self.world.ask("GET", address, {b"range": wanted})
            if status == 404 and len(set(self._shown[since:])) > 1:
                return "read of two versions"
            refused = self._refused(address, status, since)
            if refused:
                return refused
            if len(body) != length:
                # A file that was cut off says that it ends there. Readers know how much they have asked for.
                return "of another length"
            try:
                seen = decode(body, form)
            except Refused:
                return "refused by the reader"
        true = [voxels_of(one, form)[slot] for one in self._right(address, since)]
        if seen in true:
            return "right"
        if len(set(self._shown[since:])) > 1:
            # Index and chunk of two versions: a reader who sends no If-Range may see that of any store.
            return "read of two versions"
        raise Wrong(f"{address}: other voxels in inner chunk {slot}")


def _geometry(document: object) -> object:
    """What of a document says where voxels are and what they are."""
    if not isinstance(document, dict):
        return document
    if "metadata" in document:
        return {key: _geometry(entry) for key, entry in document["metadata"].items()}
    words = ("shape", "chunks", "dtype", "order", "fill_value", "compressor", "filters", "zarr_format", "node_type",
             "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "dimension_separator")  # fmt: skip
    return {word: document[word] for word in words if word in document}
