"""Stored chunks that go out byte for byte: conditions, ranges, absence, damage, change; and what they cost the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.door import Door, header
from builders.foreign_arrays import BLOSC_V2, LITTLE, numbered, write_zarr2, write_zarr3
from builders.foreign_datasets import ONE, assert_served, describe, door_on, entry
from zarrlink.byte_range import ByteRange
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.errors import SourceUnavailable
from zarrlink.formats.shard_index import index_bytes
from zarrlink.proxied_chunks import ProxiedChunks
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.interface import Blob

SHAPE, SIZE = (16, 16, 32), (32, 16, 16)
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
FORMS = ["blosc", "raw", "sharded", "crc32c", "zstd"]
DATA = numbered(SHAPE, "uint16") % 50


def write(folder: Path, form: str, data: np.ndarray = DATA) -> None:
    match form:
        case "blosc":
            write_zarr2(folder, data, (8, 8, 8), compressor=BLOSC_V2)
        case "raw":
            write_zarr2(folder, data, (8, 8, 8))
        case "sharded":
            write_zarr3(folder, data, (4, 4, 4), shard=(8, 8, 8), codecs=[LITTLE, ZSTD])
        case "crc32c":
            write_zarr3(folder, data, (8, 8, 8), codecs=[LITTLE, {"name": "crc32c"}])
        case "zstd":
            write_zarr3(folder, data, (8, 8, 8), codecs=[LITTLE, ZSTD])


def described(form: str) -> dict[str, object]:
    return entry("a", "zarr" if form in ("blosc", "raw") else "zarr3", "uint16", SIZE, order="zyx")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def door(tmp_path: Path, form: str) -> Door:
    write(tmp_path / "a/1", form)
    return door_on(describe(tmp_path, described(form)), freshness_s=0.0)


def dialects(form: str) -> tuple[str, ...]:
    return ("v3",) if form in ("sharded", "crc32c") else ("v2", "v3")


def key(dialect: str, *place: int) -> str:
    return f"{dialect}/a.zarr/0/{'c/' if dialect == 'v3' else ''}{'/'.join(map(str, place))}"


def file_of(folder: Path, form: str, *place: int) -> Path:
    old = form in ("blosc", "raw")
    return folder / "a/1" / (".".join(map(str, place)) if old else f"c/{'/'.join(map(str, place))}")


def test_what_is_sent_is_what_is_stored(tmp_path: Path, door: Door, form: str) -> None:
    for place in np.ndindex(2, 2, 4):
        stored = file_of(tmp_path, form, *place).read_bytes()
        for dialect in dialects(form):
            with door.counted():
                answer = door.get(key(dialect, *place))
            assert (answer.status, answer.body) == (200, stored)
            assert header(answer, "content-length") == str(len(stored))


def test_conditions_head_and_ranges(tmp_path: Path, door: Door, form: str) -> None:
    stored = file_of(tmp_path, form, 0, 1, 2).read_bytes()
    length = len(stored)
    for path in (key(dialect, 0, 1, 2) for dialect in dialects(form)):
        etag = header(door.get(path), "etag")
        assert etag is not None
        assert etag.startswith('"')
        head = door.head(path)
        assert (head.status, head.body, header(head, "etag")) == (200, b"", etag)
        assert header(head, "content-length") == str(length)
        for condition in (etag, f'"x", {etag}', "*"):
            same = door.get(path, if_none_match=condition)
            assert (same.status, same.body, header(same, "etag")) == (304, b"", etag)
        assert door.get(path, if_none_match='"x"').status == 200
        for text, part in (
            ("bytes=0-0", stored[:1]),
            ("bytes=5-9", stored[5:10]),
            (f"bytes=5-{length + 999}", stored[5:]),
            ("bytes=7-", stored[7:]),
            ("bytes=-11", stored[-11:]),
            (f"bytes=-{length + 5}", stored),
        ):
            answer = door.get(path, range=text)
            assert (answer.status, answer.body, header(answer, "etag")) == (206, part, etag), text
            first = length - len(part) if text.startswith("bytes=-") else int(text[6:].partition("-")[0])
            assert header(answer, "content-range") == f"bytes {first}-{first + len(part) - 1}/{length}"
        assert door.get(path, range="bytes=5-9", if_range=etag).status == 206
        assert door.get(path, range="bytes=5-9", if_range='"x"').body == stored
        for text in (f"bytes={length}-", f"bytes={length}-{length + 4}", "bytes=-0"):
            refused = door.get(path, range=text)
            assert (refused.status, header(refused, "content-range")) == (416, f"bytes */{length}"), text


def test_what_a_chunk_costs_the_store(tmp_path: Path, form: str) -> None:
    write(tmp_path / "a/1", form)
    door = door_on(describe(tmp_path, described(form)))
    door.opened("a")
    path = key(dialects(form)[0], 0, 0, 0)
    for headers, expected in (
        ({}, ["read"]),
        ({"range": "bytes=3-9"}, ["read"]),
        ({"range": "bytes=-9"}, ["stat", "read"]),
        ({"if_none_match": header(door.get(path), "etag")}, ["stat"]),
    ):
        with door.counted() as seen:
            door.get(path, **headers)
        assert [kind for kind, _ in seen] == expected
    with door.counted() as outside:
        assert door.get(key(dialects(form)[0], 9, 9, 9)).status == 404
    assert not outside


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_chunk_that_is_away_for_a_moment_is_no_absence(
    tmp_path: Path, door: Door, form: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """As where a folder is moved away and its successor moved in: missed before, and all is well when one looks again."""
    file, away = file_of(tmp_path, form, 1, 1, 1), tmp_path / "away"
    file.rename(away)
    ways = {name: getattr(LocalFiles, name) for name in ("read", "stat")}
    missed: list[str] = []

    async def asked(name: str, source: LocalFiles, key: str, *options: Any, **more: Any) -> Any:
        if missed and away.exists() and not key.endswith(file.name):
            away.rename(file)
        found = await ways[name](source, key, *options, **more)
        missed.extend([key] * (found is None))
        return found

    for name in ways:
        monkeypatch.setattr(
            LocalFiles, name, lambda source, key, *rest, name=name, **more: asked(name, source, key, *rest, **more)
        )
    path = key(dialects(form)[0], 1, 1, 1)
    assert getattr(door, method)(path).status in (200, 503)
    assert missed
    assert door.get(path).body == file.read_bytes()


@pytest.mark.parametrize("asked", [{}, {"range": "bytes=3-40"}, {"range": "bytes=3-"}, {"range": "bytes=-60"}])
def test_a_chunk_that_is_cut_short_on_its_way_is_refused(
    tmp_path: Path, door: Door, form: str, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    """The store says how long the object is, and gives a byte fewer: nobody is told that this was all."""
    name, read = file_of(tmp_path, form, 1, 1, 1).name, LocalFiles.read

    async def shorter(source: LocalFiles, key: str, *rest: Any, **more: Any) -> Any:
        blob = await read(source, key, *rest, **more)
        return replace(blob, data=blob.data[:-1]) if blob is not None and key.endswith(name) else blob

    paths = [key(dialect, 1, 1, 1) for dialect in dialects(form)]
    assert {door.get(path, **asked).status for path in paths} <= {200, 206}
    monkeypatch.setattr(LocalFiles, "read", shorter)
    for path in paths:
        assert door.get(path, **asked).status == 502


def test_an_absent_chunk_is_not_a_vanished_array(tmp_path: Path, door: Door, form: str) -> None:
    file_of(tmp_path, form, 1, 1, 1).unlink()
    paths = [key(dialect, 1, 1, 1) for dialect in dialects(form)]
    for path in paths:
        assert (door.get(path).status, door.head(path).status) == (404, 404)
        assert door.get(path, range="bytes=0-3").status == 404
    # Between two looks at the layer its array goes away.
    door.clock.monotonic_s -= 1e6
    door.library._freshness_s = 1e9
    shutil.rmtree(tmp_path / "a")
    for path in [*paths, *(key(dialect, 0, 0, 0) for dialect in dialects(form))]:
        for answer in (
            door.get(path),
            door.head(path),
            door.get(path, range="bytes=-5"),
            door.get(path, if_none_match="*"),
        ):
            assert answer.status == 503, (path, answer)
    # At the next look as well.
    door.library.doubt(door.link.view, "a")
    assert door.get(paths[0]).status == 410


def test_a_vanished_dataset_is_no_fill_value(tmp_path: Path, form: str) -> None:
    write(tmp_path / "ds/a/1", form)
    door = door_on(describe(tmp_path / "ds", described(form)), freshness_s=0.0)
    (tmp_path / "ds").rename(tmp_path / "elsewhere")
    for dialect in dialects(form):
        assert door.get(key(dialect, 0, 0, 0)).status == 503


def replace_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def replace(file: Path) -> None:
        file.write_bytes(change(file.read_bytes()))

    return replace


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/nowhere/at/all")


DAMAGE: dict[str, tuple[Callable[[Path], None], int, list[str]]] = {
    "empty": (replace_bytes(lambda _: b""), 502, FORMS),
    "cut": (replace_bytes(lambda data: data[:-7]), 502, ["blosc", "raw", "sharded", "crc32c"]),
    "longer": (replace_bytes(lambda data: data + b"1234567"), 502, ["blosc", "raw", "sharded", "crc32c"]),
    "cut to a few bytes": (replace_bytes(lambda _: b"123"), 502, ["blosc", "raw", "sharded", "crc32c"]),
    "a folder": (make_folder, 503, FORMS),
    "a link to nowhere": (make_link, 503, FORMS),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_that_can_be_seen_is_no_chunk(tmp_path: Path, door: Door, form: str, damage: str) -> None:
    change, status, forms = DAMAGE[damage]
    if form not in forms:
        pytest.skip("only decoding shows it")
    change(file_of(tmp_path, form, 0, 0, 1))
    for dialect in dialects(form):
        assert door.get(key(dialect, 0, 0, 1)).status == status
        assert door.get(key(dialect, 0, 0, 0)).status == 200
        if form != "blosc" or damage in ("empty", "a folder", "a link to nowhere"):
            # Of a Blosc frame its length is said inside; of a shard by its last bytes.
            assert door.get(key(dialect, 0, 0, 1), range=f"bytes=-{index_bytes(8)}").status == status


def test_a_store_that_fails_is_no_fill_value(door: Door, form: str) -> None:
    path = key(dialects(form)[0], 0, 0, 0)
    assert door.get(path).status == 200
    door.source.failures[file_of(Path(), form, 0, 0, 0).name] = SourceUnavailable("timeout")
    for answer in (
        door.get(path),
        door.head(path),
        door.get(path, range="bytes=-5"),
        door.get(path, range="bytes=0-5"),
    ):
        assert answer.status == 503


def test_an_object_that_ends_before_what_was_asked_for_is_damage(
    door: Door, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a store says that was cut off in between: no bytes from there on, of an object that is no longer."""
    if form == "raw":
        pytest.skip("a raw chunk has one length alone")
    path, read = key(dialects(form)[0], 0, 0, 0), LocalFiles.read

    async def cut(self: LocalFiles, key: str, part: ByteRange | None = None, **options: Any) -> Blob | None:
        blob = await read(self, key, part, **options)
        assert blob is not None
        assert part is not None
        return replace(blob, data=b"", object_bytes=part.start)

    assert door.get(path).status == 200
    monkeypatch.setattr(LocalFiles, "read", cut)
    for wanted in ("bytes=20-", "bytes=20-29"):
        assert door.get(path, range=wanted).status == 502


