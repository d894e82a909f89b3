"""A server behind the local CDN, with a dataset that tests share and only read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from builders.local_cdn import LocalEdge, running_edge, skip_without_nginx
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.geometry import BoundingBox, Mag

ONE = Mag(1, 1, 1)
SIZE = (64, 64, 64)
EM = noise(SIZE)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEdge]:
    """`mouse` has the layer `em`, of which the last file was never written."""
    skip_without_nginx()
    folder = tmp_path_factory.mktemp("edge")
    objects = dataset(LayerFiles("em", {ONE: EM}, (0, 0, 0), BoundingBox((0, 0, 0), SIZE), block_side=8, file_side=4))
    del objects["em/1/z1/y1/x1.wkw"]
    write_tree(objects, folder / "data" / "mouse")
    with running_edge(folder / "state.sqlite", folder / "data") as running:
        yield running


@pytest.fixture
def new_edge() -> Iterator[Callable[..., LocalEdge]]:
    """One of a test's own: `new_edge(state, folder, ...)`."""
    skip_without_nginx()
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(running_edge(*arguments, **options))
