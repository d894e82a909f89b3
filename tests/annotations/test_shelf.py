"""Revisions, imports beside each other, and what crashes leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.import_jobs import import_beside
from builders.imported import downloaded
from builders.processes import run_together
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.annotations.shelf import Upload
from zarrlink.annotations.sink import FolderSink, sweep_partial
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.errors import InvalidRequest, LinkGone, SourceReplaced, SourceUnavailable
from zarrlink.geometry import Mag
from zarrlink.library import Subject
from zarrlink.links.service import LinkRequest, create_link
from zarrlink.streaming import Place, Streamer
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below

ONE = Mag(1, 1, 1)
SIDE = 32


def quiet(_done: int, _total: int) -> None:
    pass


def annotation(*seeds: int, fallback: str | None = "segmentation", element_class: str = "uint32") -> bytes:
    """A block for each seed, in a row."""
    blocks = {(n, 0, 0): voxels(seed, element_class) for n, seed in enumerate(seeds)}
    data = zip_of(wkw_data({"1": blocks}, element_class))
    return annotation_zip(Volume(data=data, fallback_layer=fallback))


def upload(data: bytes, scratch: Path, **given: Any) -> Upload:
    return Upload(io.BytesIO(data), "cells.zip", "ann", scratch, **given)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    seg = LayerFiles("segmentation", {ONE: ramp((128, 32, 32), "uint32")}, category="segmentation", block_side=SIDE)
    write_tree(dataset(seg), tmp_path / "data" / "sample_ds")
    machine = open_machine(tmp_path / "state.sqlite")
    register_below(tmp_path / "data", machine.catalogue, 1, pytest.fail)
    machine.library._freshness_s = 0.0
    return machine


def folders(machine: Machine) -> set[str]:
    top = machine.vault._top
    return {path.name for annotation in top.iterdir() for path in annotation.iterdir()} if top.is_dir() else set()


@pytest.fixture
def first(machine: Machine, tmp_path: Path) -> AnnotationRecord:
    return machine.shelf.add(upload(annotation(1, 2, 3), tmp_path), 1, quiet)


def revise(machine: Machine, record: AnnotationRecord, data: bytes, scratch: Path) -> AnnotationRecord:
    return machine.shelf.revise(record, upload(data, scratch), 2, quiet)


Read = Callable[[str], Any]


@pytest.fixture
def read(machine: Machine, first: AnnotationRecord) -> Read:
    """Reads a key of the layer `Volume` through a link to the first revision."""
    subject = Subject(machine.catalogue.get(first.dataset), first)
    made = create_link(machine.library, machine.links, subject, "ann", LinkRequest(), now_ms())
    link = asyncio.run(made).link
    streamer = Streamer(machine.library)
    return lambda key: asyncio.run(streamer.answer(Place(link.view, link.geometry, "v2", "Volume", key)))


def stored(data: Any) -> bytes:
    import numcodecs

    return bytes(numcodecs.Blosc().decode(data.data))


# --- revisions ---


def test_a_link_follows_a_revision_of_equal_geometry(
    machine: Machine, first: AnnotationRecord, read: Read, tmp_path: Path
) -> None:
    before, metadata = read("0/0/0/1"), read("0/.zarray")
    assert stored(before) == voxels(2)
    second = revise(machine, first, annotation(1, 9, 3), tmp_path)
    after = read("0/0/0/1")
    assert stored(after) == voxels(9)
    # What a reader has kept of the block is not taken for the new one; what did not change means the same.
    assert after.etag != before.etag
    assert read("0/.zarray").data == metadata.data
    assert (second.id, second.created_ms, second.modified_ms) == (first.id, first.created_ms, 2)


@pytest.mark.parametrize(
    "data", [annotation(1, fallback=None, element_class="uint16"), annotation_zip(Volume(name="other"))]
)
def test_a_revision_of_another_geometry_ends_the_link(
    machine: Machine, first: AnnotationRecord, read: Read, tmp_path: Path, data: bytes
) -> None:
    revise(machine, first, data, tmp_path)
    with pytest.raises((SourceReplaced, LinkGone)):
        read("0/0/0/0")
    with pytest.raises((SourceReplaced, LinkGone)):
        read("0/.zarray")


def test_who_reads_a_revision_reads_it_until_the_one_after_next(
    machine: Machine, first: AnnotationRecord, read: Read, tmp_path: Path
) -> None:
    machine.library._freshness_s = 1e9
    assert stored(read("0/0/0/0")) == voxels(1)
    source, manifest = asyncio.run(machine.library.manifest(Subject(None, first)))
    second = revise(machine, first, annotation(7, 8, 9), tmp_path)
    # Opened before: every block is of the old revision, those never read before as well.
    assert [stored(read(f"0/0/0/{n}")) for n in range(3)] == [voxels(n) for n in (1, 2, 3)]
    made, data = downloaded(manifest, source, "wkw")
    assert made.file_name.endswith(".zip")
    assert downloaded(manifest, source, "wkw")[1] == data
    assert folders(machine) == {first.revision, second.revision}
    third = revise(machine, second, annotation(4, 5, 6), tmp_path)
    assert folders(machine) == {second.revision, third.revision}
    machine.library._freshness_s = 0.0
    assert [stored(read(f"0/0/0/{n}")) for n in range(3)] == [voxels(n) for n in (4, 5, 6)]


def test_the_same_again_is_found_by_its_id_and_owner(machine: Machine, first: AnnotationRecord, tmp_path: Path) -> None:
    again = upload(annotation(5), tmp_path)
    assert machine.shelf.earlier(again) == first
    again = Upload(again.file, again.name, "bob", tmp_path)
    assert machine.shelf.earlier(again) is None
    assert machine.shelf.earlier(upload(b"<things/>", tmp_path)) is None


# --- beside each other ---


def test_of_two_revisions_at_once_one_is_kept_whole_and_the_other_told(
    machine: Machine, first: AnnotationRecord, read: Read, tmp_path: Path
) -> None:
    """The second starts while the first is at work, and ends before it."""
    ended: list[AnnotationRecord] = []

    def other_first(_done: int, _total: int) -> None:
        if not ended:
            ended.append(revise(machine, first, annotation(7, 7, 7), tmp_path))

    with pytest.raises(InvalidRequest, match="changed by somebody else"):
        machine.shelf.revise(first, upload(annotation(8, 8, 8), tmp_path), 3, other_first)
    assert machine.shelf.annotations.get(first.id) == ended[0]
    assert folders(machine) == {first.revision, ended[0].revision}
    assert stored(read("0/0/0/2")) == voxels(7)


def test_cleaning_up_spares_a_younger_revision_that_is_about_to_be_known(
    machine: Machine, first: AnnotationRecord, tmp_path: Path
) -> None:
    second = revise(machine, first, annotation(4), tmp_path)
    sink, _ = machine.vault.sink(first.id, "f" * 16)
    sink.write("annotation.json", [b"{}"])
    sink.finish()
    machine.vault.keep_only(first.id, (first.revision, second.revision))
    assert folders(machine) == {first.revision, second.revision, "f" * 16}


def test_imports_in_several_processes_lose_nothing(machine: Machine, tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    ids = run_together(import_beside, [(state, annotation(seed, seed)) for seed in (1, 2, 3)])
    assert {record.id for record in machine.shelf.annotations.all()} == set(ids)
    for record in machine.shelf.annotations.all():
        source, manifest = asyncio.run(machine.library.manifest(Subject(None, record)))
        assert downloaded(manifest, source, "zarr3")[1]


# --- crashes ---

IMPORT_AND_HANG = """
import io, sys, time
from pathlib import Path
from zarrlink.annotations.shelf import Upload
from zarrlink_local.machine import open_machine

