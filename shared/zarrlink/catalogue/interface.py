"""The `Catalogue` protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A registered dataset. `id`: 24 hex digits as WEBKNOSSOS's; `location`: a folder or object-store address."""

    id: str
    name: str
    location: str
    created_ms: int


class Catalogue(Protocol):
    """Datasets by id. Names need not be unique; locations are."""

    def register(self, name: str, location: str, now_ms: int) -> DatasetRecord:
        """The record of a location: the one it has already (with the name brought up to date), or a new one."""
        ...

    def get(self, dataset_id: str) -> DatasetRecord | None: ...

    def all(self) -> list[DatasetRecord]:
        """By name, then id."""
        ...

    def remove(self, dataset_id: str) -> bool:
        """Forget a dataset (its files stay). False where there was none."""
        ...
