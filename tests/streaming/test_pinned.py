"""Data replaced behind a CDN: what may be kept under a revision's address is of that revision, and of nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numcodecs import Blosc

from builders.door import Door, door_to, header, open_door
from builders.edge_origin import EdgeOrigin
from builders.foreign_arrays import numbered, write_zarr3
from builders.foreign_datasets import describe, entry
from builders.painted import PaintedLayer, annotation
from builders.wkw_files import LayerFiles, Objects, Volume, dataset, noise
from zarrlink.annotations.manifest import MANIFEST_KEY
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.edge.revision import revision_of
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.message import Response
from zarrlink.storage.files import LocalFiles

ONE = Mag(1, 1, 1)
OLD, NEW = noise((16, 16, 16), "uint32", seed=1), noise((16, 16, 16), "uint32", seed=2)
# The whole of a chunk, and of the last one of the other box.
FIRST, LAST, NAMES = "v2/seg.zarr/0/0/0/0", "v2/seg.zarr/0/1/1/1", "v2/seg.zarr/.zattrs"
IN_WEBKNOSSOS = "w3/seg/1/0.0.0.0"


def stored(volume: Volume, box: BoundingBox | None = None) -> Objects:
    return dataset(LayerFiles("seg", {ONE: volume}, box=box, category="segmentation", file_side=1))


def replaced(door: Door, objects: Objects) -> None:
    """Other files at the same place, and the record says so."""
    kept = door.source.inner.objects
    kept.clear()
    kept.update(objects)
    assert door.catalogue.revise(door.record.id) is not None


def voxels(reply: Response, dtype: str = "<u4") -> Volume:
    assert reply.status == 200, reply
    return np.frombuffer(Blosc().decode(reply.body), dtype).reshape(8, 8, 8)


def is_kept(reply: Response) -> bool:
    """Whether a CDN would keep it for long."""
    told = header(reply, "cache-control") or ""
    assert told.startswith("public") or told == "no-store", told
    return told.startswith("public")


@pytest.fixture
def origin() -> EdgeOrigin:
    """What is remembered stays so for years: only the pin can find that it is old."""
    return EdgeOrigin(open_door(stored(OLD), freshness_s=1e9))


def test_the_newer_revision_is_found_at_once_and_the_older_one_is_kept_no_more(origin: EdgeOrigin) -> None:
    before = origin.revision()
    for rest in (FIRST, NAMES, IN_WEBKNOSSOS):
        assert is_kept(origin.pinned(rest, before))
    replaced(origin.door, stored(NEW))
    after = origin.revision()
    assert after != before
    reply = origin.pinned(LAST, after)
    assert is_kept(reply)
    np.testing.assert_array_equal(voxels(reply), NEW[8:, 8:, 8:])
    # A reader that began with the older one goes on with what there is.
    for rest in (FIRST, NAMES, IN_WEBKNOSSOS):
        old = origin.pinned(rest, before)
        assert old.status == 200
        assert not is_kept(old)
    np.testing.assert_array_equal(voxels(origin.pinned(FIRST, before)), NEW[:8, :8, :8])
    assert is_kept(origin.pinned(FIRST, after))


@pytest.mark.parametrize("rest", [FIRST, NAMES, IN_WEBKNOSSOS])
def test_another_geometry_is_never_answered(origin: EdgeOrigin, rest: str) -> None:
    door, link = origin.door, origin.door.link
    before = origin.revision()
    assert is_kept(origin.pinned(rest, before))
    replaced(door, stored(NEW, BoundingBox((4, 0, 0), (12, 16, 16))))
    for revision in (origin.revision(), before):
        reply = origin.pinned(rest, revision)
        assert (reply.status, header(reply, "cache-control")) == (410, "no-store")
        assert "replaced" in json.loads(reply.body)["detail"]
    assert origin.unpinned(rest).status == 410
    # A link that is made now is to the same view, at another address.
    door.make_link()
    assert door.link.view.id == link.view.id
    assert origin.revision() != origin.revision(link)
    assert is_kept(origin.pinned(rest))
    assert origin.pinned(rest, link=link).status == 410
    # With the old link's name at the new address, and the other way round.
    assert not is_kept(origin.pinned(rest, origin.revision(), link=link))
    assert not is_kept(origin.pinned(rest, origin.revision(link)))


def test_absence_is_of_its_revision_too(origin: EdgeOrigin) -> None:
    """A chunk that was not there and now is, and one that was there and now is not."""
    door = origin.door
    sparse = stored(OLD)
    del sparse["seg/1/z1/y1/x1.wkw"]
    replaced(door, sparse)
    before = origin.revision()
    absent = origin.pinned(LAST, before)
    assert absent.status == 404
    assert is_kept(absent)
    other = stored(NEW)
    del other["seg/1/z0/y0/x0.wkw"]
    replaced(door, other)
    after = origin.revision()
    for revision, kept in ((after, True), (before, False), (after, True), (before, False)):
        gone, there = origin.pinned(FIRST, revision), origin.pinned(LAST, revision)
        assert (gone.status, is_kept(gone)) == (404, kept)
        assert (there.status, is_kept(there)) == (200, kept)
        np.testing.assert_array_equal(voxels(there), NEW[8:, 8:, 8:])


def test_a_revision_that_nobody_ever_had_is_not_kept(origin: EdgeOrigin) -> None:
    for revision in ("AAAAAAAAAAA", "", "x" * 500):
        for rest in (FIRST, NAMES, IN_WEBKNOSSOS, "v2/seg.zarr/0/9/9/9"):
            link = origin.door.link
            reply = origin.send("GET", f"/c/{link.view.id}/{revision}/{rest}", x_zarrlink_link=link.id)
            assert reply.status in (200, 404)
            assert not is_kept(reply)


def test_the_records_are_not_looked_at_for_each_chunk(origin: EdgeOrigin) -> None:
    revision = origin.revision()
    assert origin.pinned(FIRST, revision).status == 200
    asked = Watched(origin.door)
    for rest in (FIRST, LAST, NAMES):
        assert is_kept(origin.pinned(rest, revision))
    assert asked.times == 0
    replaced(origin.door, stored(NEW))
    after = origin.revision()
    for _ in range(2):
        asked.times = 0
        for rest in (FIRST, LAST, NAMES):
            assert is_kept(origin.pinned(rest, after))
    assert asked.times == 0


class Watched:
    """The catalogue of a door, which counts questions; `then` happens after an answer was given, before it is used."""

    def __init__(self, door: Door) -> None:
        self.inner = door.library._catalogue
        self.times = 0
        self.then: Callable[[], None] = lambda: None
        door.library._catalogue = self

    def get(self, dataset_id: str) -> DatasetRecord | None:
        found = self.inner.get(dataset_id)
        self.times += 1
        then, self.then = self.then, lambda: None
        then()
        return found


def test_a_record_that_changes_right_after_it_was_looked_at(origin: EdgeOrigin) -> None:
    """The layer is opened as of the older one: under the newer one's address it is looked at anew."""
    door = origin.door
    before = origin.revision()
    door.library._open.clear()
    watched = Watched(door)
    watched.then = lambda: replaced(door, stored(NEW))
    reply = origin.pinned(FIRST, before)
    # Whatever was read, the record that it was opened by is of this revision.
    assert is_kept(reply)
    after = origin.revision()
    assert after != before
    reply = origin.pinned(FIRST, after)
    assert is_kept(reply)
    np.testing.assert_array_equal(voxels(reply), NEW[:8, :8, :8])
    assert not is_kept(origin.pinned(FIRST, before))