def hang(done, total):
    print("at work", flush=True)
    sys.stdin.read()

state, file = map(Path, sys.argv[1:])
upload = Upload(file.open("rb"), "cells.zip", "ann", state.parent)
print(open_machine(state).shelf.add(upload, 1, hang).id)
"""


def old(folder: Path) -> None:
    os.utime(folder, (1, 1))


@pytest.fixture
def importing(tmp_path: Path, machine: Machine) -> Any:
    """A process in the middle of an import."""
    file = tmp_path / "cells.zip"
    file.write_bytes(annotation(1, 2, 3))
    command = [sys.executable, "-c", IMPORT_AND_HANG, str(tmp_path / "state.sqlite"), str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "at work\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def partial(machine: Machine) -> list[Path]:
    return sorted(machine.vault._top.glob("*/.*.partial"))


def test_a_killed_import_leaves_nothing_visible_and_is_swept_by_the_next(
    importing: Any, machine: Machine, tmp_path: Path
) -> None:
    (left,) = partial(machine)
    assert machine.shelf.annotations.all() == []
    importing.send_signal(signal.SIGKILL)
    importing.wait()
    old(left)
    record = machine.shelf.add(upload(annotation(4), tmp_path), 1, quiet)
    assert partial(machine) == []
    assert folders(machine) == {record.revision}


def test_an_import_that_takes_days_is_not_swept(importing: Any, machine: Machine, tmp_path: Path) -> None:
    (left,) = partial(machine)
    old(left)
    machine.sweep()
    machine.shelf.add(upload(annotation(4), tmp_path), 1, quiet)
    assert partial(machine) == [left]
    importing.stdin.close()
    assert len(importing.stdout.readlines()[-1].strip()) == 24
    assert len(machine.shelf.annotations.all()) == 2


def test_what_is_of_no_annotation_goes_after_a_day(machine: Machine, first: AnnotationRecord, tmp_path: Path) -> None:
    """An import that was killed between its last file and its record."""
    lost = machine.vault._top / ("b" * 24)
    sink = FolderSink(lost / "r")
    sink.write("annotation.json", [b"{}"])
    sink.finish()
    machine.sweep()
    assert lost.is_dir()
    for folder in (lost / "r", lost, *machine.vault._top.rglob("*")):
        old(folder)
    machine.sweep()
    assert not lost.exists()
    assert folders(machine) == {first.revision}


def test_a_folder_that_was_made_this_moment_is_not_swept(tmp_path: Path) -> None:
    young = tmp_path / ".r.00.partial"
    young.mkdir()
    sweep_partial(tmp_path)
    assert young.is_dir()
    old(young)
    sweep_partial(tmp_path)
    assert not young.exists()


def test_what_only_looks_like_one_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"x")
    (tmp_path / ".r.00.partial").symlink_to(tmp_path / "precious")
    old(tmp_path / "precious")
    sweep_partial(tmp_path)
    assert (tmp_path / "precious" / "file").exists()


def test_a_reader_never_sees_two_revisions_in_one_block(
    machine: Machine, first: AnnotationRecord, read: Read, tmp_path: Path
) -> None:
    """At worst it is told to come again, where two revisions came between two of its reads."""
    allowed = [voxels(seed) for seed in (2, 11, 12, 13)]
    seen: list[bytes] = []
    stop = threading.Event()

    def reading() -> None:
        while not stop.is_set():
            with contextlib.suppress(SourceUnavailable):
                seen.append(stored(read("0/0/0/1")))

    thread = threading.Thread(target=reading)
    thread.start()
    record = first
    for seed in (11, 12, 13):
        record = revise(machine, record, annotation(1, seed, 3), tmp_path)
    stop.set()
    thread.join()
    assert all(block in allowed for block in seen)
    assert stored(read("0/0/0/1")) == voxels(13)