def test_a_replaced_chunk_is_another_one(tmp_path: Path, door: Door, form: str) -> None:
    path = key(dialects(form)[0], 0, 0, 0)
    before = door.get(path)
    other = tmp_path / "other"
    write(other, form, DATA + 1)
    new = file_of(tmp_path, form, 0, 0, 0)
    shutil.copy(other / new.relative_to(tmp_path / "a/1"), new)
    after = door.get(path, if_none_match=header(before, "etag"))
    assert (after.status, after.body) == (200, new.read_bytes())
    assert header(after, "etag") != header(before, "etag")


def test_new_words_about_the_same_array_end_no_link_and_another_array_does(
    tmp_path: Path, door: Door, form: str
) -> None:
    path = key(dialects(form)[0], 0, 0, 0)
    name = ".zarray" if form in ("blosc", "raw") else "zarr.json"
    file = tmp_path / "a/1" / name
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document, indent=7))
    assert door.get(path).status == 200
    if form == "raw":
        file.write_text(json.dumps({**document, "compressor": BLOSC_V2}))
    else:
        file.write_text(json.dumps({**document, "fill_value": 1}))
    assert door.get(path).status == 410


@pytest.mark.parametrize("check", [False, True])
def test_damage_inside_a_chunk_is_for_the_reader_unless_blocks_are_checked(
    tmp_path: Path, form: str, *, check: bool
) -> None:
    write(tmp_path / "a/1", form)
    door = door_on(describe(tmp_path, described(form)), freshness_s=0.0, check_blocks=check)
    file = file_of(tmp_path, form, 0, 0, 0)
    data = bytearray(file.read_bytes())
    data[20:60] = bytes(value ^ 0xFF for value in data[20:60])
    file.write_bytes(data)
    refused = check and form != "raw"
    for dialect in dialects(form):
        assert door.get(key(dialect, 0, 0, 0)).status == (502 if refused else 200)
        assert door.get(key(dialect, 0, 0, 1)).status == 200
        assert door.get(key(dialect, 0, 0, 0), range="bytes=0-9").status == (502 if refused else 206)