def test_a_record_that_changes_over_and_over_is_never_kept_under_another_ones_address(origin: EdgeOrigin) -> None:
    """Each look finds the revision before the one that is asked for."""
    door = origin.door
    watched = Watched(door)
    link, geometry = door.link, door.link.geometry
    number = door.record.revision

    def change() -> None:
        replaced(door, stored(NEW))
        watched.then = change

    watched.then = change
    for ahead in range(1, 6):
        reply = origin.pinned(FIRST, revision_of((str(number + 10 * ahead), ""), geometry), link=link)
        assert reply.status == 200
        assert not is_kept(reply)
    assert watched.times == 5, "each request looks once"


# Of an annotation, whose revisions lie in folders of their own.
PAINT = {"r1": 3, "r2": 5}


def paint(value: int, *, at: tuple[int, int, int] = (1, 1, 1)) -> Objects:
    return annotation(PaintedLayer("cells", {ONE: {at: np.full((8, 8, 8), value, "uint32")}}, "seg"))


@pytest.fixture
def painted() -> EdgeOrigin:
    return EdgeOrigin(open_door(stored(OLD), annotation=paint(PAINT["r1"]), freshness_s=1e9))


def import_again(door: Door, objects: Objects) -> None:
    """As an import does: a new folder, then the record names it."""
    record = door.subject.annotation
    assert record is not None
    door.places["memory/annotation/2"] = door.make_source(objects)
    newer = replace(record, revision="r2", location="memory/annotation/2")
    assert door.annotations.revise(newer, "r1") is not None


CELLS = {rest: f"v2/cells.zarr/0/{rest}" for rest in ("0/0/0", "1/1/1")}


def test_an_annotation_imported_again_is_found_at_once(painted: EdgeOrigin) -> None:
    before = painted.revision()
    assert (voxels(painted.pinned(CELLS["1/1/1"], before)) == 3).all()
    import_again(painted.door, paint(5))
    after = painted.revision()
    reply = painted.pinned(CELLS["1/1/1"], after)
    assert is_kept(reply)
    assert (voxels(reply) == 5).all()
    old = painted.pinned(CELLS["1/1/1"], before)
    assert not is_kept(old)
    assert (voxels(old) == 5).all()
    # Unpinned, what is remembered counts until it is looked at again; by now it was.
    assert (voxels(painted.unpinned(CELLS["1/1/1"])) == 5).all()


