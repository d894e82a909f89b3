"""The parts of a single-machine zarrlink, put together around one state file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from zarrlink.annotations.shelf import Shelf
from zarrlink.annotations.upload import ImportLimits
from zarrlink.catalogue.annotations_sqlite import SqliteAnnotations
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.catalogue.sqlite import SqliteCatalogue
from zarrlink.errors import InvalidRequest
from zarrlink.exports.store_files import FolderStore
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.library import Library
from zarrlink.links.previews import PREVIEWER
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.links.token import KeyRing, load_or_create_keys
from zarrlink.sources.permission import VARIABLE, AllowedSources
from zarrlink.sqlite_file import SqliteFile
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach
from zarrlink.users.sqlite import SqliteUsers
from zarrlink_local.places import FolderPlaces
from zarrlink_local.scan import register_below
from zarrlink_local.tree import FolderTree
from zarrlink_local.vault import FolderVault

# How soon a replaced description or header is noticed; a data file's replacement is noticed at once.
FRESHNESS_S: Final = 1.0
# Some clients read a shard whole; those of others far above this one are cut into chunks of ours.
MOST_SHARD_BYTES: Final = 256 * 2**20
_ADDRESS: Final = "address"
_ALLOWED: Final = "allowed sources"
_SERVED: Final = "served folders"


@dataclass(frozen=True, slots=True)
class Machine:
    """Stores and services over a state file; FILE.key beside it holds the link keys, FILE.annotations the annotations,
    FILE.exports the results of jobs."""

    file: SqliteFile
    keys: KeyRing
    links: SqliteLinks
    catalogue: SqliteCatalogue
    shelf: Shelf
    vault: FolderVault
    users: SqliteUsers
    library: Library
    jobs: SqliteJobs
    reach: Reach

    def results(self) -> FolderStore:
        """Where results of jobs lie, a folder that is made if it is not there."""
        return FolderStore(self.file.path.with_name(self.file.path.name + ".exports"))

    def address(self) -> str | None:
        """Where the server that serves this state file is (or was last) reached, without a slash at the end."""
        return _fact(self.file, _ADDRESS)

    @property
    def has_edge(self) -> bool:
        # That of `make run-cdn` knows within a second.
        return False

    def links_address(self) -> str:
        address = self.address()
        if address is None:
            raise InvalidRequest(
                "no server has run on this state file, so links would have no address: start `zarrlink serve`"
            )
        return address

    def add_datasets(self, place: str, now_ms: int, warn: Callable[[str], None]) -> list[DatasetRecord]:
        """Every dataset at or below a folder."""
        if place.startswith("s3://"):
            raise InvalidRequest(f"{place} is read by a stack on AWS: say which with --stack")
        records = register_below(Path(place), self.catalogue, now_ms, warn, self.reach)
        if not records:
            raise InvalidRequest(
                f"no folder at or below {place} holds a {FILE_NAME}, or is a volume that zarrlink knows"
            )
        return records

    def places(self, served: tuple[Path, ...]) -> FolderPlaces:
        """Where datasets may be registered by the API of a server that serves these folders."""
        return FolderPlaces.of(served, _allowed(self.file), self.reach)

    def tree(self, record: DatasetRecord) -> FolderTree:
        return FolderTree(Path(record.location), self.reach)

    def sweep(self) -> None:
        """Remove what imports that crashed left behind, and previews that nobody looks at any more."""
        # Also of damaged rows, which no list has: their files are what they can be mended with.
        self.vault.sweep({annotation_id for (annotation_id,) in self.file.rows("SELECT id FROM annotations")})
        self.links.forget(PREVIEWER, now_ms())

    def set_address(self, address: str) -> None:
        _set_fact(self.file, _ADDRESS, address)


def open_machine(state: Path, allow: tuple[str, ...] | None = None, served: tuple[Path, ...] = ()) -> Machine:
    """Open or create a state file. Raises ValueError where it, or its keys, cannot be used.

    `allow`: prefixes of addresses outside of datasets' folders that may be read, beside those in the environment. `served`:
    folders with datasets, which may link to each other. Both are kept, in place of earlier ones, for the commands that make
    links while the server runs; None: as they were kept.
    """
    file = SqliteFile(state)
    if allow is not None:
        prefixes = [*allow, *os.environ.get(VARIABLE, "").split()]
        AllowedSources.of(prefixes)
        folders = [str(folder.resolve()) for folder in served]
        AllowedSources.of(folders)
        _set_fact(file, _ALLOWED, "\n".join(prefixes))
        _set_fact(file, _SERVED, "\n".join(folders))
    catalogue, annotations = SqliteCatalogue(file), SqliteAnnotations(file)
    vault = FolderVault(state.with_name(state.name + ".annotations"))
    allowed = _allowed(file)
    reach = _reach(file, allowed)
    return Machine(
        file=file,
        keys=load_or_create_keys(state.with_name(state.name + ".key")),
        links=SqliteLinks(file),
        catalogue=catalogue,
        shelf=Shelf(annotations, catalogue, vault, ImportLimits()),
        vault=vault,
        users=SqliteUsers(file),
        library=Library(
            catalogue,
            partial(_open_folder, vault=vault, reach=reach),
            monotonic=time.monotonic,
            freshness_s=FRESHNESS_S,
            annotations=annotations,
            allowed=allowed,
            reach=reach,
            most_bytes=MOST_SHARD_BYTES,
        ),
        jobs=SqliteJobs(file),
        reach=reach,
    )


def _allowed(file: SqliteFile) -> AllowedSources:
    return AllowedSources.of([*os.environ.get(VARIABLE, "").split(), *_lines(_fact(file, _ALLOWED))])


def _reach(file: SqliteFile, allowed: AllowedSources) -> Reach:
    """What links in datasets may lead to: folders that the operator named, and never the state file and what lies beside it."""
    folders = [*_lines(_fact(file, _SERVED)), *(it.text for it in allowed.prefixes if it.scheme == "file")]
    beside = [file.path.with_name(file.path.name + end) for end in ("", ".key", ".annotations", ".exports")]
    # By its own name too, where it is a link itself.
    named = file.path.parent.resolve() / file.path.name
    return Reach(map(Path, folders), [named, *beside])


def _lines(text: str | None) -> list[str]:
    return text.split("\n") if text else []


def _fact(file: SqliteFile, key: str) -> str | None:
    rows = file.rows("SELECT value FROM facts WHERE key = ?", (key,))
    return str(rows[0][0]) if rows else None


def _set_fact(file: SqliteFile, key: str, value: str) -> None:
    with file.write() as connection:
        connection.execute(
            "INSERT INTO facts (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2", (key, value)
        )


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def _open_folder(location: str, vault: FolderVault, reach: Reach) -> LocalFiles:
    if vault.holds(location):
        # Ours, without any link.
        return LocalFiles(Path(location))
    source = LocalFiles(Path(location), reach)
    if source.name != location:
        # A link stands where a folder was registered: its target is no more the dataset's own than any other folder.
        reach.check(source.name, f"{location}/", "")
    return source
