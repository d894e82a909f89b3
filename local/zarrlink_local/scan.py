"""Finding datasets: every folder with a `datasource-properties.json`, and volumes that have none."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import CorruptFile, DamagedRow, InvalidRequest, SourceUnavailable
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.sources.recognise import GROUPS, MAX_PROBE_BYTES, PROBES, Kind, kind_of
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach
from zarrlink_local.failure import in_one_line


def dataset_folders(top: Path, warn: Callable[[str], None], reach: Reach) -> Iterator[Path]:
    """The dataset folders at or below `top`, sorted, then those that symbolic links lead to, each place once.

    A folder is one that has a description, or is a multiscale group (OME-Zarr, N5, Precomputed); `top` itself may be a
    single Zarr or N5 array as well, since it was named. Datasets do not lie inside each other. Hidden folders (drafts,
    snapshots, our own state) are left out, unless `top` is one; and what links lead to that is neither below `top` nor within
    `reach`. `warn` is told of this, and of each folder that cannot be read.
    """
    own = f"{os.path.realpath(top).rstrip('/')}/"
    seen: set[str] = set()
    tops = deque([str(top)])
    while tops:
        # Links wait until the folders are done, so that a dataset is found under its own name first.
        for folder, below, files in os.walk(
            tops.popleft(), onerror=lambda error: warn(f"{error.filename}: {error.strerror}")
        ):
            place = os.path.realpath(folder)
            refusal = reach.refusal(place, own)
            if refusal:
                # Of folders of our own that lie below a folder with datasets nothing is said.
                if Path(folder).is_symlink():
                    warn(f"{folder}: {refusal}")
                below.clear()
                continue
            known = place not in seen and _is_dataset(folder, below, files, warn, reach, named=folder == str(top))
            if place in seen or known:
                below.clear()
            if known:
                yield Path(folder)
            seen.add(place)
            visible = sorted(name for name in below if not name.startswith("."))
            tops += [path for path in (f"{folder}/{name}" for name in visible) if Path(path).is_symlink()]
            below[:] = visible


def _is_dataset(
    folder: str, below: list[str], files: list[str], warn: Callable[[str], None], reach: Reach, *, named: bool
) -> bool:
    if FILE_NAME in files:
        return True
    here = {*files, *below}
    found: dict[str, bytes] = {}
    probes = [probe for probe in PROBES if probe.partition("/")[0] in here]
    if not probes:
        return False
    source = LocalFiles(Path(folder), reach)
    for probe in probes:
        try:
            with source.opened(probe) as stream:
                found[probe] = stream.read(MAX_PROBE_BYTES + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            continue
        except OSError as error:
            warn(f"{error.filename}: {error.strerror}")
        except CorruptFile as error:
            warn(f"{folder}/{probe}: {error.what}")
        except SourceUnavailable:
            # A folder of this name, or what would be waited for.
            continue
    kind: Kind | None = kind_of(found)
    return kind is not None and (named or kind in GROUPS)


def register_below(
    top: Path, catalogue: Catalogue, now_ms: int, warn: Callable[[str], None], reach: Reach | None = None
) -> list[DatasetRecord]:
    """Register every dataset at or below `top` under its folder's name; `warn` is told of those whose rows are damaged.

    Raises InvalidRequest where there is no folder.
    """
    if not top.is_dir():
        raise InvalidRequest(f"{top} is not a folder")
    records = []
    for folder in dataset_folders(top.resolve(), warn, reach or Reach()):
        try:
            # The name as it stands here, the place where it really is: one place has one id, however it was reached.
            records.append(catalogue.register(folder.name, str(folder.resolve()), now_ms))
        except DamagedRow as error:
            warn(f"{folder}: {in_one_line(error)}")
    return records
