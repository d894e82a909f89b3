"""Ordinary Zarr clients read a served link to the voxel, and raise when the link or the data is gone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from builders.wkw_files import LayerFiles, dataset, noise, pyramid, ramp, write_tree
from end_to_end.clients import CLIENTS
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Mag

ONE = Mag(1, 1, 1)
REFERENCE = [
    ("wkw_reference_raw", "color"),
    ("wkw_reference_raw", "rgb"),
    ("wkw_reference_raw", "float"),
    ("wkw_reference_lz4", "color"),
    ("wkw_reference_lz4", "segmentation"),
    ("wkw_reference_lz4hc", "multichannel"),
    ("wkw_reference_lz4hc", "segmentation"),
]
MAGS = (ONE, Mag(2, 2, 1), Mag(4, 4, 2))
CORNER, SIZE = (200, 300, 40), (150, 90, 50)


@pytest.fixture(scope="module")
def reference(serve, testdata: Path, tmp_path_factory: pytest.TempPathFactory):
    return serve(tmp_path_factory.mktemp("reference") / "state.sqlite", testdata)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("name", "layer"), REFERENCE)
def test_every_reference_set_is_read_to_the_voxel(
    reference, testdata: Path, name: str, layer: str, client: str
) -> None:
    """Written by the reference library; the box is equal, and the padding before it is zero."""
    found = CLIENTS[client](reference.layer(name, layer), 0)
    expected = np.load(testdata / name / f"{layer}_expected_cxyz.npy").transpose(0, 3, 2, 1)
    found = found if found.ndim == 4 else found[None]
    # The box ends where the array ends; before it lies what aligning the origin added.
    box = tuple(slice(have - want, have) for have, want in zip(found.shape, expected.shape, strict=True))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found[box], expected)
    outside = found.copy()
    outside[box] = 0
    assert not outside.any()


@pytest.fixture(scope="module")
def made(serve, tmp_path_factory: pytest.TempPathFactory):
    """Our own layers: odd corner, three mags, signed and floating types, a file that was never written."""
    folder = tmp_path_factory.mktemp("made")
    volumes = pyramid(noise(SIZE, "int16"), MAGS, CORNER)
    layers = (
        LayerFiles("em", volumes, CORNER, BoundingBox(CORNER, SIZE), block_side=32, file_side=2),
        LayerFiles("double", {ONE: noise((40, 30, 20), "float64")}, block_type=BlockType.LZ4HC),
        LayerFiles("holes", {ONE: ramp((100, 20, 20), "uint64")}, block_side=8, file_side=4),
    )
    objects = dataset(*layers)
    del objects["holes/1/z0/y0/x1.wkw"]
    write_tree(objects, folder / "data" / "made")
    return serve(folder / "state.sqlite", folder / "data")


@pytest.mark.parametrize("client", CLIENTS)
def test_every_level_of_a_layer_with_an_odd_corner(made, client: str) -> None:
    layer = made.layer("made", "em")
    for number, (mag, volume) in enumerate(pyramid(noise(SIZE, "int16"), MAGS, CORNER).items()):
        found = CLIENTS[client](layer, number)
        box = tuple(slice(have - want, have) for have, want in zip(found.shape, volume.shape, strict=True))
        np.testing.assert_array_equal(found[box], volume, err_msg=mag.literal)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_that_was_never_written_reads_as_fill_value(made, client: str) -> None:
    found = CLIENTS[client](made.layer("made", "holes"), 0)
    expected = ramp((100, 20, 20), "uint64")
    expected[:, :, 32:64] = 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("client", CLIENTS)
def test_doubles_arrive_as_they_are(made, client: str) -> None:
    np.testing.assert_array_equal(CLIENTS[client](made.layer("made", "double"), 0), noise((40, 30, 20), "float64"))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_dead_link_raises_and_reads_no_zeros(made, client: str, how: str) -> None:
    link = made.link("made", "--layer", "holes")
    layer = link["layers"][0]
    CLIENTS[client](layer, 0)
    if how == "revoked":
        made.zarrlink("links", "revoke", link["id"])
    else:
        made.zarrlink("links", "extend", link["id"], "--expires", "2001-01-01")

    with pytest.raises(Exception, match=r"(?i)410|gone|not valid|error"):
        CLIENTS[client](layer, 0)


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_an_array_that_is_open_raises_when_its_link_is_revoked(made, version: str) -> None:
    """A reader that holds its metadata asks only for chunks: those must not read as fill value."""
    import tensorstore
    import zarr

    link = made.link("made", "--layer", "holes")
    address = link["layers"][0][version]
    array = zarr.open_group(address, mode="r")["0"]
    store = tensorstore.open({"driver": {"v2": "zarr", "v3": "zarr3"}[version], "kvstore": f"{address}/0/"}).result()
    assert array[:8, :8, :8].any()
    made.zarrlink("links", "revoke", link["id"])

    with pytest.raises(Exception, match=r"410|Gone"):
        array[:8, :8, :8]
    with pytest.raises(ValueError, match=r"410|Gone"):
        store[:8, :8, :8].read().result()


DAMAGES = ["store fails", "truncated", "wrong length", "garbage"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_and_failure_raise_and_read_no_zeros(serve_damaged, client: str, damage: str) -> None:
    """A block that cannot be decoded is passed through, and refused by the client's decoder.

    zarrita's ignores what its Blosc library says of such a block (numcodecs.js 0.3.2), so there the server must look.
    """
    looks_inside = client.startswith("zarrita") and damage in ("wrong length", "garbage")
    served = serve_damaged("--check-blocks") if looks_inside else serve_damaged()
    layer = served.layer("damaged", damage.replace(" ", "_"))
    with pytest.raises(Exception, match=r"."):
        CLIENTS[client](layer, 0)


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_zarrita_shows_what_does_not_decode_where_nobody_looks(serve_damaged, dialect: str) -> None:
    """Why decision 0006 has `--check-blocks`. Should this fail one day, zarrita's codec has learnt to look."""
    voxels = CLIENTS[f"zarrita {dialect}"](serve_damaged().layer("damaged", "garbage"), 0)
    volume = noise((32, 32, 32))
    # All blocks but the last are right.
    np.testing.assert_array_equal(voxels[:16], volume[:16])
    assert not np.array_equal(voxels, volume)


