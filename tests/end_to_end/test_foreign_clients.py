"""Ordinary Zarr clients read layers of other formats, and mapped ones, over HTTP to the voxel; and how often they ask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import zarr
from zarr.storage import FsspecStore

from builders.agglomerate_files import hdf5_agglomerates, table
from builders.foreign_arrays import (
    BLOSC_V2,
    LITTLE,
    numbered,
    ome_attributes,
    write_n5,
    write_precomputed,
    write_zarr2,
    write_zarr3,
)
from builders.foreign_datasets import describe, entry
from builders.wkw_files import LayerFiles, dataset, write_tree
from end_to_end.clients import CLIENTS
from zarrlink.geometry import Mag

ONE = Mag(1, 1, 1)
REAL = {
    "simple_zarr_dataset": ("zarr", "color/1-1-1", {}, (0, 3, 2, 1)),
    "simple_zarr3_dataset": ("zarr3", "color/1", {}, (0, 3, 2, 1)),
    "simple_n5_dataset": ("n5", "color/1", {}, (0, 3, 2, 1)),
    "simple_ng_dataset": ("neuroglancer_precomputed", "color", {"scale_index": 0}, (3, 2, 1, 0)),
}
SIZE = (50, 40, 30)
DATA = numbered(SIZE[::-1], "uint16")
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
ENTRIES = table(900, 40)
SEGMENTS = np.random.default_rng(1).integers(0, 901, SIZE[::-1]).astype("uint32")
WHOLE = numbered((64, 64, 64), "uint16")
EXPECTED = {
    "zarr2": DATA,
    "sharded": DATA,
    "big_endian": DATA,
    "n5": DATA,
    "precomputed": DATA,
    "channels": np.stack([DATA, DATA + 1, DATA + 2]),
    "times": np.stack([DATA, DATA + 5]),
    "whole": WHOLE,
}


@pytest.fixture(scope="module")
def real(serve, testdata: Path, tmp_path_factory: pytest.TempPathFactory):
    return serve(tmp_path_factory.mktemp("real") / "state.sqlite", *(testdata / name for name in REAL))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", REAL)
def test_the_real_folders(real, testdata: Path, name: str, client: str) -> None:
    driver, below, more, turn = REAL[name]
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{testdata / name / below}/"}, **more}
    expected = ts.open(spec, read=True, open=True).result().read().result().transpose(turn)
    found = CLIENTS[client](real.layer(name, "color"), 0)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def made(serve, tmp_path_factory: pytest.TempPathFactory):
    """Layers of every format in one dataset, a bare OME-Zarr beside it, and a segmentation with a mapping."""
    home = tmp_path_factory.mktemp("made")
    folder = home / "data/made"
    turned = np.ascontiguousarray(DATA.T)
    write_zarr2(folder / "zarr2/1", DATA, (16, 16, 16), compressor=BLOSC_V2)
    write_zarr3(folder / "sharded/1", DATA, (8, 8, 8), shard=(32, 32, 32), codecs=[LITTLE, ZSTD])
    write_zarr3(folder / "whole/1", WHOLE, (8, 8, 8), shard=(32, 32, 32), codecs=[LITTLE, ZSTD])
    write_zarr2(folder / "big_endian/1", DATA, (16, 16, 16), dtype=">u2", order="F")
    write_n5(folder / "n5/1", turned, (16, 16, 16))
    write_precomputed(folder / "precomputed", {"1": turned[..., None]})
    write_zarr2(folder / "channels/1", EXPECTED["channels"], (1, 16, 16, 16), compressor=BLOSC_V2)
    write_zarr3(folder / "times/1", EXPECTED["times"], (1, 16, 16, 16), codecs=[LITTLE, ZSTD])
    times = [{"name": "t", "bounds": [0, 2], "index": 0}]
    layers = [
        entry("zarr2", "zarr", "uint16", SIZE, order="zyx"),
        entry("sharded", "zarr3", "uint16", SIZE, order="zyx"),
        entry("whole", "zarr3", "uint16", (64, 64, 64), order="zyx"),
        entry("big_endian", "zarr", "uint16", SIZE, order="zyx"),
        entry("n5", "n5", "uint16", SIZE, order="xyz"),
        entry("precomputed", "neuroglancerPrecomputed", "uint16", SIZE),
        entry("channels", "zarr", "uint16", SIZE, order="czyx", numChannels=3),
        entry("times", "zarr3", "uint16", SIZE, order="tzyx", additionalAxes=times),
    ]
    describe(folder, *layers)
    bare = home / "data/bare.zarr"
    write_zarr3(bare / "0", DATA, (8, 8, 8), shard=(32, 32, 32), codecs=[LITTLE, ZSTD])
    attributes = ome_attributes("zyx", {"0": [40.0, 4.0, 4.0]}, version="0.5")
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (bare / "zarr.json").write_text(json.dumps(document))
    segmentation = LayerFiles("seg", {ONE: SEGMENTS}, category="segmentation")
    mapping = {"seg/agglomerates/by.hdf5": hdf5_agglomerates(ENTRIES, chunks=(128,))}
    write_tree(dataset(segmentation) | mapping, home / "data/cells")
    return serve(home / "state.sqlite", home / "data")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("layer", EXPECTED)
def test_layers_of_every_format(made, layer: str, client: str) -> None:
    np.testing.assert_array_equal(CLIENTS[client](made.layer("made", layer), 0), EXPECTED[layer])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_bare_ome_zarr(made, client: str) -> None:
    np.testing.assert_array_equal(CLIENTS[client](made.layer("bare.zarr", "bare"), 0), DATA)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_mapped_segmentation(made, client: str) -> None:
    (layer,) = made.link("cells", "--mapping", "seg=by")["layers"]
    np.testing.assert_array_equal(CLIENTS[client](layer, 0), ENTRIES[SEGMENTS].astype("uint32"))


def test_a_compatible_sharded_array_costs_few_requests(made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of eight shards is read whole by somebody who wants all of it."""
    asked = []
    get = FsspecStore.get

    async def counted(self, key, *rest, **more):
        asked.append(key)
        return await get(self, key, *rest, **more)

    monkeypatch.setattr(FsspecStore, "get", counted)
    array = zarr.open_group(made.layer("made", "whole")["v3"], mode="r")["0"]
    np.testing.assert_array_equal(array[...], WHOLE)
    assert sorted(key for key in asked if "/c/" in key) == [f"0/c/{z}/{y}/{x}" for z, y, x in np.ndindex(2, 2, 2)]
