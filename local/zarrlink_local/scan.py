"""Finding datasets: every folder with a `datasource-properties.json`, and volumes that have none."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import DamagedRow, InvalidRequest
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.sources.recognise import GROUPS, MAX_PROBE_BYTES, PROBES, Kind, kind_of
from zarrlink_local.failure import in_one_line


def dataset_folders(top: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """The dataset folders at or below `top`, sorted, then those that symbolic links lead to, each place once.

    A folder is one that has a description, or is a multiscale group (OME-Zarr, N5, Precomputed); `top` itself may be a
    single Zarr or N5 array as well, since it was named. Datasets do not lie inside each other. Hidden folders (drafts,
    snapshots, our own state) are left out, unless `top` is one. `warn` is told of each folder that cannot be read.
    """
    seen: set[str] = set()
    tops = deque([str(top)])
    while tops:
        # Links wait until the folders are done, so that a dataset is found under its own name first.
        for folder, below, files in os.walk(
            tops.popleft(), onerror=lambda error: warn(f"{error.filename}: {error.strerror}")
        ):
            place = os.path.realpath(folder)
            known = place not in seen and _is_dataset(Path(folder), below, files, warn, named=folder == str(top))
            if place in seen or known:
                below.clear()
            if known:
                yield Path(folder)
            seen.add(place)
            visible = sorted(name for name in below if not name.startswith("."))
            tops += [path for path in (f"{folder}/{name}" for name in visible) if Path(path).is_symlink()]
            below[:] = visible


def _is_dataset(folder: Path, below: list[str], files: list[str], warn: Callable[[str], None], *, named: bool) -> bool:
    if FILE_NAME in files:
        return True
    here = {*files, *below}
    found: dict[str, bytes] = {}
    for probe in PROBES:
        if probe.partition("/")[0] not in here:
            continue
        try:
            with (folder / probe).open("rb") as stream:
                found[probe] = stream.read(MAX_PROBE_BYTES + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            continue
        except OSError as error:
            warn(f"{error.filename}: {error.strerror}")
    kind: Kind | None = kind_of(found)
    return kind is not None and (named or kind in GROUPS)


def register_below(top: Path, catalogue: Catalogue, now_ms: int, warn: Callable[[str], None]) -> list[DatasetRecord]:
    """Register every dataset at or below `top` under its folder's name; `warn` is told of those whose rows are damaged.

    Raises InvalidRequest where there is no folder.
    """
    if not top.is_dir():
        raise InvalidRequest(f"{top} is not a folder")
    records = []
    for folder in dataset_folders(top.resolve(), warn):
        try:
            # The name as it stands here, the place where it really is: one place has one id, however it was reached.
            records.append(catalogue.register(folder.name, str(folder.resolve()), now_ms))
        except DamagedRow as error:
            warn(f"{folder}: {in_one_line(error)}")
    return records
