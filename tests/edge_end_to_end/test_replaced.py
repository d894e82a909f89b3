"""A dataset whose files are exchanged while arrays are open: readers go on where they may, and never mix two geometries."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr

from builders.local_cdn import LocalEdge, ask
from builders.local_jobs import until
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from edge_end_to_end.conftest import ONE
from zarrlink.geometry import Vec3

SIZE = (32, 32, 32)
OLD, NEW = noise(SIZE, seed=1), noise(SIZE, seed=2)


def write(folder: Path, volume: np.ndarray, corner: Vec3 = (0, 0, 0)) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write_tree(dataset(LayerFiles("em", {ONE: volume}, corner, block_side=8)), folder)


def exchange(edge: LocalEdge, folder: Path, volume: np.ndarray, corner: Vec3 = (0, 0, 0)) -> None:
    """Other files in place of the old ones, and the catalogue told."""
    write(folder, volume, corner)
    (record,) = edge.machine.catalogue.all()
    assert edge.machine.catalogue.revise(record.id)


def test_readers_go_on_where_the_geometry_is_equal(new_edge: Callable[..., LocalEdge], tmp_path: Path) -> None:
    folder = tmp_path / "data/mouse"
    write(folder, OLD)
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    link = edge.link("mouse")
    layer = edge.layer(link, "em")
    array = zarr.open_group(layer["v3"], mode="r")["0"]
    store = tensorstore.open({"driver": "zarr", "kvstore": f"{layer['v2']}/0/"}).result()
    np.testing.assert_array_equal(array[...], OLD)
    np.testing.assert_array_equal(store.read().result(), OLD)
    before = edge.entry(link)

    exchange(edge, folder, NEW)
    until(lambda: edge.entry(link) != before)
    np.testing.assert_array_equal(array[...], NEW)
    np.testing.assert_array_equal(store.read().result(), NEW)
    assert ask(f"{layer['v2']}/0/0/0/0").is_hit


def test_readers_raise_where_it_is_not_and_a_new_link_reads(new_edge: Callable[..., LocalEdge], tmp_path: Path) -> None:
    folder = tmp_path / "data/mouse"
    write(folder, OLD)
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    link = edge.link("mouse")
    layer = edge.layer(link, "em")
    array = zarr.open_group(layer["v3"], mode="r")["0"]
    store = tensorstore.open({"driver": "zarr", "kvstore": f"{layer['v2']}/0/"}).result()
    np.testing.assert_array_equal(array[...], OLD)
    np.testing.assert_array_equal(store.read().result(), OLD)
    before = edge.entry(link)

    exchange(edge, folder, NEW, (8, 0, 0))
    until(lambda: edge.entry(link) != before)
    with pytest.raises(Exception, match=r"410|Gone"):
        array[...]
    with pytest.raises(ValueError, match=r"410|Gone"):
        store.read().result()
    replaced = ask(f"{layer['v2']}/0/0/0/0")
    assert (replaced.status, replaced.headers["cache-control"]) == (410, "no-store")
    # A link that expects the new geometry has paths of its own.
    newer = edge.link("mouse")
    assert newer.view.id == link.view.id
    again = zarr.open_group(edge.layer(newer, "em")["v3"], mode="r")["0"]
    np.testing.assert_array_equal(again[...], NEW)
    with pytest.raises(Exception, match=r"410|Gone"):
        array[...]