def test_a_checked_shard_is_decoded_once_and_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a/1", "sharded")
    door = door_on(describe(tmp_path, described("sharded")), check_blocks=True)
    chunks = door.opened("a").chunks("v3")[0]
    assert isinstance(chunks, ProxiedChunks)
    boxes = []
    volume = chunks.decoded.volume
    read = volume.read

    async def noted(start, end, *rest):
        boxes.append((start, end))
        return await read(start, end, *rest)

    monkeypatch.setattr(volume, "read", noted)
    for first in range(0, 90, 10):
        assert door.get(key("v3", 0, 0, 0), range=f"bytes={first}-{first + 9}").status == 206
    assert len(boxes) == len(set(boxes)) == 8
    assert all(np.subtract(end, start).tolist() == [4, 4, 4] for start, end in boxes)
    shutil.copy(file_of(tmp_path, "sharded", 0, 0, 1), file_of(tmp_path, "sharded", 0, 0, 0))
    assert door.get(key("v3", 0, 0, 0)).status == 200
    assert len(boxes) == 16


@pytest.mark.parametrize(("most", "kind"), [(None, DecodedChunks), (16 * 2**20, ProxiedChunks)])
def test_a_large_shard_goes_out_whole_only_where_the_door_can_carry_it(tmp_path: Path, most, kind: type) -> None:
    data = numbered((64, 128, 128), "uint64")
    write_zarr3(tmp_path / "a/1", data, (32, 32, 32), shard=(64, 128, 128), codecs=[LITTLE, ZSTD])
    options = {} if most is None else {"most_bytes": most}
    folder = describe(tmp_path, entry("a", "zarr3", "uint64", (128, 128, 64), order="zyx"))
    door = door_on(folder, **options)
    assert isinstance(door.opened("a").chunks("v3")[0], kind)
    assert_served(door, "a", {ONE: data})


