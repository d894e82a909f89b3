"""What the commands work on: links, datasets and users, wherever they are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zarrlink.annotations.shelf import Shelf
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.library import Library
from zarrlink.links.interface import LinkStore
from zarrlink.links.token import KeyRing
from zarrlink.users.interface import Users
from zarrlink_local.tree import Tree


class State(Protocol):
    """A state file with its folders (`machine.py`), or a deployed stack with its buckets (`cloud.py`)."""

    @property
    def links(self) -> LinkStore: ...

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def shelf(self) -> Shelf: ...

    @property
    def users(self) -> Users: ...

    @property
    def library(self) -> Library: ...

    @property
    def keys(self) -> KeyRing: ...

    @property
    def has_edge(self) -> bool:
        """Whether a CDN stands in front, which is told of revocations."""
        ...

    def links_address(self) -> str:
        """What the addresses of links begin with, without a slash at the end. Raises InvalidRequest where there is none."""
        ...

    def add_datasets(self, place: str, now_ms: int, warn: Callable[[str], None]) -> list[DatasetRecord]:
        """Register what lies at a place: at least one dataset. `warn` is told what was left out. Raises InvalidRequest."""
        ...

    def tree(self, record: DatasetRecord) -> Tree:
        """The files of a dataset."""
        ...