class SwitchingSource:
    """The blocks of an annotation, behind whose back it is imported again while they are read."""

    def __init__(self, door: Door, then: Callable[[], None], ending: str) -> None:
        place = "memory/annotation"
        self.inner = door.places[place]
        self.name, self.absence_trust_s = self.inner.name, self.inner.absence_trust_s
        self._then: Callable[[], None] | None = then
        self._ending = ending
        door.places[place] = self

    async def read(self, key: str, *arguments: object, **options: object) -> object:
        if key.endswith(self._ending) and self._then is not None:
            then, self._then = self._then, None
            then()
        return await self.inner.read(key, *arguments, **options)

    async def stat(self, key: str) -> object:
        return await self.inner.stat(key)


@pytest.mark.parametrize("ending", [MANIFEST_KEY, ".index", ".blocks"])
def test_an_annotation_imported_again_between_the_look_up_and_the_answer(painted: EdgeOrigin, ending: str) -> None:
    door = painted.door
    before = painted.revision()
    changed: list[AnnotationRecord] = []
    SwitchingSource(door, lambda: (import_again(door, paint(5)), changed.append(door.subject.annotation))[1], ending)
    # The layer was opened when the link was made: here it is opened anew, through the switch.
    door.library._open.clear()
    reply = painted.pinned(CELLS["1/1/1"], before)
    assert changed
    # What it was compared with is what it is made from.
    assert is_kept(reply)
    assert (voxels(reply) == 3).all()
    after = painted.revision()
    assert after != before
    reply = painted.pinned(CELLS["1/1/1"], after)
    assert is_kept(reply)
    assert (voxels(reply) == 5).all()
    assert not is_kept(painted.pinned(CELLS["1/1/1"], before))


def test_what_was_painted_and_is_no_more_is_kept_under_the_newer_address_alone(painted: EdgeOrigin) -> None:
    before = painted.revision()
    assert (voxels(painted.pinned(CELLS["1/1/1"], before)) == 3).all()
    import_again(painted.door, paint(7, at=(0, 0, 0)))
    after = painted.revision()
    for revision, kept in ((after, True), (before, False)):
        reply = painted.pinned(CELLS["1/1/1"], revision)
        assert is_kept(reply) is kept
        np.testing.assert_array_equal(voxels(reply), OLD[8:, 8:, 8:])
        assert (voxels(painted.pinned(CELLS["0/0/0"], revision)) == 7).all()


def test_a_layer_that_the_newer_revision_does_not_have_is_replaced(painted: EdgeOrigin) -> None:
    before = painted.revision()
    import_again(painted.door, annotation(PaintedLayer("other", {}, "seg")))
    for revision in (painted.revision(), before):
        reply = painted.pinned(CELLS["1/1/1"], revision)
        assert (reply.status, header(reply, "cache-control")) == (410, "no-store")


@pytest.mark.parametrize("chunk", [(8, 8, 8), (7, 9, 11)], ids=["byte for byte", "decoded"])
def test_voxels_of_a_foreign_array_are_of_their_revision(tmp_path: Path, chunk: tuple[int, int, int]) -> None:
    """What was decoded before is not taken for what is stored now; nor is what was absent."""
    old, new = numbered((16, 16, 16), "uint16"), numbered((16, 16, 16), "uint16")[::-1].copy()

    def write(data: Volume) -> None:
        shutil.rmtree(tmp_path / "em", ignore_errors=True)
        write_zarr3(tmp_path / "em/1", data, chunk)
        describe(tmp_path, entry("em", "zarr3", "uint16", (16, 16, 16), order="zyx"))

    old[8:] = 0
    write(old)
    door = door_to(LocalFiles(tmp_path))
    origin = EdgeOrigin(door)

    def check(expected: Volume, revision: str) -> None:
        side = door.opened("em").layer.levels[0].chunk
        for position in np.ndindex(*(-(-16 // length) for length in side[::-1])):
            chunk_reply = origin.pinned(f"v2/em.zarr/0/{'/'.join(map(str, position))}", revision)
            assert is_kept(chunk_reply)
            start = [index * length for index, length in zip(position, side[::-1], strict=True)]
            part = expected[tuple(slice(a, a + length) for a, length in zip(start, side[::-1], strict=True))]
            assert (chunk_reply.status == 404) <= (not part.any())
        reply = origin.pinned("w3/em/1/0.0.0.0", revision)
        assert is_kept(reply)
        found = np.frombuffer(reply.body, "<u2").reshape(32, 32, 32)[:16, :16, :16]
        np.testing.assert_array_equal(found, expected)

    check(old, origin.revision())
    write(new)
    door.catalogue.revise(door.record.id)
    check(new, origin.revision())