def test_a_large_chunk_is_cut(tmp_path: Path) -> None:
    data = numbered((64, 128, 130), "uint64")
    write_zarr3(tmp_path / "a/1", data, (64, 128, 130), codecs=[LITTLE, ZSTD])
    door = door_on(describe(tmp_path, entry("a", "zarr3", "uint64", (130, 128, 64), order="zyx")))
    assert door.opened("a").layer.levels[0].chunk == (65, 64, 64)
    assert_served(door, "a", {ONE: data})


def test_one_channel_of_many_is_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a chunk of one channel would cost the memory of all of them."""
    data = numbered((40, 8, 8, 8), "uint8")
    write_zarr2(tmp_path / "a/1", data, (1, 8, 8, 8), compressor={"id": "zlib", "level": 1})
    door = door_on(describe(tmp_path, entry("a", "zarr", "uint8", (8, 8, 8), order="czyx", numChannels=40)))
    chunks = door.opened("a").chunks("v3")[0]
    assert isinstance(chunks, DecodedChunks)
    shapes = []
    read = chunks.volume.read

    async def noted(*box):
        voxels = await read(*box)
        shapes.append(voxels.shape)
        return voxels

    monkeypatch.setattr(chunks.volume, "read", noted)
    assert_served(door, "a", {ONE: data})
    assert set(shapes) == {(1, 8, 8, 8)}


DECODED_DAMAGE: dict[str, tuple[Callable[[Path], None], int]] = {
    "empty": (replace_bytes(lambda _: b""), 502),
    "cut": (replace_bytes(lambda data: data[: len(data) // 2]), 502),
    "garbage": (replace_bytes(lambda data: b"x" * len(data)), 502),
    "a folder": (make_folder, 503),
    "a link to nowhere": (make_link, 503),
}


@pytest.mark.parametrize("damage", DECODED_DAMAGE)
def test_damage_of_what_is_decoded_is_never_fill_value(tmp_path: Path, damage: str) -> None:
    write_zarr2(tmp_path / "a/1", DATA, (8, 8, 8), compressor={"id": "bz2", "level": 1})
    door = door_on(describe(tmp_path, described("raw")))
    change, status = DECODED_DAMAGE[damage]
    change(tmp_path / "a/1/0.0.1")
    for dialect in ("v2", "v3"):
        path = key(dialect, 0, 0, 1)
        assert [door.get(path).status, door.head(path).status, door.get(path, range="bytes=0-3").status] == [status] * 3
        assert door.get(key(dialect, 0, 0, 0)).status == 200


def test_an_array_that_vanishes_under_what_is_decoded_is_never_fill_value(tmp_path: Path) -> None:
    write_zarr2(tmp_path / "a/1", DATA, (8, 8, 8), compressor={"id": "bz2", "level": 1})
    door = door_on(describe(tmp_path, described("raw")))
    (tmp_path / "a/1/1.1.1").unlink()
    assert door.get(key("v3", 1, 1, 1)).status == 404
    shutil.rmtree(tmp_path / "a")
    for place in ((1, 1, 1), (0, 0, 0)):
        assert [door.get(key(dialect, *place)).status for dialect in ("v2", "v3")] == [503, 503]


def test_decoded_chunks_have_conditions_and_ranges_too(tmp_path: Path) -> None:
    write_zarr2(tmp_path / "a/1", DATA, (8, 8, 8), compressor={"id": "bz2", "level": 1})
    door = door_on(describe(tmp_path, described("raw")))
    path = key("v3", 0, 1, 2)
    whole = door.get(path)
    etag, length = header(whole, "etag"), len(whole.body)
    assert header(door.head(path), "content-length") == str(length)
    assert door.get(path, if_none_match=etag).status == 304
    assert door.get(path, range="bytes=-9").body == whole.body[-9:]
    assert door.get(path, range=f"bytes={length}-").status == 416
    # The same voxels once more, written by somebody else: the same chunk.
    write_zarr2(tmp_path / "a/1", DATA, (8, 8, 8), compressor={"id": "bz2", "level": 1})
    assert header(door.get(path), "etag") == etag
    write_zarr2(tmp_path / "a/1", DATA + 1, (8, 8, 8), compressor={"id": "bz2", "level": 1})
    assert header(door.get(path), "etag") != etag
