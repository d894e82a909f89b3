"""Downloads: what was imported comes out again, and can be taken again."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Literal

import lz4.block
import numpy as np
import pytest

from builders.annotation_zips import (
    REVERTED,
    TREE,
    Volume,
    annotation_zip,
    nml,
    voxels,
    wkw_data,
    zarr3_data,
    zip_of,
)
from builders.imported import blocks_of, downloaded, imported
from zarrlink.annotations import volume_zip, zip_writer
from zarrlink.annotations.download import download, safe_file_name
from zarrlink.annotations.imports import import_annotation
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.safe_zip import SafeZip, ZipLimits
from zarrlink.annotations.sink import FolderSink
from zarrlink.errors import CorruptFile, InvalidRequest, SourceChanged
from zarrlink.formats.block_pack import Kind
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.nml import parse
from zarrlink.geometry import Mag
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.memory import MemorySource

Form = Literal["wkw", "zarr3"]
FORMS: tuple[Form, ...] = ("wkw", "zarr3")
SIDE = 8
MAGS = {
    "1": {
        (0, 0, 0): voxels(1, side=SIDE),
        (3, 1, 0): voxels(2, side=SIDE),
        (1, 0, 2): bytes(SIDE**3 * 4),
        (2, 2, 2): REVERTED,
    },
    "2-2-1": {(1, 0, 1): voxels(3, side=SIDE)},
    "4-4-1": {},
}
OVER_FALLBACK = Volume(data=zip_of(wkw_data(MAGS, side=SIDE)), fallback_layer="segmentation")
ALONE = Volume(data=zip_of(zarr3_data(MAGS, side=SIDE)), format="zarr3")


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def inner_files(data: bytes, name: str = "data_Volume.zip") -> dict[str, bytes]:
    return files_of(files_of(data)[name])


# --- round trips ---


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("volume", [OVER_FALLBACK, ALONE], ids=["over-fallback", "alone"])
def test_a_download_imports_again_to_the_same_blocks(volume: Volume, form: Form, tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(volume), tmp_path)
    _, data = downloaded(manifest, source, form)
    again, source_again = imported(data, tmp_path)

    expected = blocks_of(source, manifest.volumes[0])
    erased_stays = volume.fallback_layer is not None
    for blocks in expected.values():
        for position, (kind, _) in list(blocks.items()):
            if kind is Kind.REVERTED or (kind is Kind.ERASED and not erased_stays):
                del blocks[position]
    assert blocks_of(source_again, again.volumes[0]) == expected
    assert ((1, 0, 2) in expected[Mag(1, 1, 1)]) == erased_stays
    assert again.volumes[0].format == form


@pytest.mark.parametrize("form", FORMS)
def test_a_second_round_changes_no_stored_byte(form: Form, tmp_path: Path) -> None:
    first = downloaded(*imported(annotation_zip(OVER_FALLBACK), tmp_path), form)[1]
    manifest, source = imported(first, tmp_path)
    second = downloaded(manifest, source, form)[1]
    assert second == first
    assert imported(second, tmp_path)[1].objects == source.objects


def test_all_that_is_not_volume_data_stays(tmp_path: Path) -> None:
    edits = zip_of({"edges": b"\1\2\3"})
    volumes = [
        Volume(0, "a", "data_0_a.zip", OVER_FALLBACK.data, fallback_layer="seg", attributes='largestSegmentId="9"'),
        Volume(1, "b", "data_1_b.zip", ALONE.data, "zarr3"),
        Volume(2, "c", None, None),
    ]
    manifest, source = imported(annotation_zip(*volumes, extra={"editedMappingEdges_0_a.zip": edits}), tmp_path)
    _, data = downloaded(manifest, source, "wkw")
    files = files_of(data)
    assert list(files) == ["sample__explorational.nml", "data_0_a.zip", "editedMappingEdges_0_a.zip", "data_1_b.zip"]
    assert files["editedMappingEdges_0_a.zip"] == edits
    facts = parse(files["sample__explorational.nml"])
    assert [(volume.location, volume.format) for volume in facts.volumes] == [
        ("data_0_a.zip", "wkw"),
        ("data_1_b.zip", "wkw"),
        (None, "wkw"),
    ]
    assert files["sample__explorational.nml"].split(b"<volume")[0] == nml(*volumes, skeleton=TREE).split(b"<volume")[0]
    again, _ = imported(data, tmp_path)
    assert [volume.largest_segment_id for volume in again.volumes] == [9, None, None]


# --- forms ---


def trap() -> bytes:
    """64 bytes whose LZ4 stream has 64 bytes: a few of them repeat."""
    for seed in range(1000):
        random = np.random.default_rng(seed)
        noise = random.integers(1, 256, 64, "u1").tobytes()
        block = (noise[:20] + noise[: 4 + seed % 8] + noise[20:])[:64]
        if len(lz4.block.compress(block, store_size=False)) == len(block):
            return block
    raise AssertionError("no such block")


def test_wkw_files_hold_one_block_whose_bytes_are_untouched(tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    given, written = files_of(OVER_FALLBACK.data or b""), inner_files(downloaded(manifest, source, "wkw")[1])
    assert given.keys() - written.keys() == {"1/z2/y2/x2.wkw"}
    assert {name: given[name] for name in written} == written


def test_zarr3_chunks_are_frames_around_the_stored_stream(tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    files = inner_files(downloaded(manifest, source, "zarr3")[1])
    assert "volumeAnnotationData/1/0.3.1.0" in files
    array = json.loads(files["volumeAnnotationData/2-2-1/zarr.json"])
    # Mag 1 ends at block (4, 2, 3), mag 2-2-1 at (2, 1, 2) blocks of twice that: the larger of both, per axis.
    assert array["shape"] == [1, 16, 8, 24]
    assert array["chunk_key_encoding"] == {"name": "v2", "configuration": {"separator": "."}}
    stream = files["volumeAnnotationData/2-2-1/0.1.0.1"][24:]
    assert stream == source.objects["volumes/0/2-2-1.blocks"]
    assert decode_lz4(stream, SIDE**3 * 4) == MAGS["2-2-1"][1, 0, 1]


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_as_long_as_its_block_comes_through(form: Form, tmp_path: Path) -> None:
    """Blosc would take it for a raw copy."""
    block = trap()
    data = wkw_data({"1": {(0, 0, 0): block}}, "uint8", side=4)
    assert len(data["1/z0/y0/x0.wkw"]) == 24 + 64
    manifest, source = imported(annotation_zip(Volume(data=zip_of(data))), tmp_path)
    again, source_again = imported(downloaded(manifest, source, form)[1], tmp_path)
    assert blocks_of(source_again, again.volumes[0]) == {Mag(1, 1, 1): {(0, 0, 0): (Kind.DATA, block)}}


def test_data_zips_are_stored_in_the_outer_one(tmp_path: Path) -> None:
    _, data = downloaded(*imported(annotation_zip(OVER_FALLBACK), tmp_path), "wkw")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.getinfo("data_Volume.zip").compress_type == zipfile.ZIP_STORED


def test_without_volume_data_there_is_an_nml_without_locations(tmp_path: Path) -> None:
    made, data = downloaded(*imported(annotation_zip(OVER_FALLBACK), tmp_path), None)
    assert (made.media_type, made.file_name) == ("application/zip", "sample__explorational.zip")
    assert [volume.location for volume in parse(files_of(data)["sample__explorational.nml"]).volumes] == [None]
    assert len(files_of(data)) == 1
    imported(data, tmp_path)


@pytest.mark.parametrize(
    "mags",
    [{}, {"1": {}}, {"1": {(0, 0, 0): bytes(SIDE**3 * 4), (1, 0, 0): REVERTED}}],
    ids=["none", "empty", "erased"],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_volume_of_which_nothing_is_written_has_no_data_zip(
    mags: dict[str, dict[tuple[int, int, int], bytes]], form: Form, tmp_path: Path
) -> None:
    _, data = downloaded(*imported(annotation_zip(Volume(data=zip_of(wkw_data(mags, side=SIDE)))), tmp_path), form)
    assert list(files_of(data)) == ["sample__explorational.nml"]


def test_a_skeleton_alone_is_its_nml(tmp_path: Path) -> None:
    made, data = downloaded(*imported(nml(skeleton=TREE), tmp_path, name="mine"), "wkw")
    assert (made.media_type, made.file_name, data) == ("application/xml", "mine.nml", nml(skeleton=TREE))


@pytest.mark.parametrize(
    ("name", "file_name"),
    [
        ("a b", "a b"),
        ("../x/y", "_x_y"),
        ('q"\n\0', "q___"),
        ("", "annotation"),
        ("...", "annotation"),
        ("\u00e9", "\u00e9"),
    ],
)
def test_file_names_are_harmless(name: str, file_name: str, tmp_path: Path) -> None:
    assert safe_file_name(name) == file_name
    made, data = downloaded(*imported(annotation_zip(OVER_FALLBACK), tmp_path), "wkw", name)
    assert made.file_name == f"{file_name}.zip"
    assert imported(data, tmp_path)[0].name == file_name


def test_odd_names_of_layers_are_found_again(tmp_path: Path) -> None:
    volume = Volume(name="a/b: \u00e9 &lt;x&gt;", location="data_x.zip", data=OVER_FALLBACK.data)
    manifest, source = imported(annotation_zip(volume), tmp_path)
    again, _ = imported(downloaded(manifest, source, "wkw")[1], tmp_path)
    assert again.volumes[0].name == "a/b: \u00e9 <x>"
    assert again.volumes[0].mags


# --- streaming ---


@pytest.mark.parametrize("form", FORMS)
def test_a_download_that_was_cut_short_is_no_zip(form: Form, tmp_path: Path) -> None:
    _, data = downloaded(*imported(annotation_zip(OVER_FALLBACK), tmp_path), form)
    ends = [at + 22 for at in range(len(data)) if data.startswith(b"PK\5\6", at)]
    assert ends == [ends[0], len(data)]
    for length in [*range(0, len(data), 97), ends[0], ends[0] + 16, len(data) - 1]:
        with pytest.raises(InvalidRequest):
            imported(data[:length], tmp_path)
        # A lenient reader may find the directory of the data zip.
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data[:length])) as archive:
            assert not any(name.endswith(".nml") for name in archive.namelist())


def test_zip64_is_written_where_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of a kilobyte in place of four gigabytes, readers must be led by zip64 fields alone."""
    manifest, source = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    plain = downloaded(manifest, source, "wkw")[1]
    monkeypatch.setattr("zarrlink.annotations.download.FULL_32", 1024)
    wide = downloaded(manifest, source, "wkw")[1]
    assert len(wide) > len(plain)
    assert inner_files(wide) == inner_files(plain)
    assert imported(wide, tmp_path)[1].objects == imported(plain, tmp_path)[1].objects