@pytest.fixture(scope="module")
def serve_damaged(serve, damaged: Path):
    """A server on the damaged dataset with some options, started when it is first needed."""
    from functools import cache

    return cache(lambda *options: serve(damaged / f"state{len(options)}.sqlite", damaged / "data", options=options))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers whose one file is out of reach, cut short, or holds a block that does not decode."""
    from zarrlink.formats.lz4_block import encode_lz4

    folder = tmp_path_factory.mktemp("damaged")
    volume = noise((32, 32, 32))
    names = [damage.replace(" ", "_") for damage in DAMAGES]
    objects = dataset(*(LayerFiles(name, {ONE: volume}, block_side=16, file_side=2) for name in names))
    key = "{}/1/z0/y0/x0.wkw"
    whole = objects[key.format("truncated")]
    objects[key.format("truncated")] = whole[:-100]
    objects[key.format("wrong_length")] = _with_last_block(whole, encode_lz4(b"\1" * 4095, high=False))
    objects[key.format("garbage")] = _with_last_block(whole, b"\xf0" + b"\xff" * 100)
    write_tree(objects, folder / "data" / "damaged")
    # As root no permission denies a read; a folder where the file should be does, and says so by another error.
    (folder / "data" / "damaged" / key.format("store_fails")).unlink()
    (folder / "data" / "damaged" / key.format("store_fails")).mkdir()
    return folder


def _with_last_block(data: bytes, stream: bytes) -> bytes:
    """A file of 8 blocks whose last one holds another stream; the table is right."""
    import struct

    bounds = struct.unpack_from("<9Q", data, 8)
    table = struct.pack("<8Q", *bounds[1:8], bounds[7] + len(stream))
    return data[:16] + table + data[80 : bounds[7]] + stream


def test_links_outlive_the_server(serve, tmp_path: Path) -> None:
    write_tree(dataset(LayerFiles("a", {ONE: ramp((20, 20, 20))})), tmp_path / "data" / "mouse")
    first = serve(tmp_path / "state.sqlite", tmp_path / "data")
    link = first.link("mouse")
    first.process.terminate()
    first.process.wait(30)
    # Its address is gone with it: the next server takes another port.
    second = serve(tmp_path / "state.sqlite", tmp_path / "data")

    assert second.zarrlink("links", "list")[0]["id"] == link["id"]
    moved = second.zarrlink("links", "show", link["id"])
    assert moved["token"] == link["token"]
    np.testing.assert_array_equal(CLIENTS["zarr-python v3"](moved["layers"][0], 0), ramp((20, 20, 20)))
    assert json.dumps(link["token"]) not in (tmp_path / "state.sqlite").read_text("latin-1")


def test_a_dataset_replaced_under_an_open_array_raises(serve, tmp_path: Path) -> None:
    """A reader with old metadata would mix voxels of two geometries."""
    import shutil

    import zarr

    data = tmp_path / "data" / "mouse"
    write_tree(dataset(LayerFiles("a", {ONE: ramp((20, 20, 20))})), data)
    served = serve(tmp_path / "state.sqlite", tmp_path / "data")
    layer = served.layer("mouse", "a")
    array = zarr.open_group(layer["v3"], mode="r")["0"]
    assert array[:8, :8, :8].any()
    shifted = write_tree(dataset(LayerFiles("a", {ONE: ramp((20, 20, 20))}, (8, 0, 0))), tmp_path / "new")
    shutil.rmtree(data)
    shifted.rename(data)

    # The files are others, so the first chunk that is asked for leads to the description.
    with pytest.raises(Exception, match=r"410|Gone"):
        array[:8, :8, :8]
