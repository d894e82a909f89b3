"""A harness that finds nothing may be blind: bugs are planted, and each must be found."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from builders.moto_aws import MotoAws
from builders.state_files import state_file
from faults.buckets import in_a_bucket
from faults.contention import check, prepare, work
from faults.faulty import FaultySource
from faults.storm import Storm, Wrong
from faults.world import World
from faults.worlds import annotation_world, foreign_world, small_world, wkw_world
from zarrlink import answers, proxied_chunks, transcode
from zarrlink.annotations.manifest import Manifest
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, SourceUnavailable
from zarrlink.formats import block_pack
from zarrlink.formats.wkw import BOUNDARY_BYTES, TableSlice
from zarrlink.geometry import Vec3
from zarrlink.jump_tables import JumpTables
from zarrlink.library import Library
from zarrlink.links.model import Link
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.storage import s3
from zarrlink.storage.cache import ByteBoundedCache
from zarrlink.streaming import Answer, Streamer
from zarrlink.transcode import ArrayForm
from zarrlink.view import View
from zarrlink.wkw_chunks import WkwChunks

SEEDS, READS = 8, 1000
Plant = Callable[[pytest.MonkeyPatch], None]
pytestmark = pytest.mark.usefixtures("quiet")


def is_found(world: World, *, rate: float = 0.12, sound: bool = True) -> bool:
    """Whether a storm, or one of a few more, finds something wrong."""
    for seed in range(SEEDS):
        world.show(0)
        world.forget()
        try:
            Storm(world, Random(seed), sound=sound).run(READS, rate=rate)
        except ExceptionGroup as errors:
            if errors.subgroup(Wrong) is None:
                raise
            return True
    return False


# --- in the data path ---


def error_becomes_nothing(patch: pytest.MonkeyPatch) -> None:
    """A refused read is taken for an object that is not there, and remembered so: one look more does not help."""
    read, stat = FaultySource.read, FaultySource.stat
    refused: set[str] = set()

    async def forgiving(self: FaultySource, key: str, *arguments: Any, **options: Any) -> Any:
        try:
            return await read(self, key, *arguments, **options)
        except SourceUnavailable:
            refused.add(key)
            return None

    async def forgetting(self: FaultySource, key: str) -> Any:
        return None if key in refused else await stat(self, key)

    patch.setattr(FaultySource, "read", forgiving)
    patch.setattr(FaultySource, "stat", forgetting)


def etag_guard_left_out(patch: pytest.MonkeyPatch) -> None:
    """Blocks are read by a table that may be of another version of the file."""
    read = FaultySource.read

    async def unguarded(
        self: FaultySource, key: str, part: Any = None, *, if_match: Any = None, head_bytes: int = 0
    ) -> Any:
        return await read(self, key, part, head_bytes=head_bytes)

    patch.setattr(FaultySource, "read", unguarded)


def clip_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """One voxel too few at the box's end, as soon as something has failed."""
    kept = ArrayForm._kept
    calls = itertools.count()

    def shorter(self: ArrayForm, x: int, y: int, z: int) -> Any:
        found = kept(self, x, y, z)
        # Not while the world learns what is right.
        if next(calls) < 100 or found is None or found == ((0, 0, 0), (0, 0, 0)):
            return found
        low, high = found
        return low, (max(low[0] + 1, high[0] - 1), high[1], high[2])

    patch.setattr(ArrayForm, "_kept", shorter)


def absence_not_confirmed(patch: pytest.MonkeyPatch) -> None:
    """A missing file is nothing, whatever became of its folder."""

    async def believing(*_: Any) -> None:
        return

    patch.setattr(JumpTables, "confirm_absence", staticmethod(believing))


def stale_plan_is_not_modified(patch: pytest.MonkeyPatch) -> None:
    """304 and HEAD from a plan in the cache, without a look at the file."""

    async def always(*_: Any) -> bool:
        return True

    patch.setattr(WkwChunks, "is_current", always)


def neighbouring_block(patch: pytest.MonkeyPatch) -> None:
    """x and y change places in the Morton order of a table that was read again."""
    spans = TableSlice.spans
    calls = itertools.count()

    def turned(self: TableSlice, first: int, count: int) -> tuple[int, ...]:
        shifted = first ^ 1 if count == 1 and next(calls) % 500 == 499 else first
        return spans(self, shifted, count)

    patch.setattr(TableSlice, "spans", turned)


def layers_by_dataset(patch: pytest.MonkeyPatch) -> None:
    """What a link opened first, its box and mags, is what all links to the dataset are given."""
    opened = Library.opened

    async def by_dataset(self: Library, view: View, name: str) -> Any:
        named = copy.copy(view)
        object.__setattr__(named, "id", view.dataset)
        return await opened(self, named, name)

    patch.setattr(Library, "opened", by_dataset)


