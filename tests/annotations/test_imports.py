"""Importing downloads: each format and quirk, and what is refused leaving nothing behind."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.block
import numcodecs
import numpy as np
import pytest

from builders.annotation_zips import (
    EMPTY_ZIP,
    REVERTED,
    TREE,
    Volume,
    annotation_zip,
    blosc,
    nml,
    voxels,
    wkw_data,
    wkw_file,
    wkw_header,
    zarr3_data,
    zarr_json,
    zip_of,
)
from builders.imported import Found, blocks_of, imported
from zarrlink.annotations.imports import import_annotation
from zarrlink.annotations.safe_zip import ZipLimits
from zarrlink.annotations.sink import FolderSink, MemorySink
from zarrlink.annotations.upload import ImportLimits
from zarrlink.errors import InvalidRequest, SourceUnavailable
from zarrlink.formats.block_pack import Kind, block_code
from zarrlink.geometry import BoundingBox, Mag, VoxelSize

SIDE = 8
MAGS = {
    "1": {
        (0, 0, 0): voxels(1, side=SIDE),
        (3, 1, 0): voxels(2, side=SIDE),
        (1, 0, 2): bytes(SIDE**3 * 4),
        (2, 2, 2): REVERTED,
    },
    "2-2-1": {(1, 0, 1): voxels(3, side=SIDE)},
}
EXPECTED: Found = {
    Mag(1, 1, 1): {
        (0, 0, 0): (Kind.DATA, MAGS["1"][0, 0, 0]),
        (3, 1, 0): (Kind.DATA, MAGS["1"][3, 1, 0]),
        (1, 0, 2): (Kind.ERASED, b""),
        (2, 2, 2): (Kind.REVERTED, b""),
    },
    Mag(2, 2, 1): {(1, 0, 1): (Kind.DATA, MAGS["2-2-1"][1, 0, 1])},
}
WKW = zip_of(wkw_data(MAGS, side=SIDE))
BYTES_CODEC = {"name": "bytes", "configuration": {"endian": "little"}}


def with_codecs(*codecs: Any) -> dict[str, Any]:
    return zarr_json(side=SIDE, codecs=list(codecs))


def z_fastest(block: bytes) -> bytes:
    return np.frombuffer(block, "<u4").reshape(SIDE, SIDE, SIDE).transpose(2, 1, 0).tobytes()


# --- what is taken ---


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize(
    ("data_format", "files"),
    [
        pytest.param("wkw", wkw_data(MAGS, side=SIDE), id="wkw"),
        pytest.param(None, wkw_data(MAGS, side=SIDE), id="wkw-unsaid"),
        pytest.param("wkw", wkw_data(MAGS, side=SIDE, compressed=False), id="wkw-raw"),
        pytest.param(
            "wkw", {k: v for k, v in wkw_data(MAGS, side=SIDE).items() if "header" not in k}, id="wkw-without-headers"
        ),
        pytest.param("zarr3", zarr3_data(MAGS, side=SIDE), id="zarr3-of-old"),
        pytest.param("zarr3", zarr3_data(MAGS, side=SIDE, name="0.{x}.{y}.{z}"), id="zarr3-of-now"),
        pytest.param("zarr3", zarr3_data(MAGS, side=SIDE, name="c/0/{x}/{y}/{z}"), id="zarr3-with-slashes"),
        pytest.param(
            "zarr3",
            {**zarr3_data(MAGS, side=SIDE), "zarr.json": b"{}", "volumeAnnotationData/zarr.json": b"{}"},
            id="zarr3-with-groups",
        ),
        pytest.param(
            "zarr3",
            {k: v for k, v in zarr3_data(MAGS, side=SIDE).items() if "datasource" not in k},
            id="zarr3-without-description",
        ),
        pytest.param(
            "zarr3", zarr3_data(MAGS, side=SIDE, pack=lambda b: blosc(b, shuffle=0)), id="zarr3-without-shuffle"
        ),
        pytest.param(
            "zarr3",
            zarr3_data(MAGS, side=SIDE, pack=lambda b: bytes(numcodecs.Blosc("zstd", 3, 2).encode(b))),
            id="zarr3-blosc-zstd-bitshuffle",
        ),
        pytest.param(
            "zarr3",
            zarr3_data(
                MAGS,
                side=SIDE,
                pack=gzip.compress,
                array=with_codecs(
                    {"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}, BYTES_CODEC, {"name": "gzip"}
                ),
            ),
            id="zarr3-gzip",
        ),
        pytest.param(
            "zarr3",
            zarr3_data(MAGS, side=SIDE, pack=z_fastest, array=with_codecs({"name": "bytes"})),
            id="zarr3-c-order-uncompressed",
        ),
    ],
)
def test_every_form_gives_the_same_blocks(
    data_format: str | None, files: dict[str, bytes], method: int, tmp_path: Path
) -> None:
    volume = Volume(data=zip_of(files, method=method), format=data_format, fallback_layer="segmentation")
    manifest, source = imported(annotation_zip(volume, method=method), tmp_path)

    found = manifest.volumes[0]
    assert blocks_of(source, found) == EXPECTED
    assert (found.element_class, found.block_side, found.format) == ("uint32", SIDE, data_format or "wkw")
    assert [mag.extent for mag in found.mags] == [BoundingBox((0, 0, 0), (4, 2, 3)), BoundingBox((1, 0, 1), (1, 1, 1))]
    assert list(tmp_path.iterdir()) == []


def test_lz4_streams_of_wkw_files_are_kept_untouched(tmp_path: Path) -> None:
    _, source = imported(annotation_zip(Volume(data=WKW)), tmp_path)
    streams = [
        lz4.block.compress(block, store_size=False)
        for _, block in sorted(MAGS["1"].items(), key=lambda item: block_code(item[0]))
        if block != REVERTED and any(block)
    ]
    assert source.objects["volumes/0/1-1-1.blocks"] == b"".join(streams)


def test_the_facts_of_the_nml_are_in_the_manifest(tmp_path: Path) -> None:
    volume = Volume(data=WKW, fallback_layer="seg", attributes='largestSegmentId="7" mappingName="agglo"')
    data = annotation_zip(volume)
    manifest, source = imported(data, tmp_path)
    assert (manifest.name, manifest.annotation_id) == ("sample__explorational", "65a0c1f2e4b0a1b2c3d4e5f8")
    assert (manifest.dataset_name, manifest.dataset_id) == ("sample_ds", "65a0c1f2e4b0a1b2c3d4e5f6")
    assert manifest.voxel_size == VoxelSize((11.0, 11.0, 28.0), "nanometer")
    assert (manifest.trees, manifest.nodes) == (1, 2)
    found = manifest.volumes[0]
    assert (found.fallback_layer, found.largest_segment_id, found.mapping_name) == ("seg", 7, "agglo")
    assert source.objects["annotation.nml"] == nml(volume, skeleton=TREE)


@pytest.mark.parametrize("element_class", ["uint8", "uint16", "uint64", "int32", "float"])
def test_element_classes_are_told_by_the_data(element_class: str, tmp_path: Path) -> None:
    mags = {"1": {(0, 0, 0): voxels(1, element_class, side=SIDE)}}
    for data_format, files in (
        ("wkw", wkw_data(mags, element_class, side=SIDE)),
        ("zarr3", zarr3_data(mags, element_class, side=SIDE)),
    ):
        manifest, source = imported(annotation_zip(Volume(data=zip_of(files), format=data_format)), tmp_path)
        assert manifest.volumes[0].element_class == element_class
        assert blocks_of(source, manifest.volumes[0])[Mag(1, 1, 1)] == {(0, 0, 0): (Kind.DATA, mags["1"][0, 0, 0])}


def test_an_untouched_layer_is_an_empty_zip(tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(Volume(data=EMPTY_ZIP)), tmp_path)
    assert (manifest.volumes[0].mags, manifest.volumes[0].element_class) == ((), None)
    assert set(source.objects) == {"annotation.json", "annotation.nml"}


@pytest.mark.parametrize(
    ("data_format", "files"),
    [("wkw", {"1/header.wkw": wkw_header()}), ("zarr3", zarr3_data({"1": {}}))],
    ids=["wkw", "zarr3"],
)
def test_a_layer_may_have_headers_alone(data_format: str, files: dict[str, bytes], tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(Volume(data=zip_of(files), format=data_format)), tmp_path)
    volume = manifest.volumes[0]
    assert (volume.element_class, volume.block_side) == ("uint32", 32)
    assert [(mag.mag, mag.blocks, mag.extent) for mag in volume.mags] == [(Mag(1, 1, 1), 0, None)]
    assert blocks_of(source, volume) == {Mag(1, 1, 1): {}}


def test_several_layers_are_found_by_their_location(tmp_path: Path) -> None:
    other = {"1": {(5, 5, 5): voxels(9, "uint8", side=16)}}
    volumes = [
        Volume(1, "b", "data_1_b.zip", zip_of(wkw_data(other, "uint8", side=16))),
        Volume(0, "a", "data_0_a.zip", WKW),
        Volume(2, "c", None, None),
    ]
    manifest, source = imported(annotation_zip(*volumes), tmp_path)
    assert [(volume.id, volume.block_side) for volume in manifest.volumes] == [(1, 16), (0, SIDE), (2, None)]
    assert blocks_of(source, manifest.volumes[1]) == EXPECTED
    assert [mag.prefix for mag in manifest.volumes[0].mags] == ["volumes/0/1-1-1"]


def test_an_old_single_volume_is_called_data_zip(tmp_path: Path) -> None:
    manifest, source = imported(annotation_zip(Volume(1, None, "data.zip", WKW, None)), tmp_path)
    assert manifest.volumes[0].name is None
    assert blocks_of(source, manifest.volumes[0]) == EXPECTED


def test_an_nml_alone_is_taken(tmp_path: Path) -> None:
    manifest, source = imported(nml(skeleton=TREE), tmp_path, name="mine")
    assert (manifest.name, manifest.volumes, manifest.trees) == ("mine", (), 1)
    assert source.objects["annotation.nml"] == nml(skeleton=TREE)


def test_an_nml_alone_may_name_volumes_without_data(tmp_path: Path) -> None:
    manifest, _ = imported(nml(Volume(location=None)), tmp_path)
    assert [volume.name for volume in manifest.volumes] == ["Volume"]


def test_what_macos_adds_is_passed_over(tmp_path: Path) -> None:
    extra = {"__MACOSX/._sample__explorational.nml": b"x", ".DS_Store": b"x"}
    manifest, _ = imported(annotation_zip(Volume(data=WKW), extra=extra), tmp_path)
    assert manifest.name == "sample__explorational"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("editedMappingEdges_Volume.zip", ""),
        ("editedMappingEdges_0_Volume.zip", ""),
        ("editedMappingEdges_x.zip", 'editedMappingEdgesLocation="editedMappingEdges_x.zip"'),
    ],
)
def test_proofreading_edits_are_kept_as_they_are(name: str, attributes: str, tmp_path: Path) -> None:
    edits = zip_of({"edges": b"\1\2\3"})
    manifest, source = imported(annotation_zip(Volume(data=WKW, attributes=attributes), extra={name: edits}), tmp_path)
    edited = manifest.volumes[0].edited_mapping
    assert edited is not None
    assert (edited.name, edited.file_bytes) == (name, len(edits))
    assert source.objects[edited.key] == edits


def test_a_file_of_several_blocks_gives_those_that_are_not_zero(tmp_path: Path) -> None:
    blocks = [voxels(n, side=SIDE) if n in (0, 3, 7) else bytes(SIDE**3 * 4) for n in range(8)]
    for compressed in (True, False):
        files = {
            "1/header.wkw": wkw_header(side=SIDE, file_side=2),
            "1/z0/y1/x2.wkw": wkw_file(blocks, side=SIDE, compressed=compressed),
        }
        manifest, source = imported(annotation_zip(Volume(data=zip_of(files))), tmp_path)
        assert blocks_of(source, manifest.volumes[0])[Mag(1, 1, 1)] == {
            (4, 2, 0): (Kind.DATA, blocks[0]),
            (5, 3, 0): (Kind.DATA, blocks[3]),
            (5, 3, 1): (Kind.DATA, blocks[7]),
        }


def test_progress_ends_with_all_of_it(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    imported(annotation_zip(Volume(data=WKW)), tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(WKW), len(WKW))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_failed_write_is_not_the_upload_s_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceUnavailable):
        import_annotation(
            io.BytesIO(annotation_zip(Volume(data=WKW))), FolderSink(tmp_path / "file" / "x"), scratch=tmp_path
        )


# --- what is refused ---

GOOD_FILES = wkw_data(MAGS, side=SIDE)
ZARR_FILES = zarr3_data(MAGS, side=SIDE)
ARRAY_KEY = "volumeAnnotationData/1/zarr.json"
CHUNK_KEY = "volumeAnnotationData/1/c.0.0.0.0"


def wkw_with(name: str, data: bytes) -> bytes:
    return annotation_zip(Volume(data=zip_of({**GOOD_FILES, name: data})))


def zarr_with(name: str, data: bytes) -> bytes:
    return annotation_zip(Volume(data=zip_of({**ZARR_FILES, name: data}), format="zarr3"))


def zarr_array(**changed: Any) -> bytes:
    return zarr_with(ARRAY_KEY, json.dumps(zarr_json(side=SIDE, **changed)).encode())


def description(**layer: Any) -> bytes:
    return zarr_with("datasource-properties.json", json.dumps({"dataLayers": [layer]}).encode())


BLOCK = voxels(1, side=SIDE)
FRAME = blosc(BLOCK)


@pytest.mark.parametrize(
    ("upload", "named"),
    [
        pytest.param(lambda: b"", "ends too early", id="nothing"),
        pytest.param(lambda: b"PK\3\4" + bytes(100), "no zip", id="no-zip"),
        pytest.param(lambda: b"hello", "not XML", id="no-nml"),
        pytest.param(lambda: zip_of({"a.zip": EMPTY_ZIP}), "0 NML files", id="no-nml-in-zip"),
        pytest.param(lambda: zip_of({"a.nml": nml(), "b.nml": nml()}), "2 NML files", id="two-nmls"),
        pytest.param(lambda: nml(Volume()), "upload the zip it came in", id="nml-of-a-zip"),
        pytest.param(lambda: annotation_zip(Volume(data=None)), "'data_Volume.zip', which is missing", id="no-data"),
        pytest.param(
            lambda: annotation_zip(Volume(), extra={"data_other.zip": WKW}), "'data_other.zip', which no", id="extra"
        ),
        pytest.param(
            lambda: annotation_zip(Volume(0, "a"), Volume(1, "b")), "name the same data", id="one-zip-for-two"
        ),
        pytest.param(lambda: annotation_zip(Volume(format="n5")), "format 'n5'", id="unknown-format"),
        pytest.param(lambda: annotation_zip(Volume(data=b"hello")), "'data_Volume.zip' is no zip", id="data-no-zip"),
        pytest.param(
            lambda: annotation_zip(Volume(attributes='editedMappingEdgesLocation="x.zip"'), extra={"x.zip": EMPTY_ZIP}),
            "oddly called",
            id="edited-mapping-with-an-odd-name",
        ),
        pytest.param(
            lambda: annotation_zip(Volume(), extra={"editedMappingEdges_Volume.zip": b"x"}),
            "no zip",
            id="edited-mapping-no-zip",
        ),
        pytest.param(lambda: wkw_with("readme.txt", b""), "unexpected file, 'readme.txt'", id="wkw-unexpected"),
        pytest.param(lambda: wkw_with("1/z00/y0/x0.wkw", b""), "unexpected file", id="wkw-leading-zero"),
        pytest.param(lambda: wkw_with("1/z-1/y0/x0.wkw", b""), "unexpected file", id="wkw-negative"),
        pytest.param(lambda: wkw_with("1-1-1/header.wkw", wkw_header(side=SIDE)), "mag 1 twice", id="wkw-mag-twice"),
        pytest.param(lambda: wkw_with("1-1/header.wkw", wkw_header()), "not a mag", id="wkw-no-mag"),
        pytest.param(lambda: wkw_with("0/header.wkw", wkw_header()), "not a mag", id="wkw-mag-0"),
        pytest.param(lambda: wkw_with(f"1/z0/y0/x{2**21}.wkw", b""), "outside of any volume", id="wkw-far-out"),
        pytest.param(lambda: wkw_with("1/header.wkw", b"WKW"), "cut short", id="wkw-header-short"),
        pytest.param(lambda: wkw_with("1/header.wkw", bytes(16)), "not a WKW file", id="wkw-header-zero"),
        pytest.param(lambda: wkw_with("4/header.wkw", wkw_header(side=16)), "16\\^3 uint32 in mag 4", id="wkw-side"),
        pytest.param(lambda: wkw_with("4/header.wkw", wkw_header("uint8", side=SIDE)), "uint8 in mag 4", id="wkw-type"),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([voxels(1, side=16)], side=16)),
            "another kind",
            id="wkw-file-side",
        ),
        pytest.param(
            lambda: wkw_with("4/header.wkw", struct.pack("<3sBBBBBQ", b"WKW", 1, 3, 2, 3, 12, 0)),
            "3 channels",
            id="wkw-channels",
        ),
        pytest.param(
            lambda: wkw_with("4/header.wkw", wkw_header("uint64", side=512)), "larger blocks", id="wkw-huge-blocks"
        ),
        pytest.param(
            lambda: wkw_with("4/header.wkw", wkw_header(side=SIDE, file_side=2**15)), "larger", id="wkw-huge-files"
        ),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK], side=SIDE)[:-1]), "damaged", id="wkw-file-cut-short"
        ),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK], side=SIDE) + b"\0"),
            "longer than",
            id="wkw-file-too-long",
        ),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK[:-4]], side=SIDE)), "wrong size", id="wkw-block-short"
        ),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK + BLOCK], side=SIDE)), "decoded", id="wkw-block-long"
        ),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK], side=SIDE)[:30] + bytes(50)),
            "damaged",
            id="wkw-garbage",
        ),
        pytest.param(
            lambda: wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK] * 8, side=SIDE)),
            "accepted|another kind",
            id="wkw-eight",
        ),
        pytest.param(lambda: zarr_with("volumeAnnotationData/1/x", b""), "unexpected file", id="zarr-unexpected"),
        pytest.param(lambda: zarr_with("other/1/zarr.json", b"{}"), "unexpected file", id="zarr-two-layers"),
        pytest.param(
            lambda: zarr_with("volumeAnnotationData/1/c.0.0.0.0.0", b""), "unexpected file", id="zarr-five-axes"
        ),
        pytest.param(lambda: zarr_with("volumeAnnotationData/1/c.1.0.0.0", b""), "unexpected", id="zarr-channel-1"),
        pytest.param(lambda: zarr_with("volumeAnnotationData/1/0.0.0.0", FRAME), "chunk twice", id="zarr-chunk-twice"),
        pytest.param(
            lambda: zarr_with(f"volumeAnnotationData/1/0.0.0.{2**21}", FRAME), "outside of any", id="zarr-far-out"
        ),
        pytest.param(lambda: zarr_with("volumeAnnotationData/4/0.0.0.0", FRAME), "no zarr.json", id="zarr-no-array"),
        pytest.param(
            lambda: zarr_with("volumeAnnotationData/1-1-1/zarr.json", b"{}"), "mag 1 twice", id="zarr-mag-twice"
        ),
        pytest.param(lambda: zarr_with(ARRAY_KEY, b"[]"), "not a JSON object", id="zarr-array-list"),
        pytest.param(lambda: zarr_with(ARRAY_KEY, b"{"), "not JSON", id="zarr-array-no-json"),
        pytest.param(lambda: zarr_with(ARRAY_KEY, b"[" * 10**5), "not JSON", id="zarr-array-deep"),
        pytest.param(lambda: zarr_with(ARRAY_KEY, b" " * 2**21), "at most", id="zarr-array-long"),
        pytest.param(lambda: zarr_array(zarr_format=2), "Zarr v3 array", id="zarr-v2"),
        pytest.param(lambda: zarr_array(data_type="complex64"), "'complex64'", id="zarr-type"),
        pytest.param(lambda: zarr_array(shape=[1, 1, 9, 9, 9]), "additional axes", id="zarr-shape-5"),
        pytest.param(lambda: zarr_array(dimension_names=["c", "z", "y", "x"]), "axes other", id="zarr-zyx"),
        pytest.param(lambda: zarr_array(fill_value=1), "fill value", id="zarr-fill"),
        pytest.param(lambda: zarr_array(storage_transformers=[{}]), "transformers", id="zarr-transformers"),
        pytest.param(lambda: zarr_array(chunk_grid={"name": "x"}), "no regular chunks", id="zarr-grid"),
        *(
            pytest.param(
                lambda sides=sides: zarr_array(chunk_grid={"name": "regular", "configuration": {"chunk_shape": sides}}),
                "chunks of",
                id=f"zarr-chunks-{sides}",
            )
            for sides in ([1, 8, 8, 4], [1, 9, 9, 9], [2, 8, 8, 8], [1, 0, 0, 0], [1, 2**40] + [2**40] * 2)
        ),
        pytest.param(lambda: zarr_array(codecs="x"), "codec", id="zarr-codecs-text"),
        pytest.param(lambda: zarr_array(codecs=[{"name": "sharding_indexed"}]), "'sharding_indexed'", id="zarr-shards"),
        pytest.param(lambda: zarr_array(codecs=[BYTES_CODEC, {"name": "zstd"}]), "'zstd'", id="zarr-zstd"),
        pytest.param(
            lambda: zarr_array(codecs=[{"name": "bytes", "configuration": {"endian": "big"}}]),
            "big-endian",
            id="zarr-big",
        ),
        pytest.param(
            lambda: zarr_array(codecs=[{"name": "transpose", "configuration": {"order": [1, 0, 2, 3]}}, BYTES_CODEC]),
            "order of axes",
            id="zarr-order",
        ),
        pytest.param(lambda: zarr_array(codecs=[]), "without 'bytes'", id="zarr-no-codecs"),
        pytest.param(lambda: zarr_with(CHUNK_KEY, FRAME[:-1]), "lies about its length", id="zarr-chunk-short"),
        pytest.param(lambda: zarr_with(CHUNK_KEY, b"\2\1"), "cut short", id="zarr-chunk-tiny"),
        pytest.param(lambda: zarr_with(CHUNK_KEY, blosc(BLOCK * 2)), "wrong size", id="zarr-chunk-too-large"),
        pytest.param(lambda: zarr_with(CHUNK_KEY, FRAME[:20] + bytes(len(FRAME) - 20)), "decoded", id="zarr-garbage"),
        pytest.param(lambda: zarr_with(CHUNK_KEY, b"\1" + FRAME[1:]), "version 2", id="zarr-chunk-version"),
        pytest.param(lambda: description(additionalAxes=[{"name": "t"}]), "additional axes", id="zarr-additional-axes"),
        pytest.param(
            lambda: zarr_with("datasource-properties.json", b'{"dataLayers": []}'), "one layer", id="zarr-no-layer"
        ),
    ],
)
def test_a_bad_upload_is_refused_by_name_and_leaves_nothing(
    upload: Callable[[], bytes], named: str, tmp_path: Path
) -> None:
    scratch, target = tmp_path / "scratch", tmp_path / "imports"
    scratch.mkdir()
    target.mkdir()
    with pytest.raises(InvalidRequest, match=named):
        import_annotation(io.BytesIO(upload()), FolderSink(target / "one"), scratch=scratch)
    assert list(target.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_the_sentence_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"1/z0/y0/x0\.wkw"):
        imported(wkw_with("1/z0/y0/x0.wkw", wkw_file([BLOCK[:-4]], side=SIDE)), tmp_path)


def test_all_data_zips_together_stay_within_the_limit(tmp_path: Path) -> None:
    large = {"1": {(n, 0, 0): voxels(n, side=32) for n in range(4)}}
    data_zip = zip_of(wkw_data(large, compressed=False))
    data = annotation_zip(Volume(0, "a", "data_0_a.zip", data_zip), Volume(1, "b", "data_1_b.zip", data_zip))
    inner = sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(data_zip)).infolist())
    assert 2 * inner > 2 * len(data_zip) + 10_000
    imported(data, tmp_path, limits=ImportLimits(ZipLimits(unpacked_bytes=2 * inner)))
    with pytest.raises(InvalidRequest, match="would unpack to more"):
        imported(data, tmp_path, limits=ImportLimits(ZipLimits(unpacked_bytes=2 * inner - 1)))


def test_an_nml_above_its_limit_is_refused(tmp_path: Path) -> None:
    for data in (nml(), zip_of({"a.nml": nml()})):
        with pytest.raises(InvalidRequest, match="at most 100"):
            imported(data, tmp_path, limits=ImportLimits(nml_bytes=100))


def test_an_interrupted_import_leaves_nothing(tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "imports").mkdir()
    with pytest.raises(KeyboardInterrupt):
        import_annotation(
            io.BytesIO(annotation_zip(Volume(data=WKW))),
            FolderSink(tmp_path / "imports" / "one"),
            scratch=tmp_path,
            progress=stop,
        )
    assert list((tmp_path / "imports").iterdir()) == []


def test_a_chunk_that_would_unpack_to_gigabytes_is_refused_in_little_memory(tmp_path: Path) -> None:
    frame = bytearray(FRAME)
    frame[4:12] = struct.pack("<II", 2**31 - 32, 2**31 - 32)
    data = zarr_with(CHUNK_KEY, bytes(frame))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="wrong size"):
            imported(data, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """64 blocks of 128 KiB in a data zip that is compressed: only one is in memory at a time."""
    noise = np.random.default_rng(0).integers(0, 2**32, 32**3, "u4")
    mags = {"1": {(n, 0, 0): (noise + np.uint32(n)).tobytes() for n in range(64)}}
    upload = tmp_path / "upload.zip"
    upload.write_bytes(annotation_zip(Volume(data=zip_of(wkw_data(mags)))))
    (tmp_path / "imports").mkdir()
    tracemalloc.start()
    try:
        with upload.open("rb") as file:
            import_annotation(file, FolderSink(tmp_path / "imports" / "one"), scratch=tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()
    assert upload.stat().st_size > 8 * 2**20


def test_nothing_is_visible_of_an_import_that_failed_in_memory(tmp_path: Path) -> None:
    sink = MemorySink()
    with pytest.raises(InvalidRequest):
        import_annotation(io.BytesIO(wkw_with("x", b"")), sink, scratch=tmp_path)
    assert sink.objects == {}
