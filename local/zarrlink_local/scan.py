"""Finding datasets: every folder with a `datasource-properties.json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import InvalidRequest
from zarrlink.formats.datasource import FILE_NAME


def dataset_folders(top: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """The dataset folders at or below `top`, sorted; datasets do not lie inside each other.

    `warn` is told of each folder that cannot be read.
    """
    for folder, below, files in os.walk(top, onerror=lambda error: warn(f"{error.filename}: {error.strerror}")):
        below.sort()
        if FILE_NAME in files:
            below.clear()
            yield Path(folder)


def register_below(top: Path, catalogue: Catalogue, now_ms: int, warn: Callable[[str], None]) -> list[DatasetRecord]:
    """Register every dataset at or below `top` under its folder's name. Raises InvalidRequest where there is no folder."""
    if not top.is_dir():
        raise InvalidRequest(f"{top} is not a folder")
    folders = dataset_folders(top.resolve(), warn)
    return [catalogue.register(folder.name, str(folder), now_ms) for folder in folders]
