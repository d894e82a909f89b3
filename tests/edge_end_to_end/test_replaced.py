"""A dataset whose files are exchanged while arrays are open: readers go on where they may, and never mix two geometries."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr

from builders.local_cdn import LocalEdge, ask
from builders.local_jobs import until
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from edge_end_to_end.conftest import ONE
from zarrlink.geometry import Vec3
from zarrlink.links.model import Link

SIZE = (32, 32, 32)
OLD, NEW = noise(SIZE, seed=1), noise(SIZE, seed=2)


def write(folder: Path, volume: np.ndarray, corner: Vec3 = (0, 0, 0)) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write_tree(dataset(LayerFiles("em", {ONE: volume}, corner, block_side=8)), folder)


@dataclass
class Reading:
    """A dataset behind the edge, of which both arrays are open."""

    edge: LocalEdge
    folder: Path
    link: Link
    layer: dict[str, str]
    zarr: Any
    tensorstore: Any

    def check(self, volume: np.ndarray) -> None:
        np.testing.assert_array_equal(self.zarr[...], volume)
        np.testing.assert_array_equal(self.tensorstore.read().result(), volume)

    def exchange(self, volume: np.ndarray, corner: Vec3 = (0, 0, 0)) -> None:
        """Other files in place of the old ones, the catalogue told, and the edge as well."""
        before = self.edge.entry(self.link)
        write(self.folder, volume, corner)
        (record,) = self.edge.machine.catalogue.all()
        assert self.edge.machine.catalogue.revise(record.id)
        until(lambda: self.edge.entry(self.link) != before)


@pytest.fixture
def reading(new_edge: Callable[..., LocalEdge], tmp_path: Path) -> Reading:
    folder = tmp_path / "data/mouse"
    write(folder, OLD)
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    link = edge.link("mouse")
    layer = edge.layer(link, "em")
    array = zarr.open_group(layer["v3"], mode="r")["0"]
    store = tensorstore.open({"driver": "zarr", "kvstore": f"{layer['v2']}/0/"}).result()
    reading = Reading(edge, folder, link, layer, array, store)
    reading.check(OLD)
    return reading


def test_readers_go_on_where_the_geometry_is_equal(reading: Reading) -> None:
    reading.exchange(NEW)
    reading.check(NEW)
    assert ask(f"{reading.layer['v2']}/0/0/0/0").is_hit


def test_readers_raise_where_it_is_not_and_a_new_link_reads(reading: Reading) -> None:
    reading.exchange(NEW, (8, 0, 0))
    with pytest.raises(Exception, match=r"410|Gone"):
        reading.zarr[...]
    with pytest.raises(ValueError, match=r"410|Gone"):
        reading.tensorstore.read().result()
    replaced = ask(f"{reading.layer['v2']}/0/0/0/0")
    assert (replaced.status, replaced.headers["cache-control"]) == (410, "no-store")
    # A link that expects the new geometry has paths of its own.
    newer = reading.edge.link("mouse")
    assert newer.view.id == reading.link.view.id
    again = zarr.open_group(reading.edge.layer(newer, "em")["v3"], mode="r")["0"]
    np.testing.assert_array_equal(again[...], NEW)
    with pytest.raises(Exception, match=r"410|Gone"):
        reading.zarr[...]