def one_byte_fewer(patch: pytest.MonkeyPatch) -> None:
    """A part of a chunk ends a byte too early, whatever its Content-Range says."""
    assemble = ArrayForm.assemble

    def shorter(self: ArrayForm, plan: Any, part: ByteRange, *arguments: Any, **options: Any) -> bytes:
        found = assemble(self, plan, part, *arguments, **options)
        return found if len(part) == plan.length else found[:-1]

    patch.setattr(ArrayForm, "assemble", shorter)


def never_read_anew(patch: pytest.MonkeyPatch) -> None:
    """What was remembered of a file that was replaced since is an error, not a reason to look again."""

    async def once(self: Streamer, keys: Any, place: Any, want: Any, pin: Any) -> Answer:
        opened, is_pinned = await self._open(place.view, place.geometry, place.layer, pin)
        return Answer(await keys(opened, place, want), is_pinned)

    patch.setattr(Streamer, "answer_by", once)


class NamelessCache:
    """Without the first part of each key."""

    def __init__(self, cache: ByteBoundedCache[Any]) -> None:
        self._cache = cache

    def get(self, key: tuple[Any, ...]) -> Any:
        return self._cache.get(key[1:])

    def put(self, key: tuple[Any, ...], value: Any, size: int) -> None:
        self._cache.put(key[1:], value, size)

    def drop(self, key: tuple[Any, ...]) -> None:
        self._cache.drop(key[1:])


def tables_of_another_dataset(patch: pytest.MonkeyPatch) -> None:
    """Jump tables go by the file's name alone: datasets take each other's away."""
    made = JumpTables.__init__

    def nameless(self: Any) -> None:
        made(self)
        self._pages = NamelessCache(self._pages)

    patch.setattr(JumpTables, "__init__", nameless)


def x_for_y_in_shards(patch: pytest.MonkeyPatch) -> None:
    """A shard's chunks are counted as if its sides along x and y changed places."""
    slots = transcode._run_slots

    def turned(log2: int) -> tuple[tuple[int, Vec3, int], ...]:
        found = slots(log2)
        width, height = (max(place[axis] for _, place, _ in found) + 1 for axis in (0, 1))
        return tuple((n, (x, y, z), ((z * width + y) * height + x) % (1 << log2)) for n, (x, y, z), _ in found)

    patch.setattr(transcode, "_run_slots", turned)


@pytest.mark.parametrize(
    "plant",
    [error_becomes_nothing, etag_guard_left_out, clip_off_by_one, absence_not_confirmed, stale_plan_is_not_modified,
     neighbouring_block, layers_by_dataset, one_byte_fewer, never_read_anew, tables_of_another_dataset, x_for_y_in_shards],
    ids=lambda plant: plant.__name__,
)  # fmt: skip
def test_a_bug_of_the_data_path_is_found(plant: Plant, stored: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert is_found(stored)


@pytest.fixture(scope="module")
def stored() -> World:
    return wkw_world()


def test_a_table_that_is_not_held_against_the_files_length_is_found() -> None:
    """Where tables are not checked, a cut file's answer is only what its length lets it be."""
    world = small_world()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TableSlice, "spans", _unchecked_spans)
        patch.setattr(ArrayForm, "assemble", _padded(ArrayForm.assemble))
        assert is_found(world, rate=0.3)


def _unchecked_spans(self: TableSlice, first: int, count: int) -> tuple[int, ...]:
    import struct

    offset = BOUNDARY_BYTES * (first - self.first_block)
    return struct.unpack_from(f"<{count + 1}Q", self.boundaries, offset)


def _padded(assemble: Callable[..., bytes]) -> Callable[..., bytes]:
    def careless(self: ArrayForm, plan: Any, part: Any, stored: Any, **options: Any) -> bytes:
        missing = max((piece.source_end for piece in plan.touched(part)), default=0) - stored.offset - len(stored.data)
        if 0 < missing < 2**20:
            stored = stored._replace(data=bytes(stored.data) + bytes(missing))
        return assemble(self, plan, part, stored, **options)

    return careless


def test_a_moved_entry_of_an_index_is_found_where_nobody_checks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this harness found: a bit of an annotation's index that flips moves a painted block, and nothing else tells."""
    world = annotation_world()
    own: Any = world.sources[1].inner
    key = next(key for key in own.objects if key.endswith("0/1-1-1.index"))
    data = own.objects[key].data
    own.put(key, data[: _moved_code(data)] + bytes([data[_moved_code(data)] ^ 1]) + data[_moved_code(data) + 1 :])
    world.fail(0.0)
    assert not is_found(world, rate=0.0, sound=False)

    monkeypatch.setattr(block_pack.PackIndex, "_check_entries", lambda *_: None)
    assert is_found(world, rate=0.0, sound=False)