def test_more_files_than_16_bits_are_written() -> None:
    writer = zip_writer.ZipWriter()
    data = b"".join([*(writer.file(str(number), b"") for number in range(66_000)), *writer.close()])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 66_000
    assert len(SafeZip(io.BytesIO(data), ZipLimits()).entries) == 66_000


def test_no_data_zip_is_larger_than_was_thought(tmp_path: Path) -> None:
    for volume in (OVER_FALLBACK, ALONE):
        manifest, source = imported(annotation_zip(volume), tmp_path)
        for form in FORMS:
            written = files_of(downloaded(manifest, source, form)[1])["data_Volume.zip"]
            assert len(written) <= volume_zip.most_bytes(manifest.volumes[0])


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, 32**3, "u4")
    mags = {"1": {(n, 0, 0): (noise + np.uint32(n)).tobytes() for n in range(128)}}
    data = annotation_zip(Volume(data=zip_of(wkw_data(mags), method=zipfile.ZIP_STORED)), method=zipfile.ZIP_STORED)
    manifest = import_annotation(io.BytesIO(data), FolderSink(tmp_path / "one"), scratch=tmp_path)
    source = LocalFiles(tmp_path / "one")

    async def count() -> int:
        return sum([len(piece) async for piece in download(manifest, source, volume_data="zarr3").body])

    tracemalloc.start()
    try:
        assert asyncio.run(count()) > 16 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    finally:
        tracemalloc.stop()


