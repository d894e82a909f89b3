"""Finding datasets: every folder with a `datasource-properties.json`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import InvalidRequest
from zarrlink.formats.datasource import FILE_NAME


def dataset_folders(top: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """The dataset folders at or below `top`, sorted, then those that symbolic links lead to, each place once.

    Datasets do not lie inside each other. Hidden folders (drafts, snapshots, our own state) are left out, unless `top`
    is one. `warn` is told of each folder that cannot be read.
    """
    seen: set[str] = set()
    tops = deque([str(top)])
    while tops:
        # Links wait until the folders are done, so that a dataset is found under its own name first.
        for folder, below, files in os.walk(
            tops.popleft(), onerror=lambda error: warn(f"{error.filename}: {error.strerror}")
        ):
            place = os.path.realpath(folder)
            if place in seen or FILE_NAME in files:
                below.clear()
            if place not in seen and FILE_NAME in files:
                yield Path(folder)
            seen.add(place)
            visible = sorted(name for name in below if not name.startswith("."))
            tops += [path for path in (f"{folder}/{name}" for name in visible) if Path(path).is_symlink()]
            below[:] = visible


def register_below(top: Path, catalogue: Catalogue, now_ms: int, warn: Callable[[str], None]) -> list[DatasetRecord]:
    """Register every dataset at or below `top` under its folder's name. Raises InvalidRequest where there is no folder."""
    if not top.is_dir():
        raise InvalidRequest(f"{top} is not a folder")
    folders = dataset_folders(top.resolve(), warn)
    # The name as it stands here, the place where it really is: one place has one id, however it was reached.
    return [catalogue.register(folder.name, str(folder.resolve()), now_ms) for folder in folders]