def test_an_etag_of_more_than_one_body_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies below an annotation is another version, and the ETag does not tell."""
    world, made = annotation_world(), answers.Ask.etag

    def of_painted(self: answers.Ask, stored_etag: str) -> str:
        return made(self, "painted" if stored_etag.startswith("painted") else stored_etag)

    monkeypatch.setattr(answers.Ask, "etag", of_painted)
    assert is_found(world)


def _moved_code(index: bytes) -> int:
    """Where the code of an entry lies whose lowest bit may be another, with the order of the entries kept."""
    start = 32 + 8 + 4
    codes = [int.from_bytes(index[at : at + 8], "little") for at in range(start, len(index), 24)]
    # Not the first, whose code stands in the directory too.
    number = next(n for n in range(1, len(codes) - 1) if codes[n - 1] < codes[n] ^ 1 < codes[n + 1])
    return start + 24 * number


# --- in the adapter of a store ---


def by_403(status: str, code: str) -> tuple[str, str]:
    return (status, "NoSuchKey") if status == "403" else (status, code)


def by_404(status: str, code: str) -> tuple[str, str]:
    return (status, "NoSuchKey") if status == "404" else (status, code)


@pytest.mark.parametrize("taken", [by_403, by_404])
@pytest.mark.parametrize("faults", [None, ("404 by a proxy", "403")])
def test_a_refusal_taken_for_absence_is_found(
    taken: Callable[[str, str], tuple[str, str]],
    faults: tuple[str, ...] | None,
    aws: MotoAws,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One look more does not help where the refusal lasts. `faults` None: among all others."""
    read, answer = s3.S3Source.read, s3._answer

    async def forgiving(self: s3.S3Source, *arguments: Any, **options: Any) -> Any:
        try:
            return await read(self, *arguments, **options)
        except SourceUnavailable as error:
            if taken(*answer(error.__cause__ or error))[1] == "NoSuchKey":
                return None
            raise

    monkeypatch.setattr(s3.S3Source, "read", forgiving)
    world = small_world()
    with in_a_bucket(aws, world, Random(1)) as proxy:
        proxy.faults = faults or proxy.faults
        proxy.late_s = 0.0
        with pytest.raises(ExceptionGroup) as wrong:
            # Among all others it is seldom met.
            Storm(world, Random(1)).run(600 if faults else 1500)
    assert wrong.group_contains(Wrong)


@pytest.mark.parametrize("claimed", [False, True])
def test_a_short_read_that_is_passed_on_is_found(
    claimed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this harness found, planted again: a stored chunk whose end is missing goes out as if that were all, or as if its
    end were there."""

    async def trusting(self: Any, key: str, part: Any, etag: Any) -> Any:
        blob = await self._stored.source.read(key, part, if_match=etag)
        if blob is None:
            return None
        whole = ByteRange(0, blob.object_bytes) if part is None else part
        end = min(whole.end, blob.object_bytes) if claimed else whole.start + len(blob.data)
        return proxied_chunks._Found(blob, ByteRange(whole.start, end))

    world = foreign_world(tmp_path)
    monkeypatch.setattr(proxied_chunks.ProxiedChunks, "_read", trusting)
    world.sources[0].faults = ("short",)
    assert is_found(world, rate=0.3)


# --- in the stores of links ---


class CachedLinks(SqliteLinks):
    """A link once read is remembered."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known: dict[str, Link | None] = {}

    def get(self, link_id: str) -> Link | None:
        return self._known.setdefault(link_id, super().get(link_id))


class RevivingLinks(SqliteLinks):
    """Who changes a link writes back all of it, as it was read."""

    def change(self, link_id: str, owner: str | None, **fields: Any) -> Link | None:
        changed = super().change(link_id, owner, **fields)
        if changed is None and (found := self.get(link_id)) is not None:
            with self._file.write() as connection:
                connection.execute("UPDATE links SET revoked_ms = NULL WHERE id = ?", (found.id,))
        return changed


class ForgetfulCounts(SqliteLinks):
    """A count is what was read before, and one more."""

    def count(self, uses: Any) -> None:
        super().count({key: value for key, value in uses.items() if value.last_ms % 50})


@pytest.mark.parametrize("kind", [CachedLinks, RevivingLinks, ForgetfulCounts])
def test_a_bug_of_the_link_store_is_found(kind: type[SqliteLinks], tmp_path: Path) -> None:
    with state_file(tmp_path / "state.sqlite") as file:
        links = kind(file)
        prepare(links, 5)
        with pytest.raises(AssertionError):
            check(links, [work(links, 0, 60, 5)], 5)


def test_the_link_store_itself_passes(tmp_path: Path) -> None:
    with state_file(tmp_path / "state.sqlite") as file:
        links = SqliteLinks(file)
        prepare(links, 5)
        check(links, [work(links, 0, 60, 5)], 5)


def test_a_flipped_digit_of_a_manifest_is_found() -> None:
    good = Manifest("", None, None, None, None, None, None, (), trees=2, nodes=7)
    flipped = good.to_json().replace(b'"trees": 2', b'"trees": 3')
    with pytest.raises(CorruptFile, match="its check"):
        Manifest.from_json(flipped)
    # As it was before there was one: another number of trees, and nobody the wiser.
    without = b"{" + flipped.partition(b"{")[2].replace(b'"check"', b'"chock"')
    assert Manifest.from_json(without) != good