# --- damage ---


def test_a_missing_object_is_damage_not_absence(tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    for key in ("annotation.nml", "volumes/0/1-1-1.blocks", "volumes/0/1-1-1.index"):
        objects = {name: data for name, data in source.objects.items() if name != key}
        with pytest.raises(CorruptFile):
            downloaded(manifest, MemorySource(objects), "wkw")


@pytest.mark.parametrize("key", ["volumes/0/1-1-1.blocks", "volumes/0/1-1-1.index"])
def test_an_object_that_was_cut_short_is_damage(key: str, tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    for length in (0, 10, len(source.objects[key]) - 1):
        with pytest.raises(CorruptFile):
            downloaded(manifest, MemorySource({**source.objects, key: source.objects[key][:length]}), "wkw")


def test_blocks_that_change_on_the_way_are_never_mixed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, 32**3, "u4")
    mags = {"1": {(n, 0, 0): (noise + np.uint32(n)).tobytes() for n in range(32)}}
    manifest, source = imported(annotation_zip(Volume(data=zip_of(wkw_data(mags)))), tmp_path)

    async def body() -> None:
        read = 0
        async for piece in download(manifest, source, volume_data="wkw").body:
            read += len(piece)
            if read > 2**20:
                blocks = source.objects["volumes/0/1-1-1.blocks"]
                source.objects["volumes/0/1-1-1.blocks"] = b"\0" + blocks[1:]

    with pytest.raises(SourceChanged):
        asyncio.run(body())


def test_a_manifest_of_another_import_is_damage(tmp_path: Path) -> None:
    manifest, _ = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    other = {"1": {(0, 0, 0): voxels(5, side=SIDE)}}
    volume = Volume(data=zip_of(wkw_data({**MAGS, **other}, side=SIDE)))
    with pytest.raises(CorruptFile):
        downloaded(manifest, imported(annotation_zip(volume), tmp_path)[1], "wkw")


def test_a_writer_refuses_what_it_did_not_announce() -> None:
    writer = zip_writer.ZipWriter()
    with pytest.raises(ValueError, match="no file was begun"):
        writer.end()


def test_a_manifest_survives_its_json(tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(OVER_FALLBACK), tmp_path)
    assert Manifest.from_json(source.objects["annotation.json"]) == manifest
