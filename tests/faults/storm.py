"""Randomised reads of a world whose store fails, each judged: right, refused, or wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from faults.answers import Reply, satisfies
from faults.clients import ABSENT, Form, Refused, decode, shard_index, voxels_of
from faults.faulty import MET
from faults.proxy import LIE
from faults.world import FRESHNESS_S, World

# What Zarr's readers raise on. 404 and 403 they take for fill value; 400 and 500 would be our own mistakes.
RAISED: Final = (410, 416, 422, 502, 503)
AT_ONCE: Final = 12
# How many addresses are looked at once nothing fails any more, each below every link that has it.
LOOKED_AT: Final = 12


class Wrong(AssertionError):
    """An answer that shows a reader what is not there, or hides what is."""


@dataclass
class Storm:
    """`lying`: whether a store that says of an object that it is not there, while it is, is believed (it must be: see
    docs/security.md); such answers are counted. `sound`: whether what is stored is whole, so that whatever is not answered
    must have met a fault.

    Bytes that were flipped may be remembered as long as what they are of stays the same. So a storm has seasons: each begins
    with nothing remembered, and in half of them nothing is flipped.
    """

    world: World
    random: Random
    lying: bool = False
    sound: bool = True
    outcomes: Counter[str] = field(default_factory=Counter)
    known: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    _shown: list[int] = field(default_factory=list)
    _alien_until_s: float = float("-inf")
    _told: int = 0
    _lies: int = 0

    def run(self, reads: int, *, rate: float = 0.12) -> Counter[str]:
        """So many reads, with faults for a share of the store's requests. Raises Wrong."""
        faults = [source.faults for source in self.world.sources]
        try:
            asyncio.run(self._run(reads, rate, faults))
        finally:
            self._season(faults, flips=True)
        return self.outcomes

    async def _run(self, reads: int, rate: float, faults: list[tuple[str, ...]]) -> None:
        world, addresses = self.world, [*sorted(self.world.answers[0]), *self.world.closed]
        done = 0
        while done < reads:
            # Now and then nothing fails for a while, so that something is remembered that may then prove stale.
            world.fail(self.random.choice((0.0, rate, rate, 4 * rate)))
            count = min(AT_ONCE, reads - done)
            self._shown, self._told = [world.present], self._all_told()
            self._note_alien()
            tasks = [self._read(self.random.choice(addresses)) for _ in range(count)]
            # What nobody may be shown does not stay for long.
            if len(world.versions) > 1 and self.random.random() < (
                0.1 if world.answers[world.present].keys() >= world.forms.keys() else 0.7
            ):
                tasks.append(self._exchange())
            await _to_their_end(tasks)
            done += count
            world.door.clock.monotonic_s += self.random.choice((0.0, 0.3, 1.5))
            if done >= reads or self.random.random() < 0.04:
                await self._look(addresses)
            if self.random.random() < 0.02:
                world.forget()
                self._season(faults, flips=self.random.random() < 0.5)

    def _season(self, faults: list[tuple[str, ...]], *, flips: bool) -> None:
        for source, own in zip(self.world.sources, faults, strict=True):
            source.faults = own if flips else tuple(fault for fault in own if fault != "flipped") or own

    def _all_told(self) -> int:
        return sum(source.told.total() - source.told["late"] for source in self.world.sources)

    def _note_alien(self) -> None:
        """A layer that was opened while another geometry was there, or while a header was said not to be there, is one until it
        is looked at again."""
        world = self.world
        lies, self._lies = self._lies, sum(source.told["lied"] + source.told[LIE] for source in world.sources)
        if self._lies > lies or not world.answers[world.present].keys() >= world.forms.keys():
            self._alien_until_s = world.door.clock.monotonic_s + FRESHNESS_S

    async def _look(self, addresses: list[str]) -> None:
        """Once nothing fails any more, nothing is exchanged, and what was opened is looked at anew, all is as it should be.
        Raises Wrong."""
        world = self.world
        if not self.sound:
            return
        if world.touched:
            world.forget()
        world.door.clock.monotonic_s += 1.5 * FRESHNESS_S
        self._shown = [world.present]
        chosen = self.random.sample(addresses, min(LOOKED_AT, len(addresses)))
        with world.calm():
            # Twins beside one another: what they share must not come between them.
            twins = [twin for address in chosen for twin in world.twins(address) or [address]]
            await _to_their_end([self._must_be_right(twin) for twin in twins])

    async def _must_be_right(self, address: str) -> None:
        world = self.world
        answers = world.answers[world.present]
        if address not in answers and address not in world.closed:
            # Of another geometry.
            return
        status, headers, body = await world.ask("GET", address, {})
        wanted = (410,) if address in world.closed else (404,) if answers[address] is None else (200,)
        if status not in wanted:
            raise Wrong(f"{address}: {status} while nothing fails, instead of {wanted[0]}")
        if status == 200:
            if body != answers[address]:
                raise Wrong(f"{address}: other bytes while nothing fails")
            self._remember(address, headers, body)

    async def _exchange(self) -> None:
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)
        others = [version for version in range(len(self.world.versions)) if version != self.world.present]
        version = self.random.choice(others)
        self.world.show(version)
        self._shown.append(version)
        self._note_alien()

    async def _read(self, address: str) -> None:
        met: list[str] = []
        MET.set(met)
        outcome = await self._outcome(address)
        if not outcome.startswith("right") and not self._has_cause(address, met):
            raise Wrong(f"{address}: {outcome}, and nothing had failed")
        self.outcomes[outcome] += 1

    def _has_cause(self, address: str, met: list[str]) -> bool:
        """Whether an answer could not be given, or was of no use, for something that was done to it."""
        world = self.world
        self._note_alien()
        told = [fault for fault in met if fault != "late"]
        if len(world.versions) == 1 and "refused" not in told:
            # What looks damaged or changed is read anew, once. Where objects are exchanged, that may be needed for them.
            told = told[1:]
        return (
            not self.sound
            or world.touched
            or bool(told)
            or (not world.direct and self._all_told() > self._told)
            # Exchanged again while it was read anew; or for another geometry.
            or len(set(self._shown)) > 1
            or (
                (self._lies or not address.startswith("/data/")) and world.door.clock.monotonic_s <= self._alien_until_s
            )
        )

    async def _outcome(self, address: str) -> str:
        if address in self.world.closed:
            status, _, _ = await self.world.ask("GET", address, {})
            if status not in RAISED:
                raise Wrong(f"{address}: {status} for what the link does not open")
            return "right" if status == 410 else f"raised {status}"
        form = self.world.forms.get(address)
        since = len(self._shown) - 1
        way = self.random.random()
        if address.startswith("/data/") or way < 0.45:
            return await self._get(address, form, since, b"")
        if way < 0.55:
            return await self._head(address, since)
        if way < 0.63 and self.known:
            return await self._ask_again(address, form, since)
        if form is not None and form.inner and way < 0.8:
            return await self._inner_chunk(address, form, since)
        return await self._get(address, form, since, self._range(address))

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
        reply = await self._ask(address, wanted)
        status, headers, body, start, length = reply
        refused = self._refused(address, status, since, wanted)
        if refused:
            return refused
        right = self._right(address, since)
        if status == 200 and body in right:
            self._remember(address, headers, body)
            return "right"
        if status == 206:
            found = [one for one in right if one is not None and len(one) == length]
            if any(one[start : start + len(body)] == body for one in found):
                self._compare_part(address, reply)
                return "right"
        if form is None:
            # JSON has no checksum: a digit that was flipped on its way may be another digit. Geometry is held by the link.
            return self._document(address, right, body) if status == 200 else "a part of other words"
        if status == 200:
            return self._judge(address, form, body, since)
        return self._judge_part(address, form, reply, since)

    async def _ask(self, address: str, wanted: bytes = b"") -> Reply:
        """A GET. Raises Wrong where an answer's lengths contradict one another, or what was asked for."""
        reply = Reply.of(*await self.world.ask("GET", address, {b"range": wanted} if wanted else {}))
        trouble = reply.contradiction(wanted)
        if trouble:
            raise Wrong(f"{address}, {wanted!r}: {trouble}")
        return reply

    def _remember(self, address: str, headers: dict[str, str], body: bytes) -> None:
        """An ETag is of one body, for ever. Raises Wrong."""
        if "etag" in headers and self.known.setdefault((address, headers["etag"]), body) != body:
            raise Wrong(f"{address}: another body of the same ETag {headers['etag']}")

    def _compare_part(self, address: str, reply: Reply) -> None:
        """Readers put parts of one ETag together."""
        whole = self.known.get((address, reply.headers.get("etag", "")))
        if whole is not None and whole[reply.start : reply.start + len(reply.body)] != reply.body:
            raise Wrong(f"{address}: a part of another body than the ETag {reply.headers['etag']} had")

    def _refused(self, address: str, status: int, since: int, wanted: bytes = b"") -> str:
        if status == 416 and any(one is None or not satisfies(wanted, len(one)) for one in self._right(address, since)):
            return "right"
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
        if status == 400 and self.world.touched:
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

    def _judge_part(self, address: str, form: Form, reply: Reply, since: int) -> str:
        """A part of such an answer, put into its place of a right one: what a reader may hold beside it."""
        _, _, body, start, length = reply
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
        status, _, tail, _, _ = await self._ask(address, suffix)
        refused = self._refused(address, status, since, suffix)
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
            status, _, body, _, _ = await self._ask(address, wanted)
            if status == 404 and len(set(self._shown[since:])) > 1:
                return "read of two versions"
            refused = self._refused(address, status, since, wanted)
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


async def _to_their_end(tasks: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them, also where one fails: what tensorstore has begun must not end after the loop. Raises what failed."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    if errors := [error for error in found if error is not None]:
        raise BaseExceptionGroup("in a storm", errors)


def _geometry(document: object) -> object:
    """What of a document says where voxels are and what they are."""
    if not isinstance(document, dict):
        return document
    if "metadata" in document:
        return {key: _geometry(entry) for key, entry in document["metadata"].items()}
    words = ("shape", "chunks", "dtype", "order", "fill_value", "compressor", "filters", "zarr_format", "node_type",
             "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "dimension_separator")  # fmt: skip
    return {word: document[word] for word in words if word in document}
